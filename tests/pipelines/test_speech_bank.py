import numpy as np
import pytest

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines import speech_bank as module
from sensorimotor.pipelines.speech_bank import speech_bank, vary

RATE = 16_000
OPTIONS = {"takes": 2, "rates": (120, 200), "pitches": (30, 60), "limit_s": 3.0, "seed": 1}
TEXTS = ("go to the red ball", "go to a key")


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


def test_every_text_is_said_by_every_speaker_as_often_as_asked(tmp_path):
    told = []
    bank = speech_bank(TEXTS, ("command: a", "command: b"), cache=tmp_path, progress=told.append, **OPTIONS)
    assert bank.texts == tuple(sorted(TEXTS))
    assert len(bank) == 2 * 2 * 2
    assert told == [4, 4]
    assert [len(bank.saying(text)) for text in bank.texts] == [4, 4]
    for text in TEXTS:
        for index in bank.saying(text):
            sound = bank.utterance(index)
            assert sound.dtype == np.float32
            assert 0.1 * len(text) * RATE <= len(sound) <= bank.limit
            assert 0.35 < np.abs(sound).max() <= 1.0


def test_what_was_said_once_is_read_again(tmp_path, robots):
    first = speech_bank(TEXTS, ("command: a",), cache=tmp_path, **OPTIONS)
    robots.clear()
    again = speech_bank(TEXTS[::-1] * 2, ("command: a",), cache=tmp_path, **OPTIONS)
    assert robots == []
    assert np.array_equal(first.samples, again.samples)
    assert first.text_of.tolist() == again.text_of.tolist()


@pytest.mark.parametrize("other", [{"seed": 2}, {"takes": 3}, {"rates": (120, 201)}, {"limit_s": 2.9}])
def test_other_wishes_are_another_bank(tmp_path, robots, other):
    speech_bank(TEXTS, ("espeak:en",), cache=tmp_path, **OPTIONS)
    robots.clear()
    speech_bank(TEXTS, ("espeak:en",), cache=tmp_path, **OPTIONS | other)
    assert robots
    assert len(list(tmp_path.iterdir())) == 2


def test_espeak_speaks_at_random_rates_and_pitches_unless_told_how(tmp_path, robots):
    speech_bank(TEXTS, ("espeak:en", "espeak:en-us?rate=150", "command: a"), cache=tmp_path, **OPTIONS)
    drawn = [spec for spec in robots if spec.startswith("espeak:en?")]
    assert len(set(drawn)) == len(drawn) == 4
    for spec in drawn:
        rate, pitch = (int(part.split("=")[1]) for part in spec.split("?")[1].split("&"))
        assert 120 <= rate <= 200
        assert 30 <= pitch <= 60
    assert robots.count("espeak:en-us?rate=150") == robots.count("command: a") == 4


def test_utterances_that_are_too_long_are_left_out(tmp_path):
    options = OPTIONS | {"limit_s": 1.9}
    bank = speech_bank(("go", "go to a key"), ("command: a",), cache=tmp_path, **options)
    assert len(bank) == 4
    for long in ("go to the red ball", "go to the purple ball", "go to a red ball"):
        with pytest.raises(SpeechError, match=f"nobody can say '{long}' in one utterance of at most 1.9 s"):
            speech_bank(("go", long), ("command: a",), cache=tmp_path / "other", **options)
    assert not (tmp_path / "other").exists()


# Variation


@pytest.mark.parametrize("seed", range(20))
def test_a_varied_utterance_is_still_sound_of_the_same_kind(seed):
    sound = Robot("x").say("go to the key")
    varied = vary(sound, 20_000, np.random.default_rng(seed))
    assert varied.dtype == np.float32
    assert varied.ndim == 1
    assert 0.7 * len(sound) < len(varied) <= 20_000
    assert 0.01 < np.abs(varied).max() <= 1.0
    assert np.array_equal(varied, vary(sound, 20_000, np.random.default_rng(seed)))


def test_no_two_variations_are_alike():
    sound = Robot("x").say("go to the key")
    varied = [vary(sound, 64_000, np.random.default_rng(seed)) for seed in range(20)]
    assert len({len(one) for one in varied}) > 15
    levels = [np.abs(one).max() for one in varied]
    assert max(levels) > 3 * min(levels)


def test_what_is_varied_stays_as_it_was():
    sound = Robot("x").say("go")
    before = sound.copy()
    vary(sound, 64_000, np.random.default_rng(0))
    assert np.array_equal(sound, before)
