"""What happens beside the turns of a running policy, and what a run comes to: told, traced, counted."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sensorimotor.actions.dispatcher import ActuatorEvent, DispatchCounts
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.metrics import Metrics
from sensorimotor.pipelines.tally import Tally
from sensorimotor.pipelines.trace import TraceWriter

Told = Callable[[str], object]
"""Takes a sentence for a person."""
Drops = Mapping[str, Mapping[str, int]]
"""Input → cause → samples that were not used."""


class Sender(Protocol):
    """What sends commands: a `Dispatcher`, or `Direct`."""

    @property
    def counts(self) -> DispatchCounts:
        """What became of the commands so far."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong with the actuator; empty where nothing is."""
        ...

    def events(self) -> list[ActuatorEvent]:
        """What has happened since this was asked last."""
        ...

    def durations_s(self) -> list[float]:
        """How long each command took that was delivered since this was asked last (s)."""
        ...


class Kept(Protocol):
    """What is being recorded of a run."""

    def summary(self) -> dict[str, Any]:
        """What it has come to, in plain JSON types."""
        ...


class Sidelines:
    """Looks around between two turns.

    Args:
        health: Is told how the actuator is, and says how the policy is.
        told: Takes what a person should know.
        trace: Keeps the record; None: nothing does.
        metrics: Shown to others; None: to nobody.
    """

    def __init__(self, health: Health, told: Told, trace: TraceWriter | None, metrics: Metrics | None = None):
        self._health, self._told, self._trace, self._metrics = health, told, trace, metrics
        self._missed = 0
        self._dropped: dict[tuple[str, str], int] = {}

    def event(self, what: str, at_ns: int | None = None, **details: Any) -> None:
        """Have something traced."""
        if self._trace:
            self._trace.event(what, at_ns, **details)

    def look(self, sender: Sender | None, *, missed: int, drops: Drops) -> None:
        """Tell, trace and count what has happened since the last look.

        Args:
            sender: Of the commands.
            missed: Deadlines that passed without a decision, since the beginning.
            drops: What was not used, since the beginning.
        """
        if sender:
            self._actuator(sender)
        for change in self._health.transitions():
            self._told(f"{change.before} → {change.after}" + (f": {change.reason}" if change.reason else ""))
            self.event("health", change.at_ns, before=change.before, after=change.after, reason=change.reason)
        if missed > self._missed and self._metrics:
            self._metrics.missed_deadline(missed - self._missed)
        self._missed = missed
        for name, causes in drops.items():
            for cause, count in causes.items():
                more = count - self._dropped.get((name, cause), 0)
                if more:
                    self._dropped[name, cause] = count
                    self.event("drop", input=name, cause=cause, count=more)
                    if self._metrics:
                        self._metrics.dropped(name, cause, more)

    def _actuator(self, sender: Sender) -> None:
        trouble = sender.trouble
        if trouble:
            self._health.impair("actuator", trouble)
        else:
            self._health.mend("actuator")
        for one in sender.events():
            self._told(f"actuator {one.what}: {one.reason}")
            self.event("actuator", one.at_ns, state=one.what, reason=one.reason)
        took_s = sender.durations_s()
        if self._metrics:
            self._metrics.took("actuate", took_s)

    def summary(
        self,
        tally: Tally,
        sender: Sender | None,
        *,
        missed: int,
        drops: Drops,
        inputs: Mapping[str, str],
        kept: Kept | None,
    ) -> dict[str, Any]:
        """What a run has come to, as plain JSON types."""
        counts = sender.counts if sender else None
        return {
            **tally.to_json(missed=missed, drops=drops),
            "actuator": None if counts is None else {name: getattr(counts, name) for name in counts.__slots__},
            "inputs": dict(inputs),
            "health": self._health.report().to_json(),
            "trace": None if self._trace is None else {"lines": self._trace.lines, "lost": self._trace.lost},
            "recording": None if kept is None else kept.summary(),
        }
