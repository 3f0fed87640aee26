import numpy as np
import pytest

from sensorimotor.pipelines import variation as module
from sensorimotor.pipelines.variation import vary

pytestmark = pytest.mark.usefixtures("one_thread")
RATE = 16_000
TONE = (0.4 * np.sin(2 * np.pi * 240 * np.arange(round(1.3 * RATE)) / RATE)).astype(np.float32)


@pytest.fixture
def plain(monkeypatch):
    """Switches off what `vary` does but for where it starts; `plain(DROPOUTS=2)` leaves that on."""
    off = {
        "SPEEDS": (1.0, 1.0),
        "LEVEL_DB": (0.0, 0.0),
        "RESPONSE_DB": 0.0,
        "NOISE_DB": (-200.0, -200.0),
        "REVERBERATION": 0.0,
        "DROPOUTS": 0,
    }

    def switch(**on):
        for name, value in (off | on).items():
            monkeypatch.setattr(module, name, value)

    return switch


def varied(sound, count, limit=64_000):
    return [vary(sound, limit, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_a_varied_utterance_is_still_sound_of_the_same_kind(seed):
    sound = TONE
    other = vary(sound, 20_000, np.random.default_rng(seed))
    assert other.dtype == np.float32
    assert other.ndim == 1
    assert 0.7 * len(sound) < len(other) <= 20_000
    assert 0.005 < np.abs(other).max() <= 1.0
    assert np.array_equal(other, vary(sound, 20_000, np.random.default_rng(seed)))


def test_no_two_variations_are_alike():
    others = varied(TONE, 20)
    assert len({len(one) for one in others}) > 15
    levels = [np.abs(one).max() for one in others]
    assert max(levels) > 3 * min(levels)


@pytest.mark.parametrize(
    "sound", [np.ones(30_000), np.sign(np.sin(np.arange(30_000) * 0.3))], ids=["constant", "square"]
)
def test_even_the_loudest_stays_within_the_range_and_the_limit(sound):
    for one in varied(sound.astype(np.float32), 20, limit=30_000):
        assert len(one) <= 30_000
        assert np.abs(one).max() <= 1.0
        assert np.isfinite(one).all()


def test_the_shortest_utterance_that_an_ear_cuts_out_can_be_varied():
    for one in varied(np.full(round(0.12 * RATE), 0.1, np.float32), 200):
        assert np.isfinite(one).all()


def test_what_comes_in_begins_a_little_earlier_or_later(plain):
    plain()
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
    moved = []
    for one in varied(sound, 30):
        place = np.flatnonzero(np.abs(sound - one[6000]) < 1e-6)  # where sample 6000 stood before
        (start,) = (6000 - at for at in place if np.allclose(sound[at : at + 3000], one[6000:9000], atol=1e-4))
        moved.append(start / RATE)
    assert -0.1 <= min(moved) < -0.05
    assert 0.2 < max(moved) <= 0.3


def test_a_voice_is_played_slower_and_faster(plain):
    plain(SPEEDS=module.SPEEDS)
    sound = np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE).astype(np.float32)
    hertz = [np.argmax(np.abs(np.fft.rfft(one[4800:12_000], RATE))) for one in varied(sound, 30)]
    assert 315 < min(hertz) < 350
    assert 450 < max(hertz) < 505


def test_about_half_of_the_rooms_echo(plain):
    plain(REVERBERATION=module.REVERBERATION)
    click = np.zeros(RATE, np.float32)
    click[6000] = 0.5
    rings = 0
    for one in varied(click, 60):
        peak = int(np.argmax(np.abs(one)))
        rings += np.abs(one[peak + 160 :]).max() > 1e-4
    assert 20 < rings < 40


def test_there_is_noise_from_hardly_any_to_some(plain):
    plain(NOISE_DB=module.NOISE_DB)
    silence = np.zeros(RATE, np.float32)
    level_db = [20 * np.log10(np.sqrt(np.mean(np.square(one)))) for one in varied(silence, 60)]
    assert -80 < min(level_db) < -68
    assert -42 < max(level_db) < -32


def test_the_response_to_high_and_low_sounds_differs_from_one_to_the_next(plain):
    plain(RESPONSE_DB=module.RESPONSE_DB)
    click = np.zeros(RATE, np.float32)
    click[6000] = 0.5
    gains_db = []
    for one in varied(click, 30):
        spectrum = np.abs(np.fft.rfft(one, RATE))
        gains_db.append(20 * np.log10(spectrum[7000] / spectrum[300]))
    assert min(gains_db) < -5
    assert max(gains_db) > 5
    assert max(map(abs, gains_db)) < 20.5


def test_pieces_get_lost_now_and_then_but_never_much(plain):
    plain(DROPOUTS=module.DROPOUTS)
    others = varied(np.full(2 * RATE, 0.3, np.float32), 60)
    lost = [int((np.abs(one[4800:-4800]) < 1e-4).sum()) / RATE for one in others]
    assert 10 < sum(seconds > 0 for seconds in lost) < 50
    assert module.DROPOUT_S < max(lost) <= module.DROPOUTS * module.DROPOUT_S


def test_what_is_varied_stays_as_it_was():
    sound = TONE.copy()
    before = sound.copy()
    vary(sound, 64_000, np.random.default_rng(0))
    assert np.array_equal(sound, before)
