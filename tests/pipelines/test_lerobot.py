"""Reading LeRobotDataset v3.0: sets laid out as LeRobot does, sets of our own, and sets that are damaged."""

import json
import pickle  # noqa: TID251 (what a data loader does with a source that it hands to a worker)
import re

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr

from sensorimotor.errors import DataError
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot import LeRobotSource, gaps
from sensorimotor.pipelines.recorder import Recorder
from sensorimotor.pipelines.video import VideoWriter

RATE = 10
LENGTHS = (4, 6, 5)
VIDEO, IMAGE = "observation.images.front", "observation.images.wrist"
STATE, ACTION = "observation.state", "action"
TASKS = ("push", "pull", "rest")
ROWS = [(episode, step) for episode, steps in enumerate(LENGTHS) for step in range(steps)]


def picture(episode, step, height=24, width=32):
    y, x = np.mgrid[:height, :width]
    return np.stack([7 * x + 11 * step, 9 * y + 50 * episode, x + y], -1).astype(np.uint8)


def state(episode, step):
    return np.array([episode, step, step / 3], np.float32)


def png(pixels):
    return cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()


def entry(dtype, shape, names=None):
    return {"dtype": dtype, "shape": shape, "names": names}


def columns(rows):
    """The columns of some rows as LeRobot writes them."""
    return {
        IMAGE: [{"bytes": png(picture(e, s, 5, 7)), "path": None} for e, s in rows],
        STATE: pa.array([state(e, s).tolist() for e, s in rows], pa.list_(pa.float32(), 3)),
        ACTION: pa.array([[float(s), float(-e)] for e, s in rows], pa.list_(pa.float32())),
        "map": pa.array([[[e, s], [0, 1], [2, 3]] for e, s in rows], pa.list_(pa.list_(pa.float64()))),
        "reward": pa.array([s / 2 for _, s in rows], pa.float32()),
        "next.done": [s == LENGTHS[e] - 1 for e, s in rows],
        "said": [f"word {s}" for _, s in rows],
        "timestamp": pa.array([s / RATE for _, s in rows], pa.float32()),
        "frame_index": [s for _, s in rows],
        "episode_index": [e for e, _ in rows],
        "index": [ROWS.index(row) for row in rows],
        "task_index": [1 if e == 1 and s > 2 else 0 for e, s in rows],
    }


FEATURES = {
    VIDEO: entry("video", [24, 32, 3], ["height", "width", "channels"]),
    IMAGE: entry("image", [3, 5, 7], ["channels", "height", "width"]),
    STATE: entry("float32", [3], {"motors": ["pan", "lift", "grip"]}),
    ACTION: entry("float32", [2], ["dx", "dy"]),
    "map": entry("float64", [3, 2]),
    "reward": entry("float32", [1]),
    "next.done": entry("bool", [1]),
    "said": entry("string", [1]),
    "timestamp": entry("float32", [1]),
    **{name: entry("int64", [1]) for name in ("frame_index", "episode_index", "index", "task_index")},
}


def write(root, groups=True, rate=RATE):
    """Three episodes as LeRobot lays them out: the first two share their files, the third has its own."""
    for file, episodes in enumerate([(0, 1), (2,)]):
        rows = [row for row in ROWS if row[0] in episodes]
        path = root / f"data/chunk-000/file-{file:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(columns(rows))
        with pq.ParquetWriter(path, table.schema) as writer:
            for episode in episodes if groups else [None]:
                number = pa.array([e == episode or episode is None for e, _ in rows])
                writer.write_table(table.filter(number))
        path = root / f"videos/{VIDEO}/chunk-000/file-{file:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        film = VideoWriter(path, rate, 24, 32, 0)
        for row in rows:
            film.write(picture(*row))
        film.close()
    ends = np.cumsum(LENGTHS)
    place = {"chunk_index": [0, 0, 0], "file_index": [0, 0, 1]}
    table = {
        "episode_index": [0, 1, 2],
        "tasks": [["push"], ["push", "pull"], ["push"]],
        "length": list(LENGTHS),
        "dataset_from_index": ends - LENGTHS,
        "dataset_to_index": ends,
        **{f"data/{name}": value for name, value in place.items()},
        **{f"videos/{VIDEO}/{name}": value for name, value in place.items()},
        f"videos/{VIDEO}/from_timestamp": [0.0, LENGTHS[0] / RATE, 0.0],
        f"videos/{VIDEO}/to_timestamp": [LENGTHS[0] / RATE, (LENGTHS[0] + LENGTHS[1]) / RATE, LENGTHS[2] / RATE],
        "stats/action/mean": [[0.0, 0.0]] * 3,
    }
    (root / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(table), root / "meta/episodes/chunk-000/file-000.parquet")
    pq.write_table(pa.table({"task_index": [0, 1, 2], "__index_level_0__": list(TASKS)}), root / "meta/tasks.parquet")
    describe(root)
    return root


def describe(root, features=None, **changes):
    """Write `meta/info.json`."""
    info = {
        "codebase_version": "v3.0",
        "robot_type": "arm",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": RATE,
        "splits": {"train": "0:3"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": FEATURES | (features or {}),
    }
    (root / "meta/info.json").write_text(json.dumps(info | changes))


def rewrite(path, **changes):
    """Replace columns of a Parquet file; None takes one out."""
    table = pq.read_table(path)
    for name, values in changes.items():
        number = table.column_names.index(name)
        table = table.remove_column(number) if values is None else table.set_column(number, name, values)
    pq.write_table(table, path)


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "set")


@pytest.fixture
def first(root):
    return root / "data/chunk-000/file-000.parquet"


# What is read


def test_features_are_those_of_the_description_without_the_bookkeeping(root):
    source = LeRobotSource(root)
    assert source.features == {
        VIDEO: Feature("image", (24, 32, 3), rate_hz=RATE),
        IMAGE: Feature("image", (5, 7, 3), rate_hz=RATE),
        STATE: Feature("vector", (3,), ("pan", "lift", "grip"), rate_hz=RATE),
        ACTION: Feature("vector", (2,), ("dx", "dy"), rate_hz=RATE),
        "map": Feature("vector", (6,), rate_hz=RATE),
        "reward": Feature("vector", (1,), rate_hz=RATE),
        "next.done": Feature("choice", rate_hz=RATE),
        "said": Feature("text", rate_hz=RATE),
        "task": Feature("text"),
    }
    assert (len(source), source.rate_hz) == (3, RATE)


@pytest.mark.parametrize("groups", [True, False])
def test_episodes_that_share_files_are_told_apart(tmp_path, groups):
    source = LeRobotSource(write(tmp_path / "set", groups))
    for number, steps in enumerate(LENGTHS):
        episode = source.episode(number)
        assert np.allclose(episode.times_s, np.arange(steps) / RATE)
        every = range(steps)
        assert np.array_equal(episode.track(VIDEO).read(every), [picture(number, s) for s in every])
        assert np.array_equal(episode.track(IMAGE).read(every), [picture(number, s, 5, 7) for s in every])
        assert np.array_equal(episode.track(STATE).read(every), [state(number, s) for s in every])
        assert np.array_equal(episode.track(ACTION).read(every), [[s, -number] for s in every])
        assert np.array_equal(episode.track("map").read(every), [[number, s, 0, 1, 2, 3] for s in every])
        assert np.array_equal(episode.track("reward").read(every), [[s / 2] for s in every])
        assert episode.track("next.done").read(every) == [int(s == steps - 1) for s in every]
        assert episode.track("said").read(every) == [f"word {s}" for s in every]


def test_samples_come_in_the_order_asked_for_in_their_types(root):
    episode = LeRobotSource(root).episode(1)
    assert np.array_equal(episode.track(VIDEO).read([5, 0, 5]), [picture(1, s) for s in (5, 0, 5)])
    assert episode.track(STATE).read([1])[0].dtype == np.float32
    assert episode.track("map").read([1])[0].dtype == np.float32
    assert isinstance(episode.track("next.done").read([1])[0], int)
    assert episode.track(STATE).read([]) == episode.track(VIDEO).read([]) == []


def test_a_task_is_said_when_it_begins(root):
    track = LeRobotSource(root).episode(1).track("task")
    assert np.allclose(track.times_s, [0.0, 0.3])
    assert track.read([0, 1]) == ["push", "pull"]


def test_missing_values_are_no_samples(root, first):
    rewrite(
        first,
        **{
            STATE: pa.array([None, [0, 1, 2], [0, np.nan, 2], *([[1, 2, 3]] * 7)], pa.list_(pa.float32(), 3)),
            "reward": pa.array([None, 1.0, np.nan, *([2.0] * 7)], pa.float32()),
            "said": pa.array(["a", None, "c", *(["d"] * 7)]),
        },
    )
    episode = LeRobotSource(root).episode(0)
    for name, steps in ((STATE, [1, 3]), ("reward", [1, 3]), ("said", [0, 2, 3])):
        assert np.allclose(episode.track(name).times_s, np.array(steps) / RATE), name
    assert np.array_equal(episode.track(STATE).read([0, 1]), [[0, 1, 2], [1, 2, 3]])
    assert episode.track("said").read([1, 2]) == ["c", "d"]


def test_numbers_are_read_without_decoding_a_picture(root):
    (root / f"videos/{VIDEO}/chunk-000/file-000.mp4").unlink()
    episode = LeRobotSource(root).episode(0)
    assert len(episode.track(VIDEO).times_s) == 4
    assert len(episode.track(STATE).read(range(4))) == 4


def test_a_timestamp_that_32_bits_cannot_hold_still_finds_its_frame(root, first):
    stamps = pa.array([3000 + s / RATE for _, s in ROWS[:10]], pa.float32())
    rewrite(first, timestamp=stamps)
    rewrite(
        root / "meta/episodes/chunk-000/file-000.parquet",
        **{f"videos/{VIDEO}/from_timestamp": pa.array([-3000.0, -3000.0 + LENGTHS[0] / RATE, 0.0])},
    )
    assert np.array_equal(LeRobotSource(root).episode(1).track(VIDEO).read([3]), [picture(1, 3)])


def test_a_source_reads_the_same_in_another_process(root):
    source = LeRobotSource(root)
    source.episode(0).track(STATE)
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301 (made a moment ago)
    assert np.array_equal(copy.episode(2).track(STATE).read([4]), [state(2, 4)])


def test_the_fingerprint_changes_with_the_data_only(root, first):
    before = LeRobotSource(root).fingerprint
    assert LeRobotSource(root).fingerprint == before
    rewrite(first, reward=pa.array(np.zeros(10, np.float32)))
    assert LeRobotSource(root).fingerprint != before


def test_gaps_are_the_steps_that_come_late():
    assert gaps(np.array([0.0, 0.1, 0.2, 0.45, 0.55, 0.9]), 10.0) == [3, 5]
    assert gaps(np.array([0.0, 0.12, 0.2, 0.34]), 10.0) == []
    assert gaps(np.zeros(0), 10.0) == gaps(np.zeros(1), 10.0) == []


# Sound beside it


@pytest.fixture
def heard(tmp_path):
    """A recording of one second of two tones, and the sound itself."""
    t = np.arange(16_000) / 16_000
    sound = (0.4 * np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 1000 * t)], 1)).astype(np.float32)
    sound = (np.rint(sound * 2**15) / 2**15).astype(np.float32)
    features = {ACTION: Feature("vector", (2,)), "audio.mic": Feature("audio", (2,), rate_hz=16_000, stream=True)}
    with Recorder(tmp_path / "heard", features, RATE) as recorder:
        for number in range(10):
            recorder.add({ACTION: [0, number]}, number / RATE + 0.02)
            recorder.add_sound("audio.mic", sound[1600 * number : 1600 * (number + 1)], number / RATE + 0.05)
        recorder.commit("listen")
    return tmp_path / "heard", sound


def test_sound_at_its_own_rate_is_what_was_recorded_in_any_stretch(heard):
    root, sound = heard
    track = LeRobotSource(root).episode(0).sound("audio.mic", 16_000)
    assert np.allclose(track.times_s, np.arange(10) / RATE + 0.05)
    assert track.ends.tolist() == [1600 * (number + 1) for number in range(10)]
    for start, stop in ((0, 16_000), (0, 0), (15_999, 16_000), (16_000, 16_000), (4095, 4097), (5000, 9001)):
        assert np.array_equal(track.read(start, stop), sound[start:stop])
    with pytest.raises(IndexError):
        track.read(0, 16_001)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_sound_at_another_rate_is_one_sound_whatever_stretch_is_read(heard, rate):
    root, sound = heard
    track = LeRobotSource(root).episode(0).sound("audio.mic", rate)
    whole = track.read(0, int(track.ends[-1]))
    assert track.ends.tolist() == [rate * (number + 1) // 10 for number in range(10)]
    assert np.allclose(whole, soxr.resample(sound, 16_000, rate, quality="HQ")[: len(whole)])
    t = np.arange(len(whole))[:, None] / rate
    inner = slice(rate // 20, -rate // 20)
    tones = 0.4 * np.sin(2 * np.pi * np.array([440, 1000]) * t)
    assert np.abs(whole - tones)[inner].max() < 1e-3
    for start, stop in ((0, 10), (777, 3001), (int(track.ends[-1]) - 3, int(track.ends[-1]))):
        assert np.array_equal(track.read(start, stop), whole[start:stop])


def test_sound_that_does_not_belong_is_refused_by_name(heard):
    root, sound = heard
    flac = root / "audio/mic/chunk-000/file-000.flac"
    soundfile.write(flac, sound[:8000], 16_000, "PCM_24")
    with pytest.raises(DataError, match=r"file-000.flac: expected 16000 samples of episode 0, found 8000"):
        LeRobotSource(root).episode(0).sound("audio.mic", 16_000)
    soundfile.write(flac, sound, 8_000, "PCM_24")
    with pytest.raises(
        DataError, match=r"file-000.flac: expected 16000 Hz x 2, as audio/info.json says, found 8000 Hz"
    ):
        LeRobotSource(root).episode(0).sound("audio.mic", 16_000)
    flac.write_bytes(b"not sound")
    with pytest.raises(DataError, match=r"file-000.flac is damaged"):
        LeRobotSource(root).episode(0).sound("audio.mic", 16_000)
    flac.unlink()
    with pytest.raises(DataError, match=r"file-000.flac: the sound of episode 0 is missing"):
        LeRobotSource(root).episode(0).sound("audio.mic", 16_000)


def test_damage_in_the_middle_of_sound_is_found_when_it_is_read(heard):
    root, _ = heard
    flac = root / "audio/mic/chunk-000/file-000.flac"
    content = flac.read_bytes()
    flac.write_bytes(content[: len(content) // 2])
    track = LeRobotSource(root).episode(0).sound("audio.mic", 16_000)
    with pytest.raises(DataError, match=r"file-000.flac (is damaged|ends after)"):
        track.read(0, 16_000)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1}', '{"version": 1, "streams": {"audio.mic": 3}}'])
def test_a_damaged_description_of_the_sound_is_refused_by_name(heard, content):
    root, _ = heard
    (root / "audio/info.json").write_text(content)
    with pytest.raises(DataError, match=r"audio/info.json is damaged"):
        LeRobotSource(root)


def test_sound_and_samples_are_asked_for_as_what_they_are(heard):
    episode = LeRobotSource(heard[0]).episode(0)
    with pytest.raises(DataError, match="audio.mic is a stream of sound"):
        episode.track("audio.mic")
    with pytest.raises(DataError, match="action is vector, not sound"):
        episode.sound(ACTION, 16_000)
    with pytest.raises(DataError, match="has no feature 'acton'; it has action, task, audio.mic"):
        episode.track("acton")


# What is refused


def test_where_there_is_no_data_set_it_says_what_was_expected(tmp_path):
    with pytest.raises(
        DataError, match=f"{re.escape(str(tmp_path))}: there is no LeRobot data set here; expected .*info"
    ):
        LeRobotSource(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v2.1"}, "this is format v2.1, expected v3.0; convert it: python -m lerobot.*v21_to_v30"),
        ({"codebase_version": "v4.0"}, "this is format v4.0, newer than v3.0"),
        ({"codebase_version": None}, "this is format None"),
        ({"fps": 0}, "fps: Input should be greater than 0"),
        ({"fps": "fast"}, "fps"),
        ({"total_episodes": "all"}, "total_episodes"),
        ({"features": {"a": {"dtype": "float32"}}}, r"features.a.shape: Field required"),
        ({"features": {"a": entry("float32", [-2, -2])}}, r"features.a.shape.0: Input should be greater than or equal"),
    ],
)
def test_another_version_or_a_wrong_description_is_refused(root, changes, message):
    describe(root, **changes)
    with pytest.raises(DataError, match=f"info.json: {message}"):
        LeRobotSource(root)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", "[" * 100_000])
def test_a_damaged_description_is_refused(root, content):
    (root / "meta/info.json").write_text(content)
    with pytest.raises(DataError, match=r"info.json is damaged"):
        LeRobotSource(root)


def test_of_a_description_that_is_no_text_the_message_has_no_bytes(root):
    (root / "meta/info.json").write_bytes(b'{"a": "' + b"\xff" * 10_000)
    with pytest.raises(DataError, match=r"info.json is damaged \(UnicodeDecodeError: ") as caught:
        LeRobotSource(root)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("feature", "found"),
    [
        (entry("audio", [2]), r"found dtype 'audio' of shape \(2,\)"),
        (entry("language", [1]), "found dtype 'language'"),
        (entry("float32", []) | {"dtype": "complex64"}, "found dtype 'complex64'"),
        (entry("float32", [0]), "found dtype 'float32'"),
        (entry("float32", [1_000_000_000]), r"found dtype 'float32' of shape \(1000000000,\)"),
        (entry("float32", [10**10, 10**10]), r"found dtype 'float32' of shape \(10000000000, 10000000000\)"),
        (entry("video", [24, 32]), "found dtype 'video'"),
        (entry("video", [24, 32, 1]) | {"info": {"video.is_depth_map": True}}, "found depth pictures"),
    ],
)
def test_a_feature_of_an_unknown_kind_is_refused_by_name(root, feature, found):
    describe(root, {"strange": feature})
    with pytest.raises(DataError, match=f"info.json: feature 'strange': expected video, .*{found}.*take it out"):
        LeRobotSource(root)


@pytest.mark.parametrize(
    "template", ["/etc/{video_key}.mp4", "videos/../../{video_key}.mp4", "{video_key}/{nothing}.mp4", "{video_key.x}"]
)
def test_a_path_that_leads_elsewhere_is_not_followed(root, template):
    describe(root, video_path=template)
    with pytest.raises(DataError, match=r"leads out of the data set|names 'nothing'|no such video"):
        LeRobotSource(root).episode(0).track(VIDEO).read([0])


def test_a_missing_video_is_refused_by_name_when_a_frame_is_asked_for(root):
    (root / f"videos/{VIDEO}/chunk-000/file-001.mp4").unlink()
    source = LeRobotSource(root)
    assert len(source.episode(0).track(VIDEO).read([0])) == 1
    with pytest.raises(DataError, match=rf"{VIDEO}/chunk-000/file-001.mp4: there is no such video"):
        source.episode(2).track(VIDEO).read([0])


def test_a_video_of_another_rate_is_refused(tmp_path):
    root = write(tmp_path / "set", rate=2 * RATE)
    with pytest.raises(DataError, match=r"file-000.mp4: expected 10 frames a second, found 20"):
        LeRobotSource(root).episode(0).track(VIDEO).read([0])


def test_a_video_that_lacks_frames_is_refused(root):
    path = root / f"videos/{VIDEO}/chunk-000/file-001.mp4"
    film = VideoWriter(path, RATE, 24, 32)
    for step in range(3):
        film.write(picture(2, step))
    film.close()
    track = LeRobotSource(root).episode(2).track(VIDEO)
    assert len(track.read([0, 1, 2])) == 3
    with pytest.raises(
        DataError, match=r"file-001.mp4: expected a frame at 0.4000 s, found the nearest one at 0.2000 s"
    ):
        track.read([4])


def test_pictures_of_another_size_than_described_are_refused(root):
    describe(root, {VIDEO: entry("video", [48, 64, 3])})
    with pytest.raises(DataError, match=r"file-000.mp4: episode 1: expected .*\(48, 64, 3\).*found \(24, 32, 3\)"):
        LeRobotSource(root).episode(1).track(VIDEO).read([0])
    describe(root, {IMAGE: entry("image", [7, 5, 3])})
    with pytest.raises(DataError, match=r"file-000.parquet: episode 1: expected .*\(7, 5, 3\).*found \(5, 7, 3\)"):
        LeRobotSource(root).episode(1).track(IMAGE).read([0])


def test_a_picture_that_cannot_be_decoded_is_refused_by_row(root, first):
    pictures = columns(ROWS[:10])[IMAGE]
    pictures[5] = {"bytes": b"no picture", "path": None}
    pictures[6] = {"bytes": None, "path": "elsewhere.png"}
    rewrite(first, **{IMAGE: pa.array(pictures)})
    track = LeRobotSource(root).episode(1).track(IMAGE)
    assert np.array_equal(track.read([0]), [picture(1, 0, 5, 7)])
    for step in (1, 2):
        with pytest.raises(DataError, match=rf"file-000.parquet: episode 1, row {step}: {IMAGE} is no picture"):
            track.read([step])


@pytest.mark.parametrize("where", ["data/chunk-000/file-000", "meta/episodes/chunk-000/file-000", "meta/tasks"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.95, None])
def test_a_table_that_is_cut_short_or_missing_is_refused_by_name(root, where, kept):
    path = root / f"{where}.parquet"
    content = path.read_bytes()
    if kept is None:
        path.unlink()
    else:
        path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"damaged|missing") as caught:
        LeRobotSource(root).episode(0)
    assert str(root / where.split("/file")[0]).split("/chunk")[0] in str(caught.value)


@pytest.mark.parametrize(("rows", "row"), [(slice(4, 5), 0), (slice(7, 8), 3)])
def test_an_action_of_another_width_is_refused_by_file_episode_and_row(root, first, rows, row):
    values = [[0.0, 1.0]] * 10
    values[rows] = [[0.0, 1.0, 2.0]]
    rewrite(first, **{ACTION: pa.array(values, pa.list_(pa.float32()))})
    source = LeRobotSource(root)
    assert len(source.episode(0).track(ACTION).read(range(4))) == 4
    with pytest.raises(DataError, match=rf"file-000.parquet: episode 1, row {row}: expected action of 2 .*found 3"):
        source.episode(1).track(ACTION)


def test_a_vector_that_is_a_number_or_a_string_is_refused(root, first):
    rewrite(first, **{ACTION: pa.array(np.zeros(10, np.float32))})
    with pytest.raises(DataError, match=r"episode 0: expected action of 2 values.*found 1"):
        LeRobotSource(root).episode(0).track(ACTION)
    rewrite(first, **{ACTION: pa.array(["no"] * 10)})
    with pytest.raises(DataError, match=r"expected numbers in action, found string"):
        LeRobotSource(root).episode(0).track(ACTION)


def test_a_column_that_is_missing_is_refused_by_name(root, first):
    rewrite(first, reward=None)
    with pytest.raises(DataError, match=r"file-000.parquet: the column reward is missing"):
        LeRobotSource(root).episode(0).track("reward")


def test_rows_that_are_missing_are_noticed(root, first):
    pq.write_table(pq.read_table(first).slice(0, 9), first)
    source = LeRobotSource(root)
    assert len(source.episode(0).times_s) == 4
    with pytest.raises(DataError, match=r"file-000.parquet: expected 6 rows of episode 1, found 5"):
        source.episode(1)


def test_a_list_of_episodes_with_a_hole_in_it_is_refused(root):
    rewrite(root / "meta/episodes/chunk-000/file-000.parquet", episode_index=pa.array([0, 2, 3]))
    with pytest.raises(DataError, match=r"expected episodes 0 to 2 in order, found 2 where 1 belongs"):
        LeRobotSource(root)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("length", [4, None, 5]),
        ("length", ["4", "6", "5"]),
        ("length", [4.5, 6, 5]),
        ("length", [4, -6, 5]),
        (f"videos/{VIDEO}/from_timestamp", [0.0, float("inf"), 0.0]),
        (f"videos/{VIDEO}/from_timestamp", [0.0, float("nan"), 0.0]),
    ],
)
def test_a_list_of_episodes_without_plain_numbers_is_refused_by_column(root, column, values):
    rewrite(root / "meta/episodes/chunk-000/file-000.parquet", **{column: pa.array(values)})
    with pytest.raises(DataError, match=rf"file-000.parquet: expected a [a-z0-9() ]+ in {column}, in every row"):
        LeRobotSource(root)


def test_files_of_a_list_of_episodes_may_differ_in_their_types(root):
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(2), path.with_name("file-001.parquet"))
    pq.write_table(table.slice(0, 2), path)
    rewrite(path, length=pa.array([4.0, 6.0]))
    assert [len(LeRobotSource(root).episode(number).times_s) for number in range(3)] == list(LENGTHS)


def test_far_more_episodes_than_there_are_is_refused(root):
    describe(root, total_episodes=10**12)
    with pytest.raises(DataError, match="expected episodes 0 to 999999999999 in order, found nothing where 3 belongs"):
        LeRobotSource(root)


def test_a_list_of_episodes_that_is_longer_than_the_data_set_is_cut(root):
    describe(root, total_episodes=2)
    assert len(LeRobotSource(root)) == 2
    describe(root, total_episodes=4)
    with pytest.raises(DataError, match=r"expected episodes 0 to 3 in order, found nothing where 3 belongs"):
        LeRobotSource(root)


def test_of_a_timestamp_that_is_none_the_table_is_blamed_and_not_the_video(tmp_path):
    with Recorder(tmp_path / "set", {VIDEO: Feature("image", (24, 32, 3))}, RATE) as recorder:
        for number in range(3):
            recorder.add({VIDEO: picture(0, number)}, number / RATE)
        recorder.commit("go")
    path = tmp_path / "set/data/chunk-000/file-000.parquet"
    rewrite(path, timestamp=pa.array([0, np.nan, 0.2], pa.float32()))
    with pytest.raises(DataError, match=r"file-000.parquet: episode 0, row 1: expected a timestamp, found nan"):
        LeRobotSource(tmp_path / "set").episode(0).track(VIDEO).read([0])


def test_times_that_go_back_are_refused_and_gaps_are_not(root, first):
    rewrite(first, timestamp=pa.array([0, 0.1, 0.5, 0.6, 0, 0.1, 0.1, 0.3, 0.4, 0.5], pa.float32()))
    source = LeRobotSource(root)
    assert gaps(source.episode(0).times_s, RATE) == [2]
    with pytest.raises(
        DataError, match=r"file-000.parquet: episode 1, row 2: expected a timestamp later .*found 0.1 s"
    ):
        source.episode(1)


def test_a_task_without_words_is_refused(root, first):
    rewrite(first, task_index=pa.array([7] * 10))
    with pytest.raises(
        DataError, match=r"file-000.parquet: episode 0 has task 7, of which meta/tasks.parquet says noth"
    ):
        LeRobotSource(root).episode(0).track("task")


@pytest.mark.parametrize("tasks", [["push", None, "rest"], [["push"], ["pull"], ["rest"]], [1, 2, 3]])
def test_a_task_that_is_no_text_is_refused_by_row(root, tasks):
    rewrite(root / "meta/tasks.parquet", __index_level_0__=pa.array(tasks))
    with pytest.raises(DataError, match=r"tasks.parquet, row [01]: expected the text and the number of a task, found"):
        LeRobotSource(root)


def test_there_is_no_episode_beyond_the_last(root):
    with pytest.raises(IndexError, match="episode 3 of 3"):
        LeRobotSource(root).episode(3)
