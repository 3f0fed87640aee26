"""A policy that runs: real threads and clocks, sensors that a test plays, and no assertion about how fast it is."""

import json
import os
import queue
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.guard_rules import parse_guard_rules
from sensorimotor.actions.guards import Guards
from sensorimotor.actions.line_actuator import LineActuator
from sensorimotor.actions.space import Box
from sensorimotor.errors import SensorError, UsageError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import State
from sensorimotor.perception.sensor import Losses, Sample, StreamEnded
from sensorimotor.pipelines.live import Live, warm_up
from sensorimotor.pipelines.trace import TraceWriter, read_trace

WAIT_S = 10.0


class Played:
    """A sensor whose samples, errors and end a test puts into a queue."""

    paced, noisy, reopens, interval_s = True, False, True, None

    def __init__(self, source="played"):
        self.source, self.losses, self.opened = source, Losses(), 0
        self._queue, self._sequence = queue.Queue(), -1

    def put(self, value):
        self._queue.put(value)

    def open(self):
        self.opened += 1

    def read(self, timeout_s):
        try:
            value = self._queue.get(timeout=min(timeout_s, 0.05))
        except queue.Empty:
            return None
        if isinstance(value, Exception):
            raise value
        self._sequence += 1
        return Sample(value, time.monotonic_ns(), self._sequence)

    def close(self):
        pass


def eventually(holds):
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        if holds():
            return True
        time.sleep(0.005)
    return False


def frame(level):
    return np.full((4, 6, 3), level, np.uint8)


class Stage:
    """A running policy with everything that a test may look at or play with."""

    def __init__(self, policy, names=("camera", "instruction"), act=None, actuator=None, rules="", **options):
        self.policy, self.sensors = policy, {name: Played(name) for name in names}
        self.commands, self.told, self.decisions = [], [], []
        guards = Guards(
            parse_guard_rules(rules),
            policy.signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in policy.signature.inputs.items()},
            period_s=0.02,
        )
        self.guards = guards
        options.setdefault("rate_hz", 50.0)
        self.live = Live(
            policy,
            self.sensors,
            actuator or CallableActuator(act or self.commands.append, "list"),
            guards,
            told=options.pop("told", self.told.append),
            watch=lambda seen, decision: self.decisions.append(decision),
            **options,
        )
        self._thread = threading.Thread(target=self.live.run)

    def __enter__(self):
        self.live.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.live.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self.live.__exit__(*error)

    def acts(self):
        return any(not command.held for command in list(self.commands))


def made_to_hang(policy):
    """Have the core hang from when the first event is set until the second is."""
    step, hangs, go_on = policy.backend.step, threading.Event(), threading.Event()

    def hanging(inputs):
        if hangs.is_set():
            assert go_on.wait(WAIT_S)
        return step(inputs)

    policy.backend.step = hanging
    return hangs, go_on


def test_it_holds_until_it_sees_and_then_acts_on_the_newest(fake):
    with Stage(fake()) as stage:
        assert eventually(lambda: len(stage.commands) > 3)
        assert all(command.held for command in list(stage.commands))
        stage.sensors["camera"].put(frame(3))
        stage.sensors["instruction"].put("go")
        assert eventually(stage.acts)
    assert stage.decisions[-1].inputs["instruction"].present
    assert stage.commands[-1].held  # the safe action is the last word
    summary = stage.live.summary()
    assert summary["decisions"] == len(stage.decisions)
    assert summary["verdicts"]["critical"]["hold"] >= 3
    assert json.loads(json.dumps(summary)) == summary


def test_a_sensor_that_is_lost_is_told_left_out_and_connected_again(fake):
    with Stage(fake(), names=("camera", "joints")) as stage:
        camera, joints = stage.sensors["camera"], stage.sensors["joints"]
        joints.put(np.zeros(2, np.float32))
        camera.put(frame(3))
        assert eventually(stage.acts)
        joints.put(SensorError("the cable is out"))
        assert eventually(lambda: any("joints lost: the cable is out" in line for line in stage.told))
        assert stage.live.health.report().state == "degraded"
        camera.put(frame(4))
        assert eventually(lambda: joints.opened == 2)
        joints.put(np.ones(2, np.float32))
        assert eventually(lambda: any("joints recovered" in line for line in stage.told))


def test_a_lost_critical_input_holds_and_its_return_goes_on(fake):
    policy = fake()
    age_s = policy.signature.inputs["camera"].max_age_s
    with Stage(policy, names=("camera",)) as stage:
        stage.sensors["camera"].put(frame(3))
        assert eventually(stage.acts)
        time.sleep(age_s)
        assert eventually(lambda: stage.commands[-1].held)
        assert "camera is" in stage.decisions[-1].verdicts[0].reason
        stage.sensors["camera"].put(frame(4))
        assert eventually(lambda: not stage.commands[-1].held)


def test_an_actuator_that_hangs_costs_commands_and_no_time(fake):
    go_on = threading.Event()
    with Stage(fake(), names=("camera",), act=lambda command: go_on.wait(WAIT_S)) as stage:
        before = len(stage.decisions)
        assert eventually(lambda: len(stage.decisions) > before + 20)
        assert eventually(lambda: stage.live.summary()["actuator"]["replaced"] > 10)
        go_on.set()


def test_an_encoder_that_hangs_holds_nobody_up(fake):
    policy = fake()
    encode, go_on, hangs = policy.backend.encode, threading.Event(), threading.Event()

    def hanging(name, values):
        if name == "joints" and hangs.is_set():
            assert go_on.wait(WAIT_S)
        return encode(name, values)

    policy.backend.encode = hanging
    with Stage(policy, names=("camera", "joints")) as stage:
        hangs.set()
        stage.sensors["joints"].put(np.zeros(2, np.float32))
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        assert not stage.decisions[-1].inputs["joints"].present
        go_on.set()
        assert eventually(lambda: stage.decisions[-1].inputs["joints"].present)


def test_an_encoder_that_always_raises_is_told_and_counted(fake):
    policy = fake()
    encode = policy.backend.encode
    with Stage(policy, names=("camera", "joints")) as stage:
        policy.backend.encode = lambda name, values: 1 / 0 if name == "joints" else encode(name, values)
        for level in range(8):
            stage.sensors["joints"].put(np.full(2, level, np.float32))
            time.sleep(0.02)
        stage.sensors["camera"].put(frame(1))
        assert eventually(lambda: stage.live.drops().get("joints", {}).get("failed", 0) >= 1)
        assert eventually(lambda: stage.live.health.report().errors >= 1)


def test_a_value_that_is_refused_is_told_and_is_no_error_of_the_policy(fake):
    with Stage(fake(), names=("camera", "joints")) as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        for _ in range(8):
            stage.sensors["joints"].put(np.zeros(3, np.float32))
        assert eventually(lambda: stage.live.drops().get("joints", {}).get("refused", 0) >= 1)
        assert eventually(lambda: stage.live.health.report().state == "degraded")
        assert sum(line.startswith("encoder of joints: input 'joints'") for line in stage.told) == 1
        stage.sensors["joints"].put(np.zeros(2, np.float32))
        assert eventually(lambda: "encoder of joints: it works again" in stage.told)
    assert stage.live.health.report().errors == 0


def test_nothing_that_a_screen_raises_ends_what_it_shows(fake):
    def broken(sentence):
        raise BrokenPipeError

    with Stage(fake(), names=("camera",), told=broken) as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        stage.sensors["camera"].put(SensorError("gone"))
        assert eventually(lambda: stage.sensors["camera"].opened == 2)
        before = len(stage.commands)
        stage.sensors["camera"].put(frame(2))
        assert eventually(lambda: not stage.commands[-1].held and len(stage.commands) > before)


def test_a_stall_is_told_and_traced_while_it_lasts(fake):
    policy = fake()
    hangs, go_on = made_to_hang(policy)
    with Stage(policy, names=("camera",)) as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        hangs.set()
        assert eventually(lambda: any("→ stalled" in line for line in stage.told))
        assert eventually(lambda: stage.commands[-1].held)
        go_on.set()


def test_a_plan_goes_on_while_the_core_hangs_and_then_it_holds(fake):
    signature = Signature(
        {"joint": State(size=1, max_age_s=60.0)}, Box([-9], [9]), Constant(np.zeros(1, np.float32)), 50.0, horizon=3
    )
    policy = fake(signature)
    hangs, go_on = made_to_hang(policy)
    with Stage(policy, names=("joint",), rules="missed_deadlines = 1", rate_hz=5.0) as stage:
        stage.sensors["joint"].put(np.full(1, 0.5, np.float32))
        assert eventually(stage.acts)
        hangs.set()
        assert eventually(lambda: stage.live.health.report().overdue > 4)
        plan, turn = stage.decisions[-1].parameters, stage.commands[-1].step
        after = [one for one in list(stage.commands) if one.step == turn]  # the one that hangs
        acted = [one.action[0] for one in after if not one.held]
        assert acted == plan[1 : 1 + len(acted)].tolist()
        assert acted
        assert all(one.held for one in after[len(acted) :])
        assert after[-1].held
        go_on.set()
    assert stage.live.summary()["carried_on"] == len(acted)


def test_the_stop_is_heard_while_the_core_hangs(fake):
    policy = fake()
    hangs, go_on = made_to_hang(policy)
    with Stage(policy, names=("camera",), rules="missed_deadlines = 1000") as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        hangs.set()
        assert eventually(lambda: stage.live.health.report().overdue > 1)
        assert not stage.commands[-1].held
        stage.guards.stop.trip("a person")
        assert eventually(lambda: stage.commands[-1].held)
        assert stage.live.health.report().state == "stopped"
        go_on.set()


def test_the_end_does_not_wait_for_a_source_that_hangs_and_is_no_stall(fake):
    hangs, go_on = threading.Event(), threading.Event()

    def hanging(timeout_s):
        hangs.set()
        assert go_on.wait(WAIT_S)

    with Stage(fake()) as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        stage.sensors["instruction"].read = hanging
        assert hangs.wait(WAIT_S)
        assert eventually(lambda: not stage.commands[-1].held)
    go_on.set()
    assert [command.held for command in stage.commands[-2:]] == [False, True]
    assert not any("stalled" in line for line in stage.told)


def test_actions_that_do_not_arrive_are_counted_and_not_healthy(fake):
    def refusing(command):
        raise RuntimeError("no power")

    with Stage(fake(), names=("camera",), act=refusing, serve=0) as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(lambda: stage.live.health.report().state == "degraded")

        def metric(name):
            with urllib.request.urlopen(f"{stage.live.served_at}/metrics", timeout=WAIT_S) as answer:
                return name in answer.read().decode()

        assert eventually(lambda: metric('sensorimotor_actuator_failures_total{cause="failed"}'))
        stage.sensors["camera"].put(frame(2))
        assert eventually(lambda: not stage.live.health.report().healthy)


def test_it_ends_when_nobody_will_take_an_action_any_more(fake):
    reading, writing = os.pipe()
    os.close(reading)
    with Stage(fake(), actuator=LineActuator(writing)) as stage:
        stage._thread.join(WAIT_S)
        assert not stage._thread.is_alive()
    os.close(writing)
    assert "nobody takes actions any more: the run ends" in stage.told


def test_words_that_the_policy_was_never_taught_are_told_once_each(tiny_policy):
    with Stage(tiny_policy) as stage:
        for text in ("go to the crimson ball", "go to the crimson teapot", "go to the red ball"):
            stage.sensors["instruction"].put(text)
        assert eventually(lambda: any("teapot" in line for line in stage.told))
    assert [line for line in stage.told if "taught" in line] == [
        "instruction: the policy was never taught the words 'crimson'",
        "instruction: the policy was never taught the words 'teapot'",
    ]


def test_it_ends_when_all_that_lasts_has_ended(fake):
    with Stage(fake()) as stage:
        stage.sensors["instruction"].put(StreamEnded("no more words"))
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        assert stage._thread.is_alive()
        stage.sensors["camera"].put(StreamEnded("no more frames"))
        stage._thread.join(WAIT_S)
        assert not stage._thread.is_alive()


def test_decisions_can_be_triggered_by_an_input(fake):
    with Stage(fake(), names=("camera",), trigger="camera") as stage:
        for level in range(5):
            before = len(stage.decisions)
            stage.sensors["camera"].put(frame(level))
            assert eventually(lambda before=before: len(stage.decisions) > before)
            assert eventually(lambda level=level: stage.decisions[-1].inputs["camera"].sequence == level)
    assert stage.live.summary()["rate_hz"]["asked"] is None


def test_a_stop_of_a_duration_and_the_trace_says_it_all(fake, tmp_path):
    policy = fake()
    from sensorimotor.clock import MonotonicClock

    trace = TraceWriter(
        tmp_path / "run.jsonl",
        policy.signature,
        policy="f",
        sensors={"camera": "rtsp://ann:secret@host/1"},
        actuator="list",
        clock=MonotonicClock(),
        told=lambda line: None,
    )
    with Stage(policy, names=("camera",), observers=[trace]) as stage:
        stage.sensors["camera"].put(frame(1))
        assert eventually(stage.acts)
        stage.sensors["camera"].put(SensorError("gone"))
        assert eventually(lambda: any("camera lost" in line for line in stage.told))
        assert eventually(lambda: len(stage.decisions) > 5)
    trace.close()
    lines = [line.record for line in read_trace(tmp_path / "run.jsonl")]
    assert "secret" not in (tmp_path / "run.jsonl").read_text()
    states = [line["state"] for line in lines if line.get("what") == "input"]
    assert states[:2] == ["live", "lost"]
    assert any(line.get("what") == "health" for line in lines)
    assert sum(line["kind"] == "decision" for line in lines) == len(stage.decisions)


def test_health_is_served_and_means_it(fake):
    with Stage(fake(), names=("camera",), serve=0) as stage:
        url = stage.live.served_at

        def healthy():
            try:
                return urllib.request.urlopen(f"{url}/healthz", timeout=WAIT_S).status == 200
            except urllib.error.HTTPError:
                return False

        assert not healthy()
        stage.sensors["camera"].put(frame(1))
        assert eventually(healthy)
        metrics = urllib.request.urlopen(f"{url}/metrics", timeout=WAIT_S).read().decode()
        assert 'sensorimotor_input_age_seconds_count{input="camera"}' in metrics
        assert eventually(lambda: not healthy())  # the camera is silent: it holds


def test_a_run_lasts_as_long_as_it_is_told(fake):
    stage = Stage(fake(), names=("camera",))
    with stage.live as live:
        live.run(duration_s=0.2)
    assert 1 <= len(stage.decisions) <= 10  # at 50 Hz, the first at once


def test_warming_up_leaves_no_memory(fake):
    policy = fake()
    took = warm_up(policy)
    assert min(took.first, took.warm, took.after_idle) > 0
    assert policy.memory("warm up").tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("names", "options", "what"),
    [
        (("lidar",), {}, "no input lidar; it has camera"),
        ((), {}, "nothing is connected"),
        (("camera",), {"trigger": "mic"}, "cannot be triggered by 'mic'"),
    ],
)
def test_what_cannot_be_run_is_refused(fake, names, options, what):
    with pytest.raises(UsageError, match=what):
        Stage(fake(), names=names, **options)
