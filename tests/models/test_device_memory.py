import gc
import sys

import numpy as np
import pytest

from sensorimotor.errors import MissingExtraError, UsageError
from sensorimotor.models.device_memory import ALIGNMENT, Blocks, Copy, CudaMemory, HostMemory, joined


@pytest.fixture(params=["host", "cuda"])
def memory(request, fake_cuda):
    return HostMemory() if request.param == "host" else CudaMemory(fake_cuda)


def test_bytes_go_to_the_device_and_come_back(memory):
    there, sent, back = memory.allocate(1000), memory.page_locked(1000), memory.page_locked(1000)
    sent[:] = np.arange(1000) % 256
    memory.start([Copy(there, sent.ctypes.data, 1000)])
    memory.wait()
    memory.start([Copy(back.ctypes.data, there, 1000)])
    memory.wait()
    assert np.array_equal(back, sent)


def test_memory_is_aligned_as_a_gpu_wants_it_and_may_be_nothing(memory):
    assert memory.allocate(3) % ALIGNMENT == memory.page_locked(3).ctypes.data % ALIGNMENT == 0
    assert memory.page_locked(0).shape == (0,)
    memory.start([Copy(memory.allocate(0), memory.allocate(0), 0)])
    memory.wait()


def test_copies_that_continue_each_other_are_one_and_others_stay_in_order():
    assert list(joined([])) == []
    assert list(joined([Copy(0, 50, 0)])) == []
    assert list(joined([Copy(0, 50, 4), Copy(4, 54, 4), Copy(8, 58, 2)])) == [Copy(0, 50, 10)]
    apart = [Copy(0, 50, 4), Copy(4, 60, 4), Copy(20, 64, 4), Copy(0, 50, 4)]
    assert list(joined(apart)) == apart


def test_a_block_that_nobody_holds_any_more_is_given_out_again(memory):
    blocks = Blocks(memory)
    one, other = blocks.take(64), blocks.take(64)
    first = one.pointer
    assert other.pointer != first
    del one
    gc.collect()
    assert blocks.take(128).pointer != first
    assert blocks.take(64).pointer == first
    assert blocks.take(64).pointer != other.pointer


def test_memory_lives_as_long_as_a_block_of_it_and_no_longer(fake_cuda):
    memory = CudaMemory(fake_cuda)
    block = Blocks(memory).take(64)
    host = memory.page_locked(10)[2:4]
    del memory
    gc.collect()
    assert len(fake_cuda.allocated) == 2
    del block
    gc.collect()
    assert len(fake_cuda.allocated) == 1
    del host
    gc.collect()
    assert not fake_cuda.allocated


def test_where_there_is_no_gpu_a_sentence_says_so(fake_cuda):
    fake_cuda.count = 0
    with pytest.raises(UsageError, match="no NVIDIA GPU can be used here.*there is none.*nvidia-smi"):
        CudaMemory(fake_cuda)


def test_a_driver_that_is_too_old_is_named(fake_cuda):
    fake_cuda.error, fake_cuda.count = 35, None
    with pytest.raises(UsageError, match="CUDA driver version is insufficient.*or use the device cpu"):
        CudaMemory(fake_cuda)


def test_without_the_package_it_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(MissingExtraError, match=r"cuda-bindings.*sensorimotor\[gpu\]"):
        CudaMemory()


def test_a_gpu_that_fails_is_not_taken_for_one_that_is_done(fake_cuda):
    memory = CudaMemory(fake_cuda)
    fake_cuda.failing = 700
    with pytest.raises(RuntimeError, match="the GPU cannot go on: an illegal memory access"):
        memory.start([Copy(memory.allocate(8), memory.allocate(8), 8)])
