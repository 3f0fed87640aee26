"""What there is to say of decisions besides themselves: counts, times, and what could not be decided."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from sensorimotor.pipelines.batch_blocks import Trouble


@dataclass
class BatchTally:
    """Of a shard, or of several.

    Attributes:
        rows: Decisions.
        held: Those in which a critical input was lost, so that the safe action takes the place of the selected one.
        absent: Input → in how many rows it was not there.
        losses: Cause → how many samples were left out or not used.
        seconds: Stage → how long it took: `decode` in all processes together; `wait` is for them.
        quarantine: Episodes that could not be decided, or not to their ends.
    """

    rows: int = 0
    held: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    quarantine: list[Trouble] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON form, read back by `from_json`."""
        return {
            "rows": self.rows,
            "held": self.held,
            "absent": dict(self.absent),
            "losses": dict(self.losses),
            "seconds": {stage: round(seconds, 6) for stage, seconds in self.seconds.items()},
            "quarantine": [list(trouble) for trouble in self.quarantine],
        }

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> "BatchTally":
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        return TypeAdapter(cls).validate_python(form)

    @classmethod
    def sum(cls, tallies: Iterable["BatchTally"]) -> "BatchTally":
        """All of them together."""
        total = cls()
        for one in tallies:
            total.rows += one.rows
            total.held += one.held
            total.absent.update(one.absent)
            total.losses.update(one.losses)
            for stage, seconds in one.seconds.items():
                total.seconds[stage] += seconds
            total.quarantine += one.quarantine
        return total
