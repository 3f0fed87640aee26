"""A policy on live sensors: newest data in, guarded actions out, at an even rate, until it is told to stop."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sensorimotor.actions.actuator import Actuator, Command
from sensorimotor.actions.dispatcher import Dispatcher
from sensorimotor.actions.guards import Guards
from sensorimotor.clock import Clock, MonotonicClock
from sensorimotor.errors import ObservationError, UsageError
from sensorimotor.models.policy import Policy
from sensorimotor.perception.buffers import latched
from sensorimotor.perception.feed import Feed, FeedEvent
from sensorimotor.perception.feeds import Feeds
from sensorimotor.perception.modality import Audio, Image, Modality, State, Text
from sensorimotor.perception.sensor import Sensor
from sensorimotor.pipelines.body import Body
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.health_server import HealthServer
from sensorimotor.pipelines.loop import Loop, Watcher
from sensorimotor.pipelines.metrics import Metrics
from sensorimotor.pipelines.senses import Perceived, Senses
from sensorimotor.pipelines.tally import Tally
from sensorimotor.pipelines.ticker import Ticker
from sensorimotor.pipelines.trace import TraceWriter
from sensorimotor.pipelines.watchdog import Watchdog

WARM_UPS = 5
IDLE_S = 0.3
"""After so long without work (s) caches and clocks of a processor have cooled down."""
ENCODER_S = 2.0
"""An encoder that is busy with one value for longer (s) is told to hang."""
UNDELIVERED = ("failed", "expired", "replaced", "waited")
"""What may become of a command that is not sent."""
PATIENCE_S = 1.0
"""Without a new value of the trigger for so long (s), a decision is made all the same: to hold, if need be."""

Told = Callable[[str], object]
"""Takes a sentence for a person."""


@dataclass(frozen=True)
class WarmUp:
    """How long decisions took before the first one that counted (ms).

    Attributes:
        first: The very first, which loads what is loaded late.
        warm: The quickest after that.
        after_idle: One after a pause.
    """

    first: float
    warm: float
    after_idle: float


def warm_up(policy: Policy) -> WarmUp:
    """Decide on nothing in particular until that is as quick as it will be; no stream remembers it."""
    nothing = {name: _nothing(modality) for name, modality in policy.signature.inputs.items()}

    def once(number: int) -> float:
        sequences = dict.fromkeys(nothing, number)
        return policy.act(nothing, sequences=sequences, stream="warm up").timings_ms["total"]

    first, *rest = (once(number) for number in range(1 + WARM_UPS))
    time.sleep(IDLE_S)
    after_idle = once(1 + WARM_UPS)
    policy.reset("warm up")
    return WarmUp(first, min(rest), after_idle)


def _nothing(modality: Modality) -> Any:
    match modality:
        case Image():
            return np.zeros(modality.shape, np.uint8)
        case Audio():
            return np.zeros((modality.samples, modality.channels), np.float32)
        case State():
            return np.zeros(modality.size, np.float32)
        case Text():
            return "warm up"


def _whatever_happens(told: Told) -> Told:
    """The same, where nobody listens any more too: a terminal that was closed must not end what is shown on it."""

    def tell(sentence: str) -> None:
        with suppress(Exception):
            told(sentence)

    return tell


class Live:
    """A running policy, as a context: it lets go of everything at the end.

    Args:
        policy: Decides.
        sensors: Input → where its samples come from; inputs without one are missing.
        actuator: Where actions go.
        guards: Have the last word.
        rate_hz: Decisions a second; None: as the signature says.
        trigger: Decide when this input has something new, instead of at a rate.
        trace: Keeps the record.
        serve: Port on loopback for `/metrics` and `/healthz`; 0: any; None: nowhere.
        told: Takes what a person should know: an input that is lost, a device of another size.
        watch: Told of every decision.
        body: The simulated body that sensors and actuator belong to, whose episodes are begun here.
        clock: What time it is.

    Raises:
        UsageError: There is no sensor, one is for no input, or the trigger is none of them.
    """

    def __init__(
        self,
        policy: Policy,
        sensors: Mapping[str, Sensor],
        actuator: Actuator,
        guards: Guards,
        *,
        rate_hz: float | None = None,
        trigger: str | None = None,
        trace: TraceWriter | None = None,
        serve: int | None = None,
        told: Told = lambda sentence: None,
        watch: Watcher | None = None,
        body: Body | None = None,
        clock: Clock | None = None,
    ):
        inputs = policy.signature.inputs
        if unknown := [name for name in sensors if name not in inputs]:
            raise UsageError(f"the policy has no input {', '.join(unknown)}; it has {', '.join(inputs)}")
        if not sensors:
            raise UsageError(f"nothing is connected: the policy has the inputs {', '.join(inputs)}")
        if trigger is not None and trigger not in sensors:
            raise UsageError(f"decisions cannot be triggered by {trigger!r}: it has no sensor")
        self._policy, self._guards, self._actuator = policy, guards, actuator
        self._trace, self._trigger, self._body = trace, trigger, body
        self._told = told = _whatever_happens(told)
        self._clock = clock or MonotonicClock()
        rate_hz = rate_hz or policy.signature.rate_hz
        period_s = 1 / rate_hz
        self.health = Health(self._clock, PATIENCE_S if trigger else period_s)
        self.tally = Tally(policy.signature.names, self._clock, None if trigger else rate_hz)
        self._metrics = None if serve is None else Metrics(self.health)
        self._port = serve
        self._ticker = Ticker(period_s, self._clock)
        self._stopping = False
        self._senses = Senses(policy, self._clock, failed=self._encoder_failed, encoded=self._was_encoded)
        self._feeds = Feeds(
            Feed(
                name,
                inputs[name],
                sensor,
                clock=self._clock,
                sink=self._senses.take,
                event=self._input_changed,
                notice=lambda name, line: told(f"{name}: {line}"),
            )
            for name, sensor in sensors.items()
        )
        scenes = [name for name in sensors if not isinstance(inputs[name], Text)]
        self._lasting = scenes or list(sensors)
        self._timeout_s = max(period_s, 0.1)
        self._dispatcher: Dispatcher | None = None
        self._loop = Loop(
            policy,
            guards,
            self.health,
            clock=self._clock,
            period_s=period_s,
            deliver=self._deliver,
            tally=self.tally,
            trace=trace,
            metrics=self._metrics,
            watch=watch,
        )
        self._missed = 0
        self._undelivered = dict.fromkeys(UNDELIVERED, 0)
        self._slow: set[str] = set()
        self._failing: set[str] = set()
        self._dropped: dict[tuple[str, str], int] = {}
        self._stack = ExitStack()
        self.warmed_up: WarmUp | None = None
        self.served_at: str | None = None

    def __enter__(self) -> Self:
        self.warmed_up = warm_up(self._policy)
        with ExitStack() as stack:
            self._dispatcher = Dispatcher(self._actuator, self._clock, timeout_s=self._timeout_s)
            stack.callback(self._close_actuator)
            if self._metrics is not None and self._port is not None:
                server = stack.enter_context(HealthServer(self.health, self._metrics, port=self._port))
                self.served_at = server.url
            watchdog = Watchdog(self.health, self._stalled, every_s=self._timeout_s)
            stack.callback(self._stop_senses)
            self._senses.start()
            stack.enter_context(watchdog)
            stack.enter_context(self._feeds)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler or another thread."""
        self._stopping = True
        self._ticker.stop()

    def run(self, duration_s: float | None = None) -> None:
        """Take turns until it is stopped, all sources have ended, or the time is over.

        Args:
            duration_s: How long, at most (s).
        """
        self.tally.begin()
        until_ns = None if duration_s is None else self._clock.now_ns() + round(duration_s * 1e9)
        newest = -1
        while not self._stopping:
            if self._body and self._body.over:
                self._begin_episode(self._body)
            if self._trigger is None:
                due_ns = self._ticker.wait()
            else:
                newest, due_ns = self._wait_for_trigger(self._trigger, newest)
            if due_ns is None or (until_ns is not None and due_ns >= until_ns):
                break
            self._loop.turn(self._senses.now(self._clock.now_ns()), due_ns)
            self._look_around()
            if self._ended():
                break

    def _begin_episode(self, body: Body) -> None:
        self._policy.reset("main")
        self._senses.reset()
        self._guards.reset()
        body.begin()

    def _wait_for_trigger(self, name: str, after: int) -> tuple[int, int]:
        newest = self._senses.wait_for(name, after, PATIENCE_S)
        return newest, self._clock.now_ns()

    def _ended(self) -> bool:
        states = self._feeds.states()
        return all(states[name] == "ended" for name in self._lasting)

    def drops(self) -> dict[str, dict[str, int]]:
        """Input → cause → samples that were not used."""
        found = {name: dict(causes) for name, causes in self._feeds.drops().items()}
        for name, causes in self._senses.drops().items():
            for cause, count in causes.items():
                found.setdefault(name, {})[cause] = found.get(name, {}).get(cause, 0) + count
        return {name: causes for name, causes in found.items() if causes}

    def summary(self) -> dict[str, Any]:
        """What the run has come to, as plain JSON types."""
        report, warmed_up = self.health.report(), self.warmed_up
        counts = self._dispatcher.counts if self._dispatcher else None
        return {
            **self.tally.to_json(missed=self._ticker.missed, drops=self.drops()),
            "warm_up_ms": None if warmed_up is None else {key: round(ms, 3) for key, ms in vars(warmed_up).items()},
            "actuator": None if counts is None else {name: getattr(counts, name) for name in counts.__slots__},
            "inputs": self._feeds.states(),
            "health": report.to_json(),
            "trace": None if self._trace is None else {"lines": self._trace.lines, "lost": self._trace.lost},
        }

    def _deliver(self, command: Command) -> None:
        if self._dispatcher:
            self._dispatcher.offer(command)

    def _look_around(self) -> None:
        """What has happened beside the loop since the last turn: told, traced, counted."""
        if self._dispatcher:
            self._look_at_actuator(self._dispatcher)
        self._look_at_encoders()
        self._look_at_health()
        missed = self._ticker.missed - self._missed
        self._missed += missed
        if missed and self._metrics:
            self._metrics.missed_deadline(missed)
        for name, causes in self.drops().items():
            for cause, count in causes.items():
                more = count - self._dropped.get((name, cause), 0)
                if more:
                    self._dropped[name, cause] = count
                    self._event("drop", None, input=name, cause=cause, count=more)
                    if self._metrics:
                        self._metrics.dropped(name, cause, more)

    def _look_at_actuator(self, dispatcher: Dispatcher) -> None:
        trouble = dispatcher.trouble
        if trouble:
            self.health.impair("actuator", trouble, idle=True)
        else:
            self.health.mend("actuator")
        for one in dispatcher.events():
            self._told(f"actuator {one.what}: {one.reason}")
            self._event("actuator", one.at_ns, state=one.what, reason=one.reason)
        took_s = dispatcher.durations_s()
        if self._metrics:
            self._metrics.took("actuate", took_s)
            for cause in UNDELIVERED:
                count = getattr(dispatcher.counts, cause)
                more, self._undelivered[cause] = count - self._undelivered[cause], count
                if more:
                    self._metrics.not_delivered(cause, more)

    def _look_at_encoders(self) -> None:
        """An encoder that hangs cannot say so itself; what it does not give is missing or grows old."""
        slow = {name: busy_s for name, busy_s in self._senses.busy_s().items() if busy_s > ENCODER_S}
        for name in self._slow - set(slow):
            self.health.mend(f"encoder of {name}")
        for name, busy_s in slow.items():
            reason = f"busy with one value for {busy_s:.1f} s"
            self.health.impair(f"encoder of {name}", reason)
            if name not in self._slow:
                self._told(f"encoder of {name}: {reason}")
                self._event("encoder", None, input=name, state="hangs", reason=reason)
        self._slow = set(slow)

    def _look_at_health(self) -> None:
        for change in self.health.transitions():
            self._told(f"{change.before} → {change.after}" + (f": {change.reason}" if change.reason else ""))
            self._event("health", change.at_ns, before=change.before, after=change.after, reason=change.reason)

    def _event(self, what: str, at_ns: int | None, **details: Any) -> None:
        if self._trace:
            self._trace.event(what, at_ns, **details)

    def _input_changed(self, name: str, event: FeedEvent, reason: str) -> None:
        """Called by the threads that read."""
        if event in ("late", "lost", "frozen"):
            self.health.impair(name, f"{event}: {reason}")
        else:
            self.health.mend(name)
        if event != "live" and not (event == "ended" and latched(self._policy.signature.inputs[name])):
            self._told(f"{name} {event}: {reason}")
        self._event("input", None, input=name, state=event, reason=reason)

    def _stalled(self, reason: str) -> None:
        """Called by the watchdog, while the loop cannot do it itself."""
        self._deliver(self._loop.last(self._senses.now(self._clock.now_ns())))
        self._look_at_health()

    def _encoder_failed(self, name: str, error: Exception) -> None:
        """Called by the threads that encode. A value that is refused is its sensor's fault, and no error of ours."""
        refused = isinstance(error, ObservationError)
        reason = str(error) if refused else f"{type(error).__name__}: {error}"
        self.health.impair(f"encoder of {name}", reason)
        if name not in self._failing:
            self._failing.add(name)
            self._told(f"encoder of {name}: {reason}")
            if refused:
                self._event("input", None, input=name, state="refused", reason=reason)
        if refused:
            return
        self.tally.errors += 1
        self.health.failed(f"encoding {name}: {reason}", decision=False)
        self._event("error", None, stage=f"encode.{name}", reason=reason)
        if self._metrics:
            self._metrics.failed(f"encode.{name}")

    def _was_encoded(self, name: str, took_ms: float) -> None:
        """Called by the threads that encode."""
        if name in self._failing:
            self._failing.discard(name)
            self.health.mend(f"encoder of {name}")
            self._told(f"encoder of {name}: it works again")
        if self._metrics:
            self._metrics.took(f"encode.{name}", [took_ms / 1e3])

    def _stop_senses(self) -> None:
        for name in self._senses.stop():
            self._told(f"the encoder of {name} does not come back; its thread is left behind")

    def _close_actuator(self) -> None:
        if self._dispatcher:
            seen: Perceived = self._senses.now(self._clock.now_ns())
            self._dispatcher.close(self._loop.last(seen))
            self._look_at_actuator(self._dispatcher)
