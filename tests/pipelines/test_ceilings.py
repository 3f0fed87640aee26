import pytest

from sensorimotor.models.execution import ONE_THREAD, Execution
from sensorimotor.pipelines import ceilings
from sensorimotor.pipelines.ceilings import Ceilings, measure_ceilings

MACHINE = Ceilings(gemm_flops_s=1e11, gemm_side=8, memory_bytes_s=1e10, copies={1000: 4e10, 10_000: 2e10})


def test_a_floor_is_whatever_takes_longer_arithmetic_or_bytes():
    assert MACHINE.floor_ms(flops=1e9, moved=1000) == pytest.approx(10.0)
    assert MACHINE.bound(1e9, 1000) == "arithmetic"
    assert MACHINE.floor_ms(flops=1e3, moved=1e9) == pytest.approx(100.0)
    assert MACHINE.bound(1e3, 1e9) == "memory"


@pytest.mark.parametrize(("moved", "bytes_s"), [(10, 4e10), (1000, 4e10), (1001, 4e10), (1100, 2e10), (20_000, 1e10)])
def test_bytes_move_as_fast_as_in_the_smallest_copy_that_is_as_large(moved, bytes_s):
    assert MACHINE.bandwidth(moved) == bytes_s


@pytest.mark.parametrize("execution", [ONE_THREAD, Execution(threads=2)])
def test_this_machine_is_measured(monkeypatch, execution):
    monkeypatch.setattr(ceilings, "SIDES", {"CPUExecutionProvider": 64})
    monkeypatch.setattr(ceilings, "MEMORY_BYTES", 2**22)
    monkeypatch.setattr(ceilings, "LONGEST_S", 0.01)
    found = measure_ceilings(execution, [4096.0, 4096.0, 0.0, 2**21])
    assert found.gemm_side == 64
    assert set(found.copies) == {4096, 2**21}
    assert 1e6 < found.gemm_flops_s < 1e15
    assert all(1e6 < speed < 1e14 for speed in (found.memory_bytes_s, *found.copies.values()))
