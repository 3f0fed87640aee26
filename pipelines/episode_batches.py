"""Batches of recorded episodes: stretches of them with what each step saw, varied, and with inputs that are missing.

A batch is a pure function of (seed, step), so that a run that is interrupted continues exactly.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensorimotor.models.encoders import Statistics
from sensorimotor.models.signature import Signature
from sensorimotor.perception.arguments import encoder_arguments
from sensorimotor.perception.buffers import latched
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines.augment import augmented
from sensorimotor.pipelines.episode_recipe import Augment, EpisodeTraining
from sensorimotor.pipelines.examples import Example
from sensorimotor.pipelines.recipe_tables import Senses
from sensorimotor.pipelines.token_table import TokenTable

KEPT_BYTES = 2**30
"""So much of what was decoded is kept for the next time."""


@dataclass(frozen=True)
class Given:
    """The different values of one input, and which step saw which.

    Attributes:
        arguments: Of the encoder; or tokens and mask, where it is frozen and they are known. None: nobody saw any.
        encoded: Whether they are tokens.
        value: int64 `(steps,)`, -1: none.
        age_s: float32 `(steps,)`.
        frames: int64 `(values, frames)`: where values are films, the arguments are their different frames, and this is
            which of them each film has.
    """

    arguments: tuple[Tensor, ...] | None
    encoded: bool
    value: Tensor
    age_s: Tensor
    frames: Tensor | None = None

    def whole(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `(values, n, dim)` and mask `(values, n)` from what the encoder made of the arguments."""
        if self.frames is None:
            return tokens, mask
        return tokens[self.frames].flatten(1, 2), mask[self.frames].flatten(1, 2)


@dataclass(frozen=True)
class EpisodeBatch:
    """Stretches of episodes, all their steps one after the other.

    Attributes:
        inputs: By name.
        actions: int64 `(steps,)`, or float32 `(steps, size)` of switches, or plans `(steps, horizon, size)`.
        weights: float32 `(steps,)`, or `(steps, horizon)` of plans: 0 where it is not known what to do.
        episode: int64 `(steps,)`, which stretch a step belongs to.
        time: int64 `(steps,)`, its place in it.
    """

    inputs: dict[str, Given]
    actions: Tensor
    weights: Tensor
    episode: Tensor
    time: Tensor

    def to(self, device: torch.device) -> "EpisodeBatch":
        """The same on another device."""
        inputs = {
            name: Given(
                None if one.arguments is None else tuple(tensor.to(device) for tensor in one.arguments),
                one.encoded,
                one.value.to(device),
                one.age_s.to(device),
                None if one.frames is None else one.frames.to(device),
            )
            for name, one in self.inputs.items()
        }
        rest = (self.actions, self.weights, self.episode, self.time)
        return EpisodeBatch(inputs, *(tensor.to(device) for tensor in rest))


@dataclass(frozen=True)
class _Stretch:
    """Some steps of one episode."""

    example: Example
    start: int
    stop: int


class EpisodeBatches:
    """Makes batches of episodes.

    Args:
        examples: The episodes.
        signature: Of the policy.
        tokenizer: For its texts.
        tables: Tokens of inputs whose encoder is frozen.
        training: The recipe's table.
        augment: The recipe's table.
        statistics: Of its states.
        seed: Of everything random.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        signature: Signature,
        tokenizer: Tokenizer | None,
        tables: Mapping[str, TokenTable],
        training: EpisodeTraining,
        augment: Augment,
        statistics: Statistics,
        seed: int,
    ):
        self.examples, self.signature = [example for example in examples if len(example)], signature
        self._tokenizer, self._tables = tokenizer, tables
        self._training, self._augment, self._seed = training, augment, seed
        self._scales = {name: np.array(std) for name, (_, std) in statistics.items()}
        self._senses = training.senses or _any_senses(signature.names)
        self._kept, self._kept_bytes = OrderedDict[tuple[str, int, int], Any](), 0
        lengths = np.array([len(example) for example in self.examples])
        share = np.maximum(1.0, lengths / training.sequence_steps)
        self._share = share / share.sum()

    def training_batch(self, step: int) -> EpisodeBatch:
        """The batch of one training step."""
        training, rng = self._training, np.random.default_rng([self._seed, 3, step])
        stretches = []
        for index in rng.choice(len(self.examples), training.batch_episodes, p=self._share):
            example = self.examples[index]
            length = min(len(example), training.sequence_steps)
            start = int(rng.integers(len(example) - length + 1))
            stretches.append(_Stretch(example, start, start + length))
        weights = np.array([choice.weight for choice in self._senses])
        drawn = rng.choice(len(self._senses), len(stretches), p=weights / weights.sum())
        return self._batch(stretches, [self._senses[i].inputs for i in drawn], rng, step)

    def held_out(self, inputs: Sequence[str]) -> Iterator[list[EpisodeBatch]]:
        """All episodes as they are, some at a time, each of them as batches that follow each other."""
        training, rng = self._training, np.random.default_rng([self._seed, 4])
        order = sorted(self.examples, key=len)
        for i in range(0, len(order), training.batch_episodes):
            some = order[i : i + training.batch_episodes]
            batches = []
            for start in range(0, max(map(len, some)), training.sequence_steps):
                stop = start + training.sequence_steps
                stretches = [_Stretch(one, min(start, len(one)), min(stop, len(one))) for one in some]
                batches.append(self._batch(stretches, [inputs] * len(some), rng, None))
            yield batches

    def _batch(
        self, stretches: Sequence[_Stretch], senses: Sequence[Sequence[str]], rng: np.random.Generator, step: int | None
    ) -> EpisodeBatch:
        """Stretches with their inputs; those of a training step are varied, the others are as they are."""
        lengths = np.array([one.stop - one.start for one in stretches])
        episode = np.repeat(np.arange(len(stretches)), lengths)
        time = np.concatenate([np.arange(length) for length in lengths])
        given, lost = {}, {}
        for name in self.signature.names:
            told = np.array([name in inputs for inputs in senses])[episode]
            given[name], lost[name] = self._seen(name, stretches, told, rng if step is not None else None)
        # What is lost by chance is never everything.
        nothing = np.all([value < 0 for value, _ in given.values()], axis=0) if step is not None else None
        inputs = {}
        for index, (name, (value, age_s)) in enumerate(given.items()):
            if nothing is not None:
                value = np.where(nothing, lost[name], value)
            key = [self._seed, 6, step, index] if step is not None else None
            inputs[name] = self._given(name, stretches, episode, value, age_s, key)
        plans = [self._wanted(one) for one in stretches]
        actions, weights = (np.concatenate(arrays) for arrays in zip(*plans, strict=True))
        return EpisodeBatch(
            inputs,
            torch.from_numpy(actions),
            torch.from_numpy(weights),
            torch.from_numpy(episode),
            torch.from_numpy(time),
        )

    def _wanted(self, one: _Stretch) -> tuple[np.ndarray, np.ndarray]:
        """What should have been done in a stretch, and how much each of it counts."""
        steps = np.arange(one.start, one.stop)
        if self.signature.action_space.plans:
            actions, known = one.example.plans(steps, self.signature.horizon)
            return actions, known.astype(np.float32)
        return one.example.actions[steps], one.example.acted[steps].astype(np.float32)

    def _seen(
        self, name: str, stretches: Sequence[_Stretch], told: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Numbers and ages of what each step sees of an input; and the numbers before any got lost."""
        values, ages = [], []
        for one in stretches:
            seen = one.example.seen[name]
            value, age_s = seen.value[one.start : one.stop], seen.age_s[one.start : one.stop]
            if rng is not None and not latched(self.signature.inputs[name]) and len(value):
                late = rng.random(len(value)) < self._training.stale_frames
                late[0] = False
                before = np.maximum(np.arange(len(value)) - 1, 0)
                age_s = np.where(late, age_s[before] + np.float32(1 / self.signature.rate_hz), age_s)
                value = np.where(late, value[before], value)
            values.append(value)
            ages.append(age_s)
        value, age_s = np.where(told, np.concatenate(values), -1), np.concatenate(ages)
        kept = value
        if rng is not None and not latched(self.signature.inputs[name]):
            value = np.where(rng.random(len(value)) < self._training.lost_frames, -1, value)
        return (value, np.where(value < 0, 0, age_s).astype(np.float32)), kept

    def _given(
        self,
        name: str,
        stretches: Sequence[_Stretch],
        episode: np.ndarray,
        value: np.ndarray,
        age_s: np.ndarray,
        key: list[int] | None,
    ) -> Given:
        """The values themselves, each once for its stretch; of films, each frame once."""
        there = value >= 0
        pairs, where = np.unique(np.stack([episode[there], value[there]]), axis=1, return_inverse=True)
        index = np.full(len(value), -1, np.int64)
        index[there] = where.reshape(-1)
        numbers = torch.from_numpy(index), torch.from_numpy(age_s)
        if not pairs.shape[1]:
            return Given(None, False, *numbers)
        frames: Tensor | None = None
        if getattr(self.signature.inputs[name], "frames", 1) > 1:
            parts = _parts(name, stretches, pairs)
            each = np.stack([np.repeat(pairs[0], parts.shape[1]), parts.reshape(-1)])
            pairs, where = np.unique(each, axis=1, return_inverse=True)
            frames = torch.from_numpy(where.reshape(parts.shape))
        if name in self._tables:
            table = self._tables[name]
            views = np.zeros(len(stretches), np.int64)
            if key is not None:
                views = np.random.default_rng(key).integers(table.row.shape[1], size=len(stretches))
            example = np.array([one.example.number for one in stretches])
            tokens, mask = table.read(example[pairs[0]], pairs[1], views[pairs[0]])
            return Given((torch.from_numpy(tokens), torch.from_numpy(mask)), True, *numbers, frames)
        values: list[Any] = []
        for stretch in np.unique(pairs[0]):
            found = self._values(name, stretches[stretch].example, pairs[1][pairs[0] == stretch])
            if key is not None:
                found = [self._varied(name, one, [*key, int(stretch)]) for one in found]
            values += found
        arguments = encoder_arguments(self.signature.inputs[name], values, self._tokenizer)
        return Given(tuple(torch.from_numpy(argument) for argument in arguments), False, *numbers, frames)

    def _varied(self, name: str, value: Any, key: list[int]) -> Any:
        rng = np.random.default_rng(key)  # anew for each value: those of a stretch move alike
        return augmented(value, self.signature.inputs[name], self._augment, self._scales.get(name), rng)

    def _values(self, name: str, example: Example, numbers: np.ndarray) -> list[Any]:
        """Values or frames of an episode, those that were decoded lately from memory."""
        keys = [(name, example.number, int(number)) for number in numbers]
        missing = [key for key in keys if key not in self._kept]
        read = example.seen[name].encoded.read([number for _, _, number in missing]) if missing else []
        fresh = dict(zip(missing, read, strict=True))
        found = [fresh[key] if key in fresh else self._kept[key] for key in keys]
        for key, value in fresh.items():
            self._kept[key] = value
            self._kept_bytes += _bytes(value)
        for key in keys:
            self._kept.move_to_end(key)
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= _bytes(self._kept.popitem(last=False)[1])
        return found


def _parts(name: str, stretches: Sequence[_Stretch], pairs: np.ndarray) -> np.ndarray:
    """The frames of films, int64 `(films, frames)`; `pairs` are their stretches, rising, and numbers `(2, films)`."""
    return np.concatenate(
        [stretches[stretch].example.seen[name].parts(pairs[1][pairs[0] == stretch]) for stretch in np.unique(pairs[0])]
    )


def _bytes(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else len(value)


def _any_senses(names: Sequence[str]) -> tuple[Senses, ...]:
    """Everything in four steps of five; everything but one of the inputs in the others."""
    everything = Senses(inputs=tuple(names), weight=4.0)
    if len(names) == 1:
        return (everything,)
    others = [tuple(other for other in names if other != name) for name in names]
    return (everything, *(Senses(inputs=inputs, weight=1 / len(names)) for inputs in others))
