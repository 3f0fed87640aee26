"""A directory that episodes are added to one at a time, each in whole or not at all.

An episode is written to `.recording/`, under the names that its files will have, and takes its place by renames, of
which that of `meta/info.json` is the last: it says how many episodes count. Whatever lies there beyond that number was
cut off on its way, and is removed by the next who opens the directory.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError, OutputPathError
from sensorimotor.files import require_writable, write_atomically
from sensorimotor.pipelines import recorded_sound
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot_format import (
    BOOKKEEPING,
    CAPTURE,
    CHUNK,
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    TASKS,
    VERSION,
    VIDEO_PATH,
    difference,
    file_of,
    fill,
    load_info,
)
from sensorimotor.pipelines.lerobot_stats import Stats, merged_all, vector_stats
from sensorimotor.pipelines.lerobot_tables import (
    episode_row,
    gather_stats,
    load_stats,
    load_tasks,
    write_stats,
    write_table,
    write_tasks,
)

SCRATCH = ".recording"
ORIGINS = "converted_from"
"""What `meta/info.json` has, besides what LeRobot knows, about data that were converted."""
_NUMBERED = re.compile(r".*/chunk-(\d+)/file-(\d+)\.\w+")
_FILES = ("data/*/*", "videos/*/*/*", "meta/episodes/*/*", "audio/*/*/*")


class RecordingStore:
    """The directory of a recording, and the only one who writes to it.

    Args:
        path: A new or empty directory, or one that was recorded with the same features and rate.
        entries: What `meta/info.json` says of each feature, bookkeeping left out.
        sounds: The streams of sound beside them.
        rate_hz: Steps a second.
        robot_type: What is recorded.

    Attributes:
        recovered: What was lost when the last recorder was cut off, and is cleaned up; None: nothing.
        scratch: Where the files of the next episode are written before they count.

    Raises:
        DataError: What is recorded there has other features or another rate.
        OutputPathError: It cannot be written to, holds something else, or another recorder has it.
        UsageError: A stream of sound that cannot be recorded.
    """

    def __init__(
        self, path: Path, entries: Mapping[str, Any], sounds: Mapping[str, Feature], rate_hz: int, robot_type: str
    ):
        sound = recorded_sound.describe(sounds)
        features = {
            **entries,
            CAPTURE: {"dtype": "float64", "shape": [1], "names": None, "units": ["s"]},
            **BOOKKEEPING,
        }
        self.path = require_writable(path.expanduser().absolute())
        self.scratch = self.path / SCRATCH
        self._rate_hz = rate_hz
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            with self._explained():
                self._take_hold()
                if (self.path / INFO).is_file():
                    self._info = self._same(features, sounds)
                else:
                    self._info = self._begin(features, sound if sounds else None, robot_type)
                self.recovered = self._sweep()
                self._tasks, self._stats = self._totals()
        except BaseException:
            os.close(self._lock)
            raise

    def _take_hold(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it, however we end
        except BlockingIOError as error:
            raise OutputPathError(f"{self.path} is being recorded to already: choose another directory") from error

    def _begin(self, features: dict[str, Any], sound: str | None, robot_type: str) -> dict[str, Any]:
        """A recording without episodes; one that was cut off here is begun again."""
        files = sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file())
        strange = [name for name in files if name != recorded_sound.INFO and not name.endswith(".part")]
        if strange:
            raise OutputPathError(
                f"{self.path} has something else than a recording in it ({strange[0]}); choose another directory"
            )
        info = {
            "codebase_version": VERSION,
            "robot_type": robot_type,
            "total_episodes": 0,
            "total_frames": 0,
            "total_tasks": 0,
            "chunks_size": CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self._rate_hz,
            "splits": {},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": features,
        }
        if sound is None:
            (self.path / recorded_sound.INFO).unlink(missing_ok=True)
        else:
            write_atomically(self.path / recorded_sound.INFO, sound)
        write_atomically(self.path / INFO, json.dumps(info, indent=4))
        return info

    def _same(self, features: dict[str, Any], sounds: Mapping[str, Feature]) -> dict[str, Any]:
        """What is there already, if it is what would be recorded now."""
        described = load_info(self.path)
        if described.total_tasks is None:
            raise DataError(f"{self.path / INFO}: total_tasks is missing; say how many tasks there are in {TASKS}")
        info: dict[str, Any] = json.loads((self.path / INFO).read_bytes())
        info |= {name: getattr(described, name) for name in ("total_episodes", "total_frames", "total_tasks")}
        streams = recorded_sound.load_streams(self.path)
        paths = {"data_path": DATA_PATH, "video_path": VIDEO_PATH}
        other = difference(
            {"fps": info["fps"]} | _comparable(info["features"], streams) | {name: info.get(name) for name in paths},
            {"fps": self._rate_hz} | _comparable(features, sounds) | paths,
        )
        if other:
            raise DataError(f"{self.path} cannot be continued: {other}; record to another directory")
        return info

    @property
    def episodes(self) -> int:
        """How many episodes there are."""
        return int(self._info["total_episodes"])

    @property
    def place(self) -> dict[str, int]:
        """Where the files of the next episode go."""
        return file_of(self.episodes, self._info.get("chunks_size", CHUNK))

    def scratch_file(self, template: str, **values: Any) -> Path:
        """Where to write a file of the next episode.

        Raises:
            OutputPathError: There is no room for it.
        """
        path = self.scratch / fill(template, **values, **self.place)
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def drop(self) -> None:
        """Forget the next episode."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def close(self) -> None:
        """Let others record here."""
        self.drop()
        os.close(self._lock)

    @property
    def origins(self) -> Any:
        """What `meta/info.json` says of where episodes were converted from."""
        return self._info.get(ORIGINS, {})

    def commit(
        self,
        columns: Mapping[str, Any],
        times_s: list[float],
        task: str,
        stats: Mapping[str, Stats],
        origin: Mapping[str, Any] | None = None,
    ) -> int:
        """Make what lies in `scratch` an episode.

        Args:
            columns: Arrow arrays, one value a step: all features but those in files of their own.
            times_s: When each step was.
            task: What it is about.
            stats: Of every feature that has any.
            origin: What to add to `origins`.

        Returns:
            The number of the episode.

        Raises:
            OutputPathError: It cannot be written; the episodes before it are as they were.
        """
        episode, steps, first = self.episodes, len(times_s), int(self._info["total_frames"])
        tasks = self._tasks if task in self._tasks else {**self._tasks, task: len(self._tasks)}
        extra = self._bookkeeping(times_s, tasks[task])
        stats = {**stats, **{name: vector_stats(values[:, None]) for name, values in extra.items()}}
        videos = [name for name, entry in self._info["features"].items() if entry["dtype"] == "video"]
        order = [name for name in self._info["features"] if name not in videos]
        before = self._stats
        total = merged_all({name: [before[name], one] if name in before else [one] for name, one in stats.items()})
        info = {
            **self._info,
            "total_episodes": episode + 1,
            "total_frames": first + steps,
            "total_tasks": len(tasks),
            "splits": {"train": f"0:{episode + 1}"},
        }
        if origin is not None:
            info[ORIGINS] = {**self.origins, **origin}
        try:
            with self._explained():
                values = {**columns, **extra}
                row = episode_row(episode, task, first, (steps, self._rate_hz), self.place, videos, stats)
                write_table(self.scratch_file(DATA_PATH), {name: values[name] for name in order})
                write_table(self.scratch_file(EPISODES_PATH), row)
                self._settle()
                if tasks is not self._tasks:
                    write_tasks(self.path, tasks)
                write_stats(self.path, total)
                write_atomically(self.path / INFO, json.dumps(info, indent=4))
        except BaseException:
            if load_info(self.path).total_episodes > episode:  # interrupted when it counted already
                self._info, self._tasks, self._stats = info, tasks, total
            else:
                self._undo()
            raise
        self._info, self._tasks, self._stats = info, tasks, total
        self.drop()
        return episode

    def _bookkeeping(self, times_s: list[float], task: int) -> dict[str, np.ndarray]:
        """The columns that every data set has, and the one that ours have."""
        numbers = np.arange(len(times_s))
        return {
            CAPTURE: np.array(times_s, np.float64),
            "timestamp": (numbers / self._rate_hz).astype(np.float32),
            "frame_index": numbers,
            "episode_index": np.full(len(numbers), self.episodes),
            "index": int(self._info["total_frames"]) + numbers,
            "task_index": np.full(len(numbers), task),
        }

    def _settle(self) -> None:
        """Put the files of the episode in their places."""
        files = sorted(path for path in self.scratch.rglob("*") if path.is_file())
        for path in files:
            with path.open("rb") as written:
                os.fsync(written.fileno())
        for path in files:
            target = self.path / path.relative_to(self.scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def _undo(self) -> None:
        """Back to what counts, after a commit that failed."""
        with suppress(OutputPathError, OSError):  # on a broken disk; the next who opens it does this again
            self._sweep()
            write_tasks(self.path, self._tasks)
            write_stats(self.path, self._stats)

    def _sweep(self) -> str | None:
        """Remove what does not count, and say what it was."""
        settled = self._settled()
        self._require_count(settled)
        lost = [path for path in self.scratch.rglob("*") if path.is_file()]
        lost += [path for path, number in settled.items() if number == self.episodes]
        total = sum(path.stat().st_size for path in lost)
        for path in (*lost, *self.path.glob("meta/.*.part"), *self.path.glob("audio/.*.part")):
            path.unlink(missing_ok=True)
        self.drop()
        if not lost:
            return None
        return (
            f"episode {self.episodes} was in progress when the last recorder was cut off, and is lost "
            f"({len(lost)} files, {total / 1e6:.1f} MB, removed); the {self.episodes} before it are unharmed"
        )

    def _settled(self) -> dict[Path, int]:
        """The files of episodes that are in their places, and of which episode each is."""
        size = self._info.get("chunks_size", CHUNK)
        found = {}
        for path in (path for pattern in _FILES for path in self.path.glob(pattern)):
            numbers = _NUMBERED.fullmatch(str(path))
            if numbers:
                found[path] = int(numbers[1]) * size + int(numbers[2])
        return found

    def _require_count(self, settled: Mapping[Path, int]) -> None:
        """Nothing is removed on the word of a wrong count: only one episode can have been in progress."""
        listed = {number for path, number in settled.items() if path.match("meta/episodes/*/*")}
        there = max(listed, default=-1) + 1
        if max(settled.values(), default=0) > self.episodes or (self.episodes and self.episodes - 1 not in listed):
            raise DataError(
                f"{self.path / INFO} says there are {self.episodes} episodes, but there are files of {there}; nothing "
                "was changed: correct total_episodes, total_frames and splits, or record to another directory"
            )

    def _totals(self) -> tuple[dict[str, int], dict[str, Stats]]:
        """Tasks and statistics of the episodes that count, also where their files have more, or less."""
        if not self.episodes:
            return {}, {}
        there = load_tasks(self.path)
        tasks = {task: index for task, index in there.items() if index < self._info["total_tasks"]}
        if len(tasks) < len(there):
            write_tasks(self.path, tasks)
        stats = load_stats(self.path, self._info["total_frames"], self._info["features"])
        if stats is None:
            stats = gather_stats(self.path)
            write_stats(self.path, stats)
        return tasks, stats

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputPathError(f"cannot write {self.path}: {reason}") from error


def _comparable(entries: Mapping[str, Any], sounds: Mapping[str, Feature]) -> dict[str, Any]:
    """What two recordings must have in common to be one; how videos are encoded is not part of it."""
    features = {name: {key: part for key, part in one.items() if key != "info"} for name, one in entries.items()}
    streams = {name: {"sample_rate": one.rate_hz, "channels": one.shape[0]} for name, one in sounds.items()}
    return features | streams
