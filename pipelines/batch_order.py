"""Rows of recordings that are decided side by side, put back into the order of the recordings."""

import tempfile
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

from sensorimotor.pipelines.batch_rows import arrow

IN_MEMORY_BYTES = 4 * 2**20
"""More rows than this of one recording wait on the disk for those before it."""


class InOrder:
    """Takes rows of several recordings in turns and gives them one recording after the other.

    Args:
        order: What to call each recording, in the order in which they come out.
        folder: Where rows wait that are too many for the memory; nobody sees them there.
    """

    def __init__(self, order: Iterator[Hashable], folder: Path):
        self._order, self._folder = order, folder
        self._head = next(order, None)
        self._waiting: dict[Hashable, _Waiting] = {}
        self._ended: set[Hashable] = set()

    def add(self, key: Hashable, rows: Any, ended: bool) -> Iterator[Any]:
        """Take the next rows of a recording, a `pyarrow.RecordBatch`; give those whose turn has come.

        Args:
            key: What the recording is called.
            rows: Its next rows.
            ended: Whether they are its last.
        """
        if ended:
            self._ended.add(key)
        if key != self._head:
            self._waiting.setdefault(key, _Waiting(self._folder)).add(rows)
            return
        yield rows
        while self._head in self._ended:
            self._ended.remove(self._head)
            self._head = next(self._order, None)
            if self._head in self._waiting:
                yield from self._waiting.pop(self._head).rows()


class _Waiting:
    """The rows of a recording that wait for others."""

    def __init__(self, folder: Path):
        self._folder, self._bytes = folder, 0
        self._memory: list[Any] = []
        self._file: Any = None
        self._writer: Any = None

    def add(self, rows: Any) -> None:
        self._memory.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > IN_MEMORY_BYTES:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed when all is read)
                self._writer = arrow().ipc.new_stream(self._file, rows.schema)
            for one in self._memory:
                self._writer.write_batch(one)
            self._memory, self._bytes = [], 0

    def rows(self) -> Iterator[Any]:
        """All of them, once."""
        if self._file is not None:
            self._writer.close()
            self._file.seek(0)
            yield from arrow().ipc.open_stream(self._file)
            self._file.close()
        yield from self._memory
