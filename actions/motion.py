"""How fast what is executed may change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.space import ActionSpace

LONGEST_PERIODS = 2
"""A silence longer than this many periods allows no larger step than this: an arm would make all of it at once."""


class RateLimit:
    """Keeps the change from one executed action to the next within a rate.

    Of a vector, each dimension moves towards what is wanted by at most its rate × the time since the last action. A
    switch that has changed keeps its position for 1 / rate.

    Args:
        rates: Dimension → change in a second; switch → changes in a second.
        space: What the policy can do.
        period_s: Time between two decisions (s): what the first action is measured with.
    """

    def __init__(self, rates: Mapping[str, float], space: ActionSpace, period_s: float):
        self._space, self._period_ns = space, round(period_s * 1e9)
        self._rate = np.array([rates.get(space.label(i), np.inf) for i in range(space.size)])
        self._switches = isinstance(space.space, spaces.MultiBinary)
        self.forget()

    def forget(self) -> None:
        """Measure the next action from where the device is said to be, not from what it was told."""
        self._reference: np.ndarray | None = None
        self._at_ns: int | None = None
        self._changed_ns: list[int | None] = [None] * self._space.size

    @property
    def reference(self) -> np.ndarray | None:
        """What the next action is measured from, float64 `(size,)`; None: nothing is known of where the device is."""
        return self._reference

    def start(self, action: Any) -> None:
        """The device is where this action leads; None: that is not known."""
        self._reference = None if action is None else np.array(action, np.float64).ravel()

    def remember(self, executed: Any, now_ns: int) -> None:
        """Measure the next action from this one; None: the device holds, at what it was told last."""
        if executed is not None:
            values = np.array(executed, np.float64).ravel()
            if self._switches and self._reference is not None:
                for i in np.flatnonzero(values != self._reference):
                    self._changed_ns[i] = now_ns
            self._reference = values
        self._at_ns = now_ns

    def slow(self, action: np.ndarray, now_ns: int) -> tuple[np.ndarray, str]:
        """The action nearest to `action` that the rate allows, and what was cut; empty where nothing was."""
        reference = self._reference
        assert reference is not None, "ask only where it is known"
        wanted = action.ravel().astype(np.float64)
        allowed = self._kept(wanted, reference, now_ns) if self._switches else self._near(wanted, reference, now_ns)
        cut = np.flatnonzero(allowed != wanted)
        if not len(cut):
            return action, ""
        reason = ", ".join(
            f"{self._space.label(int(i))} {reference[i]:.6g} → {wanted[i]:.6g} at {self._rate[i]:g}/s" for i in cut
        )
        return allowed.reshape(action.shape).astype(action.dtype), reason

    def _near(self, wanted: np.ndarray, reference: np.ndarray, now_ns: int) -> np.ndarray:
        since_ns = self._period_ns if self._at_ns is None else now_ns - self._at_ns
        seconds = min(max(since_ns, 0), LONGEST_PERIODS * self._period_ns) / 1e9
        # Without a rate and without time, ∞ × 0 is no number.
        step = self._rate * seconds if seconds else np.where(np.isinf(self._rate), np.inf, 0.0)
        low, high = reference - step, reference + step
        if ((wanted >= low) & (wanted <= high)).all():
            return wanted
        dtype = self._space.space.dtype
        assert dtype is not None
        if dtype.kind != "f":
            return np.clip(wanted, np.ceil(low), np.floor(high))
        allowed = np.clip(wanted, low, high).astype(dtype)
        # Rounded to the type of the space it may be a hair too far: one step of the type back towards the reference.
        back = np.nextafter(allowed, reference.astype(dtype))
        return np.where((allowed < low) | (allowed > high), back, allowed).astype(np.float64)

    def _kept(self, wanted: np.ndarray, reference: np.ndarray, now_ns: int) -> np.ndarray:
        allowed = wanted.copy()
        for i in np.flatnonzero(wanted != reference):
            changed_ns = self._changed_ns[i]
            if changed_ns is not None and now_ns - changed_ns < 1e9 / self._rate[i]:
                allowed[i] = reference[i]
        return allowed
