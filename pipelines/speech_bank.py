"""A bank of spoken texts: synthesised once, endpointed as a running policy would hear them, varied at every use."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensorimotor.errors import SpeechError
from sensorimotor.files import replacing
from sensorimotor.perception.utterance import Endpointer
from sensorimotor.pipelines.speech import SAMPLE_RATE, speaker

BANK_VERSION = 1
QUIET_S = 0.6


@dataclass(frozen=True)
class SpeechBank:
    """Utterances of a fixed set of texts.

    Attributes:
        texts: What is said.
        text_of: int64 `(utterances,)`, index into `texts`.
        samples: int16, all utterances one after the other, 16 kHz.
        starts: int64 `(utterances + 1,)`.
        limit: The most samples an utterance may have.
    """

    texts: tuple[str, ...]
    text_of: np.ndarray
    samples: np.ndarray
    starts: np.ndarray
    limit: int

    def __len__(self) -> int:
        return len(self.text_of)

    def utterance(self, index: int) -> np.ndarray:
        """Float32 `(samples,)` in [-1, 1]."""
        return self.samples[self.starts[index] : self.starts[index + 1]].astype(np.float32) / 32768

    def saying(self, text: str) -> np.ndarray:
        """Indices of all utterances of a text."""
        return np.flatnonzero(self.text_of == self.texts.index(text))


def speech_bank(
    texts: Sequence[str],
    speakers: Sequence[str],
    *,
    takes: int,
    rates: tuple[int, int],
    pitches: tuple[int, int],
    limit_s: float,
    seed: int,
    cache: Path,
    progress: Callable[[int], None] = lambda _: None,
) -> SpeechBank:
    """Every text by every speaker, `takes` times; read from `cache` if they are there.

    Espeak voices speak at random rates and pitches, unless their names say which.

    Args:
        texts: What to say.
        speakers: As in `sensorimotor.pipelines.speech.speaker`.
        takes: Times each.
        rates: Lowest and highest, words a minute.
        pitches: Lowest and highest, 0–99.
        limit_s: The longest utterance (s); the few that are longer are left out.
        seed: Of the random rates and pitches.
        cache: Directory.
        progress: Called with the number of utterances made.

    Raises:
        SpeechError: A speaker cannot be had, or a text is longer than `limit_s` whoever says it.
    """
    texts = tuple(sorted(set(texts)))
    key = repr((BANK_VERSION, texts, tuple(speakers), takes, rates, pitches, limit_s, seed))
    path = cache / f"speech-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        text_of, sounds = _speak(texts, speakers, takes, rates, pitches, limit_s, seed, progress)
        if unsaid := [text for index, text in enumerate(texts) if index not in text_of]:
            raise SpeechError(f"nobody can say {unsaid[0]!r} in one utterance of at most {limit_s:g} s")
        starts = np.concatenate([[0], np.cumsum([len(sound) for sound in sounds])])
        with replacing(path) as aside, aside.open("wb") as file:
            np.savez(file, text_of=np.array(text_of, np.int64), samples=np.concatenate(sounds), starts=starts)
    with np.load(path, allow_pickle=False) as bank:
        limit = round(limit_s * SAMPLE_RATE)
        return SpeechBank(texts, bank["text_of"], bank["samples"], bank["starts"].astype(np.int64), limit)


def _speak(
    texts: tuple[str, ...],
    speakers: Sequence[str],
    takes: int,
    rates: tuple[int, int],
    pitches: tuple[int, int],
    limit_s: float,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[list[int], list[np.ndarray]]:
    rng = np.random.default_rng([seed, 2])
    text_of, sounds = [], []
    quiet = np.zeros(round(QUIET_S * SAMPLE_RATE), np.float32)
    for name in speakers:
        for index, text in enumerate(texts):
            for _ in range(takes):
                spec = name
                if name.startswith("espeak:") and "?" not in name:
                    spec += (
                        f"?rate={rng.integers(rates[0], rates[1] + 1)}&pitch={rng.integers(pitches[0], pitches[1] + 1)}"
                    )
                heard = Endpointer(SAMPLE_RATE, limit_s).feed(np.concatenate([quiet, speaker(spec).say(text), quiet]))
                if len(heard) == 1 and not heard[0].truncated:
                    text_of.append(index)
                    sounds.append((heard[0].sound[:, 0] * 32767).astype(np.int16))
        progress(len(texts) * takes)
    return text_of, sounds


def vary(sound: np.ndarray, limit: int, rng: np.random.Generator) -> np.ndarray:
    """One more way the same utterance could have come in: other speed, level, cut and noise.

    Args:
        sound: float32 `(samples,)`.
        limit: The most samples of the result.
        rng: Where the variation comes from.
    """
    speed = rng.uniform(0.88, 1.14)
    at = np.arange(0, len(sound) - 1, speed)
    sound = np.interp(at, np.arange(len(sound)), sound).astype(np.float32)
    before, after = (int(s * SAMPLE_RATE) for s in rng.uniform(-0.1, 0.3, 2))
    sound = np.pad(sound, (max(0, before), max(0, after)))[
        max(0, -before) : len(sound) + max(0, after) + max(0, before)
    ]
    sound = sound[:limit]
    tilt = rng.uniform(-0.5, 0.5)  # first-order spectral tilt: another microphone
    sound = sound - tilt * np.concatenate([[np.float32(0)], sound[:-1]])
    level_db = rng.uniform(-18, 6)
    noise_db = rng.uniform(-75, -38)
    sound = sound * 10 ** (level_db / 20) + rng.standard_normal(len(sound), np.float32) * 10 ** (noise_db / 20)
    return np.clip(sound, -1.0, 1.0).astype(np.float32)
