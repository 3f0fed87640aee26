"""Tables and recordings as what a policy would have lived through."""

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import soundfile
from hypothesis import assume, given
from hypothesis import strategies as st

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import DataError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines import batch_episodes
from sensorimotor.pipelines.batch_binding import feeding
from sensorimotor.pipelines.batch_episodes import EpisodesInput
from sensorimotor.pipelines.batch_input import InputSpec, Step, Unreadable, open_input
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot_format import AUDIO
from sensorimotor.pipelines.manifest import ManifestSource
from sensorimotor.pipelines.observed import observed
from sensorimotor.pipelines.recorder import Recorder
from sensorimotor.pipelines.reel import observed_now
from sensorimotor.pipelines.video import VideoWriter

CAMERA = Image(height=8, width=8)
CRITICAL = CAMERA.model_copy(update={"critical": True})
JOINTS = State(size=2, names=("x", "y"))
ALL = {"camera": CAMERA, "joints": JOINTS, "instruction": Text()}


def signature(inputs, rate_hz=10.0):
    return Signature(inputs, Discrete(3), Constant(0), rate_hz)


def opened(where, inputs=ALL, rate_hz=10.0, **spec):
    return open_input(InputSpec(str(where), **spec), signature(inputs, rate_hz))


def equal(one, other):
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def assert_the_same(one, other):
    assert one.time_s == pytest.approx(other.time_s)
    assert one.seen.observation.keys() == other.seen.observation.keys()
    for name, value in other.seen.observation.items():
        assert equal(one.seen.observation[name], value), name
        assert one.seen.ages_s[name] == pytest.approx(other.seen.ages_s[name], abs=1e-6)


def picture(path, value, height=8, width=8):
    pixels = np.random.default_rng(value).integers(0, 256, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return pixels[:, :, ::-1]


def table(path, text):
    path.write_text(text)
    return path


def test_an_unreadable_row_is_given_in_its_place(tmp_path):
    picture(tmp_path / "0.png", 0)
    (tmp_path / "1.png").write_bytes(b"nothing of the kind")
    names = ["0.png", "1.png", "2.png", "0.png"]
    rows = "".join(
        json.dumps({"id": f"r{i}", "camera": name, "instruction": "go"}) + "\n" for i, name in enumerate(names)
    )
    found = opened(table(tmp_path / "rows.jsonl", rows))
    good, damaged, gone, last = found.samples(range(4))
    assert isinstance(good, Step)
    assert isinstance(last, Step)
    assert (damaged.id, damaged.kind) == ("r1", "DataError")
    assert "no picture" in damaged.message
    assert "row 3, column 'camera'" in gone.message
    with pytest.raises(Unreadable, match="no picture"):
        list(found.lived(1))


def test_a_column_of_which_no_file_can_be_read_does_not_prevent_the_others(tmp_path):
    rows = "id,camera,instruction\n" + "".join(f"{i},{i}.png,go\n" for i in range(12))
    found = opened(table(tmp_path / "rows.csv", rows))
    assert all(isinstance(one, Unreadable) for one in found.samples(range(12)))


def test_a_value_that_no_policy_takes_is_of_its_row_only(tmp_path):
    rows = "id,instruction\na,go\nb," + "x" * 20_000 + "\nc,stop\n"
    one, two, three = opened(table(tmp_path / "rows.csv", rows)).samples([0, 1, 2])
    assert isinstance(two, Unreadable)
    assert "20000 characters" in two.message
    assert [one.seen.observation, three.seen.observation] == [{"instruction": "go"}, {"instruction": "stop"}]


CELLS = st.tuples(
    st.sampled_from(["", "0.png", "1.png", "2.png", "broken.png"]),
    st.sampled_from(["", "go", "stop", "7"]),
    st.one_of(st.none(), st.floats(-5, 5, width=16)),
    st.sampled_from(["", "a.wav", "b.wav"]),
)


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    for number in range(3):
        picture(folder / f"{number}.png", number, 8 + number, 9)
    (folder / "broken.png").write_bytes(b"x")
    soundfile.write(folder / "a.wav", np.full((4000, 2), 0.25), 8000)
    soundfile.write(folder / "b.wav", np.full(30_000, -0.5), 16_000)
    return folder


@given(rows=st.lists(CELLS, min_size=1, max_size=8), frames=st.sampled_from([1, 1, 3]))
def test_many_rows_at_a_time_are_what_each_is_by_itself(media, rows, frames):
    path = media / "rows.csv"
    cells = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    path.write_text("camera,instruction,speed,mic,id\n" + "".join(f"{row},r{i}\n" for i, row in enumerate(cells)))
    inputs = {
        "camera": Image(height=8, width=8, frames=frames),
        "instruction": Text(),
        "speed": State(size=1),
        "mic": Audio(seconds=0.5),
    }
    assume(any(cell not in ("", None) for row in rows for cell in row))
    found = opened(path, inputs)
    for index, sample in enumerate(found.samples(range(len(rows)))):
        if isinstance(sample, Unreadable):
            with pytest.raises(Unreadable) as found_alone:
                list(found.lived(index))
            assert found_alone.value.args == sample.args
        else:
            (step,) = found.lived(index)
            assert_the_same(sample, step)


def test_a_column_without_a_value_is_as_if_it_were_not_there(tmp_path):
    rows = "camera,instruction,mic,x,y\n,go,,1,2\n,stop,,3,4\n"
    found = opened(table(tmp_path / "rows.csv", rows), {**ALL, "mic": Audio(seconds=1.0)})
    assert found.absent == ("camera", "mic")
    assert [set(step.seen.observation) for step in found.samples([0, 1])] == [{"instruction", "joints"}] * 2
    with pytest.raises(DataError, match="'camera', which feeds camera, has no value"):
        opened(tmp_path / "rows.csv", {**ALL, "camera": CRITICAL})
    with pytest.raises(DataError, match="has no value"):
        opened(tmp_path / "rows.csv", {"camera": CAMERA})


@pytest.mark.parametrize("frames", [1, 4])
def test_a_video_in_a_cell_is_what_training_makes_of_it(tmp_path, frames):
    writer = VideoWriter(tmp_path / "a.mp4", 10, 8, 8)
    for number in range(40):
        writer.write(np.full((8, 8, 3), 5 * number, np.uint8))
    writer.close()
    camera = Image(height=8, width=8, frames=frames)
    found = opened(table(tmp_path / "rows.csv", "camera,instruction\na.mp4,go\na.mp4,stop\n"), {"camera": camera})
    source = ManifestSource(tmp_path / "rows.csv", columns=["camera"])
    seen = observed(source.episode(1), "camera", source.features["camera"], camera)
    (expected,) = seen.values.read([int(seen.value[0])])
    for step in found.samples([0, 1]):
        assert equal(step.seen.observation["camera"], expected)


# Episodes


def test_steps_without_times_are_at_the_rate(tmp_path):
    rows = "episode,instruction\na,go\na,stop\nb,go\n"
    path = table(tmp_path / "rows.csv", rows)
    assert [step.time_s for step in opened(path).lived(0)] == [0, 0.1]
    assert [step.time_s for step in opened(path, rate_hz=4.0).lived(0)] == [0, 0.25]


def test_the_same_words_again_are_no_new_text(tmp_path):
    rows = "episode,time,instruction\n" + "".join(
        f"a,{i},{word}\n" for i, word in enumerate(["go", "go", "stop", "go"])
    )
    steps = list(opened(table(tmp_path / "rows.csv", rows), rate_hz=1.0).lived(0))
    assert [step.seen.sequences["instruction"] for step in steps] == [0, 0, 1, 2]


def streams(rng, memory, seconds=2.0):
    """An episode whose samples come at uneven times, and the same as live sensors would give it."""
    times_s = np.sort(rng.uniform(0, seconds, 25))
    frames = [rng.integers(0, 256, (9, 12, 3), np.uint8) for _ in times_s]
    states_s = np.sort(rng.uniform(0, seconds, 7))
    states = [rng.uniform(-1, 1, 2).astype(np.float32) for _ in states_s]
    words_s, words = np.array([0.3, 0.9, 1.2]), ["go", "go", "stop"]
    chunks = [rng.uniform(-0.5, 0.5, (320, 1)).astype(np.float32) for _ in range(round(seconds * 50))]
    chunks_s = np.arange(1, len(chunks) + 1) / 50
    tracks = {
        "camera": memory.Track(times_s, frames),
        "joints": memory.Track(states_s, states),
        "instruction": memory.Track(words_s, words),
        "mic": memory.Sound(chunks_s, chunks),
    }
    live = {
        "camera": list(zip(times_s, map(Fit(CAMERA), frames), strict=True)),
        "joints": list(zip(states_s, states, strict=True)),
        "instruction": list(zip(words_s, words, strict=True)),
        "mic": list(zip(chunks_s, chunks, strict=True)),
    }
    return memory.Episode("drive", np.arange(0, seconds, 0.1), tracks), live


FEATURES = {
    "camera": Feature("image", (9, 12, 3), rate_hz=10.0),
    "joints": Feature("vector", (2,)),
    "instruction": Feature("text"),
    "mic": Feature("audio", (1,), rate_hz=16_000, stream=True),
}


def live_steps(inputs, samples, times_s):
    """What live buffers would have shown at each of these times."""
    buffers, done = Buffers(inputs), dict.fromkeys(samples, 0)
    for now_s in times_s:
        for name, stream in samples.items():
            while done[name] < len(stream) and stream[done[name]][0] <= now_s:
                buffers.feed(name, stream[done[name]][1], stream[done[name]][0])
                done[name] += 1
        yield SimpleNamespace(time_s=now_s, seen=observed_now(buffers, inputs, now_s))


@pytest.mark.parametrize("rate_hz", [10.0, 4.0, 33.0])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("chunk", [64, 3])
def test_an_episode_is_seen_as_live_at_any_rate(memory, monkeypatch, rate_hz, frames, chunk):
    monkeypatch.setattr(batch_episodes, "CHUNK_STEPS", chunk)
    episode, samples = streams(np.random.default_rng(3), memory)
    inputs = {
        "camera": Image(height=8, width=8, frames=frames, max_age_s=0.05),
        "joints": State(size=2, max_age_s=0.2, critical=True),
        "instruction": Text(),
        "mic": Audio(seconds=0.4),
    }
    wanted, source = signature(inputs, rate_hz), memory.Source(FEATURES, [episode])
    spec = InputSpec("memory")
    fed = feeding(spec, wanted, list(FEATURES), DataError)
    steps = list(EpisodesInput(spec, wanted, source, ["drive"], fed).lived(0))
    times_s = episode.times_s if rate_hz == 10.0 else [step.time_s for step in steps]
    assert np.allclose(np.diff(times_s), 1 / rate_hz)
    assert 0 <= times_s[-1] - episode.times_s[-1] < 1 / rate_hz
    expected = list(live_steps(inputs, samples, times_s))
    assert len(steps) == len(expected)
    for step, live in zip(steps, expected, strict=True):
        assert_the_same(step, live)
        assert step.seen.sequences == live.seen.sequences
    assert any("camera" not in step.seen.observation for step in steps)  # too old
    assert any(step.seen.ages_s.get("joints", 0) > 0.2 for step in steps)  # but a critical one is shown


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two episodes of a camera, a state and a microphone."""
    path = tmp_path_factory.mktemp("recording") / "demos"
    features = {
        "observation.images.camera": Feature("image", (16, 24, 3)),
        "observation.state": Feature("vector", (2,)),
        f"{AUDIO}mic": Feature("audio", (1,), rate_hz=16_000, stream=True),
        "action": Feature("vector", (1,)),
    }
    with Recorder(path, features, 10.0) as recorder:
        for episode in range(2):
            for step in range(5):
                sound = np.full((1600, 1), 0.01 * (step + 1), np.float32)
                recorder.add_sound(f"{AUDIO}mic", sound, step / 10)
                values = {
                    "observation.images.camera": np.full((16, 24, 3), 20 * step, np.uint8),
                    "observation.state": np.array([step, episode], np.float32),
                    "action": np.zeros(1, np.float32),
                }
                recorder.add(values, step / 10)
            recorder.commit(f"drive {episode}")
    return path


HEARING = {"camera": CAMERA, "joints": State(size=2), "instruction": Text(), "mic": Audio(seconds=0.2)}


def test_a_recording_feeds_inputs_by_the_names_that_recordings_have(recording):
    found = opened(recording, HEARING)
    assert list(found.ids) == ["episode 0", "episode 1"]
    assert found.fed == {
        "camera": "observation.images.camera",
        "joints": "observation.state",
        "instruction": "task",
        "mic": "audio.mic",
    }
    steps = list(found.lived(1))
    assert [round(step.time_s, 6) for step in steps] == [0, 0.1, 0.2, 0.3, 0.4]
    last = steps[-1].seen.observation
    assert last["instruction"] == "drive 1"
    assert last["joints"].tolist() == [4, 1]
    assert last["camera"].shape == (8, 8, 3)
    assert abs(float(last["camera"].mean()) - 80) < 4
    assert last["mic"][0, 0] == pytest.approx(0.04, abs=1e-6)
    assert last["mic"][-1, 0] == pytest.approx(0.05, abs=1e-6)
    assert not found.alone
    with pytest.raises(ValueError, match="do not stand alone"):
        found.samples([0])


def test_at_another_rate_a_recording_is_decided_in_at_that_rate(recording):
    assert [round(step.time_s, 6) for step in opened(recording, HEARING, rate_hz=5.0).lived(0)] == [0, 0.2, 0.4]
    steps = list(opened(recording, HEARING, 5.0, **{}).lived(0))
    assert len(steps) == 3


def test_sound_of_other_channels_is_mixed_as_live(recording):
    steps = list(opened(recording, {"mic": Audio(seconds=0.2, channels=2)}).lived(0))
    heard = steps[-1].seen.observation["mic"]
    assert heard.shape == (3200, 2)
    assert equal(heard[:, 0], heard[:, 1])


def test_sound_that_is_clipped_is_refused_at_those_steps_and_no_others(memory):
    chunks = [np.full((1600, 1), 1.0 if number == 3 else 0.1, np.float32) for number in range(8)]
    times_s = np.arange(8) / 10
    episode = memory.Episode("drive", times_s, {"mic": memory.Sound(times_s, chunks)})
    wanted = signature({"mic": Audio(seconds=0.2)})
    fed = feeding(InputSpec("memory"), wanted, ["mic"], DataError)
    steps = list(EpisodesInput(InputSpec("memory"), wanted, memory.Source(FEATURES, [episode]), ["a"], fed).lived(0))
    assert [step.time_s for step in steps if step.refused] == [0.3, 0.4]
    assert "clipped sound" in steps[3].refused
    assert "mic" not in steps[3].seen.observation
    assert "mic" in steps[5].seen.observation


def test_a_damaged_episode_costs_itself_only(recording, tmp_path):
    copy = shutil.copytree(recording, tmp_path / "copy")
    next(copy.rglob("*file-001.flac")).write_bytes(b"x")
    found = opened(copy, HEARING)
    assert len(list(found.lived(0))) == 5
    with pytest.raises(Unreadable, match="damaged") as error:
        list(found.lived(1))
    assert (error.value.id, error.value.stage) == ("episode 1", "open")


def test_another_process_notices_that_a_table_has_changed(tmp_path):
    path = table(tmp_path / "rows.csv", "instruction\ngo\n")
    found = opened(path, {"instruction": Text()})
    open_input(InputSpec(**json.loads(json.dumps(found.spec.to_json()))), signature({"instruction": Text()}), found.ids)
    table(path, "instruction\ngo\nstop\n")
    with pytest.raises(DataError, match="has changed"):
        open_input(found.spec, signature({"instruction": Text()}), found.ids)


def test_a_table_at_an_address_is_refused():
    with pytest.raises(DataError, match="read from this machine"):
        opened("memory://far/rows.csv")


def test_a_hundred_thousand_rows_are_not_read_one_by_one(tmp_path, monkeypatch):
    rows = 100_000
    path = table(tmp_path / "rows.csv", "id,instruction,x,y\n" + "".join(f"r{i},go,{i},1\n" for i in range(rows)))
    found = opened(path)
    assert len(found) == len(found.ids) == rows
    monkeypatch.setattr(EpisodesInput, "lived", None)  # nothing goes through episodes
    last = found.samples(range(rows - 1000, rows))[-1]
    assert last.seen.observation["joints"].tolist() == [rows - 1, 1]


def test_times_that_are_damaged_do_not_go_on_for_ever(tmp_path):
    rows = "".join(f"a,{time_s},0,1\n" for time_s in (5, 5.1, 5.2, 9e9)) + "b,0,0,1\nb,0.1,0,1\n"
    found = opened(table(tmp_path / "rows.csv", "episode,time,x,y\n" + rows), {"joints": JOINTS}, rate_hz=20.0)
    with pytest.raises(Unreadable, match=r"after 0\.2 s it goes on at 9e\+09 s"):
        next(found.lived(0))
    assert len(list(found.lived(1))) == 3
