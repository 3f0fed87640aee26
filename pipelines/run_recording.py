"""`sensorimotor run --record`: what came in and what was done, kept in the format that `train` and `data` read."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sensorimotor.errors import SensorimotorError
from sensorimotor.libraries import library
from sensorimotor.models.signature import Signature
from sensorimotor.pipelines.background import Background
from sensorimotor.pipelines.lerobot_format import AUDIO
from sensorimotor.pipelines.loop import Turn
from sensorimotor.pipelines.recorder import Recorder
from sensorimotor.pipelines.run_features import Rows, run_features, words

LIMIT_BYTES = 256 * 2**20
"""So much may wait to be written; then steps are left out."""
CLOSING_S = 60.0
"""How long it may take to write what waits when a run ends (s)."""
NO_WORDS = "no instruction"
"""The task of an episode in which nothing was said."""


class Keeper(Protocol):
    """Takes what comes in and what is done."""

    def begin(self, stream: int) -> None:
        """A new episode begins; all inputs count their values from 0 again."""
        ...

    def hear(self, stream: int, name: str, chunk: np.ndarray, captured_ns: int) -> None:
        """Sound came in, float32 `(n, channels)`, as `as_recorded` made it."""
        ...

    def step(self, turn: Turn) -> None:
        """A turn was taken."""
        ...

    def summary(self) -> dict[str, Any]:
        """What the recording has come to, in plain JSON types."""
        ...


class RunRecording:
    """Records at once, in the thread of the caller; a `Keeper`.

    Whatever fails, such as a full disk, ends the recording, which is told once, and never the run. The task of an
    episode is the first instruction in it; all of them are in a column.

    Args:
        path: A new directory, or one of the same recording, which is continued.
        signature: Of the policy.
        names: The inputs that are sensed.
        rate_hz: Decisions a second.
        target: Where actions go.
        told: Takes what a person should know.
        committed: Takes `(stream, episode)` when an episode is kept: its number here and in the directory.

    Raises:
        DataError, OutputPathError, UsageError: See `Recorder`.
        MissingExtraError: A library is not installed.
    """

    def __init__(
        self,
        path: Path,
        signature: Signature,
        names: Collection[str],
        *,
        rate_hz: float,
        target: str,
        told: Callable[[str], object],
        committed: Callable[[int, int], object] = lambda stream, episode: None,
    ):
        for module, package in (("av", "av"), ("pyarrow", "pyarrow"), ("soundfile", "soundfile")):
            library(module, package, "data", "recording a run")  # not found out when the first episode ends
        features = run_features(signature, names)
        self._recorder = Recorder(path, features, rate_hz, robot_type=target, crf=0)
        if self._recorder.recovered:
            told(f"{path}: {self._recorder.recovered}")
        self._path, self._signature, self._names = path, signature, list(names)
        self._told, self._committed = told, committed
        self._rows = Rows(signature, self._names)
        self._stream = self._in_progress = self._episodes = self._steps = self._lost = 0
        self._task = self._ended = ""

    def begin(self, stream: int) -> None:
        """See `Keeper`."""
        if stream > self._stream:
            self._try(self._keep)
            self._stream, self._in_progress, self._task = stream, 0, ""
            self._rows = Rows(self._signature, self._names)

    def hear(self, stream: int, name: str, chunk: np.ndarray, captured_ns: int) -> None:
        """See `Keeper`."""
        self.begin(stream)
        if stream == self._stream:  # what was on its way when the episode ended is part of none
            self._try(lambda: self._recorder.add_sound(f"{AUDIO}{name}", chunk, captured_ns / 1e9))

    def step(self, turn: Turn) -> None:
        """See `Keeper`."""
        self._try(lambda: self._add(turn))
        self._lost += bool(self._ended)

    def end(self, reason: str) -> None:
        """Record no more; the episode in progress is given up."""
        if not self._ended:
            self._ended = f"recording to {self._path} has ended after {self._episodes} episodes: {reason}"
            self._lost += self._in_progress
            self._told(self._ended)
            self._recorder.close()

    def close(self) -> None:
        """Keep the episode in progress."""
        self._try(self._keep)
        self._recorder.close()
        if not self._ended:
            self._ended = "closed"
            self._told(f"recorded {self._episodes} episodes, {self._steps} steps, in {self._path}")

    def summary(self) -> dict[str, Any]:
        """See `Keeper`."""
        return {
            "path": str(self._path),
            "episodes": self._episodes,
            "steps": self._steps,
            "lost": self._lost,
            "ended": self._ended if self._ended != "closed" else "",
        }

    def _add(self, turn: Turn) -> None:
        self._recorder.add(self._rows.row(turn), turn.at_ns / 1e9)
        self._in_progress += 1
        self._task = self._task or words(self._signature, turn.seen.observation)

    def _keep(self) -> None:
        if not self._in_progress:
            self._recorder.discard()
            return
        episode = self._recorder.commit(self._task or NO_WORDS)
        self._episodes, self._steps = self._episodes + 1, self._steps + self._in_progress
        self._in_progress = 0
        self._committed(self._stream, episode)

    def _try(self, work: Callable[[], None]) -> None:
        if self._ended:
            return
        try:
            work()
        except SensorimotorError as error:
            self.end(str(error))
        except Exception as error:  # noqa: BLE001 (whatever a codec raises ends the recording and not the run)
            self.end(f"{type(error).__name__}: {error}")


class BackgroundRecording:
    """Records in a thread of its own: whoever hands something over never waits; a `Keeper`.

    What waits to be written is bounded: then steps are left out, counted and told. Sound is never left out, for what
    comes after a gap would be another sound: where it must be, the recording ends.

    Args:
        recording: What writes.
        told: Takes what a person should know.
        limit_bytes: So much may wait, and as much again of sound.
    """

    def __init__(self, recording: RunRecording, told: Callable[[str], object], limit_bytes: int = LIMIT_BYTES):
        self._recording, self._told, self._limit_bytes = recording, told, limit_bytes
        self.worker = Background("recording", limit_bytes)
        self._left_out, self._deaf = 0, False

    def begin(self, stream: int) -> None:
        """See `Keeper`."""
        self.worker.offer(0, lambda: self._recording.begin(stream))

    def hear(self, stream: int, name: str, chunk: np.ndarray, captured_ns: int) -> None:
        """See `Keeper`."""
        if self._deaf:
            return
        work = partial(self._recording.hear, stream, name, chunk, captured_ns)
        if not self.worker.offer(chunk.nbytes, work, limit_bytes=2 * self._limit_bytes):
            self._deaf = True
            self.worker.first(lambda: self._recording.end("the disk is too slow for the sound"))

    def step(self, turn: Turn) -> None:
        """See `Keeper`."""
        if self.worker.offer(turn.size_bytes, lambda: self._recording.step(turn)):
            return
        if not self._left_out:
            waiting_mib = self.worker.waiting_bytes / 2**20
            self._told(f"recording: steps are left out, for {waiting_mib:.0f} MiB wait to be written already")
        self._left_out += 1

    def summary(self) -> dict[str, Any]:
        """See `Keeper`."""
        summary = self._recording.summary()
        return {**summary, "lost": summary["lost"] + self._left_out}

    def close(self, within_s: float = CLOSING_S) -> None:
        """Write what waits, and keep the episode in progress."""
        self.worker.offer(0, self._recording.close)
        if not self.worker.close(within_s):
            self._told(f"recording: what waits could not be written within {within_s:g} s; its last episode is lost")
