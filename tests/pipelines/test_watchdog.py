import threading

import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.pipelines.health import Health, State
from sensorimotor.pipelines.watchdog import Watchdog


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    return Health(clock, 0.1, stalled_after=5)


def test_it_acts_while_a_decision_is_overdue_and_only_then(health, clock):
    called = []
    watchdog = Watchdog(health, called.append, every_s=60)
    clock.advance(9)
    watchdog.look()  # nothing was decided yet: it may still be loading
    health.decided()
    watchdog.look()
    assert called == []
    clock.advance(1)
    watchdog.look()
    clock.advance(1)
    watchdog.look()
    assert [report.overdue for report in called] == [9, 19]
    assert [report.reasons[0] for report in called] == ["no decision for 1.0 s", "no decision for 2.0 s"]
    health.decided()
    clock.advance(0.14)  # turns do not always take the same time
    watchdog.look()
    assert len(called) == 2
    clock.advance(0.02)
    watchdog.look()
    assert (called[2].overdue, called[2].state) == (1, State.RUNNING)


def test_what_the_call_raises_does_not_end_the_watch_nor_the_stall(health, clock):
    def refuse(_reason):
        raise RuntimeError("no way to hold")

    watchdog = Watchdog(health, refuse, every_s=60)
    health.decided()
    clock.advance(1)
    watchdog.look()
    watchdog.look()
    assert health.report().state == State.STALLED
    assert "watchdog: RuntimeError: no way to hold" in health.report().reasons


def test_its_thread_sees_a_loop_that_hangs_and_ends_when_told(health, clock):
    seen = threading.Event()
    with Watchdog(health, lambda _reason: seen.set(), every_s=0.001) as watchdog:
        health.decided()
        clock.advance(1)
        assert seen.wait(30)
    assert not watchdog._thread.is_alive()
    watchdog.close()


def test_it_can_be_closed_without_having_begun(health):
    Watchdog(health, print, every_s=60).close()
