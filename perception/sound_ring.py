"""Blocks of sound between the callback of a driver and the thread that reads: limited in time, not in number."""

import threading
from collections import deque
from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """A block of sound.

    Attributes:
        sound: float32 `(n, channels)`.
        captured_ns: When it was in hand.
        device_s: When its last sample was taken, as the driver says; None: it does not say.
        sequence: How manieth block it is.
    """

    sound: np.ndarray
    captured_ns: int
    device_s: float | None
    sequence: int


class SoundRing:
    """Keeps the newest blocks.

    Args:
        sample_rate: Of the sound (Hz).
        limit_ms: How much is kept (ms); the newest block always is.

    >>> ring = SoundRing(1000, limit_ms=20)
    >>> [ring.put(np.zeros((10, 1), np.float32), now_ns, None) for now_ns in range(3)]
    [0, 0, 1]
    >>> ring.take(0.0).sequence
    1
    """

    def __init__(self, sample_rate: float, limit_ms: float):
        self._limit = round(limit_ms * sample_rate / 1000)
        self._blocks: deque[Block] = deque()
        self._filled = 0
        self._sequence = -1
        self._closed = False
        self._changed = threading.Condition()

    def put(self, sound: np.ndarray, captured_ns: int, device_s: float | None) -> int:
        """Keep a block; how many old ones had to go for it."""
        with self._changed:
            self._sequence += 1
            self._blocks.append(Block(sound, captured_ns, device_s, self._sequence))
            self._filled += len(sound)
            dropped = 0
            while self._filled > self._limit and len(self._blocks) > 1:
                self._filled -= len(self._blocks.popleft().sound)
                dropped += 1
            self._changed.notify()
        return dropped

    def take(self, timeout_s: float) -> Block | None:
        """The oldest block, or None where there is none within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._closed, timeout_s)
            if not self._blocks:
                return None
            block = self._blocks.popleft()
            self._filled -= len(block.sound)
            return block

    def close(self) -> None:
        """Wake up whoever waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
