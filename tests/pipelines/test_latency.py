import numpy as np
import pytest

from sensorimotor.pipelines.latency import histograms, latency


def test_percentiles_are_exact():
    told = latency(np.arange(101.0))
    assert {key: told[key] for key in ("n", "p50", "p90", "p95", "p99", "max")} == {
        **{"n": 101, "p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
    }


def test_the_interval_of_the_median_holds_the_true_one_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        low, high = latency(rng.lognormal(size=200))["p50_ci95"]
        held += low <= 1.0 <= high
    assert 940 <= held <= 980


def test_one_duration_is_its_own_interval():
    assert latency(np.array([3.0]))["p50_ci95"] == [3.0, 3.0]


def test_without_durations_nothing_is_said():
    told = latency(np.array([]))
    assert told.pop("n") == 0
    assert set(told.values()) == {None}


def test_histograms_have_the_same_bins_and_lose_nothing():
    told = histograms({"a": np.array([0.01, 0.02, 5.0]), "b": np.array([100.0, 0.0])})
    assert {name: sum(counts) for name, counts in told["counts"].items()} == {"a": 3, "b": 2}
    steps = np.diff(np.log(told["edges_ms"]))
    assert steps == pytest.approx(np.full(len(steps), steps[0]), rel=1e-2)
