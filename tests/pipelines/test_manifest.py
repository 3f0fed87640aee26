"""What a table is taken for: features, episodes and their samples; and every way in which it is no data set."""

import io
import json
import os

import cv2
import fsspec
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from pyarrow import parquet

from sensorimotor.errors import DataError, UsageError
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.manifest import ManifestSource


def picture(seed, height=12, width=16):
    """RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def png(pixels):
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def wav(samples, rate=16_000):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def write(path, rows):
    """Rows of equal keys in the format that the path ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
        quoted = [[f'"{cell}"' if "," in cell else cell for cell in row] for row in cells]
        path.write_text("".join(",".join(row) + "\n" for row in [list(rows[0]), *quoted]))
    return path


@pytest.fixture
def clips(tmp_path):
    """Four rows with a picture, a sound, words and numbers, some of them missing."""
    rows = []
    for at in range(4):
        (tmp_path / f"{at}.png").write_bytes(png(picture(at)))
        (tmp_path / f"{at}.wav").write_bytes(wav(np.full((160 + at, 1), 0.1 * at, np.float32)))
        rows.append(
            {
                "camera": f"{at}.png" if at != 2 else None,
                "mic": f"{at}.wav",
                "instruction": ["go", "stop", None, "go"][at],
                "temperature": [20.5, None, 22.5, 23.5][at],
                "humidity": [100, 200, 300, 400][at],
                "joints": [float(at), 0.5],
                "label": [0, 1, 1, 0][at],
            }
        )
    return rows


@pytest.fixture
def drive(tmp_path):
    """Two episodes whose rows alternate: three steps and two, at 10 Hz."""
    order = [("b", 5.0), ("a", 0.0), ("b", 5.1), ("a", 0.1), ("a", 0.2)]
    rows = []
    for at, (episode, time) in enumerate(order):
        (tmp_path / f"{at}.png").write_bytes(png(picture(at)))
        rows.append({"episode": episode, "time": time, "camera": f"{at}.png", "speed": 0.5 + at})
    rows[3]["camera"] = None
    return rows


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_each_format_gives_the_same_source(tmp_path, clips, suffix):
    source = ManifestSource(write(tmp_path / f"m.{suffix}", clips))
    assert source.features == {
        "camera": Feature("image", (12, 16, 3)),
        "mic": Feature("audio", (1,), rate_hz=16_000),
        "instruction": Feature("text"),
        "temperature": Feature("vector", (1,), ("temperature",)),
        "humidity": Feature("vector", (1,), ("humidity",)),
        "joints": Feature("vector", (2,)),
        "label": Feature("choice"),
    }
    assert (len(source), source.rate_hz) == (4, None)
    assert source.episode_names == ["row 1", "row 2", "row 3", "row 4"]
    for index in range(4):
        episode = source.episode(index)
        assert (episode.name, episode.times_s.tolist()) == (f"row {index + 1} of m.{suffix}", [0.0])
        read = {name: (track := episode.track(name)).read(range(len(track.times_s))) for name in source.features}
        assert len(read["camera"]) == (index != 2)
        assert all(np.array_equal(image, picture(index)) for image in read["camera"])
        assert read["mic"][0].shape == (160 + index, 1)
        assert np.allclose(read["mic"][0], 0.1 * index)
        assert read["instruction"] == [word for word in [["go", "stop", None, "go"][index]] if word]
        assert [one.tolist() for one in read["temperature"]] == [[v] for v in [[20.5, None, 22.5, 23.5][index]] if v]
        assert read["joints"][0].dtype == np.float32
        assert read["joints"][0].tolist() == [index, 0.5]
        assert read["label"] == [[0, 1, 1, 0][index]]
        assert type(read["label"][0]) is int


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_rows_of_an_episode_are_its_steps_in_order_of_time(tmp_path, drive, suffix):
    source = ManifestSource(write(tmp_path / f"m.{suffix}", drive))
    assert source.episode_names == ["b", "a"]  # in order of their first rows
    assert source.rate_hz == 10.0
    assert source.features == {
        "camera": Feature("image", (12, 16, 3), rate_hz=10.0),
        "speed": Feature("vector", (1,), ("speed",), rate_hz=10.0),
    }
    first, second = source.episode(0), source.episode(1)
    assert first.times_s.tolist() == [5.0, 5.1]
    assert second.times_s.tolist() == [0.0, 0.1, 0.2]
    assert [float(one[0]) for one in second.track("speed").read([2, 0])] == [4.5, 1.5]
    camera = second.track("camera")  # the picture of the second step is missing
    assert camera.times_s.tolist() == [0.0, 0.2]
    assert all(np.array_equal(image, picture(at)) for image, at in zip(camera.read([0, 1]), (1, 4), strict=True))


def test_episodes_without_times_need_a_rate(tmp_path, drive):
    for row in drive:
        del row["time"]
    path = write(tmp_path / "m.jsonl", drive)
    with pytest.raises(DataError, match="has 'episode' but no 'time'.*give rate_hz"):
        ManifestSource(path)
    source = ManifestSource(path, rate_hz=4.0)
    assert source.rate_hz == 4.0
    assert source.episode(1).times_s.tolist() == [0.0, 0.25, 0.5]


def test_a_stated_rate_is_believed_and_a_single_step_has_none(tmp_path, drive):
    assert ManifestSource(write(tmp_path / "m.jsonl", drive), rate_hz=9.5).rate_hz == 9.5
    alone = [row | {"episode": at} for at, row in enumerate(drive)]
    source = ManifestSource(write(tmp_path / "n.jsonl", alone))
    assert (len(source), source.rate_hz, source.episode_names[1]) == (5, None, "1")


def test_without_episodes_a_time_is_a_number_like_any_other(tmp_path):
    source = ManifestSource(write(tmp_path / "m.csv", [{"time": 0.5}, {"time": 0.25}]))
    assert source.features == {"time": Feature("vector", (1,), ("time",))}


def test_media_may_be_anywhere_that_fsspec_reaches(tmp_path):
    with fsspec.open("memory://test_manifest/far.png", "wb") as file:
        file.write(png(picture(7)))
    source = ManifestSource(write(tmp_path / "m.csv", [{"camera": "memory://test_manifest/far.png"}]))
    assert np.array_equal(source.episode(0).track("camera").read([0])[0], picture(7))


def test_columns_of_numbers_make_a_vector_that_is_missing_where_one_of_them_is(tmp_path, clips):
    source = ManifestSource(
        write(tmp_path / "m.csv", clips),
        vectors={"weather": ["temperature", "humidity"]},
        units={"weather": ["°C", "g"], "joints": ["rad", "rad"]},
    )
    assert "temperature" not in source.features
    expected = Feature("vector", (2,), ("temperature", "humidity"), ("°C", "g"))
    assert source.features["weather"] == expected
    assert source.features["joints"].units == ("rad", "rad")
    assert source.episode(0).track("weather").read([0])[0].tolist() == [20.5, 100.0]
    assert len(source.episode(1).track("weather").times_s) == 0


def test_only_the_columns_that_are_named_are_read(tmp_path, clips):
    for row in clips:
        row["mic"] = "nothing here.wav"
    path = write(tmp_path / "m.jsonl", clips)
    source = ManifestSource(path, columns=["label", "weather"], vectors={"weather": ["temperature", "humidity"]})
    assert list(source.features) == ["label", "weather"]


def test_what_a_column_is_may_be_declared(tmp_path):
    rows = [{"grade": 1, "code": "7", "door": "a.wav"}, {"grade": 2, "code": "8", "door": "b.wav"}]
    kinds = {"grade": "vector", "code": "text", "door": "text"}
    for suffix in ("parquet", "jsonl", "csv"):
        source = ManifestSource(write(tmp_path / f"m.{suffix}", rows), kinds=kinds)
        assert {name: feature.kind for name, feature in source.features.items()} == kinds
        assert source.episode(1).track("code").read([0]) == ["8"]


def test_whole_numbers_are_choices_when_small_and_measurements_when_not(tmp_path):
    rows = [{"small": 0, "large": 32, "below": -1, "on": True}, {"small": 31, "large": 0, "below": 3, "on": False}]
    source = ManifestSource(write(tmp_path / "m.jsonl", rows))
    kinds = {name: feature.kind for name, feature in source.features.items()}
    assert kinds == {"small": "choice", "large": "vector", "below": "vector", "on": "choice"}
    assert source.episode(0).track("on").read([0]) == [1]


def test_a_column_with_nothing_in_it_is_a_text_that_is_always_missing(tmp_path):
    source = ManifestSource(write(tmp_path / "m.jsonl", [{"a": 1, "b": None}, {"a": 2, "b": None}]))
    assert source.features["b"] == Feature("text")
    assert len(source.episode(0).track("b").times_s) == 0


def test_sounds_come_at_the_rate_that_is_asked_for(tmp_path, clips):
    source = ManifestSource(write(tmp_path / "m.jsonl", clips))
    assert source.episode(0).track("mic", 8_000).read([0])[0].shape == (80, 1)
    assert source.episode(0).track("mic").read([0])[0].shape == (160, 1)


def test_channels_are_mixed_when_asked(tmp_path, clips):
    (tmp_path / "2.wav").write_bytes(wav(np.zeros((160, 2))))
    path = write(tmp_path / "m.jsonl", clips)
    with pytest.raises(
        DataError, match=r"row 3, column 'mic': 2\.wav has 2 channels, but the first sound 1.*channels ="
    ):
        ManifestSource(path).episode(2).track("mic").read([0])
    source = ManifestSource(path, channels={"mic": 2})
    assert source.features["mic"].shape == (2,)
    assert [source.episode(at).track("mic").read([0])[0].shape[1] for at in range(4)] == [2, 2, 2, 2]


def test_a_video_is_some_pictures_at_the_time_of_its_row(tmp_path):
    import av

    for name in ("a", "b"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for number in range(20):
                grey = np.full((32, 32, 3), 10 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
    rows = [{"clip": "a.mp4", "label": "run"}, {"clip": None, "label": "walk"}, {"clip": "b.mp4", "label": "run"}]
    source = ManifestSource(write(tmp_path / "m.csv", rows), clip_frames=4)
    assert source.features["clip"] == Feature("image", (32, 32, 3))
    track = source.episode(2).track("clip")
    assert track.times_s.tolist() == [0.0] * 4
    assert np.allclose([image.mean() / 10 for image in track.read([3, 0, 2, 1])], [17.5, 2.5, 12.5, 7.5], atol=0.8)
    assert len(source.episode(1).track("clip").times_s) == 0


def test_the_fingerprint_goes_with_the_table_its_media_and_how_it_is_read(tmp_path, clips):
    path = write(tmp_path / "m.jsonl", clips)
    before = ManifestSource(path).fingerprint
    assert ManifestSource(path).fingerprint == before
    assert ManifestSource(path, kinds={"label": "vector"}).fingerprint != before
    os.utime(tmp_path / "1.png", ns=(1, 1))
    touched = ManifestSource(path).fingerprint
    assert touched != before
    clips[0]["label"] = 5
    assert ManifestSource(write(path, clips)).fingerprint != touched


# Bad input


def test_an_unknown_feature_suggests_the_nearest(tmp_path, clips):
    path = write(tmp_path / "m.csv", clips)
    source = ManifestSource(path)
    assert source.column("camera").feature.kind == "image"
    for ask in (lambda: source.column("camra"), lambda: source.episode(0).track("camra")):
        with pytest.raises(DataError, match=r"m\.csv has no column 'camra'; did you mean 'camera'?"):
            ask()
    for arguments in ({"columns": ["camra"]}, {"kinds": {"camra": "text"}}, {"vectors": {"v": ["camra"]}}):
        with pytest.raises(DataError, match="did you mean 'camera'?"):
            ManifestSource(path, **arguments)


def test_times_that_do_not_rise_name_the_row(tmp_path, drive):
    drive[4]["time"] = 0.05
    with pytest.raises(DataError, match=r"row 5: time 0\.05 s follows 0\.1 s \(row 4\) of the same episode\. Sort"):
        ManifestSource(write(tmp_path / "m.csv", drive))
    drive[4]["time"] = 0.1
    with pytest.raises(DataError, match=r"row 5: time 0\.1 s follows 0\.1 s"):
        ManifestSource(write(tmp_path / "m.csv", drive))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("time", None, r"row 3: 'time' is no number"),
        ("time", float("nan"), r"row 3: 'time' is no number"),
        ("time", float("inf"), r"row 3: 'time' is no number"),
        ("episode", None, r"row 3: 'episode' is empty"),
    ],
)
def test_a_step_without_time_or_episode_names_the_row(tmp_path, drive, key, value, message):
    drive[2][key] = value
    for suffix in ("jsonl", "parquet"):
        with pytest.raises(DataError, match=message):
            ManifestSource(write(tmp_path / f"m.{suffix}", drive))


def test_times_that_are_no_seconds_are_refused(tmp_path):
    rows = [{"episode": 1, "time": "noon", "x": 0.5}, {"episode": 1, "time": "later", "x": 0.5}]
    with pytest.raises(DataError, match="'time' must be seconds, and is large_string"):
        ManifestSource(write(tmp_path / "m.csv", rows))
    with pytest.raises(DataError, match="'episode' is a list"):
        ManifestSource(write(tmp_path / "m.jsonl", [{"episode": [1], "x": 0.5}]))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("first", [1_764_000_000_000, 1_764_000_000_123_456_789])
def test_times_in_other_units_than_seconds_name_the_row_and_the_remedy(tmp_path, suffix, first):
    rows = [{"episode": 1, "time": first + 10**8 * step, "x": 0.5} for step in range(3)]
    with pytest.raises(DataError, match="row 1: 'time' must be seconds, and 1.764e.* nanoseconds since 1970: divide"):
        ManifestSource(write(tmp_path / f"m.{suffix}", rows))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_whole_numbers_that_float64_does_not_hold_are_rounded(tmp_path, suffix):
    large = 2**53 + 1
    source = ManifestSource(write(tmp_path / f"m.{suffix}", [{"id": large, "x": 0.5}, {"id": 3, "x": 1.5}]))
    assert source.features["id"] == Feature("vector", (1,), ("id",))
    assert source.episode(0).track("id").read([0])[0] == np.float32(large)
    path = write(tmp_path / f"n.{suffix}", [{"id": large}])
    with pytest.raises(DataError, match="row 1, column 'id': 9.0072e\\+15 is no whole number from 0"):
        ManifestSource(path, kinds={"id": "choice"})


def test_media_that_are_missing_or_damaged_are_named_when_they_are_read(tmp_path, clips):
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").write_bytes(b"no picture")
    source = ManifestSource(write(tmp_path / "m.csv", clips))
    with pytest.raises(DataError, match=r"m\.csv, row 2, column 'camera': 1\.png .*No such file"):
        source.episode(1).track("camera").read([0])
    with pytest.raises(DataError, match=r"m\.csv, row 4, column 'camera': 3\.png .*is no picture"):
        source.episode(3).track("camera").read([0])


def test_the_first_file_that_can_be_read_says_what_all_are_like(tmp_path, clips):
    (tmp_path / "0.png").write_bytes(b"no picture")
    (tmp_path / "3.png").write_bytes(png(picture(3, 24, 32)))
    source = ManifestSource(write(tmp_path / "m.csv", clips))
    assert source.features["camera"].shape == (12, 16, 3)
    with pytest.raises(DataError, match=r"row 4, column 'camera': 3\.png is 24x32x3 .*but the first is 12x16x3"):
        source.episode(3).track("camera").read([0])


def test_a_column_of_media_of_which_none_can_be_read_is_refused(tmp_path, clips):
    for at in range(4):
        (tmp_path / f"{at}.png").unlink()
    with pytest.raises(DataError, match=r"row 1, column 'camera': 0\.png .*No such file"):
        ManifestSource(write(tmp_path / "m.csv", clips))


def test_a_path_of_another_kind_names_the_row(tmp_path, clips):
    clips[3]["camera"] = "3.wav"
    with pytest.raises(
        DataError, match=r"row 4, column 'camera': '3\.wav' is no image file, but '0\.png' in the first is"
    ):
        ManifestSource(write(tmp_path / "m.csv", clips))


def test_lists_of_different_lengths_name_the_row(tmp_path, clips):
    clips[2]["joints"] = [1.0, 2.0, 3.0]
    for suffix in ("jsonl", "parquet", "csv"):
        with pytest.raises(DataError, match=r"row 3, column 'joints': a list of 3 numbers, but the first has 2"):
            ManifestSource(write(tmp_path / f"m.{suffix}", clips))
    for row in clips:
        row["joints"] = []
    with pytest.raises(DataError, match=r"row 1, column 'joints': a list of 0 numbers, but at least one is needed"):
        ManifestSource(write(tmp_path / "m.jsonl", clips))


def test_numbers_that_float32_does_not_hold_name_the_row(tmp_path):
    for value in (float("inf"), 1e39):
        with pytest.raises(DataError, match="row 2, column 'x': a number beyond float32"):
            ManifestSource(write(tmp_path / "m.jsonl", [{"x": 1.0}, {"x": value}]))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"instruction": "vector"}, "row 1, column 'instruction': 'go' is no number"),
        ({"instruction": "choice"}, "column 'instruction': choices are whole numbers"),
        ({"temperature": "choice"}, r"row 1, column 'temperature': 20\.5 is no whole number from 0"),
        ({"joints": "text"}, "column 'joints' has .*list.* which is no text"),
        ({"instruction": "image"}, r"row 1, column 'instruction': go \(paths start from"),
    ],
)
def test_a_column_that_is_not_what_it_is_declared_to_be_is_refused(tmp_path, clips, kinds, message):
    for suffix in ("parquet", "jsonl"):
        with pytest.raises(DataError, match=message):
            ManifestSource(write(tmp_path / f"m.{suffix}", clips), kinds=kinds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": {"label": "colour"}}, "no kind is called 'colour'"),
        ({"rate_hz": 0.0}, "rate_hz is the number of steps a second"),
        ({"rate_hz": float("nan")}, "rate_hz is the number of steps a second"),
        ({"rate_hz": 10.0}, "has no column 'episode', so its rows have no rate"),
        ({"clip_frames": 0}, "clip_frames is at least 1"),
        ({"vectors": {"label": ["humidity"]}}, "the vector 'label' needs"),
        ({"vectors": {"weather": []}}, "the vector 'weather' needs"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(tmp_path, clips, arguments, message):
    with pytest.raises(UsageError, match=message):
        ManifestSource(write(tmp_path / "m.jsonl", clips), **arguments)


def test_units_for_other_than_all_values_are_refused(tmp_path, clips):
    with pytest.raises(DataError, match="'joints' has 2 values but 1 units"):
        ManifestSource(write(tmp_path / "m.jsonl", clips), units={"joints": ["rad"]})


def test_clips_are_no_stream(tmp_path, clips):
    with pytest.raises(UsageError, match="'mic' .* is no stream of sound"):
        ManifestSource(write(tmp_path / "m.jsonl", clips)).episode(0).sound("mic", 16_000)


def test_media_need_not_be_alike_where_nobody_minds(tmp_path, clips):
    picture = next(tmp_path.rglob("*.png"))
    cv2.imwrite(str(tmp_path / "large.png"), cv2.resize(cv2.imread(str(picture)), (30, 20)))
    (tmp_path / "m.csv").write_text(f"camera\nmissing.png\nlarge.png\n{picture.relative_to(tmp_path)}\n")
    source = ManifestSource(tmp_path / "m.csv", any_shape=["camera"])
    assert source.features["camera"].shape == (0, 0, 3)
    shapes = [source.episode(row).track("camera").read([0])[0].shape for row in (1, 2)]
    assert shapes == [(20, 30, 3), cv2.imread(str(picture)).shape]


def test_episodes_are_identified(tmp_path):
    (tmp_path / "rows.csv").write_text("id,x\na,1\nb,2\n")
    assert ManifestSource(tmp_path / "rows.csv").ids() == ["a", "b"]
    (tmp_path / "plain.csv").write_text("x\n1\n2\n")
    assert ManifestSource(tmp_path / "plain.csv").ids() == ["row 1", "row 2"]
    (tmp_path / "steps.csv").write_text("episode,time,x\nq,0,1\np,0,1\nq,1,2\n")
    assert ManifestSource(tmp_path / "steps.csv").ids() == ["q", "p"]
    (tmp_path / "twice.csv").write_text("id,x\na,1\na,2\n")
    with pytest.raises(DataError, match="row 2: 'id' is 'a', as in row 1"):
        ManifestSource(tmp_path / "twice.csv").ids()


def test_an_id_that_is_a_list_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": [1], "x": 1}\n{"id": [2], "x": 2}\n')
    with pytest.raises(DataError, match="row 1: 'id' is no text but a list"):
        ManifestSource(tmp_path / "rows.jsonl", columns=["x"]).ids()
