"""What a run has come to so far: decisions, ages, durations, drops and holds, in a memory of fixed size."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from sensorimotor.actions.decision import Decision
from sensorimotor.actions.guards import HOLDING
from sensorimotor.clock import Clock
from sensorimotor.pipelines.percentiles import Percentiles

MOST_ACTIONS = 100
"""Labels of vectors are all different: no more than so many are counted."""
RECENT = 50
"""How it is now is said of so many decisions."""


class Tally:
    """Counts the turns of a loop.

    Args:
        inputs: Names of the inputs.
        clock: For the rate.
        rate_hz: What is asked for; None: a decision whenever something comes.
    """

    def __init__(self, inputs: tuple[str, ...], clock: Clock, rate_hz: float | None):
        self._clock, self._rate_hz = clock, rate_hz
        self._began_ns = clock.now_ns()
        self._ages_ms = {name: Percentiles() for name in inputs}
        self._absent: Counter[str] = Counter()
        self._decision_ms, self._turn_ms = Percentiles(), Percentiles()
        self._verdicts: dict[str, Counter[str]] = {}
        self._actions: Counter[str] = Counter()
        self.decisions = self.held = self.errors = self.carried_on = 0
        self._newest: Decision | None = None
        self._first_ns = 0
        self._moments_ns: deque[int] = deque(maxlen=RECENT)

    def begin(self) -> None:
        """The first turn is now."""
        self._began_ns = self._clock.now_ns()

    def turned(self, decision: Decision, turn_ms: float) -> None:
        """Count a turn: what was decided, guards included, and how long it took from waking up to handing over."""
        now_ns = self._clock.now_ns()
        self._first_ns = self._first_ns if self.decisions else now_ns
        self._moments_ns.append(now_ns)
        self.decisions += 1
        self.held += decision.held
        self._newest = decision
        self._turn_ms.add(turn_ms)
        if "total" in decision.timings_ms:
            self._decision_ms.add(decision.timings_ms["total"])
        for name, report in decision.inputs.items():
            if report.present and report.age_s is not None:
                self._ages_ms[name].add(report.age_s * 1e3)
            else:
                self._absent[name] += 1
        for verdict in decision.verdicts:
            if verdict.verdict != "pass":
                self._verdicts.setdefault(verdict.guard, Counter())[verdict.verdict] += 1
        label = "hold" if decision.held else decision.label
        if label in self._actions or len(self._actions) < MOST_ACTIONS:
            self._actions[label] += 1

    @property
    def duration_s(self) -> float:
        """Since the first turn (s)."""
        return (self._clock.now_ns() - self._began_ns) / 1e9

    def holds(self) -> dict[str, int]:
        """Guard → how many decisions it kept from being executed."""
        found = {guard: sum(verdicts[one] for one in HOLDING) for guard, verdicts in self._verdicts.items()}
        return {guard: count for guard, count in found.items() if count}

    def ages_s(self) -> dict[str, float | None]:
        """How old each input was at the last decision (s); None: it was not there."""
        inputs = self._newest.inputs if self._newest else {}
        return {name: inputs[name].age_s if name in inputs else None for name in self._ages_ms}

    def rate_hz(self) -> float:
        """Decisions a second from the first to the last one; 0 before the second."""
        return _hz(self.decisions, self._moments_ns[-1] - self._first_ns) if self._moments_ns else 0.0

    def recent_hz(self) -> float | None:
        """Decisions a second of late, sinking while none comes; None before the second."""
        moments_ns = tuple(self._moments_ns)
        return _hz(len(moments_ns), self._clock.now_ns() - moments_ns[0]) if len(moments_ns) > 1 else None

    def to_json(self, *, missed: int, drops: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        """All of it as plain JSON types.

        Args:
            missed: Deadlines that passed without a decision.
            drops: Input → cause → samples that were not used.
        """
        return {
            "decisions": self.decisions,
            "duration_s": round(self.duration_s, 3),
            "rate_hz": {"asked": self._rate_hz, "held": round(self.rate_hz(), 3)},
            "deadlines_missed": missed,
            "carried_on": self.carried_on,
            "held": self.held,
            "errors": self.errors,
            "decision_ms": self._decision_ms.to_json(),
            "turn_ms": self._turn_ms.to_json(),
            "age_ms": {name: one.to_json() for name, one in self._ages_ms.items()},
            "absent": {name: self._absent[name] for name in self._ages_ms},
            "drops": {name: dict(causes) for name, causes in drops.items() if causes},
            "verdicts": {guard: dict(found) for guard, found in self._verdicts.items()},
            "actions": dict(self._actions.most_common()),
        }


def _hz(decisions: int, span_ns: int) -> float:
    """The rate of decisions that lie in a span of time, of which both ends are one."""
    return (decisions - 1) * 1e9 / span_ns if span_ns > 0 else 0.0
