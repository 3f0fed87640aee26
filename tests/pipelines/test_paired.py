import numpy as np
import pytest

from sensorimotor.pipelines.paired import FEWEST, gain


def noisy(level, count=40, seed=0):
    return level * np.exp(np.random.default_rng(seed).normal(0, 0.1, count))


def test_what_takes_half_as_long_gains_twice():
    found = gain(noisy(2.0), noisy(1.0, seed=1))
    assert found.ratio == pytest.approx(2, rel=0.1)
    assert 1 < found.low < found.ratio < found.high
    assert found.beyond_noise


def test_what_is_the_same_is_not_beyond_noise():
    found = gain(noisy(1.0), noisy(1.0, seed=1))
    assert found.low < 1 < found.high
    assert not found.beyond_noise


def test_what_both_meet_in_the_same_turn_cancels():
    weather = noisy(1.0) * np.linspace(1, 30, 40)
    assert gain(2 * weather, weather).to_json() == {
        "ratio": pytest.approx(2),
        "low": pytest.approx(2),
        "high": pytest.approx(2),
        "pairs": 40,
    }


def test_one_turn_that_went_wrong_changes_little():
    after = noisy(1.0, seed=1)
    after[7] *= 1000
    assert gain(noisy(2.0), after).ratio == pytest.approx(2, rel=0.1)


def test_a_few_pairs_prove_nothing():
    assert not gain([2.0] * (FEWEST - 1), [1.0] * (FEWEST - 1)).beyond_noise
    assert gain([2.0] * FEWEST, [1.0] * FEWEST).beyond_noise


def test_what_has_no_partner_is_left_out():
    assert gain([2.0, 2.0, 50.0], [1.0, 1.0]).ratio == 2
