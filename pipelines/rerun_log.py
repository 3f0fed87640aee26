"""`sensorimotor run --rerun`: what a policy sees, considers and does, in a file that the Rerun viewer shows."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorimotorError
from sensorimotor.libraries import library
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Audio
from sensorimotor.pipelines.background import Background
from sensorimotor.pipelines.loop import Turn
from sensorimotor.pipelines.rerun_file import RerunFile
from sensorimotor.pipelines.rerun_views import Entity, Views

FLUSH_EVERY_S = 1.0
"""What was logged is in the file after so long (s), and whether that still takes it is known."""
LIMIT_BYTES = 64 * 2**20
"""So much may wait to be logged; then turns are left out."""
CLOSING_S = 30.0
"""How long it may take to log what waits when a run ends (s)."""
EVENT_BYTES = 512


class RerunLog:
    """Logs at once, in the thread of the caller; an `Observer`.

    Timelines are `decision` (its number), `time` (since the beginning) and `episode`. Whatever fails, such as a full
    disk, ends the log, which is told once, and never the run.

    Args:
        path: The file (`.rrd`); one that is there is replaced.
        signature: Of the policy.
        names: The inputs that are sensed.
        clock: The one that samples are stamped with.
        told: Takes what a person should know.

    Raises:
        MissingExtraError: A library is not installed.
        UsageError, OutputPathError: See `RerunFile`.
    """

    def __init__(
        self,
        path: Path,
        signature: Signature,
        names: Collection[str],
        *,
        clock: Clock,
        told: Callable[[str], object],
    ):
        self._views = Views(signature, names)
        if any(isinstance(signature.inputs[name], Audio) for name in names):
            library("cv2", "opencv-python-headless", "rerun", "drawing a spectrogram")
        self._file = RerunFile(path, self._views.blueprint())
        self._clock, self._told, self._path = clock, told, path
        self._began_ns, self._flushed_s = clock.now_ns(), time.monotonic()
        self._turn, self._episode, self._turns, self._lost = 0, 0, 0, 0
        self._ended, self._closed = "", False
        for entity, named in self._views.static():
            self._try(partial(self._file.stream.log, entity, named, static=True, strict=True))

    def turned(self, turn: Turn) -> None:
        """See `Observer`."""
        self._try(lambda: self._log_turn(turn))
        self._lost += bool(self._ended)

    def event(self, what: str, at_ns: int | None = None, **details: Any) -> None:
        """See `Observer`."""
        moment_ns = self._clock.now_ns() if at_ns is None else at_ns
        self._try(lambda: self._log_event(what, moment_ns, details))
        self._lost += bool(self._ended)

    def close(self) -> None:
        """Finish the file. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with self._ending():
            self._file.close()
        if not self._ended:
            self._ended = "closed"
            self._told(f"logged {self._turns} decisions for Rerun: rerun {self._path}")

    def summary(self) -> dict[str, Any]:
        """What it has come to, in plain JSON types."""
        ended = self._ended if self._ended != "closed" else ""
        return {"path": str(self._path), "decisions": self._turns, "lost": self._lost, "ended": ended}

    def _log_turn(self, turn: Turn) -> None:
        if time.monotonic() - self._flushed_s > FLUSH_EVERY_S:
            self._file.flush()
            self._flushed_s = time.monotonic()
        self._turn = turn.number
        self._log(turn.at_ns, self._views.turn(turn))
        self._turns += 1

    def _log_event(self, what: str, at_ns: int, details: dict[str, Any]) -> None:
        if what == "episode":
            self._episode = details["stream"]
            self._views.begin()
        self._log(at_ns, [self._views.event(what, details)])

    def _log(self, at_ns: int, entities: Iterable[Entity]) -> None:
        stream = self._file.stream
        stream.set_time("decision", sequence=self._turn)
        stream.set_time("time", duration=np.timedelta64(at_ns - self._began_ns, "ns"))
        stream.set_time("episode", sequence=self._episode)
        for path, what in entities:
            stream.log(path, what, strict=True)

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = f"logging for Rerun has ended after {self._turns} decisions: {reason}"
            self._told(self._ended)

    def _try(self, work: Callable[[], object]) -> None:
        if not self._ended:
            with self._ending():
                work()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Have whatever goes wrong inside end the log."""
        try:
            yield
        except SensorimotorError as error:
            self._end(str(error))
        except Exception as error:  # noqa: BLE001 (whatever the library raises ends the log and not the run)
            self._end(f"{type(error).__name__}: {error}")


class BackgroundRerunLog:
    """Logs in a thread of its own: whoever hands something over never waits; an `Observer`.

    What waits to be logged is bounded: then turns and events are left out, counted and told.

    Args:
        log: What logs.
        clock: The one that samples are stamped with.
        told: Takes what a person should know.
        limit_bytes: So much may wait.
    """

    def __init__(self, log: RerunLog, clock: Clock, told: Callable[[str], object], limit_bytes: int = LIMIT_BYTES):
        self._log, self._clock, self._told = log, clock, told
        self.worker = Background("rerun log", limit_bytes)
        self._lock, self._left_out = threading.Lock(), 0

    def turned(self, turn: Turn) -> None:
        """See `Observer`."""
        self._offer(turn.size_bytes, lambda: self._log.turned(turn))

    def event(self, what: str, at_ns: int | None = None, **details: Any) -> None:
        """See `Observer`."""
        moment_ns = self._clock.now_ns() if at_ns is None else at_ns
        self._offer(EVENT_BYTES, lambda: self._log.event(what, moment_ns, **details))

    def close(self, within_s: float = CLOSING_S) -> None:
        """Log what waits, and finish the file."""
        self.worker.offer(0, self._log.close)
        if not self.worker.close(within_s):
            self._told(
                f"logging for Rerun: what waits could not be written within {within_s:g} s; the file is not whole"
            )

    def summary(self) -> dict[str, Any]:
        """What it has come to, in plain JSON types."""
        summary = self._log.summary()
        return {**summary, "lost": summary["lost"] + self._left_out}

    def _offer(self, size_bytes: int, work: Callable[[], object]) -> None:
        if self.worker.offer(size_bytes, work):
            return
        with self._lock:  # events come from any thread
            self._left_out += 1
            first = self._left_out == 1
        if first:
            waiting_mib = self.worker.waiting_bytes / 2**20
            self._told(
                f"logging for Rerun: decisions are left out, for {waiting_mib:.0f} MiB wait to be logged already"
            )
