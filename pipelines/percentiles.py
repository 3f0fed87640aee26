"""Percentiles of any number of durations in a memory of fixed size."""

import numpy as np

SMALLEST = 1e-3
STEPS = 231
"""Bins a decade: each is 1 % wide, so a percentile is off by no more than that."""


class Percentiles:
    """Counts values in bins that grow by one percent.

    >>> durations = Percentiles()
    >>> for ms in range(1, 101):
    ...     durations.add(ms)
    >>> round(durations.at(50)), round(durations.at(99)), durations.largest
    (50, 99, 100.0)
    """

    def __init__(self) -> None:
        self._counts = np.zeros(10 * STEPS, np.int64)
        self.count, self.largest = 0, 0.0

    def add(self, value: float) -> None:
        """Count a value; what is below a thousandth is taken for that."""
        place = int(np.log10(max(value, SMALLEST) / SMALLEST) * STEPS)
        self._counts[min(place, len(self._counts) - 1)] += 1
        self.count += 1
        self.largest = max(self.largest, float(value))

    def at(self, percent: float) -> float | None:
        """The value that so many percent do not exceed; None where there is none yet."""
        if not self.count:
            return None
        place = int(np.searchsorted(np.cumsum(self._counts), self.count * percent / 100))
        return min(self.largest, SMALLEST * 10 ** ((place + 0.5) / STEPS))

    def to_json(self) -> dict[str, float | int | None]:
        """p50, p99, the largest, and how many there were."""
        p50, p99 = self.at(50), self.at(99)
        return {
            "p50": None if p50 is None else round(p50, 4),
            "p99": None if p99 is None else round(p99, 4),
            "max": round(self.largest, 4),
            "n": self.count,
        }
