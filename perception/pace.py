"""The pace of a recording that is played in real time, on an injected clock."""

import threading
from collections.abc import Callable

from sensorimotor.clock import Clock

Wait = Callable[[float], object]
"""Waits so many seconds, or less."""


class Pace:
    """Says when a moment of a recording has come.

    Args:
        clock: The clock it is played by.
        wait: How to wait; a test moves its clock here. None: on an event, so that `end` wakes it.

    >>> from sensorimotor.clock import ManualClock
    >>> clock = ManualClock()
    >>> pace = Pace(clock, clock.advance)
    >>> pace.begin()
    >>> pace.reached(2.0, timeout_s=0.5), pace.reached(2.0, timeout_s=5.0), clock.now_ns()
    (False, True, 2000000000)
    """

    def __init__(self, clock: Clock, wait: Wait | None = None):
        self._clock = clock
        self._ended = threading.Event()
        self._wait: Wait = wait or self._ended.wait
        self._start_ns = 0

    def begin(self) -> None:
        """The recording starts now."""
        self._ended.clear()
        self._start_ns = self._clock.now_ns()

    def end(self) -> None:
        """Wake up whoever waits."""
        self._ended.set()

    def reached(self, moment_s: float, timeout_s: float) -> bool:
        """Wait for a moment of the recording (s), `timeout_s` at most; whether it has come."""
        now_ns = self._clock.now_ns()
        due_ns = self._start_ns + round(moment_s * 1e9)
        until_ns = min(due_ns, now_ns + round(timeout_s * 1e9))
        while now_ns < until_ns and not self._ended.is_set():
            self._wait((until_ns - now_ns) / 1e9)
            now_ns = self._clock.now_ns()
        return now_ns >= due_ns
