import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines.programs import NORMAL_RATE, Command, Festival, Flite
from sensorimotor.pipelines.sound import SAMPLE_RATE

SENTENCE = "go to the red ball"

WRITES_A_TONE = """
import sys, wave
with wave.open(sys.argv[1], "wb") as sound:
    sound.setparams((1, 2, 16000, 0, "NONE", ""))
    sound.writeframes(bytes([0, 64]) * 1600)
"""

PRETENDS = """#!{python} -I
import json, pathlib, re, sys
me = pathlib.Path(sys.argv[0])
me.with_suffix(".asked").write_text(json.dumps(sys.argv[1:]))
sys.argv[1:] = re.findall(r'[^" ]+/speech[.]wav', sys.argv[-1])
"""


@pytest.fixture
def program(tmp_path):
    """Make the command line of a program that is given as Python source."""

    def make(source: str, arguments: str = "{wav} {text}") -> Command:
        path = tmp_path / "program with spaces.py"
        path.write_text(source)
        return Command(f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(path))} {arguments}")

    return make


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """Put programs named `flite` and `festival` on the PATH; `pretended("flite")` is what one was last asked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("flite", "festival"):
        path = tmp_path / name
        path.write_text(PRETENDS.replace("{python}", sys.executable) + WRITES_A_TONE)
        path.chmod(0o755)
    return lambda name: json.loads((tmp_path / f"{name}.asked").read_text())


# Any program


def test_a_program_speaks_by_writing_a_sound_file(program):
    sound = program(WRITES_A_TONE).say(SENTENCE)
    assert len(sound) == 1600
    assert np.allclose(sound, 0.5, atol=0.01)
    assert sound.dtype == np.float32


@pytest.mark.parametrize("template", ["say {text}", "say -o {wav}", "say", "{text}", "{ wav } {text}"])
def test_a_template_without_its_placeholders_is_refused_naming_the_missing_one(template):
    with pytest.raises(SpeechError, match=r"has no \{(wav|text)\}"):
        Command(template)


def test_a_template_that_cannot_be_split_is_refused():
    with pytest.raises(SpeechError, match="No closing quotation"):
        Command("say '{wav} {text}")


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


# Flite and festival


def test_flite_is_told_voice_text_rate_and_pitch(pretended):
    sound = Flite("slt", rate=330, pitch=0).say(SENTENCE)
    assert np.allclose(sound, 0.5, atol=0.01)
    *asked, wav = pretended("flite")
    assert asked[:2] == ["-voice", "slt"]
    assert asked[-3:] == ["-t", SENTENCE, "-o"]
    assert wav.endswith("speech.wav")
    assert [asked[i + 1] for i, word in enumerate(asked) if word == "--setf"] == [
        "duration_stretch=0.500",
        "int_f0_target_mean=70",
    ]


def test_festival_is_told_voice_text_rate_and_pitch(pretended):
    sound = Festival("kal_diphone", rate=110, pitch=50).say(SENTENCE)
    assert np.allclose(sound, 0.5, atol=0.01)
    batch, scheme = pretended("festival")
    assert batch == "--batch"
    assert scheme.startswith("(begin (voice_kal_diphone) ")
    assert "(Parameter.set 'Duration_Stretch 1.500)" in scheme
    assert "(target_f0_mean 140)" in scheme
    assert f'(Utterance Text "{SENTENCE}")' in scheme
    assert scheme.count("(") == scheme.count(")")


@pytest.mark.parametrize("kind", [Flite, Festival])
def test_a_voice_speaks_at_its_own_rate_unless_told(pretended, kind):
    kind("slt").say(SENTENCE)
    (asked,) = [word for word in pretended(kind.__name__.lower()) if "uration_" in word]
    assert "1.000" in asked
    assert kind("slt").rate == NORMAL_RATE


@pytest.mark.parametrize(
    "text",
    ['go" (quit) "', "(system 'id)", "go\\", "go;", "`id`", "$HOME", "{wav}", "", "go\non", "#<x>", "go\0", "\ud800"],
)
def test_a_text_that_could_be_a_program_never_reaches_festival(pretended, tmp_path, text):
    with pytest.raises(SpeechError, match="festival is given plain words only"):
        Festival("kal_diphone").say(text)
    assert not (tmp_path / "festival.asked").exists()
    assert Festival("kal_diphone").say("Don't go, wait - 2 balls. Now!?").any()


@pytest.mark.parametrize("voice", ["kal) (quit", "", "kal diphone", "KAL", "kal-diphone", "kal\n"])
def test_a_voice_that_could_be_a_program_is_refused(voice):
    with pytest.raises(SpeechError, match="festival has no voice .*; try kal_diphone"):
        Festival(voice)


@pytest.mark.parametrize("kind", [Flite, Festival])
def test_without_the_program_it_is_named(monkeypatch, tmp_path, kind):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpeechError, match=f"'{kind.__name__.lower()}' is not installed or not on the PATH"):
        kind("slt").say(SENTENCE)


@pytest.mark.parametrize(
    ("kind", "voice"),
    [
        pytest.param(kind, voice, marks=pytest.mark.skipif(not shutil.which(name), reason=f"needs {name}"))
        for kind, name, voice in ((Flite, "flite", "slt"), (Festival, "festival", "kal_diphone"))
    ],
)
def test_the_programs_themselves_speak_faster_and_higher_when_told(kind, voice):
    slow, fast = (kind(voice, rate=rate).say(SENTENCE) for rate in (110, 300))
    assert 0.5 * SAMPLE_RATE < len(fast) < 0.6 * len(slow)
    assert 0.05 < np.abs(slow).max() <= 1.0
    assert not np.array_equal(kind(voice, pitch=20).say(SENTENCE), kind(voice, pitch=80).say(SENTENCE))


@pytest.mark.skipif(not shutil.which("festival"), reason="needs festival")
def test_a_voice_that_festival_does_not_have_is_an_error():
    with pytest.raises(SpeechError, match="'festival' failed with status .*voice_nobody"):
        Festival("nobody").say(SENTENCE)


@pytest.mark.parametrize("voice", ["nobody", "", "http://example.org/x.flitevox", "/tmp/x.flitevox"])
def test_a_voice_that_flite_does_not_have_is_an_error_and_not_another_voice(voice):
    """Flite itself would silently take its first voice, or fetch a file from anywhere."""
    with pytest.raises(SpeechError, match="flite has no voice"):
        Flite(voice)
