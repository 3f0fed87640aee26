"""Parity: whether two back ends compute the same policy, on real inputs, in every combination, and along a stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sensorimotor.actions.choice import same_choice
from sensorimotor.errors import ParityError
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Sensed

TOLERANCE = 1e-4
"""Largest difference of any head output or memory value, fp32 (see `difference`)."""
BATCHES = (1, 2, 7)
MEMORY_STEPS = 300
CLOSED_LOOP_STEPS = 1000


@dataclass(frozen=True)
class Evidence:
    """What parity is tested on: the steps of real episodes, in order, as a policy saw them.

    Attributes:
        steps: What each decision saw.
        starts: Whether each step is the first of an episode.
    """

    steps: Sequence[Sensed]
    starts: Sequence[bool]


def check_parity(trained: Policy, exported: Policy, evidence: Evidence, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Hold one policy against another.

    Compared are every subset of inputs at batch sizes 1, 2 and 7; 300 steps of one stream, whose memory is never reset;
    and all episodes of the evidence. Where the evidence was recorded in closed loop with `trained`, equal actions at
    every step mean that `exported` would have lived through the very same episodes.

    Args:
        trained: What is right.
        exported: What is compared.
        evidence: At least 1,000 real steps.
        tolerance: Largest difference of any head output or memory value (see `difference`).

    Returns:
        What was compared and the largest differences.

    Raises:
        ParityError: Something differs by more, or an action differs.
    """
    if len(evidence.steps) < CLOSED_LOOP_STEPS:
        raise ParityError(f"{len(evidence.steps)} real steps are too few: parity needs {CLOSED_LOOP_STEPS}")
    pair = (trained, exported)
    names = trained.signature.names
    subsets = [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]
    worst = 0.0
    for subset in subsets:
        steps = [step for step in evidence.steps if all(name in step.observation for name in subset)]
        if not steps:
            raise ParityError(f"the evidence has no step with {', '.join(subset)} together")
        for batch in BATCHES:
            rows = [steps[i * len(steps) // batch] for i in range(batch)]
            shown = [{name: row.observation[name] for name in subset} for row in rows]
            where = f"{', '.join(subset)} in a batch of {batch}"
            worst = max(worst, _batch_difference(pair, shown, [row.ages_s for row in rows], where, tolerance))
    stream = Evidence(evidence.steps[:MEMORY_STEPS], [False] * MEMORY_STEPS)
    return {
        "tolerance": tolerance,
        "batches": list(BATCHES),
        "subsets": len(subsets),
        "max_error": worst,
        "stream_steps": MEMORY_STEPS,
        "stream_max_error": _stream_difference(pair, stream, tolerance),
        "closed_loop_steps": len(evidence.steps),
        "closed_loop_max_error": _stream_difference(pair, evidence, tolerance),
    }


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference of two arrays: of numbers up to 1 as it is, of larger ones as a part of them.

    float32 has as many digits everywhere: the logits of a policy that is sure of itself differ by a thousandth without
    being any less the same, and so do degrees or millimetres.

    >>> difference(np.array([0.5, 200.0]), np.array([0.5, 200.02])) < 1e-4
    True
    """
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))).max(initial=0.0))


def _batch_difference(
    pair: tuple[Policy, Policy],
    shown: Sequence[Mapping[str, Any]],
    ages_s: Sequence[Mapping[str, float]],
    where: str,
    tolerance: float,
) -> float:
    """The largest difference over one batch, each row from a fresh memory."""
    outputs = []
    for policy in pair:
        policy.reset()
        decisions = policy.act_batch(shown, ages_s=ages_s)
        memories = [policy.memory(decision.stream) for decision in decisions]
        outputs.append(
            np.hstack(
                [np.stack([np.asarray(decision.parameters).ravel() for decision in decisions]), np.stack(memories)]
            )
        )
    return _within(difference(*outputs), where, tolerance)


def _stream_difference(pair: tuple[Policy, Policy], evidence: Evidence, tolerance: float) -> float:
    """The largest difference along a stream, each policy carrying its own memory; actions must be the same."""
    for policy in pair:
        policy.reset()
    worst = 0.0
    for i, (sensed, start) in enumerate(zip(evidence.steps, evidence.starts, strict=True)):
        if start:
            for policy in pair:
                policy.reset()
        a, b = (policy.act(sensed.observation, ages_s=sensed.ages_s) for policy in pair)
        if not same_choice(pair[0].signature.action_space, a.selected, b.selected):
            raise ParityError(f"step {i} of a stream: trained, it chooses {a.selected}; exported, {b.selected}")
        parameters = np.asarray(a.parameters), np.asarray(b.parameters)
        gaps = difference(*parameters), difference(pair[0].memory(), pair[1].memory())
        worst = max(worst, _within(float(np.max(gaps)), f"step {i} of a stream", tolerance))  # NaN comes through
    return worst


def _within(error: float, where: str, tolerance: float) -> float:
    if not error <= tolerance:  # also true of NaN
        raise ParityError(f"{where}: outputs differ by {error:.2e}, allowed is {tolerance:.0e}; nothing was exported")
    return error
