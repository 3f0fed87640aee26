"""A bank of spoken texts: synthesised once, endpointed as a running policy would hear them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sensorimotor.errors import SpeechError
from sensorimotor.files import replacing
from sensorimotor.perception.utterance import Endpointer
from sensorimotor.pipelines.cached import read_arrays
from sensorimotor.pipelines.sound import SAMPLE_RATE
from sensorimotor.pipelines.speech import VOICED, speaker

BANK_VERSION = 3
QUIET_S = 0.6
SHARE = 500
"""Utterances that a worker makes at a time."""


@dataclass(frozen=True)
class SpeechBank:
    """Utterances of a fixed set of texts.

    Attributes:
        texts: What is said.
        text_of: int64 `(utterances,)`, index into `texts`.
        speakers: Who says it, str `(utterances,)`.
        samples: int16, all utterances one after the other, 16 kHz.
        spans: int64 `(utterances, 2)`, where each begins and ends in the samples.
        limit: The most samples an utterance may have.
    """

    texts: tuple[str, ...]
    text_of: np.ndarray
    speakers: np.ndarray
    samples: np.ndarray
    spans: np.ndarray
    limit: int

    def __len__(self) -> int:
        return len(self.text_of)

    def utterance(self, index: int) -> np.ndarray:
        """Float32 `(samples,)` in [-1, 1]."""
        start, stop = self.spans[index]
        return self.samples[start:stop].astype(np.float32) / 32768

    def only(self, keep: Callable[[str], bool]) -> "SpeechBank":
        """The utterances of the speakers that are to be kept; the samples are shared, not copied."""
        kept = [i for i, name in enumerate(self.speakers) if keep(str(name))]
        return replace(self, text_of=self.text_of[kept], speakers=self.speakers[kept], spans=self.spans[kept])

    def saying(self, text: str) -> np.ndarray:
        """Indices of all utterances of a text."""
        return np.flatnonzero(self.text_of == self.texts.index(text))


@dataclass(frozen=True)
class Script:
    """Who says what, how often: everything that a bank depends on.

    Attributes:
        texts: What to say; each is said about equally often.
        speakers: As in `sensorimotor.pipelines.speech.speaker`.
        shares: Kind of speaker → its part of the utterances, relative to the others'; kinds that are not named count as
            often as they have speakers.
        utterances: How many in all.
        rates: Lowest and highest, words a minute, of speakers whose names do not say.
        pitches: Lowest and highest, 0-99, likewise.
        limit_s: The longest utterance (s); those that are longer are left out.
        seed: Of everything random.
    """

    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    shares: Mapping[str, float]
    utterances: int
    rates: tuple[int, int]
    pitches: tuple[int, int]
    limit_s: float
    seed: int

    def key(self) -> str:
        """The same for the same bank, and only for it."""
        content = json.dumps([BANK_VERSION, vars(self)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def lines(self) -> list[tuple[int, str]]:
        """Index of the text and full name of the speaker, for every utterance."""
        rng = np.random.default_rng([self.seed, 2])
        kinds = [name.partition(":")[0] for name in self.speakers]
        weights = np.array([self.shares.get(kind, kinds.count(kind)) / kinds.count(kind) for kind in kinds])
        who = rng.choice(len(self.speakers), self.utterances, p=weights / weights.sum())
        order = rng.permutation(self.utterances)
        lines = []
        for index, name in zip(order, (self.speakers[i] for i in who), strict=True):
            rate, pitch = rng.integers(*self.rates, endpoint=True), rng.integers(*self.pitches, endpoint=True)
            varied = name.partition(":")[0] in VOICED and "?" not in name
            lines.append((int(index) % len(self.texts), f"{name}?rate={rate}&pitch={pitch}" if varied else name))
        return lines


def speech_bank(
    script: Script, cache: Path, *, workers: int = 1, progress: Callable[[int], None] = lambda _: None
) -> SpeechBank:
    """The bank of a script; read from `cache` if it is there.

    Args:
        script: Who says what.
        cache: Directory.
        workers: Processes that speak.
        progress: Called with the number of utterances made.

    Raises:
        SpeechError: A speaker cannot be had, or a text is longer than `limit_s` whoever says it.
        CacheError: What is in `cache` is damaged.
    """
    path = cache / f"speech-{script.key()}.npz"
    # What a file or a program says can change behind its name; only synthesisers say the same for ever.
    lasting = all(name.partition(":")[0] in VOICED for name in script.speakers)
    if not path.exists() or not lasting:
        lines = script.lines()
        shares = [lines[start : start + SHARE] for start in range(0, len(lines), SHARE)]
        spoken: dict[int, list[np.ndarray | None]] = {}
        if workers == 1:
            for number, share in enumerate(shares):
                spoken[number] = _speak(script, share)
                progress(len(share))
        else:
            with ProcessPoolExecutor(min(workers, len(shares)), mp_context=get_context("spawn")) as pool:
                jobs = {pool.submit(_speak, script, share): number for number, share in enumerate(shares)}
                for job in as_completed(jobs):
                    spoken[jobs[job]] = job.result()
                    progress(len(job.result()))
        sounds = [sound for number in range(len(shares)) for sound in spoken[number]]
        kept = [(*line, sound) for line, sound in zip(lines, sounds, strict=True) if sound is not None]
        said = {text for text, _, _ in kept}
        if unsaid := [text for index, text in enumerate(script.texts) if index not in said]:
            raise SpeechError(
                f"nobody can say {unsaid[0]!r} in one utterance of at most {script.limit_s:g} s, or there are too few "
                f"utterances ({script.utterances}) for {len(script.texts)} texts"
            )
        with replacing(path) as aside, aside.open("wb") as file:
            np.savez(
                file,
                text_of=np.array([text for text, _, _ in kept], np.int64),
                speakers=np.array([name for _, name, _ in kept], str),
                samples=np.concatenate([sound for _, _, sound in kept]),
                lengths=np.array([len(sound) for _, _, sound in kept], np.int64),
            )
    text_of, speakers, samples, lengths = read_arrays(path, "text_of", "speakers", "samples", "lengths")
    ends = np.cumsum(lengths)
    spans = np.stack([ends - lengths, ends], 1)
    return SpeechBank(script.texts, text_of, speakers, samples, spans, round(script.limit_s * SAMPLE_RATE))


def _speak(script: Script, lines: Sequence[tuple[int, str]]) -> list[np.ndarray | None]:
    """int16 utterances as a policy would hear them; None where it would not hear exactly one."""
    quiet = np.zeros(round(QUIET_S * SAMPLE_RATE), np.float32)
    utterances: list[np.ndarray | None] = []
    for text, spec in lines:
        stream = np.concatenate([quiet, speaker(spec).say(script.texts[text]), quiet])
        heard = Endpointer(SAMPLE_RATE, script.limit_s).feed(stream)
        clean = len(heard) == 1 and not heard[0].truncated
        utterances.append((heard[0].sound[:, 0] * 32767).astype(np.int16) if clean else None)
    return utterances
