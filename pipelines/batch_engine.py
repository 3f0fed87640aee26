"""Shards of decisions, made of blocks that others decode meanwhile."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sensorimotor.errors import UsageError
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Audio, Image
from sensorimotor.pipelines.batch_blocks import Block, Reader, Unit
from sensorimotor.pipelines.batch_decider import Decider
from sensorimotor.pipelines.batch_input import BatchInput
from sensorimotor.pipelines.batch_order import InOrder
from sensorimotor.pipelines.batch_rows import Columns
from sensorimotor.pipelines.batch_store import Shard
from sensorimotor.pipelines.batch_tally import BatchTally

SIDE_BY_SIDE = 8
"""Recordings that are decided side by side; so many single rows are decoded together."""
MOST_ROWS = 4096
"""Of a batch. Their pictures are all in memory, several times over, and beyond some dozens nothing is any quicker."""
BLOCK_BYTES = 32 * 2**20
"""No block holds more than this of pictures and sound, unless a single step does."""


@dataclass(frozen=True)
class Pace:
    """How much is done at a time. Only the batch size and the policy have a say in it, so that it is always the same.

    Attributes:
        episodes: Of a unit.
        steps: Of a block of one episode.
        lanes: Units that are decided side by side ...
        ahead: ... and those that are decoded before their turn comes.
    """

    episodes: int
    steps: int
    lanes: int
    ahead: int

    @classmethod
    def of(cls, signature: Signature, batch_size: int, alone: bool) -> "Pace":
        """To decide in about `batch_size` rows at a time; `alone`: every episode is a single step.

        Raises:
            UsageError: That is not at least one.
        """
        if not 1 <= batch_size <= MOST_ROWS:
            raise UsageError(f"the batch size is 1 to {MOST_ROWS}, not {batch_size}")
        fit = max(1, BLOCK_BYTES // max(1, step_bytes(signature)))
        if alone:
            episodes = min(SIDE_BY_SIDE, batch_size, fit)
            lanes = max(1, batch_size // episodes)
            return cls(episodes, 1, lanes, 2 * lanes)
        lanes = min(SIDE_BY_SIDE, batch_size)
        return cls(1, min(max(1, batch_size // lanes), fit), lanes, lanes)

    @property
    def rows(self) -> int:
        """Of a block, at most."""
        return self.episodes * self.steps

    @property
    def blocks(self) -> int:
        """How many there are at a time: two of each lane, one decided on and one decoded, and those ahead."""
        return 2 * self.lanes + self.ahead

    def units(self, shard: Shard) -> list[Unit]:
        """The units of a shard, in order."""
        firsts = range(shard.first, shard.stop, self.episodes)
        return [Unit(first, min(first + self.episodes, shard.stop)) for first in firsts]


def step_bytes(signature: Signature) -> int:
    """How much the pictures and sounds of one step take at most (bytes)."""
    total = 0
    for modality in signature.inputs.values():
        match modality:
            case Image(shape=shape):
                total += int(np.prod(shape))
            case Audio(samples=samples, channels=channels):
                total += 4 * samples * channels
    return total


class Decoding(Protocol):
    """Decodes units, block by block."""

    def ask(self, unit: Unit) -> None:
        """Have the next block of a unit decoded; not before the last one was taken, nor after the one that ends it."""
        ...

    def take(self, unit: Unit) -> Block:
        """Wait for the block that was asked for; its values last until it is released.

        Raises:
            DataError: The input cannot be opened any more.
        """
        ...

    def release(self, unit: Unit) -> None:
        """The block that was taken before the last `ask` is not needed any more."""
        ...

    def forget(self, unit: Unit) -> None:
        """No more is needed of a unit, though it has not ended."""
        ...


class Here:
    """Decodes in this process, when it is asked for."""

    def __init__(self, opened: BatchInput, pace: Pace):
        self._opened, self._pace = opened, pace
        self._readers: dict[Unit, Reader] = {}

    def ask(self, unit: Unit) -> None:
        """See `Decoding`."""
        if unit not in self._readers:
            self._readers[unit] = Reader(self._opened, unit, self._pace.steps)

    def take(self, unit: Unit) -> Block:
        """See `Decoding`."""
        block = self._readers[unit].block()
        if block.ended:
            del self._readers[unit]
        return block

    def release(self, unit: Unit) -> None:
        """See `Decoding`."""

    def forget(self, unit: Unit) -> None:
        """See `Decoding`."""
        self._readers.pop(unit, None)


@dataclass(frozen=True)
class Decided:
    """A shard while it is decided.

    Attributes:
        shard: Which.
        rows: Its rows in order, some `pyarrow.RecordBatch` at a time.
        tally: What there is to say of it, once its rows are used up.
    """

    shard: Shard
    rows: Iterator[Any]
    tally: Callable[[], BatchTally]


class Engine:
    """Decides shard by shard.

    Args:
        policy: Decides.
        decoding: Decodes.
        ids: What identifies each episode.
        pace: How much is done at a time.
        batch_size: So many values are encoded at a time, at most.
        columns: Of the rows.
        folder: Where rows wait for their turn that are too many for the memory.
        pulse: Told again and again of how many more rows are decided; what it raises ends the work.
    """

    def __init__(
        self,
        policy: Policy,
        decoding: Decoding,
        ids: Sequence[str],
        pace: Pace,
        batch_size: int,
        columns: Columns,
        folder: Path,
        pulse: Callable[[int], None] = lambda _: None,
    ):
        self._policy, self._decoding, self._ids, self._pace = policy, decoding, ids, pace
        self._batch_size, self._columns, self._folder, self._pulse = batch_size, columns, folder, pulse
        self._upcoming: Iterator[Unit] = iter(())
        self._asked: deque[Unit] = deque()

    def decide(self, shards: Sequence[Shard]) -> Iterator[Decided]:
        """Decide these shards; the rows of each must be used up before the next one."""
        self._upcoming = (unit for shard in shards for unit in self._pace.units(shard))
        for shard in shards:
            tally = BatchTally()
            yield Decided(shard, self._rows(shard, tally), partial(self._told, shard, tally, time.perf_counter()))

    def _told(self, shard: Shard, tally: BatchTally, began: float) -> BatchTally:
        spent = sum(tally.seconds[stage] for stage in ("wait", "encode", "core"))
        tally.seconds["write"] = time.perf_counter() - began - spent
        place = {id: number for number, id in enumerate(self._ids[shard.first : shard.stop])}
        tally.quarantine.sort(key=lambda trouble: place[trouble.id])  # some ended before others
        return tally

    def _rows(self, shard: Shard, tally: BatchTally) -> Iterator[Any]:
        decider = Decider(self._policy, self._ids, self._batch_size, tally)
        order = InOrder(iter(self._pace.units(shard)), self._columns.table, self._folder)
        going: list[Unit] = []
        self._ask_ahead()
        while True:
            while self._asked and self._asked[0].stop <= shard.stop and len(going) < self._pace.lanes:
                going.append(self._asked.popleft())
                self._ask_ahead()
            if not going:
                yield from order.rest()
                return
            blocks = self._blocks(going, tally)
            rows, ended = decider.decide([part for block in blocks for part in block.parts])
            self._pulse(sum(map(len, rows)))
            at = 0
            for unit, block in zip(tuple(going), blocks, strict=True):
                self._decoding.release(unit)
                its = slice(at, at + len(block.parts))
                done = all(ended[its])
                if done:
                    going.remove(unit)
                    if not block.ended:
                        self._decoding.forget(unit)
                yield from order.add(unit, [row for some in rows[its] for row in some], done)
                at = its.stop

    def _blocks(self, going: Sequence[Unit], tally: BatchTally) -> list[Block]:
        """The next block of each unit; those that follow are asked for, to be decoded while these are decided on."""
        began = time.perf_counter()
        blocks = [self._decoding.take(unit) for unit in going]
        for unit, block in zip(going, blocks, strict=True):
            tally.seconds["decode"] += block.decode_s
            tally.losses.update(block.losses)
            if not block.ended:
                self._decoding.ask(unit)
        tally.seconds["wait"] += time.perf_counter() - began
        return blocks

    def _ask_ahead(self) -> None:
        while len(self._asked) < self._pace.ahead and (unit := next(self._upcoming, None)):
            self._decoding.ask(unit)
            self._asked.append(unit)
