"""Which samples of a source to look at where there are too many for all: some, spread evenly over it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.pipelines.episodes import Episode, Source

GOLDEN = 0.6180339887
"""Its multiples fall evenly into [0, 1) however many there are: not every episode is looked at in the same place."""
DEFAULT_SAMPLE_RATE = 16_000

Failed = Callable[[DataError], None]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of an episode.

    Attributes:
        episode: Where it is from.
        time_s: When it was in hand, since the first step of its episode (s).
        image: uint8 `(height, width, channels)`.
        following: The next one of the episode, if there is one and it was asked for.
    """

    episode: Episode
    time_s: float
    image: np.ndarray
    following: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some sound of an episode.

    Attributes:
        episode: Where it is from.
        start_s: Where in its stream it begins; of a clip, when it was in hand since the first step (s).
        samples: float32 `(samples, channels)`.
        sample_rate: (Hz).
    """

    episode: Episode
    start_s: float
    samples: np.ndarray
    sample_rate: int


def spread(episodes: int, count: int) -> list[tuple[int, float]]:
    """`count` places: the number of an episode, in order, and how far into it, from 0 to 1.

    >>> spread(2, 4)
    [(0, 0.25), (0, 0.75), (1, 0.25), (1, 0.75)]
    >>> [episode for episode, _ in spread(100, 4)]
    [12, 37, 62, 87]
    """
    if not episodes:
        return []
    places = [divmod((number + 0.5) * episodes / count, 1.0) for number in range(count)]
    if episodes < count:
        return [(int(episode), into) for episode, into in places]
    return [(int(episode), number * GOLDEN % 1.0) for number, (episode, _) in enumerate(places)]


def pictures(source: Source, feature: str, count: int, failed: Failed, *, following: bool = False) -> Iterator[Picture]:
    """At most `count` pictures of a feature, none twice; `failed` is told what cannot be decoded."""
    seen = set()
    for index, into in spread(len(source), count):
        try:
            episode = source.episode(index)
            track = episode.track(feature)
            sample = int(into * len(track.times_s))
            if not len(track.times_s) or (index, sample) in seen:
                continue
            seen.add((index, sample))
            wanted = range(sample, min(sample + 1 + following, len(track.times_s)))
            image, *rest = track.read(wanted)
        except DataError as error:
            failed(error)
            continue
        time_s = float(track.times_s[sample] - episode.times_s[0])
        yield Picture(episode, time_s, image, rest[0] if rest else None)


def stretches(source: Source, feature: str, count: int, seconds: float, failed: Failed) -> Iterator[Stretch]:
    """At most `count` pieces of a feature's sound, none longer than `seconds`; clips from their beginning."""
    declared = source.features[feature]
    rate = round(declared.rate_hz or DEFAULT_SAMPLE_RATE)
    most = max(1, round(seconds * rate))
    seen = set()
    for index, into in spread(len(source), count):
        try:
            episode = source.episode(index)
            if declared.stream:
                sound = episode.sound(feature, rate)
                total = int(sound.ends[-1]) if len(sound.ends) else 0
                place = int(into * max(0, total - most + 1))
                if not total or (index, place) in seen:
                    continue
                start_s, samples = place / rate, sound.read(place, min(total, place + most))
            else:
                track = episode.track(feature, rate)
                place = int(into * len(track.times_s))
                if not len(track.times_s) or (index, place) in seen:
                    continue
                start_s = float(track.times_s[place] - episode.times_s[0])
                samples = track.read([place])[0][:most]
            seen.add((index, place))
        except DataError as error:
            failed(error)
            continue
        yield Stretch(episode, start_s, samples, rate)
