import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.clock import ManualClock, MonotonicClock


def test_the_monotonic_clock_is_that_of_the_machine(monkeypatch):
    monkeypatch.setattr(time, "monotonic_ns", lambda: 42)
    assert MonotonicClock().now_ns() == 42


def test_the_monotonic_clock_never_goes_back():
    clock = MonotonicClock()
    readings = [clock.now_ns() for _ in range(100)]
    assert readings == sorted(readings)


def test_a_manual_clock_stands_still_until_it_is_moved():
    clock = ManualClock(start_ns=7)
    assert [clock.now_ns(), clock.now_ns()] == [7, 7]
    clock.advance(1.5)
    assert clock.now_ns() == 1_500_000_007


@given(st.lists(st.integers(0, 10**12)))
def test_a_manual_clock_adds_up_its_moves_without_drift(moves_us):
    clock = ManualClock()
    for move_us in moves_us:
        clock.advance(move_us / 1e6)
    assert clock.now_ns() == sum(moves_us) * 1000


@pytest.mark.parametrize("duration_s", [-1e-9, -1.0, float("-inf"), float("nan")])
def test_a_manual_clock_refuses_to_go_back_and_stays_where_it_is(duration_s):
    clock = ManualClock(start_ns=5)
    with pytest.raises(ValueError, match=r"never goes back|NaN"):
        clock.advance(duration_s)
    assert clock.now_ns() == 5
