import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from sensorimotor.errors import MissingExtraError, SpeechError
from sensorimotor.pipelines import espeak
from sensorimotor.pipelines.espeak import Espeak
from sensorimotor.pipelines.sound import SAMPLE_RATE

SENTENCE = "go to the red ball"


def is_speech(sound: np.ndarray) -> bool:
    return sound.dtype == np.float32 and sound.ndim == 1 and 0.05 < np.abs(sound).max() <= 1.0


@pytest.mark.parametrize("voice", ["en-us", "en-gb-scotland", "en-us+f3"])
def test_espeak_speaks_at_16_khz(voice):
    sound = Espeak(voice).say(SENTENCE)
    assert is_speech(sound)
    assert 0.5 * SAMPLE_RATE < len(sound) < 4 * SAMPLE_RATE


def test_more_words_a_minute_take_less_time_and_more_words_take_more():
    slow, fast = (Espeak("en-us", rate=rate).say(SENTENCE) for rate in (100, 300))
    assert len(fast) < 0.6 * len(slow)
    assert len(Espeak("en-us", rate=300).say(SENTENCE + " and wait")) > len(fast)


def test_a_text_sounds_the_same_whoever_has_said_what_before():
    low, high = Espeak("en-us", pitch=5), Espeak("en-gb-scotland+f3", rate=330, pitch=95)
    alone = low.say(SENTENCE)
    high.say("something else")
    assert np.array_equal(low.say(SENTENCE), alone)
    assert not np.array_equal(high.say(SENTENCE), alone)


@pytest.mark.parametrize(
    "voice",
    ["xx-nowhere", "en-us+nobody", "en-us+", "en-us+../f3", "en-us+..", "+f3", " ", "en\0us", "en-us+f3\0", "\ud800"],
)
def test_an_unknown_voice_or_variant_is_refused_before_anything_is_said(voice):
    with pytest.raises(SpeechError, match="espeak-ng has no voice .*; try en, en-us"):
        Espeak(voice)


@pytest.mark.parametrize("text", ["go to \ud800", "go to\0 the ball"])
def test_a_text_that_espeak_cannot_be_told_whole_is_refused(text):
    with pytest.raises(SpeechError, match="cannot be said"):
        Espeak("en-us").say(text)


def test_markup_is_read_out_and_not_obeyed():
    plain, marked = Espeak("en-us").say("a b"), Espeak("en-us").say('<break time="9s"/>')
    assert is_speech(marked)
    assert len(plain) < len(marked) < 9 * SAMPLE_RATE


class FailingEspeak:
    """The library as it would look if speaking failed with a status, after some sound or none."""

    def __init__(self, library, status: int, sound: bool):
        self.library, self.status, self.sound = library, status, sound

    def espeak_SetVoiceByName(self, *_):  # noqa: N802
        return 0

    def espeak_SetParameter(self, *_):  # noqa: N802
        return 0

    def espeak_Synth(self, *_):  # noqa: N802
        if self.sound:
            self.library._collect(ctypes.cast((ctypes.c_short * 8)(), ctypes.POINTER(ctypes.c_short)), 8, None)
        return self.status


@pytest.mark.parametrize(("status", "sound"), [(0, False), (1, False), (1, True)])
def test_when_espeak_fails_or_gives_no_sound_that_is_an_error_and_not_silence(monkeypatch, status, sound):
    library = espeak._espeak()
    monkeypatch.setattr(library, "_load", lambda: None)
    monkeypatch.setattr(library, "_lib", FailingEspeak(library, status, sound))
    with pytest.raises(SpeechError, match=rf"could not say 'go' \(status {status}\)"):
        Espeak("en-us").say("go")


@pytest.mark.parametrize("voice", ["en-us", "en-us+f3", "en+klatt3", "en-us+whisper"])
def test_the_same_words_sound_the_same_whatever_was_said_before(voice):
    first = Espeak(voice).say("go to the red ball")
    Espeak("en+m3", rate=220).say("something else entirely")
    assert np.array_equal(Espeak(voice).say("go to the red ball"), first)


def test_espeak_is_given_its_dice_and_does_not_take_them_from_the_clock(monkeypatch):
    calls = []

    class Library:
        def __init__(self, path):
            calls.append(path)

        def __getattr__(self, name):
            return lambda *arguments: calls.append(name) or 22_050

    monkeypatch.setattr(ctypes, "CDLL", Library)
    espeak._EspeakLibrary(Path("library"), Path("data"))
    assert calls[:3] == ["library", "espeak_Initialize", "espeak_ng_SetRandSeed"]


def test_sound_is_taken_out_of_memory_that_espeak_uses_again():
    library, memory = espeak._espeak(), (ctypes.c_short * 3)(1, 2, 3)
    library._pieces.clear()
    library._collect(ctypes.cast(memory, ctypes.POINTER(ctypes.c_short)), 3, None)
    memory[0] = 99
    assert library._pieces[0].tolist() == [1, 2, 3]


def test_without_espeak_the_extra_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(espeak, "_espeak", espeak._espeak.__wrapped__)
    with pytest.raises(MissingExtraError, match=r"espeakng-loader.*pip install 'sensorimotor\[sim\]'") as caught:
        Espeak("en-us")
    assert caught.value.extras == ["sim"]


@pytest.mark.parametrize(("rate", "pitch"), [(79, 50), (451, 50), (165, -1), (165, 100)])
def test_a_rate_or_pitch_out_of_range_is_refused_with_the_range(rate, pitch):
    with pytest.raises(SpeechError, match=f"80–450 words a minute at pitch 0–99, not {rate} at {pitch}"):
        Espeak("en-us", rate, pitch)


@pytest.mark.parametrize(("rate", "pitch"), [(80, 0), (450, 99)])
def test_the_slowest_and_the_fastest_the_lowest_and_the_highest_can_speak(rate, pitch):
    assert is_speech(Espeak("en-us", rate, pitch).say("go"))
