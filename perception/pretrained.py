"""What every encoder that others have trained can be told."""

from importlib import import_module
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sensorimotor.errors import MissingExtraError


class Pretrained(BaseModel):
    """Common to the specifications of pretrained encoders.

    Attributes:
        training: `frozen`: its weights stay; `trained`: they are trained on.
        architecture: What it takes to build the encoder again without its source. Filled in when its weights are
            loaded, so that a checkpoint or a bundle needs neither hub nor files; never written by hand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: Literal["frozen", "trained"] = "frozen"
    architecture: dict[str, Any] | None = None


def library(module: str, package: str) -> Any:
    """The library that an encoder comes from, imported now and not before.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, "train", f"an encoder of {module}") from error
