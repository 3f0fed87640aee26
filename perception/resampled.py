"""A stream of sound at the rate and with the channels of an input, chunk by chunk."""

from typing import Any

import numpy as np

from sensorimotor.libraries import library
from sensorimotor.perception.modality import FULL_SCALE, Audio
from sensorimotor.perception.sensor import Losses


class Resampled:
    """Converts one continuous stream; nothing is lost or repeated where two chunks meet.

    One channel is repeated; many are mixed into one; more than are asked for are mixed, fewer are filled up with their
    mean. The filter of soxr holds back some milliseconds until the next chunk.

    Args:
        modality: What is asked for.
        sample_rate: Of what comes (Hz).
        losses: Samples that are no numbers (`not finite`, silence in their place) and that reach full scale
            (`clipped`) are counted here.

    Raises:
        MissingExtraError: soxr is not installed, and the rates differ.
    """

    def __init__(self, modality: Audio, sample_rate: int, losses: Losses):
        self.sample_rate = sample_rate
        self._channels, self._losses = modality.channels, losses
        self._filter: Any = None
        if sample_rate != modality.sample_rate:
            purpose = f"sound at {sample_rate} Hz for an input of {modality.sample_rate} Hz"
            soxr = library("soxr", "soxr", "live", purpose)
            self._filter = soxr.ResampleStream(sample_rate, modality.sample_rate, self._channels, "float32", "HQ")

    def __call__(self, sound: np.ndarray, last: bool = False) -> np.ndarray:
        """The next stretch.

        Args:
            sound: float32 `(n, any channels)`.
            last: Whether the stream ends with it, so that nothing needs to be held back.

        Returns:
            float32 `(samples, channels)` in [-1, 1], finite; some samples behind what came.
        """
        finite = np.isfinite(sound)
        if not finite.all():
            self._losses.count("not finite", int(sound.size - np.count_nonzero(finite)))
            sound = np.where(finite, sound, np.float32(0))
        self._losses.count("clipped", int(np.count_nonzero(np.abs(sound) >= FULL_SCALE)))
        sound = mixed(np.clip(sound, -1.0, 1.0), self._channels)
        if self._filter is not None:
            # soxr 1.1 gives (n,) for one channel as it was given it; two axes go in, two come out
            sound = self._filter.resample_chunk(np.ascontiguousarray(sound), last=last).reshape(-1, self._channels)
        return np.clip(sound, -1.0, 1.0).astype(np.float32, copy=False)  # the filter overshoots at steps


def mixed(sound: np.ndarray, channels: int) -> np.ndarray:
    """Sound with other channels: float32 `(n, any)` → `(n, channels)`.

    One is repeated; of more than are asked for all are their mean; fewer are filled up with their mean.
    """
    own = sound.shape[1]
    if own == channels:
        return sound
    mean = sound.mean(1, keepdims=True, dtype=np.float32)
    if own == 1 or channels == 1 or own > channels:
        return np.repeat(mean, channels, 1)
    return np.concatenate([sound, np.repeat(mean, channels - own, 1)], 1)
