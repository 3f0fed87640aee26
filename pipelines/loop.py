"""One turn of a running policy: see, decide, ask the guards, hand the action over, and keep the record."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sensorimotor.actions.actuator import Command
from sensorimotor.actions.decision import Decision, InputReport
from sensorimotor.actions.guards import HOLDING, Guarded, Guards
from sensorimotor.clock import Clock
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.metrics import Metrics
from sensorimotor.pipelines.senses import Perceived
from sensorimotor.pipelines.tally import Tally

NEVER_NS = 2**63 - 1
Watcher = Callable[[Perceived, Decision], object]
"""Told what each decision saw and was, guards included, after it was handed over."""


@dataclass(frozen=True)
class Turn:
    """A turn that was taken, for whoever keeps what a policy saw and did.

    Attributes:
        number: How manieth of the run, from 0.
        at_ns: The moment that it was decided for (ns): ages are counted until then.
        seen: What the decision saw.
        decision: What it was, guards included.
        due_ns: When it was due (ns).
        decided_ns: When it was handed over (ns).
    """

    number: int
    at_ns: int
    seen: Perceived
    decision: Decision
    due_ns: int
    decided_ns: int

    @property
    def size_bytes(self) -> int:
        """How much memory it takes while it is kept, roughly (bytes)."""
        return sum(getattr(value, "nbytes", 0) for value in self.seen.observation.values()) + 1024


class Observer(Protocol):
    """Is told of every turn of a run and of what happens beside them; must not wait, and must not fail."""

    def turned(self, turn: Turn) -> None:
        """A turn was taken, and its action handed over."""
        ...

    def event(self, what: str, at_ns: int | None = None, **details: Any) -> None:
        """Something happened, now or at a moment (ns), from any thread; its details are plain JSON types."""
        ...


class Loop:
    """Takes turns. Whatever goes wrong in one costs that decision and no more: the safe action takes its place.

    Args:
        policy: Decides.
        guards: Have the last word.
        health: Is told, and says when nothing but the safe action may be executed.
        clock: The one that samples are stamped with.
        period_s: An action that could not be sent for so long is not sent any more (s).
        deliver: Takes each command; must not wait.
        tally: Counts.
        observers: Are told of every turn.
        metrics: Shown to others; None: to nobody.
        watch: Told of every decision.
        keep: Takes every turn, to be recorded; must not wait.
    """

    def __init__(
        self,
        policy: Policy,
        guards: Guards,
        health: Health,
        *,
        clock: Clock,
        period_s: float,
        deliver: Callable[[Command], object],
        tally: Tally,
        observers: Sequence[Observer] = (),
        metrics: Metrics | None = None,
        watch: Watcher | None = None,
        keep: Callable[[Turn], object] | None = None,
    ):
        self._policy, self._guards, self._health, self._clock = policy, guards, health, clock
        self._period_ns, self._deliver, self._tally = round(period_s * 1e9), deliver, tally
        self._observers, self._metrics, self._watch, self._keep = observers, metrics, watch, keep
        self._turns = self._carried = 0
        self._unplanned = 0  # turns since the policy decided last: they failed, or saw nothing
        self._hand = threading.Lock()  # one at a time has guards judge an action and hands it over

    def turn(self, seen: Perceived, due_ns: int) -> Decision:
        """Decide on what is known.

        Args:
            seen: What that is.
            due_ns: When this turn was due (ns).
        """
        began_ns = self._clock.now_ns()
        self._health.stop(self._guards.stop.reason())
        decision, trouble = self._decided(seen)
        with self._hand:
            decision = _judged(decision, self._guarded(decision, trouble, seen, began_ns))
            now_ns = self._clock.now_ns()
            command = self._hand_over(decision, now_ns, due_ns + self._period_ns)
            self._turns += 1
            self._carried = 0
            self._unplanned = self._unplanned + 1 if decision.selected is None else 0
        if not trouble:
            held = next((f"{one.guard}: {one.reason}" for one in decision.verdicts if one.verdict in HOLDING), "")
            self._health.decided(held)
        self._tally.turned(decision, (now_ns - began_ns) / 1e6)
        if self._metrics:
            self._metrics.decided(decision)
        turn = Turn(command.step, began_ns, seen, decision, due_ns, now_ns)
        for observer in self._observers:
            observer.turned(turn)
        if self._keep:
            self._keep(turn)
        if self._watch:
            self._watch(seen, decision)
        return decision

    def carry_on(self, seen: Perceived, missed: int) -> bool:
        """Execute what is left of the last plan for a deadline that passed without a decision.

        May be called from another thread than `turn`, which is at work, or hangs.

        Args:
            seen: What is known now.
            missed: How many have passed since the last decision.

        Returns:
            Whether a plan reaches that far.
        """
        turns = self._turns
        if not seen.observation or self._health.must_hold:
            return False
        ahead = self._policy.ahead(self._unplanned + missed, seen.observation, ages_s=seen.ages_s)
        if ahead is None:
            return False
        with self._hand:
            if self._turns > turns or missed <= self._carried:
                return True  # a decision has come after all, or this deadline was seen to before
            now_ns = self._clock.now_ns()
            guarded = self._guards.check(
                ahead.selected, ahead.label, None, seen.observation, seen.ages_s, now_ns, ahead.verdicts
            )
            ahead = _judged(ahead, guarded)
            self._hand_over(ahead, now_ns, now_ns + self._period_ns)
            self._carried = missed
        self._tally.carried_on += 1
        for observer in self._observers:
            observer.event("carried on", now_ns, turn=turns, missed=missed, **ahead.to_json())
        return True

    def last(self, seen: Perceived) -> Command:
        """The safe action, for the end of a run; it does not expire."""
        executed, label = self._policy.safe_action(seen.observation)
        return Command(executed, label, self._turns, self._clock.now_ns(), NEVER_NS, held=True)

    def _hand_over(self, decision: Decision, now_ns: int, expires_ns: int) -> Command:
        command = Command(decision.executed, decision.label, self._turns, now_ns, expires_ns, decision.held)
        self._deliver(command)
        return command

    def _decided(self, seen: Perceived) -> tuple[Decision, str]:
        """What the policy decides, or a decision for nothing and why."""
        if not seen.observation:
            return self._nothing(seen), ""
        try:
            decision = self._policy.act(
                seen.observation, ages_s=seen.ages_s, sequences=seen.sequences, known=seen.known
            )
        except Exception as error:  # noqa: BLE001 (whatever a stage raises costs one decision; the budget counts them)
            self._tally.errors += 1
            self._health.failed(error)
            if self._metrics:
                self._metrics.failed("decide")
            return self._nothing(seen), f"{type(error).__name__}: {error}"
        return decision, ""

    def _nothing(self, seen: Perceived) -> Decision:
        inputs = {
            name: InputReport(True, seen.ages_s.get(name), seen.sequences.get(name))
            if name in seen.observation
            else InputReport(False)
            for name in self._policy.signature.names
        }
        return Decision(
            policy=self._policy.fingerprint,
            stream="main",
            step=self._turns,
            selected=None,
            executed=None,
            label="hold",
            probabilities=None,
            confidence=None,
            novelty=None,
            inputs=inputs,
        )

    def _guarded(self, decision: Decision, trouble: str, seen: Perceived, now_ns: int) -> Guarded:
        values = seen.observation
        if trouble:
            return self._guards.hold("errors", trouble, values, now_ns)
        if not values:
            return self._guards.hold("critical", "nothing is sensed", values, now_ns)
        if over_budget := self._health.must_hold:
            return self._guards.hold("errors", over_budget, values, now_ns)
        return self._guards.check(
            decision.selected,
            decision.label,
            decision.confidence,
            values,
            seen.ages_s,
            now_ns,
            decision.verdicts,
        )


def _judged(decision: Decision, guarded: Guarded) -> Decision:
    return replace(decision, verdicts=guarded.verdicts, executed=guarded.executed, label=guarded.label)
