"""What a run leaves behind: a recording that everything else reads, and a loop that never waited for it."""

import errno
import threading

import numpy as np
import pytest

from sensorimotor.actions.decision import Decision
from sensorimotor.actions.space import Box, Discrete
from sensorimotor.errors import DataError, OutputPathError, UsageError
from sensorimotor.models.signature import ActuatorHold, Constant, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.contract import bind
from sensorimotor.pipelines.data_report import inspect_data
from sensorimotor.pipelines.episode_recipe import Contract
from sensorimotor.pipelines.examples import examples
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.loop import Turn
from sensorimotor.pipelines.recorded_sound import as_recorded
from sensorimotor.pipelines.run_recording import NO_WORDS, BackgroundRecording, RunRecording
from sensorimotor.pipelines.senses import Perceived
from sensorimotor.pipelines.video import VideoWriter

PERIOD_NS = 10**8
START_NS = 5 * 10**14
SIGNATURE = Signature(
    {
        "camera": Image(height=5, width=7),
        "mic": Audio(sample_rate=8000, seconds=0.5),
        "instruction": Text(max_tokens=8),
        "joints": State(size=2, names=("pan", "lift"), units=("rad", "rad")),
    },
    Discrete(3, ("wait", "go", "turn")),
    ActuatorHold(),
    10.0,
)


def frame(level):
    return np.full((5, 7, 3), level, np.uint8)


def turn(number, observation, sequences=None, ages_s=None, selected=1, executed=1):
    decision = Decision("f", "main", number, selected, executed, "go", None, None, None, {})
    seen = Perceived(observation, ages_s or dict.fromkeys(observation, 0.0), sequences or dict.fromkeys(observation, 0))
    at_ns = START_NS + number * PERIOD_NS
    return Turn(number, at_ns, seen, decision, due_ns=at_ns, decided_ns=at_ns)


@pytest.fixture
def recording(tmp_path):
    made = []

    def make(signature=SIGNATURE, names=None, **options):
        told, committed = [], []
        made.append(
            RunRecording(
                tmp_path / "run",
                signature,
                list(names or signature.inputs),
                rate_hz=10.0,
                target="list",
                told=told.append,
                committed=lambda *episode: committed.append(episode),
                **options,
            )
        )
        made[-1].told, made[-1].committed = told, committed
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_turn_is_a_step_and_what_stands_for_nothing_is_no_sample(recording, tmp_path):
    kept = recording()
    kept.step(turn(0, {}, selected=None, executed=None))
    kept.step(turn(1, {"camera": frame(9), "joints": np.array([1, 2], np.float32)}, {"camera": 3, "joints": 0}))
    kept.step(turn(2, {"camera": frame(9), "instruction": "go"}, {"camera": 3, "instruction": 0}, {"camera": 0.1}))
    kept.step(turn(3, {"camera": frame(7), "instruction": "stop"}, {"camera": 5, "instruction": 1}, {"camera": 0.04}))
    kept.close()
    source = LeRobotSource(tmp_path / "run")
    episode = source.episode(0)
    assert set(source.features) == {
        "observation.images.camera", "audio.mic", "observation.text.instruction", "observation.state", "task",
        "action", "selected", "decision",
    }  # fmt: skip
    assert episode.times_s.tolist() == [START_NS / 1e9 + 0.1 * number for number in range(4)]
    camera = episode.track("observation.images.camera")
    assert (camera.times_s - START_NS / 1e9).tolist() == pytest.approx([0.1, 0.26])  # when they were in hand
    assert [picture.max() for picture in camera.read([0, 1])] == [9, 7]
    assert [picture.max() for picture in episode.stored("observation.images.camera", range(4))] == [0, 9, 9, 7]
    assert episode.stored("seen.camera", range(4)) == [-1, 3, 3, 5]
    words = episode.track("observation.text.instruction")
    assert words.read([0, 1]) == ["go", "stop"]
    assert (words.times_s == episode.times_s[2:]).all()
    joints = episode.track("observation.state")
    assert [value.tolist() for value in joints.read(range(len(joints.times_s)))] == [[1, 2]]
    action = episode.track("action")
    assert action.times_s.tolist() == episode.times_s[1:].tolist()
    assert action.read([0, 1, 2]) == [1, 1, 1]
    assert episode.track("task").read([0]) == ["go"]
    assert (kept.summary()["episodes"], kept.summary()["steps"], kept.summary()["lost"]) == (1, 4, 0)
    assert kept.committed == [(0, 0)]


def test_sound_is_kept_chunk_by_chunk_exactly_as_it_was_heard(recording, tmp_path):
    rng = np.random.default_rng(0)
    chunks = [as_recorded(rng.uniform(-1, 1, (n, 1)).astype(np.float32)) for n in (80, 1, 160, 3)]
    kept = recording()
    for number, chunk in enumerate(chunks):
        kept.hear(0, "mic", chunk, START_NS + number * 10**7)
        kept.step(turn(number, {}))
    kept.close()
    sound = LeRobotSource(tmp_path / "run").episode(0).sound("audio.mic", 8000)
    assert sound.ends.tolist() == [80, 81, 241, 244]
    assert np.array_equal(sound.read(0, 244), np.concatenate(chunks))
    assert sound.times_s.tolist() == [(START_NS + number * 10**7) / 1e9 for number in range(4)]


def test_rounded_sound_is_the_same_when_it_is_rounded_again():
    sound = np.concatenate([np.random.default_rng(0).uniform(-1, 1, 1000), [1, -1, 0, 1e-9]]).astype(np.float32)
    once = as_recorded(sound)
    assert once.dtype == np.float32
    assert np.array_equal(as_recorded(once), once)
    assert np.abs(once - sound).max() <= 2.0**-23
    assert np.abs(once - sound)[:1000].max() <= 2.0**-24


def test_an_episode_of_the_body_is_an_episode_and_late_sound_is_in_none(recording, tmp_path):
    kept = recording()
    chunk = np.zeros((80, 1), np.float32)
    kept.begin(1)  # nothing was sensed before
    for stream in (1, 2, 3):
        kept.begin(stream)
        kept.hear(stream, "mic", chunk, START_NS + stream * 10**9)
        kept.hear(stream - 1, "mic", chunk, START_NS + stream * 10**9)  # on its way when the last one ended
        for number in range(stream):
            kept.step(turn(10 * stream + number, {"instruction": f"find number {stream}"}))
    kept.close()
    source = LeRobotSource(tmp_path / "run")
    assert [len(source.episode(number).times_s) for number in range(3)] == [1, 2, 3]
    assert [source.episode(number).track("task").read([0]) for number in range(3)] == [
        ["find number 1"], ["find number 2"], ["find number 3"],
    ]  # fmt: skip
    assert [source.episode(number).sound("audio.mic", 8000).ends.tolist() for number in range(3)] == [[80]] * 3
    assert kept.committed == [(1, 0), (2, 1), (3, 2)]


def test_the_data_tools_read_it(recording, tmp_path):
    kept = recording()
    kept.step(turn(0, {}))
    for number in range(1, 12):
        kept.hear(0, "mic", np.full((800, 1), 0.01 * number, np.float32), START_NS + number * PERIOD_NS)
        sequences = {"camera": number // 2, "joints": number}
        kept.step(
            turn(number, {"camera": frame(20 * (number // 2)), "joints": np.full(2, number, np.float32)}, sequences)
        )
    kept.close()
    report = inspect_data(LeRobotSource(tmp_path / "run"))
    assert report["problems"]["count"] == 0
    assert report["features"]["observation.images.camera"]["samples"] == 6
    assert report["features"]["observation.images.camera"]["pictures"]["equal_neighbours"] == 0
    assert report["features"]["observation.state"]["samples"] == 11
    assert LeRobotSource(tmp_path / "run").episode(0).track("task").read([0]) == [NO_WORDS]


def test_it_is_learnt_from_as_it_was_lived(recording, tmp_path):
    """Each step of an episode sees what the policy saw: the same values, of the same age, and nothing before them."""
    kept = recording()
    kept.step(turn(0, {}, selected=None, executed=None))
    kept.step(turn(1, {"camera": frame(1), "instruction": "go"}, ages_s={"camera": 0.03, "instruction": 0.0}))
    kept.step(turn(2, {"camera": frame(1), "instruction": "go"}, ages_s={"camera": 0.13, "instruction": 0.0}))
    kept.close()
    source = LeRobotSource(tmp_path / "run")
    inputs = {"camera": "observation.images.camera", "instruction": "observation.text.instruction"}
    contract = Contract.model_validate(
        {
            "inputs": {name: {"feature": feature} for name, feature in inputs.items()},
            "action": {"labels": ["wait", "go", "turn"]},
        }
    )
    (example,) = examples(source, bind(contract, source, [1, 1]), [0])
    assert example.seen["camera"].value.tolist() == [-1, 0, 0]
    assert example.seen["camera"].age_s.tolist() == pytest.approx([0, 0.03, 0.13], abs=1e-6)
    assert example.seen["instruction"].value.tolist() == [-1, 0, 0]
    assert example.acted.tolist() == [False, True, True]
    assert example.actions.tolist() == [0, 1, 1]


def test_vectors_that_were_not_executed_are_missing(recording, tmp_path):
    box = Signature({"joints": State(size=2)}, Box([-1] * 2, [1] * 2, ("x", "y"), ("m", "m")), ActuatorHold(), 10.0)
    kept = recording(box)
    half = np.array([0.5, -0.5], np.float32)
    kept.step(turn(0, {"joints": np.zeros(2, np.float32)}, selected=half, executed=None))
    kept.step(turn(1, {"joints": np.zeros(2, np.float32)}, selected=2 * half, executed=half))
    kept.close()
    source = LeRobotSource(tmp_path / "run")
    assert source.features["action"].names == ("x", "y")
    action = source.episode(0).track("action")
    assert [one.tolist() for one in action.read(range(len(action.times_s)))] == [[0.5, -0.5]]
    assert len(source.episode(0).track("selected").times_s) == 2


def test_a_run_without_a_step_leaves_no_episode(recording, tmp_path):
    kept = recording()
    kept.hear(0, "mic", np.zeros((80, 1), np.float32), START_NS)
    kept.close()
    assert len(LeRobotSource(tmp_path / "run")) == 0
    assert kept.committed == []


def test_another_run_is_added_and_other_features_are_refused(recording, tmp_path):
    for _ in range(2):
        kept = recording()
        kept.step(turn(0, {}))
        kept.close()
    assert kept.committed == [(0, 1)]
    with pytest.raises(DataError, match="cannot be continued"):
        recording(names=["camera"])


def test_what_fails_ends_the_recording_and_is_told_once(recording, tmp_path, monkeypatch):
    kept = recording()
    kept.step(turn(0, {"camera": frame(1)}))
    kept.begin(1)
    kept.step(turn(1, {"camera": frame(1)}))

    def full(self, frame):
        raise OutputPathError(f"cannot write: {errno.errorcode[errno.ENOSPC]}")

    monkeypatch.setattr(VideoWriter, "write", full)
    for number in range(2, 6):
        kept.step(turn(number, {"camera": frame(1)}))
    kept.hear(1, "mic", np.zeros((80, 1), np.float32), START_NS)
    kept.begin(2)
    kept.close()
    assert len(kept.told) == 1
    assert "has ended after 1 episodes: cannot write: ENOSPC" in kept.told[0]
    summary = kept.summary()
    assert (summary["episodes"], summary["steps"], summary["lost"]) == (1, 1, 5)
    assert "ENOSPC" in summary["ended"]
    assert len(LeRobotSource(tmp_path / "run")) == 1


def test_a_codec_that_raises_anything_ends_the_recording_only(recording, monkeypatch):
    kept = recording()
    monkeypatch.setattr(VideoWriter, "write", lambda self, frame: 1 / 0)
    kept.step(turn(0, {"camera": frame(1)}))
    assert "ZeroDivisionError" in kept.told[0]


@pytest.fixture
def held(recording):
    """A background recording whose thread can be held up."""
    made = []

    def make(limit_bytes):
        kept = recording()
        background = BackgroundRecording(kept, kept.told.append, limit_bytes)
        background.go_on = threading.Event()
        background.worker.offer(0, lambda: background.go_on.wait(20))
        background.told = kept.told
        made.append(background)
        return background

    yield make
    for background in made:
        background.go_on.set()
        background.close()


def test_a_slow_disk_costs_steps_that_are_counted_and_no_memory(held, tmp_path):
    kept = held(limit_bytes=20 * 1129 + 500)  # 105 bytes of pixels and what else a step takes
    for number in range(100):
        kept.hear(0, "mic", np.zeros((1, 1), np.float32), START_NS + number)
        kept.step(turn(number, {"camera": frame(number)}))
    assert sum("steps are left out" in line for line in kept.told) == 1
    assert kept.summary()["lost"] == 80
    kept.go_on.set()
    kept.close()
    episode = LeRobotSource(tmp_path / "run").episode(0)
    assert episode.stored("decision", range(20)) == list(range(20))
    assert episode.sound("audio.mic", 8000).ends[-1] == 100  # of sound nothing is left out


def test_sound_that_cannot_be_kept_ends_the_recording(held):
    kept = held(limit_bytes=1000)
    for number in range(100):
        kept.hear(0, "mic", np.zeros((100, 1), np.float32), START_NS + number)
    assert kept.worker.waiting_bytes <= 2000
    kept.go_on.set()
    kept.close()
    assert any("too slow for the sound" in line for line in kept.told)


def test_a_recording_that_does_not_end_is_left_behind(held):
    kept = held(limit_bytes=1000)
    kept.close(within_s=0.01)
    assert "could not be written within" in kept.told[-1]


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        ({"camera": Image(height=4, width=4, channels=4)}, "camera has four channels"),
        ({"mic": Audio(seconds=1.0, channels=9)}, "1 to 8 channels"),
        ({"image": State(size=2), "joints": State(size=2)}, "'image' in it"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_the_run(recording, inputs, what):
    with pytest.raises(UsageError, match=what):
        recording(Signature(inputs, Discrete(2), Constant(0), 10.0))
