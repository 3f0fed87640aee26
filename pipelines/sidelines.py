"""What happens beside the turns of a running policy, and what a run comes to: told and counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sensorimotor.actions.dispatcher import ActuatorEvent, DispatchCounts
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.loop import Observer
from sensorimotor.pipelines.metrics import Metrics
from sensorimotor.pipelines.tally import Tally

ENCODER_S = 2.0
"""An encoder that is busy with one value for longer (s) is told to hang."""
UNDELIVERED = ("failed", "expired", "replaced", "waited")
"""What may become of a command that is not sent."""
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


class Sidelines:
    """Looks around between two turns.

    Args:
        health: Is told how the actuator is, and says how the policy is.
        told: Takes what a person should know.
        observers: Are told of every event.
        metrics: Shown to others; None: to nobody.
    """

    def __init__(self, health: Health, told: Told, observers: Sequence[Observer], metrics: Metrics | None = None):
        self._health, self._told, self._observers, self._metrics = health, told, observers, metrics
        self._missed = 0
        self._undelivered = dict.fromkeys(UNDELIVERED, 0)
        self._slow: set[str] = set()
        self._dropped: dict[tuple[str, str], int] = {}

    def event(self, what: str, at_ns: int | None = None, **details: Any) -> None:
        """Tell the observers of something."""
        for observer in self._observers:
            observer.event(what, at_ns, **details)

    def look(self, sender: Sender | None, *, missed: int, drops: Drops) -> None:
        """Tell and count what has happened since the last look.

        Args:
            sender: Of the commands.
            missed: Deadlines that passed without a decision, since the beginning.
            drops: What was not used, since the beginning.
        """
        if sender:
            self.actuator(sender)
        self.state()
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

    def actuator(self, sender: Sender) -> None:
        """See how the actuator is, and what became of the commands."""
        trouble = sender.trouble
        if trouble:
            self._health.impair("actuator", trouble, idle=True)
        else:
            self._health.mend("actuator")
        for one in sender.events():
            self._told(f"actuator {one.what}: {one.reason}")
            self.event("actuator", one.at_ns, state=one.what, reason=one.reason)
        took_s = sender.durations_s()
        if self._metrics:
            self._metrics.took("actuate", took_s)
            counts = sender.counts
            for cause in UNDELIVERED:
                count = getattr(counts, cause)
                more, self._undelivered[cause] = count - self._undelivered[cause], count
                if more:
                    self._metrics.not_delivered(cause, more)

    def encoders(self, busy_s: Mapping[str, float]) -> None:
        """See whether an encoder hangs, which it cannot say itself; what it does not give is missing or grows old.

        Args:
            busy_s: Input → for how long its encoder has been busy with one value (s).
        """
        slow = {name: busy for name, busy in busy_s.items() if busy > ENCODER_S}
        for name in self._slow - set(slow):
            self._health.mend(f"encoder of {name}")
        for name, busy in slow.items():
            reason = f"busy with one value for {busy:.1f} s; until it is done, the one before it counts"
            self._health.impair(f"encoder of {name}", reason)
            if name not in self._slow:
                self._told(f"encoder of {name}: {reason}")
                self.event("encoder", input=name, state="hangs", reason=reason)
        self._slow = set(slow)

    def state(self) -> None:
        """Tell of the changes of health."""
        for change in self._health.transitions():
            self._told(f"{change.before} → {change.after}" + (f": {change.reason}" if change.reason else ""))
            self.event("health", change.at_ns, before=change.before, after=change.after, reason=change.reason)

    def summary(
        self,
        tally: Tally,
        sender: Sender | None,
        *,
        missed: int,
        drops: Drops,
        inputs: Mapping[str, str],
    ) -> dict[str, Any]:
        """What a run has come to, as plain JSON types."""
        counts = sender.counts if sender else None
        return {
            **tally.to_json(missed=missed, drops=drops),
            "actuator": None if counts is None else {name: getattr(counts, name) for name in counts.__slots__},
            "inputs": dict(inputs),
            "health": self._health.report().to_json(),
        }
