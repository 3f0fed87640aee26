import pytest

from sensorimotor.actions.decision import Decision
from sensorimotor.clock import ManualClock
from sensorimotor.pipelines.tally import RECENT, Tally

DECISION = Decision("f00d", "main", 0, 0, 0, "go", None, None, None, {})


def counted(decisions, period_s, clock=None):
    """A tally of decisions that came at an even rate, the last one just now."""
    clock = clock or ManualClock()
    tally = Tally((), clock, 1 / period_s)
    for number in range(decisions):
        clock.advance(period_s if number else 0.0)
        tally.turned(DECISION, 0.1)
    return tally


@pytest.mark.parametrize("decisions", [2, 3, 1000])
def test_the_rate_that_is_held_is_the_one_that_was_asked_for_after_few_decisions_too(decisions):
    tally = counted(decisions, 0.1)
    assert tally.rate_hz() == pytest.approx(10.0)
    assert tally.recent_hz() == pytest.approx(10.0)


@pytest.mark.parametrize("decisions", [0, 1])
def test_there_is_no_rate_before_the_second_decision(decisions):
    assert counted(decisions, 0.1).recent_hz() is None
    assert counted(decisions, 0.1).rate_hz() == 0.0


def test_the_rate_of_late_forgets_what_was_long_ago_and_sinks_while_nothing_comes():
    clock = ManualClock()
    tally = counted(1000, 0.1, clock)
    for _ in range(RECENT):
        clock.advance(0.5)
        tally.turned(DECISION, 0.1)
    assert tally.recent_hz() == pytest.approx(2.0)
    assert tally.rate_hz() > 8.0
    clock.advance(1000.0)
    assert tally.recent_hz() < 0.1
