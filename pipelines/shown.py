"""What a policy is shown while it is timed: real observations in order, numbered as by live sensors.

Never noise: how long a decision takes depends on what is new in it, how long its sounds are, and what is missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import BundleError, DataError
from sensorimotor.files import expanded
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.golden import load_golden
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed, latched
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.observed import observed
from sensorimotor.pipelines.table import missing_column

MOST_STEPS = 2000
MOST_BYTES = 2**29
"""So much of a recording is held in memory; the steps are gone through again until there are enough."""
KINDS = {"image": ("image",), "audio": ("audio",), "text": ("text", "choice"), "state": ("vector",)}
"""Kind of an input → the kinds of features that it can come from."""


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


def recorded_shown(source: Source, signature: Signature, where: str) -> Shown:
    """The steps of a recording, from its first episode on, as a policy would have seen them live.

    Args:
        source: The recording. An input comes from the feature of its name, or else from the only one that has its name
            at the end: `observation.images.front` for `front`.
        signature: Of the policy.
        where: What the recording is called in messages.

    Raises:
        DataError: No feature fits an input that must be there, or none fits any, or no step has a value.
    """
    features = _features(source, signature, where)
    steps, starts, held = list[Sensed](), list[bool](), 0
    for number in range(len(source)):
        episode = source.episode(number)
        seen = {
            name: observed(episode, feature, source.features[feature], signature.inputs[name])
            for name, feature in features.items()
        }
        start = True
        for step in range(len(episode.times_s)):
            here = {name: int(one.value[step]) for name, one in seen.items() if one.value[step] >= 0}
            if not here:
                continue
            values = {name: seen[name].values.read([value])[0] for name, value in here.items()}
            steps.append(Sensed(values, {name: float(seen[name].age_s[step]) for name in here}, here))
            starts.append(start)
            start, held = False, held + sum(getattr(value, "nbytes", 0) for value in values.values())
            if len(steps) >= MOST_STEPS or held > MOST_BYTES:
                return Shown(where, steps, starts)
    if not steps:
        raise DataError(f"{where}: no step has a value of {', '.join(features)}: there is nothing to be timed on")
    return Shown(where, steps, starts)


def open_recorded(path: Path, signature: Signature) -> Shown:
    """The recording in a directory, or a manifest; see `recorded_shown`.

    Raises:
        DataError: There is none, it is damaged, or it does not fit the policy.
    """
    from sensorimotor.pipelines.lerobot import LeRobotSource
    from sensorimotor.pipelines.manifest import ManifestSource

    path = expanded(path)
    source = LeRobotSource(path) if path.is_dir() else ManifestSource(path)
    return recorded_shown(source, signature, str(path))


def _features(source: Source, signature: Signature, where: str) -> dict[str, str]:
    """Input → the feature that it comes from."""
    features = {}
    for name, modality in signature.inputs.items():
        ends = [one for one in source.features if one.rpartition(".")[2] == name]
        feature = name if name in source.features else ends[0] if len(ends) == 1 else None
        if feature is None:
            continue
        kind = source.features[feature].kind
        if kind not in KINDS[modality.kind]:
            raise DataError(f"{where}: expected {feature} to be {modality}, found {kind}")
        features[name] = feature
    critical = [name for name, modality in signature.inputs.items() if modality.critical]
    for name in critical or ([] if features else signature.names[:1]):
        if name not in features:
            raise missing_column(Path(where), name, list(source.features))
    return features


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
