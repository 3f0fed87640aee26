"""Sums over all samples of a feature, one episode after the other: how many, how many missing, and what values."""

from collections import Counter
from typing import Any

import numpy as np

from sensorimotor.pipelines.episodes import Episode, Feature

LATE = 1.5
"""What takes more periods than this is late: a step is a gap, a sample is missing."""
SHOWN = 20
"""The most frequent values that are listed."""
MAX_DISTINCT = 100_000
"""Values that are told apart; what else there is, is counted together."""


class Tally:
    """What is known of a feature after some episodes.

    Args:
        feature: What it is.
    """

    def __init__(self, feature: Feature):
        self.feature = feature
        self.samples = 0
        self.missing = 0
        """Steps without a sample of their own."""
        self.values: Counter[Any] = Counter()
        self.uncounted = 0
        size = feature.shape[0] if feature.kind == "vector" else 0
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)
        self._mean, self._squares = np.zeros(size), np.zeros(size)

    def add(self, name: str, episode: Episode, steps_s: np.ndarray) -> bytes:
        """Count an episode; gives what tells its values from others, of pictures and sounds their number.

        Raises:
            DataError: Its samples cannot be read.
        """
        if self.feature.stream:
            stream = episode.sound(name, round(self.feature.rate_hz or 16_000))
            self.samples += int(stream.ends[-1]) if len(stream.ends) else 0
            self.missing += 0 if len(stream.ends) else len(steps_s)
            return np.asarray(stream.ends).tobytes()
        track = episode.track(name)
        times_s = np.asarray(track.times_s, float)
        self.missing += missing_steps(steps_s, times_s, self.feature)
        self.samples += len(times_s)
        if not len(times_s):
            return b"none"
        match self.feature.kind:
            case "vector":
                vectors = np.stack(track.read(range(len(times_s))))
                self._add_vectors(vectors.astype(np.float64))
                return vectors.tobytes()
            case "text" | "choice":
                found = track.read(range(len(times_s)))
                for value in found:
                    if value in self.values or len(self.values) < MAX_DISTINCT:
                        self.values[value] += 1
                    else:
                        self.uncounted += 1
                return repr(found).encode()
        return str(len(times_s)).encode()

    def _add_vectors(self, vectors: np.ndarray) -> None:
        """Chan, Golub & LeVeque (1983): sums of squares about the mean, so that a large offset costs no precision."""
        before, count = self.samples - len(vectors), len(vectors)
        mean, total = vectors.mean(0), self.samples
        self._squares += ((vectors - mean) ** 2).sum(0) + (mean - self._mean) ** 2 * before * count / total
        self._mean += (mean - self._mean) * count / total
        self._low, self._high = np.minimum(self._low, vectors.min(0)), np.maximum(self._high, vectors.max(0))

    def statistics(self) -> list[dict[str, Any]]:
        """Of each value of a vector: name, unit, and min, max, mean and standard deviation (null: there is none)."""
        rows = []
        for at in range(len(self._mean)):
            numbers = {
                "min": float(self._low[at]),
                "max": float(self._high[at]),
                "mean": float(self._mean[at]),
                "std": float(np.sqrt(self._squares[at] / self.samples)) if self.samples else 0.0,
            }
            rows.append(
                {
                    "name": self.feature.names[at] if self.feature.names else str(at),
                    "unit": self.feature.units[at] if self.feature.units else "",
                    **(numbers if self.samples else dict.fromkeys(numbers)),
                }
            )
        return rows

    def common(self) -> dict[str, Any]:
        """The most frequent texts or choices, how many others there are, and how often those come."""
        top = self.values.most_common(SHOWN)
        return {
            "distinct": len(self.values),
            "at_least": self.uncounted > 0,
            "top": [{"value": value, "count": count} for value, count in top],
            "others": self.samples - sum(count for _, count in top),
        }


def missing_steps(steps_s: np.ndarray, times_s: np.ndarray, feature: Feature) -> int:
    """How many steps have no sample of their own.

    Where samples come with the steps, at the very same times, that is plain. A sample of a sense with a clock of its
    own is missing where the newest is older than 1.5 periods. A text that does not come at a rate holds until the next.

    >>> missing_steps(np.array([0.0, 0.1, 0.2]), np.array([0.0, 0.2]), Feature("vector", (2,), rate_hz=10))
    1
    """
    if not len(times_s):
        return len(steps_s)
    newest = np.searchsorted(times_s, steps_s, "right") - 1
    if feature.kind == "text" and (feature.rate_hz is None or len(times_s) == 1):
        return int(np.count_nonzero(newest < 0))
    if np.isin(times_s, steps_s).all():
        return len(steps_s) - len(np.unique(times_s))
    period_s = (
        1 / feature.rate_hz if feature.rate_hz else float(np.median(np.diff(times_s))) if len(times_s) > 1 else np.inf
    )
    late = steps_s - times_s[np.maximum(newest, 0)] > LATE * period_s
    return int(np.count_nonzero(late | (newest < 0)))
