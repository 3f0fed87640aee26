"""What tests of models share: a GPU that is none, whose copies happen as late as they may."""

# ruff: noqa: N802, N815 (names are those of CUDA)
import ctypes

import numpy as np
import pytest

from sensorimotor.models.device_memory import CudaMemory

GARBAGE = 0xA5


class FakeCuda:
    """As much of `cuda.bindings.runtime` as is used, in the memory of the host.

    A copy takes place when it is waited for, from what is there by then: who does not wait, or changes what is being
    copied, gets something else. Fresh and freed memory is full of garbage.
    """

    cudaHostAllocDefault = 0

    class cudaMemcpyKind:  # noqa: N801
        cudaMemcpyDefault = 4

    def __init__(self, count=1, error=0):
        self.count, self.error = count, error
        self.allocated, self.pending, self.copied, self.failing = {}, [], [], 0

    def cudaGetDeviceCount(self):
        return self.error, self.count

    def cudaGetErrorString(self, error):
        return 0, {35: b"CUDA driver version is insufficient", 700: b"an illegal memory access"}[error]

    def cudaMalloc(self, size):
        array = np.full(size + 256, GARBAGE, np.uint8)
        pointer = array.ctypes.data + -array.ctypes.data % 256
        self.allocated[pointer] = array
        return 0, pointer

    def cudaHostAlloc(self, size, flags):
        return self.cudaMalloc(size)

    def cudaFree(self, pointer):
        self.allocated.pop(pointer)[:] = GARBAGE
        return (0,)

    cudaFreeHost = cudaFree

    def cudaMemcpyAsync(self, to, source, size, kind, stream):
        self.pending.append((to, source, size))
        return (self.failing,)

    def cudaStreamSynchronize(self, stream):
        for to, source, size in self.pending:
            ctypes.memmove(to, source, size)
        self.copied += self.pending
        self.pending = []
        return (0,)


@pytest.fixture
def fake_cuda():
    return FakeCuda()


@pytest.fixture
def late_memory(fake_cuda):
    """Memory of a GPU whose kernels run on the processor: for sessions of the CPU provider."""
    memory = CudaMemory(fake_cuda)
    memory.device = "cpu"
    return memory
