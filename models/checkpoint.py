"""Checkpoints: one safetensors file with everything that a run needs to continue exactly, or to be exported."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sensorimotor.errors import CheckpointError, OutputPathError
from sensorimotor.files import replacing
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.signature import Signature
from sensorimotor.perception.tokenizer import Tokenizer

FORMAT = 3


@dataclass
class Checkpoint:
    """A network in training.

    Attributes:
        network: The network.
        step: Training steps done.
        recipe: The recipe's content.
        tutor: Weights of the layers that only training needs.
        optimizer: State of the optimiser: parameter index → name → tensor.
        record: What is known about the run: hours, hardware, metrics, calibration.
    """

    network: Network
    step: int
    recipe: dict[str, Any]
    tutor: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint aside and rename it into place.

    Raises:
        CheckpointError: It cannot be written (disk full, read-only); the one before is unchanged.
    """
    network = checkpoint.network
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"tutor.{name}": value for name, value in checkpoint.tutor.items()}
    for index, state in checkpoint.optimizer.items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    info = {
        "format": FORMAT,
        "step": checkpoint.step,
        "recipe": checkpoint.recipe,
        "record": checkpoint.record,
        "signature": network.signature.to_json(),
        "spec": network.spec.model_dump(),
        "tokenizer": network.tokenizer.to_json() if network.tokenizer else None,
        "max_tokens": network.tokenizer.max_tokens if network.tokenizer else None,
    }
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        with replacing(path) as aside:
            aside.write_bytes(save(contiguous, {"sensorimotor": json.dumps(info)}))
    except (OutputPathError, SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {path} was not written, the one before is unchanged: {error}") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: No such file, damaged, or written by a newer version.
    """
    if path.is_dir():
        path = path / "checkpoint.safetensors"
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; a run that has not begun is started without --resume")
    try:
        with safe_open(path, "pt") as file:
            info = json.loads((file.metadata() or {}).get("sensorimotor", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint: {error}") from error
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise CheckpointError(f"{path} is no checkpoint of sensorimotor")
    if info["format"] < FORMAT:
        raise CheckpointError(
            f"{path} was written by an older version (format {info['format']}, this reads {FORMAT}): train again"
        )
    if info["format"] > FORMAT:
        raise CheckpointError(f"{path} was written by a newer version (format {info['format']}, this reads {FORMAT})")
    try:
        return _assemble(info, tensors)
    except Exception as error:  # noqa: BLE001 (the tokenizers library raises bare Exception)
        raise CheckpointError(f"{path} does not fit together: {error}") from error


def _assemble(info: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    tokenizer = Tokenizer.from_json(info["tokenizer"], info["max_tokens"]) if info["tokenizer"] else None
    network = Network(Signature.from_json(info["signature"]), NetworkSpec.model_validate(info["spec"]), tokenizer)
    weights = _below("network.", tensors)
    for name, tensor in network.state_dict().items():  # which loading would cast in silence
        if name in weights and weights[name].dtype != tensor.dtype:
            raise CheckpointError(f"expected {name} to be {tensor.dtype}, found {weights[name].dtype}")
    network.load_state_dict(weights)
    step, record, recipe = info["step"], info["record"], info["recipe"]
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise CheckpointError(f"expected its step to be a number of steps, found {json.dumps(step)[:80]}")
    if not isinstance(record, dict) or not isinstance(recipe, dict):
        raise CheckpointError("expected its recipe and record to be mappings")
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, value in _below("optimizer.", tensors).items():
        index, _, key = name.partition(".")
        optimizer.setdefault(int(index), {})[key] = value
    return Checkpoint(network, step, recipe, _below("tutor.", tensors), optimizer, record)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
