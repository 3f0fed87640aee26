"""Mailboxes between the thread that reads a sensor and whoever works on its samples.

`latest` keeps the newest sample, `every` keeps all and makes a sensor that is too fast wait, `fifo` keeps those that
are young enough. What does not get through is counted by cause: `replaced`, `too old`.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from sensorimotor.clock import Clock
from sensorimotor.errors import UsageError
from sensorimotor.perception.sensor import Losses, Sample

Policy = Literal["latest", "every", "fifo"]

FULL = 256
"""So many samples a mailbox holds at most, whatever its policy: nothing grows without limit."""


class Mailbox:
    """Samples that wait; made by `latest`, `every` and `fifo`.

    Args:
        policy: What is kept.
        clock: Says how old samples are.
        max_age_s: Of samples in a `fifo` (s).
        limit: The most samples it holds.
    """

    def __init__(self, policy: Policy, clock: Clock | None = None, max_age_s: float = float("inf"), limit: int = FULL):
        if limit < 1:
            raise UsageError(f"a mailbox must hold at least one sample, not {limit}")
        self._policy, self._clock, self._limit = policy, clock, limit
        self._max_age_ns = max_age_s * 1e9
        self._samples: deque[Sample] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self.losses = Losses()

    def put(self, sample: Sample) -> bool:
        """Leave a sample; whether it was taken in. Only `every` makes the caller wait, until there is room."""
        with self._changed:
            if self._policy == "every":
                self._changed.wait_for(lambda: len(self._samples) < self._limit or self._closed)
            if self._closed:
                return False
            self._forget_old()
            while len(self._samples) >= self._limit:
                self._samples.popleft()
                self.losses.count("replaced")
            self._samples.append(sample)
            self._changed.notify_all()
        return True

    def take(self, timeout_s: float = 0.0) -> Sample | None:
        """The oldest sample that waits, or None where there is none within `timeout_s`."""
        with self._changed:
            self._wait(timeout_s)
            self._forget_old()
            if not self._samples:
                return None
            sample = self._samples.popleft()
            self._changed.notify_all()
        return sample

    def take_all(self) -> list[Sample]:
        """All samples that wait, the oldest first."""
        with self._changed:
            self._forget_old()
            samples = list(self._samples)
            self._samples.clear()
            self._changed.notify_all()
        return samples

    def wait(self, timeout_s: float) -> bool:
        """Wait for a sample; whether there is one."""
        with self._changed:
            self._wait(timeout_s)
            return bool(self._samples)

    def close(self) -> None:
        """Wake up whoever waits; nothing more is taken in, and what waits can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, timeout_s: float) -> None:
        has_come: Callable[[], bool] = lambda: bool(self._samples) or self._closed  # noqa: E731
        if timeout_s > 0:
            self._changed.wait_for(has_come, timeout_s)

    def _forget_old(self) -> None:
        if self._clock is None:
            return
        oldest_ns = self._clock.now_ns() - self._max_age_ns
        while self._samples and self._samples[0].captured_ns < oldest_ns:
            self._samples.popleft()
            self.losses.count("too old")


def latest() -> Mailbox:
    """One slot, in which the newest sample replaces the one before."""
    return Mailbox("latest", limit=1)


def every(limit: int = FULL) -> Mailbox:
    """All samples; a sensor that is ahead by `limit` waits. For recordings that are not played in real time."""
    return Mailbox("every", limit=limit)


def fifo(max_age_s: float, clock: Clock, limit: int = FULL) -> Mailbox:
    """Samples in order, without those older than `max_age_s` on the clock."""
    return Mailbox("fifo", clock, max_age_s, limit)
