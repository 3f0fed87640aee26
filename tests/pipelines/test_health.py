import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.clock import ManualClock
from sensorimotor.pipelines.health import ErrorBudget, Health, State

BUDGET = ErrorBudget(errors=2, window_s=1.0, good=3)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    return Health(clock, 0.1, stalled_after=5, budget=BUDGET)


def state(health):
    return health.report().state


def test_before_its_first_decision_it_holds_and_never_stalls(health, clock):
    clock.advance(60)
    report = health.report()
    assert (report.state, report.reasons) == (State.HOLDING, ("it has not decided yet",))
    assert (report.since_decision_s, report.since_action_s, report.healthy) == (None, None, False)


def test_while_it_decides_it_runs(health, clock):
    for _ in range(20):
        health.decided()
        clock.advance(0.1)
    report = health.report()
    assert (report.state, report.reasons, report.healthy) == (State.RUNNING, (), True)
    assert (report.decisions, report.errors) == (20, 0)
    assert report.since_decision_s == pytest.approx(0.1)


def test_without_decisions_for_too_many_periods_it_has_stalled_until_the_next_one(health, clock):
    health.decided()
    clock.advance(0.5)
    assert (state(health), health.report().healthy) == (State.RUNNING, True)
    clock.advance(0.001)
    assert (state(health), health.report().healthy) == (State.STALLED, False)
    assert health.report().reasons == ("no decision for 0.5 s",)
    health.decided()
    assert (state(health), health.report().healthy) == (State.RUNNING, True)


def test_a_stall_that_nobody_looked_at_is_noted_all_the_same(health, clock):
    health.decided()
    clock.advance(3)
    health.decided()
    changes = [(change.at_ns / 1e9, change.before, change.after) for change in health.transitions()]
    assert changes == [
        (0.0, State.HOLDING, State.RUNNING),
        (3.0, State.RUNNING, State.STALLED),
        (3.0, State.STALLED, State.RUNNING),
    ]


def test_what_fails_beside_the_loop_costs_no_decision_but_counts_in_the_budget(health, clock):
    health.decided()
    for _ in range(BUDGET.errors):
        health.failed("encoding mic", decision=False)
    assert state(health) == State.RUNNING
    health.failed("encoding mic", decision=False)
    assert state(health) == State.HOLDING
    assert "encoding mic" in health.must_hold
    clock.advance(0.6)
    health.failed("encoding mic", decision=False)
    assert state(health) == State.STALLED  # another thread that fails is no sign of life of the loop


def test_it_is_not_healthy_for_long_while_nothing_that_is_decided_is_carried_out(health, clock):
    health.decided()
    health.impair("actuator", "gone", idle=True)
    for _ in range(6):
        clock.advance(0.1)
        health.decided()
    assert (state(health), health.report().healthy) == (State.DEGRADED, False)
    assert health.report().since_action_s == pytest.approx(0.6)
    health.mend("actuator")
    health.decided()
    assert (state(health), health.report().healthy) == (State.RUNNING, True)


def test_what_is_impaired_degrades_it_until_it_is_mended(health):
    health.decided()
    health.impair("camera", "late")
    health.impair("actuator", "refused")
    assert state(health) == State.DEGRADED
    assert health.report().reasons == ("camera: late", "actuator: refused")
    assert health.report().healthy
    health.impair("camera", "lost")
    health.mend("actuator")
    health.mend("microphone")
    assert health.report().reasons == ("camera: lost",)
    health.mend("camera")
    assert state(health) == State.RUNNING


def test_a_decision_that_was_held_makes_it_hold_until_the_next_that_was_not(health):
    health.decided()
    health.decided("staleness: camera is missing")
    assert (state(health), health.report().reasons) == (State.HOLDING, ("staleness: camera is missing",))
    assert health.report().healthy  # for now
    health.decided()
    assert state(health) == State.RUNNING


def test_one_that_holds_for_long_is_not_healthy_though_it_decides(health, clock):
    health.decided()
    for _ in range(6):
        clock.advance(0.1)
        health.decided("critical: camera is missing")
    report = health.report()
    assert (report.state, report.healthy) == (State.HOLDING, False)
    assert report.since_decision_s == 0
    assert report.since_action_s == pytest.approx(0.6)


def test_an_error_costs_one_decision(health, clock):
    health.decided()
    health.failed(ValueError("no frame"))
    assert (state(health), health.report().reasons) == (State.HOLDING, ("ValueError: no frame",))
    assert health.must_hold == ""
    health.decided()
    assert (state(health), health.report().errors) == (State.RUNNING, 1)


def test_more_errors_than_the_budget_make_it_hold_until_enough_good_decisions_in_a_row(health, clock):
    for _ in range(3):
        health.failed("encoder")
    assert health.must_hold == "more than 2 errors in 1 s, the last: encoder"
    health.decided()
    health.decided()
    health.failed("encoder")
    health.decided()
    health.decided()
    assert health.must_hold
    assert state(health) == State.HOLDING
    health.decided()
    assert not health.must_hold
    assert state(health) == State.RUNNING


def test_after_it_was_forgiven_the_whole_budget_is_there_again(health):
    for _ in range(3):
        health.failed("encoder")
    health.reset()
    assert not health.must_hold
    health.failed("encoder")
    health.failed("encoder")
    assert not health.must_hold
    health.failed("encoder")
    assert health.must_hold


def test_errors_that_are_far_apart_never_use_up_the_budget(health, clock):
    for _ in range(50):
        health.failed("encoder")
        clock.advance(0.51)
    assert not health.must_hold
    assert health.report().errors == 50


def test_one_that_fails_for_ever_holds_and_has_not_stalled(health, clock):
    health.decided()
    for _ in range(20):
        clock.advance(0.1)
        health.failed("encoder")
    assert state(health) == State.HOLDING
    assert not health.report().healthy
    clock.advance(1)
    assert state(health) == State.STALLED


def test_once_stopped_it_is_stopped_whatever_else_is_true_until_the_reset(health, clock):
    health.decided()
    health.impair("camera", "lost")
    health.stop("key pressed")
    clock.advance(60)
    report = health.report()
    assert (report.state, report.healthy) == (State.STOPPED, False)
    assert report.reasons == ("key pressed", "no decision for 60.0 s", "camera: lost")
    health.decided("stop: key pressed")
    assert state(health) == State.STOPPED
    health.stop(None)
    health.decided()
    assert state(health) == State.DEGRADED


def test_changes_of_state_are_told_once_each_with_the_reason(health, clock):
    health.decided()
    health.decided()
    clock.advance(0.2)
    health.impair("camera", "late")
    told = health.transitions()
    assert [(change.after, change.reason) for change in told] == [(State.RUNNING, ""), (State.DEGRADED, "camera: late")]
    assert told[1].at_ns == 200_000_000
    assert health.transitions() == []


def test_the_report_is_json(health):
    health.decided()
    assert json.loads(json.dumps(health.report().to_json())) == {
        "state": "running",
        "healthy": True,
        "reasons": [],
        "since_decision_s": 0.0,
        "since_action_s": 0.0,
        "decisions": 1,
        "errors": 0,
        "overdue": 0,
    }


@pytest.mark.parametrize("wrong", [{"errors": -1}, {"window_s": 0}, {"window_s": float("nan")}, {"good": 0}])
def test_a_budget_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="a budget has"):
        ErrorBudget(**wrong)


def test_a_budget_of_no_errors_holds_at_the_first(clock):
    health = Health(clock, 0.1, budget=ErrorBudget(errors=0))
    health.failed("encoder")
    assert health.must_hold


def test_threads_may_tell_and_ask_at_once(health):
    def tell(name):
        for _ in range(500):
            health.decided()
            health.impair(name, "late")
            health.report()
            health.mend(name)

    threads = [threading.Thread(target=tell, args=(f"input{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = health.report()
    assert (report.decisions, report.state) == (2000, State.RUNNING)


steps = st.sampled_from(["decided", "held", "failed", "impair", "mend", "stop", "go", "reset", "wait"])


@given(st.lists(steps, max_size=60))
def test_in_any_order_of_events_it_never_claims_to_be_well_without_acting(events):
    clock = ManualClock()
    health = Health(clock, 0.1, stalled_after=5, budget=BUDGET)
    acted, stopped, before = None, False, State.HOLDING
    for event in events:
        match event:
            case "decided":
                health.decided()
                acted = clock.now_ns()
            case "held":
                health.decided("guard")
            case "failed":
                health.failed("encoder")
            case "impair":
                health.impair("camera", "late")
            case "mend":
                health.mend("camera")
            case "stop":
                health.stop("key")
                stopped = True
            case "go":
                health.stop(None)
                stopped = False
            case "reset":
                health.reset()
            case "wait":
                clock.advance(0.2)
        report = health.report()
        recent = acted is not None and clock.now_ns() - acted <= 500_000_000
        assert report.healthy <= (recent and not stopped)
        assert (report.state == State.STOPPED) == stopped
        assert (report.state == State.RUNNING) == (not report.reasons)
        for change in health.transitions():
            assert change.before == before
            before = change.after
        assert before == report.state
