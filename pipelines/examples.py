"""Episodes as a policy would have lived through them: what every step saw, and what should have been done.

Only numbers, times and small vectors are kept; pictures and sound are read when a batch needs them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.models.encoders import Statistics
from sensorimotor.perception.modality import State, Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines.contract import Bound, as_targets
from sensorimotor.pipelines.episodes import Episode, Source
from sensorimotor.pipelines.observed import SIMULTANEOUS_S, Observed, observed


@dataclass(frozen=True)
class Example:
    """One episode.

    Attributes:
        number: Of the episode in its source.
        name: What to call it in a message.
        seen: Input name → what each step saw.
        actions: int64 `(steps,)` or float32 `(steps, size)`.
        acted: bool `(steps,)`, whether the data say what to do at a step.
    """

    number: int
    name: str
    seen: dict[str, Observed]
    actions: np.ndarray
    acted: np.ndarray

    def __len__(self) -> int:
        return len(self.acted)

    def plans(self, steps: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """What to do at some steps and after: `(n, horizon, size)`, and which of it is known, `(n, horizon)`."""
        ahead = steps[:, None] + np.arange(horizon)
        inside = ahead < len(self)
        ahead = np.minimum(ahead, len(self) - 1)
        return self.actions[ahead], inside & self.acted[ahead]


def examples(source: Source, bound: Bound, numbers: Sequence[int]) -> list[Example]:
    """Some episodes of a source.

    Raises:
        DataError: Their times, sounds or actions cannot be used, or none says what to do.
    """
    found = []
    for number in numbers:
        episode = source.episode(number)
        seen = {
            name: observed(episode, feature, source.features[feature], bound.signature.inputs[name])
            for name, feature in bound.features.items()
        }
        step, values = acted(episode, bound.action)
        targets = as_targets(bound, values, f"{episode.name}: {bound.action}")
        actions = np.zeros((len(episode.times_s), *targets.shape[1:]), targets.dtype)
        known = np.zeros(len(actions), bool)
        actions[step], known[step] = targets, True
        found.append(Example(number, episode.name, seen, actions, known))
    if not any(example.acted.any() for example in found):
        raise DataError(f"no step of {len(found)} episodes has a {bound.action!r}: there is nothing to imitate")
    return found


def acted(episode: Episode, feature: str) -> tuple[np.ndarray, list[Any]]:
    """The steps of an episode at which it is known what was done, and what it was.

    Raises:
        DataError: It was infinite.
    """
    track = episode.track(feature)
    nearest = np.searchsorted(episode.times_s, track.times_s - SIMULTANEOUS_S)
    there = np.flatnonzero(nearest < len(episode.times_s))
    there = there[np.abs(episode.times_s[nearest[there]] - track.times_s[there]) <= SIMULTANEOUS_S]
    steps, values = nearest[there], track.read([int(i) for i in there])
    for step, value in zip(steps, values, strict=True):
        if isinstance(value, np.ndarray) and not np.isfinite(value).all():
            raise DataError(
                f"{episode.name}, step {step + 1}: {feature} is {np.array2string(value, threshold=8)}: expected finite "
                "numbers; correct it, or leave it empty where it is not known"
            )
    return steps, values


def texts(found: Sequence[Example], bound: Bound) -> list[str]:
    """Every text that the episodes know."""
    said: set[str] = set()
    for example in found:
        for name, modality in bound.signature.inputs.items():
            if isinstance(modality, Text):
                value = example.seen[name].value
                said.update(example.seen[name].values.read(sorted({int(i) for i in value[value >= 0]})))
    return sorted(said)


def tokenizer_for(found: Sequence[Example], bound: Bound) -> Tokenizer | None:
    """A tokenizer that knows every word of the texts; None where nothing is read."""
    lengths = [modality.max_tokens for modality in bound.signature.inputs.values() if isinstance(modality, Text)]
    return Tokenizer.train(texts(found, bound), max(lengths)) if lengths else None


def require_short(found: Sequence[Example], bound: Bound, tokenizer: Tokenizer) -> None:
    """Refuse texts that a policy would read only in part.

    Raises:
        DataError: A text has more tokens than its input.
    """
    for example in found:
        for name, modality in bound.signature.inputs.items():
            if not isinstance(modality, Text):
                continue
            value = example.seen[name].value
            for text in example.seen[name].values.read(sorted({int(i) for i in value[value >= 0]})):
                if (length := tokenizer.length(text)) > modality.max_tokens:
                    raise DataError(
                        f"{example.name}: {name} {text[:60]!r} has {length} tokens, but signature.inputs.{name}."
                        f"max_tokens = {modality.max_tokens}: shorten it, or allow more"
                    )


def require_seen(found: Sequence[Example], bound: Bound) -> None:
    """Refuse inputs of which there is nothing to learn from.

    Raises:
        DataError: No step has a value of one of them.
    """
    for name, feature in bound.features.items():
        if not any((example.seen[name].value >= 0).any() for example in found):
            raise DataError(
                f"no step of {len(found)} episodes has a {feature!r}: leave out signature.inputs.{name}, or see what "
                "the data have with `sensorimotor data inspect`"
            )


def state_statistics(found: Sequence[Example], bound: Bound) -> Statistics:
    """State input → mean and standard deviation of each of its values over the steps of the episodes."""
    statistics = {}
    for name, modality in bound.signature.inputs.items():
        if isinstance(modality, State):
            rows = []
            for example in found:
                value = example.seen[name].value
                rows += example.seen[name].values.read([int(i) for i in value[value >= 0]])
            if rows:
                statistics[name] = _moments(np.stack(rows))
    return statistics


def action_statistics(found: Sequence[Example]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each dimension of what is done."""
    return _moments(np.concatenate([example.actions[example.acted] for example in found]))


def _moments(rows: np.ndarray) -> tuple[list[float], list[float]]:
    wide = rows.astype(np.float64)
    return wide.mean(0).tolist(), wide.std(0).tolist()
