"""Export: a trained network becomes a bundle, but only if the exported graphs compute what the network computes."""

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from sensorimotor.errors import ExportError, OutputPathError
from sensorimotor.files import replacing_directory
from sensorimotor.models import bundle as layout
from sensorimotor.models.bundle import Bundle, encoder_file, half_file, seal
from sensorimotor.models.card import card
from sensorimotor.models.execution import Execution, Precision
from sensorimotor.models.golden import save_golden
from sensorimotor.models.half import halved
from sensorimotor.models.licences import foreign_weights, warn_of_restrictions
from sensorimotor.models.onnx_backend import DECIDED, ENCODED, OnnxBackend
from sensorimotor.models.parity import TOLERANCE, Evidence, check_parity
from sensorimotor.models.policy import Policy
from sensorimotor.models.prompted import AnyNetwork
from sensorimotor.models.single_file import SingleFileBackend, write_single_file
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.adapters import merge
from sensorimotor.perception.modality import Audio, Image, Modality, State, Text

GOLDEN_STEPS = 100
LARGEST_BYTES = 2**31 - 2**24
"""Of weights in one graph: a protobuf message ends at 2 GiB, and the rest of the graph needs room too."""
HALF_TOLERANCE = 2e-2
"""The same for encoders in half precision, whose numbers have three digits."""
EXAMPLE_ROWS = 2
"""Never 1: the exporter takes an axis of size 1 in the example for a constant."""
DYNAMIC = torch.export.Dim.DYNAMIC
STACK_TRACE = "pkg.torch.onnx.stack_trace"
"""What the exporter notes on every node: paths of the machine it runs on, which are nobody's business."""


def export(
    network: AnyNetwork,
    evidence: Evidence,
    out: Path,
    config: Mapping[str, Any],
    *,
    single_file: bool = False,
    precision: Precision = "fp32",
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Write a bundle, if the exported graphs agree with the network.

    Args:
        network: In any mode; it is exported in evaluation mode, its adapters merged in a copy of it.
        evidence: Real steps in closed loop, at least 1,000.
        out: The bundle's directory; an older bundle there is replaced.
        config: `name`, `description`, `metrics` and `provenance` of the policy.
        single_file: Also write `policy.onnx`, all graphs merged into one step.
        precision: With `fp16`, also write pretrained encoders in half precision, compared just as strictly but for
            `HALF_TOLERANCE`.
        tolerance: Largest difference of any head output or memory value (see `parity.difference`).

    Returns:
        The parity report.

    Warns:
        LicenceWarning: It has weights in it whose licence restricts its use.

    Raises:
        ParityError: They do not agree; nothing is written.
        ExportError: Its weights are too many for an ONNX file, or no numbers; or there is nothing to halve.
        OutputPathError: `out` cannot be written, or is a directory with something else in it.
    """
    require_replaceable(out)
    require_exportable(network, single_file=single_file)
    require_finite(network)
    if precision == "fp16":
        pretrained_inputs(network)
    warn_of_restrictions(network.spec)
    plain = without_adapters(network)
    with replacing_directory(out) as aside:
        stated = {**config, "weights": foreign_weights(network.spec)}
        policy = write_unproven(plain, aside, stated)
        trained = Policy(network.signature, TorchBackend(network), network.tokenizer)
        parity = check_parity(trained, policy, evidence, tolerance)
        if single_file:
            write_single_file(network.signature, aside)
            merged = SingleFileBackend(aside / layout.SINGLE, network.signature, network.memory_size)
            parity["single_file"] = check_parity(
                trained, Policy(network.signature, merged, network.tokenizer), evidence, tolerance
            )
        if precision == "fp16":
            write_half_graphs(plain, aside)
            seal(aside, _config(plain, stated, {}))
            half = OnnxBackend(Bundle.load(aside), Execution(precision="fp16"))
            in_half = Policy(network.signature, half, network.tokenizer)
            parity["fp16"] = check_parity(trained, in_half, evidence, HALF_TOLERANCE)
        save_golden(aside / layout.GOLDEN, policy, evidence.steps[:GOLDEN_STEPS], evidence.starts[:GOLDEN_STEPS])
        full = _config(plain, stated, parity)
        (aside / layout.CARD).write_text(card(network.signature, full))
        seal(aside, full)
    return parity


def require_exportable(network: AnyNetwork, *, single_file: bool = False) -> None:
    """Refuse a network whose weights do not fit into ONNX files, before anybody trains or exports it.

    Raises:
        ExportError: A graph would be too large.
    """
    sizes = {f"the encoder of {name!r}": _bytes(encoder) for name, encoder in network.encoders.items()}
    sizes["the core"] = _bytes(network.core)
    remedy = "choose a smaller model"
    if single_file:
        sizes[f"all of it together, in {layout.SINGLE},"] = sum(sizes.values())
        remedy = "export without the single file" if max(list(sizes.values())[:-1]) <= LARGEST_BYTES else remedy
    for part, size in sizes.items():
        if size > LARGEST_BYTES:
            limit = LARGEST_BYTES / 2**30
            raise ExportError(f"{part} has {size / 2**30:.2f} GiB of weights; an ONNX file holds {limit:.2f}: {remedy}")


def require_finite(network: AnyNetwork) -> None:
    """Refuse a network whose weights are no numbers: whatever it sees, it would give none.

    Raises:
        ExportError: Some are NaN or infinite.
    """
    masks = {name for name, _ in network.named_buffers()}  # in which minus infinity hides what is not to be seen
    for name, value in network.state_dict().items():
        if value.isnan().any() or (name not in masks and value.isinf().any()):
            raise ExportError(f"{name} has weights that are NaN or infinite: train again, at a lower learning rate")


def pretrained_inputs(network: AnyNetwork) -> list[str]:
    """The inputs whose encoders are worth halving: those that others have trained, for they are large.

    Raises:
        ExportError: There are none.
    """
    if not network.spec.encoders:
        raise ExportError("it has no pretrained encoder, and small ones gain nothing by half precision: export in fp32")
    return list(network.spec.encoders)


def _bytes(module: nn.Module) -> int:
    return sum(value.nbytes for value in module.state_dict().values())


def write_unproven(plain: AnyNetwork, directory: Path, config: Mapping[str, Any]) -> Policy:
    """Write a bundle that nobody has compared yet: graphs, tokenizer and weights, with no golden set and no card.

    Args:
        plain: A network without adapters.
        directory: An empty one.
        config: As in `export`, with `weights`.

    Returns:
        What was written, in ONNX Runtime.
    """
    write_graphs(plain, directory)
    if plain.tokenizer:
        (directory / layout.TOKENIZER).write_text(plain.tokenizer.to_json())
    weights = {name: value.contiguous() for name, value in plain.state_dict().items()}
    (directory / layout.WEIGHTS).write_bytes(save(weights))  # save_file would let nobody else read it
    seal(directory, _config(plain, config, {}))
    return Policy(plain.signature, OnnxBackend(Bundle.load(directory)), plain.tokenizer)


def without_adapters(network: AnyNetwork) -> AnyNetwork:
    """The network in its plain architecture: a copy with its adapters merged, for training may go on, or itself."""
    adapted = [name for name, spec in network.spec.encoders.items() if spec.training == "lora"]
    if not adapted:
        return network
    plain: Any = copy.deepcopy(network)
    encoders = dict(plain.spec.encoders)
    for name in adapted:
        encoder: Any = plain.encoders[name]
        merge(encoder.tower)
        encoders[name] = encoders[name].model_copy(update={"training": "trained"})
    plain.spec = plain.spec.model_copy(update={"encoders": encoders})
    return plain


def require_replaceable(out: Path) -> None:
    """Refuse a directory that has something else than a bundle in it: an export removes what was there before.

    Raises:
        OutputPathError: There is something else; some of it is named.
    """
    if out.is_dir() and (foreign := sorted({path.name for path in out.iterdir()} - layout.contents(out))):
        names = ", ".join(foreign[:3])
        raise OutputPathError(f"{out} has something else than a bundle in it ({names}); choose another directory")


def _config(network: AnyNetwork, config: Mapping[str, Any], parity: Mapping[str, Any]) -> dict[str, Any]:
    shapes = network.token_shapes()
    return {
        **config,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sensorimotor": version("sensorimotor"),
        "signature": network.signature.to_json(),
        "memory_size": network.memory_size,
        "encoders": {
            name: {"tokens": shape.n, "dim": shape.dim, **_films(network.signature.inputs[name])}
            for name, shape in shapes.items()
        },
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "network": network.spec.model_dump(),
        "thresholds": {"confidence": None, "novelty": None},
        "parity": dict(parity),
    }


def _films(modality: Modality) -> dict[str, int]:
    """How many rows of the encoder make one value, where it is not one."""
    return {"frames": modality.frames} if isinstance(modality, Image) and modality.frames > 1 else {}


def write_graphs(network: AnyNetwork, directory: Path) -> None:
    """Write one ONNX file an encoder and `core.onnx`, with a dynamic batch axis.

    The encoder of a film takes frames, one a row. In the core the number of tokens is dynamic too, so that an input
    that is absent can be given as a single one.
    """
    network.eval()
    shapes = network.token_shapes()
    for name, modality in network.signature.inputs.items():
        _export_encoder(network.encoders[name], name, modality, directory / encoder_file(name))
    rows = EXAMPLE_ROWS
    tokens = [torch.zeros(rows, shape.n, shape.dim) for shape in shapes.values()]
    masks = [torch.ones(rows, shape.n, dtype=torch.bool) for shape in shapes.values()]
    present = torch.ones(rows, len(shapes), dtype=torch.bool)
    example = (tokens, masks, present, torch.zeros(rows, len(shapes)), network.initial_memory(rows))
    names = [*(f"{name}.tokens" for name in shapes), *(f"{name}.mask" for name in shapes), "present", "age_s", "memory"]
    counts = [{0: DYNAMIC, 1: DYNAMIC} if shape.n > 1 else {0: DYNAMIC} for shape in shapes.values()]
    dynamic = (counts, counts, {0: DYNAMIC}, {0: DYNAMIC}, {0: DYNAMIC})
    _export(network.core, example, names, DECIDED, dynamic, directory / layout.CORE)


def write_half_graphs(plain: AnyNetwork, directory: Path) -> None:
    """Write the pretrained encoders in half precision beside the others.

    Raises:
        ExportError: There are none.
    """
    for name in pretrained_inputs(plain):
        _export_encoder(halved(plain.encoders[name]), name, plain.signature.inputs[name], directory / half_file(name))


def example_values(modality: Image | Audio | Text | State, rows: int) -> tuple[np.ndarray, ...]:
    """Values of an input with the right shapes and types, all zeros, one a row."""
    match modality:
        case Image(shape=shape):
            return (np.zeros((rows, *shape), np.uint8),)
        case Audio(samples=samples, channels=channels):
            return np.zeros((rows, samples, channels), np.float32), np.full(rows, samples, np.int64)
        case Text(max_tokens=tokens):
            return (np.ones((rows, tokens), np.int64),)
        case State(size=size):
            return (np.zeros((rows, size), np.float32),)


def _export_encoder(encoder: nn.Module, name: str, modality: Modality, file: Path) -> None:
    taken = modality.still if isinstance(modality, Image) else modality
    arguments = tuple(torch.from_numpy(value) for value in example_values(taken, EXAMPLE_ROWS))
    inputs = [name, f"{name}.length"][: len(arguments)]
    _export(encoder, arguments, inputs, ENCODED, tuple({0: DYNAMIC} for _ in arguments), file)


def _export(
    module: nn.Module,
    arguments: tuple[Any, ...],
    inputs: list[str],
    outputs: list[str],
    dynamic: tuple[Any, ...],
    path: Path,
) -> None:
    program = torch.onnx.export(
        module,
        arguments,
        dynamo=True,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=dynamic,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.pop(STACK_TRACE, None)
    program.save(str(path), external_data=False)
