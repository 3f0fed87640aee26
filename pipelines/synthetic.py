"""Episodes that were never recorded: noise in the form of a data set, to see what a recipe would do with it."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensorimotor.pipelines.episodes import Feature, SoundTrack, Track

EPISODES, STEPS = 4, 8
ALONE = 32
"""Samples that stand alone."""


@dataclass(frozen=True)
class Invented:
    """A feature, and what makes one sample of it; of a stream of sound, the whole of an episode's in turn."""

    feature: Feature
    make: Callable[[np.random.Generator], Any]


@dataclass(eq=False)
class SyntheticSource:
    """Noise as a `Source`; the same at every call.

    Attributes:
        invented: Features by name.
        rate_hz: Steps a second; None: every episode is one step.
        fingerprint: Of all such data.
    """

    invented: Mapping[str, Invented]
    rate_hz: float | None
    fingerprint: str = "synthetic"

    @property
    def features(self) -> Mapping[str, Feature]:
        """What its episodes have, by name."""
        return {name: one.feature for name, one in self.invented.items()}

    def __len__(self) -> int:
        """How many episodes there are."""
        return ALONE if self.rate_hz is None else EPISODES

    def episode(self, index: int) -> "SyntheticEpisode":
        """One of them."""
        steps = 1 if self.rate_hz is None else STEPS
        return SyntheticEpisode(f"synthetic {index}", np.arange(steps) / (self.rate_hz or 1.0), index, self)


@dataclass(eq=False)
class SyntheticEpisode:
    """One episode; every feature has a sample at every step."""

    name: str
    times_s: np.ndarray
    number: int
    source: SyntheticSource

    def track(self, feature: str, sample_rate: int | None = None) -> Track:
        """The samples of a feature."""
        return _Track(self.times_s, self.source.invented[feature].make, (self.number, zlib.crc32(feature.encode())))

    def sound(self, feature: str, sample_rate: int) -> SoundTrack:
        """A stream of sound, a chunk at every step."""
        samples = np.round((self.times_s + 1 / (self.source.rate_hz or 1.0)) * sample_rate).astype(np.int64)
        made = self.track(feature).read([0])[0]
        whole = np.resize(made, (int(samples[-1]), made.shape[1]))
        return _Sound(self.times_s, samples, whole)


@dataclass(eq=False)
class _Track:
    times_s: np.ndarray
    make: Callable[[np.random.Generator], Any]
    key: tuple[int, int]

    def read(self, samples: Sequence[int]) -> list[Any]:
        return [self.make(np.random.default_rng([*self.key, sample])) for sample in samples]


@dataclass(eq=False)
class _Sound:
    times_s: np.ndarray
    ends: np.ndarray
    whole: np.ndarray

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.whole[start:stop]
