"""What every recipe has in common: strict tables, how to train, and which inputs are there together."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sensorimotor.models.network import NetworkSpec

MAX_BATCH = 2**16
"""More episodes in a step than any memory holds."""


class Table(BaseModel):
    """A table of a recipe: every key is known, every number is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Senses(Table):
    """One entry of `training.senses`: how often which inputs are there together."""

    inputs: tuple[str, ...] = Field(min_length=1)
    weight: float = Field(gt=0, le=1e6)


class BaseTraining(Table):
    """What `[training]` says of any recipe."""

    steps: int = Field(gt=0)
    batch_episodes: int = Field(default=64, ge=0, le=MAX_BATCH)
    """Episodes a step."""
    learning_rate: float = Field(default=1e-3, gt=0, le=1000)
    weight_decay: float = Field(default=1e-2, ge=0, le=1000)
    warmup_steps: int = Field(default=200, ge=0)
    lost_frames: float = Field(default=0.02, ge=0, lt=1)
    """Part of the steps at which a streaming input is missing."""
    stale_frames: float = Field(default=0.05, ge=0, lt=1)
    """Part of the steps at which a streaming input is one step old."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products while training; weights, memory and losses stay in float32."""
    evaluate_every: int = Field(default=500, gt=0)
    checkpoint_minutes: float = Field(default=3.0, gt=0)


class BaseRecipe(Table):
    """What any recipe says of a run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**63)
    network: NetworkSpec = NetworkSpec()


Part = Annotated[str, Field(pattern=r"^[\w-][\w.-]{0,99}$")]
"""The name of a run beside this one."""
