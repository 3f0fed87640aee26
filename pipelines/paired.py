"""How much cheaper one way of doing a thing is than another, from runs in which both took turns."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

FEWEST = 6
"""Pairs. With fewer, chance alone too often makes every one of them say the same."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Gain:
    """How many times as much one costs as the other.

    Attributes:
        ratio: The median over pairs: above 1, the second is cheaper.
        low: Lower end of its 95 % interval.
        high: Upper end.
        pairs: How many there were.
    """

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the second is cheaper for all that these pairs can say."""
        return self.pairs >= FEWEST and self.low > 1

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.ratio:.2f}× ({self.low:.2f} – {self.high:.2f})"


def gain(before: Sequence[float], after: Sequence[float]) -> Gain:
    """The gain from one way to another; the interval is a bootstrap over the pairs.

    The median of pairs, and not the ratio of sums: on a machine that does other things too, now and then a turn takes
    ten times as long, whoever's it is.

    Args:
        before: What each turn of the first cost.
        after: What the turns of the second cost that went with them; what has no partner is left out.

    >>> print(gain([2.0] * 8, [1.0] * 8))
    2.00× (2.00 – 2.00)
    """
    pairs = min(len(before), len(after))
    ratios = np.asarray(before[:pairs], np.float64) / np.asarray(after[:pairs], np.float64)
    drawn = np.random.default_rng(0).integers(0, pairs, (RESAMPLES, pairs))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [2.5, 97.5])
    return Gain(float(np.median(ratios)), float(low), float(high), pairs)
