"""A recording for the Rerun viewer, written as it comes to a file that may fail without harm."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

from sensorimotor.errors import OutputPathError, UsageError
from sensorimotor.libraries import library

APPLICATION = "sensorimotor"
SUFFIX = ".rrd"
"""What the viewer opens."""
BATCH_S = 1.0
"""What was logged for so long (s) is written together: with Rerun's 0.2 s a file is mostly frames around it."""
FLUSH_S = 10.0
"""A file that has taken nothing for so long (s) is given up."""
CHUNK_BYTES = 2**20


def rerun_library() -> Any:
    """The library that makes recordings for Rerun.

    Raises:
        MissingExtraError: It is not installed.
    """
    return library("rerun", "rerun-sdk", "rerun", "logging for Rerun")


class RerunFile:
    """A stream of Rerun and the file that it goes to.

    Rerun writes to a pipe, and a thread of ours from there to the file. With its own file sink (rerun-sdk 0.41) a write
    that failed, as on a full disk, ends a thread that flushing, closing and the end of the process then wait for, for
    ever.

    Args:
        path: The file; one that is there is replaced.
        blueprint: How the viewer arranges it; None: as it likes.

    Attributes:
        stream: What to log to, a `rerun.RecordingStream`.

    Raises:
        MissingExtraError: Rerun is not installed.
        UsageError: The file is called otherwise than the viewer's files are, or Rerun is switched off.
        OutputPathError: It cannot be made.
    """

    def __init__(self, path: Path, blueprint: Any = None):
        rerun = rerun_library()
        if path.suffix != SUFFIX:
            raise UsageError(f"{path} is no name for a Rerun recording: expected one that ends in {SUFFIX}")
        self.path, self._file, self._broken = path, _opened(path), ""
        self._stuck = False
        self._source, sink = os.pipe()
        self._thread = threading.Thread(target=self._copy, name="rerun file", daemon=True)
        self._thread.start()
        try:
            batches = rerun.ChunkBatcherConfig(flush_tick=BATCH_S)
            self.stream = rerun.RecordingStream(APPLICATION, batcher_config=batches)
            if not rerun.is_enabled(self.stream):
                raise UsageError("Rerun is switched off by the environment variable RERUN: unset it to log for Rerun")
            self.stream.save(f"/dev/fd/{sink}", default_blueprint=blueprint)
        finally:
            os.close(sink)

    def flush(self) -> None:
        """Have all that was logged written.

        Raises:
            OutputPathError: The file has failed, or took nothing for `FLUSH_S`.
        """
        try:
            self.stream.flush(timeout_sec=FLUSH_S)
        except RuntimeError:
            self._stuck, self._broken = True, self._broken or f"it took nothing for {FLUSH_S:g} s"
        self._require_whole()

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputPathError: The file has failed, or took nothing for `FLUSH_S`.
        """
        try:
            self.flush()
        finally:
            if self._stuck:  # or Rerun would wait for a file that takes nothing any more
                threading.Thread(target=_drain, args=(os.dup(self._source),), name="rerun drain", daemon=True).start()
            self.stream.disconnect()
            self._thread.join(0.0 if self._stuck else FLUSH_S)
        self._require_whole()

    def _require_whole(self) -> None:
        if self._broken:
            raise OutputPathError(f"cannot write {self.path}: {self._broken}")

    def _copy(self) -> None:
        """The thread from the pipe to the file; the pipe is emptied whatever the file does."""
        while data := os.read(self._source, CHUNK_BYTES):
            if not self._broken:
                try:
                    _write(self._file, data)
                except OSError as error:
                    self._broken = error.strerror or str(error)
        os.close(self._file)
        os.close(self._source)


def _opened(path: Path) -> int:
    """The file, open and empty."""
    try:
        if path.exists() and stat.S_ISFIFO(path.stat().st_mode):
            raise OutputPathError(f"{path} is a pipe: expected a file")
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OutputPathError(f"cannot write {path}: {error.strerror}") from error


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _drain(source: int) -> None:
    while os.read(source, CHUNK_BYTES):
        pass
    os.close(source)
