"""Durations in figures: exact percentiles with an interval for the median, and histograms on a logarithmic scale."""

from collections.abc import Mapping
from typing import Any

import numpy as np

PERCENTS = (50, 90, 95, 99)
BINS = 72
Z95 = 1.959964


def latency(ms: np.ndarray) -> dict[str, Any]:
    """`n`, `p50`, `p90`, `p95`, `p99`, `max` and `p50_ci95` of durations (ms); None where there are none.

    The interval is that of order statistics: it holds for any distribution, and takes durations to be independent.

    >>> latency(np.arange(1.0, 101.0))["p50_ci95"]
    [41.0, 61.0]
    """
    n = len(ms)
    if not n:
        return {"n": 0} | dict.fromkeys([f"p{percent}" for percent in PERCENTS] + ["max", "p50_ci95"])
    ordered = np.sort(ms)
    half = Z95 * np.sqrt(n) / 2
    low, high = max(0, int(np.floor(n / 2 - half))), min(n - 1, int(np.ceil(n / 2 + half)))
    quantiles = np.percentile(ordered, PERCENTS)
    return {
        "n": n,
        **{f"p{percent}": _plain(value) for percent, value in zip(PERCENTS, quantiles, strict=True)},
        "max": _plain(ordered[-1]),
        "p50_ci95": [_plain(ordered[low]), _plain(ordered[high])],
    }


def histograms(durations: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Histograms of several kinds of durations in the same bins, each wider than the one before by the same factor."""
    every = np.concatenate(list(durations.values()))
    least, most = max(float(every.min()), 1e-4), max(float(every.max()), 2e-4)
    edges = np.geomspace(least, most * 1.0001, BINS + 1)
    counts = {name: np.histogram(np.maximum(ms, edges[0]), edges)[0].tolist() for name, ms in durations.items()}
    return {"edges_ms": [_plain(edge) for edge in edges], "counts": counts}


def _plain(value: float) -> float:
    """Five digits are more than a clock is good for."""
    return float(f"{float(value):.5g}")
