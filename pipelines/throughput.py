"""How many rows a second a policy decides on, and what memory that takes, against the size of its batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.hardware import resident_mb
from sensorimotor.pipelines.shown import Shown

WORTHWHILE = 0.9
"""The knee is the smallest batch with so much of the best throughput: more waiting would buy next to nothing."""
WARM_UPS, LEAST, MOST, LONGEST_S = 2, 5, 200, 2.0


@dataclass(frozen=True)
class Batch:
    """Decisions on so many streams at once.

    Attributes:
        rows: Streams.
        ms: How long each decision on all of them took (ms), float64 `(n,)`.
        resident_mb: Memory of the process afterwards (MB).
    """

    rows: int
    ms: np.ndarray
    resident_mb: float

    @property
    def rows_s(self) -> float:
        """Rows a second over all of them: a typical batch says little where now and then one has much that is new."""
        return self.rows * len(self.ms) / (float(self.ms.sum()) / 1e3)


def throughput(
    policy: Policy, shown: Shown, sizes: Sequence[int], progress: Callable[[int], object] = lambda done: None
) -> list[Batch]:
    """Decide in batches of each size, the smallest first; each row is a stream of its own that begins elsewhere.

    Args:
        policy: The policy; the memory that it is given keeps.
        shown: What its streams see, one step after another.
        sizes: Rows.
        progress: Called with 1 after each size.
    """
    found = []
    for rows in sorted(set(sizes)):
        found.append(_batches(policy.on(lambda backend: backend), shown, rows))
        progress(1)
    return found


def knee(batches: Sequence[Batch]) -> int | None:
    """The smallest batch that is worth its size; None where only one size was tried."""
    best = max((one.rows_s for one in batches), default=0.0)
    return next((one.rows for one in batches if one.rows_s >= WORTHWHILE * best), None) if len(batches) > 1 else None


def _batches(policy: Policy, shown: Shown, rows: int) -> Batch:
    length = len(shown.steps)
    begins = [row * length // rows for row in range(rows)]
    names = [str(row) for row in range(rows)]
    taken: list[float] = []
    ends = time.perf_counter() + LONGEST_S
    for turn in range(WARM_UPS + MOST):
        at = [(begin + turn) % length for begin in begins]
        for name, one in zip(names, at, strict=True):
            if shown.starts[one]:
                policy.reset(name)
        steps = [shown.steps[one] for one in at]
        began = time.perf_counter()
        policy.act_batch(
            [step.observation for step in steps],
            ages_s=[step.ages_s for step in steps],
            sequences=[step.sequences for step in steps],
            streams=names,
        )
        now = time.perf_counter()
        if turn >= WARM_UPS:
            taken.append((now - began) * 1e3)
        if len(taken) >= LEAST and now > ends:
            break
    return Batch(rows, np.array(taken), resident_mb())
