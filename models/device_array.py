"""Arrays that stay on a device: as much of an array as a policy needs to put tokens of several streams together.

Their bytes lie in pieces, in order. To take a row out, or to stack and join rows, is to say where the pieces are; none
is copied before the core takes them. Nothing ever changes one, so that two streams may hold the same.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sensorimotor.models.device_memory import Block, Blocks, Copy


class Piece(NamedTuple):
    """So many bytes of a block; equal where they are the very same ones."""

    block: Block
    offset: int
    size: int

    @property
    def pointer(self) -> int:
        """The address of the first byte."""
        return self.block.pointer + self.offset


class DeviceArray:
    """An array on a device, which numpy's `stack` and `concatenate` take for one of theirs (NEP 18).

    Args:
        shape: As of a numpy array.
        dtype: As of a numpy array.
        pieces: Where its bytes are.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, pieces: tuple[Piece, ...]):
        self.shape, self.dtype, self.pieces = shape, dtype, pieces

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator["DeviceArray"]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int | None) -> "DeviceArray":
        """One row, or with None the whole as the only row of another array."""
        if row is None:
            return DeviceArray((1, *self.shape), self.dtype, self.pieces)
        if not 0 <= row < len(self):
            raise IndexError(row)
        size = self.nbytes // len(self)
        return DeviceArray(self.shape[1:], self.dtype, _cut(self.pieces, row * size, size))

    def copy(self) -> "DeviceArray":
        """Itself: nothing ever changes it."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """A copy on the host."""
        if copy is False:
            raise ValueError("what is on a device cannot be had without copying it")
        found = np.zeros(self.shape, self.dtype)
        if self.pieces:
            memory = self.pieces[0].block.memory
            with memory.lock:
                memory.start(copies(self.pieces, found.ctypes.data))
                memory.wait()
        return found if dtype is None else found.astype(dtype, copy=False)

    def __array_function__(self, function: Any, types: Any, arguments: Any, named: Any) -> Any:
        """What numpy's functions do with it: `stack` and `concatenate`, along the first axis."""
        joining = _JOINING.get(function)
        return NotImplemented if joining is None else joining(*arguments, **named)


def uploaded(blocks: Blocks, array: np.ndarray) -> DeviceArray:
    """An array of the host on the device."""
    array = np.ascontiguousarray(array)
    block = blocks.take(array.nbytes)
    blocks.memory.start([Copy(block.pointer, array.ctypes.data, array.nbytes)])
    blocks.memory.wait()
    return DeviceArray(array.shape, array.dtype, (Piece(block, 0, array.nbytes),))


def copies(pieces: Sequence[Piece], to: int) -> Iterator[Copy]:
    """What to copy to have pieces in one."""
    for piece in pieces:
        yield Copy(to, piece.pointer, piece.size)
        to += piece.size


def _stack(arrays: Sequence[DeviceArray], axis: int = 0) -> DeviceArray:
    return _concatenate([array[None] for array in arrays], axis)


def _concatenate(arrays: Sequence[DeviceArray], axis: int = 0) -> DeviceArray:
    if axis:
        raise ValueError("what is on a device is joined along its first axis only")
    arrays = list(arrays)
    if len(kinds := {(array.shape[1:], array.dtype) for array in arrays}) > 1:
        raise ValueError(f"arrays of different kinds cannot be joined: {sorted(map(str, kinds))}")
    shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
    return DeviceArray(shape, arrays[0].dtype, tuple(piece for array in arrays for piece in array.pieces))


_JOINING: dict[Any, Callable[..., DeviceArray]] = {np.stack: _stack, np.concatenate: _concatenate}


def _cut(pieces: Sequence[Piece], first: int, size: int) -> tuple[Piece, ...]:
    """So many bytes out of those that pieces hold together, from the first on."""
    found, last = [], first + size
    for piece in pieces:
        begin, end = max(first, 0), min(last, piece.size)
        if begin < end:
            found.append(Piece(piece.block, piece.offset + begin, end - begin))
        first, last = first - piece.size, last - piece.size
    return tuple(found)
