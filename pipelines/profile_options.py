"""What a person asks a profile for, as it is typed."""

import math
from pathlib import Path

from sensorimotor.errors import OutputPathError, UsageError
from sensorimotor.files import expanded, require_replaceable, require_writable
from sensorimotor.models.execution import DEVICES, Execution

BATCHES = (1, 2, 4, 8, 16, 32, 64)
MOST_ROWS, MOST_SIZES = 4096, 32
MOST_THREADS = 1024
HIGHEST_HZ = 100_000.0
AUTO = "auto"


def parse_batches(text: str) -> tuple[int, ...]:
    """Sizes of batches: `1,2,4`.

    Raises:
        UsageError: One is no whole number, below 1 or too large, or there are too many.

    >>> parse_batches("1, 8,2")
    (1, 8, 2)
    """
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"--batch {text[:60]!r}: expected whole numbers with commas between them, as in 1,2,4"
        ) from error
    if wrong := [size for size in sizes if not 1 <= size <= MOST_ROWS]:
        raise UsageError(f"--batch: {wrong[0]} rows are no batch that is tried here: expected 1 to {MOST_ROWS}")
    if len(sizes) > MOST_SIZES:
        raise UsageError(f"--batch: {len(sizes)} sizes are too many: name {MOST_SIZES} at most")
    return sizes


def parse_providers(text: str) -> tuple[str, ...]:
    """Execution providers in order of preference; `cpu` and `cuda` are short for those of that device.

    Raises:
        UsageError: There is none, or one is named twice.

    >>> parse_providers("cuda,CPUExecutionProvider")
    ('CUDAExecutionProvider', 'CPUExecutionProvider')
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    providers = [one for name in names for one in DEVICES.get(name, (name,))]
    if not providers or len(set(providers)) < len(providers):
        raise UsageError(f"--providers {text!r}: expected names with commas between them, each once; or cpu, or cuda")
    return tuple(providers)


def parse_threads(text: str) -> int | None:
    """Threads inside one operator; None: as many as prove quickest (`auto`).

    Raises:
        UsageError: It is neither.

    >>> parse_threads("2"), parse_threads("auto")
    (2, None)
    """
    if text == AUTO:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise UsageError(f"--threads {text!r}: expected a number from 1 to {MOST_THREADS}, or {AUTO}")
    return int(text)


def check_rate(rate_hz: float | None) -> float | None:
    """Decisions a second, as they came.

    Raises:
        UsageError: Nothing can be done so often, or never.
    """
    if rate_hz is not None and not (math.isfinite(rate_hz) and 0 < rate_hz <= HIGHEST_HZ):
        raise UsageError(f"--rate {rate_hz:g}: expected decisions a second, above 0 and up to {HIGHEST_HZ:g}")
    return rate_hz


def execution_of(providers: str | None, threads: int | None, allow_fallback: bool) -> Execution | None:
    """How graphs are run, on one thread where nothing is said of them; None: nothing is said at all.

    Raises:
        UsageError: The providers cannot be read.
    """
    if providers is None and threads is None and not allow_fallback:
        return None
    return Execution(parse_providers(providers or "cpu"), threads=threads or 1, fallback=allow_fallback)


def writable_file(path: Path) -> Path:
    """A file that can be written, found out before anything is measured.

    Raises:
        OutputPathError: It is a directory, a pipe or a device, or its own directory cannot be made or written to.
    """
    path = expanded(path)
    if path.is_dir():
        raise OutputPathError(f"cannot write {path}: it is a directory; name a file in it, such as profile.html")
    require_replaceable(path)
    require_writable(path.absolute().parent)
    return path
