"""Writing files so that nothing is ever half written: aside first, then renamed into place."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensorimotor.errors import OutputPathError, UsageError


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputPathError(f"cannot write {target}: {reason}. What was there before is unchanged.") from error


def expanded(path: str | Path) -> Path:
    """A path with a leading `~` or `~user` written out.

    Raises:
        UsageError: There is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: there is no home directory of {Path(path).parts[0]}: write the path out") from error


def require_writable(directory: Path) -> Path:
    """Make `directory` if need be and check that files can be made in it.

    Raises:
        OutputPathError: It cannot be made or written to.
    """
    with _explained(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory


@contextmanager
def holding(directory: Path) -> Iterator[None]:
    """Have `directory` to oneself, among those who ask for it so; the system lets go of it, however the process ends.

    Raises:
        OutputPathError: Another has it.
    """
    import fcntl  # not on Windows, and nothing that runs a policy needs it

    handle = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputPathError(
                f"another process is writing to {directory}: wait for it, or choose another directory"
            ) from error
        except OSError:  # some network file systems have no locks on directories; nothing is lost but the check
            pass
        yield
    finally:
        os.close(handle)


def write_atomically(target: Path, content: bytes | str) -> None:
    """Replace the file `target` by `content`: afterwards it holds all of the new or all of the old.

    Raises:
        OutputPathError: The directory is missing, read-only or full.
    """
    with replacing(target) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def require_replaceable(target: Path) -> None:
    """Check that a file may take the place of `target`: root could put one in the place of a device.

    Raises:
        OutputPathError: It is a pipe or a device.
    """
    with _explained(target):
        strange = target.exists() and not (target.is_file() or target.is_dir())  # a directory refuses by itself
    if strange:
        raise OutputPathError(f"cannot write {target}: it is a pipe or a device; name a file")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a file to; on success it takes the place of `target`.

    Raises:
        OutputPathError: The directory is missing, read-only or full, or the target is a pipe or a device.
    """
    target = target.absolute()  # "." has no name
    require_replaceable(target)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            with aside.open("rb") as written:
                os.fsync(written.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


@contextmanager
def replacing_directory(target: Path) -> Iterator[Path]:
    """Give an empty directory beside `target` to fill; on success it takes the place of `target`.

    Raises:
        OutputPathError: The parent directory is missing, read-only or full, or `target` is a file.
    """
    target = target.absolute()  # "." has no name
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    with _explained(target):
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            yield aside
            if target.exists():
                target.rename(old)
            aside.rename(target)
        finally:
            if old.exists() and not target.exists():  # the new one did not get there
                old.rename(target)
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def making_directory(target: Path) -> Iterator[Path]:
    """Give an empty directory beside `target` to fill; on success it becomes `target`, unless there is one by then.

    For what comes out the same whoever makes it: who comes second leaves what others may be reading already.

    Raises:
        OutputPathError: The parent directory is missing, read-only or full.
    """
    target = target.absolute()
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    with _explained(target):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            yield aside
            try:
                aside.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
