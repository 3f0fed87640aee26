"""What an action is at all, and how far a vector may go: the limits of a policy, tightened by an operator."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.guard_rules import Limit
from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import GuardError


def as_action(space: ActionSpace, given: Any) -> Any:
    """Anything as an action of the right kind, shape and finite numbers, wherever its limits lie; or None.

    Returns:
        An int for choices, 0 and 1 for switches, float64 or integers of the space's shape for vectors.
    """
    try:
        if isinstance(space.space, spaces.Discrete):
            choice = operator.index(given)
            return choice if 0 <= choice < space.size else None
        values = np.asarray(given)
    except (TypeError, ValueError, OverflowError):
        return None
    if values.shape != space.space.shape or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        return None
    if isinstance(space.space, spaces.MultiBinary):
        return values.astype(space.space.dtype) if np.isin(values, (0, 1)).all() else None
    return values


class Range:
    """The limits of every dimension of a vector, in the type of the action space.

    Args:
        limits: Dimension → what an operator allows.
        space: What the policy can do.
        where: What the limits are called in messages.

    Raises:
        GuardError: A limit is wider than the policy's own, or nothing is left between two.
    """

    def __init__(self, limits: Mapping[str, Limit], space: ActionSpace, where: str):
        self._space, self._box = space, isinstance(space.space, spaces.Box)
        if not isinstance(space.space, spaces.Box):
            return
        self._low, self._high = _finite(space.space.low), _finite(space.space.high)
        low, high = self._low.reshape(-1), self._high.reshape(-1)  # views
        for i in range(space.size):
            limit = limits.get(space.label(i))
            if limit is None:
                continue
            key = f"{where}: limits.{space.label(i)}"
            if limit.low is not None and limit.low < low[i]:
                raise GuardError(f"{key}: low = {limit.low:g} is wider than the policy's own {low[i]:g}; only tighten")
            if limit.high is not None and limit.high > high[i]:
                raise GuardError(
                    f"{key}: high = {limit.high:g} is wider than the policy's own {high[i]:g}; only tighten"
                )
            if limit.low is not None:
                low[i] = _inward(limit.low, low.dtype, up=True)
            if limit.high is not None:
                high[i] = _inward(limit.high, high.dtype, up=False)
            if low[i] > high[i]:
                raise GuardError(f"{key}: no {low.dtype} is left between {limit.low} and {limit.high}")

    def outside(self, action: Any) -> str:
        """Which dimensions of an action are beyond their limits, and by what; empty where none is."""
        if not self._box:
            return ""
        inside = (action >= self._low) & (action <= self._high)
        if inside.all():
            return ""
        values, low, high = np.ravel(action), self._low.ravel(), self._high.ravel()
        beyond = []
        for i in np.flatnonzero(~inside):
            sign, limit = ("<", low[i]) if values[i] < low[i] else (">", high[i])
            beyond.append(f"{self._space.label(int(i))} {values[i]:.6g} {sign} {limit:.6g}")
        return ", ".join(beyond)

    def clip(self, action: Any) -> Any:
        """The nearest action within the limits, in the space's own type."""
        if not self._box:
            return action
        # Clipped first: what is too large for the type would become infinite or wrap around.
        return np.minimum(np.maximum(action, self._low), self._high).astype(self._low.dtype, copy=False)


def _finite(limits: np.ndarray) -> np.ndarray:
    """Limits without infinity; integers end where float64, in which they are compared, begins to skip some."""
    if limits.dtype.kind == "f":
        kind = np.finfo(limits.dtype)
        return np.clip(limits, kind.min, kind.max)
    kinds = np.iinfo(limits.dtype)
    return np.clip(limits, max(kinds.min, -(2**53)), min(kinds.max, 2**53))


def _inward(limit: float, dtype: np.dtype, *, up: bool) -> Any:
    """A limit in another type, rounded so that it never allows more."""
    if dtype.kind != "f":
        return np.ceil(limit) if up else np.floor(limit)
    rounded = dtype.type(limit)
    if up and float(rounded) < limit:
        return np.nextafter(rounded, dtype.type(np.inf))
    if not up and float(rounded) > limit:
        return np.nextafter(rounded, dtype.type(-np.inf))
    return rounded
