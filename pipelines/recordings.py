"""A speaker made of sound files: what was recorded once, of a person or of a synthesiser that is not here."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines.sound import read_sound

INDEX = "index.tsv"


class Recordings:
    """A directory with `index.tsv`: a line a recording, the name of its sound file, a tabulator, and what is said.

    Any format, rate and number of channels that FFmpeg reads will do. Texts are compared to the letter; of several
    recordings of a text the first one speaks.

    Args:
        directory: Where they are.

    Raises:
        SpeechError: There is no index, a line of it is wrong, or it names a file elsewhere.
    """

    def __init__(self, directory: Path):
        try:
            self.directory = directory = directory.expanduser()
            lines = (directory / INDEX).read_text("utf-8-sig").splitlines()
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: no such home
            raise SpeechError(f"recordings: {directory / INDEX} cannot be read: {error}") from error
        self._files: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            name, tabulator, text = line.partition("\t")
            if not tabulator or not text.strip() or Path(name).name != name or name in ("", ".."):
                raise SpeechError(
                    f"{directory / INDEX}, line {number}: expected FILE, a tabulator and TEXT, not {line!r}"
                )
            self._files.setdefault(text.strip(), name)

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            SpeechError: It was not recorded, or its file is no sound file.
        """
        if text not in self._files:
            raise SpeechError(f"{self.directory} has no recording of {text!r}")
        return _sound(self.directory / self._files[text]).copy()


@lru_cache(maxsize=256)
def _sound(path: Path) -> np.ndarray:
    return read_sound(path)
