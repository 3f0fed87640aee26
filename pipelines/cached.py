"""Reading what was made once and kept, with a word to the user where it has been damaged since."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from sensorimotor.errors import CacheError


def read_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Some arrays of an `.npz` file.

    Raises:
        CacheError: The file is not what was once written.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CacheError(f"{path} is damaged ({error}): delete it, and it is made again") from error


def mapped(path: Path) -> np.ndarray:
    """The array of an `.npy` file, on disk until it is used.

    Raises:
        CacheError: The file is not what was once written.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CacheError(f"{path} is damaged ({error}): delete its directory, and it is made again") from error
