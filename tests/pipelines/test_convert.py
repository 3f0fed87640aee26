"""What a manifest or a recording becomes as a recording, read again."""

import csv

import cv2
import numpy as np
import pytest
import soundfile

from sensorimotor.errors import DataError, OutputPathError, UsageError
from sensorimotor.pipelines.convert import convert
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.manifest import ManifestSource

CAMERA, SPEED, MIC = "observation.images.camera", "observation.speed", "audio.mic"


def read(source, index, name):
    track = source.episode(index).track(name)
    return track.read(range(len(track.times_s)))


def test_a_recording_of_drives_is_the_drives(drives, tmp_path):
    source, told = drives([3, 5]), []
    report = convert(source, tmp_path / "out", told.append)
    assert report == {
        "path": str(tmp_path / "out"),
        "converted": 2,
        "already": 0,
        "episodes": 2,
        "features": {"camera": CAMERA, "speed": SPEED, "action": "action"},
        "left_out": [],
    }
    assert told == [0, 1, 1]
    again = LeRobotSource(tmp_path / "out")
    assert again.rate_hz == 10
    assert (again.features[SPEED].names, again.features["action"].units) == (("v", "w"), ("m", "m"))
    for episode in range(2):
        assert np.allclose(again.episode(episode).times_s, source.episode(episode).times_s)
        assert read(again, episode, "task") == [f"drive number {episode}"]
        assert np.array_equal(read(again, episode, SPEED), source.episode(episode).tracks["speed"].values)
        assert np.array_equal(read(again, episode, "action"), source.episode(episode).tracks["action"].values)
        pairs = zip(read(again, episode, CAMERA), source.episode(episode).tracks["camera"].values, strict=True)
        assert max(np.abs(ours.astype(int) - theirs).max() for ours, theirs in pairs) < 8  # videos lose a little


def test_a_conversion_is_continued_by_another(drives, tmp_path):
    convert(drives([3]), tmp_path / "out")
    other = drives([2, 2])
    other.fingerprint = "other"
    assert convert(other, tmp_path / "out")["episodes"] == 3


def test_a_conversion_that_is_done_again_adds_nothing(drives, tmp_path):
    source = drives([3, 2, 4])
    convert(source, tmp_path / "out")
    again = convert(source, tmp_path / "out")
    assert (again["converted"], again["already"], again["episodes"]) == (0, 3, 3)


def test_a_conversion_that_was_cut_off_goes_on_at_the_first_missing_episode(drives, tmp_path):
    source, told = drives([3, 2, 4]), []

    def cut_off(episodes):
        told.append(episodes)
        if len(told) == 3:  # two are kept
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out", cut_off)
    report = convert(source, tmp_path / "out")
    assert (report["converted"], report["already"], report["episodes"]) == (1, 2, 3)
    recording = LeRobotSource(tmp_path / "out")
    assert [len(recording.episode(number).times_s) for number in range(3)] == [3, 2, 4]


def test_data_that_changed_since_they_were_converted_are_not_mixed_with_what_they_were(clips, tmp_path):
    convert(ManifestSource(clips), tmp_path / "out")
    clips.write_text(clips.read_text().replace("2.flac,2", "2.flac,1"))
    with pytest.raises(DataError, match="the source has changed since 3 of its episodes were converted to"):
        convert(ManifestSource(clips), tmp_path / "out")
    assert len(LeRobotSource(tmp_path / "out")) == 3


def test_a_recording_is_not_converted_into_itself(drives, tmp_path):
    convert(drives([3, 2]), tmp_path / "out")
    with pytest.raises(UsageError, match="is both the source and the output"):
        convert(LeRobotSource(tmp_path / "out"), tmp_path / "x" / ".." / "out")
    assert len(LeRobotSource(tmp_path / "out")) == 2


def test_a_recording_converted_again_is_the_same(drives, tmp_path):
    convert(drives([3, 5]), tmp_path / "one")
    convert(LeRobotSource(tmp_path / "one"), tmp_path / "two")
    one, two = (LeRobotSource(tmp_path / name) for name in ("one", "two"))
    assert one.features == two.features
    assert np.array_equal(read(one, 1, SPEED), read(two, 1, SPEED))
    assert read(two, 1, "task") == ["drive number 1"]


@pytest.fixture
def clips(tmp_path):
    """Three clips with a picture and a sound; what is said of one is a number."""
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["camera", "mic", "label", "size"])
        for i in range(3):
            cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((16, 16, 3), 60 * i, np.uint8))
            soundfile.write(tmp_path / f"{i}.flac", np.full(400 + 100 * i, 0.1 * i, np.float32), 8000)
            writer.writerow([f"{i}.png", f"{i}.flac", i, i / 2 or ""])
    return tmp_path / "clips.csv"


def test_single_clips_are_episodes_of_one_step_with_their_sound_beside_them(clips, tmp_path):
    report = convert(ManifestSource(clips), tmp_path / "out")
    assert report["features"] == {
        "camera": CAMERA,
        "mic": MIC,
        "label": "observation.label",
        "size": "observation.size",
    }
    again = LeRobotSource(tmp_path / "out")
    assert (len(again), again.rate_hz) == (3, 1)
    assert again.features[MIC] == Feature("audio", (1,), rate_hz=8000, stream=True)
    for i in range(3):
        sound = again.episode(i).sound(MIC, 8000)
        assert np.allclose(sound.read(0, int(sound.ends[-1])), 0.1 * i, atol=1e-3)
        assert int(sound.ends[-1]) == 400 + 100 * i
        assert read(again, i, "observation.label") == [i]
        assert read(again, i, "task") == [f"row {i + 1} of clips.csv"]
    assert len(read(again, 0, "observation.size")) == 0  # it was missing


def test_a_step_without_a_picture_is_named(drives, tmp_path, memory):
    source = drives([4])
    whole = source.episodes[0].tracks["camera"]
    source.episodes[0].tracks["camera"] = memory.Track(whole.times_s[2:], whole.values[2:])
    with pytest.raises(DataError, match="episode 0: step 0 has no camera, which a recording needs at every step"):
        convert(source, tmp_path / "out")


def test_clips_of_several_pictures_are_left_out_and_it_is_said(drives, tmp_path):
    source = drives([2])
    source.features = source.features | {"film": Feature("image", (4, 8, 8, 3))}
    assert convert(source, tmp_path / "out")["left_out"] == ["film: clips of several pictures"]


@pytest.mark.parametrize(
    ("one", "other", "feature"),
    [("speed", SPEED, Feature("vector", (2,))), ("camera", CAMERA, Feature("image", (8, 8, 3)))],
)
def test_two_features_that_would_have_the_same_name_are_refused(drives, tmp_path, one, other, feature):
    source = drives([2])
    source.features = source.features | {other: feature}
    with pytest.raises(DataError, match=f"'{one}' and '{other}' would both be called '{other}' in the recording"):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_several_texts_in_an_episode_the_first_is_kept_and_it_is_said(drives, tmp_path, memory):
    source = drives([4, 4, 4])
    for episode, said in zip(source.episodes, (["go"], ["go", "stop"], ["go", "go"]), strict=True):
        episode.tracks["task"] = memory.Track(episode.times_s[: len(said)], said)
    report = convert(source, tmp_path / "out")
    assert report["left_out"] == ["task: all but the first text of an episode, in 1 episodes"]
    assert read(LeRobotSource(tmp_path / "out"), 1, "task") == ["go"]


def test_sound_of_an_unknown_rate_is_refused(drives, tmp_path):
    source = drives([2])
    source.features = source.features | {"mic": Feature("audio", (1,))}
    with pytest.raises(DataError, match="a sound whose sample rate is not known cannot be recorded"):
        convert(source, tmp_path / "out")


def test_what_is_no_recording_is_not_written_into(drives, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputPathError):
        convert(drives([2]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
