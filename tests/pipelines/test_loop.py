import json

import numpy as np
import pytest

from sensorimotor.actions.guard_rules import parse_guard_rules
from sensorimotor.actions.guards import Guards
from sensorimotor.actions.space import Box
from sensorimotor.clock import ManualClock
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception import modality
from sensorimotor.pipelines.health import ErrorBudget, Health, State
from sensorimotor.pipelines.loop import Loop
from sensorimotor.pipelines.senses import Perceived
from sensorimotor.pipelines.tally import Tally
from sensorimotor.pipelines.trace import TraceWriter, read_trace

PERIOD_S = 0.1


class Running:
    """A loop whose commands are kept, on a clock that stands still."""

    def __init__(self, policy, rules="", trace=None, budget=None):
        self.policy, self.clock, self.commands, self.watched = policy, ManualClock(10**9), [], []
        self.guards = Guards(
            parse_guard_rules(rules),
            policy.signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in policy.signature.inputs.items()},
            period_s=PERIOD_S,
        )
        self.health = Health(self.clock, PERIOD_S, budget=budget)
        self.tally = Tally(policy.signature.names, self.clock, 1 / PERIOD_S)
        self.tell = []
        self.trace = trace and TraceWriter(
            trace, policy.signature, policy="f", sensors={}, actuator="list", clock=self.clock, told=self.tell.append
        )
        self.loop = Loop(
            policy,
            self.guards,
            self.health,
            clock=self.clock,
            period_s=PERIOD_S,
            deliver=self.commands.append,
            tally=self.tally,
            observers=[self.trace] if self.trace else [],
            watch=lambda seen, decision: self.watched.append((seen, decision)),
        )

    def turn(self, observation, ages_s=None):
        now_ns = self.clock.now_ns()
        decision = self.loop.turn(Perceived(observation, ages_s or {}, {}, {}), now_ns)
        self.clock.advance(PERIOD_S)
        return decision


@pytest.fixture
def running(fake):
    def make(rules="", **options):
        gains = {"gain": options.pop("gain")} if "gain" in options else {}
        return Running(fake(**gains), rules, **options)

    return make


def test_what_the_policy_selects_is_handed_over_with_a_time_to_live(running, fake, seen):
    run = running()
    decision = run.turn(seen)
    expected = fake().act(seen)
    command = run.commands[0]
    assert (command.action, command.label, command.held) == (expected.executed, expected.label, False)
    assert (command.step, command.decided_ns, command.expires_ns) == (0, 10**9, 10**9 + 10**8)
    assert decision.executed == decision.selected
    assert run.health.report().state is State.RUNNING
    assert run.watched[0][1] is decision


def test_without_anything_sensed_the_safe_action_is_executed(running):
    run = running()
    decision = run.turn({})
    assert decision.held
    assert (run.commands[0].label, run.commands[0].held) == ("wait", True)
    assert "nothing is sensed" in run.health.report().reasons[0]


def test_a_critical_input_that_is_missing_or_old_holds(running, seen):
    run = running()
    without = {name: value for name, value in seen.items() if name != "camera"}
    assert run.turn(without).held
    assert run.turn(seen, {"camera": 5.0}).held
    assert not run.turn(seen).held
    assert [command.label for command in run.commands[:2]] == ["wait", "wait"]
    assert run.tally.holds() == {"critical": 2}


def test_an_exception_costs_one_decision(running, seen):
    run = running()
    step = run.policy.backend.step

    def broken(inputs):
        raise RuntimeError("device lost")

    run.policy.backend.step = broken
    decision = run.turn(seen)
    assert decision.held
    assert decision.verdicts[0].reason == "RuntimeError: device lost"
    assert run.commands[0].label == "wait"
    run.policy.backend.step = step
    assert not run.turn(seen).held
    assert run.tally.errors == 1


def test_too_many_exceptions_hold_until_enough_decisions_were_good(running, seen):
    run = running(budget=ErrorBudget(errors=2, window_s=10.0, good=3))
    step = run.policy.backend.step
    run.policy.backend.step = lambda inputs: 1 / 0
    for _ in range(3):
        run.turn(seen)
    run.policy.backend.step = step
    held = [run.turn(seen).held for _ in range(5)]
    assert held == [True, True, True, False, False]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_never_executed(running, seen, value):
    run = running()
    run.policy.backend.spoil = lambda output: output._replace(parameters=output.parameters * value)
    assert run.turn(seen).held
    assert run.commands[0].label == "wait"


def test_an_action_that_is_not_allowed_is_selected_and_not_executed(running, fake, seen):
    label = fake().act(seen).label
    run = running(rules=f'allow = ["wait", "{"go" if label != "go" else "turn"}"]')
    decision = run.turn(seen)
    assert decision.held
    assert (decision.selected, decision.executed) == (fake().act(seen).selected, 0)


def test_the_stop_holds_until_it_is_reset(running, seen):
    run = running()
    run.guards.stop.trip("key pressed")
    assert run.turn(seen).held
    assert run.health.report().state is State.STOPPED
    run.guards.stop.reset()
    assert not run.turn(seen).held
    assert run.health.report().state is State.RUNNING


def test_the_trace_has_what_was_selected_and_what_was_executed(running, seen, tmp_path):
    run = running(trace=tmp_path / "run.jsonl")
    run.turn(seen, {"joints": 0.25})
    run.guards.stop.trip("key pressed")
    run.turn(seen)
    header, first, second = (line.record for line in read_trace(tmp_path / "run.jsonl"))
    assert header["policy"] == "f"
    assert first["inputs"]["joints"]["age_s"] == 0.25
    assert (first["turn"], first["selected"], first["executed"]) == (0, first["executed"], first["selected"])
    assert second["executed"] == 0
    assert second["verdicts"][-1] == {"guard": "stop", "verdict": "stop", "reason": "key pressed"}
    assert json.loads(json.dumps(run.tally.to_json(missed=0, drops={})))["verdicts"] == {"stop": {"stop": 1}}


def test_at_the_end_there_is_the_safe_action_which_does_not_expire(running, seen):
    run = running()
    last = run.loop.last(Perceived(seen, {}, {}, {}))
    assert (last.label, last.held) == ("wait", True)
    assert last.expires_ns > 2**62


PLANNING = Signature(
    {"joint": modality.State(size=1, critical=True, max_age_s=1.0)},
    Box([-9], [9], ("turn",), ("rad",)),
    Constant(np.zeros(1, np.float32)),
    1 / PERIOD_S,
    horizon=3,
)


@pytest.fixture
def planning(fake):
    """A loop whose policy plans three steps ahead, after its first turn."""

    def make(rules="", **options):
        run = Running(fake(PLANNING), rules, **options)
        run.seen = {"joint": np.full(1, 0.5, np.float32)}
        run.plan = run.turn(run.seen).parameters
        return run

    return make


def perceived(observation, ages_s=None):
    return Perceived(observation, ages_s or {}, {}, {})


def test_what_is_left_of_a_plan_is_executed_while_no_decision_comes(planning):
    run = planning()
    assert [run.loop.carry_on(perceived(run.seen), missed) for missed in (1, 1, 2, 2, 3)] == [True] * 4 + [False]
    assert [command.action[0] for command in run.commands] == [run.plan[i] for i in range(3)]
    assert [(command.step, command.held) for command in run.commands] == [(0, False), (1, False), (1, False)]
    assert run.commands[1].expires_ns == run.clock.now_ns() + 10**8
    run.turn(run.seen)
    assert run.loop.carry_on(perceived(run.seen), 1)  # of the new plan
    assert len(run.commands) == 5
    assert run.tally.to_json(missed=3, drops={})["carried_on"] == 3


def test_guards_judge_what_is_left_of_a_plan_by_what_is_known_now(planning):
    run = planning("limits.turn = { high = 0.01, low = -0.01 }")
    run.loop.carry_on(perceived(run.seen), 1)
    assert abs(run.commands[-1].action[0]) <= 0.01
    run.loop.carry_on(perceived(run.seen, {"joint": 1.5}), 2)
    assert (run.commands[-1].held, run.commands[-1].action[0]) == (True, 0.0)
    run = planning()
    run.guards.stop.trip("a person")
    run.loop.carry_on(perceived(run.seen), 1)
    assert run.commands[-1].held


def test_a_rate_counts_from_what_was_executed_of_a_plan(planning):
    run = planning("rate.turn = 0.5")
    run.loop.carry_on(perceived(run.seen), 1)
    before = run.commands[-1].action[0]
    run.clock.advance(PERIOD_S)
    run.turn(run.seen)
    assert abs(run.commands[-1].action[0] - before) <= 0.5 * 2 * PERIOD_S + 1e-6


def test_a_plan_is_not_carried_on_without_one_nor_when_errors_make_it_hold(planning, running, seen):
    run = running()
    run.turn(seen)
    assert not run.loop.carry_on(perceived(seen), 1)
    run = planning(budget=ErrorBudget(errors=0, window_s=10, good=1))
    run.health.failed("a stage")
    assert not run.loop.carry_on(perceived(run.seen), 1)


def test_the_trace_has_what_was_carried_on(planning, tmp_path):
    run = planning(trace=tmp_path / "trace.jsonl")
    run.loop.carry_on(perceived(run.seen), 2)
    event = [line.record for line in read_trace(tmp_path / "trace.jsonl") if line.kind == "event"][-1]
    assert (event["what"], event["turn"], event["missed"], event["step"]) == ("carried on", 1, 2, 2)
    assert event["selected"] == event["executed"] == [pytest.approx(run.plan[2])]


def test_a_plan_does_not_wait_for_turns_that_fail(planning):
    run = planning()
    run.policy.backend.spoil = lambda output: 1 / 0
    assert run.turn(run.seen).held
    assert run.loop.carry_on(perceived(run.seen), 1)
    assert run.commands[-1].action[0] == run.plan[2]  # the second would have been for the turn that failed
    assert not run.loop.carry_on(perceived(run.seen), 2)
