import wave

import numpy as np
import pytest

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines.recordings import Recordings


@pytest.fixture
def folder(tmp_path):
    """Two recordings, of constant height, and their index."""
    for name, height in (("a.wav", 8192), ("b.wav", 16384)):
        with wave.open(str(tmp_path / name), "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes(np.full(800, height, np.int16).tobytes())
    (tmp_path / "index.tsv").write_text("a.wav\tgo to the red ball\nb.wav\tgo to a key \nb.wav\tgo to the red ball\n")
    return tmp_path


def test_what_was_recorded_is_said_and_the_first_recording_counts(folder):
    voice = Recordings(folder)
    ball, key = voice.say("go to the red ball"), voice.say("go to a key")
    assert ball.dtype == np.float32
    assert ball.shape == key.shape == (800,)
    assert np.allclose(ball, 0.25, atol=1e-3)
    assert np.allclose(key, 0.5, atol=1e-3)


def test_whoever_changes_a_sound_does_not_change_the_recording(folder):
    voice = Recordings(folder)
    voice.say("go to a key")[:] = 0
    assert voice.say("go to a key").all()


def test_what_was_not_recorded_cannot_be_said(folder):
    with pytest.raises(SpeechError, match="has no recording of 'go home'"):
        Recordings(folder).say("go home")


def test_a_recording_that_is_missing_or_no_sound_is_named(folder):
    (folder / "a.wav").unlink()
    (folder / "b.wav").write_text("words")
    for text, name in (("go to the red ball", "a.wav"), ("go to a key", "b.wav")):
        with pytest.raises(SpeechError, match=f"{name} cannot be read as sound"):
            Recordings(folder).say(text)


@pytest.mark.parametrize("line", ["a.wav go", "a.wav\t ", "", "../a.wav\tgo", "/etc/passwd\tgo"])
def test_a_line_that_is_wrong_or_leads_elsewhere_is_named(folder, line):
    (folder / "index.tsv").write_text(f"a.wav\tgo\n{line}\n")
    with pytest.raises(SpeechError, match=r"index\.tsv, line 2: expected FILE, a tabulator and TEXT"):
        Recordings(folder)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_directory_without_an_index_that_can_be_read_is_named(tmp_path, content):
    if content:
        (tmp_path / "index.tsv").write_bytes(content)
    with pytest.raises(SpeechError, match=r"index\.tsv cannot be read"):
        Recordings(tmp_path)
