"""What each decision of a recorded episode saw: the same values, of the same age, as live buffers would have given.

Worked out from times alone, so that only what a batch needs is decoded. `tests/pipelines/test_observed.py` holds it
against `Buffers`, which do it live.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sensorimotor.errors import DataError, ObservationError
from sensorimotor.perception.buffers import latched
from sensorimotor.perception.modality import Audio, Image, Modality
from sensorimotor.perception.utterance import Endpointer, Utterance
from sensorimotor.pipelines.episodes import Episode, Feature, SoundTrack

SIMULTANEOUS_S = 1e-6
"""A sample that is stamped so little after a decision was in hand when it was made: times are rounded when written."""


class Values(Protocol):
    """The different values of one input in one episode, by number."""

    def read(self, numbers: Sequence[int]) -> list[Any]:
        """Some of them, as a policy takes them."""
        ...


@dataclass(frozen=True)
class Frames:
    """What films consist of.

    Attributes:
        values: The frames, by number.
        count: Frames of a film.
        sliding: Whether every frame ends a film, which shares all but its last with the film before it.
    """

    values: Values
    count: int
    sliding: bool

    def of(self, films: np.ndarray) -> np.ndarray:
        """The numbers of the frames of some films, in order, int64 `(films, count)`."""
        if self.sliding:  # the first frame is repeated where there are not yet so many
            return np.maximum(0, films[:, None] + np.arange(1 - self.count, 1))
        return films[:, None] * self.count + np.arange(self.count)


@dataclass(frozen=True)
class Observed:
    """What the decisions of an episode saw of one input.

    Attributes:
        value: int64 `(steps,)`, the number of the value that each saw; -1: none.
        age_s: float32 `(steps,)`, its age (s); 0 where it is kept until the next one, or there is none.
        values: What the numbers mean.
        frames: What they consist of, where they are films; None: they are encoded as they are.
    """

    value: np.ndarray
    age_s: np.ndarray
    values: Values
    frames: Frames | None = None

    @property
    def encoded(self) -> Values:
        """What an encoder takes, by number: frames or the values themselves."""
        return self.frames.values if self.frames else self.values

    def parts(self, numbers: np.ndarray) -> np.ndarray:
        """Which of `encoded` some values consist of, int64 `(values, parts)`."""
        return self.frames.of(numbers) if self.frames else numbers[:, None]

    def needed(self) -> np.ndarray:
        """The numbers of everything in `encoded` that some step saw, int64, rising."""
        return np.unique(self.parts(np.unique(self.value[self.value >= 0])))


def observed(episode: Episode, feature: str, kind: Feature, modality: Modality) -> Observed:
    """What the decisions of an episode saw of one input.

    Args:
        episode: The episode.
        feature: Where the input comes from.
        kind: What the source says of it.
        modality: The input.

    Raises:
        DataError: A stream of sound cannot be read.
    """
    where, frames = f"{episode.name}: {feature}", None
    if isinstance(modality, Audio) and kind.stream:
        sound = episode.sound(feature, modality.sample_rate)
        values: Values = _Windows(sound, modality)
        times_s = sound.times_s
        if modality.mode == "utterance":
            times_s, values = _utterances(sound, modality)
    else:
        track = episode.track(feature, modality.sample_rate if isinstance(modality, Audio) else None)
        times_s, values = track.times_s, track
    if isinstance(modality, Image) and modality.frames > 1 and len(kind.shape) == 3:
        frames = Frames(_Checked(values, modality.still, where), modality.frames, sliding=True)
        values = _Films(frames)
    else:
        values = _Checked(values, modality, where)
        if isinstance(modality, Image) and modality.frames > 1:
            frames = Frames(_Cut(values, modality.frames), modality.frames, sliding=False)
    value = np.searchsorted(times_s, episode.times_s + SIMULTANEOUS_S, side="right") - 1
    age_s = np.zeros(len(value), np.float32)
    if not latched(modality) and len(times_s):
        age_s = np.where(value < 0, 0, np.maximum(0, episode.times_s - times_s[value])).astype(np.float32)
    return Observed(value, age_s, values, frames)


@dataclass(frozen=True)
class _Checked:
    """Values that are what the signature says, or an error that names them."""

    values: Values
    modality: Modality
    where: str

    def read(self, numbers: Sequence[int]) -> list[Any]:
        checked = []
        for number, value in zip(numbers, self.values.read(numbers), strict=True):
            if isinstance(self.modality, Audio):
                value = fitted(value, self.modality)
            try:
                checked.append(self.modality.check(f"sample {number}", value))
            except ObservationError as error:
                raise DataError(f"{self.where}: {error}") from error
        return checked


@dataclass(frozen=True)
class _Windows:
    """The last seconds of a stream, as of each chunk; what was before its beginning is silence."""

    sound: SoundTrack
    modality: Audio

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        ends = self.sound.ends[list(numbers)]
        return [self.sound.read(max(0, int(end) - self.modality.samples), int(end)) for end in ends]


@dataclass(frozen=True)
class _Kept:
    """Values that are in memory."""

    values: Sequence[Any]

    def read(self, numbers: Sequence[int]) -> list[Any]:
        return [self.values[number] for number in numbers]


@dataclass(frozen=True)
class _Films:
    """Films put together from the frames of a camera."""

    frames: Frames

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        distinct, place = np.unique(self.frames.of(np.array(numbers, np.int64)), return_inverse=True)
        known = self.frames.values.read(distinct.tolist())
        return [np.stack([known[at] for at in film]) for film in place.reshape(len(numbers), -1)]


@dataclass(frozen=True)
class _Cut:
    """The frames of films that come whole."""

    films: Values
    count: int

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        distinct = sorted({number // self.count for number in numbers})
        known = dict(zip(distinct, self.films.read(distinct), strict=True))
        return [known[number // self.count][number % self.count] for number in numbers]


def _utterances(sound: SoundTrack, modality: Audio) -> tuple[np.ndarray, Values]:
    """When each utterance of a stream was in hand, and the utterances."""
    ear = Endpointer(modality.sample_rate, modality.seconds)
    times_s: list[float] = []
    found: list[Utterance] = []
    start = 0
    for time_s, end in zip(sound.times_s, sound.ends, strict=True):
        if ended := ear.feed(sound.read(start, int(end))):
            times_s.append(float(time_s))
            found.append(ended[-1])
        start = int(end)
    return np.array(times_s, np.float64), _Kept([utterance.sound for utterance in found])


def fitted(sound: np.ndarray, modality: Audio) -> np.ndarray:
    """A sound of a window's length: its end, with silence before it where it is shorter. Utterances are as they are."""
    if modality.mode == "utterance" or len(sound) == modality.samples:
        return sound
    kept = sound[-modality.samples :]
    return np.concatenate([np.zeros((modality.samples - len(kept), kept.shape[1]), np.float32), kept])
