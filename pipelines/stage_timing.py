"""Where the time of a decision goes: host preparation, each encoder, the core, choosing, and the guards."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import numpy as np

from sensorimotor.actions.guard_rules import GuardRules
from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.models.backend import Backend, CoreInput, CoreOutput
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Signature
from sensorimotor.pipelines.shown import Shown

PREPARE, CORE, DECIDE, GUARDS, TOTAL = "prepare", "core", "decide", "guards", "total"
STREAM = "timed"


def encoder_stage(name: str) -> str:
    """The stage of an input's encoder."""
    return f"encode.{name}"


class Span(NamedTuple):
    """One stretch of a decision: its stage, when it began since the decision began, and how long it took (ms)."""

    stage: str
    start_ms: float
    ms: float


@dataclass(frozen=True)
class StageTimes:
    """How long the stages of some decisions took.

    Attributes:
        stages: In the order of a decision: `prepare` (checks, tokens, padding, gathering), `encode.NAME` of each input,
            `core`, `decide` (choosing, and the record of the decision), `guards`.
        decisions: The spans of each decision, one after another without gaps.
    """

    stages: tuple[str, ...]
    decisions: tuple[tuple[Span, ...], ...]

    def ms(self, stage: str) -> np.ndarray:
        """How long a stage took in the decisions that had it (ms), float64 `(n,)`; `total`: how long each decision."""
        if stage == TOTAL:
            return np.array([sum(span.ms for span in spans) for spans in self.decisions])
        taken = ([span.ms for span in spans if span.stage == stage] for spans in self.decisions)
        return np.array([sum(some) for some in taken if some])

    def typical(self) -> tuple[Span, ...]:
        """The decision whose time is the median."""
        return self.decisions[int(np.argsort(self.ms(TOTAL))[len(self.decisions) // 2])]

    def shares(self, of: np.ndarray) -> dict[str, float]:
        """Stage → its part of the time of some decisions, which are named by a bool `(n,)`."""
        spent = dict.fromkeys(self.stages, 0.0)
        for spans, counts in zip(self.decisions, of, strict=True):
            for span in spans if counts else ():
                spent[span.stage] += span.ms
        whole = sum(spent.values()) or 1.0
        return {stage: ms / whole for stage, ms in spent.items()}


@dataclass
class TimedBackend:
    """A back end that notes when each of its graphs ran; it returns when they have, on whatever device they run.

    Attributes:
        backend: What runs them.
        clock_ns: What time it is (ns).
        ran: Stage, beginning and end (ns) of each graph since it was last emptied.
    """

    backend: Backend
    clock_ns: Callable[[], int] = time.perf_counter_ns
    ran: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory_size = self.backend.memory_size

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.encode`."""
        began = self.clock_ns()
        made = self.backend.encode(name, values)
        self.ran.append((encoder_stage(name), began, self.clock_ns()))
        return made

    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`."""
        began = self.clock_ns()
        output = self.backend.step(inputs)
        self.ran.append((CORE, began, self.clock_ns()))
        return output

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.empty_tokens`."""
        return self.backend.empty_tokens(name)


def measure(
    policy: Policy,
    shown: Shown,
    n: int,
    *,
    rules: GuardRules = NO_RULES,
    longest_s: float = float("inf"),
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> StageTimes:
    """Time decisions on what is shown, over and over; the policy that is given keeps its own memory.

    Nothing is warmed up: the first decisions are those of a policy that has just been loaded, if it has.

    Args:
        policy: The policy.
        shown: What it is shown, at least one step.
        n: How many decisions.
        rules: What an operator allows.
        longest_s: Stop after so long (s), however few decisions there were; there is always one.
        clock_ns: What time it is (ns).

    Raises:
        GuardError: The rules do not fit the policy.
        OutputError: The network gave numbers that cannot be acted upon.
    """
    timed: list[TimedBackend] = []

    def wrap(backend: Backend) -> Backend:
        timed.append(TimedBackend(backend, clock_ns))
        return timed[0]

    watched = policy.on(wrap)
    guards = _guards(watched, rules)
    decisions: list[tuple[Span, ...]] = []
    ends_ns = clock_ns() + longest_s * 1e9
    for i in count():
        decisions.append(_decide(watched, guards, timed[0], shown, i % len(shown.steps)))
        if len(decisions) >= n or clock_ns() >= ends_ns:
            return StageTimes(stages_of(policy.signature), tuple(decisions))
    raise AssertionError


def stages_of(signature: Signature) -> tuple[str, ...]:
    """The stages of a policy's decisions, in order."""
    return (PREPARE, *(encoder_stage(name) for name in signature.names), CORE, DECIDE, GUARDS)


def _guards(policy: Policy, rules: GuardRules) -> Guards:
    return Guards(
        rules,
        policy.signature.action_space,
        policy.safe_action,
        max_age_s={name: modality.max_age_s for name, modality in policy.signature.inputs.items()},
        period_s=1 / policy.signature.rate_hz,
    )


def _decide(policy: Policy, guards: Guards, timed: TimedBackend, shown: Shown, at: int) -> tuple[Span, ...]:
    step, clock_ns = shown.steps[at], timed.clock_ns
    if shown.starts[at]:
        policy.reset(STREAM)
        guards.reset()
    timed.ran.clear()
    began = clock_ns()
    one = policy.act(step.observation, ages_s=step.ages_s, sequences=step.sequences, stream=STREAM)
    decided = clock_ns()
    guards.check(one.selected, one.label, one.confidence, step.observation, step.ages_s, began, one.verdicts)
    return _spans(began, timed.ran, decided, clock_ns())


def _spans(began: int, ran: Sequence[tuple[str, int, int]], decided: int, ended: int) -> tuple[Span, ...]:
    """The graphs with what the host did before, between and after them."""
    spans: list[Span] = []
    host, now = PREPARE, began

    def add(stage: str, start: int, stop: int) -> None:
        spans.append(Span(stage, (start - began) / 1e6, (stop - start) / 1e6))

    for stage, start, stop in ran:
        add(host, now, start)
        add(stage, start, stop)
        now = stop
    add(DECIDE, now, decided)
    add(GUARDS, decided, ended)
    return tuple(spans)
