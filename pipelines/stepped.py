"""A policy on recordings, as fast as possible: in simulated time, in one thread, with nothing dropped.

Decision k is made at k / rate. Every sample whose time in its recording has come by then is taken in first, so that
two runs see and do the same, whatever the machine is busy with.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from sensorimotor.actions.actuator import Actuator
from sensorimotor.actions.direct import Direct
from sensorimotor.actions.guards import Guards
from sensorimotor.clock import ManualClock
from sensorimotor.errors import UsageError
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.sensor import Sample, Sensor
from sensorimotor.perception.words import FixedWords
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.live import lasting, require_connected
from sensorimotor.pipelines.loop import Loop, Observer, Watcher
from sensorimotor.pipelines.recorded_sound import as_recorded
from sensorimotor.pipelines.reel import Reel, observed_now, turns_ns
from sensorimotor.pipelines.run_recording import Keeper
from sensorimotor.pipelines.senses import Perceived
from sensorimotor.pipelines.sidelines import Sidelines, Told
from sensorimotor.pipelines.tally import Tally

TIMEOUT_S = 1.0
"""The most that one action may take to be delivered, in real time (s)."""


class Stepped:
    """A policy that runs through recordings, as a context; told, traced and counted like `Live`.

    Args:
        policy: Decides.
        sensors: Input → where its samples come from: files that are not paced, and fixed words.
        actuator: Where actions go; waited for.
        guards: Have the last word.
        clock: Simulated time, the one that the sensors were given; it is moved here.
        rate_hz: Decisions a second of simulated time; None: as the signature says.
        trigger: Decide when this input has something new, instead of at a rate.
        observers: Are told of every turn and event.
        told: Takes what a person should know.
        watch: Told of every decision.
        keeper: Records what came in and what was done; None: nothing does.

    Raises:
        UsageError: A source is live, there is none, one is for no input, or the trigger is none of them.
    """

    def __init__(
        self,
        policy: Policy,
        sensors: Mapping[str, Sensor],
        actuator: Actuator,
        guards: Guards,
        *,
        clock: ManualClock,
        rate_hz: float | None = None,
        trigger: str | None = None,
        observers: Sequence[Observer] = (),
        told: Told = lambda sentence: None,
        watch: Watcher | None = None,
        keeper: Keeper | None = None,
    ):
        require_connected(policy, sensors, trigger)
        for name, sensor in sensors.items():
            if not is_recording(sensor):
                raise UsageError(
                    f"{name}: {sensor.source} is live, and what is live comes in its own time: as fast as possible go "
                    "video and sound files, directories of pictures, and words"
                )
        self._policy, self._told, self._trigger, self._keeper = policy, told, trigger, keeper
        self._clock, self._sensors = clock, sensors
        self._rate_hz = rate_hz or policy.signature.rate_hz
        self._lasting = lasting(policy, sensors)
        self.health = Health(clock, 1 / self._rate_hz)
        self.tally = Tally(policy.signature.names, clock, None if trigger else self._rate_hz)
        self._buffers = Buffers(policy.signature.inputs)
        self._direct = Direct(actuator, clock, timeout_s=TIMEOUT_S)
        self._beside = Sidelines(self.health, told, observers)
        self._loop = Loop(
            policy,
            guards,
            self.health,
            clock=clock,
            period_s=1 / self._rate_hz,
            deliver=self._direct.offer,
            tally=self.tally,
            observers=observers,
            watch=watch,
            keep=keeper.step if keeper else None,
        )
        self._reels: dict[str, Reel] = {}
        self._refused = dict.fromkeys(sensors, 0)
        self._stopping, self._took_s = False, 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(lambda: self._direct.close(self._loop.last(self._seen())))
            for name, sensor in self._sensors.items():
                stack.callback(sensor.close)
                if line := sensor.open():
                    self._told(f"{name}: {line}")
                self._reels[name] = Reel(sensor)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler."""
        self._stopping = True

    def run(self, duration_s: float | None = None) -> None:
        """Take turns until it is stopped, all recordings have ended, or the time is over.

        Args:
            duration_s: How much simulated time, at most (s).

        Raises:
            UsageError: There are only words, which never end, and no duration.
        """
        if duration_s is None and all(isinstance(self._sensors[name], FixedWords) for name in self._lasting):
            raise UsageError("words alone never end: connect a recording, or say how long (--duration)")
        began = time.perf_counter()
        self.tally.begin()
        for due_ns in self._moments():
            if self._stopping or (duration_s is not None and due_ns >= duration_s * 1e9):
                break
            self._clock.advance((due_ns - self._clock.now_ns()) / 1e9)
            before = self._newest()
            self._feed(due_ns)
            if self._trigger is None or self._newest() > before:
                self._loop.turn(self._seen(), due_ns)
                self._beside.look(self._direct, missed=0, drops=self.drops())
            if all(self._reels[name].ended for name in self._lasting):
                break
        self._took_s = time.perf_counter() - began

    def drops(self) -> dict[str, dict[str, int]]:
        """Input → cause → samples that were not used."""
        found = {name: sensor.losses.totals() for name, sensor in self._sensors.items()}
        for name, count in self._refused.items():
            if count:
                found[name]["not taken"] = count
        return {name: causes for name, causes in found.items() if causes}

    def inputs(self) -> Mapping[str, str]:
        """How each input is that has a sensor."""
        return {name: "ended" if reel.ended else "live" for name, reel in self._reels.items()}

    def summary(self) -> dict[str, Any]:
        """What the run has come to, as plain JSON types."""
        return {
            "warm_up_ms": None,
            "took_s": round(self._took_s, 3),
            **self._beside.summary(self.tally, self._direct, missed=0, drops=self.drops(), inputs=self.inputs()),
        }

    def _moments(self) -> Iterator[int]:
        """When to look, in simulated time (ns)."""
        if self._trigger is not None:
            reel = self._reels[self._trigger]
            while (next_ns := reel.next_ns) is not None:
                yield next_ns
        else:
            yield from turns_ns(self._rate_hz)

    def _newest(self) -> int:
        return self._buffers.newest(self._trigger)[0] if self._trigger else 0

    def _feed(self, until_ns: int) -> None:
        """Take in what has come by now."""
        for name, reel in self._reels.items():
            for sample in reel.until(until_ns):
                try:
                    self._take(name, sample)
                except Exception as error:  # noqa: BLE001 (what is wrong with a sample must not end the others)
                    if not self._refused[name]:
                        self._told(f"{name}: a sample was not taken: {type(error).__name__}: {error}")
                    self._refused[name] += 1
            for line in reel.told():
                self._told(f"{name}: {line}")
                self._beside.event("notice", input=name, reason=line)

    def _take(self, name: str, sample: Sample) -> None:
        modality, value = self._policy.signature.inputs[name], sample.value
        if self._keeper and isinstance(modality, Audio):
            value = as_recorded(modality.check_chunk(name, value))
        self._buffers.feed(name, value, sample.captured_ns / 1e9)
        if self._keeper and isinstance(modality, Audio):
            self._keeper.hear(0, name, value, sample.captured_ns)

    def _seen(self) -> Perceived:
        sensed = observed_now(self._buffers, self._policy.signature.inputs, self._clock.now_ns() / 1e9)
        return Perceived(sensed.observation, sensed.ages_s, sensed.sequences)


def is_recording(sensor: Sensor) -> bool:
    """Whether all that it has to give is there already."""
    return not sensor.paced or isinstance(sensor, FixedWords)
