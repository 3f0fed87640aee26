"""The command `sensorimotor`: one verb for each thing that people do with a policy.

Every verb has `--json`: one JSON object on standard output and nothing else. Progress goes to standard error. Exit
status: 0 done, 1 the job failed, 2 wrong use, 130 interrupted. Heavy imports happen inside the verbs.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sensorimotor.errors import MissingExtraError, OutputPathError, SensorimotorError, UsageError
from sensorimotor.files import expanded
from sensorimotor.redaction import redacted

app = typer.Typer(
    help="Train a policy that sees, hears and reads; export it once; run it inside a latency budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data = typer.Typer(help="Look into data, and turn them into a recording.", no_args_is_help=True)
app.add_typer(data, name="data")

PolicyArgument = Annotated[str, typer.Argument(help="A bundle directory, or the name of a bundled policy.")]
BindOption = Annotated[
    list[str] | None, typer.Option(help="INPUT=NAME: the column or feature that feeds an input; may be repeated.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="INPUT=TEXT: what a text input is told; may be repeated.")
]
DeviceOption = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="cuda: an NVIDIA GPU.")]
PrecisionOption = Annotated[
    Literal["fp32", "fp16"],
    typer.Option("--precision", help="fp16: pretrained encoders in half precision, where the bundle has them."),
]
Engine = Literal["local", "ray"]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
INTERRUPTED = 130
CACHE = Path("~/.cache/sensorimotor")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"sensorimotor {version('sensorimotor')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
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
        _print_json(module.demo(policy, out, **options))
        return
    from sensorimotor.pipelines import console

    console.demo_table(module.demo(policy, out, watch=console.show_event, **options))


@app.command()
def record(
    env: Annotated[str, typer.Argument(help="An environment with an expert, e.g. `sensorimotor/Reach-v0`.")],
    out: Annotated[Path, typer.Option(help="A new directory, or one of the same recording, which is continued.")],
    episodes: Annotated[int, typer.Option(min=1, help="How many to add.")] = 200,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the first. Default: as many as are there.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, what the environment is made with; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Record demonstrations: an environment's expert acts, and what it saw and did is kept, episode by episode.

    Example: `sensorimotor record sensorimotor/Reach-v0 --episodes 200 --option control_noise=0.1 --out demos/reach`
    """
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.record import record_expert

    options = dict(_pair(one) for one in option or ())
    with console.counting(f"recording {env}", episodes) as progress:
        done = record_expert(env, out, episodes, seed=seed, options=options, progress=progress)
    if as_json:
        _print_json({**asdict(done), "path": str(done.path)})
    else:
        console.recorded(done)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML); see recipes/ in the source.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory for the checkpoint, the log and TensorBoard's files.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only show what the recipe would make, in a minute; nothing is kept.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out exactly where it stopped.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make demonstrations.")] = os.cpu_count() or 1,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1, …")] = "cpu",
    cache: Annotated[Path, typer.Option(help="Where demonstrations and speech are kept.")] = CACHE,
    as_json: Json = False,
) -> None:
    """Train a policy by imitation, as a recipe says. Ctrl-C writes a checkpoint; --resume continues.

    Example: `sensorimotor train recipes/quick.toml --out runs/quick`; before that, `train recipes/quick.toml --check`
    """
    if check:
        _check(recipe, device, resume, as_json)
        return
    if out is None:
        raise UsageError("Missing option '--out': a directory for the run. --check needs none")
    _require("train", "training", "torch", "safetensors", "tensorboard")
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.recipe import load_recipe
    from sensorimotor.pipelines.train import train as run

    checked = load_recipe(recipe)
    with console.training() as report:
        done = run(
            checked,
            out,
            cache=expanded(cache),
            resume=resume,
            workers=workers,
            device=device,
            report=report,
        )
    if as_json:
        _print_json(done.to_json())
    else:
        console.trained(done)
    if not done.finished:
        raise typer.Exit(INTERRUPTED)  # so that `train && export` does not ship half a policy


def _check(recipe: Path, device: str, resume: bool, as_json: bool) -> None:
    if resume:
        raise UsageError("--check looks at a recipe and --resume continues a run: leave one of them out")
    _require("train", "checking a recipe", "torch", "safetensors", "onnx", "onnxscript")
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.check import check as run
    from sensorimotor.pipelines.check_table import check_table
    from sensorimotor.pipelines.recipe import load_recipe

    checked = load_recipe(recipe)
    _quiet_exporter()
    with console.err.status("building, learning from one batch, exporting"):
        report = run(checked, device)
    if as_json:
        _print_json(report)
    else:
        check_table(report)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint, or the directory of its run.")],
    out: Annotated[Path, typer.Option(help="The bundle's directory.")],
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Also write policy.onnx, one graph for a step.")
    ] = False,
    precision: Annotated[
        Literal["fp32", "fp16"], typer.Option(help="fp16: also write pretrained encoders in half precision, for GPUs.")
    ] = "fp32",
    as_json: Json = False,
) -> None:
    """Turn a checkpoint into a bundle, if the exported graphs compute what the network computes.

    Example: `sensorimotor export runs/quick --out bundles/quick`
    """
    _require("train", "exporting", "torch", "safetensors", "onnx", "onnxscript")
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.export import export_checkpoint

    _quiet_exporter()
    with _tidy_when_killed(), console.err.status("exporting and comparing"):
        report = export_checkpoint(checkpoint, out, single_file=single_file, precision=precision)
    if as_json:
        _print_json({"bundle": str(out), "parity": report})
    else:
        console.parity_table(report, str(out))


@app.command()
def evaluate(
    policy: PolicyArgument,
    env: Annotated[
        str, typer.Option(help="A BabyAI level, `sensorimotor/Reach-v0`, or any such Gymnasium environment.")
    ] = "BabyAI-GoToLocal-v0",
    episodes: Annotated[int, typer.Option(min=1, help="How many.")] = 512,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first; evaluation begins at 1000000000.")
    ] = 1_000_000_000,
    inputs: Annotated[
        str | None, typer.Option(help="What the policy is shown, e.g. `camera,mic`. Default: everything.")
    ] = None,
    speaker: Annotated[
        list[str] | None,
        typer.Option(
            help="Who speaks: `espeak:VOICE`, `flite:VOICE`, `festival:VOICE`, `recordings: DIR` or `command: …`; "
            "may be repeated, then one is drawn an episode."
        ),
    ] = None,
    swap_mission: Annotated[
        bool, typer.Option("--swap-mission", help="Give, and score, the mission of another object of the room.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    as_json: Json = False,
) -> None:
    """Play many episodes in closed loop and report success, path length and attention to the instruction.

    Example: `sensorimotor evaluate default --inputs camera,mic --speaker espeak:en-us+f3 --episodes 100`
    """
    from sensorimotor.models.execution import Execution
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.evaluate import Trial
    from sensorimotor.pipelines.evaluate import evaluate as run

    names = tuple(name.strip() for name in inputs.split(",") if name.strip()) if inputs is not None else None
    execution = Execution.on(device, precision=precision)
    trial = Trial(policy, env, names, tuple(speaker or ("espeak:en-us+f3",)), swap_mission, execution)
    with console.counting(env, episodes) as progress:
        report = run(trial, range(seed, seed + episodes), workers=workers, progress=progress)
    if as_json:
        _print_json(report)
    else:
        console.evaluation_table(report)


@app.command()
def inspect(
    policy: PolicyArgument,
    verify: Annotated[bool, typer.Option("--verify", help="Replay the golden set on this machine.")] = False,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    as_json: Json = False,
) -> None:
    """Show what a bundle expects, promises and remembers.

    Example: `sensorimotor inspect default --verify`
    """
    from sensorimotor.models.execution import Execution
    from sensorimotor.pipelines.inspect import inspect as look

    report = look(policy, verify=verify, execution=Execution.on(device, precision=precision))
    if as_json:
        _print_json(report)
    else:
        from sensorimotor.pipelines import console

        console.inspection(report)
    if report["golden"] and not report["golden"]["ok"]:
        raise SensorimotorError(f"{policy} does not give on this machine what its golden set says")


@app.command()
def tune(
    policy: PolicyArgument = "default",
    objective: Annotated[
        str, typer.Option("--for", help="latency: one decision at a time, for `run`; throughput: batches, for `batch`.")
    ] = "latency",
    seconds: Annotated[float, typer.Option(help="How long to measure, roughly.")] = 60.0,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a batch, for throughput.")] = 32,
    env: Annotated[str | None, typer.Option(help="An environment in which success must stay as it is.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="How many are played there, each way.")] = 50,
    as_json: Json = False,
) -> None:
    """Find out how the policy runs fastest on this machine and decides the same; `run` and `batch` pick it up.

    Threads, spinning, execution mode, graph optimisation, memory and int8 are tried against each other in turns. What
    decides otherwise on the golden observations is out.

    Example: `sensorimotor tune default --env BabyAI-GoToLocal-v0 --episodes 50`
    """
    from rich.markup import escape

    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.tune import tune as run
    from sensorimotor.pipelines.tune_table import tune_table

    with console.err.status("deciding on the golden observations") as status:
        report = run(
            policy,
            objective=objective,
            seconds=seconds,
            batch=batch,
            env=env,
            episodes=episodes,
            tell=lambda sentence: status.update(escape(sentence)),
        )
    if as_json:
        _print_json(report)
    else:
        tune_table(report)


@app.command()
def prompt(
    image: Annotated[
        str,
        typer.Option(help="`open_clip:MODEL:TAG`, `open_clip:hf-hub:OWNER/NAME` or `open_clip:local-dir:DIR`."),
    ],
    action: Annotated[list[str], typer.Option(help="NAME=TEXT: an action and the picture it is for; at least two.")],
    out: Annotated[Path, typer.Option(help="The bundle's directory.")],
    height: Annotated[int, typer.Option(min=1, help="Of the camera's frames (pixels).")] = 480,
    width: Annotated[int, typer.Option(min=1, help="Of the camera's frames (pixels).")] = 640,
    template: Annotated[
        list[str] | None, typer.Option(help="What each text is put into, in place of `{}`; may be repeated.")
    ] = None,
    safe: Annotated[
        str | None, typer.Option(help="The action to take when the camera is lost. Default: the device holds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a policy out of words: it does what goes best with the picture. Nothing is trained.

    Example: `sensorimotor prompt --image open_clip:ViT-B-32-256:datacomp_s34b_b86k --action wave="a person waving"
    --action none="an empty room" --out bundles/wave`
    """
    _require("train", "a prompted policy", "torch", "safetensors", "onnx", "onnxscript", "open_clip")
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.prompt import TEMPLATES, build_prompted, parse_actions

    actions, templates = parse_actions(action), tuple(template or TEMPLATES)
    _quiet_exporter()
    with _tidy_when_killed(), console.err.status("comparing words, exporting and comparing again"):
        report = build_prompted(image, actions, out, camera=(height, width), templates=templates, safe=safe)
    if as_json:
        _print_json({"bundle": str(out), "parity": report})
    else:
        console.parity_table(report, str(out))


@app.command()
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
        _print_json(summary)
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
        _print_json(done.to_json())
    else:
        live_console.replay_table(done)
    if done.differ:
        raise typer.Exit(1)


@app.command()
def batch(
    policy: PolicyArgument,
    where: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A table, a recording's directory, or a file, directory, pattern or URL of media."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory for the results.")],
    bind: BindOption = None,
    constants: SetOption = None,
    rate: Annotated[float | None, typer.Option(min=0.01, max=1000, help="Decisions a second of a recording.")] = None,
    fit: Annotated[str, typer.Option(help="Pictures of another shape: crop, pad or stretch.")] = "crop",
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode; 0: none but this one.")] = max(
        1, (os.cpu_count() or 1) - 1
    ),
    engine: Annotated[Engine, typer.Option(help="Processes of this machine, or Ray.")] = "local",
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster. Default: one on this machine.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows decided in at a time, about.")] = 32,
    shard_size: Annotated[
        int | None, typer.Option(min=1, help="Episodes a file. Default: 4096 single rows, or 64 recordings.")
    ] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Keep the embeddings too.")] = False,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = "fp32",
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Of each graph; a large one gains by more. Default: as tuned, or 1."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what is in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove what is in --out first.")] = False,
    as_json: Json = False,
) -> None:
    """Run a policy over recordings, tables and media files; one row a decision, as Parquet, in the order of the input.

    Ctrl-C, or a kill at any moment, loses nothing that is written: --resume goes on from there.

    Example: `sensorimotor batch default clips/ --set instruction="go to the red ball" --out decisions`
    """
    from sensorimotor.models.bundle import Bundle
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.batch import Interrupted, run_batch
    from sensorimotor.pipelines.batch_input import InputSpec
    from sensorimotor.pipelines.batch_job import BatchJob
    from sensorimotor.pipelines.machine_profile import asked_or_tuned

    spec = InputSpec(where, _named("--bind", bind), _named("--set", constants), rate, fit)
    execution = asked_or_tuned(
        Bundle.load(policy), "throughput", console.note, threads=threads, device=device, precision=precision
    )
    job = BatchJob(policy, spec, out, workers, batch_size, shard_size, embeddings, execution, engine, ray)
    try:
        report = run_batch(job, resume=resume, overwrite=overwrite, progress=console.deciding)
    except Interrupted as stopped:
        typer.echo(f"interrupted: {stopped}", err=True)
        raise typer.Exit(INTERRUPTED) from stopped
    if as_json:
        _print_json(report)
    else:
        console.decided(report)


@app.command()
def profile(
    policy: PolicyArgument = "default",
    rate: Annotated[float | None, typer.Option(help="Decisions a second to hold it against. Default: its own.")] = None,
    batch: Annotated[
        str, typer.Option(help="Sizes of batches, e.g. `1,2,4`; `none` leaves them out.")
    ] = "1,2,4,8,16,32",
    recording: Annotated[
        str | None, typer.Option(help="Show it this instead of its golden set: a recording, a table, a video, …")
    ] = None,
    bind: BindOption = None,
    constants: SetOption = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare with the same policy in torch and torch.compile.")
    ] = False,
    providers: Annotated[
        str | None, typer.Option(help="Execution providers of ONNX Runtime; or cpu, or cuda. Default: cpu.")
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Threads of each graph; `auto`: the quickest number. Default: as tuned, or 1."),
    ] = None,
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Let the CPU run what the first provider cannot.")
    ] = False,
    decisions: Annotated[int, typer.Option(min=1, max=100_000, help="How many to time, at most; 20 s at most.")] = 2000,
    html: Annotated[Path | None, typer.Option(help="Also draw it: one file, for any browser.")] = None,
    as_json: Json = False,
) -> None:
    """Show where the milliseconds of a policy go on this machine, and which rate it holds.

    Example: `sensorimotor profile default --rate 30 --html profile.html`
    """
    from sensorimotor.files import write_atomically
    from sensorimotor.pipelines import console, profile_options
    from sensorimotor.pipelines.batch_input import InputSpec
    from sensorimotor.pipelines.profile import profile as measure
    from sensorimotor.pipelines.profile_console import profile_tables
    from sensorimotor.pipelines.profile_report import html_report

    rate_hz, count = profile_options.check_rate(rate), profile_options.parse_threads(threads) if threads else None
    sizes = () if batch == "none" else profile_options.parse_batches(batch)
    execution = profile_options.execution_of(providers, count, allow_fallback)
    if html:
        html = profile_options.writable_file(html)
    if (bind or constants) and recording is None:
        raise UsageError("--bind and --set say how a recording feeds the policy: add --recording")
    shown = InputSpec(recording, _named("--bind", bind), _named("--set", constants)) if recording else None
    with console.err.status("loading") as status:
        report = measure(
            policy,
            execution=execution,
            try_threads=threads == profile_options.AUTO,
            batches=sizes,
            rate_hz=rate_hz,
            recording=shown,
            with_torch=compare,
            decisions=decisions,
            told=status.update,
        )
    if html:
        write_atomically(html, html_report(report))
    if as_json:
        _print_json(report)
    else:
        profile_tables(report, str(html) if html else None)


@app.command()
def sensors(as_json: Json = False) -> None:
    """Show the cameras and microphones of this machine, and what to type for them.

    Example: `sensorimotor sensors`
    """
    from sensorimotor.perception.sensors import available
    from sensorimotor.pipelines import live_console

    found = available(lambda sentence: typer.echo(f"microphones cannot be listed: {sentence}", err=True))
    if as_json:
        _print_json([one._asdict() for one in found])
    else:
        live_console.sensors_table(found)


@data.command("inspect")
def data_inspect(
    path: Annotated[Path, typer.Argument(help="A recording's directory, or a manifest.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory for contact_sheet.png and spectrograms.png. Default: no pictures.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is in data: features, rates, statistics, and what is missing, equal or has gaps.

    Example: `sensorimotor data inspect demos/reach --out report`
    """
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.data_report import inspect_data
    from sensorimotor.pipelines.data_sheets import write_sheets
    from sensorimotor.pipelines.data_tables import data_table
    from sensorimotor.pipelines.sources import source_at

    source = source_at(path)
    with console.counting("looking", len(source)) as progress:
        report = inspect_data(source, progress)
    report["sheets"] = [str(sheet) for sheet in write_sheets(source, out)] if out else []
    if as_json:
        _print_json(report)
    else:
        data_table(report)


@data.command("convert")
def data_convert(
    source: Annotated[Path, typer.Argument(help="A recording's directory, or a manifest.")],
    out: Annotated[Path, typer.Argument(help="A new directory, or one of the same recording, which is continued.")],
    as_json: Json = False,
) -> None:
    """Turn data into a recording: a LeRobotDataset v3 with the sound beside it.

    Example: `sensorimotor data convert clips.csv recordings/clips`
    """
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.convert import convert
    from sensorimotor.pipelines.sources import source_at

    found = source_at(source)
    with console.counting("converting", len(found)) as progress:
        report = convert(found, out, progress)
    if as_json:
        _print_json(report)
    else:
        console.converted(report)


def _pair(text: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as JSON where it is, else as it stands."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"--option {text!r}: expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
    except RecursionError as error:
        raise UsageError(
            f"--option {key}: expected a value, got lists in lists {len(value)} characters long"
        ) from error


def _named(option: str, given: list[str] | None) -> dict[str, str]:
    """NAME=TEXT, each name once."""
    pairs = [one.partition("=") for one in given or ()]
    named = {name: text for name, equals, text in pairs if name and equals}
    if len(named) < len(pairs):
        raise UsageError(f"{option}: expected NAME=TEXT, each name once, got {', '.join(map(repr, given or ()))}")
    return named


def _source(text: str) -> tuple[str, str]:
    """NAME=SOURCE of an input."""
    name, equals, source = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--input {redacted(text)!r}: expected NAME=SOURCE")
    if "://" in name:
        raise UsageError(f"--input {redacted(text)!r}: expected NAME=SOURCE, as in camera={redacted(text)}")
    return name, source


@contextmanager
def _tidy_when_killed() -> Iterator[None]:
    """Let a polite kill end what is done as an error would: what is half written is removed."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)  # as a shell tells it

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _quiet_exporter() -> None:
    for name in ("torch.onnx", "onnxscript"):  # they warn of torchvision, and of constants that stay as they are
        logging.getLogger(name).setLevel(logging.ERROR)


def _require(extra: str, purpose: str, *packages: str) -> None:
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra, purpose)


def _print_json(content: Any) -> None:
    try:
        print(json.dumps(content), flush=True)
    except BrokenPipeError:  # who has read enough is no trouble
        raise
    except OSError as error:
        with suppress(OSError):  # it would be tried again at the end
            sys.stdout.close()
        raise OutputPathError(f"cannot write to standard output: {error.strerror}") from error


def main() -> None:
    """Run the command line; errors of this library become one sentence and an exit status."""
    try:
        app()
    except SensorimotorError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.exit(1)
