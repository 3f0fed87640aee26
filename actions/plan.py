"""Plans: actions for now and for the steps to come, and how they are carried out while newer plans come in.

A policy that says only what to do now jerks from decision to decision; one that says what to do for the next second can
be followed for a while, or averaged with what it said before (ACT: Zhao et al., RSS 2023).
"""

from dataclasses import dataclass

import numpy as np

from sensorimotor.errors import UsageError


@dataclass(frozen=True)
class RecedingHorizon:
    """Follow a plan for some steps, then take the newest.

    Attributes:
        steps: How many actions of a plan are carried out, at most its horizon; 1: always the newest plan's first.
    """

    steps: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"a plan is followed for at least 1 step, not for {self.steps}")


@dataclass(frozen=True)
class TemporalEnsemble:
    """At every step the mean of what all plans that reach that far say of it.

    Attributes:
        decay: Weights fall as `exp(-decay * age)` from the oldest plan to the newest, as in ACT; 0: all alike.
    """

    decay: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.decay < float("inf"):
            raise UsageError(f"the decay of a temporal ensemble is finite and not negative, not {self.decay}")


Following = RecedingHorizon | TemporalEnsemble


def parse_following(text: str) -> Following:
    """How to follow plans, as a person types it: a number of actions, or `ensemble`.

    Raises:
        UsageError: It is neither.

    >>> parse_following("8"), parse_following("ensemble")
    (RecedingHorizon(steps=8), TemporalEnsemble(decay=0.01))
    """
    if text == "ensemble":
        return TemporalEnsemble()
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"plans are followed for a number of actions, or as an `ensemble`, not {text!r}")
    return RecedingHorizon(int(text))


@dataclass(frozen=True)
class Plans:
    """The plans of one stream that are still of use, oldest first, each with the step at which it was made.

    >>> plans, following = Plans(), TemporalEnsemble(decay=0.0)
    >>> plans = plans.add(0, np.array([[1.0], [2.0]]), following)
    >>> plans.add(1, np.array([[4.0], [4.0]]), following).action(1, following)
    (array([3.]), 1)
    """

    made: tuple[tuple[int, np.ndarray], ...] = ()

    def add(self, step: int, plan: np.ndarray, following: Following) -> "Plans":
        """With a new plan `(horizon, size)` made at `step`; what will not be carried out any more is forgotten."""
        match following:
            case RecedingHorizon(steps):
                last = [(at, old) for at, old in self.made if step < at + min(steps, len(old))]
                return Plans(tuple(last) or ((step, plan),))
            case TemporalEnsemble():
                return Plans((*((at, old) for at, old in self.made if step < at + len(old)), (step, plan)))
        raise AssertionError(following)

    def reaching(self, step: int) -> "Plans":
        """Those that say what to do at a step."""
        return Plans(tuple((at, plan) for at, plan in self.made if step < at + len(plan)))

    def action(self, step: int, following: Following) -> tuple[np.ndarray, int]:
        """What to do at a step, `(size,)`, and the age in steps of the oldest plan that has a say in it."""
        decay = following.decay if isinstance(following, TemporalEnsemble) else 0.0
        said = np.stack([plan[step - at] for at, plan in self.made])
        weights = np.exp(-decay * np.arange(len(said)))
        mean = np.tensordot(weights / weights.sum(), said, 1)
        return mean.astype(said.dtype), step - self.made[0][0]
