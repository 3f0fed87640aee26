"""Recording to a directory, and every way in which that can be cut off."""

import errno
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from sensorimotor.errors import DataError, ObservationError, OutputPathError, UsageError
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.recorder import Recorder
from sensorimotor.pipelines.video import VideoWriter

RATE, SOUND_RATE = 10, 16_000
FEATURES = {
    "observation.images.front": Feature("image", (24, 32, 3)),
    "observation.state": Feature("vector", (3,), ("x", "y", "angle"), ("m", "m", "rad")),
    "action": Feature("vector", (2,)),
    "label": Feature("choice"),
    "audio.mic": Feature("audio", (2,), rate_hz=SOUND_RATE, stream=True),
}
CHUNK = SOUND_RATE // RATE


def picture(number, height=24, width=32):
    y, x = np.mgrid[:height, :width]
    return np.stack([7 * x + number, 9 * y + 3 * number, x + y], -1).astype(np.uint8)


def step(number):
    return {
        "observation.images.front": picture(number),
        "observation.state": np.array([number, number / 3, -number], np.float32),
        "action": np.array([np.sin(number), np.cos(number)], np.float32),
        "label": number % 3,
    }


def noise(number):
    """Sound as a converter of 16 bits gives it."""
    return np.random.default_rng(number).integers(-(2**15), 2**15, (CHUNK, 2)).astype(np.float32) / 2**15


def record(recorder, steps=6, task="go", start_s=5.0):
    for number in range(steps):
        recorder.add_sound("audio.mic", noise(number), start_s + number / RATE)
        recorder.add(step(number), start_s + number / RATE + 0.013)
    return recorder.commit(task)


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def info(root):
    return json.loads((root / "meta" / "info.json").read_bytes())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


# What is kept


def test_what_was_recorded_comes_back(root):
    with Recorder(root, FEATURES, RATE, crf=0) as recorder:
        assert [record(recorder, steps, task) for steps, task in ((6, "go"), (4, "stop"), (5, "go"))] == [0, 1, 2]
        assert recorder.episodes == 3
        assert recorder.recovered is None
    source = LeRobotSource(root)
    assert [source.episode(number).track("task").read([0]) for number in range(3)] == [["go"], ["stop"], ["go"]]
    episode = source.episode(1)
    assert np.array_equal(episode.times_s, [5.0 + number / RATE + 0.013 for number in range(4)])
    for name in step(0):
        read = episode.track(name).read(range(4))
        assert np.array_equal(read, [step(number)[name] for number in range(4)]), name
    sound = episode.sound("audio.mic", SOUND_RATE)
    assert np.array_equal(sound.read(0, 4 * CHUNK), np.concatenate([noise(number) for number in range(4)]))
    assert np.array_equal(sound.times_s, [5.0 + number / RATE for number in range(4)])


def test_the_directory_is_a_lerobot_data_set_and_sound_is_beside_it(root):
    with Recorder(root, FEATURES | {"task": Feature("text")}, RATE, robot_type="arm") as recorder:
        record(recorder, 6)
        record(recorder, 4)
    content = info(root)
    assert content["codebase_version"] == "v3.0"
    assert content["robot_type"] == "arm"
    counts = {"total_episodes": 2, "total_frames": 10, "total_tasks": 1, "fps": RATE, "splits": {"train": "0:2"}}
    assert {name: content[name] for name in counts} == counts
    assert not [name for name in content["features"] if "audio" in name or name == "task"]
    assert content["features"]["observation.state"]["names"] == ["x", "y", "angle"]
    table = pq.read_table(root / "data/chunk-000/file-001.parquet")
    assert table.column_names == [name for name in content["features"] if name != "observation.images.front"]
    assert table["index"].to_pylist() == [6, 7, 8, 9]
    assert table["timestamp"].to_pylist() == [np.float32(number / RATE) for number in range(4)]
    assert table["capture_time_s"].to_pylist() == [5.0 + number / RATE + 0.013 for number in range(4)]
    row = pq.read_table(root / "meta/episodes/chunk-000/file-001.parquet").to_pylist()[0]
    assert (row["dataset_from_index"], row["dataset_to_index"], row["length"], row["tasks"]) == (6, 10, 4, ["go"])
    assert row["videos/observation.images.front/file_index"] == 1
    assert json.loads((root / "audio/info.json").read_bytes())["streams"] == {
        "audio.mic": {"sample_rate": SOUND_RATE, "channels": 2}
    }
    assert pq.read_table(root / "audio/mic/chunk-000/file-001.parquet").to_pylist()[1] == {
        "episode_index": 1,
        "chunk": 1,
        "first_sample": CHUNK,
        "samples": CHUNK,
        "capture_time_s": 5.1,
    }


def test_statistics_are_those_of_all_values(root):
    lengths = (6, 9)
    with Recorder(root, FEATURES, RATE) as recorder:
        for steps in lengths:
            record(recorder, steps)
    every = [step(number) for steps in lengths for number in range(steps)]
    stats = json.loads((root / "meta/stats.json").read_bytes())
    for name in ("observation.state", "action"):
        values = np.stack([one[name] for one in every]).astype(np.float64)
        for statistic in ("min", "max", "mean", "std"):
            assert np.allclose(stats[name][statistic], getattr(values, statistic)(0)), (name, statistic)
        assert stats[name]["count"] == [15]
        parts = [np.quantile(values[:6], 0.9, axis=0), np.quantile(values[6:], 0.9, axis=0)]
        assert np.allclose(stats[name]["q90"], (6 * parts[0] + 9 * parts[1]) / 15)
    pixels = np.stack([one["observation.images.front"] for one in every]) / 255
    for statistic in ("min", "max", "mean", "std"):
        found = np.array(stats["observation.images.front"][statistic])
        assert found.shape == (3, 1, 1)
        assert np.allclose(found.ravel(), getattr(pixels, statistic)((0, 1, 2))), statistic
    row = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[0]
    first = pixels[:6].reshape(-1, 3)
    for statistic, q in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
        found = np.array(row[f"stats/observation.images.front/{statistic}"]).ravel()
        assert np.allclose(found, np.quantile(first, q, axis=0, method="inverted_cdf")), statistic


def test_a_missing_vector_is_no_sample_and_not_in_the_statistics(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        for number in range(5):
            values = step(number)
            if number in (1, 3):
                values["observation.state"] = None if number == 1 else np.full(3, np.nan)
            recorder.add(values | ({} if number else {"action": None}), number)
        recorder.commit("go")
    episode = LeRobotSource(root).episode(0)
    assert episode.track("observation.state").times_s.tolist() == [0, 2, 4]
    assert episode.track("action").times_s.tolist() == [1, 2, 3, 4]
    stats = json.loads((root / "meta/stats.json").read_bytes())["observation.state"]
    assert stats["count"] == [3]
    assert np.allclose(stats["mean"], [2, 2 / 3, -2])


def test_what_was_never_there_has_no_statistics_and_does_no_harm(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        for _ in range(2):
            recorder.add(step(0) | {"action": None}, 0.0)
            recorder.commit("go")
    assert "action" not in json.loads((root / "meta/stats.json").read_bytes())
    assert len(LeRobotSource(root).episode(1).track("action").times_s) == 0


@pytest.mark.parametrize("bits", [16, 24])
def test_sound_from_a_converter_is_kept_bit_by_bit(root, bits):
    steps = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (5000, 2))
    sound = (steps / 2.0 ** (bits - 1)).astype(np.float32)
    with Recorder(root, FEATURES, RATE) as recorder:
        recorder.add(step(0), 0.0)
        recorder.add_sound("audio.mic", sound, 0.0)
        recorder.commit("go")
    assert np.array_equal(LeRobotSource(root).episode(0).sound("audio.mic", SOUND_RATE).read(0, 5000), sound)


def test_any_other_sound_is_rounded_by_less_than_can_be_heard(root):
    sound = np.random.default_rng(0).uniform(-1, 1, (5000, 2)).astype(np.float32)
    sound[:2] = [[1, -1], [0, 1]]
    with Recorder(root, FEATURES, RATE) as recorder:
        recorder.add(step(0), 0.0)
        recorder.add_sound("audio.mic", sound, 0.0)
        recorder.commit("go")
    kept = LeRobotSource(root).episode(0).sound("audio.mic", SOUND_RATE).read(0, 5000)
    assert np.abs(kept[2:] - sound[2:]).max() <= 2**-24
    assert np.abs(kept[:2] - sound[:2]).max() <= 2**-23  # full scale is one step too loud for integers
    assert soundfile.info(root / "audio/mic/chunk-000/file-000.flac").subtype == "PCM_24"


def test_an_episode_without_sound_is_silent(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        recorder.add(step(0), 0.0)
        recorder.commit("go")
    sound = LeRobotSource(root).episode(0).sound("audio.mic", 8000)
    assert len(sound.times_s) == len(sound.ends) == len(sound.read(0, 0)) == 0


def test_what_is_discarded_leaves_nothing_behind(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder)
        before = tree(root)
        recorder.add(step(0), 0.0)
        recorder.add_sound("audio.mic", noise(0), 0.0)
        recorder.discard()
        assert tree(root) == before
        assert record(recorder) == 1
    with Recorder(root, FEATURES, RATE) as recorder:
        assert recorder.recovered is None
        recorder.add(step(0), 0.0)
    with Recorder(root, FEATURES, RATE) as recorder:
        assert recorder.recovered is None
    assert len(LeRobotSource(root)) == 2


# What is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"observation.images.front": picture(0, 48, 64)}, "'observation.images.front': expected an image"),
        ({"observation.images.front": picture(0) / 255}, r"float64 \(24, 32, 3\)"),
        ({"observation.images.front": None}, "got nothing. Only a vector may be missing"),
        ({"action": [1.0, 2.0, 3.0]}, "'action': expected a state"),
        ({"observation.state": np.array([1, np.nan, 2])}, "NaN or infinite: y"),
        ({"label": 0.5}, "'label': expected an integer"),
        ({"label": None}, "'label': expected an integer"),
        ({"acton": [0, 0]}, "'acton': expected a feature that is recorded.*there are observation.images.front"),
        ({"audio.mic": noise(0)}, "'audio.mic': expected a feature"),
    ],
)
def test_a_step_that_is_not_what_was_announced_is_refused_and_the_episode_goes_on(root, values, message):
    with Recorder(root, FEATURES, RATE) as recorder:
        recorder.add(step(0), 0.0)
        with pytest.raises(ObservationError, match=message):
            recorder.add(step(1) | values, 0.1)
        recorder.add(step(2), 0.2)
        recorder.commit("go")
    episode = LeRobotSource(root).episode(0)
    assert episode.times_s.tolist() == [0.0, 0.2]
    assert len(episode.track("observation.images.front").read([0, 1])) == 2


@pytest.mark.parametrize(
    ("name", "chunk", "message"),
    [
        ("audio.other", noise(0), "'audio.other': expected a stream of sound.*there is audio.mic"),
        ("audio.mic", noise(0)[:, 0], r"float32 \(1600,\)"),
        ("audio.mic", noise(0).astype(np.float64), "float64"),
        ("audio.mic", noise(0) * np.nan, "NaN or infinite"),
        ("audio.mic", noise(0) * 3, "a peak of 3"),
    ],
)
def test_sound_that_is_not_what_was_announced_is_refused(root, name, chunk, message):
    with Recorder(root, FEATURES, RATE) as recorder, pytest.raises(ObservationError, match=message):
        recorder.add_sound(name, chunk, 0.0)


def test_time_does_not_go_back(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        recorder.add(step(0), 3.0)
        with pytest.raises(
            DataError, match="step 1 of the episode: expected later than 3 s, when the last was, got 3 s"
        ):
            recorder.add(step(1), 3.0)
        with pytest.raises(DataError, match="got nan"):
            recorder.add(step(1), float("nan"))
        recorder.add_sound("audio.mic", noise(0), 3.0)
        recorder.add_sound("audio.mic", noise(1), 3.0)
        with pytest.raises(DataError, match="audio.mic: expected a chunk not earlier than 3 s, got one of 2.9 s"):
            recorder.add_sound("audio.mic", noise(1), 2.9)


def test_an_episode_has_steps_and_a_task(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        with pytest.raises(UsageError, match="no step has been recorded"):
            recorder.commit("go")
        recorder.add_sound("audio.mic", noise(0), 0.0)
        with pytest.raises(UsageError, match="no step has been recorded"):
            recorder.commit("go")
        recorder.add(step(0), 0.0)
        for task in ("", " ", None):
            with pytest.raises(ObservationError, match="task"):
                recorder.commit(task)
        assert recorder.commit("go") == 0
    with pytest.raises(UsageError, match="closed"):
        recorder.add(step(0), 0.0)


@pytest.mark.parametrize(
    ("name", "feature", "message"),
    [
        ("a/b", Feature("vector", (2,)), "'a/b' cannot name"),
        ("timestamp", Feature("vector", (2,)), "'timestamp' cannot name"),
        ("observation.image_embedding", Feature("vector", (2,)), "takes a name with 'image' in it for a picture"),
        ("observation.images.grey", Feature("image", (24, 32, 1)), r"expected pictures \(height, width, 3\)"),
        ("wide", Feature("vector", (5000,)), "1 to 4096 values"),
        ("named", Feature("vector", (2,), ("x",)), "1 names for 2 values"),
        ("clip", Feature("audio", (1,), rate_hz=16_000), "a stream of sound is called audio.NAME"),
        (
            "audio.mic",
            Feature("audio", (9,), rate_hz=16_000, stream=True),
            "of 1 to 8 channels, not at 16000 Hz and of 9",
        ),
        ("audio.mic", Feature("audio", (1,), stream=True), "not at None Hz"),
        ("audio.", Feature("audio", (1,), rate_hz=16_000, stream=True), "'audio.' cannot name"),
    ],
)
def test_a_feature_that_lerobot_has_no_place_for_is_refused_before_anything_is_written(root, name, feature, message):
    with pytest.raises(UsageError, match=message):
        Recorder(root, {"action": Feature("vector", (2,)), name: feature}, RATE)
    assert not root.exists()


@pytest.mark.parametrize("rate", [7.5, 0, -1, float("nan"), float("inf"), 2000])
def test_a_rate_that_lerobot_cannot_have_is_refused(root, rate):
    with pytest.raises(UsageError, match="a whole number of steps a second"):
        Recorder(root, FEATURES, rate)


# Going on


def test_a_recording_goes_on_where_it_ended(root):
    for task in ("go", "stop", "go"):
        with Recorder(root, FEATURES, RATE) as recorder:
            record(recorder, 4, task)
    source = LeRobotSource(root)
    assert [source.episode(number).track("task").read([0])[0] for number in range(3)] == ["go", "stop", "go"]
    assert pq.read_table(root / "data/chunk-000/file-002.parquet")["index"].to_pylist() == [8, 9, 10, 11]
    stats = json.loads((root / "meta/stats.json").read_bytes())
    assert stats["index"]["count"] == [12]
    assert np.allclose(stats["index"]["mean"], 5.5)


@pytest.mark.parametrize(
    ("features", "rate", "message"),
    [
        (FEATURES, 20, "fps is 10 there, and 20 is asked for"),
        (FEATURES | {"action": Feature("vector", (3,))}, RATE, r'action is .*"shape": \[2\].*there, and .*\[3\]'),
        (FEATURES | {"extra": Feature("choice")}, RATE, "it has no extra"),
        (
            {name: one for name, one in FEATURES.items() if name != "label"},
            RATE,
            "it has label, which is not asked for",
        ),
        ({name: one for name, one in FEATURES.items() if name != "audio.mic"}, RATE, "it has audio.mic"),
        (
            FEATURES | {"audio.mic": Feature("audio", (1,), rate_hz=SOUND_RATE, stream=True)},
            RATE,
            r'audio.mic is .*"channels": 2} there',
        ),
    ],
)
def test_a_recording_of_something_else_is_not_continued(root, features, rate, message):
    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder)
    before = tree(root)
    with pytest.raises(DataError, match=f"{re.escape(str(root))} cannot be continued: {message}"):
        Recorder(root, features, rate)
    assert tree(root) == before


@pytest.mark.parametrize("count", [0, 1, 4, 999])
def test_a_recording_that_is_miscounted_loses_nothing(root, count):
    with Recorder(root, FEATURES, RATE) as recorder:
        for _ in range(3):
            record(recorder, 2)
    (root / "meta/info.json").write_text(json.dumps(info(root) | {"total_episodes": count}))
    before = tree(root)
    message = f"info.json says there are {count} episodes, but there are files of 3; nothing was changed"
    with pytest.raises(DataError, match=message):
        Recorder(root, FEATURES, RATE)
    assert tree(root) == before


@pytest.mark.parametrize("tasks", [None, "many", -1])
def test_a_recording_without_a_number_of_tasks_is_not_continued(root, tasks):
    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder, 2)
    content = info(root)
    del content["total_tasks"]
    (root / "meta/info.json").write_text(json.dumps(content if tasks is None else content | {"total_tasks": tasks}))
    before = tree(root)
    with pytest.raises(DataError, match="info.json: total_tasks"):
        Recorder(root, FEATURES, RATE)
    assert tree(root) == before


@pytest.mark.parametrize(
    "change", [{"mean": [1.0]}, {"std": None}, {"std": "wide"}, {"count": [2, 2]}, {"q99": [[1.0, 2.0]]}]
)
def test_statistics_that_are_damaged_are_made_again(root, change):
    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder, 2)
    whole = json.loads((root / "meta/stats.json").read_bytes())
    damaged = {key: value for key, value in (whole["action"] | change).items() if value is not None}
    (root / "meta/stats.json").write_text(json.dumps(whole | {"action": damaged}))
    with Recorder(root, FEATURES, RATE) as recorder:
        assert json.loads((root / "meta/stats.json").read_bytes()) == whole
        record(recorder, 2)
    readable(root, 2)


def test_where_statistics_cannot_be_made_again_it_names_the_file(root):
    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder, 2)
    (root / "meta/stats.json").unlink()
    table = root / "meta/episodes/chunk-000/file-000.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"meta/episodes/chunk-000/file-000.parquet is damaged"):
        Recorder(root, FEATURES, RATE)


def test_two_recorders_do_not_share_a_directory(root):
    with Recorder(root, FEATURES, RATE), pytest.raises(OutputPathError, match="is being recorded to already"):
        Recorder(root, FEATURES, RATE)
    Recorder(root, FEATURES, RATE).close()


def test_a_directory_with_something_else_in_it_is_left_alone(root):
    (root / "data").mkdir(parents=True)
    (root / "data" / "holiday.txt").write_text("not yours")
    with pytest.raises(OutputPathError, match=r"has something else than a recording in it \(data/holiday.txt\)"):
        Recorder(root, FEATURES, RATE)
    assert tree(root) == {"data/holiday.txt": b"not yours"}


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputPathError, match="cannot write .*file/set: Not a directory"):
        Recorder(tmp_path / "file" / "set", FEATURES, RATE)
    with pytest.raises(OutputPathError, match="cannot write /proc/set"):
        Recorder("/proc/set", FEATURES, RATE)


# Being cut off


DERIVED = {"meta/tasks.parquet", "meta/stats.json"}
"""What may run ahead of the episodes that count until the next recorder puts it right."""


class Full:
    """A disk that is full from the n-th time on that a function is called."""

    def __init__(self, function, calls):
        self.function, self.left = function, calls

    def __call__(self, *arguments, **options):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.function(*arguments, **options)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_whichever_write_finds_the_disk_full_the_episodes_before_are_unharmed(root, monkeypatch, function):
    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder, 3, "go")
    before, calls, message = tree(root), 0, None
    while calls == 0 or message:
        message = None
        with Recorder(root, FEATURES, RATE) as recorder:
            assert tree(root) == before
            with monkeypatch.context() as patch:
                patch.setattr(os, function, Full(getattr(os, function), calls))
                try:
                    record(recorder, 4, "stop")
                except OutputPathError as error:
                    message = str(error)
            kept = {name: content for name, content in tree(root).items() if name not in DERIVED}
            if message:
                assert message.endswith("No space left on device. Episode 1 is lost; the 1 before it are unharmed")
                assert kept == {name: content for name, content in before.items() if name not in DERIVED}
                readable(root, 1)
        calls += 1
    assert calls > 7  # video, sound and its index, steps, episode, tasks, statistics, info
    readable(root, 2)


def test_a_disk_that_fills_up_during_an_episode_costs_that_episode(root, monkeypatch):
    def full(*_):
        raise OutputPathError("cannot write front.mp4: No space left on device")

    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder)
        before = tree(root)
        recorder.add(step(0), 0.0)
        with monkeypatch.context() as patch:
            patch.setattr(VideoWriter, "write", full)
            with pytest.raises(OutputPathError, match="No space left on device. Episode 1 is lost; the 1 before it"):
                recorder.add(step(1), 0.1)
        assert tree(root) == before
        assert record(recorder) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a limit on the size of files")
def test_a_file_that_may_not_grow_is_an_error_and_the_set_stays_readable(root):
    script = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
import resource
from pathlib import Path
from test_recorder import *
seen = Recorder(Path(sys.argv[1]) / "seen", FEATURES, RATE, crf=0)
few = {{name: FEATURES[name] for name in ("action", "audio.mic")}}
heard = Recorder(Path(sys.argv[1]) / "heard", few, RATE)
def hear(steps):
    for number in range(steps):
        heard.add_sound("audio.mic", noise(number), number / RATE)
        heard.add({{"action": [0, 0]}}, number / RATE)
    heard.commit("go")
record(seen, 3)
hear(3)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
for long in (lambda: record(seen, 60), lambda: hear(5), lambda: hear(60)):
    try:
        long()
    except OutputPathError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pattern = r"(cannot write .*: .*\. Episode 1 is lost; the 1 before it are unharmed\n){3}"
    assert re.fullmatch(pattern, done.stdout), done.stdout
    for name in ("seen", "heard"):
        source = LeRobotSource(root / name)
        assert len(source) == 1
        assert len(source.episode(0).sound("audio.mic", SOUND_RATE).read(0, 3 * CHUNK)) == 3 * CHUNK
        with Recorder(
            root / name, {one: FEATURES[one] for one in source.features if one in FEATURES}, RATE
        ) as recorder:
            assert recorder.recovered is None


KILLED = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
import os, signal
from pathlib import Path
from test_recorder import *

def killing(function, calls):
    left = [calls]
    def call(*arguments, **options):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return function(*arguments, **options)
    return call

for calls in range(40):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        recorder = Recorder(Path(sys.argv[1]) / str(calls), FEATURES, RATE)
        record(recorder, 3, "go")
        os.replace = killing(os.replace, calls)
        record(recorder, 4, "stop")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(calls, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "finished")
    if os.WIFEXITED(status):
        break
"""


def test_killed_between_any_two_renames_a_recording_loses_at_most_the_episode_in_progress(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    ends = [line.split()[1] for line in done.stdout.splitlines()]
    assert ends == [str(int(signal.SIGKILL))] * (len(ends) - 1) + ["finished"]
    assert len(ends) > 8  # video, sound and its index, steps, episode, tasks, statistics, info; and none
    for calls, end in enumerate(ends):
        root = tmp_path / str(calls)
        kept = 2 if end == "finished" else 1
        readable(root, kept)
        with Recorder(root, FEATURES, RATE) as recorder:
            if end == "finished":
                assert recorder.recovered is None
            else:
                lost = r"episode 1 was in progress .* is lost \(5 files, .* MB, removed\); the 1 before it are unharmed"
                assert re.fullmatch(lost, recorder.recovered or "")
            assert not (root / ".recording").exists()
            assert not list(root.rglob("*.part"))
            assert record(recorder, 5, "on") == kept
        readable(root, kept + 1)
        assert json.loads((root / "meta/stats.json").read_bytes())["index"]["count"] == [3 + 4 * (kept == 2) + 5]
        tasks = pq.read_table(root / "meta/tasks.parquet")["task"].to_pylist()
        assert tasks == (["go", "stop", "on"] if kept == 2 else ["go", "on"])


def readable(root, episodes):
    source = LeRobotSource(root)
    assert len(source) == episodes
    for number in range(episodes):
        episode = source.episode(number)
        steps = len(episode.times_s)
        assert len(episode.track("observation.images.front").read(range(steps))) == steps
        assert len(episode.sound("audio.mic", SOUND_RATE).read(0, steps * CHUNK)) == steps * CHUNK


INTERRUPTED = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
from pathlib import Path
from test_recorder import *
recorder = Recorder(Path(sys.argv[1]), FEATURES, RATE)
record(recorder)
for number in range(10**9):
    recorder.add_sound("audio.mic", noise(number % 50), number / RATE)
    recorder.add(step(number % 50), number / RATE)
    if number == 20:
        print("recording", flush=True)
"""


def test_killed_in_the_middle_of_an_episode_a_recording_says_what_it_lost(root):
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(root)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "recording\n"
        with pytest.raises(OutputPathError, match="is being recorded to already"):
            Recorder(root, FEATURES, RATE)
        process.send_signal(signal.SIGKILL)
    readable(root, 1)
    with Recorder(root, FEATURES, RATE) as recorder:
        assert (recorder.recovered or "").startswith("episode 1 was in progress when the last recorder was cut off")
        assert record(recorder) == 1
    readable(root, 2)
    with Recorder(root, FEATURES, RATE) as recorder:
        assert recorder.recovered is None


def test_interrupted_right_after_the_last_rename_the_episode_counts(root, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        replace(source, target)
        if os.path.basename(target) == "info.json":
            raise KeyboardInterrupt

    with Recorder(root, FEATURES, RATE) as recorder:
        record(recorder)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                record(recorder)
        assert recorder.episodes == 2
        assert record(recorder) == 2
    readable(root, 3)
