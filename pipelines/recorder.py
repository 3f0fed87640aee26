"""Records episodes to a directory: steps, pictures and sound as they come, kept for good one episode at a time.

What it writes is a LeRobotDataset v3.0 that stock LeRobot reads, with lossless sound beside it
(`recorded_sound`) and the times at which things really happened in a column of its own, `capture_time_s`.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from sensorimotor.errors import DataError, ObservationError, OutputPathError, UsageError
from sensorimotor.libraries import library
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines import recorded_sound
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot_format import AUDIO, TASK, VIDEO_PATH, entry_of
from sensorimotor.pipelines.lerobot_stats import PixelStats, Stats, vector_stats
from sensorimotor.pipelines.lerobot_tables import write_table
from sensorimotor.pipelines.recorded_sound import FLAC_PATH, INDEX_PATH, SoundWriter
from sensorimotor.pipelines.recording_store import RecordingStore
from sensorimotor.pipelines.video import CRF, VideoWriter


@dataclass
class _Episode:
    """An episode in progress: pictures and sound are on disk already, everything else is small."""

    times_s: list[float] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    videos: dict[str, VideoWriter] = field(default_factory=dict)
    pixels: dict[str, PixelStats] = field(default_factory=dict)
    sounds: dict[str, SoundWriter] = field(default_factory=dict)


class Recorder:
    """Adds episodes to a directory.

    Whatever happens, at most the episode in progress is lost: an episode counts from the moment `commit` returns.

    Args:
        path: A new or empty directory, or one that was recorded with the same features and rate, which is continued.
        features: What is recorded, by the names of LeRobot: `observation.images.NAME` (an image of three channels),
            `observation.state` and `action` (a vector or a choice), and so on; `audio.NAME` is a stream of sound. A
            text called `task` may be among them: it is what `commit` is told.
        rate_hz: Steps a second, a whole number.
        robot_type: What is recorded, in a word.
        crf: The quality of the videos: 0 keeps every pixel, 18 looks the same, 30 is LeRobot's own.

    Attributes:
        recovered: What was lost when the last recorder was cut off; None: nothing.

    Raises:
        DataError: What was recorded there has other features or another rate.
        OutputPathError: The directory cannot be written to, holds something else, or another recorder has it.
        UsageError: A feature that cannot be recorded.
    """

    def __init__(
        self,
        path: Path,
        features: Mapping[str, Feature],
        rate_hz: float,
        *,
        robot_type: str = "sensorimotor",
        crf: int = CRF,
    ):
        if not 0 < rate_hz <= 1000 or rate_hz != int(rate_hz):
            raise UsageError(f"LeRobot data sets have a whole number of steps a second, up to 1000; not {rate_hz:g}")
        if not 0 <= crf <= 51:
            raise UsageError(f"crf must lie between 0 (nothing is lost) and 51, not {crf}")
        self._rate_hz, self._crf = int(rate_hz), crf
        given = {name: one for name, one in features.items() if (name, one.kind) != (TASK, "text")}
        self._sounds = {name: one for name, one in given.items() if name.startswith(AUDIO) and one.stream}
        self._features = {name: one for name, one in given.items() if name not in self._sounds}
        if not self._features:
            raise UsageError("there is nothing to record a step of: name a picture, a state or an action")
        recorded_sound.describe(self._sounds)
        entries = {name: entry_of(name, one, self._rate_hz, crf) for name, one in self._features.items()}
        self._inputs = {name: _modality(one) for name, one in given.items()}
        self._store = RecordingStore(Path(path), entries, self._sounds, self._rate_hz, robot_type)
        self._episode: _Episode | None = None
        self._closed = False

    @property
    def recovered(self) -> str | None:
        """What was lost when the last recorder was cut off; None: nothing."""
        return self._store.recovered

    @property
    def episodes(self) -> int:
        """How many episodes are kept."""
        return self._store.episodes

    def add(self, values: Mapping[str, Any], time_s: float) -> None:
        """Record a step of the episode in progress; the first one begins it.

        Args:
            values: Feature → value: a picture is uint8 `(height, width, 3)`, a vector float32 `(size,)`, a choice an
                integer, a text a string. A vector that is left out, None, or all NaN is recorded as missing.
            time_s: When it was in hand, on the clock of the episode (s).

        Raises:
            ObservationError: A value is not what its feature says; the step is not recorded.
            DataError: The step is not later than the one before.
            OutputPathError: The disk is full or the like: the episode is lost.
        """
        episode = self._begun()
        if not math.isfinite(time_s) or (episode.times_s and time_s <= episode.times_s[-1]):
            before = f"later than {episode.times_s[-1]:g} s, when the last was" if episode.times_s else "a finite time"
            raise DataError(f"step {len(episode.times_s)} of the episode: expected {before}, got {time_s:g} s")
        checked = self._checked(values)
        with self._saved_or_lost():
            for name, value in checked.items():
                if self._features[name].kind == "image":
                    self._video(episode, name).write(value)
                    episode.pixels[name].add(value)
                else:
                    episode.rows.setdefault(name, []).append(value)
        episode.times_s.append(float(time_s))

    def add_sound(self, feature: str, chunk: np.ndarray, time_s: float) -> None:
        """Record what a stream of sound brought.

        Args:
            feature: Its name, `audio.NAME`.
            chunk: float32 `(n, channels)` in [-1, 1]; one channel may also come as `(n,)`.
            time_s: When it was in hand, on the clock of the episode (s).

        Raises:
            ObservationError: It is not what the feature says; nothing is recorded.
            DataError: It came earlier than the chunk before.
            OutputPathError: The disk is full or the like: the episode is lost.
        """
        if feature not in self._sounds:
            known = ", ".join(self._sounds) or "none"
            raise ObservationError(feature, "a stream of sound that is recorded", f"another name; there is {known}")
        modality = self._inputs[feature]
        assert isinstance(modality, Audio)
        sound = modality.check_chunk(feature, chunk)
        episode = self._begun()
        newest_s = episode.sounds[feature].newest_s
        if not math.isfinite(time_s) or time_s < newest_s:
            raise DataError(f"{feature}: expected a chunk not earlier than {newest_s:g} s, got one of {time_s:g} s")
        if len(sound):
            with self._saved_or_lost():
                episode.sounds[feature].write(sound, float(time_s))

    @property
    def origins(self) -> Any:
        """What was kept with the episodes about where they were converted from, as `commit` was told."""
        return self._store.origins

    def commit(self, task: str, origin: Mapping[str, Any] | None = None) -> int:
        """Keep the episode for good.

        Args:
            task: What it is about, in words.
            origin: What to keep in `origins` from this episode on, for JSON; it takes the place of equal keys.

        Returns:
            Its number.

        Raises:
            ObservationError: The task is no text.
            UsageError: No step has been recorded.
            OutputPathError: It cannot be written: the episode is lost, the ones before it are unharmed.
        """
        if not Text().check(TASK, task).strip():
            raise ObservationError(TASK, "what the episode is about, in words", "an empty text")
        if self._episode is None or not self._episode.times_s:
            raise UsageError("there is nothing to commit: no step has been recorded")
        episode = self._episode
        with self._saved_or_lost():
            for video in episode.videos.values():
                video.close()
            for name, sound in episode.sounds.items():
                sound.close()
                file = self._store.scratch_file(INDEX_PATH, stream=name.removeprefix(AUDIO))
                write_table(file, sound.index(self.episodes))
            columns, stats = self._columns(episode)
            number = self._store.commit(columns, episode.times_s, task, stats, origin)
        self._episode = None
        return number

    def discard(self) -> None:
        """Forget the episode in progress, if there is one."""
        if self._episode is not None:
            for video in self._episode.videos.values():
                video.abandon()
            for sound in self._episode.sounds.values():
                sound.abandon()
            self._episode = None
        self._store.drop()

    def close(self) -> None:
        """Let go of the directory; an episode that is not committed is forgotten."""
        if not self._closed:
            self.discard()
            self._store.close()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begun(self) -> _Episode:
        if self._closed:
            raise UsageError("this recorder is closed")
        if self._episode is None:
            episode = _Episode()
            self._episode = episode
            with self._saved_or_lost():
                for name, feature in self._sounds.items():
                    file = self._store.scratch_file(FLAC_PATH, stream=name.removeprefix(AUDIO))
                    episode.sounds[name] = SoundWriter(file, feature)
        return self._episode

    def _video(self, episode: _Episode, name: str) -> VideoWriter:
        if name not in episode.videos:
            height, width, _ = self._features[name].shape
            file = self._store.scratch_file(VIDEO_PATH, video_key=name)
            episode.videos[name] = VideoWriter(file, self._rate_hz, height, width, self._crf)
            episode.pixels[name] = PixelStats()
        return episode.videos[name]

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All values of a step, in the order of the features, as they are stored."""
        for name in values:
            if name not in self._features:
                known = ", ".join(self._features)
                raise ObservationError(name, "a feature that is recorded", f"another name; there are {known}")
        return {name: self._value(name, feature, values.get(name)) for name, feature in self._features.items()}

    def _value(self, name: str, feature: Feature, value: Any) -> Any:
        modality = self._inputs[name]
        if feature.kind == "vector":
            if value is None or (isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isnan(value).all()):
                return np.full(feature.shape, np.nan, np.float32)
        elif value is None:
            hint = "Only a vector may be missing: repeat the last one, or wait for the first"
            raise ObservationError(name, str(modality or "an integer"), "nothing", hint)
        if modality is not None:
            return modality.check(name, value)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or abs(int(value)) >= 2**63:
            raise ObservationError(name, "an integer, the number of a choice", f"{value!r}")
        return int(value)

    def _columns(self, episode: _Episode) -> tuple[dict[str, Any], dict[str, Stats]]:
        """The values of all steps as Arrow arrays, and the statistics of those that have any."""
        pa = library("pyarrow", "pyarrow", "data", "writing recordings")
        columns: dict[str, Any] = {}
        stats = {name: pixels.result() for name, pixels in episode.pixels.items()}
        for name, rows in episode.rows.items():
            if self._features[name].kind == "vector":
                values = np.stack(rows)
                flat = pa.array(values.ravel())
                # LeRobot keeps a vector of one value as a plain column
                size = values.shape[1]
                columns[name] = flat if size == 1 else pa.FixedSizeListArray.from_arrays(flat, size)
                stats[name] = vector_stats(values)
            elif self._features[name].kind == "choice":
                columns[name] = pa.array(rows, pa.int64())
                stats[name] = vector_stats(np.array(rows)[:, None])
            else:
                columns[name] = pa.array(rows, pa.string())
        return columns, stats

    @contextmanager
    def _saved_or_lost(self) -> Iterator[None]:
        """An episode that cannot be written is given up, and it is said that the others are still there."""
        number = self._store.episodes
        try:
            yield
        except (OutputPathError, OSError) as error:
            self.discard()
            reason = str(error).removesuffix(" What was there before is unchanged.").rstrip(".")
            raise OutputPathError(f"{reason}. Episode {number} is lost; the {number} before it are unharmed") from error
        except BaseException:
            self.discard()
            raise


def _modality(feature: Feature) -> Image | Audio | Text | State | None:
    """What checks the values of a feature; None: a choice."""
    match feature.kind:
        case "image":
            height, width, _ = feature.shape
            return Image(height=height, width=width)
        case "audio":
            return Audio(sample_rate=int(feature.rate_hz or 0), channels=feature.shape[0], seconds=1.0)
        case "vector":
            return State(size=feature.shape[0], names=feature.names, units=feature.units)
        case "text":
            return Text()
    return None
