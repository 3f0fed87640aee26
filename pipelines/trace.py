"""Traces: what a policy saw, decided and did, one line of JSON each, written so that a crash loses no more than a line.

A file may hold several runs, one after another; each begins with a header.
"""

import fcntl
import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sensorimotor.actions.decision import Decision
from sensorimotor.clock import Clock
from sensorimotor.errors import OutputPathError, TraceError
from sensorimotor.models.signature import Signature
from sensorimotor.pipelines.loop import Turn
from sensorimotor.redaction import redacted

FORMAT = 1
"""The version of the lines; a reader refuses a newer one."""

KINDS = ("header", "decision", "event")


class TraceWriter:
    """Appends to a trace; an `Observer`. One line is one write, so that it is whole or the last one.

    Where the disk is full, tracing ends for good, which is told once; the lines that are lost are counted.

    Args:
        path: The file; a run is appended to what is there.
        signature: Of the policy.
        policy: Its fingerprint.
        sensors: Input → where it comes from.
        actuator: Where actions go.
        clock: The clock that all moments are told on.
        told: Gets one sentence when tracing ends.
        more: More for the header, in plain JSON types.

    Raises:
        OutputPathError: The file cannot be made or written.
    """

    def __init__(
        self,
        path: Path,
        signature: Signature,
        *,
        policy: str,
        sensors: Mapping[str, str],
        actuator: str,
        clock: Clock,
        told: Callable[[str], object],
        more: Mapping[str, Any] | None = None,
    ):
        self.path, self.lines, self.lost, self.broken = path, 0, 0, ""
        self._clock, self._told = clock, told
        self._file = _opened(path)
        header = {
            "kind": "header",
            "format": FORMAT,
            "policy": policy,
            "signature": signature.to_json(),
            "sensors": {name: redacted(source) for name, source in sensors.items()},
            "actuator": redacted(actuator),
            # What all `_ns` of this run are told on, and the time of day at one of its moments.
            "clock": {
                "kind": type(clock).__name__,
                "now_ns": clock.now_ns(),
                "time": datetime.now(UTC).isoformat(timespec="microseconds"),
            },
            **(more or {}),
        }
        if reason := self._append(header):
            self.close()
            raise OutputPathError(f"cannot write the trace {path}: {reason}")

    def __enter__(self) -> "TraceWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def turned(self, turn: Turn) -> None:
        """Write the decision of a turn. Never fails."""
        self.decision(turn.decision, turn.decided_ns, turn=turn.number, at_ns=turn.at_ns, due_ns=turn.due_ns)

    def decision(self, decision: Decision, decided_ns: int, **more: Any) -> None:
        """Write a decision: its record, the moment it was made, and more in plain JSON types. Never fails."""
        self._write({"kind": "decision", "decided_ns": decided_ns, **decision.to_json(), **more})

    def event(self, what: str, at_ns: int | None = None, **details: Any) -> None:
        """Write an event (`input`, `drop`, `guard`, `health`, `actuator`, …) and its details. Never fails."""
        moment = self._clock.now_ns() if at_ns is None else at_ns
        self._write({"kind": "event", "what": what, "at_ns": moment, **details})

    def close(self) -> None:
        """Let go of the file. May be called twice; what is written later is counted as lost."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.broken = self.broken or "closed"

    def _write(self, record: Mapping[str, Any]) -> None:
        if not self.broken and (reason := self._append(record)):
            self.broken = f"tracing to {self.path} has ended after {self.lines} lines: {reason}"
            self._told(self.broken)
        self.lost += bool(self.broken)

    def _append(self, record: Mapping[str, Any]) -> str:
        """Write one line; returns why it could not be, or nothing."""
        line = _line(record)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            return error.strerror or str(error)
        if written < len(line):
            return "the disk is full"
        self.lines += 1
        return ""


def _opened(path: Path) -> int:
    """The file, open for appending whole lines to it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise OutputPathError(f"cannot write the trace {path}: {error.strerror}") from error
    try:
        status = os.fstat(file)
        if stat.S_ISFIFO(status.st_mode):
            raise OutputPathError(f"the trace {path} is a pipe: one that is not read would hold up the policy")
        if stat.S_ISREG(status.st_mode):
            _have_alone(file, path)
        if status.st_size and os.pread(file, 1, status.st_size - 1) != b"\n":
            os.write(file, b"\n")  # a run that was killed: its last line stays torn, ours are whole
    except OSError as error:
        os.close(file)
        raise OutputPathError(f"cannot write the trace {path}: {error.strerror}") from error
    except OutputPathError:
        os.close(file)
        raise
    return file


def _have_alone(file: int, path: Path) -> None:
    """Refuse a trace that another run writes: nobody could tell whose a line is."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it, however we end
    except BlockingIOError:
        raise OutputPathError(f"another run writes the trace {path}: choose another file") from None
    except OSError:  # some network file systems have no locks; nothing is lost but the check
        pass


def _line(record: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(record, allow_nan=False, default=_plain, separators=(",", ":"))
    except ValueError:  # NaN or infinity: JSON has none, and a trace of what went wrong must hold them
        text = json.dumps(_spelled(record), allow_nan=False, default=_plain, separators=(",", ":"))
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    """Values of numpy as JSON has them; of anything else, what it says of itself."""
    return _spelled(value.tolist()) if isinstance(value, np.ndarray | np.generic) else str(value)


def _spelled(value: Any) -> Any:
    """Numbers that JSON does not have as texts: "nan", "inf", "-inf"."""
    if isinstance(value, Mapping):
        return {str(key): _spelled(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One line of a trace.

    Attributes:
        number: Which one, from 1.
        kind: `torn` is the last line of a run that was killed while it wrote; there is nothing in its record.
        record: What it says.
    """

    number: int
    kind: Literal["header", "decision", "event", "torn"]
    record: dict[str, Any]


def read_trace(path: Path) -> Iterator[TraceLine]:
    """The lines of a trace, read as they are asked for; the first is a header.

    Raises:
        TraceError: There is no such file, it is damaged elsewhere than at the end of a run, or too new.
    """
    torn: tuple[int, str] | None = None
    begun, number, why = False, 0, "it is empty"
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                record, why = _parsed(raw)
                header = record is not None and record["kind"] == "header"
                if torn and not header:
                    raise _damaged(path, *torn)
                if record is None:
                    torn = number, why
                    continue
                if not begun and not header:
                    raise _damaged(path, number, "a trace begins with a header")
                if torn:
                    yield TraceLine(torn[0], "torn", {})
                if header and record.get("format") != FORMAT:
                    raise _damaged(path, number, f"its format is {record.get('format')!r}, this version reads {FORMAT}")
                torn, begun = None, True
                yield TraceLine(number, record["kind"], record)
    except OSError as error:
        raise TraceError(f"cannot read the trace {path}: {error.strerror}") from error
    if not begun:
        raise TraceError(f"{path} is no trace: {why}")
    if torn:
        yield TraceLine(torn[0], "torn", {})


def _parsed(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """What a line says, or None and what is wrong with it."""
    try:
        record = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return None, f"it is not JSON: {error}"
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        return None, f"it is none of {', '.join(KINDS)}"
    return record, ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _damaged(path: Path, number: int, why: str) -> TraceError:
    return TraceError(f"{path}, line {number}: {why}")
