"""What a bundle says of itself: nothing needs it to act, but it is shown to people, who want it whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sensorimotor.errors import BundleError


class _Part(BaseModel):
    """There may be more in it."""

    model_config = ConfigDict(extra="allow")


class _Deviation(_Part):
    mean: float
    unit: str


class _Judged(_Part):
    accuracy: float | None = None
    error: dict[str, _Deviation] = {}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.accuracy is None and "error" not in self.model_fields_set:
            raise ValueError("it has neither accuracy nor error")
        return self


class _Metrics(_Part):
    held_out: dict[str, _Judged]
    baseline: _Judged | None = None


class _Parity(_Part):
    max_error: float
    tolerance: float


class _Prompt(_Part):
    image: str
    actions: dict[str, list[str]]


class _Recipe(_Part):
    name: str
    prompt: _Prompt | None = None


class _Machine(_Part):
    processor: str


class _Provenance(_Part):
    recipe: _Recipe
    steps: int
    hours: float
    machine: _Machine


class _Stated(_Part):
    name: str
    description: str
    created: str
    sensorimotor: str
    parameters: int
    metrics: _Metrics
    parity: _Parity
    provenance: _Provenance


def require_stated(config: Mapping[str, Any], where: Path) -> None:
    """Refuse a bundle that does not say of itself what people are shown.

    Args:
        config: The content of its `config.json`.
        where: That file, for a message.

    Raises:
        BundleError: Something is missing, or is not what it should be; the message names it.
    """
    try:
        _Stated.model_validate_json(json.dumps(config), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{where} does not say what it should: {key}: {first['msg']}: export the policy again from its checkpoint"
        ) from error
