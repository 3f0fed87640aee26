"""What a recipe would make, before it costs anything: sizes, arithmetic, a batch, and an export that is thrown away."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sensorimotor.errors import RecipeError
from sensorimotor.models.export import example_values, without_adapters, write_unproven
from sensorimotor.models.network import Network
from sensorimotor.models.parity import TOLERANCE, check_rows
from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.buffers import Sensed, latched
from sensorimotor.perception.hub import hub_or_cache
from sensorimotor.perception.modality import Audio, Image, Modality, State
from sensorimotor.pipelines.lesson import Lesson
from sensorimotor.pipelines.provisional import label, provisional_lesson
from sensorimotor.pipelines.recipe import Recipe
from sensorimotor.pipelines.train import usable_device

ROWS = 2
"""Rows that are compared after the export."""


def check(recipe: Recipe, device: str = "cpu") -> dict[str, Any]:
    """Build the network of a recipe, learn from one small batch, export it, and throw everything away.

    Args:
        recipe: Of any kind.
        device: Where to compute the batch.

    Returns:
        A JSON-able report: `signature`; `parts` with their parameters and FLOPs, of a decision in all under `flops`;
        `batch`; `bundle` with its bytes, and `parity` of a few rows; `stood_in`, a sentence for everything that was
        not the recipe's own; `seconds`, how long it took.

    Raises:
        RecipeError: The recipe cannot be followed.
        DataError: Its data are damaged.
        EncoderError: A pretrained encoder does not exist, or nothing tells what it is like.
        SignatureError: What it describes is no policy.
        ParityError: The exported graphs do not compute what the network computes.
        UsageError: There is no such device.
    """
    began = time.monotonic()
    where = usable_device(device)
    with TemporaryDirectory(prefix="sensorimotor-check-") as folder:
        with hub_or_cache():
            lesson, stood_in = provisional_lesson(recipe, Path(folder) / "made", where)
        batch = _one_batch(lesson, where)
        network = lesson.network.to("cpu").eval()
        parts = _parts(network)
        bundle, parity = _exported(network, Path(folder) / "bundle", recipe)
    per_decision = sum(part["flops"] for part in parts if not part["once"])
    return {
        "recipe": recipe.name,
        "signature": network.signature.to_json(),
        "memory_size": network.memory_size,
        "parts": parts,
        "parameters": sum(part["parameters"] for part in parts),
        "learning": sum(part["learning"] for part in parts),
        "flops": per_decision,
        "batch": batch,
        "bundle": bundle,
        "parity": parity,
        "stood_in": stood_in,
        "seconds": round(time.monotonic() - began, 1),
    }


def _one_batch(lesson: Lesson, device: torch.device) -> dict[str, Any]:
    """One step forwards and backwards, with nothing changed by it."""
    began = time.monotonic()
    lesson.network.to(device).train()
    lesson.tutor.to(device)
    loss, numbers = lesson.losses(0)
    if not torch.isfinite(loss):
        raise RecipeError("the loss of the first batch is no number: look at the data with `sensorimotor data inspect`")
    loss.backward()
    lesson.network.zero_grad(set_to_none=True)
    seconds = round(time.monotonic() - began, 2)
    return {"decisions": int(numbers["samples"]), "loss": float(f"{float(loss.detach()):.4g}"), "seconds": seconds}


def _parts(network: Network) -> list[dict[str, Any]]:
    """Encoders, fusion and head: how large they are, how much of them learns, and what they cost."""
    found = []
    shapes = network.token_shapes()
    for name, modality in network.signature.inputs.items():
        spec = network.spec.encoders.get(name)
        encoded = modality.still if isinstance(modality, Image) else modality
        arguments = tuple(torch.from_numpy(value) for value in example_values(encoded, 1))
        found.append(
            {
                "part": name,
                "kind": label(spec) if spec else "small",
                "training": spec.training if spec else "trained",
                **_sizes(network.encoders[name]),
                "tokens": shapes[name].n,
                "dim": shapes[name].dim,
                "flops": count_flops(network.encoders[name], *arguments),
                "once": latched(modality),
            }
        )
    core = network.core
    tokens = [torch.zeros(1, shape.n, shape.dim) for shape in shapes.values()]
    masks = [torch.ones(1, shape.n, dtype=torch.bool) for shape in shapes.values()]
    present = torch.ones(1, len(shapes), dtype=torch.bool)
    state = (present, torch.zeros(1, len(shapes)), network.initial_memory(1))
    for name, module, flops in (
        ("fusion", core.fusion, count_flops(core.fusion, tokens, masks, *state)),
        ("head", core.head, count_flops(core.head, torch.zeros(1, core.fusion.dim))),
    ):
        whole = {"kind": type(module).__name__, "training": "trained", **_sizes(module)}
        found.append({"part": name, **whole, "tokens": None, "dim": None, "flops": flops, "once": False})
    return found


def _sizes(module: nn.Module) -> dict[str, int]:
    parameters = list(module.parameters())
    return {
        "parameters": sum(one.numel() for one in parameters),
        "learning": sum(one.numel() for one in parameters if one.requires_grad),
    }


@torch.no_grad()
def count_flops(module: nn.Module, *arguments: Any) -> int:
    """Floating point operations of one call: matrix products, convolutions and attention, a multiply-add being two."""
    fast = torch.backends.mha.get_fastpath_enabled()
    # In evaluation mode torch's own attention is one operator that is not counted.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter:
            module(*arguments)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops())


def _exported(network: Network, folder: Path, recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write a bundle, hold a few rows of it against the network, and say how large it is."""
    folder.mkdir(parents=True)
    stated = {"name": recipe.name, "description": recipe.description, "metrics": {}, "provenance": {}, "weights": []}
    policy = write_unproven(without_adapters(network), folder, stated)
    steps = [
        Sensed({name: _noise(modality, row) for name, modality in network.signature.inputs.items()})
        for row in range(ROWS)
    ]
    trained = Policy(network.signature, TorchBackend(network), network.tokenizer)
    error = check_rows(trained, policy, steps)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return {"bytes": sum(files.values()), "files": files}, {"rows": ROWS, "max_error": error, "tolerance": TOLERANCE}


def _noise(modality: Modality, row: int) -> Any:
    """A value of an input."""
    rng = np.random.default_rng(row)
    match modality:
        case Image(shape=shape):
            return rng.integers(0, 256, shape).astype(np.uint8)
        case Audio(samples=samples, channels=channels):
            return (0.1 * rng.standard_normal((samples, channels))).clip(-1, 1).astype(np.float32)
        case State(size=size):
            return rng.standard_normal(size).astype(np.float32)
    return ("go", "go there")[row]
