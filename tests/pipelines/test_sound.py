import sys
import wave

import numpy as np
import pytest

from sensorimotor.errors import MissingExtraError, SpeechError
from sensorimotor.pipelines.sound import SAMPLE_RATE, read_sound


def write_wav(path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype(np.int16).tobytes())


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


def test_without_pyav_the_extra_that_brings_it_is_named(monkeypatch, tmp_path):
    write_wav(tmp_path / "tone.wav", np.zeros((160, 1)), SAMPLE_RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"PyAV.*pip install 'sensorimotor\[sim\]'"):
        read_sound(tmp_path / "tone.wav")
