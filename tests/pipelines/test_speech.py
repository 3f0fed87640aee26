import pytest

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines.espeak import Espeak
from sensorimotor.pipelines.programs import NORMAL_RATE, Command, Festival, Flite
from sensorimotor.pipelines.recordings import Recordings
from sensorimotor.pipelines.speech import VOICED, speaker

VOICES = {"espeak": "en-us", "flite": "slt", "festival": "kal_diphone"}


def test_every_synthesiser_with_voices_is_tested_here():
    assert set(VOICES) == set(VOICED)


@pytest.mark.parametrize(
    "spec",
    ["", "espeak", "espeak:", "flite:", "festival", "command:", "recordings:", "http://x.org", "ESPEAK:en-us", ":"],
)
def test_a_string_that_names_no_speaker_is_refused_with_what_would(spec):
    with pytest.raises(SpeechError, match=r"is none: write 'espeak:VOICE', 'flite:VOICE', 'festival:VOICE'") as caught:
        speaker(spec)
    assert "'recordings: DIR' or 'command: TOOL -o {wav} {text}'" in str(caught.value)


@pytest.mark.parametrize("kind", VOICES)
@pytest.mark.parametrize(
    "options", ["speed=1", "rate=", "rate", "rate=-100", "rate=fast", "rate=160.5", "pitch=high", "rate=160&tempo=2"]
)
def test_an_option_that_does_not_exist_or_is_no_number_is_refused(kind, options):
    with pytest.raises(SpeechError, match="the options are rate .* and pitch"):
        speaker(f"{kind}:{VOICES[kind]}?{options}")


@pytest.mark.parametrize("kind", VOICES)
@pytest.mark.parametrize("options", ["rate=0", "rate=79", "rate=451", "pitch=100", "rate=99999999999999999999"])
def test_a_rate_or_pitch_out_of_range_is_refused_with_the_range(kind, options):
    with pytest.raises(SpeechError, match="80–450 words a minute at pitch 0–99"):
        speaker(f"{kind}:{VOICES[kind]}?{options}")


@pytest.mark.parametrize(
    ("spec", "kind", "asked"),
    [
        ("espeak: en-us+f3?rate=200&pitch=7", Espeak, ("en-us+f3", 200, 7)),
        ("espeak:en-us?rate=80&pitch=0", Espeak, ("en-us", 80, 0)),
        ("flite: slt?pitch=99&rate=450", Flite, ("slt", 450, 99)),
        ("flite:awb", Flite, ("awb", NORMAL_RATE, 50)),
        ("festival:kal_diphone?rate=120", Festival, ("kal_diphone", 120, 50)),
    ],
)
def test_a_voice_is_what_its_string_says(spec, kind, asked):
    voice = speaker(spec)
    assert isinstance(voice, kind)
    assert (voice.voice, voice.rate, voice.pitch) == asked


def test_a_command_is_what_its_string_says():
    command = speaker("command: say -o {wav} 'in one word: {text}'")
    assert isinstance(command, Command)
    assert command.words == ["say", "-o", "{wav}", "in one word: {text}"]


def test_recordings_are_looked_for_where_their_string_says(tmp_path, monkeypatch):
    (tmp_path / "my voice").mkdir()
    (tmp_path / "my voice" / "index.tsv").write_text("a.wav\tgo\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for spec in (f"recordings: {tmp_path}/my voice", "recordings:~/my voice"):
        voice = speaker(spec)
        assert isinstance(voice, Recordings)
        assert voice.directory == tmp_path / "my voice"


def test_a_voice_that_cannot_exist_is_refused_at_once():
    for spec in ("espeak:xx-nowhere", "flite:nobody", "festival:kal) (quit"):
        with pytest.raises(SpeechError, match="has no voice"):
            speaker(spec)
