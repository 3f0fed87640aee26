"""More ways in which an utterance could have come in: from other speakers, through other rooms and microphones."""

import math

import numpy as np
import torch

from sensorimotor.pipelines.sound import SAMPLE_RATE

BINS = 512
"""Points of a frequency response."""
SPEEDS = (0.8, 1.25)
"""Played slower or faster: pitch, formants and pace together, as of a larger or a smaller speaker."""
LEVEL_DB, RESPONSE_DB = (-20.0, 6.0), 10.0
NOISE_DB = (-75.0, -35.0)
"""Of full scale; from white to pink."""
REVERBERATION, DECAY_S, WET_DB = 0.5, (0.05, 0.4), (-15.0, 0.0)
"""How often there is an echoing room, how long it takes to fall by 60 dB, and how loud it is beside the voice."""
DROPOUTS, DROPOUT_S = 2, 0.12
"""At most so many stretches of at most this length are lost."""


def vary(sound: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """One more way the same utterance could have come in: other size, room, microphone, level, cut and noise.

    Args:
        sound: float32 `(samples,)`.
        limit: The most samples of the result.
        rng: Where the variation comes from.
    """
    at = np.arange(0, len(sound) - 1, rng.uniform(*SPEEDS))
    sound = np.interp(at, np.arange(len(sound)), sound).astype(np.float32)
    before, after = (int(s * SAMPLE_RATE) for s in rng.uniform(-0.1, 0.3, 2))
    sound = np.pad(sound[max(0, -before) :], (max(0, before), max(0, after)))[:limit]
    for _ in range(rng.integers(DROPOUTS + 1)):
        start = int(rng.integers(len(sound)))
        sound[start : start + int(rng.uniform(0, DROPOUT_S) * SAMPLE_RATE)] = 0
    return np.clip(_in_a_room(sound, rng), -1.0, 1.0).astype(np.float32)


def _in_a_room(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Echo, frequency response, level and noise, in one pass over the spectrum."""
    size = -(-(len(sound) + round(DECAY_S[1] * SAMPLE_RATE)) // 4096) * 4096  # of small factors: fast to transform
    spectrum = _spectrum(sound, size)
    if rng.random() < REVERBERATION:
        time = np.arange(round(rng.uniform(*DECAY_S) * SAMPLE_RATE), dtype=np.float32)
        echo = rng.standard_normal(len(time), np.float32) * np.exp(-3 * math.log(10) * time / len(time))
        echo *= 10 ** (rng.uniform(*WET_DB) / 20) / np.sqrt(np.square(echo).sum())
        echo[0] += 1
        spectrum *= _spectrum(echo.astype(np.float32), size)
    # A microphone and a loudspeaker between them: a smooth curve through seven random gains.
    frequency = np.linspace(0, 1, BINS, dtype=np.float32)
    gain_db = np.interp(np.sqrt(frequency), np.linspace(0, 1, 7), rng.uniform(-RESPONSE_DB, RESPONSE_DB, 7))
    gain = 10 ** ((gain_db + rng.uniform(*LEVEL_DB)) / 20)
    colour = np.maximum(frequency, 1 / BINS) ** rng.uniform(-0.5, 0.0)
    colour *= 10 ** (rng.uniform(*NOISE_DB) / 20) * np.sqrt(size / 2 / np.square(colour).mean())
    each = -(-len(spectrum) // BINS)
    heard, hiss = (np.repeat(curve.astype(np.float32), each)[: len(spectrum)] for curve in (gain, colour))
    noise = rng.standard_normal((len(spectrum), 2), np.float32).view(np.complex64)[:, 0]
    return torch.fft.irfft(torch.from_numpy(spectrum * heard + noise * hiss), size)[: len(sound)].numpy()


def _spectrum(sound: np.ndarray, size: int) -> np.ndarray:
    # torch's transform is faster than numpy's on these lengths.
    return torch.fft.rfft(torch.from_numpy(sound), size).numpy()
