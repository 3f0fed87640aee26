"""What every encoder that others have trained can be told."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sensorimotor.libraries import library


class Origin(BaseModel):
    """Whose weights an encoder began with.

    Attributes:
        weights: What they are called.
        source: Where they come from: an address, or a local file or folder; None where it is not known.
        licence: As their source states it; None where nothing states it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    source: str | None = None
    licence: str | None = None


class Pretrained(BaseModel):
    """Common to the specifications of pretrained encoders.

    Attributes:
        training: `frozen`: its weights stay; `trained`: they are trained on; `lora`: they stay, and adapters beside
            them are trained, which become part of them in an export.
        lora_rank: Of the adapters.
        origin: Whose weights they are. Filled in when they are loaded, unless it is stated.
        architecture: What it takes to build the encoder again without its source. Filled in when its weights are
            loaded, so that a checkpoint or a bundle needs neither hub nor files; never written by hand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: Literal["frozen", "trained", "lora"] = "frozen"
    lora_rank: int = Field(default=8, ge=1, le=512)
    origin: Origin | None = None
    architecture: dict[str, Any] | None = None


def encoder_library(module: str, package: str) -> Any:
    """The library that an encoder comes from, imported now and not before.

    Raises:
        MissingExtraError: It is not installed.
    """
    return library(module, package, "train", f"an encoder of {module}")
