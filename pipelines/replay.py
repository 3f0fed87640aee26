"""Recorded episodes as evidence for an export: what a policy would have seen at each of their steps."""

from collections.abc import Iterator
from itertools import chain, islice, repeat
from typing import Any

from sensorimotor.errors import DataError
from sensorimotor.models.parity import CLOSED_LOOP_STEPS, Evidence
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.contract import Bound
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.examples import Example, examples
from sensorimotor.pipelines.sources import open_parts

MOST_BYTES = 2**29
"""So much of the episodes is held in memory; the steps are gone through again until there are enough."""


def recorded_evidence(recipe: EpisodeRecipe, signature: Signature) -> Evidence:
    """Steps of the recipe's held-out episodes.

    Raises:
        DataError: The data are not there any more, or no value of an input is.
    """
    parts = open_parts(recipe)
    source, numbers = parts.other, parts.held_out
    features = {name: entry.feature or name for name, entry in recipe.signature.inputs.items()}
    bound = Bound(signature, features, recipe.signature.action.feature, _labels(recipe, signature, source))
    steps, starts, held = list[Sensed](), list[bool](), 0
    for sensed, start in _steps(examples(source, bound, numbers)):
        steps.append(sensed)
        starts.append(start)
        held += sum(getattr(value, "nbytes", 0) for value in sensed.observation.values())
        if len(steps) >= CLOSED_LOOP_STEPS or held > MOST_BYTES:
            break
    if not steps:
        raise DataError(f"{recipe.data.path}: no held-out step has an input: an export needs some to be checked on")
    steps[0] = _complete(steps, signature)
    again = range(-(-CLOSED_LOOP_STEPS // len(steps)))
    enough = max(CLOSED_LOOP_STEPS, len(steps))
    return Evidence(
        list(islice(chain.from_iterable(repeat(steps, len(again))), enough)),
        list(islice(chain.from_iterable(repeat(starts, len(again))), enough)),
    )


def _labels(recipe: EpisodeRecipe, signature: Signature, source: Source) -> tuple[str, ...]:
    """The names of the choices, where the data write them as texts."""
    return signature.action_space.labels if source.features[recipe.signature.action.feature].kind == "text" else ()


def _steps(found: list[Example]) -> Iterator[tuple[Sensed, bool]]:
    """What each step of the episodes saw, and whether it is the first one of its episode."""
    for example in found:
        start = True
        for step in range(len(example)):
            observation: dict[str, Any] = {}
            ages_s: dict[str, float] = {}
            for name, seen in example.seen.items():
                if seen.value[step] >= 0:
                    (observation[name],) = seen.values.read([int(seen.value[step])])
                    ages_s[name] = float(seen.age_s[step])
            if observation:
                yield Sensed(observation, ages_s), start
                start = False


def _complete(steps: list[Sensed], signature: Signature) -> Sensed:
    """The first step with what it lacks from others: inputs that never came together must be compared together too."""
    observation = dict(steps[0].observation)
    for name in signature.names:
        if name not in observation:
            some = next((step.observation[name] for step in steps if name in step.observation), None)
            if some is None:
                raise DataError(f"no held-out step has a {name}: an export needs some to be checked on")
            observation[name] = some
    return Sensed({name: observation[name] for name in signature.names}, steps[0].ages_s)
