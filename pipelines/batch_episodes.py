"""Manifests and LeRobotDataset directories as the steps that a policy would have lived through."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from sensorimotor.errors import DataError, MissingExtraError, ObservationError
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Audio, Image, Modality
from sensorimotor.perception.resampled import mixed
from sensorimotor.perception.sensor import Losses
from sensorimotor.pipelines.batch_binding import Feeding, require_fit
from sensorimotor.pipelines.batch_film import MAX_GAP_S, MAX_LENGTH_S, require_near
from sensorimotor.pipelines.batch_input import InputSpec, Step, Unreadable, of_episode
from sensorimotor.pipelines.episodes import Episode, SoundTrack, Source, Track
from sensorimotor.pipelines.manifest import ManifestEpisode, ManifestSource
from sensorimotor.pipelines.manifest_columns import Media
from sensorimotor.pipelines.observed import SIMULTANEOUS_S, Observed, observed
from sensorimotor.pipelines.senses import age_of

CHUNK_BYTES = 32 * 2**20
CHUNK_STEPS = 64
"""So much of an episode is decoded at once, at most."""
SAME_RATE = 0.01
"""Rates that differ by no more are the same, and then decisions are made when they were made in the recording."""


class EpisodesInput:
    """The episodes of a source; a `BatchInput`.

    Args:
        spec: What it was opened with.
        signature: Of the policy.
        source: Where the episodes are.
        ids: What identifies each.
        fed: What feeds the inputs.

    Raises:
        DataError: A feature cannot feed its input.
    """

    def __init__(self, spec: InputSpec, signature: Signature, source: Source, ids: Sequence[str], fed: Feeding):
        for name, feature in fed.by.items():
            require_fit(name, signature.inputs[name], feature, source.features[feature], spec.where)
        self.spec, self.ids = spec, ids
        self.alone = source.rate_hz is None
        self.fed: Mapping[str, str] = fed.by
        self.absent, self.losses = fed.absent, Losses()
        for name in fed.absent:
            self.losses.tell(f"{spec.where} has nothing for {name}, which is absent in every step")
        self._source = source
        self._inputs = {name: signature.inputs[name] for name in fed.by}
        self._rate_hz = spec.rate_hz or signature.rate_hz
        self._adapt = {name: _adapter(modality, spec.fit) for name, modality in self._inputs.items()}

    @property
    def fingerprint(self) -> str:
        """Of the data; see `BatchInput`."""
        return self._source.fingerprint

    def __len__(self) -> int:
        """How many episodes there are."""
        return len(self.ids)

    def lived(self, index: int) -> Iterator[Step]:
        """The steps of one episode, in order; see `BatchInput`.

        Raises:
            Unreadable: It cannot be read, or not to its end.
        """
        with of_episode(self.ids[index], "open"):
            episode = self._source.episode(index)
            times_s = self._times(episode)
            seen = {name: self._seen(name, modality, episode, times_s) for name, modality in self._inputs.items()}
        with of_episode(self.ids[index], "decode"):
            said: dict[str, tuple[int, str]] = {}
            size = max(1, min(CHUNK_STEPS, CHUNK_BYTES // max(1, sum(map(_bytes, self._inputs.values())))))
            for start in range(0, len(times_s), size):
                yield from self._steps(times_s, seen, range(start, min(start + size, len(times_s))), said)

    def samples(self, indices: Sequence[int]) -> list[Step | Unreadable]:
        """The only steps of some episodes; see `BatchInput`.

        Raises:
            ValueError: Episodes have more steps.
        """
        if not self.alone:
            raise ValueError("the steps of these episodes do not stand alone")
        if not isinstance(self._source, ManifestSource) or any(
            isinstance(one, Image) and one.frames > 1 for one in self._inputs.values()
        ):
            return [self._only(index) for index in indices]
        values: list[dict[str, Any]] = [dict(self.spec.constants) for _ in indices]
        failed: set[int] = set()
        for name in self._inputs:
            for place, value in self._read(self._source, name, indices, failed):
                values[place][name] = value
        return [self._only(index) if place in failed else _new(values[place]) for place, index in enumerate(indices)]

    def _only(self, index: int) -> Step | Unreadable:
        """The only step of an episode, or what is wrong with it."""
        try:
            (step,) = self.lived(index)
            return step
        except Unreadable as error:
            return error

    def _read(
        self, source: ManifestSource, name: str, indices: Sequence[int], failed: set[int]
    ) -> Iterator[tuple[int, Any]]:
        """What there is of an input in some rows of a table, by its place among them; others are put into `failed`."""
        column = source.column(self.fed[name])
        places = np.flatnonzero(column.present[np.asarray(indices, np.int64)])
        # as steps of one episode: each of them has a new sample, so none sees that of another
        times_s, rows = np.arange(len(places), dtype=np.float64), np.asarray(indices, np.int64)[places]
        episode = ManifestEpisode(self.spec.where, times_s, rows, source)
        seen = self._seen(name, self._inputs[name], episode, times_s)
        together = [[number] for number in range(len(places))]
        if not isinstance(column, Media):
            together = [list(range(len(places)))]
        for numbers in together:
            try:
                yield from zip(places[numbers].tolist(), seen.values.read(seen.value[numbers].tolist()), strict=True)
            except MissingExtraError:
                raise
            except Exception:  # noqa: BLE001 (the rows are read again one by one, and then it is said of which it is)
                failed.update(places[numbers].tolist())

    def _times(self, episode: Episode) -> np.ndarray:
        """When decisions are made: when they were made, or at another rate, until all that came has been seen."""
        times_s, own_hz = episode.times_s, self._source.rate_hz
        if own_hz is None or len(times_s) < 2 or abs(own_hz - self._rate_hz) <= SAME_RATE * self._rate_hz:
            return times_s
        since_s = times_s - times_s[0]
        late = int(np.argmax((np.diff(since_s) > MAX_GAP_S) | (since_s[1:] > MAX_LENGTH_S)))
        require_near(float(since_s[late]), float(since_s[late + 1]))
        turns = ceil((times_s[-1] - times_s[0] - SIMULTANEOUS_S) * self._rate_hz) + 1
        return np.asarray(times_s[0] + np.arange(turns) / self._rate_hz)

    def _seen(self, name: str, modality: Modality, episode: Episode, times_s: np.ndarray) -> Observed:
        feature = self.fed[name]
        view = _View(episode.name, times_s, episode, self._adapt[name])
        return observed(view, feature, self._source.features[feature], modality)

    def _steps(
        self, times_s: np.ndarray, seen: Mapping[str, Observed], steps: range, said: dict[str, tuple[int, str]]
    ) -> Iterator[Step]:
        """Some steps that follow each other, decoded together; `said` keeps the last text of each input."""
        values: dict[str, dict[int, Any]] = {}
        for name, one in seen.items():
            numbers = one.value[steps.start : steps.stop]
            values[name] = self._values(name, one, np.unique(numbers[numbers >= 0]).tolist())
        for step in steps:
            observation: dict[str, Any] = dict(self.spec.constants)
            refused = ""
            ages_s, sequences = dict.fromkeys(observation, 0.0), dict.fromkeys(observation, 0)
            for name, one in seen.items():
                number = int(one.value[step])
                age_s = age_of(self._inputs[name], 0.0, float(one.age_s[step]))
                if number < 0 or age_s is None:
                    continue
                value = values[name][number]
                if isinstance(value, _Refused):
                    refused = str(value)
                    continue
                if isinstance(value, str):  # the same words again are no new text, as live
                    before = said.get(name, (-1, ""))
                    number = before[0] + (before[0] < 0 or before[1] != value)
                    said[name] = number, value
                observation[name], ages_s[name], sequences[name] = value, age_s, number
            yield Step(float(times_s[step]), Sensed(observation, ages_s, sequences), refused)

    def _values(self, name: str, one: Observed, numbers: Sequence[int]) -> dict[int, Any]:
        """Values by number; a sound in a stream that the policy cannot take is `_Refused`."""
        try:
            return dict(zip(numbers, one.values.read(numbers), strict=True))
        except DataError as error:
            unfit = isinstance(error.__cause__, ObservationError)
            if not unfit or self.alone or not isinstance(self._inputs[name], Audio):
                raise
            if len(numbers) == 1:
                return {numbers[0]: _Refused(str(error))}
        return {number: value for each in numbers for number, value in self._values(name, one, [each]).items()}


class _Refused(str):
    """Why a policy cannot take a value, in place of it."""


@dataclass(eq=False)
class _View:
    """An episode as one input sees it: decided in at other times, its samples made into what the input takes."""

    name: str
    times_s: np.ndarray
    episode: Episode
    adapt: Callable[[Any], Any]

    def track(self, feature: str, sample_rate: int | None = None) -> Track:
        return _AdaptedTrack(self.episode.track(feature, sample_rate), self.adapt)

    def sound(self, feature: str, sample_rate: int) -> SoundTrack:
        return _AdaptedSound(self.episode.sound(feature, sample_rate), self.adapt)


class _AdaptedTrack:
    def __init__(self, track: Track, adapt: Callable[[Any], Any]):
        self.times_s, self._track, self._adapt = track.times_s, track, adapt

    def read(self, samples: Sequence[int]) -> list[Any]:
        return [self._adapt(sample) for sample in self._track.read(samples)]


class _AdaptedSound:
    def __init__(self, sound: SoundTrack, adapt: Callable[[Any], Any]):
        self.times_s, self.ends, self._sound, self._adapt = sound.times_s, sound.ends, sound, adapt

    def read(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._adapt(self._sound.read(start, stop)))


def _new(observation: dict[str, Any]) -> Step:
    """A step that stands alone: all that it sees is new."""
    return Step(0.0, Sensed(observation, dict.fromkeys(observation, 0.0), dict.fromkeys(observation, 0)))


def _adapter(modality: Modality, fit: str) -> Callable[[Any], Any]:
    match modality:
        case Image():
            return partial(Fit(modality, fit), own=True)
        case Audio():
            return partial(mixed, channels=modality.channels)
    return lambda value: value


def _bytes(modality: Modality) -> int:
    """How much one value takes."""
    match modality:
        case Image():
            return int(np.prod(modality.shape))
        case Audio():
            return 4 * modality.samples * modality.channels
    return 0
