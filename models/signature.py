"""The contract of a policy: its inputs in a fixed order, its action space, its rate, and what it does when unsure.

The same object describes a data set, a network, a bundle and a running policy.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from pydantic import TypeAdapter, ValidationError

from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import ObservationError, SignatureError
from sensorimotor.perception.modality import Audio, Image, Modality, Observation, State, Text, from_space

_MODALITY: TypeAdapter[Image | Audio | Text | State] = TypeAdapter(Modality)
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, eq=False)
class Constant:
    """A safe action that is always the same."""

    action: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and np.array_equal(self.action, other.action)  # it may be a vector


@dataclass(frozen=True)
class HoldPosition:
    """A safe action that repeats what a state input measures: stay where you are."""

    input: str


@dataclass(frozen=True)
class ActuatorHold:
    """A safe action that the device knows itself: it is told to hold, and how is its own business."""


SafeAction = Constant | HoldPosition | ActuatorHold


@dataclass(frozen=True)
class Signature:
    """What a policy expects and promises.

    Args:
        inputs: Input name → modality; their order is the order of every tensor that has an axis of inputs.
        action_space: What it can do.
        safe_action: What to do when it must not decide.
        rate_hz: Decisions a second it was trained for.
        horizon: Actions a decision plans, the first for now and one every 1 / `rate_hz` s after it; choices have one.

    Raises:
        SignatureError: A name is not usable, nothing comes in, the safe action is not in the action space, or a plan
            of choices is asked for.

    >>> from sensorimotor import Discrete, Image, Signature
    >>> signature = Signature({"camera": Image(height=56, width=56)}, Discrete(2, ("wait", "go")), Constant(0), 10.0)
    >>> Signature.from_json(signature.to_json()) == signature
    True
    """

    inputs: Mapping[str, Image | Audio | Text | State]
    action_space: ActionSpace
    safe_action: SafeAction
    rate_hz: float
    horizon: int = 1
    names: tuple[str, ...] = field(init=False, repr=False)
    """The input names in order; mappings are equal whatever their order, signatures are not."""

    def __post_init__(self) -> None:
        if not self.inputs:
            raise SignatureError("a policy needs at least one input")
        for name in self.inputs:
            if not isinstance(name, str) or not _INPUT_NAME.fullmatch(name):
                raise SignatureError(
                    f"{name!r} cannot name an input: use up to 32 small letters, digits and underscores"
                )
        if not 0 < self.rate_hz <= 10_000:
            raise SignatureError(f"rate_hz must lie between 0 and 10000, not {self.rate_hz}")
        if not 1 <= self.horizon <= 1000:
            raise SignatureError(f"horizon must lie between 1 and 1000 actions, not {self.horizon}")
        if self.horizon > 1 and not isinstance(self.action_space.space, spaces.Box):
            raise SignatureError(f"plans of {self.horizon} actions are for Box, not for {self.action_space.space}")
        match self.safe_action:
            case Constant(action):
                object.__setattr__(self, "safe_action", Constant(self.action_space.check(action, "safe_action")))
            case HoldPosition(name):
                source = self.inputs.get(name)
                if not isinstance(source, State) or not isinstance(self.action_space.space, spaces.Box):
                    raise SignatureError(f"safe_action holds {name!r}, which is no state input of a Box action space")
                if source.size != self.action_space.size:
                    raise SignatureError(
                        f"safe_action holds {name!r} with {source.size} values, but actions have "
                        f"{self.action_space.size}"
                    )
        object.__setattr__(self, "inputs", dict(self.inputs))
        object.__setattr__(self, "names", tuple(self.inputs))

    def check(self, observation: Observation) -> dict[str, Any]:
        """The inputs that are there, each checked; inputs that are missing or None are left out.

        Raises:
            ObservationError: No input at all, an unknown one, or one that is not what it should be.
        """
        unknown = [name for name in observation if name not in self.inputs]
        if unknown:
            known = ", ".join(f"{name} ({modality})" for name, modality in self.inputs.items())
            raise ObservationError(str(unknown[0]), "an input of this policy", "an unknown name", f"It has {known}")
        present = {
            name: modality.check(name, observation[name])
            for name, modality in self.inputs.items()
            if observation.get(name) is not None
        }
        if not present:
            wanted = ", ".join(self.inputs)
            raise ObservationError("*", f"at least one of {wanted}", "an empty observation")
        return present

    def observation_space(self) -> spaces.Dict:
        """The Gymnasium space of a complete observation, its inputs in order."""
        # Pairs: Gymnasium sorts the keys of a mapping.
        return spaces.Dict([(name, modality.to_space()) for name, modality in self.inputs.items()])

    @classmethod
    def from_spaces(
        cls,
        observation_space: spaces.Dict,
        action_space: ActionSpace | spaces.Space,
        *,
        safe_action: SafeAction,
        rate_hz: float,
        horizon: int = 1,
        declared: Mapping[str, Image | Audio | Text | State] | None = None,
    ) -> "Signature":
        """The signature of an environment; `declared` says what its spaces cannot (audio, units, critical inputs).

        Raises:
            SignatureError: A space fits no modality.
        """
        declared = declared or {}
        inputs = {
            name: declared[name] if name in declared else from_space(name, space)
            for name, space in observation_space.spaces.items()
        }
        actions = action_space if isinstance(action_space, ActionSpace) else ActionSpace(action_space)
        return cls(inputs, actions, safe_action, rate_hz, horizon)

    def to_json(self) -> dict[str, Any]:
        """A JSON form, read back by `from_json`."""
        match self.safe_action:
            case Constant(action):
                plain = action.tolist() if hasattr(action, "tolist") else action
                safe: dict[str, Any] = {"kind": "constant", "action": plain}
            case HoldPosition(name):
                safe = {"kind": "hold_position", "input": name}
            case ActuatorHold():
                safe = {"kind": "actuator"}
        return {
            "inputs": {name: modality.model_dump(mode="json") for name, modality in self.inputs.items()},
            "action_space": self.action_space.to_json(),
            "safe_action": safe,
            "rate_hz": self.rate_hz,
            "horizon": self.horizon,
        }

    @classmethod
    def from_json(cls, form: Any) -> "Signature":
        """Read what `to_json` wrote.

        Raises:
            SignatureError: It is no such form; the message names the key.
        """
        try:
            inputs = {name: _MODALITY.validate_python(modality) for name, modality in form["inputs"].items()}
            actions = ActionSpace.from_json(form["action_space"])
            safe_action, horizon = _safe_action(form["safe_action"]), int(form.get("horizon", 1))
            return cls(inputs, actions, safe_action, float(form["rate_hz"]), horizon)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SignatureError(f"this is no signature: inputs: {where}: {first['msg']}") from error
        except KeyError as error:
            raise SignatureError(f"this is no signature: {error.args[0]!r} is missing") from error
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            raise SignatureError(f"this is no signature: {json.dumps(form, default=str)[:200]} ({error})") from error


def _safe_action(form: Mapping[str, Any]) -> SafeAction:
    match form["kind"]:
        case "constant":
            return Constant(form["action"])
        case "hold_position":
            return HoldPosition(form["input"])
        case "actuator":
            return ActuatorHold()
    raise SignatureError(f"no kind of safe action is called {form['kind']!r}")
