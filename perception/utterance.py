"""Endpointing: cutting a stream of sound into utterances, each with a beginning and an end.

A light detector on the level of 20 ms frames against a tracked noise floor. It needs no network and no look-ahead
beyond `silence_s`, which is therefore its delay.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

FRAME_S = 0.02
ONSET_FRAMES = 3
"""So many loud frames in a row begin an utterance; fewer are a click."""
MARGIN_DB = 9.0
"""Speech is this much louder than the noise floor ..."""
QUIET_DB = -55.0
"""... and never quieter than this (dB of full scale)."""
FLOOR_RISE_DB_PER_FRAME = 0.05
"""The floor falls at once and rises slowly (2.5 dB/s), so that speech does not become the floor."""


@dataclass(frozen=True)
class Utterance:
    """A stretch of speech.

    Attributes:
        sound: float32 `(samples, channels)`, with a little quiet on both sides.
        start_s: Where it begins in the stream (s).
        delay_s: From its last loud frame to the moment its end was known (s).
        truncated: Whether the limit cut it short.
    """

    sound: np.ndarray
    start_s: float
    delay_s: float
    truncated: bool


class Endpointer:
    """Finds utterances in a stream that is fed to it in chunks of any size.

    Args:
        sample_rate: Of the stream (Hz).
        limit_s: The longest utterance (s); a longer one is cut there and marked.
        silence_s: So much quiet ends an utterance (s).
        pre_roll_s: So much before the first loud frame belongs to it (s); soft consonants are quiet.

    >>> ear = Endpointer(16_000, limit_s=4.0)
    >>> tone = 0.3 * np.sin(np.arange(16_000) * 0.2, dtype=np.float32)
    >>> silence = np.zeros(8_000, np.float32)
    >>> [u.start_s for chunk in (silence, tone, silence) for u in ear.feed(chunk)]
    [0.3]
    """

    def __init__(self, sample_rate: int, limit_s: float, *, silence_s: float = 0.4, pre_roll_s: float = 0.2):
        self.sample_rate = sample_rate
        self._frame = round(FRAME_S * sample_rate)
        self._limit = round(limit_s * sample_rate)
        self._silence = max(1, round(silence_s / FRAME_S))
        self._pre_roll: deque[np.ndarray] = deque(maxlen=round(pre_roll_s / FRAME_S) + ONSET_FRAMES)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is the first of a new stream."""
        self._rest: np.ndarray | None = None
        self._pre_roll.clear()
        self._open: list[np.ndarray] = []
        self._floor_db = 0.0
        self._loud = self._quiet = 0
        self._frames_seen = self._start_frame = 0

    @property
    def speaking(self) -> bool:
        """Whether an utterance has begun and not ended."""
        return bool(self._open)

    def feed(self, chunk: np.ndarray) -> list[Utterance]:
        """Take float32 `(samples, channels)` or `(samples,)`; give the utterances that ended in it."""
        chunk = chunk[:, None] if chunk.ndim == 1 else chunk
        stream = chunk if self._rest is None else np.concatenate([self._rest, chunk])
        whole = len(stream) // self._frame * self._frame
        self._rest = stream[whole:].copy()  # the caller may reuse the chunk's memory
        ended = [self._take(frame) for frame in stream[:whole].reshape(-1, self._frame, stream.shape[1])]
        return [utterance for utterance in ended if utterance is not None]

    def _take(self, frame: np.ndarray) -> Utterance | None:
        self._frames_seen += 1
        level_db = 10 * np.log10(float(np.mean(np.square(frame))) + 1e-10)
        self._floor_db = min(level_db, self._floor_db + FLOOR_RISE_DB_PER_FRAME)
        loud = level_db > max(self._floor_db + MARGIN_DB, QUIET_DB)
        if not self._open:
            self._pre_roll.append(frame.copy())
            self._loud = self._loud + 1 if loud else 0
            if self._loud >= ONSET_FRAMES:
                self._open = list(self._pre_roll)
                self._start_frame = self._frames_seen - len(self._open)
                self._pre_roll.clear()
                self._quiet = 0
            return None
        self._open.append(frame.copy())
        self._quiet = 0 if loud else self._quiet + 1
        full = (len(self._open) + 1) * self._frame > self._limit
        if self._quiet < self._silence and not full:
            return None
        kept = len(self._open) - max(0, self._quiet - self._silence // 4)
        frame_s = self._frame / self.sample_rate  # FRAME_S in whole samples
        utterance = Utterance(
            sound=np.concatenate(self._open[:kept])[: self._limit].astype(np.float32, copy=False),
            start_s=self._start_frame * frame_s,
            delay_s=self._quiet * frame_s,
            truncated=full and self._quiet < self._silence,
        )
        self._open, self._loud = [], 0
        return utterance
