"""Sensors: live or recorded sources of samples, all read in the same way.

A sensor is read by one thread. It says when a sample was in hand, on the clock that it was given; what its own device
says of the time is kept beside it and never trusted for ages.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

from sensorimotor.errors import SensorError


class StreamEnded(SensorError):  # noqa: N818 (not a mistake, as StopIteration is none)
    """A source of limited length has been read to its end; there is no use in opening it again."""


class StreamBroken(StreamEnded):
    """A file is damaged from here on: what comes after that is lost."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sensor gives at a time.

    Attributes:
        value: As the input's modality has it: one frame, uint8 `(height, width, channels)`; the sound since the last
            sample, float32 `(n, channels)` at the input's sample rate; a text; a state, float32 `(size,)`.
        captured_ns: When its newest part was in hand, on the injected clock (ns).
        sequence: How manieth sample of its sensor since it was opened, counted by the sensor: what it had to throw away
            leaves a gap.
        device_s: When it was taken as the device or file says, on a clock of its own (s); None where it says nothing.
    """

    value: Any
    captured_ns: int
    sequence: int
    device_s: float | None = None


class Losses:
    """What was thrown away, counted by cause, and what a person should be told; any thread may write and read.

    >>> losses = Losses()
    >>> losses.count("torn")
    >>> losses.count("torn", 2)
    >>> losses.totals()
    {'torn': 3}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._lines: dict[str, None] = {}

    def count(self, cause: str, number: int = 1) -> None:
        """So many more were lost for this cause."""
        if number:
            with self._lock:
                self._counts[cause] += number

    def first(self, cause: str) -> bool:
        """Count one; whether it was the first for this cause."""
        with self._lock:
            self._counts[cause] += 1
            return self._counts[cause] == 1

    def tell(self, line: str) -> None:
        """Have this told to a person; the same line twice in a row is told once."""
        with self._lock:
            self._lines[line] = None

    def totals(self) -> dict[str, int]:
        """Cause → how many, since the beginning."""
        with self._lock:
            return dict(self._counts)

    def told(self) -> list[str]:
        """The lines since the last call."""
        with self._lock:
            lines, self._lines = list(self._lines), {}
            return lines


class Sensor(Protocol):
    """A source of samples of one input.

    Attributes:
        source: What it is, for people and traces; without credentials.
        paced: Whether samples come in their own time (a camera, or a file in real time). If not, the next one is there
            as soon as it is asked for, and nothing is ever late or dropped.
        interval_s: How far apart samples should be (s); None where nobody can say: words, datagrams.
        noisy: Whether no two samples are ever the same while it works, as with a camera: then repeats mean that it is
            frozen.
        reopens: Whether to open it again may help where nothing comes any more: devices and connections, but not files.
        losses: What it threw away, and what it has to tell.
    """

    source: str
    paced: bool
    interval_s: float | None
    noisy: bool
    reopens: bool
    losses: Losses

    def open(self) -> str | None:
        """Connect; may be called again after `close` or an error.

        Returns:
            One line for a person where something is not as it was asked for (another size, another rate), or None.

        Raises:
            SensorError: It is not there.
        """
        ...

    def read(self, timeout_s: float) -> Sample | None:
        """The next sample, or None where none came within `timeout_s`.

        A driver or a network library may hold it up for longer than that: whether samples are late is judged by
        another thread than the one that reads.

        Raises:
            StreamEnded: There will be no more; `StreamBroken`, though there should be.
            SensorError: It is gone; `open` may bring it back.
        """
        ...

    def close(self) -> None:
        """Let go of the device, now or as soon as a `read` in another thread comes back; never waits for that one.

        May be called twice.
        """
        ...
