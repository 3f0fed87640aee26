"""Memory of a device: where the tokens of encoders stay until the core takes them, and how bytes get there and back.

Copies are started in order and are over once they have been waited for. All work on a device is done under its lock:
a CUDA graph is lost when another thread allocates or copies while it is captured.
"""

import contextlib
import ctypes
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from sensorimotor.errors import UsageError
from sensorimotor.libraries import library

ALIGNMENT = 256
"""Bytes: what CUDA aligns allocations to, and its fastest copies expect."""


class Copy(NamedTuple):
    """So many bytes from one address to another."""

    to: int
    source: int
    size: int


class DeviceMemory(Protocol):
    """Memory of one device.

    Attributes:
        device: Its kind, as ONNX Runtime calls it.
        lock: Held by whoever works on the device.
    """

    device: str
    lock: Any

    def allocate(self, size: int) -> int:
        """The address of so many bytes, which live as long as this object."""
        ...

    def page_locked(self, size: int) -> np.ndarray:
        """uint8 `(size,)` on the host, from where and to where copies are fastest."""
        ...

    def start(self, copies: Iterable[Copy]) -> None:
        """Start copies, within the device or from and to the host; what is copied must not change until `wait`."""
        ...

    def wait(self) -> None:
        """Until all copies are over."""
        ...


class HostMemory:
    """The memory of the processor itself, as if it were a device's."""

    device = "cpu"

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._arrays: list[np.ndarray] = []

    def allocate(self, size: int) -> int:
        """See `DeviceMemory.allocate`."""
        self._arrays.append(self.page_locked(size))
        return int(self._arrays[-1].ctypes.data)

    def page_locked(self, size: int) -> np.ndarray:
        """See `DeviceMemory.page_locked`."""
        array = np.zeros(size + ALIGNMENT, np.uint8)
        return array[(first := -array.ctypes.data % ALIGNMENT) : first + size]

    def start(self, copies: Iterable[Copy]) -> None:
        """See `DeviceMemory.start`."""
        for to, source, size in joined(copies):
            ctypes.memmove(to, source, size)

    def wait(self) -> None:
        """See `DeviceMemory.wait`."""


class CudaMemory:
    """The memory of the first NVIDIA GPU.

    Args:
        cuda: The module `cuda.bindings.runtime`.

    Raises:
        MissingExtraError: `cuda-bindings` is not installed.
        UsageError: There is no GPU, or its driver is missing or too old.
    """

    device = "cuda"

    def __init__(self, cuda: Any = None):
        self._cuda = cuda or library("cuda.bindings.runtime", "cuda-bindings", "gpu", "a policy on a GPU")
        self.lock = threading.RLock()
        error, count = self._cuda.cudaGetDeviceCount()
        if error or not count:
            raise UsageError(
                f"no NVIDIA GPU can be used here ({self._reason(error) if error else 'there is none'}): "
                "check with nvidia-smi that there is one, and that its driver is new enough, or use the device cpu"
            )
        allocated: list[tuple[Any, int]] = []
        self._allocated = allocated
        weakref.finalize(self, _release, allocated).atexit = False  # a process that ends gives all of it back

    def allocate(self, size: int) -> int:
        """See `DeviceMemory.allocate`."""
        pointer = int(self._checked(self._cuda.cudaMalloc(max(size, 1))))
        self._allocated.append((self._cuda.cudaFree, pointer))
        return pointer

    def page_locked(self, size: int) -> np.ndarray:
        """See `DeviceMemory.page_locked`."""
        pointer = int(self._checked(self._cuda.cudaHostAlloc(max(size, 1), self._cuda.cudaHostAllocDefault)))
        buffer = (ctypes.c_uint8 * size).from_address(pointer)
        weakref.finalize(buffer, _release, [(self._cuda.cudaFreeHost, pointer)]).atexit = False
        return np.ctypeslib.as_array(buffer)

    def start(self, copies: Iterable[Copy]) -> None:
        """See `DeviceMemory.start`."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDefault
        for to, source, size in joined(copies):
            self._checked(self._cuda.cudaMemcpyAsync(to, source, size, kind, 0))

    def wait(self) -> None:
        """See `DeviceMemory.wait`.

        ONNX Runtime computes on streams of its own, which do not wait for this one: what it is to read must be there
        before it is told to run.
        """
        self._checked(self._cuda.cudaStreamSynchronize(0))

    def _checked(self, answer: tuple[Any, ...]) -> Any:
        """The value of an answer `(error, value)`."""
        error, *values = answer
        if error:
            raise RuntimeError(f"the GPU cannot go on: {self._reason(error)}")
        return values[0] if values else None

    def _reason(self, error: Any) -> str:
        words = self._cuda.cudaGetErrorString(error)[1]
        return words.decode() if isinstance(words, bytes) else str(words)


def _release(allocated: list[tuple[Any, int]]) -> None:
    for free, pointer in allocated:
        free(pointer)


def joined(copies: Iterable[Copy]) -> Iterator[Copy]:
    """The same copies, those that continue each other as one.

    >>> list(joined([Copy(0, 100, 8), Copy(8, 108, 8), Copy(16, 300, 8)]))
    [Copy(to=0, source=100, size=16), Copy(to=16, source=300, size=8)]
    """
    pending: Copy | None = None
    for copy in copies:
        if pending and (pending.to + pending.size, pending.source + pending.size) == copy[:2]:
            pending = pending._replace(size=pending.size + copy.size)
            continue
        if pending and pending.size:
            yield pending
        pending = copy
    if pending and pending.size:
        yield pending


class Block:
    """Bytes of a device that belong to whoever holds this object; afterwards they are used again.

    Attributes:
        memory: Whose bytes they are.
        pointer: The address of the first.
    """

    def __init__(self, memory: DeviceMemory, pointer: int):
        self.memory, self.pointer = memory, pointer


class Blocks:
    """Gives out blocks, again and again the same ones: to allocate on a GPU takes longer than to copy.

    Args:
        memory: Where they are.
    """

    def __init__(self, memory: DeviceMemory):
        self.memory = memory
        self._free: dict[int, list[int]] = defaultdict(list)

    def take(self, size: int) -> Block:
        """A block of so many bytes; what is in it is left from before."""
        free, pointer = self._free[size], None
        with contextlib.suppress(IndexError):
            pointer = free.pop()
        block = Block(self.memory, self.memory.allocate(size) if pointer is None else pointer)
        weakref.finalize(block, free.append, block.pointer).atexit = False
        return block
