"""A ticker with absolute deadlines: what one turn takes too long is not added to all later ones."""

import threading
from collections.abc import Callable

from sensorimotor.clock import Clock
from sensorimotor.errors import UsageError

Sleep = Callable[[float], object]
"""Sleeps so many seconds, or less."""


class Ticker:
    """Says when the next turn is due.

    Deadlines lie a period apart from the first one on, for ever. Those that pass while a turn takes too long are
    counted as missed and left out: turns do not pile up.

    Args:
        period_s: From deadline to deadline (s).
        clock: What time it is.
        sleep: How to wait; a test moves its clock here. None: on an event, so that `stop` wakes it.

    Raises:
        UsageError: The period is no positive time.

    >>> from sensorimotor.clock import ManualClock
    >>> clock = ManualClock()
    >>> ticker = Ticker(0.1, clock, clock.advance)
    >>> ticker.wait(), clock.advance(0.25), ticker.wait(), ticker.missed
    (0, None, 300000000, 2)
    """

    def __init__(self, period_s: float, clock: Clock, sleep: Sleep | None = None):
        if not 0 < period_s < float("inf"):
            raise UsageError(f"a period is a positive number of seconds, not {period_s}")
        self.period_ns = round(period_s * 1e9)
        self.missed = 0
        self._clock, self._stopped = clock, threading.Event()
        self._sleep: Sleep = sleep or self._stopped.wait
        self._next_ns: int | None = None

    def stop(self) -> None:
        """End the wait in progress, and all later ones."""
        self._stopped.set()

    def wait(self) -> int | None:
        """Wait for the next deadline, and say which one it is (ns); the first is now. None: stopped."""
        now_ns = self._clock.now_ns()
        if self._next_ns is None:
            self._next_ns = now_ns
        late = (now_ns - self._next_ns) // self.period_ns
        if late > 0:
            self.missed += late
            self._next_ns += late * self.period_ns
            if now_ns > self._next_ns:
                self.missed += 1
                self._next_ns += self.period_ns
        while not self._stopped.is_set() and (left_ns := self._next_ns - self._clock.now_ns()) > 0:
            self._sleep(left_ns / 1e9)
        if self._stopped.is_set():
            return None
        deadline_ns, self._next_ns = self._next_ns, self._next_ns + self.period_ns
        return deadline_ns
