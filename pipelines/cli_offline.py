"""The verbs for a policy at its desk: batch over recordings, profile and tune on this machine."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from sensorimotor.errors import UsageError
from sensorimotor.pipelines.cli_options import (
    INTERRUPTED,
    BindOption,
    DeviceOption,
    Json,
    PolicyArgument,
    PrecisionOption,
    SetOption,
    named,
    print_json,
)

Engine = Literal["local", "ray"]
offline = typer.Typer()


@offline.command()
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

    spec = InputSpec(where, named("--bind", bind), named("--set", constants), rate, fit)
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
        print_json(report)
    else:
        console.decided(report)


@offline.command()
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
    shown = InputSpec(recording, named("--bind", bind), named("--set", constants)) if recording else None
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
        print_json(report)
    else:
        profile_tables(report, str(html) if html else None)


@offline.command()
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
        print_json(report)
    else:
        tune_table(report)
