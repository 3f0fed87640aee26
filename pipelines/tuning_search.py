"""The search for settings: who decides the same may race, who wins goes on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorimotor.errors import SensorimotorError
from sensorimotor.models.agreement import Agreement, compare
from sensorimotor.models.execution import AS_IT_COMES, ONE_THREAD, Execution
from sensorimotor.models.golden import replay
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.decision_cost import SPUN_S, Course, Turn
from sensorimotor.pipelines.paired import FEWEST, Gain, gain
from sensorimotor.pipelines.paired_success import PairedSuccess
from sensorimotor.pipelines.race import race, take_turns, winner
from sensorimotor.pipelines.shown import Shown
from sensorimotor.pipelines.sidelines import Told
from sensorimotor.pipelines.tuning_grid import described

DEFAULT, REFERENCE = described(ONE_THREAD), described(AS_IT_COMES)
Play = Callable[[Execution], PairedSuccess]


@dataclass
class Candidate:
    """Settings that were tried.

    Attributes:
        execution: The settings.
        agreement: Of its decisions with those of fp32; None: it does not run.
        rejected: Why it is not to be used whatever it costs.
        gain: Over `over`, in the race that it took part in.
        over: The name of the best so far, then.
        success: In the environment, where one was named and it won a race.
        turns: What its turns cost.
    """

    execution: Execution
    agreement: Agreement | None = None
    rejected: str | None = None
    gain: Gain | None = None
    over: str | None = None
    success: PairedSuccess | None = None
    turns: list[Turn] = field(default_factory=list)

    def ms(self) -> dict[str, float] | None:
        """p50 and p99 of its decisions, and processor time a decision (ms); None: it was never timed."""
        if not self.turns:
            return None
        p50, p99 = np.percentile([ms for turn in self.turns for ms in turn.each_ms], [50, 99])
        cpu = np.mean([turn.cpu_ms for turn in self.turns])
        return {"p50": float(p50), "p99": float(p99), "cpu": float(cpu)}

    def to_json(self) -> dict[str, Any]:
        """What came of it, as plain JSON types."""
        return {
            "name": described(self.execution),
            "ms": self.ms(),
            "n": sum(len(turn.each_ms) for turn in self.turns),
            "gain": self.gain.to_json() if self.gain else None,
            "over": self.over,
            "agrees": self.agreement.complete if self.agreement else False,
            "steps": self.agreement.steps if self.agreement else 0,
            "same": self.agreement.same if self.agreement else 0,
            "max_difference": self.agreement.max_difference if self.agreement else None,
            "max_action_difference": self.agreement.max_action_difference if self.agreement else None,
            "success": self.success.to_json() if self.success else None,
            "rejected": self.rejected,
        }


class Search:
    """Goes from the best so far to better settings, race by race.

    Args:
        load: Loads the policy with settings.
        shown: What must be decided as by the default settings.
        course: What is timed.
        play: Plays episodes with settings, to see that success stays; None: there is no environment.
        tell: Takes a sentence about how it goes.
        sleep: Waits (s).
        clock: What time it is (s).

    Attributes:
        candidates: Name → what was tried, in order.
        best: The name of the best so far.
    """

    def __init__(
        self,
        load: Callable[[Execution], Policy],
        shown: Shown,
        right: Sequence[np.ndarray],
        course: Course,
        play: Play | None = None,
        *,
        tell: Told = lambda sentence: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._load, self._shown, self._right, self._course, self._play = load, shown, right, course, play
        self._tell, self._sleep, self._clock = tell, sleep, clock
        self._policies: dict[str, Policy] = {}
        self._last: str | None = None
        self.candidates: dict[str, Candidate] = {}
        self.best = DEFAULT
        self.consider(ONE_THREAD)

    def consider(self, execution: Execution) -> str | None:
        """Load settings and see whether decisions agree; gives their name, or None where they do not."""
        name = described(execution)
        if name in self._policies:
            return name
        candidate = self.candidates.setdefault(name, Candidate(execution))
        try:
            policy = self._load(execution)
            outputs = replay(policy, self._shown.steps, self._shown.starts)
            candidate.agreement = compare(policy.signature.action_space, outputs, self._right)
        except SensorimotorError as error:
            candidate.rejected = f"does not run: {error}"
            return None
        if not candidate.agreement.complete:
            candidate.rejected = str(candidate.agreement)
            self._tell(f"{name} is rejected: {candidate.rejected}")
            return None
        self._policies[name] = policy
        return name

    def improve(self, challengers: Sequence[Execution], seconds: float) -> None:
        """Race challengers against the best so far, which the fastest one replaces if it is faster beyond noise.

        Args:
            challengers: Those that decide otherwise do not start.
            seconds: How long the race may take, roughly.
        """
        champion = self.best
        names = [name for one in challengers if (name := self.consider(one)) and name != champion]
        gains = race(champion, names, self._turn, self._until(seconds))
        for name, found in gains.items():
            self.candidates[name].gain, self.candidates[name].over = found, champion
        while (ahead := winner(gains)) and not self._succeeds(ahead):
            del gains[ahead]
        self.best = ahead or champion
        self._keep({self.best, DEFAULT})

    def judge(self, seconds: float) -> tuple[Gain, Gain]:
        """Measure the best anew; where it is no faster than the default settings, those are the best.

        Args:
            seconds: How long it may take, roughly.

        Returns:
            The gain of the best over what ONNX Runtime does by itself, and over the default settings.
        """
        names = list(dict.fromkeys([self.best, DEFAULT, REFERENCE]))
        self._policies.setdefault(REFERENCE, self._load(AS_IT_COMES))
        self.candidates.setdefault(REFERENCE, Candidate(AS_IT_COMES))
        costs: dict[str, list[float]] = {name: [] for name in names}
        going, turn = self._until(seconds), 0
        while turn < FEWEST or going():
            take_turns(names, turn, self._turn, costs)
            turn += 1
        if not gain(costs[DEFAULT], costs[self.best]).beyond_noise:
            self.best = DEFAULT
        return gain(costs[REFERENCE], costs[self.best]), gain(costs[DEFAULT], costs[self.best])

    def _turn(self, name: str, number: int) -> float:
        if self._last and self._last != name and self.candidates[self._last].execution.spinning:
            self._sleep(SPUN_S)
        turn = self._course.take(self._policies[name], number)
        self.candidates[name].turns.append(turn)
        self._last = name
        return turn.ms

    def _until(self, seconds: float) -> Callable[[], bool]:
        end = self._clock() + seconds
        return lambda: self._clock() < end

    def _succeeds(self, name: str) -> bool:
        if self._play is None:
            return True
        candidate = self.candidates[name]
        candidate.success = self._play(candidate.execution)
        if not candidate.success.within_noise:
            candidate.rejected = str(candidate.success)
            self._tell(f"{name} is rejected: {candidate.rejected}")
        return candidate.success.within_noise

    def _keep(self, names: set[str]) -> None:
        """Let go of all other policies: each holds the weights once more."""
        self._policies = {name: policy for name, policy in self._policies.items() if name in names}
