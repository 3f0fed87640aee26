"""Batches of demonstrations: whole episodes with rendered frames, tokenized words, varied speech and missing senses.

A batch is a pure function of (seed, step), so that a run that is interrupted continues exactly.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from sensorimotor.perception.tokenizer import BEGIN, PAD, UNKNOWN, Tokenizer
from sensorimotor.pipelines.babyai import RATE_HZ
from sensorimotor.pipelines.expert import Demonstrations
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.recipe import Senses, Training
from sensorimotor.pipelines.speech_bank import SpeechBank, vary


@dataclass(frozen=True)
class Spoken:
    """Utterances and their words.

    Attributes:
        sound: float32 `(n, samples, 1)`, padded with zeros.
        length: int64 `(n,)`.
        words: int64 `(n, max_tokens)`.
    """

    sound: Tensor
    length: Tensor
    words: Tensor


@dataclass(frozen=True)
class Batch:
    """Episodes, all their steps one after the other.

    Attributes:
        frames: uint8 `(steps, 56, 56, 3)`.
        frame_present: bool `(steps,)`.
        frame_age_s: float32 `(steps,)`.
        actions: int64 `(steps,)`, what the expert did.
        episode: int64 `(steps,)`, which episode each step belongs to.
        time: int64 `(steps,)`, the step's place in its episode.
        words: int64 `(episodes, max_tokens)`.
        words_present: bool `(episodes,)`.
        spoken: An utterance for every episode that has one, in their order; None where none has.
        spoken_present: bool `(episodes,)`, which have one.
        aligned: Further utterances with their words, for alignment only.
    """

    frames: Tensor
    frame_present: Tensor
    frame_age_s: Tensor
    actions: Tensor
    episode: Tensor
    time: Tensor
    words: Tensor
    words_present: Tensor
    spoken: Spoken | None
    spoken_present: Tensor
    aligned: Spoken | None

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""

        def move(value: Tensor | Spoken | None) -> Tensor | Spoken | None:
            if isinstance(value, Spoken):
                return Spoken(*(getattr(value, field.name).to(device) for field in fields(Spoken)))
            return None if value is None else value.to(device)

        moved = {field.name: move(getattr(self, field.name)) for field in fields(self)}
        return Batch(**moved)  # type: ignore[arg-type]


class Batches:
    """Makes batches from demonstrations and a speech bank.

    Args:
        demonstrations: What to imitate.
        bank: Who says it; None without speech.
        tokenizer: For the words.
        training: The recipe's table.
        seed: Of everything random.
    """

    def __init__(
        self,
        demonstrations: Demonstrations,
        bank: SpeechBank | None,
        tokenizer: Tokenizer,
        training: Training,
        seed: int,
    ):
        self._data, self._bank, self._tokenizer = demonstrations, bank, tokenizer
        self._training, self._seed = training, seed
        self._frames = FrameTable()
        self._texts = sorted(set(demonstrations.missions))
        self._words = np.stack([tokenizer.encode(text) for text in self._texts])
        number = {text: i for i, text in enumerate(self._texts)}
        self._text_of = np.array([number[mission] for mission in demonstrations.missions])
        self._saying = [bank.saying(text) for text in self._texts] if bank else []

    def training_batch(self, step: int) -> Batch:
        """The batch of one training step."""
        rng = np.random.default_rng([self._seed, 3, step])
        episodes = rng.integers(len(self._data), size=self._training.batch_episodes)
        choices = self._training.senses
        weights = np.array([choice.weight for choice in choices])
        senses = [choices[i] for i in rng.choice(len(choices), len(episodes), p=weights / weights.sum())]
        return self._batch(episodes, senses, rng, augment=True)

    def held_out_batch(self, episodes: np.ndarray, inputs: tuple[str, ...]) -> Batch:
        """The episodes as they are, with the same inputs for all: for validation and calibration."""
        rng = np.random.default_rng([self._seed, 4, *episodes[:1]])
        return self._batch(episodes, [Senses(inputs=inputs, weight=1.0)] * len(episodes), rng, augment=False)

    def _batch(self, episodes: np.ndarray, senses: list[Senses], rng: np.random.Generator, augment: bool) -> Batch:
        data, training = self._data, self._training
        lengths = data.lengths[episodes]
        time = np.concatenate([np.arange(length) for length in lengths])
        episode = np.repeat(np.arange(len(episodes)), lengths)
        steps = np.repeat(data.starts[episodes], lengths) + time
        sees = np.array(["camera" in choice.inputs for choice in senses])[episode]
        stale = np.zeros(len(steps), bool)
        if augment:
            sees = sees & (rng.random(len(steps)) >= training.lost_frames)
            stale = (rng.random(len(steps)) < training.stale_frames) & (time > 0)
        texts = self._text_of[episodes]
        words = self._words[texts].copy()
        hears = np.array(["mic" in choice.inputs for choice in senses])
        if augment:
            words[(rng.random(words.shape) < training.unknown_words) & (words != PAD) & (words != BEGIN)] = UNKNOWN
        return Batch(
            frames=torch.from_numpy(self._frames.render(data.symbols[steps - stale])),
            frame_present=torch.from_numpy(sees),
            frame_age_s=torch.from_numpy(stale.astype(np.float32) / RATE_HZ),
            actions=torch.from_numpy(data.actions[steps].astype(np.int64)),
            episode=torch.from_numpy(episode),
            time=torch.from_numpy(time),
            words=torch.from_numpy(words),
            words_present=torch.tensor(["instruction" in choice.inputs for choice in senses]),
            spoken=self._spoken(texts[hears], rng, augment) if hears.any() else None,
            spoken_present=torch.from_numpy(hears),
            aligned=self._more_utterances(rng) if augment and self._bank else None,
        )

    def _more_utterances(self, rng: np.random.Generator) -> Spoken | None:
        count = self._training.alignment_utterances if self._training.alignment > 0 else 0
        return self._spoken(rng.integers(len(self._texts), size=count), rng, True) if count else None

    def _spoken(self, texts: np.ndarray, rng: np.random.Generator, augment: bool) -> Spoken:
        assert self._bank is not None
        bank = self._bank
        sounds = [bank.utterance(int(rng.choice(self._saying[text]))) for text in texts]
        if augment:
            sounds = [vary(sound, bank.limit, rng) for sound in sounds]
        length = np.array([len(sound) for sound in sounds])
        # Whole tokens: padding to the longest must not move where the encoder's strides fall.
        padded = np.zeros((len(sounds), -(-int(length.max()) // 1280) * 1280, 1), np.float32)
        for row, sound in zip(padded, sounds, strict=True):
            row[: len(sound), 0] = sound
        return Spoken(torch.from_numpy(padded), torch.from_numpy(length), torch.from_numpy(self._words[texts]))
