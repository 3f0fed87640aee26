"""Recordings in simulated time: what has come by a moment, and what a decision sees then."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count

from sensorimotor.errors import SensorError
from sensorimotor.perception.buffers import Buffers, Sensed
from sensorimotor.perception.modality import Modality
from sensorimotor.perception.sensor import Sample, Sensor, StreamBroken
from sensorimotor.perception.words import FixedWords
from sensorimotor.pipelines.senses import age_of


class Reel:
    """A recording that is played sample by sample, each stamped with its time in the recording.

    Args:
        sensor: Where they come from; it is open, and not paced.

    Attributes:
        ended: Whether there are no more.
        broken: What was wrong where there should have been more; None: nothing was.
    """

    def __init__(self, sensor: Sensor):
        self._sensor = sensor
        self._next: Sample | None = None
        self._told: list[str] = []
        self.ended = False
        self.broken: StreamBroken | None = None
        self._turn()

    @property
    def next_ns(self) -> int | None:
        """When the next sample comes (ns); None: there is none."""
        return None if self._next is None else self._next.captured_ns

    def until(self, now_ns: int) -> Iterator[Sample]:
        """The samples that have come by now."""
        while self._next is not None and self._next.captured_ns <= now_ns:
            sample = self._next
            self._turn()
            yield sample

    def told(self) -> list[str]:
        """What there is to say since this was asked last."""
        told, self._told = self._told + self._sensor.losses.told(), []
        return told

    def _turn(self) -> None:
        before_ns = 0 if self._next is None else self._next.captured_ns
        self._next = None
        try:
            sample = self._sensor.read(0.0)
            while sample is None and not isinstance(self._sensor, FixedWords):
                sample = self._sensor.read(0.0)  # what is torn is passed over
        except SensorError as end:
            self.ended = True
            self.broken = end if isinstance(end, StreamBroken) else None
            self._told.append(str(end))
        else:
            if sample is not None:
                at_ns = max(before_ns, round((sample.device_s or 0.0) * 1e9))
                self._next = replace(sample, captured_ns=at_ns)


def turns_ns(rate_hz: float) -> Iterator[int]:
    """When decisions are made at a rate, in simulated time (ns).

    >>> turns = turns_ns(3.0)
    >>> [next(turns) for _ in range(4)]
    [0, 333333333, 666666667, 1000000000]
    """
    return (round(turn * 1e9 / rate_hz) for turn in count())


def observed_now(buffers: Buffers, inputs: Mapping[str, Modality], now_s: float) -> Sensed:
    """What a decision sees of what has come in; what is too old to it is left out (see `age_of`)."""
    sensed = buffers.observe(now_s)
    ages_s = {}
    for name in sensed.observation:
        age_s = age_of(inputs[name], buffers.newest(name)[1], now_s)
        if age_s is not None:
            ages_s[name] = age_s
    return Sensed(
        {name: sensed.observation[name] for name in ages_s}, ages_s, {name: sensed.sequences[name] for name in ages_s}
    )
