"""The senses of a live policy: what came in, and what its encoders have made of it so far, each in its own time.

Every input has a thread of its own that encodes its newest value whenever there is one. A decision takes what is
encoded by then, so that a slow sense makes its own data older and nothing else late.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorimotorError
from sensorimotor.models.known import Known
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Buffers, Sensed, latched
from sensorimotor.perception.modality import Audio, Modality
from sensorimotor.perception.sensor import Sample
from sensorimotor.pipelines.bell import Bell

WINDOW_PARTS = 4
"""A sliding window of sound is encoded again whenever a quarter of it is new."""
STOP_S = 2.0


@dataclass(frozen=True)
class Encoded:
    """The newest value of an input that has been encoded.

    Attributes:
        value: As in an observation.
        known: Its tokens.
        sequence: Its number.
        captured_s: When its newest part was in hand (s).
        took_ms: How long encoding took (ms).
    """

    value: Any
    known: Known
    sequence: int
    captured_s: float
    took_ms: float


@dataclass(frozen=True)
class Perceived(Sensed):
    """What a decision sees, already encoded.

    Attributes:
        known: Input name → its tokens.
    """

    known: dict[str, Known] = field(default_factory=dict)


def age_of(modality: Modality, captured_s: float, now_s: float) -> float | None:
    """How old a value is to a decision (s), in the 32 bits that the policy counts in; None: it is left out.

    A value that does not stay known until the next one and is older than `max_age_s` is left out, unless its input is
    critical: then the policy has to see how old it is, and holds.

    >>> age_of(Audio(seconds=1.0, max_age_s=0.5), captured_s=1.0, now_s=1.25)
    0.25
    >>> age_of(Audio(seconds=1.0, max_age_s=0.5), captured_s=1.0, now_s=2.0) is None
    True
    """
    age_s = 0.0 if latched(modality) else float(np.float32(max(0.0, now_s - captured_s)))
    return age_s if age_s <= modality.max_age_s or modality.critical else None


class Senses:
    """Takes samples from any thread, encodes them in threads of its own, and says what is known now; see `age_of`.

    Args:
        policy: Whose encoders.
        clock: The one that samples are stamped with.
        failed: Takes `(input, error)` where an encoder raised; the value is skipped.
        encoded: Takes `(input, milliseconds)` of each that was encoded.
    """

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        *,
        failed: Callable[[str, Exception], object],
        encoded: Callable[[str, float], object] = lambda name, took_ms: None,
    ):
        self._policy, self._clock, self._failed, self._told = policy, clock, failed, encoded
        self._inputs = policy.signature.inputs
        self._lock = threading.Lock()
        self._changed = {name: Bell() for name in self._inputs}
        self._anything = Bell()
        self._threads = [
            threading.Thread(target=self._encode, args=(name,), name=f"encode {name}", daemon=True)
            for name in self._inputs
        ]
        self._stopping, self._stream = False, -1
        self._began_ns: dict[str, int] = {}
        self._drops: dict[str, Counter[str]] = {name: Counter() for name in self._inputs}
        self._begin()

    def _begin(self) -> None:
        self._buffers = Buffers(self._inputs)
        self._encoded: dict[str, Encoded] = {}
        self._stream += 1

    def start(self) -> None:
        """Begin to encode."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = STOP_S) -> list[str]:
        """End the threads, within `timeout_s` together; the names of inputs whose encoder does not come back."""
        self._stopping = True
        for bell in (*self._changed.values(), self._anything):
            bell.ring()
        until_s = time.monotonic() + timeout_s
        stuck = []
        for name, thread in zip(self._inputs, self._threads, strict=True):
            if thread.ident is not None:
                thread.join(max(0.0, until_s - time.monotonic()))
                if thread.is_alive():
                    stuck.append(name)
        return stuck

    def reset(self) -> None:
        """Forget everything: a new episode begins."""
        with self._lock:
            self._begin()

    @property
    def stream(self) -> int:
        """How many times it has been reset: values of one stream are counted from 0."""
        return self._stream

    def take(self, name: str, sample: Sample) -> int:
        """Take a sample of an input, from any thread; the number of the stream that it is part of now.

        Raises:
            ObservationError: There is no such input, or the sample is not what it says.
        """
        with self._lock:
            self._buffers.feed(name, sample.value, sample.captured_ns / 1e9)
            stream = self._stream
        self._changed[name].ring()
        return stream

    def now(self, now_ns: int) -> Perceived:
        """What is known at a moment, encoded."""
        with self._lock:
            encoded = dict(self._encoded)
        now_s = now_ns / 1e9
        observation, ages_s, sequences, known = {}, {}, {}, {}
        for name, one in encoded.items():
            age_s = age_of(self._inputs[name], one.captured_s, now_s)
            if age_s is None:
                continue
            observation[name], ages_s[name], sequences[name] = one.value, age_s, one.sequence
            known[name] = one.known
        return Perceived(observation, ages_s, sequences, known)

    def wait_for(self, name: str, after: int, timeout_s: float) -> int:
        """Wait until a newer value of an input than number `after` is encoded; the number of the newest one.

        One thread may wait, not several.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            newest = self._encoded.get(name)
            number = -1 if newest is None else newest.sequence
            left_s = until_s - time.monotonic()
            if number > after or self._stopping or left_s <= 0:
                return number
            self._anything.wait(left_s)

    def drops(self) -> Mapping[str, Mapping[str, int]]:
        """Input → cause → how many values never came to its encoder: `replaced` by newer ones, or it `failed`."""
        with self._lock:
            return {name: dict(causes) for name, causes in self._drops.items() if causes}

    def busy_s(self) -> dict[str, float]:
        """Input → for how long its encoder has been at work on one value (s); those at rest are left out."""
        now_ns = self._clock.now_ns()
        with self._lock:
            return {name: (now_ns - began_ns) / 1e9 for name, began_ns in self._began_ns.items()}

    def _encode(self, name: str) -> None:
        """The thread of one input."""
        modality = self._inputs[name]
        sliding = isinstance(modality, Audio) and not latched(modality)
        hop_s = modality.seconds / WINDOW_PARTS if isinstance(modality, Audio) and sliding else 0.0
        before: Known | None = None
        last, last_s, stream = -1, float("-inf"), 0

        def fresh() -> bool:
            sequence, captured_s = self._buffers.newest(name)
            if self._stream != stream:
                return sequence >= 0
            return sequence > last and captured_s - last_s >= hop_s

        while True:
            self._changed[name].wait()
            if self._stopping:
                return
            with self._lock:
                if not fresh():
                    continue
                if self._stream != stream:
                    before, last, stream = None, -1, self._stream
                value, sequence, captured_s = self._buffers.value(name)
                if not sliding and sequence > last + 1:
                    self._drops[name]["replaced"] += sequence - last - 1
                last, last_s = sequence, captured_s
                self._began_ns[name] = self._clock.now_ns()
            began = time.perf_counter()
            try:
                known = self._policy.encode(name, value, sequence, before)
            except Exception as error:  # noqa: BLE001 (whatever an encoder raises costs this value and no more)
                with self._lock:
                    del self._began_ns[name]
                    self._drops[name]["refused" if isinstance(error, SensorimotorError) else "failed"] += 1
                self._failed(name, error)
                continue
            before, took_ms = known, (time.perf_counter() - began) * 1e3
            with self._lock:
                del self._began_ns[name]
                if self._stream == stream:
                    self._encoded[name] = Encoded(value, known, sequence, captured_s, took_ms)
            self._anything.ring()
            self._told(name, took_ms)
