"""What a policy is shown while it is timed: real observations in order, numbered as by live sensors.

Never noise: how long a decision takes depends on what is new in it, how long its sounds are, and what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sensorimotor.errors import BundleError, DataError
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.golden import load_golden
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed, latched
from sensorimotor.pipelines.batch_input import InputSpec, Unreadable, open_input

MOST_STEPS = 2000
MOST_BYTES = 2**29
"""So much of a recording is held in memory; the steps are gone through again until there are enough."""


@dataclass(frozen=True)
class Shown:
    """Steps of episodes.

    Attributes:
        origin: Where they are from, for people.
        steps: What each decision sees; a value with the number of the one before is the same value.
        starts: Whether each step is the first of an episode: nothing is known from before.
    """

    origin: str
    steps: Sequence[Sensed]
    starts: Sequence[bool]


def golden_shown(bundle: Bundle) -> Shown:
    """The golden set of a bundle.

    Raises:
        BundleError: It has none, or an empty one.
    """
    if GOLDEN not in bundle.config["files"]:
        raise BundleError(f"{bundle.path} has no golden set to be timed on: name a recording, or export it again")
    steps, starts, _ = load_golden(bundle.file(GOLDEN), bundle.signature)
    if not any(step.observation for step in steps):
        raise BundleError(f"{bundle.file(GOLDEN)} is empty: name a recording, or export the policy again")
    return Shown("golden set", _numbered(steps, bundle.signature), [True, *starts[1:]])


def recorded_shown(spec: InputSpec, signature: Signature) -> Shown:
    """The steps of a recording, a table or media files, from the first episode on, as `batch` would decide on them.

    Args:
        spec: What to read, and how.
        signature: Of the policy.

    Raises:
        DataError: There are no such data, they do not fit the policy, or no step has anything that it takes.
        MissingExtraError: A library is not installed.
    """
    opened = open_input(spec, signature)
    steps, starts, held = list[Sensed](), list[bool](), 0
    wrong: Unreadable | None = None
    for episode in range(len(opened)):
        start = True
        try:
            for step in opened.lived(episode):
                if step.refused or not step.seen.observation:
                    continue
                steps.append(step.seen)
                starts.append(start)
                start = False
                held += sum(getattr(value, "nbytes", 0) for value in step.seen.observation.values())
                if len(steps) >= MOST_STEPS or held > MOST_BYTES:
                    return Shown(spec.where, steps, starts)
        except Unreadable as error:
            wrong = wrong or error
    if not steps:
        reason = f": {wrong}" if wrong else f" has a value of {', '.join(opened.fed)}"
        raise DataError(f"{spec.where}: no step{reason}; there is nothing to be timed on")
    return Shown(spec.where, steps, starts)


def _numbered(steps: Sequence[Sensed], signature: Signature) -> list[Sensed]:
    """With numbers: every frame of a sensor is a new one, while what is latched is new only when it changes."""
    numbers = dict.fromkeys(signature.names, 0)
    numbered = [_with(steps[0], numbers)]
    for before, step in pairwise(steps):
        for name, modality in signature.inputs.items():
            same = _equal(before.observation.get(name), step.observation.get(name))
            numbers[name] += not (latched(modality) and same)
        numbered.append(_with(step, numbers))
    return numbered


def _with(step: Sensed, numbers: dict[str, int]) -> Sensed:
    return replace(step, sequences={name: numbers[name] for name in step.observation})


def _equal(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, str) or isinstance(other, str) else np.array_equal(one, other)
