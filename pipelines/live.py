"""A policy on live sensors: newest data in, guarded actions out, at an even rate, until it is told to stop."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
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
from sensorimotor.perception.sensor import Sample, Sensor
from sensorimotor.pipelines.body import Body
from sensorimotor.pipelines.health import Health, HealthReport
from sensorimotor.pipelines.health_server import HealthServer
from sensorimotor.pipelines.loop import Loop, Observer, Watcher
from sensorimotor.pipelines.metrics import Metrics
from sensorimotor.pipelines.recorded_sound import as_recorded
from sensorimotor.pipelines.run_recording import Keeper
from sensorimotor.pipelines.senses import Perceived, Senses
from sensorimotor.pipelines.sidelines import Sidelines, Told
from sensorimotor.pipelines.tally import Tally
from sensorimotor.pipelines.ticker import Ticker
from sensorimotor.pipelines.watchdog import Watchdog

WARM_UPS = 5
IDLE_S = 0.3
"""After so long without work (s) caches and clocks of a processor have cooled down."""
SHORTEST_LOOK_S = 0.02
"""The watchdog looks for decisions that are overdue twice in a period, and not more often than this (s)."""
PATIENCE_S = 1.0
"""Without a new value of the trigger for so long (s), a decision is made all the same: to hold, if need be."""


MOST_UNTAUGHT = 100
"""Who gives more words than this that a policy was never taught has been told."""


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


def require_connected(policy: Policy, sensors: Mapping[str, Sensor], trigger: str | None) -> None:
    """Refuse to run a policy on nothing, or on what it does not have.

    Raises:
        UsageError: There is no sensor, one is for no input, or the trigger is none of them.
    """
    inputs = policy.signature.inputs
    if unknown := [name for name in sensors if name not in inputs]:
        raise UsageError(f"the policy has no input {', '.join(unknown)}; it has {', '.join(inputs)}")
    if not sensors:
        raise UsageError(f"nothing is connected: the policy has the inputs {', '.join(inputs)}")
    if trigger is not None and trigger not in sensors:
        raise UsageError(f"decisions cannot be triggered by {trigger!r}: it has no sensor")


def lasting(policy: Policy, sensors: Mapping[str, Sensor]) -> list[str]:
    """The inputs that a run goes on for: words alone do not keep it going where there is something else."""
    scenes = [name for name in sensors if not isinstance(policy.signature.inputs[name], Text)]
    return scenes or list(sensors)


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
        observers: Are told of every turn and event.
        serve: Port on loopback for `/metrics` and `/healthz`; 0: any; None: nowhere.
        told: Takes what a person should know: an input that is lost, a device of another size.
        watch: Told of every decision.
        body: The simulated body that sensors and actuator belong to, whose episodes are begun here.
        keeper: Records what came in and what was done; None: nothing does.
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
        observers: Sequence[Observer] = (),
        serve: int | None = None,
        told: Told = lambda sentence: None,
        watch: Watcher | None = None,
        body: Body | None = None,
        keeper: Keeper | None = None,
        clock: Clock | None = None,
    ):
        require_connected(policy, sensors, trigger)
        inputs = policy.signature.inputs
        self._policy, self._guards, self._actuator = policy, guards, actuator
        self._trigger, self._body, self._keeper = trigger, body, keeper
        self._told = told = _whatever_happens(told)
        self._clock = clock or MonotonicClock()
        rate_hz = rate_hz or policy.signature.rate_hz
        period_s = 1 / rate_hz
        self._period_s = PATIENCE_S if trigger else period_s
        self.health = Health(self._clock, self._period_s, stalled_after=guards.missed_deadlines)
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
                sink=self._take,
                event=self._input_changed,
                notice=lambda name, line: told(f"{name}: {line}"),
            )
            for name, sensor in sensors.items()
        )
        self._lasting = lasting(policy, sensors)
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
            observers=observers,
            metrics=self._metrics,
            watch=watch,
            keep=keeper.step if keeper else None,
        )
        self._beside = Sidelines(self.health, told, observers, self._metrics)
        self._event = self._beside.event
        self._failing: set[str] = set()
        self._untaught: set[str] = set()
        self._stack = ExitStack()
        self.warmed_up: WarmUp | None = None
        self.served_at: str | None = None

    def __enter__(self) -> Self:
        self.warmed_up = warm_up(self._policy)
        with ExitStack() as stack:
            if self._metrics is not None and self._port is not None:
                server = stack.enter_context(HealthServer(self.health, self._metrics, port=self._port))
                self.served_at = server.url
            stack.callback(self._stop_senses)
            self._senses.start()
            stack.enter_context(self._feeds)
            # Let go of first: the safe action does not wait for a source that hangs, nor is the end taken for a stall.
            self._dispatcher = Dispatcher(self._actuator, self._clock, timeout_s=self._timeout_s)
            stack.callback(self._close_actuator)
            look_s = max(self._period_s / 2, SHORTEST_LOOK_S)
            stack.enter_context(Watchdog(self.health, self._overdue, every_s=look_s))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End `run` soon; may be called from a signal handler or another thread."""
        self._stopping = True
        self._ticker.stop()

    def run(self, duration_s: float | None = None) -> None:
        """Take turns until it is stopped, all sources have ended, nobody reads the actions, or the time is over.

        Args:
            duration_s: How long, at most (s).
        """
        self.tally.begin()
        until_ns = None if duration_s is None else self._clock.now_ns() + round(duration_s * 1e9)
        newest = -1
        while not self._stopping:
            if self._body and self._body.over:
                self._begin_episode(self._body)
                newest = -1  # numbers begin anew
            if self._trigger is None:
                due_ns = self._ticker.wait()
            else:
                newest, due_ns = self._wait_for_trigger(self._trigger, newest)
            if due_ns is None or (until_ns is not None and due_ns >= until_ns):
                break
            self._loop.turn(self._senses.now(self._clock.now_ns()), due_ns)
            self._beside.encoders(self._senses.busy_s())
            self._beside.look(self._dispatcher, missed=self._ticker.missed, drops=self.drops())
            if self._ended():
                break
            if self._dispatcher and self._dispatcher.gone:
                self._told("nobody takes actions any more: the run ends")
                break

    def _begin_episode(self, body: Body) -> None:
        self._policy.reset("main")
        self._senses.reset()
        self._guards.reset()
        self._event("episode", stream=self._senses.stream)
        if self._keeper:
            self._keeper.begin(self._senses.stream)
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

    def inputs(self) -> Mapping[str, str]:
        """How each input is that has a sensor."""
        return self._feeds.states()

    def summary(self) -> dict[str, Any]:
        """What the run has come to, as plain JSON types."""
        warmed_up = self.warmed_up
        return {
            "warm_up_ms": None if warmed_up is None else {key: round(ms, 3) for key, ms in vars(warmed_up).items()},
            **self._beside.summary(
                self.tally,
                self._dispatcher,
                missed=self._ticker.missed,
                drops=self.drops(),
                inputs=self.inputs(),
            ),
        }

    def _deliver(self, command: Command) -> None:
        if self._dispatcher:
            self._dispatcher.offer(command)

    def _take(self, name: str, sample: Sample) -> None:
        """Called by the threads that read."""
        modality = self._policy.signature.inputs[name]
        if isinstance(modality, Text):
            self._tell_of_unknown(name, sample.value)
        if self._keeper is None or not isinstance(modality, Audio):
            self._senses.take(name, sample)
            return
        sample = replace(sample, value=as_recorded(modality.check_chunk(name, sample.value)))
        stream = self._senses.take(name, sample)
        self._keeper.hear(stream, name, sample.value, sample.captured_ns)

    def _tell_of_unknown(self, name: str, text: str) -> None:
        """Tell of words that the policy was never taught, each once: it would act on the rest of them in silence."""
        unknown = [word for word in self._policy.unknown_words(text) if word not in self._untaught]
        if unknown and len(self._untaught) < MOST_UNTAUGHT:
            self._untaught.update(unknown)
            self._told(f"{name}: the policy was never taught the words {', '.join(map(repr, unknown[:10]))}")

    def _input_changed(self, name: str, event: FeedEvent, reason: str) -> None:
        """Called by the threads that read."""
        if event in ("late", "lost", "frozen"):
            self.health.impair(name, f"{event}: {reason}")
        else:
            self.health.mend(name)
        if event != "live" and not (event == "ended" and latched(self._policy.signature.inputs[name])):
            self._told(f"{name} {event}: {reason}")
        self._event("input", input=name, state=event, reason=reason)

    def _overdue(self, report: HealthReport) -> None:
        """Called by the watchdog, while the loop cannot do it itself: what is left of a plan goes on, or it holds."""
        seen = self._senses.now(self._clock.now_ns())
        stopped = self._guards.stop.reason()
        self.health.stop(stopped)
        goes_on = self._trigger is None and self._loop.carry_on(seen, report.overdue)
        if not goes_on and (stopped or report.overdue >= self._guards.missed_deadlines):
            self._deliver(self._loop.last(seen))
        self._beside.state()

    def _encoder_failed(self, name: str, error: Exception) -> None:
        """Called by the threads that encode. A value that is refused is its sensor's fault, and no error of ours."""
        refused = isinstance(error, ObservationError)
        reason = str(error) if refused else f"{type(error).__name__}: {error}"
        self.health.impair(f"encoder of {name}", reason)
        if name not in self._failing:
            self._failing.add(name)
            self._told(f"encoder of {name}: {reason}")
            if refused:
                self._event("input", input=name, state="refused", reason=reason)
        if refused:
            return
        self.tally.errors += 1
        self.health.failed(f"encoding {name}: {reason}", decision=False)
        self._event("error", stage=f"encode.{name}", reason=reason)
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
            self._beside.actuator(self._dispatcher)
