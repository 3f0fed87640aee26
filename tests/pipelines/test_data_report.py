"""What a report finds in sources whose faults are known, through the protocols alone; and the sheets beside it."""

import json
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from sensorimotor.errors import DataError, OutputPathError, UsageError
from sensorimotor.pipelines import data_report
from sensorimotor.pipelines.contact_sheet import contact_sheet
from sensorimotor.pipelines.data_report import block_levels_dbfs, inspect_data
from sensorimotor.pipelines.data_samples import pictures, spread, stretches
from sensorimotor.pipelines.data_statistics import missing_steps
from sensorimotor.pipelines.data_tables import data_table
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.sheet import Sheet
from sensorimotor.pipelines.spectrogram_sheet import spectrogram_sheet

RATE = 8_000


@dataclass
class Given:
    """A track or a stream with known content; it counts what is decoded."""

    times_s: np.ndarray
    content: object
    decoded: list = field(default_factory=list)

    @property
    def ends(self):
        return np.round(self.times_s * RATE).astype(np.int64)

    def read(self, first, stop=None):
        if stop is not None:
            self.decoded.append(stop - first)
            return self.content[first:stop]
        self.decoded.extend(first)
        samples = [self.content[at] for at in first]
        if any(sample is None for sample in samples):
            raise DataError("frame 3 is damaged")
        return samples


@dataclass
class Run:
    name: str
    times_s: np.ndarray
    tracks: dict

    def track(self, feature, sample_rate=None):
        return self.tracks[feature]

    def sound(self, feature, sample_rate):
        assert sample_rate == RATE
        return self.tracks[feature]


@dataclass
class Runs:
    features: dict
    episodes: list
    rate_hz: float | None = 10.0
    fingerprint: str = "f" * 64

    def __len__(self):
        return len(self.episodes)

    def episode(self, index):
        return self.episodes[index]


def frames(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, 6, 8, 3)).astype(np.uint8))


def tone(seconds, amplitude=0.5, hz=1000):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)[:, None]


def run(name, steps=10, seed=0, **tracks):
    """An episode at 10 Hz with a joint, a task and a camera, each at every step unless given."""
    times_s = 5.0 + np.arange(steps) / 10
    joints = list(np.random.default_rng(seed).normal(size=(steps, 2)).astype(np.float32))
    usual = {
        "joints": Given(times_s, joints),
        "task": Given(times_s[:1], ["push"]),
        "camera": Given(times_s, frames(steps, seed)),
    }
    return Run(name, times_s, usual | tracks)


FEATURES = {
    "joints": Feature("vector", (2,), ("lift", "grip"), ("m", ""), rate_hz=10.0),
    "task": Feature("text"),
    "camera": Feature("image", (6, 8, 3), rate_hz=10.0),
}


@pytest.fixture
def runs():
    return Runs(FEATURES, [run("one", 10, 1), run("two", 12, 2), run("three", 20, 3)])


@pytest.fixture
def sounds():
    """A stream of a tone and of silence, and clips."""
    stream = np.concatenate([tone(1.0), np.zeros((RATE, 1), np.float32)])
    chunks = np.arange(1, 21) / 10
    episodes = [
        Run(
            f"take {at}",
            np.arange(20) / 10,
            {"mic": Given(chunks, stream), "word": Given(np.array([0.5]), [tone(0.25, 1.0, 500 + at)])},
        )
        for at in range(3)
    ]
    features = {
        "mic": Feature("audio", (1,), rate_hz=RATE, stream=True),
        "word": Feature("audio", (1,), rate_hz=RATE),
    }
    return Runs(features, episodes)


def test_a_source_is_counted(runs):
    seen = []
    report = inspect_data(runs, seen.append)
    assert (report["episodes"], report["steps"], report["rate_hz"]) == (3, 42, 10.0)
    assert report["steps_per_episode"] == {"min": 10, "mean": 14.0, "max": 20}
    assert report["seconds"] == pytest.approx(4.2)
    assert report["fingerprint"] == runs.fingerprint
    assert seen == [1, 1, 1]
    assert {name: (form["samples"], form["missing"]) for name, form in report["features"].items()} == {
        "joints": (42, 0),
        "task": (3, 0),
        "camera": (42, 0),
    }
    assert report["gaps"]["count"] == report["identical_episodes"]["count"] == report["problems"]["count"] == 0


def test_the_report_is_json(runs, sounds):
    for source in (runs, sounds):
        report = inspect_data(source)
        assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_statistics_are_those_of_all_values_whatever_their_offset(runs):
    for episode in runs.episodes:
        episode.tracks["joints"].content = [
            vector + np.float32([0, 1e5]) for vector in episode.tracks["joints"].content
        ]
    everything = np.concatenate([episode.tracks["joints"].content for episode in runs.episodes]).astype(np.float64)
    lift, grip = inspect_data(runs)["features"]["joints"]["statistics"]
    assert (lift["name"], lift["unit"], grip["name"], grip["unit"]) == ("lift", "m", "grip", "")
    for at, found in enumerate((lift, grip)):
        expected = {name: getattr(everything[:, at], name)() for name in ("min", "max", "mean", "std")}
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_values_are_listed_by_how_often_they_come():
    words = [f"word {at}" for at in range(30) for _ in range(30 - at)]
    times_s = np.arange(len(words)) / 10
    source = Runs({"label": Feature("text", rate_hz=10.0)}, [Run("a", times_s, {"label": Given(times_s, words)})])
    values = inspect_data(source)["features"]["label"]["values"]
    assert values["distinct"] == 30
    assert values["top"][:2] == [{"value": "word 0", "count": 30}, {"value": "word 1", "count": 29}]
    assert len(values["top"]) == 20
    assert values["others"] == sum(range(1, 11))


def test_gaps_are_steps_longer_than_one_and_a_half(runs):
    runs.episodes[1].times_s[6:] += 0.04
    runs.episodes[2].times_s[4:] += 0.3
    gaps = inspect_data(runs)["gaps"]
    assert gaps["count"] == 1
    assert gaps["longest"] == [
        {"episode": "three", "after_s": pytest.approx(0.3), "gap_s": pytest.approx(0.4)},
    ]


def test_missing_samples_are_counted_for_each_feature(runs):
    first = runs.episodes[0]
    first.tracks["camera"] = Given(first.times_s[[0, 1, 5]], frames(3))
    first.tracks["task"] = Given(np.zeros(0), [])
    first.tracks["joints"] = Given(np.zeros(0), [])
    features = inspect_data(runs)["features"]
    assert {name: form["missing"] for name, form in features.items()} == {"camera": 7, "task": 10, "joints": 10}


def test_a_sense_with_its_own_clock_is_missing_when_its_newest_sample_is_old():
    steps_s = np.arange(10) / 10
    own = Feature("image", (6, 8, 3), rate_hz=30.0)
    times_s = np.arange(30) / 30 - 0.013
    assert missing_steps(steps_s, times_s, own) == 0
    assert missing_steps(steps_s, times_s[(times_s < 0.35) | (times_s > 0.65)], own) == 3
    assert missing_steps(steps_s, times_s + 0.25, own) == 3  # it begins late


def test_a_text_holds_until_the_next_unless_it_comes_at_a_rate():
    steps_s = np.arange(10) / 10
    assert missing_steps(steps_s, np.array([0.2, 0.6]), Feature("text")) == 2
    assert missing_steps(steps_s, np.array([0.2, 0.6]), Feature("text", rate_hz=10.0)) == 8


def test_frozen_and_repeated_pictures_are_found(runs):
    camera = runs.episodes[2].tracks["camera"]
    camera.content = [camera.content[0]] * 20
    found = inspect_data(runs)["features"]["camera"]["pictures"]
    assert found["looked_at"] == 42
    assert found["neighbours"] == 39
    assert found["equal_neighbours"] == 19
    assert found["identical"] == 19
    assert 0.3 < found["brightness"]["min"] < 0.5 < found["brightness"]["max"] < 0.7


def test_few_pictures_of_many_are_decoded():
    episodes = [run(f"run {at}", 50, seed=at) for at in range(200)]
    inspect_data(Runs(FEATURES, episodes))
    decoded = [len(episode.tracks["camera"].decoded) for episode in episodes]
    assert sum(decoded) <= 2 * data_report.LOOKS
    assert sum(count > 0 for count in decoded) == data_report.LOOKS


def test_episodes_that_repeat_others_are_found_and_told_apart_by_their_pictures(runs):
    copy = Run("copy", runs.episodes[0].times_s + 100, runs.episodes[0].tracks)
    other = Run("other", copy.times_s, copy.tracks | {"camera": Given(copy.times_s, frames(10, 99))})
    runs.episodes += [copy, other]
    found = inspect_data(runs)["identical_episodes"]
    assert found["count"] == 1
    assert found["examples"] == [["one", "copy"]]
    assert found["alike_but_for_media"] == found["media_looked_at"] == 3


def test_how_many_episodes_are_compared_by_their_pictures_is_bounded_and_told(runs, monkeypatch):
    monkeypatch.setattr(data_report, "COMPARED", 4)
    runs.episodes = [run(f"run {at}", 3, seed=at % 2) for at in range(10)] + [run("a", 4, seed=7), run("b", 4, seed=7)]
    found = inspect_data(runs)["identical_episodes"]
    assert (found["alike_but_for_media"], found["media_looked_at"]) == (12, 4)
    assert found["examples"][0] == ["a", "b"]  # of the smallest group
    assert found["count"] == 2


def test_levels_of_sound_are_measured(sounds):
    features = inspect_data(sounds)["features"]
    mic, word = features["mic"]["sound"], features["word"]["sound"]
    assert mic["looked_at_s"] == pytest.approx(6.0)
    assert mic["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert mic["rms_dbfs"] == pytest.approx(-6.02 - 3.01 - 3.01, abs=0.01)  # of a sine, half of the time
    assert mic["silent"] == pytest.approx(0.5, abs=0.01)
    assert mic["clipped"] == 0
    assert mic["identical"] == 2
    assert features["mic"]["samples"] == 3 * 2 * RATE
    assert word["clipped"] > 0.01
    assert (word["looked_at"], word["identical"], word["silent"]) == (3, 0, 0)
    assert word["peak_dbfs"] == pytest.approx(0, abs=0.01)


def test_silence_has_no_level(sounds):
    for episode in sounds.episodes:
        episode.tracks["mic"].content = np.zeros((2 * RATE, 1), np.float32)
    mic = inspect_data(sounds)["features"]["mic"]["sound"]
    assert mic["peak_dbfs"] is None
    assert mic["rms_dbfs"] is None
    assert mic["silent"] == 1.0


def test_the_last_block_may_be_short():
    levels = block_levels_dbfs(np.concatenate([np.ones((4, 2)), 0.1 * np.ones((3, 2))]), 4)
    assert levels == pytest.approx([0, -20])


def test_a_sample_that_cannot_be_read_is_reported_and_the_rest_is_looked_at(runs):
    runs.episodes[0].tracks["camera"].content[3] = None
    report = inspect_data(runs)
    assert report["problems"]["count"] > 0
    assert report["problems"]["first"] == ["frame 3 is damaged"]
    assert report["features"]["camera"]["pictures"]["looked_at"] >= 39


# Which samples are looked at


@pytest.mark.parametrize(("episodes", "count"), [(1, 5), (3, 64), (64, 64), (65, 64), (1000, 24)])
def test_places_are_spread_over_all_episodes(episodes, count):
    places = spread(episodes, count)
    assert len(places) == count
    assert all(0 <= index < episodes and 0 <= into < 1 for index, into in places)
    assert len({index for index, _ in places}) == min(episodes, count)


def test_no_sample_is_looked_at_twice_and_no_empty_episode_matters(runs, sounds):
    runs.episodes[1].tracks["camera"] = Given(np.zeros(0), [])
    found = list(pictures(runs, "camera", 64, pytest.fail))
    assert len({(one.episode.name, one.time_s) for one in found}) == len(found) == 30
    assert len(list(stretches(sounds, "word", 64, 1.0, pytest.fail))) == 3
    pieces = list(stretches(sounds, "mic", 6, 0.5, pytest.fail))
    assert len(pieces) == 6
    assert all(len(one.samples) == RATE // 2 and 0 <= one.start_s <= 1.5 for one in pieces)
    assert list(pictures(Runs(FEATURES, []), "camera", 4, pytest.fail)) == []


# Sheets


def read_png(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_a_contact_sheet_shows_the_pictures_themselves(runs, tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    for episode, colour in zip(runs.episodes, colours, strict=True):
        episode.tracks["camera"].content = [np.full((6, 8, 3), colour, np.uint8)] * len(episode.times_s)
    contact_sheet(runs, tmp_path / "made" / "sheet.png", title="three runs", count=3)
    sheet = read_png(tmp_path / "made" / "sheet.png")
    shown = [(sheet == colour).all(2) for colour in colours]
    cells = [np.argwhere(one).mean(0) for one in shown]
    assert len({one.sum() for one in shown}) == 1
    assert shown[0].sum() > 20_000
    assert cells[0][1] < cells[1][1] < cells[2][1]  # from left to right
    assert cells[0][0] == cells[1][0]


def test_a_contact_sheet_says_what_was_said(runs, tmp_path):
    contact_sheet(runs, tmp_path / "push.png")
    for episode in runs.episodes:
        episode.tracks["task"].content = ["pull"]
    contact_sheet(runs, tmp_path / "pull.png")
    assert not np.array_equal(read_png(tmp_path / "push.png"), read_png(tmp_path / "pull.png"))


def test_a_spectrogram_sheet_is_bright_where_the_tone_is(sounds, tmp_path):
    spectrogram_sheet(sounds, tmp_path / "sheet.png", count=2)
    sheet = read_png(tmp_path / "sheet.png").astype(int)
    assert sheet.shape[1] == 1440
    assert (sheet.sum(2) > 500).sum() > 2_000


def test_sounds_shorter_than_a_window_and_pictures_of_any_form_are_drawn(tmp_path):
    times_s = np.zeros(1)
    tracks = {
        "grey": Given(times_s, [np.zeros((300, 2, 1), np.uint8)]),
        "glass": Given(times_s, [np.zeros((1, 3, 4), np.uint8)]),
        "click": Given(times_s, [np.zeros((3, 5), np.float32)]),
    }
    features = {
        "grey": Feature("image", (300, 2, 1)),
        "glass": Feature("image", (1, 3, 4)),
        "click": Feature("audio", (5,), rate_hz=48_000),
    }
    source = Runs(features, [Run("a very long name " * 20, times_s, tracks)], rate_hz=None)
    contact_sheet(source, tmp_path / "contact.png")
    spectrogram_sheet(source, tmp_path / "spectrogram.png")
    assert read_png(tmp_path / "contact.png").shape[1] == read_png(tmp_path / "spectrogram.png").shape[1] == 1440


def test_words_that_do_not_fit_are_cut_short():
    sheet = Sheet(100)
    before = sheet.pixels.copy()
    assert sheet.text("far too much to say here", 10, 50, 20, within=80) <= 90
    changed = np.argwhere((sheet.pixels != before).any(2))
    assert changed[:, 1].max() <= 92


def test_there_is_no_sheet_of_what_is_not_there(runs, sounds, tmp_path):
    with pytest.raises(UsageError, match="no pictures to show; features: mic, word"):
        contact_sheet(sounds, tmp_path / "a.png")
    with pytest.raises(UsageError, match="no sounds to show; features: joints, task, camera"):
        spectrogram_sheet(runs, tmp_path / "a.png")
    for episode in runs.episodes:
        episode.tracks["camera"].content = [None] * len(episode.times_s)
    with pytest.raises(DataError, match="frame 3 is damaged"):
        contact_sheet(runs, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_that_cannot_be_written_leaves_nothing(runs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputPathError):
        contact_sheet(runs, tmp_path / "file" / "a.png")


# On the terminal


def test_the_table_shows_what_was_found(runs, sounds, capsys, monkeypatch):
    monkeypatch.setattr("sensorimotor.pipelines.data_tables.out.width", 160, raising=False)
    runs.episodes[2].times_s[4:] += 0.3
    runs.episodes[0].tracks["camera"].content[3] = None
    runs.episodes[0].tracks["task"].content = ["[bold]push"]
    data_table(inspect_data(runs))
    shown = capsys.readouterr().out
    for words in (
        "3 episodes",
        "42 steps at 10 Hz",
        "lift",
        "6 x 8 x 3",
        "[bold]push",
        "of three",
        "frame 3 is damaged",
    ):
        assert words in shown
    data_table(inspect_data(sounds))
    shown = capsys.readouterr().out
    for words in ("1 channel, a stream", "1 channel, clips", "peak -6.0 dBFS", "50% silent"):
        assert words in shown
