"""The verbs with which a policy acts: demo, run, sensors."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sensorimotor.errors import UsageError
from sensorimotor.pipelines.cli_options import (
    DeviceOption,
    Json,
    PolicyArgument,
    PrecisionOption,
    print_json,
)
from sensorimotor.redaction import redacted

acting = typer.Typer()


@acting.command()
def demo(
    policy: PolicyArgument = "default",
    out: Annotated[Path, typer.Option(help="Directory for demo.mp4, decisions.jsonl and summary.json.")] = Path(
        "demo-out"
    ),
    episodes: Annotated[int, typer.Option(min=1, max=1000, help="Episodes of each level.")] = 2,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the first room.")] = None,
    speaker: Annotated[
        list[str] | None, typer.Option(help="Who speaks, e.g. `espeak:en-us+f3`; may be repeated.")
    ] = None,
    film: Annotated[bool, typer.Option(help="Make the film.")] = True,
    as_json: Json = False,
) -> None:
    """Watch a policy act: it hears a spoken mission, sees a room, and goes there.

    Example: `sensorimotor demo --episodes 3 --speaker espeak:en-gb-scotland`
    """
    from sensorimotor.pipelines import demo as module

    options: dict[str, Any] = {"episodes": episodes, "film": film}
    if seed is not None:
        options["seed"] = seed
    if speaker:
        options["speakers"] = tuple(speaker)
    if as_json:
        print_json(module.demo(policy, out, **options))
        return
    from sensorimotor.pipelines import console

    console.demo_table(module.demo(policy, out, watch=console.show_event, **options))


@acting.command()
def run(
    policy: PolicyArgument = "default",
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="NAME=SOURCE: `camera=0`, `mic=default`, `camera=rtsp://…`, `mic=clip.wav`, …"),
    ] = None,
    env: Annotated[str | None, typer.Option(help="Act in this environment, in real time, instead.")] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Where actions go: stdout (what it is without --env), none, http://…, udp://HOST:PORT."),
    ] = None,
    guards: Annotated[Path | None, typer.Option(help="An operator's guards (TOML).")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, max=1000, help="Decisions a second.")] = None,
    trigger: Annotated[str | None, typer.Option(help="Decide when this input is new, instead of at a rate.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.01, max=1e9, help="Stop after so many seconds.")] = None,
    fit: Annotated[str, typer.Option(help="Frames of another shape: crop, pad or stretch.")] = "crop",
    trace: Annotated[Path | None, typer.Option(help="Append every decision and event to this file.")] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Record to this directory what comes in and what is done."),
    ] = None,
    rerun: Annotated[
        Path | None,
        typer.Option(help="Log to this file (.rrd) what the Rerun viewer shows: inputs, ages, probabilities, events."),
    ] = None,
    as_fast_as_possible: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Run through files in simulated time, with nothing dropped.")
    ] = False,
    serve: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of /metrics and /healthz on this machine; 0: any.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Threads of each encoder; a large one gains by more. Default: as tuned, or 1."
        ),
    ] = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    follow: Annotated[
        str, typer.Option(help="How many actions of a plan are carried out before the next plan; or `ensemble`.")
    ] = "1",
    replay: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="TRACE DIR", help="Decide again on what was traced and recorded, and compare the actions."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the environment's first episode.")] = 0,
    speaker: Annotated[list[str] | None, typer.Option(help="Who speaks in the environment.")] = None,
    as_json: Json = False,
) -> None:
    """Act on live cameras, microphones, words and sensors, or in an environment, until Ctrl-C.

    SIGUSR1 presses the stop, which holds until SIGUSR2. With --replay nothing is sensed and nothing is sent; the exit
    status is 1 if any action differs.

    Example: `sensorimotor run default --input camera=0 --input mic=default --input instruction="go to the red ball"`
    """
    from sensorimotor.pipelines import live_console
    from sensorimotor.pipelines.run import run as module_run

    if replay:
        others = (inputs, env, to, guards, rate, trigger, duration, trace, record, rerun, as_fast_as_possible, speaker)
        if any(others) or serve is not None:
            raise UsageError("--replay takes all from the trace and the recording: leave the other options out")
        _replay(policy, *replay, as_json)
        return
    sources = dict(_source(one) for one in inputs or ())
    if len(sources) < len(inputs or ()):
        raise UsageError("an input is named twice: expected one source for each")
    actions_shown = not env and to in (None, "stdout", "-")
    if as_json and actions_shown:
        raise UsageError("--json prints its object on standard output, where the actions go: add --to none, or another")
    # a line that changes and lines of actions would write over each other on one terminal
    with live_console.status(quiet=as_json or (actions_shown and sys.stdout.isatty())) as screen:
        summary = module_run(
            policy,
            sources,
            env=env,
            to=to,
            guards=guards,
            rate_hz=rate,
            trigger=trigger,
            duration_s=duration,
            fit=fit,
            trace=trace,
            record=record,
            rerun=rerun,
            as_fast_as_possible=as_fast_as_possible,
            serve=serve,
            threads=threads,
            device=device,
            precision=precision,
            follow=follow,
            seed=seed,
            speakers=tuple(speaker or ()),
            screen=screen,
        )
    if as_json:
        print_json(summary)
    else:
        live_console.summary_table(summary)


def _replay(policy: str, trace: Path, recording: Path, as_json: bool) -> None:
    from sensorimotor.models.bundle import Bundle
    from sensorimotor.models.policy import Policy
    from sensorimotor.pipelines import live_console
    from sensorimotor.pipelines.retrace import executed, retrace

    bundle = Bundle.load(policy)
    done = retrace(Policy.load(bundle, execution=executed(trace, bundle)), trace, recording)
    if as_json:
        print_json(done.to_json())
    else:
        live_console.replay_table(done)
    if done.differ:
        raise typer.Exit(1)


@acting.command()
def sensors(as_json: Json = False) -> None:
    """Show the cameras and microphones of this machine, and what to type for them.

    Example: `sensorimotor sensors`
    """
    from sensorimotor.perception.sensors import available
    from sensorimotor.pipelines import live_console

    found = available(lambda sentence: typer.echo(f"microphones cannot be listed: {sentence}", err=True))
    if as_json:
        print_json([one._asdict() for one in found])
    else:
        live_console.sensors_table(found)


def _source(text: str) -> tuple[str, str]:
    """NAME=SOURCE of an input."""
    name, equals, source = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--input {redacted(text)!r}: expected NAME=SOURCE")
    if "://" in name:
        raise UsageError(f"--input {redacted(text)!r}: expected NAME=SOURCE, as in camera={redacted(text)}")
    return name, source
