import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.errors import UsageError
from sensorimotor.pipelines.ticker import Ticker

MS = 1_000_000


def ticking(period_s=0.1, oversleeps_s=0.0):
    clock = ManualClock()
    ticker = Ticker(period_s, clock, lambda left_s: clock.advance(left_s + oversleeps_s))
    return clock, ticker


def test_deadlines_lie_a_period_apart_however_long_turns_take():
    clock, ticker = ticking()
    deadlines = []
    for work_s in (0.0, 0.09, 0.01, 0.05):
        deadlines.append(ticker.wait())
        clock.advance(work_s)
    assert deadlines == [0, 100 * MS, 200 * MS, 300 * MS]
    assert ticker.missed == 0


def test_sleeping_too_long_does_not_add_up():
    _, ticker = ticking(oversleeps_s=0.004)
    assert [ticker.wait() for _ in range(1000)][-1] == 999 * 100 * MS


def test_deadlines_that_have_passed_are_missed_and_do_not_pile_up():
    clock, ticker = ticking()
    ticker.wait()
    clock.advance(0.35)
    assert ticker.wait() == 400 * MS
    assert ticker.missed == 3
    assert ticker.wait() == 500 * MS
    assert ticker.missed == 3


def test_a_turn_of_exactly_a_period_misses_nothing():
    clock, ticker = ticking()
    for turn in range(5):
        assert ticker.wait() == turn * 100 * MS
        clock.advance(0.1)
    assert ticker.missed == 0


def test_a_stopped_ticker_ticks_no_more():
    _, ticker = ticking()
    ticker.wait()
    ticker.stop()
    assert ticker.wait() is None


@pytest.mark.parametrize("period_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_period_is_a_positive_time(period_s):
    with pytest.raises(UsageError, match="a period is a positive number of seconds"):
        Ticker(period_s, ManualClock())
