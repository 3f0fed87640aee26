import numpy as np
import pytest

from sensorimotor.pipelines.percentiles import Percentiles


@pytest.mark.parametrize("spread", [0.1, 1.0, 2.0])
def test_percentiles_are_right_within_a_percent(spread):
    values = np.random.default_rng(0).lognormal(1.0, spread, 20_000)
    counted = Percentiles()
    for value in values:
        counted.add(value)
    for percent in (1, 50, 90, 99):
        assert counted.at(percent) == pytest.approx(np.percentile(values, percent), rel=0.02)
    assert counted.largest == values.max()
    assert counted.count == 20_000


def test_nothing_has_no_percentiles():
    assert Percentiles().to_json() == {"p50": None, "p99": None, "max": 0.0, "n": 0}


def test_what_is_beyond_the_bins_is_counted_all_the_same():
    counted = Percentiles()
    for value in (0.0, 1e12):
        counted.add(value)
    assert counted.at(1) == pytest.approx(1e-3, rel=0.02)
    assert (counted.largest, counted.count) == (1e12, 2)
    assert counted.at(100) > 1e6


def test_a_percentile_is_never_above_the_largest_value():
    counted = Percentiles()
    counted.add(0.987654)
    assert counted.at(50) <= 0.987654
