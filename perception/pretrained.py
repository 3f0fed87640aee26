"""What every encoder that others have trained can be told."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


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
