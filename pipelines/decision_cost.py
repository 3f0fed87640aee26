"""What deciding costs, a short turn at a time, on real observations."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.machine_profile import Objective
from sensorimotor.pipelines.shown import Shown

LONGEST_PAUSE_S = 0.02
"""Between decisions (s). What a processor does in the pauses of a live policy, that caches go cold, that threads which
wait by spinning give up, has been done by then: a decision of 0.4 ms takes 0.6 after 5 ms, 0.9 after 20 and 1.1 after
100."""
LONGEST_TURN = 20
"""Decisions."""
LEAST_TURN_S = 0.05
SPUN_S = 0.1
"""So long after its last decision a policy whose threads spin still takes a core from whoever comes next (s)."""


class Turn(NamedTuple):
    """What one turn cost.

    Attributes:
        ms: Wall clock a decision, the mean over the turn; in a batch, a row.
        each_ms: Of each decision; in a batch, of each batch.
        cpu_ms: Processor time a decision, pauses included: what spinning burns is in it.
    """

    ms: float
    each_ms: list[float]
    cpu_ms: float


class Course(Protocol):
    """What is decided in a turn; the same turn is the same work for whoever takes it."""

    def take(self, policy: Policy, turn: int) -> Turn:
        """Run one turn."""
        ...


@dataclass(frozen=True)
class Alone:
    """One decision at a time, at a policy's rate: the steps in their order, some of them a turn.

    Attributes:
        shown: What the decisions see.
        count: Steps of a turn.
        pause_s: Before each decision (s).
        sleep: Waits (s).
    """

    shown: Shown
    count: int
    pause_s: float
    sleep: Callable[[float], None] = time.sleep

    def take(self, policy: Policy, turn: int) -> Turn:
        """See `Course.take`. The step before is decided first, unmeasured: it encodes what a stream knows by then."""
        first = turn * self.count
        policy.reset()
        self._decide(policy, first - 1)
        each_ms = []
        began_s = time.process_time()
        for number in range(first, first + self.count):
            if self.shown.starts[number % len(self.shown.steps)]:
                policy.reset()
            self.sleep(self.pause_s)
            each_ms.append(self._decide(policy, number))
        cpu_s = time.process_time() - began_s
        return Turn(sum(each_ms) / self.count, each_ms, cpu_s * 1e3 / self.count)

    def _decide(self, policy: Policy, number: int) -> float:
        step = self.shown.steps[number % len(self.shown.steps)]
        return policy.act(step.observation, ages_s=step.ages_s, sequences=step.sequences).timings_ms["total"]


@dataclass(frozen=True)
class Together:
    """Many decisions at a time, without pauses: a stream for each row of a batch, each somewhere else in the steps.

    Attributes:
        shown: What the decisions see.
        batch: Rows.
        count: Batches of a turn.
    """

    shown: Shown
    batch: int
    count: int

    def take(self, policy: Policy, turn: int) -> Turn:
        """See `Course.take`."""
        policy.reset()
        steps, each_ms = self.shown.steps, []
        began_s = time.process_time()
        for number in range(turn * self.count, (turn + 1) * self.count):
            rows = [steps[(number + row * len(steps) // self.batch) % len(steps)] for row in range(self.batch)]
            decisions = policy.act_batch(
                [row.observation for row in rows],
                ages_s=[row.ages_s for row in rows],
                sequences=[row.sequences for row in rows],
            )
            each_ms.append(decisions[0].timings_ms["total"])
        cpu_s, done = time.process_time() - began_s, self.count * self.batch
        return Turn(sum(each_ms) / done, each_ms, cpu_s * 1e3 / done)


def course(
    objective: Objective,
    shown: Shown,
    *,
    decision_s: float,
    turn_s: float,
    rate_hz: float,
    batch: int,
) -> Course:
    """What is to be decided in a turn of about `turn_s`.

    Args:
        objective: What for: one decision at a time, or as many as can be.
        shown: What the decisions see.
        decision_s: What a decision takes here, roughly (s).
        turn_s: How long a turn may be, roughly (s).
        rate_hz: Of the policy.
        batch: Rows of a batch.
    """
    turn_s = max(turn_s, LEAST_TURN_S)
    if objective == "throughput":
        return Together(shown, batch, max(1, min(LONGEST_TURN, round(turn_s / (decision_s * batch)))))
    pause_s = max(0.0, min(LONGEST_PAUSE_S, 1 / rate_hz - decision_s))
    return Alone(shown, max(1, min(LONGEST_TURN, round(turn_s / (decision_s + pause_s)))), pause_s)
