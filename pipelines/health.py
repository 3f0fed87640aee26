"""How a running policy is: one of five states, why, and how long ago it last decided."""

import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sensorimotor.clock import Clock


class State(StrEnum):
    """How a running policy is; where several are true, the one that is lower down here."""

    RUNNING = "running"
    """It decides, and what it decides is executed."""
    DEGRADED = "degraded"
    """It decides, but an input is late or lost, or the actuator fails."""
    HOLDING = "holding"
    """The safe action is executed: a guard said so, there were too many errors, or it has not decided yet."""
    STALLED = "stalled"
    """It should have decided long ago: a stage hangs."""
    STOPPED = "stopped"
    """Somebody pressed the stop; until its reset the safe action is executed."""


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """How many errors a policy may have before it must hold.

    Attributes:
        errors: More than so many …
        window_s: … within this time (s) …
        good: … make it hold until so many decisions in a row were good, or a reset.
    """

    errors: int = 5
    window_s: float = 10.0
    good: int = 20

    def __post_init__(self) -> None:
        if self.errors < 0 or not 0 < self.window_s < float("inf") or self.good < 1:
            raise ValueError(f"a budget has errors >= 0, window_s > 0 and good >= 1, not {self}")


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state, for the trace."""

    at_ns: int
    before: State
    after: State
    reason: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How it is at one moment.

    Attributes:
        state: In a word.
        reasons: What keeps it from `RUNNING`.
        since_decision_s: How long ago it last decided, held or not (s); None before the first time.
        since_action_s: How long ago it last did what the policy selected (s); None before the first time. What an
            actuator that is gone would have done does not count.
        healthy: Whether it does what it is there for: the last of those is not long ago, and nobody stopped it.
        decisions: How many it made.
        errors: How many times a stage failed.
        overdue: How many decisions should have come since the last one, and did not.
    """

    state: State
    reasons: tuple[str, ...]
    since_decision_s: float | None
    since_action_s: float | None
    healthy: bool
    decisions: int
    errors: int
    overdue: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        return {
            "state": str(self.state),
            "healthy": self.healthy,
            "reasons": list(self.reasons),
            "since_decision_s": self.since_decision_s,
            "since_action_s": self.since_action_s,
            "decisions": self.decisions,
            "errors": self.errors,
            "overdue": self.overdue,
        }


class Health:
    """Keeps the state of a running policy; may be told and asked from any thread.

    Args:
        clock: What `now` is.
        period_s: Time between two decisions (s).
        stalled_after: So many periods without a decision or an error are a stall. It counts from the first one on: a
            model that takes long to load is not one.
        budget: When errors make it hold.

    >>> from sensorimotor.clock import ManualClock
    >>> clock = ManualClock()
    >>> health = Health(clock, period_s=0.1)
    >>> health.decided()
    >>> health.report().state
    <State.RUNNING: 'running'>
    >>> clock.advance(2.0)
    >>> health.report().state, health.report().reasons
    (<State.STALLED: 'stalled'>, ('no decision for 2.0 s',))
    """

    def __init__(self, clock: Clock, period_s: float, *, stalled_after: int = 10, budget: ErrorBudget | None = None):
        self._clock, self._budget = clock, budget or ErrorBudget()
        self._period_ns = round(period_s * 1e9)
        self._limit_ns = stalled_after * self._period_ns
        self._lock = threading.Lock()
        self._decided_ns: int | None = None
        self._acted_ns: int | None = None
        self._alive_ns: int | None = None  # when the loop last came to an end of any kind
        self._held, self._stopped, self._tripped = "it has not decided yet", "", ""
        self._impaired: dict[str, str] = {}
        self._idle: set[str] = set()
        self._errors_ns: deque[int] = deque(maxlen=self._budget.errors + 1)
        self._good = self._decisions = self._errors = 0
        self._state = State.HOLDING
        self._transitions: deque[Transition] = deque(maxlen=1024)

    def decided(self, held: str = "") -> None:
        """A decision was made; `held` says why the safe action was executed in its place, where it was."""
        with self._lock:
            now_ns = self._clock.now_ns()
            self._look(now_ns)  # a stall that nobody looked at meanwhile is one all the same
            self._decided_ns = self._alive_ns = now_ns
            self._held = held
            self._decisions += 1
            if not held and not self._idle:
                self._acted_ns = now_ns
            if self._tripped:
                self._good += 1
                if self._good >= self._budget.good:
                    self._forgive()
            self._look(now_ns)

    def failed(self, error: BaseException | str, *, decision: bool = True) -> None:
        """A stage failed.

        Args:
            error: How.
            decision: Whether that cost one decision, in whose place the safe action was executed. What fails beside
                the loop, such as an encoder, costs none: it counts in the budget, and says nothing about the loop.
        """
        what = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        with self._lock:
            now_ns = self._clock.now_ns()
            self._look(now_ns)
            if decision:
                self._alive_ns, self._held = now_ns, what
            self._errors += 1
            self._good = 0
            self._errors_ns.append(now_ns)
            oldest_ns = self._errors_ns[0]
            budget = self._budget
            if len(self._errors_ns) > budget.errors and now_ns - oldest_ns <= budget.window_s * 1e9:
                self._tripped = f"more than {budget.errors} errors in {budget.window_s:g} s, the last: {what}"
            self._look(now_ns)

    @property
    def must_hold(self) -> str:
        """Why nothing but the safe action may be executed, whatever is decided; empty where it may."""
        with self._lock:
            return self._tripped

    def impair(self, what: str, reason: str, *, idle: bool = False) -> None:
        """Something is not as it should be, such as an input that is late; until it is mended.

        Args:
            what: It is.
            reason: What is wrong with it.
            idle: Whether nothing that is decided is carried out meanwhile, as with an actuator that is gone.
        """
        with self._lock:
            self._impaired[what] = reason
            if idle:
                self._idle.add(what)
            self._look(self._clock.now_ns())

    def mend(self, what: str) -> None:
        """It is as it should be (again)."""
        with self._lock:
            self._idle.discard(what)
            if self._impaired.pop(what, None) is not None:
                self._look(self._clock.now_ns())

    def stop(self, reason: str | None) -> None:
        """The stop was pressed, or, with None, reset."""
        with self._lock:
            if self._stopped != (reason or ""):
                self._stopped = reason or ""
                self._look(self._clock.now_ns())

    def reset(self) -> None:
        """Forgive the errors, after a person decided so."""
        with self._lock:
            self._forgive()
            self._look(self._clock.now_ns())

    def report(self) -> HealthReport:
        """How it is now."""
        with self._lock:
            now_ns = self._clock.now_ns()
            state, reasons = self._look(now_ns)
            acted_ns = self._acted_ns
            lively = acted_ns is not None and now_ns - acted_ns <= self._limit_ns
            return HealthReport(
                state=state,
                reasons=reasons,
                since_decision_s=_since_s(self._decided_ns, now_ns),
                since_action_s=_since_s(acted_ns, now_ns),
                healthy=lively and state not in (State.STALLED, State.STOPPED),
                decisions=self._decisions,
                errors=self._errors,
                overdue=self._overdue(now_ns),
            )

    def transitions(self) -> list[Transition]:
        """The changes of state since this was asked last."""
        with self._lock:
            changes = list(self._transitions)
            self._transitions.clear()
            return changes

    def _overdue(self, now_ns: int) -> int:
        """Turns take a while, and not always the same: half a period of grace."""
        if self._alive_ns is None:
            return 0
        return max(0, (now_ns - self._alive_ns - self._period_ns // 2) // self._period_ns)

    def _forgive(self) -> None:
        self._tripped, self._good = "", 0
        self._errors_ns.clear()

    def _look(self, now_ns: int) -> tuple[State, tuple[str, ...]]:
        """The state and its reasons, the worst first; a change is noted."""
        found: list[tuple[State, str]] = []
        if self._stopped:
            found.append((State.STOPPED, self._stopped))
        if self._alive_ns is not None and now_ns - self._alive_ns > self._limit_ns:
            found.append((State.STALLED, f"no decision for {(now_ns - self._alive_ns) / 1e9:.1f} s"))
        found += [(State.HOLDING, reason) for reason in (self._tripped, self._held) if reason]
        found += [(State.DEGRADED, f"{what}: {reason}") for what, reason in self._impaired.items()]
        state = found[0][0] if found else State.RUNNING
        if state != self._state:
            self._transitions.append(Transition(now_ns, self._state, state, found[0][1] if found else ""))
            self._state = state
        return state, tuple(reason for _, reason in found)


def _since_s(then_ns: int | None, now_ns: int) -> float | None:
    return None if then_ns is None else (now_ns - then_ns) / 1e9
