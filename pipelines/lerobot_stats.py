"""Statistics in the form that LeRobot keeps them in, of each episode and of all of them.

Unlike LeRobot's, those of an episode are exact, not read off a histogram of samples; a missing value (NaN) is left out.
"""

from collections.abc import Iterable, Mapping

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
STATISTICS = ("min", "max", "mean", "std", *QUANTILES)

Stats = dict[str, np.ndarray]
"""`min`, `max`, `mean`, `std`, `q01` … `q99` of each value, and `count` `(1,)`: of how many samples."""

_MAX_SIDE, _KEPT_SIDE = 300, 150
"""Of a larger picture, every so many pixels are looked at that about 150 a side are left, as LeRobot does."""


def vector_stats(values: np.ndarray) -> Stats:
    """Of samples `(n, size)`; where all are missing everything is NaN and the count 0."""
    values = values.astype(np.float64)
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        nothing = np.full(values.shape[1], np.nan)
        return dict.fromkeys(STATISTICS, nothing) | {"count": np.array([0])}
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "count": np.array([len(values)]),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


class PixelStats:
    """Counts how often each of the 256 values comes in each colour, frame by frame: small, fast and exact."""

    def __init__(self) -> None:
        self._frames = 0
        self._counts = np.zeros((3, 256), np.int64)

    def add(self, frame: np.ndarray) -> None:
        """Count a frame, uint8 `(height, width, 3)`."""
        side = max(frame.shape[:2])
        step = 1 if side < _MAX_SIDE else side // _KEPT_SIDE
        self._frames += 1
        for color in range(3):
            self._counts[color] += np.bincount(frame[::step, ::step, color].ravel(), minlength=256)

    def result(self) -> Stats:
        """Of all frames, on a scale from 0 to 1: `(3, 1, 1)`."""
        levels = np.arange(256) / 255
        total = self._counts.sum(1)
        mean = self._counts @ levels / total
        spread = np.sqrt((self._counts * (levels - mean[:, None]) ** 2).sum(1) / total)
        seen = self._counts > 0
        upto = self._counts.cumsum(1)
        stats = {
            "min": levels[seen.argmax(1)],
            "max": levels[255 - seen[:, ::-1].argmax(1)],
            "mean": mean,
            "std": spread,
            **{name: levels[(upto >= q * total[:, None]).argmax(1)] for name, q in QUANTILES.items()},
        }
        return {name: value.reshape(3, 1, 1) for name, value in stats.items()} | {"count": np.array([self._frames])}


def merged(parts: Iterable[Stats]) -> Stats | None:
    """Of several episodes together, from those of each; None: nothing was ever there.

    Quantiles are the mean of the episodes' quantiles, weighted by their samples, as LeRobot 0.4.4 has them: exact only
    where the episodes are alike.
    """
    parts = [part for part in parts if part["count"][0] > 0]
    if not parts:
        return None
    count = np.array([part["count"][0] for part in parts], np.int64)
    weight = count / count.sum()

    def mean_of(values: list[np.ndarray]) -> np.ndarray:
        return np.tensordot(weight, np.stack(values), 1)

    mean = mean_of([part["mean"] for part in parts])
    variance = mean_of([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([count.sum()]),
        **{name: mean_of([part[name] for part in parts]) for name in QUANTILES},
    }


def merged_all(parts: Mapping[str, Iterable[Stats]]) -> dict[str, Stats]:
    """The same of every feature, without those of which nothing was ever there."""
    totals = {name: merged(of_one) for name, of_one in parts.items()}
    return {name: total for name, total in totals.items() if total is not None}
