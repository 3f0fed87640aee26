"""A policy on recordings, in simulated time."""

import numpy as np
import pytest

from sensorimotor.actions.callable_actuator import CallableActuator
from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.clock import ManualClock
from sensorimotor.errors import SensorError, UsageError
from sensorimotor.perception.sensor import Losses, Sample, StreamEnded
from sensorimotor.perception.words import FixedWords
from sensorimotor.pipelines.stepped import Stepped
from sensorimotor.pipelines.trace import TraceWriter, read_trace


class Reel:
    """A recording in memory: samples `(time_s, value)`; an exception in place of one is raised."""

    paced, noisy, reopens, interval_s = False, False, False, None

    def __init__(self, samples, source="reel.mp4"):
        self.source, self.losses = source, Losses()
        self._samples = samples

    def open(self):
        self._left, self._sequence = list(self._samples), -1
        return "made smaller"

    def read(self, timeout_s):
        if not self._left:
            raise StreamEnded("it has been played to its end")
        one = self._left.pop(0)
        if isinstance(one, Exception):
            raise one
        if one is None:
            return None
        self._sequence += 1
        return Sample(one[1], 123456789, self._sequence, one[0])

    def close(self):
        self._left = []


def frame(level):
    return np.full((4, 6, 3), level, np.uint8)


def tone(seed):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (80, 1)).astype(np.float32)


def reels():
    """A second of a camera at 20 frames/s, and of a microphone, which ends a little later."""
    loud = [(0.02 * (i + 1), tone(i) * (1 if 10 <= i < 20 else 1e-4)) for i in range(55)]
    return {"camera": Reel([(0.05 * i, frame(i)) for i in range(20)]), "mic": Reel(loud, "clip.wav")}


@pytest.fixture
def stepped(fake):
    """Makes a policy that runs through recordings."""

    def make(sensors, policy=None, words=None, act=None, **options):
        policy, clock, told = policy or fake(), ManualClock(), []
        if words:
            sensors = {**sensors, "instruction": FixedWords(words, policy.signature.inputs["instruction"], clock=clock)}
        guards = Guards(
            NO_RULES,
            policy.signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in policy.signature.inputs.items()},
            period_s=0.1,
        )
        commands, turns = [], []
        actuator = CallableActuator(act or commands.append, "list")
        if (path := options.pop("trace", None)) is not None:
            trace = TraceWriter(
                path, policy.signature, policy="f", sensors={}, actuator="list", clock=clock, told=told.append
            )
            options["observers"] = [trace]
        running = Stepped(
            policy,
            sensors,
            actuator,
            guards,
            clock=clock,
            told=told.append,
            watch=lambda seen, decision: turns.append((seen, decision)),
            **options,
        )
        running.told, running.commands, running.turns = told, commands, turns
        return running

    return make


def test_each_decision_sees_all_that_has_come_by_its_time_and_nothing_later(stepped):
    with stepped(reels(), words="go") as running:
        running.run()
    assert len(running.turns) == 12  # the sound ends at 1.1 s, when the last one is made
    for k, (seen, decision) in enumerate(running.turns):
        assert decision.inputs["camera"].sequence == min(2 * k, 19)
        assert seen.ages_s["camera"] == pytest.approx(0.1 * k - 0.05 * min(2 * k, 19), abs=1e-6)
        assert seen.observation["instruction"] == "go"
    assert [command.step for command in running.commands] == list(range(13))
    assert running.commands[-1].held  # the safe action is the last word
    summary = running.summary()
    assert summary["decisions"] == 12
    assert summary["drops"] == {}
    assert summary["duration_s"] == pytest.approx(1.1)
    assert summary["inputs"] == {"camera": "ended", "mic": "ended", "instruction": "live"}
    assert "camera: made smaller" in running.told


def test_an_utterance_is_heard_where_it_ends(stepped):
    with stepped(reels()) as running:
        running.run()
    heard = [decision.inputs["mic"].present for _, decision in running.turns]
    assert heard[:2] == [False, False]
    assert heard[-1]
    assert heard == sorted(heard)


def without_timings(path):
    lines = [line.record for line in read_trace(path)]
    lines[0]["clock"].pop("time")
    for line in lines:
        line.pop("timings_ms", None)
    return lines


def test_two_runs_give_the_same_trace(stepped, tmp_path):
    for name in ("one", "two"):
        with stepped(reels(), words="go", trace=tmp_path / name) as running:
            running.run()
    assert without_timings(tmp_path / "one") == without_timings(tmp_path / "two")
    assert len(without_timings(tmp_path / "one")) > 12


def test_decisions_can_be_triggered_by_an_input(stepped):
    with stepped(reels(), trigger="camera") as running:
        running.run()
    assert [decision.inputs["camera"].sequence for _, decision in running.turns] == list(range(20))
    assert all(seen.ages_s["camera"] == 0 for seen, _ in running.turns)


def test_a_rate_and_a_duration_are_of_simulated_time(stepped):
    with stepped(reels(), rate_hz=50.0) as running:
        running.run(duration_s=0.5)
    assert len(running.turns) == 25


def test_an_input_that_ends_early_is_absent_once_it_is_too_old(stepped):
    sensors = {**reels(), "joints": Reel([(0.0, np.zeros(2, np.float32))])}
    sensors["mic"] = Reel([(0.5 * i, tone(i)) for i in range(8)], "clip.wav")
    with stepped(sensors) as running:
        running.run()
    present = [decision.inputs["joints"].present for _, decision in running.turns]
    assert present == [k <= 20 for k in range(len(present))]  # max_age_s = 2
    assert running.turns[-1][1].verdicts[0].verdict == "hold"  # the camera is critical, and a second old is too old


def test_what_is_torn_is_passed_over_and_what_fails_ends(stepped):
    camera = Reel([(0.0, frame(1)), None, (0.1, frame(2)), (0.2, np.zeros((2, 2))), SensorError("the file is damaged")])
    with stepped({"camera": camera, "mic": reels()["mic"]}) as running:
        running.run()
    assert "camera: the file is damaged" in running.told
    assert running.summary()["inputs"]["camera"] == "ended"
    assert running.summary()["errors"] > 0  # a frame of another shape is refused when it is acted upon


def test_a_sample_that_cannot_be_taken_is_counted(stepped):
    mic = Reel([(0.0, tone(0)), (0.1, np.full((80, 1), np.nan, np.float32)), (0.2, tone(1))], "clip.wav")
    with stepped({"mic": mic}) as running:
        running.run()
    assert running.drops() == {"mic": {"not taken": 1}}
    assert any("mic: a sample was not taken" in line for line in running.told)


def test_an_actuator_that_fails_is_told_and_counted(stepped):
    with stepped(reels(), act=lambda command: 1 / 0) as running:
        running.run()
    assert running.summary()["actuator"]["failed"] == 13  # the last one is the safe action
    assert sum("actuator lost" in line for line in running.told) == 1
    assert any("degraded" in line for line in running.told)


def test_it_can_be_stopped(stepped):
    with stepped(reels()) as running:
        running.stop()
        running.run()
    assert running.turns == []


def live_camera():
    reel = Reel([], "rtsp://camera/1")
    reel.paced = True
    return reel


@pytest.mark.parametrize(
    ("sensors", "options", "what"),
    [
        ({"camera": live_camera()}, {}, "camera: rtsp://camera/1 is live"),
        ({}, {}, "nothing is connected"),
        ({"lidar": Reel([])}, {}, "no input lidar"),
        ({"camera": Reel([])}, {"trigger": "mic"}, "cannot be triggered by 'mic'"),
    ],
)
def test_what_cannot_be_run_is_refused(stepped, sensors, options, what):
    with pytest.raises(UsageError, match=what):
        stepped(sensors, **options)


def test_words_alone_need_a_duration(stepped):
    with stepped({}, words="go") as running, pytest.raises(UsageError, match="words alone never end"):
        running.run()
    with stepped({}, words="go") as running:
        running.run(duration_s=0.3)
    assert len(running.turns) == 3


def test_a_file_that_is_not_there_lets_go_of_the_others(stepped):
    camera, mic = Reel([(0.0, frame(1))]), Reel([])
    mic.open = lambda: (_ for _ in ()).throw(SensorError("there is none"))
    running = stepped({"camera": camera, "mic": mic})
    with pytest.raises(SensorError, match="there is none"):
        running.__enter__()
    assert camera._left == []
