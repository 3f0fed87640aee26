"""Batches of demonstrations: whole episodes with rendered frames, tokenized words, varied speech and missing senses.

A batch is a pure function of (seed, step), so that a run that is interrupted continues exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensorimotor.perception.tokenizer import BEGIN, PAD, UNKNOWN, Tokenizer
from sensorimotor.pipelines.babyai import RATE_HZ, VIEW_TILES
from sensorimotor.pipelines.expert import Demonstrations
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.grounding import unpacked
from sensorimotor.pipelines.mission_recipe import MissionTraining
from sensorimotor.pipelines.recipe_tables import Senses
from sensorimotor.pipelines.speech_bank import SpeechBank
from sensorimotor.pipelines.variation import vary


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

    def to(self, device: torch.device) -> "Spoken":
        """The same on another device."""
        return Spoken(self.sound.to(device), self.length.to(device), self.words.to(device))


@dataclass(frozen=True)
class Batch:
    """Episodes, all their steps one after the other, and utterances.

    Attributes:
        frames: uint8 `(steps, 56, 56, 3)`.
        frame_present: bool `(steps,)`.
        frame_age_s: float32 `(steps,)`.
        fits: bool `(steps, 49, ROLES, ASPECTS)`, what in each token of the frame fits the instruction (`Grounding`).
        actions: int64 `(steps,)`, what the expert did.
        episode: int64 `(steps,)`, which episode each step belongs to.
        time: int64 `(steps,)`, the step's place in its episode.
        words: int64 `(episodes, max_tokens)`.
        words_present: bool `(episodes,)`.
        spoken_present: bool `(episodes,)`, which have an utterance.
        spoken: Utterances: those of the episodes that have one, in their order, then others to listen to only; None
            where there are none.
    """

    frames: Tensor
    frame_present: Tensor
    frame_age_s: Tensor
    fits: Tensor
    actions: Tensor
    episode: Tensor
    time: Tensor
    words: Tensor
    words_present: Tensor
    spoken_present: Tensor
    spoken: Spoken | None

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: None if value is None else value.to(device) for name, value in values.items()}
        return Batch(**moved)


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
        training: MissionTraining,
        seed: int,
    ):
        self._data = demonstrations
        self._bank, self._tokenizer = bank, tokenizer
        self._training, self._seed = training, seed
        self._frames = FrameTable()
        self._texts = sorted(set(demonstrations.missions))
        self._words = np.stack([tokenizer.encode(text) for text in self._texts])
        number = {text: i for i, text in enumerate(self._texts)}
        self._text_of = np.array([number[mission] for mission in self._data.missions])
        self._saying = [bank.saying(text) for text in self._texts] if bank else []

    def __len__(self) -> int:
        return len(self._data)

    def training_batch(self, step: int) -> Batch:
        """The batch of one training step."""
        training, rng = self._training, np.random.default_rng([self._seed, 3, step])
        episodes = rng.integers(len(self._data), size=training.batch_episodes)
        choices = training.senses
        weights = np.array([choice.weight for choice in choices])
        senses = [choices[i] for i in rng.choice(len(choices), len(episodes), p=weights / weights.sum())]
        return self._batch(episodes, senses, rng, augment=True)

    def held_out_batch(self, episodes: np.ndarray, inputs: tuple[str, ...]) -> Batch:
        """The episodes as they are, with the same inputs for all: for validation and calibration."""
        rng = np.random.default_rng([self._seed, 4, *episodes[:1]])
        return self._batch(episodes, [Senses(inputs=inputs, weight=1.0)] * len(episodes), rng, augment=False)

    def utterances(self, count: int, seed: int) -> Spoken:
        """Utterances as they are, of random texts."""
        rng = np.random.default_rng([self._seed, 5, seed])
        return self._spoken(rng.integers(len(self._texts), size=count), rng, augment=False)

    def _batch(self, episodes: np.ndarray, senses: list[Senses], rng: np.random.Generator, augment: bool) -> Batch:
        data, training = self._data, self._training
        lengths = data.lengths[episodes]
        time = np.concatenate([np.arange(length) for length in lengths] or [np.zeros(0, np.int64)])
        episode = np.repeat(np.arange(len(episodes)), lengths)
        steps = np.repeat(data.starts[episodes], lengths) + time
        sees = np.array(["camera" in choice.inputs for choice in senses], bool)[episode]
        stale = np.zeros(len(steps), bool)
        if augment:
            sees = sees & (rng.random(len(steps)) >= training.lost_frames)
            stale = (rng.random(len(steps)) < training.stale_frames) & (time > 0)
        texts = self._text_of[episodes]
        words = self._words[texts].copy()
        hears = np.array(["mic" in choice.inputs for choice in senses], bool)
        listened = texts[hears]
        if augment:
            for row in np.flatnonzero(rng.random(len(words)) < training.unknown_words):
                words[row] = obscured(words[row], rng)
            if self._bank and training.alignment > 0:
                more = rng.integers(len(self._texts), size=training.alignment_utterances)
                listened = np.concatenate([listened, more])
        # symbols are indexed [column, row], tokens go row by row
        cells = data.cells[steps - stale].transpose(0, 2, 1).reshape(len(steps), VIEW_TILES * VIEW_TILES)
        return Batch(
            frames=torch.from_numpy(self._frames.render(data.symbols[steps - stale])),
            frame_present=torch.from_numpy(sees),
            frame_age_s=torch.from_numpy(stale.astype(np.float32) / RATE_HZ),
            fits=torch.from_numpy(unpacked(cells)),
            actions=torch.from_numpy(data.actions[steps].astype(np.int64)),
            episode=torch.from_numpy(episode),
            time=torch.from_numpy(time),
            words=torch.from_numpy(words),
            words_present=torch.tensor(["instruction" in choice.inputs for choice in senses], dtype=torch.bool),
            spoken_present=torch.from_numpy(hears),
            spoken=self._spoken(listened, rng, augment) if len(listened) else None,
        )

    def _spoken(self, texts: np.ndarray, rng: np.random.Generator, augment: bool) -> Spoken:
        assert self._bank is not None
        bank = self._bank
        sounds = [bank.utterance(int(rng.choice(self._saying[text]))) for text in texts]
        if augment:
            sounds = [vary(sound, bank.limit, rng) for sound in sounds]
        return _padded(sounds, self._words[texts])


def as_they_are(bank: SpeechBank, utterances: np.ndarray, tokenizer: Tokenizer) -> Spoken:
    """Certain utterances of a bank and their words, nothing varied; `utterances` are int64 `(n,)`."""
    words = np.stack([tokenizer.encode(bank.texts[text]) for text in bank.text_of[utterances]])
    return _padded([bank.utterance(int(index)) for index in utterances], words)


def _padded(sounds: Sequence[np.ndarray], words: np.ndarray) -> Spoken:
    length = np.array([len(sound) for sound in sounds])
    # Whole tokens: padding to the longest must not move where the encoder's strides fall.
    padded = np.zeros((len(sounds), -(-int(length.max()) // 1280) * 1280, 1), np.float32)
    for row, sound in zip(padded, sounds, strict=True):
        row[: len(sound), 0] = sound
    return Spoken(torch.from_numpy(padded), torch.from_numpy(length), torch.from_numpy(words))


def obscured(words: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An instruction with unknown words: some of its own are not known, others stand between them.

    Args:
        words: int64 `(max_tokens,)`, `BEGIN` first.
        rng: Where they come from.
    """
    said: list[int] = []
    for word in words[(words != PAD) & (words != BEGIN)]:
        said += [UNKNOWN] * int(rng.geometric(0.75) - 1)
        said.append(UNKNOWN if rng.random() < 0.4 else int(word))
    row = [BEGIN, *said][: len(words)]
    return np.array(row + [PAD] * (len(words) - len(row)), np.int64)
