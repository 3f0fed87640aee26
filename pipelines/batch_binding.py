"""Which part of offline data feeds which input of a policy."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, get_args

from sensorimotor.errors import DataError, ObservationError, UsageError
from sensorimotor.models.signature import Signature
from sensorimotor.perception.fit import FitMode
from sensorimotor.perception.modality import Audio, Image, Modality, State, Text
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.run_features import feature_name

KINDS = {"image": "image", "audio": "audio", "text": "text", "state": "vector"}
"""Kind of an input → kind of the feature that can feed it."""


class Feeding(NamedTuple):
    """What feeds the inputs of a policy.

    Attributes:
        by: Input → feature.
        absent: Inputs that nothing feeds, not even a constant.
    """

    by: dict[str, str]
    absent: tuple[str, ...]

    def only(self, there: Mapping[str, str], signature: Signature, where: str) -> "Feeding":
        """The same where some features turned out to have nothing.

        Raises:
            DataError: A critical input, or every one, has nothing.
        """
        empty = [name for name in self.by if name not in there]
        for name in empty:
            if signature.inputs[name].critical or not there:
                raise DataError(f"{where}: {self.by[name]!r}, which feeds {name}, has no value in any row")
        return Feeding(dict(there), (*self.absent, *empty))


def require_known(spec: InputSpec, signature: Signature) -> None:
    """Check what is said of inputs before anything is read.

    Raises:
        UsageError: An input does not exist, is told two things, or cannot be told a constant; or the rate or the fit is
            none.
    """
    if spec.fit not in get_args(FitMode):
        raise UsageError(f"fit: expected {', '.join(get_args(FitMode))}, got {spec.fit!r}")
    if spec.rate_hz is not None and not 0 < spec.rate_hz <= 10_000:
        raise UsageError(f"a rate lies between 0 and 10000 decisions a second, not {spec.rate_hz:g}")
    for name in (*spec.bind, *spec.constants):
        if name not in signature.inputs:
            raise UsageError(f"the policy has no input {name!r}; it has {', '.join(signature.inputs)}")
    for name, value in spec.constants.items():
        modality = signature.inputs[name]
        if not isinstance(modality, Text):
            raise UsageError(f"input {name!r} is {modality}: only texts can be the same in every step")
        if name in spec.bind:
            raise UsageError(f"input {name!r} is fed by {spec.bind[name]!r} and told {value!r}: leave out one of them")
        try:
            modality.check(name, value)
        except ObservationError as error:
            raise UsageError(str(error)) from error


def feeding(
    spec: InputSpec,
    signature: Signature,
    names: Collection[str],
    missing: Callable[[str], DataError],
    parts: Callable[[str, str], bool] = lambda name, what: False,
) -> Feeding:
    """What feeds each input: what is bound to it, or else the first of its `usual_names` that there is.

    Args:
        spec: What is bound.
        signature: Of the policy.
        names: The features that there are.
        missing: Makes the error for a feature that there is not; it suggests the nearest.
        parts: Whether several features make one for an input: `(input, "a,b")`.

    Raises:
        DataError: What is bound is not there, or nothing feeds a critical input, or any.
    """
    by: dict[str, str] = {}
    absent = []
    for name, modality in signature.inputs.items():
        if name in spec.constants:
            continue
        asked = spec.bind.get(name)
        if asked is not None and asked not in names and not parts(name, asked):
            raise missing(asked)
        found = asked or next((usual for usual in usual_names(signature, name) if usual in names), None)
        if found is not None:
            by[name] = found
        elif modality.critical:
            raise DataError(f"{missing(name)} (the policy does nothing without {name}: --bind {name}=…)")
        else:
            absent.append(name)
    if not by:
        first = next(name for name in signature.inputs if name not in spec.constants or len(spec.constants) == 1)
        raise DataError(f"{missing(first)} (nothing of it feeds the policy: --bind {first}=…)")
    return Feeding(by, tuple(absent))


def usual_names(signature: Signature, name: str) -> Sequence[str]:
    """What the feature of an input may be called: like it, as recordings of runs call it, or as converted ones do.

    >>> from sensorimotor import Discrete, Image, Text
    >>> from sensorimotor.models.signature import ActuatorHold
    >>> two = {"camera": Image(height=8, width=8), "instruction": Text()}
    >>> usual_names(Signature(two, Discrete(2), ActuatorHold(), 10.0), "instruction")
    ('instruction', 'observation.text.instruction', 'observation.instruction', 'task')
    """
    modality, recorded = signature.inputs[name], feature_name(signature, name)
    only = sum(one.kind == modality.kind for one in signature.inputs.values()) == 1
    task = ("task",) if isinstance(modality, Text) and only else ()
    return tuple(dict.fromkeys((name, recorded, f"observation.{name}", *task)))


def require_fit(name: str, modality: Modality, feature_name: str, feature: Feature, where: str) -> None:
    """Refuse a feature that cannot feed an input; pictures of any size and sounds of any channels can.

    Raises:
        DataError: It is of another kind or size; the message says what was expected and what came.
    """
    wanted = KINDS[modality.kind]
    fits = feature.kind == wanted
    if isinstance(modality, State):
        fits = fits and feature.shape == (modality.size,)
    if isinstance(modality, Image):
        fits = fits and len(feature.shape) == 3
    if isinstance(modality, Audio) and feature.stream:
        fits = fits and bool(feature.rate_hz)
    if not fits:
        shape = f" of shape {feature.shape}" if feature.shape else ""
        raise DataError(
            f"{where}: input {name!r} is {modality}; {feature_name!r} is {feature.kind}{shape}. "
            f"Bind it to another: --bind {name}=…"
        )


def differently_bound(by: Mapping[str, str], signature: Signature) -> tuple[str, str] | None:
    """Two inputs of different kinds that the same feature would feed."""
    first: dict[str, str] = {}
    for name, feature in by.items():
        other = first.setdefault(feature, name)
        if signature.inputs[other].kind != signature.inputs[name].kind:
            return other, name
    return None
