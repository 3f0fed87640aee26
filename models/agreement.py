"""Whether another way of running a policy, in another precision say, still decides the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.choice import choose
from sensorimotor.actions.space import ActionSpace
from sensorimotor.models.parity import difference

NEAR = 0.01
"""Vectors of actions that differ by so much of the range of each dimension are the same action; where a dimension has
no limits, by so much of the value, or so much where that is below 1."""


@dataclass(frozen=True)
class Agreement:
    """How the decisions of one way of running a policy compare with those of another.

    Attributes:
        steps: How many were compared.
        same: Of how many the action is the same: the same choice, or vectors that are near (see `NEAR`).
        max_difference: Of any head output (see `difference`).
        max_action_difference: Of vectors, as a part of their range; None: actions are choices.
    """

    steps: int
    same: int
    max_difference: float
    max_action_difference: float | None

    @property
    def complete(self) -> bool:
        """Whether every action is the same."""
        return self.same == self.steps

    def __str__(self) -> str:
        told = f"{self.steps - self.same} of {self.steps} decisions differ, outputs by up to {self.max_difference:.1e}"
        if self.max_action_difference is None:
            return told
        return f"{told}, actions by up to {self.max_action_difference:.1%} of their range"


def compare(space: ActionSpace, ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> Agreement:
    """Compare head outputs, step by step.

    Args:
        space: What can be done.
        ours: What is judged, of each step as `choose` takes it.
        theirs: What is right.

    Raises:
        OutputError: Some of them are NaN or infinite.

    >>> from sensorimotor.actions.space import Discrete
    >>> space = Discrete(2, ("wait", "go"))
    >>> compare(space, [np.array([0.0, 1.0])], [np.array([0.0, 0.9])]).complete
    True
    >>> print(compare(space, [np.array([0.0, 1.0])], [np.array([0.0, -1.0])]))
    1 of 1 decisions differ, outputs by up to 2.0e+00
    """
    gaps = [_gap(space, *pair) for pair in zip(ours, theirs, strict=True)]
    return Agreement(
        steps=len(gaps),
        same=sum(gap <= NEAR for gap in gaps),
        max_difference=max(map(difference, ours, theirs), default=0.0),
        max_action_difference=max(gaps, default=0.0) if space.plans else None,
    )


def _gap(space: ActionSpace, ours: np.ndarray, theirs: np.ndarray) -> float:
    """How far apart two actions are: vectors, with all that is planned, as a part of their range; choices, 0 or 1."""
    mine, right = choose(space, ours), choose(space, theirs)
    if not isinstance(space.space, spaces.Box):
        return 0.0 if np.array_equal(mine.action, right.action) else 1.0
    assert mine.plan is not None
    assert right.plan is not None
    plan = right.plan.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        limits = space.space.high.astype(np.float64) - space.space.low.astype(np.float64)
    scale = np.where(np.isfinite(limits) & (limits > 0), limits, np.maximum(1.0, np.abs(plan)))
    return float((np.abs(mine.plan - plan) / scale).max(initial=0.0))
