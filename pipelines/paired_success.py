"""Whether a policy that is run in another way still does what it is asked as often, on the same seeds."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from sensorimotor.models.execution import Execution
from sensorimotor.pipelines.evaluate import Trial

RARE = 0.05
"""Losing so many more episodes than are won, or more, would come by chance in this part of all cases."""


@dataclass(frozen=True)
class PairedSuccess:
    """The same episodes, played in two ways.

    Attributes:
        episodes: How many.
        before: Successes the first way.
        after: Successes the second way.
        lost: Episodes that succeeded the first way only.
        won: Episodes that succeeded the second way only.
    """

    episodes: int
    before: int
    after: int
    lost: int
    won: int

    @property
    def p(self) -> float:
        """How likely so many losses are if both ways are as good (McNemar's exact test, one-sided).

        >>> PairedSuccess(100, 90, 86, lost=5, won=1).p
        0.109375
        """
        differ = self.lost + self.won
        return sum(math.comb(differ, one) for one in range(self.lost, differ + 1)) / 2**differ

    @property
    def within_noise(self) -> bool:
        """Whether chance explains what was lost."""
        return self.p >= RARE

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return {**asdict(self), "p": self.p}

    def __str__(self) -> str:
        return (
            f"{self.after} of {self.episodes} episodes succeed, with the default settings {self.before}: "
            f"{self.lost} lost, {self.won} won"
        )


@dataclass(frozen=True)
class SameSeeds:
    """Plays the same episodes in one way after another.

    Attributes:
        trial: What is played, and how at first.
        seeds: Of the episodes.
    """

    trial: Trial
    seeds: Sequence[int]

    @cached_property
    def _before(self) -> list[bool]:
        return self._successes(self.trial)

    def _successes(self, trial: Trial) -> list[bool]:
        return [episode.success for episode in trial.run(self.seeds)]

    def play(self, execution: Execution) -> PairedSuccess:
        """Play all episodes with graphs run in this way."""
        before, after = self._before, self._successes(replace(self.trial, execution=execution))
        pairs = list(zip(before, after, strict=True))
        return PairedSuccess(
            len(pairs), sum(before), sum(after), lost=pairs.count((True, False)), won=pairs.count((False, True))
        )
