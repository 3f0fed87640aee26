"""Time as something that is passed in: the monotonic clock of the machine, or one that a test moves by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that can say what time it is, in nanoseconds from an arbitrary start, never going back."""

    def now_ns(self) -> int:
        """The present moment (ns)."""
        ...


class MonotonicClock:
    """The machine's monotonic clock; stamps of different processes on one machine can be compared."""

    def now_ns(self) -> int:
        """The present moment (ns)."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that stands still until it is moved: simulated time, and tests without sleeping.

    >>> clock = ManualClock()
    >>> clock.advance(0.25)
    >>> clock.now_ns()
    250000000
    """

    def __init__(self, start_ns: int = 0):
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """The present moment (ns)."""
        return self._now_ns

    def advance(self, duration_s: float) -> None:
        """Move forward by `duration_s` seconds."""
        if duration_s < 0:
            raise ValueError(f"a clock never goes back: duration_s = {duration_s}")
        self._now_ns += round(duration_s * 1e9)
