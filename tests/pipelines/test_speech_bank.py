from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines import speech_bank as module
from sensorimotor.pipelines.speech import speaker
from sensorimotor.pipelines.speech_bank import Script, speech_bank

RATE = 16_000
SCRIPT = Script(
    texts=("go to a key", "go to the red ball"),
    speakers=("command: a", "command: b"),
    shares={},
    utterances=12,
    rates=(120, 200),
    pitches=(30, 60),
    limit_s=3.0,
    seed=1,
)
ESPEAK = replace(SCRIPT, speakers=("espeak:en", "espeak:en-us?rate=150", "command: a"))


class Robot:
    """Says every text as a tone: a tenth of a second for each letter, and higher for other speakers."""

    asked: list[str] = []

    def __init__(self, spec):
        self.asked.append(spec)
        self.hertz = 100 + 40 * len(spec) + sum(map(ord, spec)) % 40

    def say(self, text):
        seconds = 0.1 * len(text)
        return (0.4 * np.sin(2 * np.pi * self.hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.fixture(autouse=True)
def robots(monkeypatch):
    monkeypatch.setattr(Robot, "asked", [])
    monkeypatch.setattr(module, "speaker", Robot)
    return Robot.asked


# Who says what


def test_every_text_is_said_equally_often_by_speakers_drawn_at_random():
    lines = replace(SCRIPT, texts=tuple("abcde"), utterances=1000).lines()
    assert Counter(text for text, _ in lines) == dict.fromkeys(range(5), 200)
    said = Counter(lines)
    assert len(said) == 10
    assert all(60 < count < 140 for count in said.values())
    assert lines[:20] != sorted(lines[:20])


def test_kinds_of_speakers_speak_as_often_as_their_shares_say():
    script = replace(
        SCRIPT,
        speakers=("espeak:en", "espeak:en-us", "espeak:en-029", "flite:slt", "command: a", "command: b"),
        shares={"espeak": 1, "flite": 5},  # and the two commands count 2
        utterances=4000,
    )
    spoken = Counter(spec.partition("?")[0] for _, spec in script.lines())
    expected = {"espeak:en": 1 / 3, "espeak:en-us": 1 / 3, "espeak:en-029": 1 / 3, "flite:slt": 5, "command: a": 1}
    for name, share in expected.items():
        assert spoken[name] / 4000 == pytest.approx(share / 8, abs=0.02)
    assert Counter(spec.partition("?")[0] for _, spec in replace(script, shares={}).lines())[
        "flite:slt"
    ] / 4000 == pytest.approx(1 / 6, abs=0.02)


def test_voices_speak_at_random_rates_and_pitches_unless_told_how():
    script = replace(ESPEAK, speakers=(*ESPEAK.speakers, "flite:slt", "festival:kal_diphone"), utterances=500)
    specs = [spec for _, spec in script.lines()]
    for name in ("espeak:en", "flite:slt", "festival:kal_diphone"):
        drawn = [spec.partition("?")[2] for spec in specs if spec.startswith(f"{name}?")]
        assert len(drawn) == sum(spec.startswith(f"{name}?") or spec == name for spec in specs) > 50
        asked = [tuple(int(part.split("=")[1]) for part in query.split("&")) for query in drawn]
        assert all(query == f"rate={rate}&pitch={pitch}" for query, (rate, pitch) in zip(drawn, asked, strict=True))
        rates, pitches = zip(*asked, strict=True)
        assert 120 <= min(rates) < 130 < 190 < max(rates) <= 200
        assert 30 <= min(pitches) < 35 < 55 < max(pitches) <= 60
    assert specs.count("espeak:en-us?rate=150") > 50
    assert specs.count("command: a") > 50


# The bank


def test_a_bank_has_the_utterances_of_its_script(tmp_path, robots):
    told = []
    bank = speech_bank(SCRIPT, tmp_path, progress=told.append)
    assert bank.texts == SCRIPT.texts
    assert len(bank) == sum(told) == 12
    assert robots == [spec for _, spec in SCRIPT.lines()]
    assert list(zip(bank.text_of, bank.speakers, strict=True)) == SCRIPT.lines()
    for text in SCRIPT.texts:
        assert len(bank.saying(text)) == 6
        for index in bank.saying(text):
            sound = bank.utterance(index)
            assert sound.dtype == np.float32
            assert 0.1 * len(text) * RATE <= len(sound) <= bank.limit
            assert 0.35 < np.abs(sound).max() <= 1.0


def test_what_files_and_programs_say_is_asked_for_every_time(tmp_path, robots):
    speech_bank(SCRIPT, tmp_path)
    robots.clear()
    speech_bank(SCRIPT, tmp_path)
    assert len(robots) == SCRIPT.utterances


def test_what_was_said_once_is_read_again(tmp_path, robots):
    script = replace(SCRIPT, speakers=("espeak:a", "flite:b"))
    first = speech_bank(script, tmp_path)
    robots.clear()
    again = speech_bank(replace(script), tmp_path)
    assert robots == []
    assert np.array_equal(first.samples, again.samples)
    assert first.text_of.tolist() == again.text_of.tolist()
    assert again.limit == 3 * RATE


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"utterances": 13},
        {"rates": (120, 201)},
        {"pitches": (31, 60)},
        {"limit_s": 2.9},
        {"shares": {"espeak": 2.0}},
        {"texts": SCRIPT.texts[::-1]},
        {"speakers": ESPEAK.speakers[::-1]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_wishes_are_another_bank(tmp_path, robots, other):
    speech_bank(ESPEAK, tmp_path)
    robots.clear()
    speech_bank(replace(ESPEAK, **other), tmp_path)
    assert robots
    assert len(list(tmp_path.iterdir())) == 2


def test_the_number_of_workers_changes_nothing_but_who_speaks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "speaker", speaker)
    monkeypatch.setattr(module, "SHARE", 5)
    script, told = replace(SCRIPT, speakers=("espeak:en", "espeak:en-us+f3")), []
    alone = speech_bank(script, tmp_path / "1", progress=told.append)
    together = speech_bank(script, tmp_path / "2", workers=2, progress=told.append)
    assert told[:3] == [5, 5, 2]
    assert sorted(told[3:]) == [2, 5, 5]
    assert np.array_equal(alone.samples, together.samples)
    assert alone.spans.tolist() == together.spans.tolist()
    assert alone.speakers.tolist() == together.speakers.tolist()
    assert alone.text_of.tolist() == together.text_of.tolist()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_speaker_that_cannot_be_had_is_named_and_leaves_nothing_behind(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(module, "speaker", speaker)
    with pytest.raises(SpeechError, match="has no voice 'xx-nowhere'"):
        speech_bank(replace(SCRIPT, speakers=("espeak:xx-nowhere",)), tmp_path / "bank", workers=workers)
    assert not list(tmp_path.rglob("*.npz"))


def test_utterances_that_are_too_long_are_left_out(tmp_path):
    hum = Robot("command: a").say
    script = replace(SCRIPT, texts=("go", "go to a key"), limit_s=1.9)

    class Rambler(Robot):
        def say(self, text):
            return hum(text * 10) if self.asked.count(self.asked[-1]) % 2 and len(self.asked) > 4 else hum(text)

    module.speaker = Rambler
    bank = speech_bank(script, tmp_path)
    assert 4 <= len(bank) < 12
    assert np.diff(bank.spans).max() <= bank.limit
    assert set(bank.text_of) == {0, 1}


def test_the_utterances_of_some_speakers_can_be_had_alone(tmp_path):
    bank = speech_bank(SCRIPT, tmp_path)
    some = bank.only(lambda name: name == "command: a")
    theirs = [i for i, name in enumerate(bank.speakers) if name == "command: a"]
    assert 0 < len(some) == len(theirs) < len(bank)
    assert set(some.speakers) == {"command: a"}
    for ours, index in enumerate(theirs):
        assert np.array_equal(some.utterance(ours), bank.utterance(index))
        assert some.text_of[ours] == bank.text_of[index]


def test_a_text_that_nobody_can_say_in_time_is_named(tmp_path):
    for long in ("go to the red ball", "go to the purple ball", "go to a red ball"):
        with pytest.raises(SpeechError, match=f"nobody can say '{long}' in one utterance of at most 1.9 s"):
            speech_bank(replace(SCRIPT, texts=("go", long), limit_s=1.9), tmp_path / "other")
    assert not list(tmp_path.rglob("*.npz"))


def test_too_few_utterances_for_all_texts_are_refused(tmp_path):
    with pytest.raises(SpeechError, match=r"too few utterances \(2\) for 3 texts"):
        speech_bank(replace(SCRIPT, texts=("go", "wait", "stop"), utterances=2), tmp_path)
