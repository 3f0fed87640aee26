"""Recipes for episodes that were recorded: where they are, which of their features come in, and what goes out."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sensorimotor.pipelines.recipe_tables import MAX_BATCH, BaseRecipe, BaseTraining, Senses, Table


def _printable(name: str) -> str:
    if "\0" in name:
        raise ValueError("no name and no path has a zero character in it")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class RecordedData(Table):
    """`[data]`: a LeRobotDataset v3 directory, which is also what `sensorimotor record` writes."""

    kind: Literal["lerobot"]
    path: Name
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Part of the episodes that is not learnt from and judged on ..."""
    held_out_path: Name | None = None
    """... or all of another data set of the same kind."""


class ManifestData(Table):
    """`[data]`: a table (Parquet, CSV or JSON Lines), one row a sample or a time step."""

    kind: Literal["manifest"]
    path: Name
    held_out: float = Field(default=0.1, gt=0, lt=1)
    held_out_path: Name | None = None
    kinds: dict[str, Literal["image", "audio", "video", "text", "vector", "choice"]] = {}
    """Column → what it holds, where that cannot be told from its values."""
    vectors: dict[str, tuple[Name, ...]] = {}
    """Name → the columns of numbers that make a vector."""
    rate_hz: float | None = Field(default=None, gt=0)
    """Steps a second of sequences without a `time` column."""


class Input(Table):
    """One input of `[signature.inputs]`: a feature of the data, and what the policy is to know of it."""

    feature: Name | None = None
    """Without it, the feature that is named like the input."""
    critical: bool = False
    max_age_s: float = Field(default=1.0, gt=0)
    frames: int | None = Field(default=None, gt=0, le=256)
    """Of a camera: so many of its last frames."""
    seconds: float | None = Field(default=None, gt=0, le=60)
    """Of sound: how long a window, or the longest utterance, is."""
    mode: Literal["window", "utterance"] | None = None
    sample_rate: int | None = Field(default=None, ge=4000, le=192_000)
    max_tokens: int | None = Field(default=None, gt=0, le=4096)
    """Of texts."""


class Action(Table):
    """`[signature.action]`: what is done, and its names, units and limits."""

    feature: Name = "action"
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    low: tuple[float, ...] = ()
    """Limits of a vector; without them, the smallest and the largest values that are learnt from."""
    high: tuple[float, ...] = ()
    switches: bool = False
    """A vector of zeros and ones is a row of switches."""


class HoldInput(Table):
    """A safe action that repeats what a state input measures."""

    hold: str


class Contract(Table):
    """`[signature]`: the contract of the policy."""

    inputs: dict[str, Input] = Field(min_length=1)
    action: Action = Action()
    safe_action: str | tuple[float, ...] | HoldInput = "actuator"
    """A label, a vector, `{ hold = "a state input" }`, or `"actuator"`: the device holds by itself."""
    rate_hz: float | None = Field(default=None, gt=0, le=10_000)
    """Decisions a second; without it, those of the data (1 where samples stand alone)."""
    horizon: int = Field(default=1, gt=0, le=1000)
    """Actions in a plan."""


class Augment(Table):
    """`[augment]`: how what is learnt from is varied; what is left out is not."""

    views: int = Field(default=1, gt=0, le=64)
    """Variants of each value for frozen encoders, whose tokens are computed once; others see a new one every time."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Pictures move by up to this part of their size ..."""
    light: float = Field(default=0.0, ge=0, lt=1)
    """... and become up to this part brighter or darker, and more or less contrasted."""
    gain_db: float = Field(default=0.0, ge=0, le=40)
    """Sound becomes up to so much louder or quieter (dB) ..."""
    noise_db: float | None = Field(default=None, le=0)
    """... with noise of up to this level (dB of full scale)."""
    state_noise: float = Field(default=0.0, ge=0, le=10)
    """States are moved by noise of so many of their standard deviations."""


class EpisodeTraining(BaseTraining):
    """`[training]`: how to imitate."""

    senses: tuple[Senses, ...] = ()
    """Without it: everything in four steps of five, everything but one input in the others."""
    batch_episodes: int = Field(default=32, gt=0, le=MAX_BATCH)
    sequence_steps: int = Field(default=64, gt=0, le=4096)
    """Longer episodes are cut: so many steps from anywhere, from a fresh memory."""
    class_weights: Literal["even", "balanced"] | dict[str, Annotated[float, Field(gt=0, le=1e6)]] = "even"
    """Of choices and switches: `balanced`, by how rare they are, or label → weight."""
    early_stopping: int = Field(default=0, ge=0)
    """Stop after so many evaluations without a better one; 0: never."""


class EpisodeRecipe(BaseRecipe):
    """Everything that a run on recorded episodes depends on."""

    data: Annotated[RecordedData | ManifestData, Field(discriminator="kind")]
    signature: Contract
    augment: Augment = Augment()
    training: EpisodeTraining

    @model_validator(mode="after")
    def _names_are_inputs(self) -> Self:
        inputs = self.signature.inputs
        for where, names in (
            ("training.senses", [name for entry in self.training.senses for name in entry.inputs]),
            ("network.encoders", list(self.network.encoders)),
        ):
            if unknown := sorted(set(names) - set(inputs)):
                raise ValueError(f"{where} names {', '.join(unknown)}; the inputs are {', '.join(inputs)}")
        return self

    @model_validator(mode="after")
    def _the_answer_is_not_told(self) -> Self:
        done = self.signature.action.feature
        for name, entry in self.signature.inputs.items():
            if (entry.feature or name) == done:
                raise ValueError(
                    f"signature.inputs.{name} is {done!r}, which is what is to be done: nothing tells it that when it "
                    "acts"
                )
        return self
