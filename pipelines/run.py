"""`sensorimotor run`: what a person names becomes a running policy, which signals can stop."""

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sensorimotor.actions.actuator import Actuator
from sensorimotor.actions.actuators import open_actuator
from sensorimotor.actions.guard_rules import GuardRules, load_guard_rules
from sensorimotor.actions.guards import NO_RULES, Guards
from sensorimotor.actions.plan import parse_following
from sensorimotor.actions.stop import LatchedStop, stopped_by_signals
from sensorimotor.actions.stop_key import stopped_by_key
from sensorimotor.clock import Clock, ManualClock, MonotonicClock
from sensorimotor.errors import UsageError
from sensorimotor.memory import keep_memory
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import Execution, Precision
from sensorimotor.models.policy import Policy
from sensorimotor.perception.sensor import Sensor
from sensorimotor.perception.sensors import open_sensor
from sensorimotor.pipelines.body import Body
from sensorimotor.pipelines.live import Live
from sensorimotor.pipelines.loop import Observer
from sensorimotor.pipelines.machine_profile import Settings, asked_or_tuned
from sensorimotor.pipelines.rerun_log import BackgroundRerunLog, RerunLog
from sensorimotor.pipelines.rollout import observed_inputs
from sensorimotor.pipelines.run_recording import BackgroundRecording, RunRecording
from sensorimotor.pipelines.sidelines import Told
from sensorimotor.pipelines.stepped import Stepped
from sensorimotor.pipelines.trace import TraceWriter
from sensorimotor.pipelines.worlds import make_world
from sensorimotor.redaction import redacted

SWITCH_S = 0.0005
"""Threads take turns so often (s). With Python's 5 ms one that decodes frames waits for one that computes, again and
again, and frames grow older by 10 ms."""


class Screen(Protocol):
    """Where a person sees how it goes."""

    def tell(self, sentence: str) -> None:
        """Show a sentence for good."""
        ...

    def show(self, running: Live | Stepped) -> None:
        """Show how it is now; called again and again."""
        ...


def run(
    source: str,
    inputs: Mapping[str, str],
    *,
    env: str | None = None,
    to: str | None = None,
    guards: Path | None = None,
    rate_hz: float | None = None,
    trigger: str | None = None,
    duration_s: float | None = None,
    fit: str = "crop",
    trace: Path | None = None,
    record: Path | None = None,
    rerun: Path | None = None,
    as_fast_as_possible: bool = False,
    serve: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    follow: str = "1",
    seed: int = 0,
    speakers: tuple[str, ...] = (),
    screen: Screen | None = None,
) -> dict[str, Any]:
    """Run a policy until its sources end, the time is over, or a signal (SIGINT, SIGTERM) comes.

    Args:
        source: A bundle directory, or the name of a bundled policy.
        inputs: Input → where its samples come from, as a person types it (see `open_sensor`).
        env: An environment that is sensed and acted in, in real time, instead of sensors.
        to: Where actions go (see `open_actuator`); None: to standard output, or into the environment.
        guards: An operator's rules.
        rate_hz: Decisions a second; None: as the policy says.
        trigger: An input to decide by instead.
        duration_s: How long, at most (s).
        fit: What to do with frames of another shape: `crop`, `pad` or `stretch`.
        trace: A file to append decisions and events to.
        record: A directory to record to what comes in and what is done.
        rerun: A file (`.rrd`) to log to what the Rerun viewer shows: inputs, ages, probabilities, guards, events.
        as_fast_as_possible: Run through recordings in simulated time, with nothing dropped.
        serve: Port of `/metrics` and `/healthz` on loopback; 0: any; None: nowhere.
        threads: Inside one operator of the graphs: more make large encoders faster, and small ones slower. None: graphs
            are run as they were tuned on this machine, or else with one thread.
        device: `cpu` or `cuda`.
        precision: Of the encoders; `fp16` where the bundle has them in half precision.
        follow: How plans are carried out (see `parse_following`).
        seed: Of the environment's first episode.
        speakers: Who speaks in the environment.
        screen: Shown how it goes.

    Returns:
        What it came to, in plain JSON types.

    Raises:
        SensorimotorError: Something was asked for that is not there or does not go together.
    """
    tell: Told = screen.tell if screen else lambda sentence: None
    _require_sense(inputs, env, to, speakers, as_fast_as_possible, serve)
    bundle = Bundle.load(source)
    execution = asked_or_tuned(bundle, "latency", tell, threads=threads, device=device, precision=precision)
    policy = Policy.load(bundle, execution=execution, following=parse_following(follow))
    clock = ManualClock() if as_fast_as_possible else MonotonicClock()
    rules = load_guard_rules(guards) if guards else NO_RULES
    rate_hz = rate_hz or policy.signature.rate_hz
    with ExitStack() as stack:
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_S)
        keep_memory()
        body: Body | None = None
        sensors: Mapping[str, Sensor]
        actuator: Actuator
        if env:
            body = _body(env, policy, clock, seed, speakers, tell, stack)
            sensors, actuator = body.sensors, body
        else:
            sensors = _sensors(policy, inputs, clock, fit, real_time=not as_fast_as_possible)
            actuator = open_actuator(to or "stdout")
            _tell_of_missing(policy, sensors, tell)
        judge = Guards(
            rules,
            policy.signature.action_space,
            policy.safe_action,
            max_age_s={name: modality.max_age_s for name, modality in policy.signature.inputs.items()},
            period_s=1 / rate_hz,
            where=str(guards or "guards"),
        )
        kept = (
            stack.enter_context(
                _trace(trace, policy, execution, sensors, actuator, clock, tell, rules, rate_hz, follow)
            )
            if trace
            else None
        )
        log = None
        if rerun:
            log = _rerun_log(rerun, policy, sensors, clock, tell, waits=as_fast_as_possible)
            stack.callback(log.close)
        observers: list[Observer] = [one for one in (kept, log) if one]
        keeper = None
        if record:
            keeper = _keeper(record, policy, sensors, actuator, rate_hz, observers, tell, waits=as_fast_as_possible)
            stack.callback(keeper.close)
        watch = None if screen is None else lambda seen, decision: screen.show(running)
        running: Live | Stepped
        if isinstance(clock, ManualClock):
            stepped = Stepped(
                policy,
                sensors,
                actuator,
                judge,
                clock=clock,
                rate_hz=rate_hz,
                trigger=trigger,
                observers=observers,
                told=tell,
                watch=watch,
                keeper=keeper,
            )
            running = stack.enter_context(stepped)
        else:
            live = Live(
                policy,
                sensors,
                actuator,
                judge,
                rate_hz=rate_hz,
                trigger=trigger,
                observers=observers,
                serve=serve,
                told=tell,
                watch=watch,
                body=body,
                keeper=keeper,
                clock=clock,
            )
            running = stack.enter_context(live)
            if live.served_at:
                tell(f"metrics at {live.served_at}/metrics, health at {live.served_at}/healthz")
        typed = "-" in (what.strip() for what in inputs.values())
        if screen and not typed and stack.enter_context(stopped_by_key(judge.stop)):
            tell("space stops, r goes on, Ctrl-C ends")
        with _ended_by_signals(running, judge.stop):
            running.run(duration_s)
        summary = running.summary()
    summary["policy"] = policy.fingerprint
    summary["execution"] = Settings.of(execution).model_dump()
    summary["trace"] = {"lines": kept.lines, "lost": kept.lost} if kept else None
    summary["recording"] = keeper.summary() if keeper else None
    summary["rerun"] = log.summary() if log else None
    if body:
        summary["episodes"] = {"ended": body.episodes, "successes": body.successes}
    return summary


def _require_sense(
    inputs: Mapping[str, str],
    env: str | None,
    to: str | None,
    speakers: tuple[str, ...],
    fast: bool,
    serve: int | None,
) -> None:
    if env and inputs:
        raise UsageError("an environment is sensed as it is: leave out --input, or --env")
    if env and to:
        raise UsageError("actions go into the environment: leave out --to, or --env")
    if speakers and not env:
        raise UsageError("--speaker speaks in an environment: leave it out, or name one with --env")
    if len([what for what in inputs.values() if what.strip() == "-"]) > 1:
        raise UsageError("two inputs are to be read from standard input (-): only one of them can")
    if fast and env:
        raise UsageError("--as-fast-as-possible is for recordings; `evaluate` plays an environment without waiting")
    if fast and serve is not None:
        raise UsageError("--as-fast-as-possible runs in simulated time, of which there is no health to --serve")


def _body(
    env: str, policy: Policy, clock: Clock, seed: int, speakers: tuple[str, ...], tell: Told, stack: ExitStack
) -> Body:
    world = make_world(env, speakers=speakers)
    stack.callback(world.close)

    def ended(number: int, mission: str, success: bool, steps: int) -> None:
        tell(f"episode {number}: {mission!r} {'done' if success else 'not done'} in {steps} steps")

    return Body(world, observed_inputs(policy.signature, world, None), clock, seed=seed, told=ended)


def _sensors(
    policy: Policy, inputs: Mapping[str, str], clock: Clock, fit: str, *, real_time: bool
) -> dict[str, Sensor]:
    signature = policy.signature
    if unknown := [name for name in inputs if name not in signature.inputs]:
        raise UsageError(f"the policy has no input {unknown[0]!r}; it has {', '.join(signature.inputs)}")
    return {
        name: open_sensor(name, signature.inputs[name], what, clock=clock, fit=fit, real_time=real_time)
        for name, what in inputs.items()
    }


def _tell_of_missing(policy: Policy, sensors: Mapping[str, Sensor], tell: Told) -> None:
    for name, modality in policy.signature.inputs.items():
        if modality.critical and name not in sensors:
            tell(f"{name} is critical and not connected: only the safe action will be executed")


def _trace(
    path: Path,
    policy: Policy,
    execution: Execution,
    sensors: Mapping[str, Sensor],
    actuator: Actuator,
    clock: Clock,
    tell: Told,
    rules: GuardRules,
    rate_hz: float,
    follow: str,
) -> TraceWriter:
    return TraceWriter(
        path,
        policy.signature,
        policy=policy.fingerprint,
        sensors={name: sensor.source for name, sensor in sensors.items()},
        actuator=actuator.target,
        clock=clock,
        told=tell,
        more={
            "rate_hz": rate_hz,
            "follow": follow,
            "guards": rules.model_dump(mode="json", exclude_defaults=True),
            "execution": Settings.of(execution).model_dump(),
        },
    )


def _keeper(
    path: Path,
    policy: Policy,
    sensors: Mapping[str, Sensor],
    actuator: Actuator,
    rate_hz: float,
    observers: Sequence[Observer],
    tell: Told,
    *,
    waits: bool,
) -> RunRecording | BackgroundRecording:
    def committed(stream: int, episode: int) -> None:
        for observer in observers:
            observer.event("recorded", stream=stream, episode=episode, path=str(path))

    recording = RunRecording(
        path,
        policy.signature,
        list(sensors),
        rate_hz=rate_hz,
        target=redacted(actuator.target),
        told=tell,
        committed=committed,
    )
    return recording if waits else BackgroundRecording(recording, tell)


def _rerun_log(
    path: Path, policy: Policy, sensors: Mapping[str, Sensor], clock: Clock, tell: Told, *, waits: bool
) -> RerunLog | BackgroundRerunLog:
    log = RerunLog(path, policy.signature, list(sensors), clock=clock, told=tell)
    return log if waits else BackgroundRerunLog(log, clock, tell)


@contextmanager
def _ended_by_signals(running: Live | Stepped, stop: LatchedStop) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM end the run; a second one ends the program as it would without us."""
    before: dict[int, Any] = {}

    def end(number: int, _frame: object) -> None:
        running.stop()
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, end)
    try:
        with stopped_by_signals(stop):
            yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
