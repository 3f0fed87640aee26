"""Memory that blocks come through from the processes that decode them.

A pipe would copy every picture four times, which takes longer than to decode a JPEG. The memory has no name, so that
nothing of it is left behind, however a process ends.
"""

import mmap
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sensorimotor.errors import SensorimotorError
from sensorimotor.pipelines.batch_blocks import Block
from sensorimotor.pipelines.batch_input import Step

ALIGNED = 64
"""Arrays begin at multiples of this (bytes)."""
SMALL_BYTES = 1024
"""Smaller arrays go through the pipe; so do vectors, which may be the safe action and are kept with the decision."""


class Placed(NamedTuple):
    """An array that lies in the shared memory."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class Slots:
    """Memory in equal pieces, one for each block that there can be at a time.

    Args:
        file: A file without a name, of the whole size; it belongs to this object from now on.
        count: How many pieces.
        size: Of each (bytes).
    """

    def __init__(self, file: int, count: int, size: int):
        self.file, self._size = file, size
        self._bytes = np.frombuffer(mmap.mmap(file, count * size), np.uint8)

    @classmethod
    def make(cls, count: int, size: int) -> "Slots":
        """New ones; memory is only taken where something is put.

        Raises:
            SensorimotorError: There is not so much.
        """
        file = os.memfd_create("sensorimotor-batch")
        try:
            os.ftruncate(file, count * size)
            return cls(file, count, size)
        except (OSError, OverflowError, ValueError) as error:
            os.close(file)
            raise SensorimotorError(
                f"{count * size / 2**30:.3g} GiB cannot be shared with processes that decode ({error}): a smaller "
                "--batch-size takes less, and --workers 0 none"
            ) from error

    def put(self, block: Block, slot: int) -> Block:
        """A block whose large arrays lie in a piece of this memory, as far as there is room for them."""
        placed: dict[int, Placed] = {}
        free, stop = slot * self._size, (slot + 1) * self._size

        def place(value: Any) -> Any:
            nonlocal free
            if not isinstance(value, np.ndarray) or value.ndim < 2 or value.nbytes < SMALL_BYTES:
                return value
            if id(value) not in placed:  # what several steps see lies there once
                end = free + value.nbytes
                if end > stop:
                    return value
                self._bytes[free:end].view(value.dtype).reshape(value.shape)[...] = value
                placed[id(value)] = Placed(free, value.shape, value.dtype.str)
                free = -(-end // ALIGNED) * ALIGNED
            return placed[id(value)]

        return _changed(block, place)

    def get(self, block: Block) -> Block:
        """The same block with its arrays as they lie there, until something else is put there."""

        def find(value: Any) -> Any:
            if not isinstance(value, Placed):
                return value
            count = int(np.prod(value.shape))
            return np.frombuffer(self._bytes, value.dtype, count, value.offset).reshape(value.shape)

        return _changed(block, find)

    def close(self) -> None:
        """Let go of the file; the memory goes with the last array in it."""
        os.close(self.file)


def slot_bytes(step_bytes: int, arrays: int, rows: int) -> int:
    """What a block of so many rows takes, each of so many arrays and bytes."""
    return max(ALIGNED, rows * (step_bytes + arrays * ALIGNED))


def _changed(block: Block, change: Callable[[Any], Any]) -> Block:
    """A block with other values."""

    def step(one: Step) -> Step:
        observation = {name: change(value) for name, value in one.seen.observation.items()}
        return one._replace(seen=replace(one.seen, observation=observation))

    return replace(block, parts=tuple(replace(part, steps=tuple(map(step, part.steps))) for part in block.parts))
