"""Parity: whether two back ends compute the same policy, on real inputs, in every combination, and along a stream."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sensorimotor.actions.choice import same_choice
from sensorimotor.errors import ParityError
from sensorimotor.models.backend import Backend
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Sensed

TOLERANCE = 1e-4
"""Largest difference of any head output or memory value, fp32 (see `difference`)."""
BATCHES = (1, 2, 7)
MEMORY_STEPS = 300
CLOSED_LOOP_STEPS = 1000
REMEMBERED_BYTES = 2**28
"""So much of what encoders made is kept for when a value comes again."""


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
    every step mean that `exported` would have lived through the very same episodes. Along streams a value is encoded
    once by each of them, however often it comes: encoders are pure, and the batches show that rows do not influence
    each other.

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
    memories: list[Remembering] = []

    def remembering(backend: Backend) -> Backend:
        memories.append(Remembering(backend))
        return memories[-1]

    pair = (trained.on(remembering), exported.on(remembering))
    return {
        "tolerance": tolerance,
        "batches": list(BATCHES),
        "subsets": len(subsets),
        "max_error": worst,
        "stream_steps": MEMORY_STEPS,
        "stream_max_error": _stream_difference(pair, stream, tolerance),
        "closed_loop_steps": len(evidence.steps),
        "closed_loop_max_error": _stream_difference(pair, evidence, tolerance),
        "closed_loop_values": {name: len(memories[0].seen[name]) for name in names},
    }


class Remembering:
    """A back end that encodes every different value once.

    Attributes:
        seen: Input → fingerprints of its different values.
    """

    def __init__(self, backend: Backend):
        self._backend, self.memory_size = backend, backend.memory_size
        self.step, self.empty_tokens = backend.step, backend.empty_tokens
        self.seen: dict[str, set[bytes]] = defaultdict(set)
        self._known: dict[tuple[str, bytes], tuple[np.ndarray, np.ndarray]] = {}
        self._bytes = 0

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.encode`."""
        keys = [_fingerprint([value[row] for value in values]) for row in range(len(values[0]))]
        self.seen[name].update(keys)
        new = list({key: row for row, key in enumerate(keys) if (name, key) not in self._known}.values())
        found = {key: self._known[name, key] for key in keys if (name, key) in self._known}
        if new:
            made = self._backend.encode(name, [value[new] for value in values])
            for at, row in enumerate(new):
                found[keys[row]] = made[0][at].copy(), made[1][at].copy()
                self._keep((name, keys[row]), found[keys[row]])
        tokens, masks = zip(*(found[key] for key in keys), strict=True)
        return np.stack(tokens), np.stack(masks)

    def _keep(self, key: tuple[str, bytes], made: tuple[np.ndarray, np.ndarray]) -> None:
        """What came first is kept: episodes that are gone through again begin with it."""
        self._bytes += made[0].nbytes + made[1].nbytes
        if self._bytes <= REMEMBERED_BYTES:
            self._known[key] = made


def _fingerprint(value: Sequence[np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for array in value:
        digest.update(array.tobytes())
    return digest.digest()


def check_rows(trained: Policy, exported: Policy, steps: Sequence[Sensed], tolerance: float = TOLERANCE) -> float:
    """The largest difference over a few steps as one batch, with all inputs and without each: a glance, no proof.

    Args:
        trained: What is right.
        exported: What is compared.
        steps: At least two, each with all inputs.
        tolerance: Largest difference of any head output or memory value.

    Raises:
        ParityError: Something differs by more.
    """
    names = trained.signature.names
    subsets = [names, *(tuple(other for other in names if other != name) for name in names if len(names) > 1)]
    return max(
        _batch_difference(
            (trained, exported),
            [{name: step.observation[name] for name in subset} for step in steps],
            [step.ages_s for step in steps],
            ", ".join(subset),
            tolerance,
        )
        for subset in subsets
    )


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
