"""What a run recorded and traced is replayed: the same values in, the same actions out."""

import json
import queue
import threading
import time

import numpy as np
import pytest

from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.guard_rules import parse_guard_rules
from sensorimotor.actions.guards import Guards
from sensorimotor.actions.space import Box, Discrete
from sensorimotor.clock import MonotonicClock
from sensorimotor.errors import DataError, GuardError, TraceError
from sensorimotor.models.signature import ActuatorHold, HoldPosition, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.sensor import Losses, Sample
from sensorimotor.pipelines.live import Live
from sensorimotor.pipelines.retrace import retrace
from sensorimotor.pipelines.run_recording import BackgroundRecording, RunRecording
from sensorimotor.pipelines.trace import TraceWriter, read_trace

WAIT_S = 20.0
RATE_HZ = 50.0


BOX = Box([-1, -1, -1], [1, 1, 1], ("x", "y", "z"), ("m", "m", "m"))


def everything(action_space=None, safe=None):
    """A signature with inputs of every kind."""
    return Signature(
        {
            "camera": Image(height=5, width=7),
            "grey": Image(height=4, width=4, channels=1, max_age_s=0.1),
            "film": Image(height=4, width=6, frames=3),
            "mic": Audio(sample_rate=4000, seconds=1.0, mode="utterance"),
            "window": Audio(sample_rate=4000, seconds=0.2, channels=2),
            "instruction": Text(max_tokens=8),
            "joints": State(size=3, max_age_s=0.1),
            "never": State(size=1),
        },
        action_space or BOX,
        safe or HoldPosition("joints"),
        10.0,
    )


class Played:
    """A sensor whose samples a test puts into a queue."""

    paced, noisy, reopens, interval_s = True, False, False, None

    def __init__(self, source):
        self.source, self.losses = source, Losses()
        self._queue, self._sequence = queue.Queue(), -1
        self.put = self._queue.put

    def open(self):
        pass

    def read(self, timeout_s):
        try:
            value = self._queue.get(timeout=min(timeout_s, 0.02))
        except queue.Empty:
            return None
        if isinstance(value, Exception):
            raise value
        self._sequence += 1
        return Sample(value, time.monotonic_ns(), self._sequence)

    def close(self):
        pass


class Stage:
    """A live policy that is traced and recorded."""

    def __init__(self, policy, path, names, rules="", limit_bytes=2**28):
        self.policy, self.path, self.told, self.decisions = policy, path, [], []
        self.sensors = {name: Played(name) for name in names}
        clock = MonotonicClock()
        parsed = parse_guard_rules(rules)
        self.guards = Guards(
            parsed,
            policy.signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in policy.signature.inputs.items()},
            period_s=1 / RATE_HZ,
        )
        self.trace = TraceWriter(
            path / "run.jsonl",
            policy.signature,
            policy=policy.fingerprint,
            sensors=dict.fromkeys(names, "played"),
            actuator="list",
            clock=clock,
            told=self.told.append,
            more={"rate_hz": RATE_HZ, "guards": parsed.model_dump(mode="json", exclude_defaults=True)},
        )
        self.recording = RunRecording(
            path / "recording",
            policy.signature,
            names,
            rate_hz=RATE_HZ,
            target="list",
            told=self.told.append,
            committed=lambda stream, episode: self.trace.event("recorded", stream=stream, episode=episode),
        )
        self.keeper = BackgroundRecording(self.recording, self.told.append, limit_bytes)
        self.live = Live(
            policy,
            self.sensors,
            CallableActuator(lambda command: None, "list"),
            self.guards,
            rate_hz=RATE_HZ,
            observers=[self.trace],
            told=self.told.append,
            watch=lambda seen, decision: self.decisions.append(decision),
            keeper=self.keeper,
            clock=clock,
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
        self.keeper.close()
        self.trace.close()

    def wait(self, decisions):
        until_s, goal = time.monotonic() + WAIT_S, len(self.decisions) + decisions
        while len(self.decisions) < goal:
            assert time.monotonic() < until_s
            time.sleep(0.005)


def play(stage, rounds, seed=0):
    """Sensors that come and go, each at its own pace: faster and slower than decisions, with pauses."""
    rng = np.random.default_rng(seed)
    sensors = stage.sensors
    for number in range(rounds):
        if number >= 4 and number % 3:  # slower than the decisions, and late at first
            sensors["camera"].put(rng.integers(0, 256, (5, 7, 3), np.uint8))
        if number % 20 < 8:  # absent for a while, again and again
            sensors["grey"].put(rng.integers(0, 256, (4, 4, 1), np.uint8))
            sensors["joints"].put(rng.uniform(-1, 1, 3).astype(np.float32))
        for _ in range(2):  # faster than the decisions: half of them are dropped
            sensors["film"].put(rng.integers(0, 256, (4, 6, 3), np.uint8))
        loud = 0.5 if 5 <= number % 40 < 18 else 1e-4  # utterances
        for _ in range(2):
            sensors["mic"].put(rng.uniform(-loud, loud, (60, 1)).astype(np.float32))
            sensors["window"].put(rng.uniform(-1, 1, (43, 2)).astype(np.float32))
        if number % 25 == 10:
            sensors["instruction"].put(f"go to the {('red', 'blue')[number // 25 % 2]} ball, ä{number}")
        stage.wait(1)


CONNECTED = ("camera", "grey", "film", "mic", "window", "instruction", "joints")


def decisions_of(path):
    return [line.record for line in read_trace(path / "run.jsonl") if line.kind == "decision"]


def rewritten(path, change):
    """The trace again, each line changed."""
    lines = [json.dumps(change(line.record)) for line in read_trace(path / "run.jsonl")]
    (path / "changed.jsonl").write_text("".join(line + "\n" for line in lines))
    return path / "changed.jsonl"


def test_every_kind_of_input_with_drops_absences_errors_and_a_stop_gives_the_same_actions(fake, tmp_path):
    policy = fake(everything())
    step, calls = policy.backend.step, []

    def failing(inputs):
        calls.append(None)
        if len(calls) in (50, 51, 90):
            raise ValueError("one of those things")
        return step(inputs)

    with Stage(policy, tmp_path, CONNECTED, "rate.x = 3.0\nlimits.y = { high = 0.25 }\nmax_age_s.grey = 0.05") as stage:
        policy.backend.step = failing
        play(stage, 60)
        stage.guards.stop.trip("key pressed")
        play(stage, 10, seed=1)
        stage.guards.stop.reset()
        play(stage, 60, seed=2)
    records = decisions_of(tmp_path)
    for name in CONNECTED:  # it would prove little otherwise
        present = [record["inputs"][name]["present"] for record in records]
        assert any(present), name
        assert not all(present), name
    assert sum(record["selected"] is None for record in records) >= 3
    verdicts = {(one["guard"], one["verdict"]) for record in records for one in record["verdicts"]}
    assert verdicts >= {
        ("errors", "hold"),
        ("rate", "clip"),
        ("limits", "clip"),
        ("staleness", "hold"),
        ("stop", "stop"),
    }
    heard = {record["inputs"]["mic"]["sequence"] for record in records}
    assert len(heard) >= 3  # several utterances, and none before the first
    assert stage.live.drops()["film"]["replaced"] > 10
    assert stage.recording.summary()["steps"] == len(records) == len(stage.decisions)

    done = retrace(fake(everything()), tmp_path / "run.jsonl", tmp_path / "recording")
    assert done.first_difference is None
    assert (done.agree, done.differ, done.not_recorded) == (len(records), 0, 0)
    assert done.largest_difference == 0
    assert done.first_difference is None
    assert json.loads(json.dumps(done.to_json()))["decisions"] == len(records)


@pytest.fixture
def short(fake, tmp_path):
    """A short run of choices, where the device holds by itself, and how it is made again."""
    signature = everything(Discrete(3, ("wait", "go", "turn")), ActuatorHold())
    with Stage(fake(signature), tmp_path, CONNECTED) as stage:
        stage.wait(3)
        play(stage, 40)
    return stage, lambda: fake(signature)


def test_choices_agree_too_and_so_do_decisions_on_nothing(short, tmp_path):
    _, again = short
    records = decisions_of(tmp_path)
    assert records[0]["selected"] is records[0]["executed"] is None
    done = retrace(again(), tmp_path / "run.jsonl", tmp_path / "recording")
    assert (done.agree, done.decisions) == (len(records), len(records))


def test_another_network_is_found_out(short, fake, tmp_path):
    signature = everything(Discrete(3, ("wait", "go", "turn")), ActuatorHold())
    done = retrace(fake(signature, decay=0.9), tmp_path / "run.jsonl", tmp_path / "recording")
    assert done.differ > 0
    first = done.first_difference
    line = next(line for line in read_trace(tmp_path / "run.jsonl") if line.number == first["line"])
    assert line.record["selected"] == first["trace"]["selected"] != first["now"]["selected"]
    assert line.record["turn"] == first["turn"]


@pytest.mark.parametrize(("name", "changed"), [("age_s", 0.9), ("present", False)])
def test_what_was_seen_matters(short, tmp_path, name, changed):
    """Ages and absences are fed as they are traced: with others, other actions come out."""
    _, again = short

    def change(record):
        for key, report in record.get("inputs", {}).items():
            if report["present"] and key in ("camera", "film"):
                report[name] = changed
        return record

    done = retrace(again(), rewritten(tmp_path, change), tmp_path / "recording")
    assert done.differ > 0


def test_a_torn_trace_is_replayed_up_to_its_last_whole_line(short, tmp_path):
    _, again = short
    path = tmp_path / "run.jsonl"
    content = path.read_bytes()
    path.write_bytes(content + content.splitlines()[-1][:50])
    done = retrace(again(), path, tmp_path / "recording")
    assert done.agree == done.decisions > 0


def test_steps_that_were_left_out_end_the_comparison_and_are_counted(fake, tmp_path):
    signature = everything(Discrete(3), ActuatorHold())
    with Stage(fake(signature), tmp_path, ("camera", "joints"), limit_bytes=4096) as stage:
        blocked = threading.Event()
        stage.sensors["camera"].put(np.zeros((5, 7, 3), np.uint8))
        stage.wait(5)
        stage.keeper.worker.offer(0, lambda: blocked.wait(WAIT_S))
        stage.wait(10)
        blocked.set()
        stage.wait(5)
    lost = stage.keeper.summary()["lost"]
    assert lost >= 5
    assert any("steps are left out" in line for line in stage.told)
    done = retrace(fake(signature), tmp_path / "run.jsonl", tmp_path / "recording")
    assert done.differ == 0
    assert done.agree >= 5
    assert done.not_recorded >= lost
    assert done.agree + done.not_recorded == done.decisions == len(stage.decisions)


def test_a_trace_of_another_policy_is_refused(short, fake, tmp_path):
    other = fake(everything(Discrete(3), ActuatorHold()), fingerprint="1" * 64)
    with pytest.raises(TraceError, match=r"line 1: this run is of another policy \(0{12}…\)"):
        retrace(other, tmp_path / "run.jsonl", tmp_path / "recording")


def test_a_recording_of_another_run_is_refused(short, fake, tmp_path):
    _, again = short
    other = tmp_path / "other"
    other.mkdir()
    with Stage(again(), other, CONNECTED) as stage:
        play(stage, 5)
    with pytest.raises(DataError, match="is of another run than the trace"):
        retrace(again(), tmp_path / "run.jsonl", other / "recording")


def test_a_recording_of_other_features_is_refused(short, fake, tmp_path):
    _, again = short
    other = tmp_path / "other"
    other.mkdir()
    with Stage(again(), other, ("joints",)) as stage:
        stage.sensors["joints"].put(np.zeros(3, np.float32))
        stage.wait(3)
    with pytest.raises(DataError, match="expected observation.images.camera, image"):
        retrace(again(), tmp_path / "run.jsonl", other / "recording")


@pytest.mark.parametrize(
    ("kind", "changed", "error", "what"),
    [
        ("recorded", {"what": "else"}, DataError, "nothing was recorded"),
        ("recorded", {"episode": 7}, DataError, "there is no episode 7"),
        ("recorded", {"episode": "x"}, TraceError, "does not say which episode"),
        ("header", {"guards": None}, TraceError, "line 1: ValidationError"),
        ("header", {"guards": {"allow": ["fly"]}}, GuardError, "there is no action 'fly'"),
        ("header", {"rate_hz": None}, TraceError, "does not say what a replay needs"),
        ("decision", {"at_ns": None}, TraceError, "does not say what a replay needs"),
        ("decision", {"inputs": 3}, TraceError, "does not say what a replay needs"),
    ],
)
def test_what_a_trace_must_say(short, tmp_path, kind, changed, error, what):
    _, again = short
    trace = rewritten(tmp_path, lambda record: record | (changed if kind in record.values() else {}))
    with pytest.raises(error, match=what):
        retrace(again(), trace, tmp_path / "recording")


@pytest.mark.parametrize("stream", ["mic", "window"])
def test_sound_that_is_missing_is_said(short, tmp_path, stream):
    _, again = short

    def later(record):
        for name, report in record.get("inputs", {}).items():
            if name == stream and report["present"]:
                report["sequence"] += 1000
        return record

    with pytest.raises(DataError, match=f"the sound of {stream} ends before value"):
        retrace(again(), rewritten(tmp_path, later), tmp_path / "recording")


def test_a_picture_that_is_another_one_is_said(short, tmp_path):
    _, again = short

    def later(record):
        for name, report in record.get("inputs", {}).items():
            if name == "camera" and report["present"]:
                report["sequence"] += 1
        return record

    with pytest.raises(DataError, match="of camera, found"):
        retrace(again(), rewritten(tmp_path, later), tmp_path / "recording")


def test_there_must_be_a_trace_and_a_recording(short, tmp_path):
    _, again = short
    with pytest.raises(TraceError, match="cannot read"):
        retrace(again(), tmp_path / "nowhere.jsonl", tmp_path / "recording")
    with pytest.raises(DataError, match="there is no LeRobot data set"):
        retrace(again(), tmp_path / "run.jsonl", tmp_path / "nowhere")
