import numpy as np
import pytest

from sensorimotor.pipelines.spectrogram import RANGE_DB, coloured, power_db

RATE = 8_000


def test_a_sine_at_full_scale_has_0_db_at_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    power = power_db(tone, RATE, columns=9)
    assert power.shape == (129, 9)
    middle = power[:, 4]
    assert middle.argmax() == round(1000 / (RATE / 256))
    assert middle.max() == pytest.approx(0, abs=0.05)
    assert np.delete(middle, range(29, 36)).max() < -60


def test_what_is_loud_is_bright_and_low_frequencies_are_at_the_bottom():
    power = np.full((16, 3), -RANGE_DB, np.float32)
    power[0] = 0
    picture = coloured(power, 0, height=16)
    assert (picture.shape, picture.dtype) == ((16, 3, 3), np.uint8)
    assert picture[-1].min() > 150
    assert picture[:-1].max() < 10
