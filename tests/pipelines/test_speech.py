import ctypes
import shlex
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from sensorimotor.errors import MissingExtraError, SpeechError
from sensorimotor.pipelines import speech
from sensorimotor.pipelines.speech import SAMPLE_RATE, Command, Espeak, read_sound, speaker

SENTENCE = "go to the red ball"

WRITES_A_TONE = """
import sys, wave
with wave.open(sys.argv[1], "wb") as sound:
    sound.setparams((1, 2, 16000, 0, "NONE", ""))
    sound.writeframes(bytes([0, 64]) * 1600)
"""


@pytest.fixture
def program(tmp_path):
    """Make the command line of a program that is given as Python source."""

    def make(source: str, arguments: str = "{wav} {text}") -> Command:
        path = tmp_path / "program with spaces.py"
        path.write_text(source)
        return Command(f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(path))} {arguments}")

    return make


def write_wav(path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype(np.int16).tobytes())


def is_speech(sound: np.ndarray) -> bool:
    return sound.dtype == np.float32 and sound.ndim == 1 and 0.05 < np.abs(sound).max() <= 1.0


# Naming a speaker


@pytest.mark.parametrize(
    "spec", ["", "espeak", "espeak:", "command:", "festival:kal", "http://example.org", "ESPEAK:en-us", ":"]
)
def test_a_string_that_names_no_speaker_is_refused_with_what_would(spec):
    with pytest.raises(SpeechError, match=r"is none: write 'espeak:VOICE' or 'command: TOOL -o {wav} {text}'"):
        speaker(spec)


@pytest.mark.parametrize(
    "options", ["speed=1", "rate=", "rate", "rate=-100", "rate=fast", "rate=160.5", "pitch=high", "rate=160&tempo=2"]
)
def test_an_option_that_does_not_exist_or_is_no_number_is_refused(options):
    with pytest.raises(SpeechError, match="the options are rate .* and pitch"):
        speaker(f"espeak:en-us?{options}")


@pytest.mark.parametrize("options", ["rate=79", "rate=451", "pitch=100", "rate=99999999999999999999"])
def test_a_rate_or_pitch_out_of_range_is_refused_with_the_range(options):
    with pytest.raises(SpeechError, match="80–450 words a minute at pitch 0–99"):
        speaker(f"espeak:en-us?{options}")


@pytest.mark.parametrize(("rate", "pitch"), [(80, 0), (450, 99)])
def test_the_slowest_and_the_fastest_the_lowest_and_the_highest_can_speak(rate, pitch):
    assert is_speech(speaker(f"espeak:en-us?rate={rate}&pitch={pitch}").say("go"))


def test_a_speaker_is_what_its_string_says():
    voice = speaker("espeak: en-us+f3?rate=200&pitch=7")
    assert isinstance(voice, Espeak)
    assert (voice.voice, voice.rate, voice.pitch) == ("en-us+f3", 200, 7)
    command = speaker("command: say -o {wav} 'in one word: {text}'")
    assert isinstance(command, Command)
    assert command.words == ["say", "-o", "{wav}", "in one word: {text}"]


# espeak-ng


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
    library = speech._espeak()
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
    speech._EspeakLibrary(Path("library"), Path("data"))
    assert calls[:3] == ["library", "espeak_Initialize", "espeak_ng_SetRandSeed"]


def test_sound_is_taken_out_of_memory_that_espeak_uses_again():
    library, memory = speech._espeak(), (ctypes.c_short * 3)(1, 2, 3)
    library._pieces.clear()
    library._collect(ctypes.cast(memory, ctypes.POINTER(ctypes.c_short)), 3, None)
    memory[0] = 99
    assert library._pieces[0].tolist() == [1, 2, 3]


def test_without_espeak_the_extra_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    monkeypatch.setattr(speech, "_espeak", speech._espeak.__wrapped__)
    with pytest.raises(MissingExtraError, match=r"espeakng-loader.*pip install 'sensorimotor\[sim\]'") as caught:
        speaker("espeak:en-us")
    assert caught.value.extras == ["sim"]


def test_without_pyav_the_extra_that_brings_it_is_named(monkeypatch, tmp_path):
    write_wav(tmp_path / "tone.wav", np.zeros((160, 1)), SAMPLE_RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"PyAV.*pip install 'sensorimotor\[sim\]'"):
        read_sound(tmp_path / "tone.wav")


# Programs


def test_a_program_speaks_by_writing_a_sound_file(program):
    sound = program(WRITES_A_TONE).say(SENTENCE)
    assert len(sound) == 1600
    assert np.allclose(sound, 0.5, atol=0.01)
    assert sound.dtype == np.float32


@pytest.mark.parametrize("template", ["say {text}", "say -o {wav}", "say", "{text}", "{ wav } {text}"])
def test_a_template_without_its_placeholders_is_refused_naming_the_missing_one(template):
    with pytest.raises(SpeechError, match=r"has no \{(wav|text)\}"):
        speaker(f"command: {template}")


def test_a_template_that_cannot_be_split_is_refused():
    with pytest.raises(SpeechError, match="No closing quotation"):
        speaker("command: say '{wav} {text}")


SPIES = WRITES_A_TONE + "open(sys.argv[2] + '.heard', 'w', newline='').write('|'.join(sys.argv[3:]))\n"


@pytest.mark.parametrize(
    "text",
    [
        "$(touch pwned); rm -rf / && `id` | cat > x",
        "two  spaces and 'quotes\" \\ *",
        "{wav} {text}",
        "-o --help",
        "é ☃",
        "line\nline",
        "",
    ],
)
def test_no_shell_ever_sees_the_text(program, tmp_path, text):
    spy = tmp_path / "spy"
    program(SPIES, f"{{wav}} {spy} {{text}}").say(text)
    assert spy.with_suffix(".heard").read_text() == text
    assert not (tmp_path / "pwned").exists()


def test_a_placeholder_may_be_part_of_a_word(program, tmp_path):
    spy = tmp_path / "spy"
    program(SPIES, f"{{wav}} {spy} --text={{text}} '{{text}}!'").say("go on")
    assert spy.with_suffix(".heard").read_text() == "--text=go on|go on!"


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(SpeechError, match="'no-such-synthesiser' is not installed or not on the PATH"):
        Command("no-such-synthesiser {wav} {text}").say(SENTENCE)


def test_a_program_that_cannot_be_started_is_named(tmp_path):
    with pytest.raises(SpeechError, match=f"speaker program '{tmp_path}'.*Permission denied"):
        Command(f"{tmp_path} {{wav}} {{text}}").say(SENTENCE)


def test_a_program_that_fails_is_quoted_with_its_status(program):
    fails = program("import sys; print('x' * 5000 + ' no such voice', file=sys.stderr); sys.exit(3)")
    with pytest.raises(SpeechError, match="failed with status 3: x.* no such voice$") as caught:
        fails.say(SENTENCE)
    assert len(str(caught.value)) < 1000


def test_a_program_that_fails_after_writing_sound_has_failed(program):
    with pytest.raises(SpeechError, match="failed with status 1"):
        program(WRITES_A_TONE + "sys.exit(1)").say(SENTENCE)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import sys; open(sys.argv[1], 'w').close()",
        WRITES_A_TONE.replace("1600)", "0)"),
    ],
)
def test_a_program_that_writes_nothing_is_an_error_and_not_silence(program, source):
    with pytest.raises(SpeechError, match=r"wrote no sound to \{wav\}"):
        program(source).say(SENTENCE)


@pytest.mark.parametrize("content", ["not a sound", "<svg/>", "\0" * 100, "RIFF\0\0\0\0WAVEfmt "])
def test_a_program_that_writes_no_sound_file_is_an_error(program, content):
    with pytest.raises(SpeechError, match="cannot be read as sound"):
        program(f"import sys; open(sys.argv[1], 'w').write({content!r})").say(SENTENCE)


def test_a_program_that_hangs_is_stopped_and_named(monkeypatch):
    def hangs(call, *, timeout, **_):
        raise subprocess.TimeoutExpired(call, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(SpeechError, match="speaker program 'say': .*timed out after 30"):
        Command("say {wav} {text}").say(SENTENCE)


@pytest.mark.parametrize("text", ["go\0", "\ud800", "x" * 3_000_000])
def test_a_text_that_cannot_be_handed_to_a_program_is_a_speech_error(program, text):
    with pytest.raises(SpeechError, match="speaker program"):
        program(WRITES_A_TONE).say(text)


# Sound files


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22_050, 1), (44_100, 2), (16_000, 2)])
def test_sound_of_any_rate_and_channels_becomes_16_khz_mono(tmp_path, rate, channels):
    time = np.arange(rate // 2) / rate
    tone = np.repeat(0.5 * np.sin(2 * np.pi * 440 * time)[:, None], channels, axis=1)
    write_wav(tmp_path / "tone.wav", tone, rate)
    sound = read_sound(tmp_path / "tone.wav")
    assert len(sound) == pytest.approx(SAMPLE_RATE / 2, abs=50)
    spectrum = np.abs(np.fft.rfft(sound[:8000] * np.hanning(len(sound[:8000]))))
    assert np.argmax(spectrum) * SAMPLE_RATE / len(sound[:8000]) == pytest.approx(440, abs=4)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.05)


def test_full_scale_stays_within_the_range_that_policies_take(tmp_path):
    square = np.sign(np.sin(np.arange(4410) * 0.2))[:, None]
    write_wav(tmp_path / "loud.wav", square, 44_100)
    sound = read_sound(tmp_path / "loud.wav")
    assert 0.9 < np.abs(sound).max() <= 1.0


def test_a_file_that_is_missing_or_no_sound_is_a_speech_error_that_names_it(tmp_path):
    with pytest.raises(SpeechError, match=r"nowhere\.wav cannot be read as sound"):
        read_sound(tmp_path / "nowhere.wav")
    (tmp_path / "notes.wav").write_text("words")
    with pytest.raises(SpeechError, match=r"notes\.wav cannot be read as sound"):
        read_sound(tmp_path / "notes.wav")
