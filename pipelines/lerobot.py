"""LeRobotDataset v3.0 directories, recorded here or by LeRobot, as episodes to learn from."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.libraries import library
from sensorimotor.pipelines.episodes import Feature, SoundTrack, Track
from sensorimotor.pipelines.lerobot_columns import Columns, EpisodeRow, load_episodes
from sensorimotor.pipelines.lerobot_format import (
    AUDIO,
    BOOKKEEPING,
    CAPTURE,
    INFO,
    TASK,
    VIDEO_PATH,
    Info,
    captured_column,
    feature_of,
    file_of,
    fill,
    load_info,
    seen_column,
)
from sensorimotor.pipelines.lerobot_tables import load_tasks
from sensorimotor.pipelines.picture_size import require_modest
from sensorimotor.pipelines.recent import Recent
from sensorimotor.pipelines.recorded_sound import RecordedSound, ResampledSound, load_streams
from sensorimotor.pipelines.video import read_frames

TOLERANCE_S = 1e-4
"""How far a frame may be from its step (s), as in LeRobot."""

LATE = 1.5
"""A step that comes later than so many periods after the one before has a gap before it."""


def gaps(times_s: np.ndarray, rate_hz: float) -> list[int]:
    """The steps that come after a gap: more than a period and a half after the step before.

    >>> gaps(np.array([0.0, 0.1, 0.2, 0.5, 0.6]), 10.0)
    [3]
    """
    return [int(step) + 1 for step in np.flatnonzero(np.diff(times_s) > LATE / rate_hz)]


class LeRobotSource:
    """The episodes of a LeRobotDataset v3.0; a `Source`.

    Pictures, numbers and strings are features under their LeRobot names, `task` is what an episode is about, and
    streams of sound recorded beside them are called `audio.NAME`. A single integer is a choice, a single number with
    a fraction a vector of one value. Times are those of capture where they were recorded, else LeRobot's timestamps.
    In the recording of a run a step may have seen nothing, or again what the step before saw: what stands there then is
    no sample (`run_features`).

    Args:
        path: The directory that has `meta/info.json` in it.

    Attributes:
        features: By name.
        rate_hz: Steps a second.
        fingerprint: Changes when a file does.

    Raises:
        DataError: There is no such data set, it is of another version, damaged, or has a feature that cannot be read.
        MissingExtraError: A library is not installed.
    """

    def __init__(self, path: Path):
        self.path = Path(path).expanduser()
        self._info = load_info(self.path)
        sounds = load_streams(self.path)
        described = self.path / INFO
        named = [name for name in self._info.features if name not in BOOKKEEPING and name != CAPTURE]
        beside = {column for name in named for column in (seen_column(name), captured_column(name))}
        features = {
            name: feature_of(described, name, self._info.features[name], self._info.fps)
            for name in named
            if name not in beside
        }
        self.features: Mapping[str, Feature] = features | {TASK: Feature("text")} | sounds
        self.rate_hz: float | None = self._info.fps
        self.fingerprint = _fingerprint(self.path)
        videos = [name for name, entry in self._info.features.items() if entry.dtype == "video"]
        self._episodes = load_episodes(self.path, self._info, videos)
        self._tasks = {index: task for task, index in load_tasks(self.path).items()} if len(self._episodes) else {}
        self._columns = Columns(self.path, self._info)
        self._resampled: Recent[SoundTrack] = Recent(2)

    def __len__(self) -> int:
        """How many episodes there are."""
        return len(self._episodes)

    def episode(self, index: int) -> "LeRobotEpisode":
        """One of them.

        Raises:
            DataError: Its table is missing, damaged, or not what `meta/info.json` says.
            IndexError: There are not that many.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"episode {index} of {len(self)} in {self.path}")
        return LeRobotEpisode(
            _Set(self.path, self._info, self._columns, self._tasks, self.features, self._resampled),
            self._episodes.row(index),
        )


class _Set(NamedTuple):
    """What the episodes of a data set share."""

    path: Path
    info: Info
    columns: Columns
    tasks: dict[int, str]
    features: Mapping[str, Feature]
    resampled: Recent[SoundTrack]


class LeRobotEpisode:
    """One episode; an `Episode`."""

    def __init__(self, whole: _Set, row: EpisodeRow):
        self._set, self._row = whole, row
        self.name = f"episode {row.number} of {whole.path.name}"
        self.times_s = self._times()

    def track(self, feature: str, sample_rate: int | None = None) -> Track:
        """The samples of a feature; `sample_rate` is of no concern: sound comes in streams here.

        Raises:
            DataError: The data set has no such feature, or its column is damaged.
        """
        what = self._feature(feature)
        if what.kind == "audio":
            raise DataError(f"{self.name}: {feature} is a stream of sound, not single sounds")
        if feature == TASK:
            return self._task_track()
        steps, times_s = self._seen(feature)
        entry = self._set.info.features[feature]
        if entry.dtype == "video":
            return _Track(times_s, steps, partial(self._frames, feature))
        if entry.dtype == "image":
            return _Track(times_s, steps, partial(self._pictures, feature))
        if seen_column(feature) in self._set.info.features:
            return _Track(times_s, steps, partial(self.stored, feature))
        values = self._set.columns.values(self._row, feature)
        if what.kind == "vector":
            steps = np.flatnonzero(np.isfinite(values).all(1))
            values = values.astype(np.float32)
        elif what.kind == "text":
            steps = np.array([step for step, text in enumerate(values) if text is not None], np.int64)
        else:
            steps = np.flatnonzero(np.isfinite(values[:, 0]))
            values = np.nan_to_num(values[:, 0]).astype(np.int64).tolist()
        return _Track(self.times_s[steps], steps, lambda asked: [values[step] for step in asked])

    def stored(self, column: str, steps: Sequence[int]) -> list[Any]:
        """What stands in a column at some steps, also where it stands for nothing, and in columns that are no features.

        Raises:
            DataError: There is no such column, or it is damaged.
        """
        entry = self._set.info.features.get(column)
        if entry is None:
            raise DataError(f"{self._set.path} has no {column!r}; it has {', '.join(self._set.info.features)}")
        if entry.dtype in ("video", "image"):
            return (self._frames if entry.dtype == "video" else self._pictures)(column, steps)
        values = self._set.columns.values(self._row, column)
        if entry.dtype == "string":
            return [values[step] for step in steps]
        rows = values[np.asarray(steps, np.int64)]
        return [int(one[0]) for one in rows] if entry.dtype == "int64" else list(rows.astype(np.float32))

    def _seen(self, feature: str) -> tuple[np.ndarray, np.ndarray]:
        """The steps at which a feature has something new, and when that was in hand (s)."""
        column = seen_column(feature)
        steps = np.arange(len(self.times_s))
        if column not in self._set.info.features:
            return steps, self.times_s
        numbers = np.array(self.stored(column, steps.tolist()), np.int64)
        steps = np.flatnonzero((numbers >= 0) & (np.diff(numbers, prepend=-1) != 0))
        if captured_column(feature) not in self._set.info.features:
            return steps, self.times_s[steps]
        captured_ns = self.stored(captured_column(feature), steps.tolist())
        return steps, np.maximum.accumulate(np.array(captured_ns, np.float64) / 1e9)

    def sound(self, feature: str, sample_rate: int) -> SoundTrack:
        """A stream of sound at `sample_rate` (Hz).

        Raises:
            DataError: The data set has no such stream, or a file of it is missing or damaged.
        """
        what = self._feature(feature)
        if what.kind != "audio":
            raise DataError(f"{self.name}: {feature} is {what.kind}, not sound")
        place = file_of(self._row.number, self._set.info.chunks_size)

        def make() -> SoundTrack:
            recorded = RecordedSound(self._set.path, feature, what, place, self._row.number)
            return recorded if recorded.sample_rate == sample_rate else ResampledSound(recorded, sample_rate)

        return self._set.resampled.get((feature, self._row.number, sample_rate), make)

    def _feature(self, name: str) -> Feature:
        if name not in self._set.features:
            raise DataError(f"{self._set.path} has no feature {name!r}; it has {', '.join(self._set.features)}")
        return self._set.features[name]

    def _times(self) -> np.ndarray:
        name = CAPTURE if CAPTURE in self._set.info.features else "timestamp"
        times_s = self._set.columns.values(self._row, name)[:, 0].astype(np.float64)
        late = np.flatnonzero(~(np.diff(times_s) > 0))
        if len(late) or not np.isfinite(times_s).all():
            step = int(late[0]) + 1 if len(late) else int(np.flatnonzero(~np.isfinite(times_s))[0])
            raise DataError(
                f"{self._set.columns.file(self._row)}: episode {self._row.number}, row {step}: expected a {name} later "
                f"than the one before, found {times_s[step]:g} s; leave this episode out or repair its times"
            )
        return times_s

    def _task_track(self) -> "_Track":
        """The task when the episode begins, and wherever it changes."""
        numbers = self._set.columns.values(self._row, "task_index")[:, 0]
        steps = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
        for number in numbers[steps].tolist():
            if number not in self._set.tasks:
                raise DataError(
                    f"{self._set.columns.file(self._row)}: episode {self._row.number} has task {number}, of which "
                    f"meta/tasks.parquet says nothing; copy the data set again"
                )
        texts = [self._set.tasks[number] for number in numbers[steps].tolist()]
        return _Track(self.times_s[steps], np.arange(len(steps)), lambda asked: [texts[one] for one in asked])

    def _frames(self, feature: str, steps: Sequence[int]) -> list[np.ndarray]:
        """Frames of a video, by step."""
        place, from_s = self._row.videos[feature]
        path = self._set.path / fill(self._set.info.video_path or VIDEO_PATH, video_key=feature, **place)
        stamps = self._set.columns.values(self._row, "timestamp")[:, 0]
        wrong = np.flatnonzero(~np.isfinite(stamps))
        if len(wrong):
            raise DataError(
                f"{self._set.columns.file(self._row)}: episode {self._row.number}, row {wrong[0]}: expected a "
                f"timestamp, found {stamps[wrong[0]]:g}; leave this episode out or repair its times"
            )
        # LeRobot keeps timestamps in 32 bits, which near half an hour are coarser than its tolerance
        coarse = float(np.spacing(np.abs(stamps).max(initial=0), dtype=np.float32)) if len(stamps) else 0.0
        times_s = [from_s + float(stamps[step]) for step in steps]
        frames = read_frames(path, times_s, TOLERANCE_S + coarse, self._set.info.fps)
        return [self._checked(feature, frame, path) for frame in frames]

    def _pictures(self, feature: str, steps: Sequence[int]) -> list[np.ndarray]:
        """Pictures that are kept one by one, by step."""
        cv2 = library("cv2", "opencv-python-headless", "data", "decoding pictures")
        path = self._set.columns.file(self._row)
        channels = self._set.features[feature].shape[2]
        encoded = self._set.columns.pictures(self._row, feature)
        pictures = []
        for step in steps:
            kind = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR_RGB}.get(channels, cv2.IMREAD_UNCHANGED)
            content = encoded[step].as_py()
            picture = None
            if content:
                require_modest(content, f"{path}: episode {self._row.number}, row {step}: {feature}")
                picture = cv2.imdecode(np.frombuffer(content, np.uint8), kind | cv2.IMREAD_IGNORE_ORIENTATION)
            if picture is None:
                raise DataError(
                    f"{path}: episode {self._row.number}, row {step}: {feature} is no picture that can be decoded; "
                    "copy the data set again"
                )
            if channels == 4:
                picture = cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA)
            pictures.append(self._checked(feature, picture.reshape(*picture.shape[:2], -1), path))
        return pictures

    def _checked(self, feature: str, frame: np.ndarray, path: Path) -> np.ndarray:
        shape = self._set.features[feature].shape
        if frame.shape != shape:
            raise DataError(
                f"{path}: episode {self._row.number}: expected {feature} of shape {shape}, as meta/info.json says, "
                f"found {frame.shape}; correct one of them"
            )
        return frame


class _Track:
    """Samples at some of the steps of an episode; a `Track`."""

    def __init__(self, times_s: np.ndarray, steps: np.ndarray, read: Any):
        self.times_s, self._steps, self._read = times_s, steps, read

    def read(self, samples: Sequence[int]) -> list[Any]:
        """Samples by number, in the order asked for."""
        result: list[Any] = self._read(self._steps[np.asarray(samples, np.int64)].tolist())
        return result


def _fingerprint(root: Path) -> str:
    """Of the names, sizes and times of change of all files: nothing is read for it but what describes the rest."""
    digest = hashlib.sha256((root / INFO).read_bytes())
    for folder in ("meta", "data", "videos", AUDIO.rstrip(".")):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file():
                state = path.stat()
                digest.update(f"{path.relative_to(root)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()
