"""Episodes: what was recorded, in whatever it was recorded, as the samples that live sensors would have delivered.

A source is a collection of episodes with the same features. Nothing is decoded before it is asked for, and then only
the samples that are asked for, so that a source can be far larger than the memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np


@dataclass(frozen=True)
class Feature:
    """What all samples of one name have in common.

    Attributes:
        kind: `image`: uint8 `(height, width, channels)`; `audio`: float32 `(samples, channels)`; `text`: a string, an
            instruction or the name of a choice; `vector`: float32 `(size,)`; `choice`: an integer.
        shape: Of an image `(height, width, channels)`, of sound `(channels,)`, of a vector `(size,)`; else `()`.
        names: Of the values of a vector.
        units: Of the values of a vector.
        rate_hz: Samples a second: of sound its sample rate, of anything else how often it comes; None: not known.
        stream: Whether sound is one stream an episode, cut into chunks as a microphone delivers it. Otherwise every
            sample is a sound of its own: a clip, an utterance.
    """

    kind: Literal["image", "audio", "text", "vector", "choice"]
    shape: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    rate_hz: float | None = None
    stream: bool = False


class Track(Protocol):
    """The samples of one feature in one episode; those that are missing (null, NaN) are left out.

    Attributes:
        times_s: When each sample was in hand, float64 `(n,)`, never falling, on the clock of its episode (s).
    """

    times_s: np.ndarray

    def read(self, samples: Sequence[int]) -> list[Any]:
        """Samples by number, in the order asked for."""
        ...


class SoundTrack(Protocol):
    """A stream of sound in one episode.

    Attributes:
        times_s: When each chunk was in hand, float64 `(chunks,)`, never falling (s).
        ends: How many samples there were by then, int64 `(chunks,)`, rising.
    """

    times_s: np.ndarray
    ends: np.ndarray

    def read(self, start: int, stop: int) -> np.ndarray:
        """The samples from `start` to `stop`, float32 `(stop - start, channels)`; `0 <= start <= stop <= ends[-1]`."""
        ...


class Episode(Protocol):
    """One episode.

    Attributes:
        name: What to call it in a message.
        times_s: When each decision was made, float64 `(steps,)`, rising (s).
    """

    name: str
    times_s: np.ndarray

    def track(self, feature: str, sample_rate: int | None = None) -> Track:
        """The samples of a feature; single sounds come at `sample_rate` (Hz), without it at their own."""
        ...

    def sound(self, feature: str, sample_rate: int) -> SoundTrack:
        """A stream of sound at `sample_rate` (Hz)."""
        ...


class Source(Protocol):
    """A collection of episodes.

    Attributes:
        rate_hz: Decisions a second; None: its samples stand alone, each an episode of one step.
    """

    rate_hz: float | None

    @property
    def fingerprint(self) -> str:
        """Changes when the data change; caches go by it."""
        ...

    @property
    def features(self) -> Mapping[str, Feature]:
        """What its episodes have, by name."""
        ...

    def __len__(self) -> int:
        """How many episodes there are."""
        ...

    def episode(self, index: int) -> Episode:
        """One of them."""
        ...
