"""From what a recipe says and what its data have to the signature of the policy."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from sensorimotor.actions.space import ActionSpace, Box, Discrete, MultiBinary
from sensorimotor.errors import DataError, RecipeError
from sensorimotor.models.signature import ActuatorHold, Constant, HoldPosition, SafeAction, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.episode_recipe import Action, Contract, HoldInput, Input
from sensorimotor.pipelines.episodes import Feature, Source

OPTIONS = {
    "image": {"frames"},
    "audio": {"seconds", "mode", "sample_rate"},
    "text": {"max_tokens"},
    "vector": set[str](),
    "choice": {"max_tokens"},
}
"""Kind of a feature → the keys of `[signature.inputs.NAME]` that go with it."""
STANDING_ALONE_HZ = 1.0


@dataclass(frozen=True)
class Bound:
    """A signature and where its inputs and actions come from.

    Attributes:
        signature: The policy's contract.
        features: Input name → feature.
        action: The feature of the actions.
        labels: Of choices that the data write as texts, in order; else empty.
    """

    signature: Signature
    features: dict[str, str]
    action: str
    labels: tuple[str, ...]


def bind(contract: Contract, source: Source, actions: Sequence[Any]) -> Bound:
    """The signature of a recipe on its data.

    Args:
        contract: The recipe's `[signature]`.
        source: Its data.
        actions: Every action that is learnt from: texts, integers or vectors.

    Raises:
        RecipeError: It names a feature that the data do not have, or says something of it that does not fit.
        SignatureError: What it says is no signature.
    """
    features = {name: entry.feature or name for name, entry in contract.inputs.items()}
    inputs = {
        name: _modality(name, entry, feature_of(source, features[name], f"signature.inputs.{name}"))
        for name, entry in contract.inputs.items()
    }
    kind = feature_of(source, contract.action.feature, "signature.action")
    space, labels = _space(contract.action, kind, actions)
    rate_hz = contract.rate_hz or source.rate_hz or STANDING_ALONE_HZ
    if source.rate_hz and abs(rate_hz - source.rate_hz) > 0.01 * source.rate_hz:
        raise RecipeError(
            f"signature.rate_hz = {rate_hz:g}, but the data have {source.rate_hz:g} steps a second: leave it out"
        )
    signature = Signature(inputs, space, _safe(contract, space), rate_hz, contract.horizon)
    return Bound(signature, features, contract.action.feature, labels)


def feature_of(source: Source, name: str, where: str) -> Feature:
    """A feature by name.

    Raises:
        RecipeError: The data have none of that name; the nearest is suggested.
    """
    if name in source.features:
        return source.features[name]
    near = difflib.get_close_matches(name, source.features, 1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise RecipeError(f"{where}: the data have no {name!r}; {hint}They have {', '.join(source.features)}")


def require_alike(bound: Bound, learnt: Source, held_out: Source, where: str) -> None:
    """Refuse data to be judged on that are of another kind than those that are learnt from.

    Args:
        bound: What is used of them.
        learnt: The data that are learnt from.
        held_out: The others.
        where: What to call those in a message.

    Raises:
        RecipeError: They lack a feature; the nearest is suggested.
        DataError: A feature is of another kind or size, or they have another rate.
    """
    for name in (*bound.features.values(), bound.action):
        theirs, ours = feature_of(held_out, name, where), learnt.features[name]
        if (theirs.kind, theirs.shape, theirs.stream) != (ours.kind, ours.shape, ours.stream):
            raise DataError(
                f"{where}: expected {name} to be {_described(ours)}, as in what is learnt from, found "
                f"{_described(theirs)}: make both alike"
            )
    if (learnt.rate_hz or 0) and abs((held_out.rate_hz or 0) / (learnt.rate_hz or 1) - 1) > 0.01:
        rate = f"{held_out.rate_hz:g} steps a second" if held_out.rate_hz else "steps that stand alone"
        raise DataError(f"{where}: expected {learnt.rate_hz:g} steps a second, as in what is learnt from, found {rate}")


def _described(feature: Feature) -> str:
    shape = f" of shape {feature.shape}" if feature.shape else ""
    return f"{'a stream of ' if feature.stream else ''}{feature.kind}{shape}"


def _modality(name: str, entry: Input, feature: Feature) -> Image | Audio | Text | State:
    given = entry.model_dump(exclude={"feature", "critical", "max_age_s"}, exclude_none=True)
    if foreign := sorted(set(given) - OPTIONS[feature.kind]):
        raise RecipeError(f"signature.inputs.{name}: {', '.join(foreign)} is not for {feature.kind} inputs")
    common: dict[str, Any] = {"critical": entry.critical, "max_age_s": entry.max_age_s, **given}
    try:
        match feature.kind:
            case "image":
                *clip, height, width, channels = feature.shape
                if clip and given.get("frames", clip[0]) != clip[0]:
                    raise RecipeError(f"signature.inputs.{name}: the data's clips have {clip[0]} frames")
                return Image.model_validate(
                    common
                    | {"height": height, "width": width, "channels": channels}
                    | ({"frames": clip[0]} if clip else {})
                )
            case "audio":
                if "seconds" not in given:
                    raise RecipeError(f"signature.inputs.{name}: say how many seconds of sound it hears")
                return Audio.model_validate(common | {"channels": feature.shape[0]})
            case "vector":
                return State.model_validate(
                    common | {"size": feature.shape[0], "names": feature.names, "units": feature.units}
                )
            case _:
                return Text.model_validate(common)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"signature.inputs.{name}.{key}: {first['msg']} (got {first['input']!r})") from error


def _space(action: Action, feature: Feature, actions: Sequence[Any]) -> tuple[ActionSpace, tuple[str, ...]]:
    if feature.kind == "text":
        labels = action.labels or tuple(sorted(set(actions)))
        _no_limits(action, "choices")
        return Discrete(len(labels), labels), labels
    if feature.kind == "choice":
        _no_limits(action, "choices")
        count = len(action.labels) or int(max(actions)) + 1
        return Discrete(count, action.labels), ()
    if feature.kind != "vector":
        raise RecipeError(
            f"signature.action: {action.feature!r} is {feature.kind}; actions are texts, integers or vectors"
        )
    size = feature.shape[0]
    labels = action.labels or feature.names
    if action.switches:
        _no_limits(action, "switches")
        if not np.isin(np.stack(actions), (0, 1)).all():
            raise RecipeError(
                f"signature.action: {action.feature!r} has other values than 0 and 1: those are no switches"
            )
        return MultiBinary(size, labels), ()
    for key in ("low", "high"):
        if (given := getattr(action, key)) and len(given) != size:
            raise RecipeError(f"signature.action.{key} has {len(given)} values, the actions have {size}")
    seen = np.stack(actions)
    low, high = action.low or seen.min(0).tolist(), action.high or seen.max(0).tolist()
    for label, least, most, below, above in zip(
        labels or range(size), seen.min(0), seen.max(0), low, high, strict=True
    ):
        if least < below - 1e-6 or most > above + 1e-6:
            raise RecipeError(
                f"signature.action: {label} is limited to [{below:g}, {above:g}], but the data go from {least:g} to "
                f"{most:g}: widen low and high, or leave them out"
            )
    return Box(low, high, labels, action.units or feature.units), ()


def _no_limits(action: Action, what: str) -> None:
    if action.low or action.high or action.units:
        raise RecipeError(f"signature.action: low, high and units are for vectors, not for {what}")


def _safe(contract: Contract, space: ActionSpace) -> SafeAction:
    match contract.safe_action:
        case HoldInput(hold=name):
            return HoldPosition(name)
        case "actuator":
            return ActuatorHold()
        case str(label):
            if label not in space.labels:
                raise RecipeError(
                    f"signature.safe_action = {label!r} is none of the actions; name one of {', '.join(space.labels)}"
                )
            return Constant(space.labels.index(label))
        case vector:
            return Constant(list(vector))
    raise AssertionError(contract.safe_action)


def as_targets(bound: Bound, actions: Iterable[Any], where: str) -> np.ndarray:
    """Actions as a head learns them: int64 `(n,)` for choices, float32 `(n, size)` for switches and vectors.

    Raises:
        DataError: One is not in the action space.
    """
    space = bound.signature.action_space
    if bound.labels:
        number: Mapping[str, int] = {label: i for i, label in enumerate(bound.labels)}
        found = list(actions)
        if unknown := sorted({str(label) for label in found} - set(number)):
            raise DataError(
                f"{where}: {unknown[0]!r} is none of the actions {', '.join(bound.labels)}: correct it, or name all of "
                "them in signature.action.labels"
            )
        return np.array([number[label] for label in found], np.int64)
    if space.space.shape == ():
        values = np.array(list(actions), np.int64)
        if len(values) and not 0 <= values.min() <= values.max() < space.size:
            raise DataError(
                f"{where}: expected choices from 0 to {space.size - 1}, found {values.min()} to {values.max()}: "
                "correct them, or name all choices in signature.action.labels"
            )
        return values
    return np.array(list(actions), np.float32).reshape(-1, space.size)
