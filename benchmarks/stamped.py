"""Sensors in memory for measurements: a camera that writes its clock into the pixels, a microphone, and words."""

import time
from typing import Any

import numpy as np

from sensorimotor.perception.sensor import Losses, Sample

FRAME_RATE_HZ = 30.0
CHUNK_S = 0.02
DIFFERENT = 16
STAMP_BYTES = 8


class Stamped:
    """Gives a value whenever the next one is due; a reader that comes too late gets the newest.

    Args:
        source: What it is called.
        interval_s: From value to value (s); None: there is only the first.
    """

    paced, noisy, reopens = True, False, False

    def __init__(self, source: str, interval_s: float | None):
        self.source, self.interval_s, self.losses = source, interval_s, Losses()
        self._began_ns, self._given = 0, 0

    def open(self) -> None:
        """Begin; the first value is due now."""
        self._began_ns, self._given = time.monotonic_ns(), 0

    def read(self, timeout_s: float) -> Sample | None:
        """See `Sensor.read`."""
        if self.interval_s is None:
            if self._given:
                time.sleep(timeout_s)
                return None
            self._given = 1
            return Sample(self.value(0, 1), time.monotonic_ns(), 0)
        left_s = self._given * self.interval_s - (time.monotonic_ns() - self._began_ns) / 1e9
        if left_s > timeout_s:
            time.sleep(timeout_s)
            return None
        if left_s > 0:
            time.sleep(left_s)
        now_ns = time.monotonic_ns()
        number = max(self._given, int((now_ns - self._began_ns) / 1e9 / self.interval_s))
        value, self._given = self.value(now_ns, number + 1 - self._given), number + 1
        return Sample(value, now_ns, number)

    def value(self, now_ns: int, count: int) -> Any:
        """The newest of `count` values that are due."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing has to be let go of."""


class StampedCamera(Stamped):
    """Noise of 30 frames a second, each with the moment of its capture in its first pixels."""

    noisy = True

    def __init__(self, height: int, width: int):
        super().__init__("noise", 1 / FRAME_RATE_HZ)
        rng = np.random.default_rng(0)
        self._frames = rng.integers(0, 256, (DIFFERENT, height, width, 3), np.uint8)
        self._made = 0

    def value(self, now_ns: int, count: int) -> np.ndarray:
        """A frame, uint8 `(height, width, 3)`."""
        self._made += 1
        frame = self._frames[self._made % DIFFERENT].copy()
        frame.reshape(-1)[:STAMP_BYTES] = np.frombuffer(now_ns.to_bytes(STAMP_BYTES, "little"), np.uint8)
        return frame


def stamp(frame: np.ndarray) -> int:
    """When a frame was captured (ns)."""
    return int.from_bytes(frame.reshape(-1)[:STAMP_BYTES].tobytes(), "little")


class Hum(Stamped):
    """Quiet noise as a microphone gives it, 20 ms at a time; what a late reader missed comes with the next.

    With `spoken_every_s`, half a second of it is loud that often: an utterance to whoever listens for one.
    """

    def __init__(self, sample_rate: int, spoken_every_s: float | None = None):
        super().__init__("hum", CHUNK_S)
        self._samples, self._every_s = round(CHUNK_S * sample_rate), spoken_every_s
        self._rng = np.random.default_rng(1)

    def value(self, now_ns: int, count: int) -> np.ndarray:
        """Sound, float32 `(n, 1)`."""
        sound = 0.003 * self._rng.standard_normal((count * self._samples, 1)).astype(np.float32)
        if self._every_s and (now_ns - self._began_ns) / 1e9 % self._every_s > self._every_s - 0.5:
            sound *= 60
        return sound.clip(-1, 1)


class Words(Stamped):
    """One text, or a few in turns."""

    def __init__(self, texts: tuple[str, ...], interval_s: float | None = None):
        super().__init__("words", interval_s)
        self._texts = texts

    def value(self, now_ns: int, count: int) -> str:
        """A text."""
        return self._texts[self._given % len(self._texts)]
