"""What a policy can do: a Gymnasium space with the names, units and limits that a person or a guard needs."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.errors import SignatureError


@dataclass(frozen=True)
class ActionSpace:
    """A Gymnasium space whose dimensions or choices have names.

    `labels` name the choices of a `Discrete`, the switches of a `MultiBinary`, or the dimensions of a `Box`;
    `units` go with the dimensions of a `Box`, whose `low` and `high` are its limits.
    """

    space: spaces.Space
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = self.size
        for field in ("labels", "units"):
            given = getattr(self, field)
            if given and len(given) != size:
                raise SignatureError(f"the action space has {size} entries but {len(given)} {field}")
        if len(set(self.labels)) != len(self.labels):
            raise SignatureError(f"action labels are not unique: {', '.join(self.labels)}")
        if self.units and not isinstance(self.space, spaces.Box):
            raise SignatureError("units belong to the dimensions of a Box; choices and switches have none")
        if isinstance(self.space, spaces.Discrete) and self.space.start:
            raise SignatureError(f"choices are counted from 0, not from {self.space.start}: wrap the environment")

    @property
    def size(self) -> int:
        """The number of choices, switches or dimensions.

        Raises:
            SignatureError: The space is of a kind that no policy can act in.
        """
        match self.space:
            case spaces.Discrete(n=n):
                return int(n)
            case spaces.MultiBinary(n=n) if isinstance(n, int | np.integer):
                return int(n)
            case spaces.Box(shape=shape):
                return math.prod(shape)
        raise SignatureError(f"no action space like {self.space}; there are Discrete, MultiBinary and Box")

    @property
    def plans(self) -> bool:
        """Whether what is done is a vector, of which several can be planned; choices and switches cannot."""
        return isinstance(self.space, spaces.Box)

    def label(self, index: int) -> str:
        """The name of one choice, switch or dimension."""
        return self.labels[index] if self.labels else str(index)

    def describe(self, action: Any) -> str:
        """An action in words: the name of a choice, the switches that are on, or values with their units.

        >>> Box([0, 0], [1, 1], ("lift", "grip"), ("m", "")).describe([0.25, 1])
        'lift 0.25 m, grip 1'
        """
        match self.space:
            case spaces.Discrete():
                return self.label(int(action))
            case spaces.MultiBinary():
                return " + ".join(self.label(int(i)) for i in np.flatnonzero(action)) or "nothing"
        values = np.ravel(action)
        units = self.units or ("",) * len(values)
        return ", ".join(f"{self.label(i)} {value:.4g} {units[i]}".rstrip() for i, value in enumerate(values))

    def check(self, action: Any, what: str = "action") -> Any:
        """The action as the space's own type.

        Raises:
            SignatureError: It is not in the space.
        """
        if isinstance(self.space, spaces.Discrete) and isinstance(action, str) and action in self.labels:
            return self.labels.index(action)
        value = self._converted(action)
        if value is None or not self.space.contains(value):
            choices = f" ({', '.join(self.labels)})" if self.labels else ""
            raise SignatureError(f"{what} {action!r} is not in {self.space}{choices}")
        return value

    def _converted(self, action: Any) -> Any:
        """The action as an int or an array of the space's type; None where that would change its value."""
        try:
            if isinstance(self.space, spaces.Discrete):
                return operator.index(action)
            given = np.asarray(action)
            with np.errstate(over="ignore", invalid="ignore"):
                value = given.astype(self.space.dtype)
        except (TypeError, ValueError, OverflowError):
            return None
        exact = value.dtype.kind == "f" or np.array_equal(value, given)
        return value if exact and np.isfinite(value).all() else None

    def to_json(self) -> dict[str, Any]:
        """A JSON form, read back by `from_json`."""
        names: dict[str, Any] = {"labels": list(self.labels)} if self.labels else {}
        match self.space:
            case spaces.Discrete(n=n):
                return {"kind": "discrete", "n": int(n), **names}
            case spaces.MultiBinary():
                return {"kind": "multi_binary", "n": self.size, **names}
            case spaces.Box(low=low, high=high):
                units = {"units": list(self.units)} if self.units else {}
                limits = {"low": _finite_list(low), "high": _finite_list(high)}
                return {"kind": "box", "dtype": str(self.space.dtype), **limits, **names, **units}
        raise AssertionError(self.space)

    @classmethod
    def from_json(cls, form: dict[str, Any]) -> "ActionSpace":
        """Read what `to_json` wrote.

        Raises:
            SignatureError: It is no such form.
        """
        try:
            labels, units = tuple(form.get("labels", ())), tuple(form.get("units", ()))
            match form["kind"]:
                case "discrete":
                    return cls(spaces.Discrete(int(form["n"])), labels)
                case "multi_binary":
                    return cls(spaces.MultiBinary(int(form["n"])), labels)
                case "box":
                    dtype: Any = np.dtype(form["dtype"])
                    low = np.array(_infinite(form["low"], -np.inf), dtype)
                    high = np.array(_infinite(form["high"], np.inf), dtype)
                    return cls(spaces.Box(low, high, dtype=dtype), labels, units)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
            raise SignatureError(f"this is no action space: {form!r} ({error})") from error
        raise SignatureError(f"no kind of action space is called {form['kind']!r}")


def Discrete(n: int, labels: Sequence[str] = ()) -> ActionSpace:  # noqa: N802 (named after the Gymnasium space)
    """One of `n` choices."""
    return ActionSpace(spaces.Discrete(n), tuple(labels))


def MultiBinary(n: int, labels: Sequence[str] = ()) -> ActionSpace:  # noqa: N802
    """`n` switches."""
    return ActionSpace(spaces.MultiBinary(n), tuple(labels))


def Box(  # noqa: N802
    low: Sequence[float], high: Sequence[float], labels: Sequence[str] = (), units: Sequence[str] = ()
) -> ActionSpace:
    """A vector of float32 within limits, each dimension with a label and a unit."""
    limits = spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)
    return ActionSpace(limits, tuple(labels), tuple(units))


def _finite_list(values: np.ndarray) -> Any:
    """Nested lists with None for infinity, which JSON does not have."""
    if values.ndim == 0:
        return values.item() if np.isfinite(values) else None
    return [_finite_list(np.asarray(value)) for value in values]


def _infinite(values: Any, infinity: float) -> Any:
    if isinstance(values, list):
        return [_infinite(value, infinity) for value in values]
    return infinity if values is None else values
