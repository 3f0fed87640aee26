"""Whether a run can go on: its record and its optimiser are whole, and its data are still those it began with."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from sensorimotor.errors import CheckpointError
from sensorimotor.models.checkpoint import Checkpoint
from sensorimotor.models.signature import Signature

REMEDY = "put back what it began with (with the times of its files: `cp -a`, `rsync -a`), or begin another run"

MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What AdamW remembers of a parameter."""


class _Best(BaseModel):
    step: int
    score: float


class _Record(BaseModel):
    """What goes on being reckoned with; there is more in a record."""

    model_config = ConfigDict(extra="allow", strict=True)

    seconds: float = Field(ge=0, allow_inf_nan=False)
    held_out: dict[str, dict[str, Any]]
    machine: dict[str, Any]
    versions: dict[str, Any]
    judged_since_best: int = Field(default=0, ge=0)
    best: _Best | None = None
    baseline: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    data: dict[str, str] = {}


def known_record(checkpoint: Checkpoint, where: str) -> dict[str, Any]:
    """A copy of the record of a checkpoint.

    Raises:
        CheckpointError: It lacks something, or something in it is not what it should be.
    """
    try:
        _Record.model_validate(checkpoint.record)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{where} does not fit together: record.{key}: {first['msg']}: train again") from error
    return dict(checkpoint.record)


def require_fitting(checkpoint: Checkpoint, steps: int, parameters: Sequence[Tensor], where: str) -> None:
    """Refuse an optimiser's state that is not of these parameters, and more steps than there are.

    Raises:
        CheckpointError: It is so.
    """
    if checkpoint.step > steps:
        raise CheckpointError(f"{where} does not fit together: {checkpoint.step} steps are done of {steps}")
    for index, state in checkpoint.optimizer.items():
        fits = 0 <= index < len(parameters) and state.keys() == MOMENTS
        for name, value in state.items():
            shape = torch.Size() if name == "step" else parameters[index].shape if fits else None
            fits = fits and value.shape == shape and value.is_floating_point() and bool(value.isfinite().all())
        if not fits:
            raise CheckpointError(
                f"{where} does not fit together: the state of its optimiser is not of its parameter {index}: train "
                "again"
            )


def require_same(
    began: Signature, now: Signature, known: Mapping[str, str], found: Mapping[str, str], where: str
) -> None:
    """Refuse to continue a run on other data: what it learnt would mean something else from there on.

    Args:
        began: The signature of the run's network.
        now: The signature that the recipe makes of its data.
        known: Part of the data → its fingerprint when the run began.
        found: The same, as the data are.
        where: What to call the data in a message.

    Raises:
        CheckpointError: They differ; the message has both.
    """
    theirs, ours = _flat(began.to_json()), _flat(now.to_json())
    for key in [*theirs, *(key for key in ours if key not in theirs)]:
        if theirs.get(key) != ours.get(key):
            raise CheckpointError(
                f"the run began with {key} = {_short(theirs.get(key))}, but {where} makes it {_short(ours.get(key))}: "
                f"{REMEDY}"
            )
    if began.names != now.names:
        raise CheckpointError(
            f"the run began with the inputs {', '.join(began.names)}, but now they are {', '.join(now.names)}: {REMEDY}"
        )
    for part, fingerprint in found.items():
        if known.get(part) != fingerprint:
            raise CheckpointError(
                f"{where} was changed since the run began: its fingerprint was {str(known.get(part))[:12]}…, now it is "
                f"{fingerprint[:12]}…: {REMEDY}"
            )


def _flat(form: Any, key: str = "") -> dict[str, Any]:
    """A JSON form with its mappings laid open: `inputs.camera.height` → 56."""
    if not isinstance(form, dict):
        return {key: form}
    flat: dict[str, Any] = {}
    for name, value in form.items():
        flat |= _flat(value, f"{key}.{name}" if key else name)
    return flat


def _short(value: Any) -> str:
    said = json.dumps(value)
    return said if len(said) <= 100 else said[:100] + "…"
