"""The thread that reads one sensor, for ever: connects, reads, says how its input is, and connects again.

What becomes of an input, as events:

    waiting ──▶ live ──▶ late ──▶ lost        late: no sample for a while; lost: none for longer, or the sensor said so
                 ▲ │       │        │         frozen: a camera repeats itself; what it sends is held back
                 │ ▼       │        │
                 │ frozen  │        │
                 └─recovered◀───────┘         ended: a source of limited length is through
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.perception.darkness import DARK_S, Darkness
from sensorimotor.perception.modality import Modality, Text
from sensorimotor.perception.pace import Wait
from sensorimotor.perception.repeats import REMEMBERED_FRAMES, Repeats
from sensorimotor.perception.sensor import Losses, Sample, Sensor, StreamEnded

FeedState = Literal["waiting", "live", "late", "frozen", "lost", "ended"]
FeedEvent = Literal["live", "late", "frozen", "lost", "recovered", "ended"]
Sink = Callable[[str, Sample], object]
EventSink = Callable[[str, FeedEvent, str], object]
NoticeSink = Callable[[str, str], object]

LATE_INTERVALS = 1.5
LOST_TIMES_LATE = 3.0
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STEADY_S = 5.0
"""A connection that held for this long (s) was a good one: the next loss begins again with short delays."""

FROZEN_S = 2.0
FROZEN_REPEATS = 5

STOP_S = 2.0
READ_S = 0.1


@dataclass(frozen=True)
class Patience:
    """How long an input may be silent.

    Attributes:
        late_s: Silent for longer, it is late (s); None: never, as with words.
        lost_s: Silent for longer, it is lost (s).
    """

    late_s: float | None
    lost_s: float | None

    @classmethod
    def of(cls, modality: Modality, interval_s: float | None) -> "Patience":
        """What suits an input: until its last sample is older than `max_age_s`, or the next was due long ago.

        The longer of the two counts. A camera that pauses for 60 ms between two frames has done nothing that its age
        does not say, and a slow one is not late between any two frames.

        >>> from sensorimotor.perception.modality import Image
        >>> Patience.of(Image(height=8, width=8, max_age_s=0.5), interval_s=2.0)
        Patience(late_s=3.0, lost_s=9.0)
        """
        if isinstance(modality, Text):
            return cls(None, None)
        late_s = max(modality.max_age_s, LATE_INTERVALS * (interval_s or 0.0))
        return cls(late_s, LOST_TIMES_LATE * late_s)


class Feed:
    """Reads a sensor and hands on its samples; whatever the sensor does, the thread goes on until it is stopped.

    Args:
        name: The input.
        modality: Of the input.
        sensor: Opened, read and closed here.
        clock: The same that the sensor stamps with.
        sink: Takes the samples; should not wait, except for sensors that are not paced. Whoever makes it wait (a
            mailbox of `every`) ends that before the feed is stopped.
        event: Takes `(name, event, reason)` whenever the state changes, in order.
        notice: Takes `(name, line)` that a person should read.
        patience: When it is late and lost; None: as suits the modality and the sensor.
        frozen_s: A camera that repeats itself for so long (s) is frozen; None: it never is.
        chance: Spreads the delays between attempts to connect.
        wait: How to wait between them; for tests.
    """

    def __init__(
        self,
        name: str,
        modality: Modality,
        sensor: Sensor,
        *,
        clock: Clock,
        sink: Sink,
        event: EventSink,
        notice: NoticeSink = lambda name, line: None,
        patience: Patience | None = None,
        frozen_s: float | None = FROZEN_S,
        chance: random.Random | None = None,
        wait: Wait | None = None,
    ):
        self.name, self.sensor = name, sensor
        self.samples = 0
        self.connections = 0
        self._modality, self._clock, self._patience, self._frozen_s = modality, clock, patience, frozen_s
        self._sink, self._event, self._notice = sink, event, notice
        self._chance = chance or random.Random()
        self._stopping = threading.Event()
        self._wait: Wait = wait or self._stopping.wait
        self._lock = threading.RLock()
        self._state: FeedState = "waiting"
        self._losses = Losses()
        self._thread: threading.Thread | None = None
        self._connected = False
        self._attempts = 0
        self._again_ns = self._since_ns = self._last_ns = clock.now_ns()
        self._recent, self._darkness = Repeats(), Darkness()
        self._repeats, self._fresh_ns = 0, self._last_ns

    @property
    def state(self) -> FeedState:
        """How the input is now."""
        return self._state

    def drops(self) -> dict[str, int]:
        """Cause → how many were lost, in the sensor and here."""
        return dict(Counter(self.sensor.losses.totals()) + Counter(self._losses.totals()))

    def start(self) -> None:
        """Begin to read, in a thread."""
        self._again_ns = self._since_ns = self._last_ns = self._clock.now_ns()
        self._thread = threading.Thread(target=self._run, name=f"feed {self.name}", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the thread end, without waiting for it."""
        self._stopping.set()
        self.sensor.close()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End the thread; whether it ended in time.

        One that is stuck in a driver is left behind; it lets go of the device if it ever comes back.
        """
        self.ask_to_stop()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self._state != "ended":
                self.step(READ_S)
        finally:
            self.sensor.close()

    def step(self, timeout_s: float) -> None:
        """One turn of the thread: connect, wait to connect again, or read once."""
        try:
            if not self._connected:
                self._connect(timeout_s)
                return
            sample = self.sensor.read(timeout_s)
        except StreamEnded as end:
            self._disconnect()
            self._become("ended", str(end))
        except SensorError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 (drivers raise what they like; one input must not end the others)
            self._fail(f"{self.sensor.source}: {type(error).__name__} in its driver")  # its text may hold an address
        else:
            if sample is not None:
                self._take(sample)
            elif self.sensor.reopens and self._silent():
                self._fail(f"{self.sensor.source} is silent")
        for line in self.sensor.losses.told():
            self._notice(self.name, line)

    def _silent(self) -> bool:
        """Whether this connection has given nothing for so long that another one should be tried."""
        lost_s = self._limits().lost_s
        return lost_s is not None and self._clock.now_ns() - max(self._last_ns, self._since_ns) > lost_s * 1e9

    def _limits(self) -> Patience:
        return self._patience or Patience.of(self._modality, self.sensor.interval_s)

    def _connect(self, timeout_s: float) -> None:
        left_s = (self._again_ns - self._clock.now_ns()) / 1e9
        if left_s > 0:
            self._wait(min(left_s, timeout_s))
            return
        line = self.sensor.open()
        self._connected = True
        self.connections += 1
        self._since_ns = self._clock.now_ns()
        if line:
            self._notice(self.name, line)

    def _disconnect(self) -> None:
        self._connected = False
        self.sensor.close()

    def _fail(self, reason: str) -> None:
        if self._stopping.is_set():
            return  # it was closed, and that is why
        now_ns = self._clock.now_ns()
        if self._connected and now_ns - self._since_ns >= STEADY_S * 1e9:
            self._attempts = 0
        self._disconnect()
        # full jitter (Brooker, "Exponential backoff and jitter", 2015): many clients do not come back at once
        longest_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._attempts, 16))
        self._attempts += 1
        self._again_ns = now_ns + round(self._chance.uniform(0.0, longest_s) * 1e9)
        self._become("lost", reason)

    def _take(self, sample: Sample) -> None:
        if self._filmed(sample) and self._darkness.seen(sample.value, sample.captured_ns):
            line = f"dark for {DARK_S:g} s, with nothing but noise to be seen; is its lens covered, or the light off?"
            self._notice(self.name, f"{self.sensor.source}: {line}")
        with self._lock:
            gap_s = (sample.captured_ns - self._last_ns) / 1e9
            self._last_ns = sample.captured_ns
            if self._is_frozen(sample):
                self._losses.count("frozen")
                self._become("frozen", f"{self._repeats} frames in a row repeat the {REMEMBERED_FRAMES} before them")
                return
            if self._state != "live":
                self._become("live" if self._state == "waiting" else "recovered", f"after {gap_s:.2f} s")
            self.samples += 1
        try:
            self._sink(self.name, sample)
        except Exception as error:  # noqa: BLE001 (what is done with a sample must not end the reading of the next)
            if self._losses.first("not taken"):
                self._notice(self.name, f"a sample was not taken: {type(error).__name__}: {error}")

    def _filmed(self, sample: Sample) -> bool:
        return self.sensor.noisy and isinstance(sample.value, np.ndarray)

    def _is_frozen(self, sample: Sample) -> bool:
        if not self._filmed(sample) or self._frozen_s is None:
            return False
        if not self._recent.seen(sample.value):
            self._repeats, self._fresh_ns = 0, sample.captured_ns
            return False
        self._repeats += 1
        return self._repeats >= FROZEN_REPEATS and sample.captured_ns - self._fresh_ns >= self._frozen_s * 1e9

    def check(self) -> None:
        """See whether the input is late or lost by now; called often, by another thread than the one that reads."""
        with self._lock:
            patience = self._limits()
            if not self.sensor.paced or patience.late_s is None or self._state in ("lost", "ended"):
                return
            if self._state == "waiting" and not self._connected:
                return  # connecting has time-outs of its own
            since_ns = self._last_ns if self._state != "waiting" else self._since_ns
            silent_s = (self._clock.now_ns() - since_ns) / 1e9
            if patience.lost_s is not None and silent_s > patience.lost_s:
                self._become("lost", f"no sample for {silent_s:.1f} s")
            elif silent_s > patience.late_s and self._state in ("live", "frozen"):
                self._become("late", f"no sample for {silent_s:.2f} s")

    def _become(self, event: FeedEvent, reason: str) -> None:
        with self._lock:
            state: FeedState = "live" if event == "recovered" else event
            if state != self._state:
                self._state = state
                self._event(self.name, event, reason)
