"""The verbs with which a policy is made: record, train, export, evaluate, prompt, inspect."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sensorimotor.errors import MissingExtraError, SensorimotorError, UsageError
from sensorimotor.files import expanded
from sensorimotor.pipelines.cli_options import (
    CACHE,
    INTERRUPTED,
    DeviceOption,
    Json,
    PolicyArgument,
    PrecisionOption,
    pair,
    print_json,
)

learning = typer.Typer()


@learning.command()
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

    options = dict(pair(one) for one in option or ())
    with console.counting(f"recording {env}", episodes) as progress:
        done = record_expert(env, out, episodes, seed=seed, options=options, progress=progress)
    if as_json:
        print_json({**asdict(done), "path": str(done.path)})
    else:
        console.recorded(done)


@learning.command()
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
        print_json(done.to_json())
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
        print_json(report)
    else:
        check_table(report)


@learning.command()
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
        print_json({"bundle": str(out), "parity": report})
    else:
        console.parity_table(report, str(out))


@learning.command()
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
        print_json(report)
    else:
        console.evaluation_table(report)


@learning.command()
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
        print_json({"bundle": str(out), "parity": report})
    else:
        console.parity_table(report, str(out))


@learning.command()
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
        print_json(report)
    else:
        from sensorimotor.pipelines import console

        console.inspection(report)
    if report["golden"] and not report["golden"]["ok"]:
        raise SensorimotorError(f"{policy} does not give on this machine what its golden set says")


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
