"""Rows of recordings that are decided side by side, put back into the order of the recordings."""

import tempfile
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sensorimotor.pipelines.batch_rows import Row, arrow

AT_ONCE = 512
"""So many rows are made into a table; a table of one row takes almost as long."""
IN_MEMORY_BYTES = 4 * 2**20
"""Tables of one recording that are larger than this together wait on the disk for the recordings before it."""


class InOrder:
    """Takes rows of several recordings in turns and gives tables of them, one recording after the other.

    Args:
        order: What to call each recording, in the order in which they come out.
        table: Makes a `pyarrow.RecordBatch` of some rows.
        folder: Where tables wait that are too large for the memory; nobody sees them there.
    """

    def __init__(self, order: Iterator[Hashable], table: Callable[[Sequence[Row]], Any], folder: Path):
        self._order, self._table, self._folder = order, table, folder
        self._head = next(order, None)
        self._ready: list[Row] = []
        self._waiting: dict[Hashable, _Waiting] = {}
        self._ended: set[Hashable] = set()

    def add(self, key: Hashable, rows: Sequence[Row], ended: bool) -> Iterator[Any]:
        """Take the next rows of a recording; give tables whose turn has come.

        Args:
            key: What the recording is called.
            rows: Its next rows.
            ended: Whether they are its last.
        """
        if ended:
            self._ended.add(key)
        if key != self._head:
            self._waiting.setdefault(key, _Waiting(self._table, self._folder)).add(rows)
            return
        self._ready += rows
        while self._head in self._ended:
            self._ended.remove(self._head)
            self._head = next(self._order, None)
            if waiting := self._waiting.pop(self._head, None):
                if waiting.tables:
                    yield from self.rest()
                    yield from waiting.take()
                self._ready += waiting.rows
        if len(self._ready) >= AT_ONCE:
            yield from self.rest()

    def rest(self) -> Iterator[Any]:
        """The rows whose turn has come and that are no table yet."""
        if self._ready:
            ready, self._ready = self._ready, []
            yield self._table(ready)


class _Waiting:
    """What waits of a recording: `tables`, how many have been made, and `rows` that are none yet."""

    def __init__(self, table: Callable[[Sequence[Row]], Any], folder: Path):
        self._table, self._folder = table, folder
        self.rows: list[Row] = []
        self.tables = self._bytes = 0
        self._memory: list[Any] = []
        self._file: Any = None
        self._writer: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        self.rows += rows
        if len(self.rows) < AT_ONCE:
            return
        self._memory.append(self._table(self.rows))
        self.rows, self.tables, self._bytes = [], self.tables + 1, self._bytes + self._memory[-1].nbytes
        if self._bytes > IN_MEMORY_BYTES:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed when all is read)
                self._writer = arrow().ipc.new_stream(self._file, self._memory[0].schema)
            for table in self._memory:
                self._writer.write_batch(table)
            self._memory, self._bytes = [], 0

    def take(self) -> Iterator[Any]:
        """The tables, once."""
        if self._file is not None:
            self._writer.close()
            self._file.seek(0)
            yield from arrow().ipc.open_stream(self._file)
            self._file.close()
        yield from self._memory
