"""Training recipes: a TOML file that says everything a run depends on, checked before anything is done."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensorimotor.errors import RecipeError
from sensorimotor.models.network import NetworkSpec
from sensorimotor.pipelines.babyai import EVALUATION_SEED


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Level(_Table):
    """One level of the `[data]` table."""

    id: str
    episodes: int = Field(gt=0)


class Data(_Table):
    """`[data]`: which demonstrations to imitate."""

    levels: tuple[Level, ...] = Field(min_length=1)
    expert: Literal["bot", "considerate"] = "bot"
    first_seed: int = Field(default=0, ge=0)
    held_out_episodes: int = Field(default=512, gt=0)
    held_out_seed: int = Field(default=900_000_000, ge=0)
    novel: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Objects ("red ball") that no mission is about while learning: kept to ask whether it knows them all the same."""
    max_tokens: int = Field(default=16, gt=0, le=512)
    """Tokens of a written mission, one of them its beginning."""

    def is_novel(self, mission: str) -> bool:
        """Whether a mission is about an object that is kept from learning."""
        return any(thing in mission for thing in self.novel)

    @model_validator(mode="after")
    def _seeds_stay_apart(self) -> Self:
        for level in self.levels:
            if self.first_seed + level.episodes > self.held_out_seed:
                raise ValueError(f"the training seeds of {level.id} reach held_out_seed = {self.held_out_seed}")
        if self.held_out_seed + self.held_out_episodes > EVALUATION_SEED:
            raise ValueError(f"held_out_seed reaches {EVALUATION_SEED}, where evaluation begins")
        return self


def _voice(speaker: str) -> str:
    """Who speaks, at whatever rate and pitch."""
    kind, _, rest = speaker.partition(":")
    return f"{kind.strip()}:{rest.strip() if kind == 'command' else rest.partition('?')[0].strip()}"


class Speech(_Table):
    """`[speech]`: who speaks the missions while learning; without this table the microphone is never used."""

    speakers: tuple[str, ...] = Field(min_length=1)
    held_out_speakers: tuple[str, ...] = Field(min_length=1)
    shares: dict[str, float] = Field(default={})
    """Kind of speaker (`espeak`, `flite`, …) → its part of the utterances; without, every speaker speaks as often."""
    utterances: int = Field(default=4000, gt=0)
    held_out_utterances: int = Field(default=1000, gt=0)
    rates: tuple[int, int] = (120, 230)
    pitches: tuple[int, int] = (20, 80)
    utterance_s: float = Field(default=5.0, gt=0, le=60)
    """The longest spoken mission (s)."""

    @model_validator(mode="after")
    def _held_out_is_unheard(self) -> Self:
        both = {_voice(name) for name in self.speakers} & {_voice(name) for name in self.held_out_speakers}
        if both:
            raise ValueError(f"{', '.join(sorted(both))} cannot be trained on and held out")
        kinds = {name.partition(":")[0] for name in (*self.speakers, *self.held_out_speakers)}
        if unknown := set(self.shares) - kinds:
            raise ValueError(
                f"shares names {', '.join(sorted(unknown))}; the speakers are of {', '.join(sorted(kinds))}"
            )
        for name in ("rates", "pitches"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be [low, high], not [{low}, {high}]")
        if any(share <= 0 for share in self.shares.values()):
            raise ValueError("shares must be positive")
        return self


class Senses(_Table):
    """One entry of `training.senses`: how often which inputs are there together."""

    inputs: tuple[str, ...] = Field(min_length=1)
    weight: float = Field(gt=0, le=1e6)


class Training(_Table):
    """`[training]`: how to imitate."""

    steps: int = Field(gt=0)
    batch_episodes: int = Field(default=64, ge=0)
    """Episodes a step; 0: it only listens and reads."""
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    senses: tuple[Senses, ...] = Field(min_length=1)
    lost_frames: float = Field(default=0.02, ge=0, lt=1)
    """Part of the steps at which a streaming input is missing."""
    stale_frames: float = Field(default=0.05, ge=0, lt=1)
    """Part of the steps at which a streaming input is one step old."""
    unknown_words: float = Field(default=0.1, ge=0, lt=1)
    """Part of the instructions with unknown words in them, so that the policy learns what an unknown word is."""
    pointing: float = Field(default=0.1, ge=0)
    """Weight of the loss that makes it see which cells the instruction is about."""
    alignment: float = Field(default=0.1, ge=0)
    """Weight of the loss that makes speech mean what its text means."""
    alignment_utterances: int = Field(default=64, ge=0)
    """Further utterances a step that are only aligned, not acted upon."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products while training; weights, memory and losses stay in float32."""
    evaluate_every: int = Field(default=500, gt=0)
    checkpoint_minutes: float = Field(default=3.0, gt=0)


class Recipe(_Table):
    """Everything a training run depends on."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**63)
    data: Data
    speech: Speech | None = None
    network: NetworkSpec = NetworkSpec()
    training: Training
    start: dict[str, Annotated[str, Field(pattern=r"^[\w-][\w.-]{0,99}$")]] = {}
    """What to begin with: `network`, or the name of an input (its encoder and sense) → a run beside this one."""

    @model_validator(mode="after")
    def _encoders_are_small_ones(self) -> Self:
        if self.network.encoders:
            raise ValueError(
                "network.encoders: BabyAI's demonstrations are learnt with small encoders; pretrained ones can be "
                "had by building a Network"
            )
        return self

    @model_validator(mode="after")
    def _there_is_something_to_learn(self) -> Self:
        training = self.training
        listens = self.speech and training.alignment > 0 and training.alignment_utterances
        if not training.batch_episodes and not listens:
            raise ValueError("training.batch_episodes = 0 needs [speech], alignment > 0 and alignment_utterances > 0")
        return self

    @model_validator(mode="after")
    def _senses_exist(self) -> Self:
        known = {"camera", "instruction", *(["mic"] if self.speech else [])}
        for entry in self.training.senses:
            unknown = set(entry.inputs) - known
            if unknown:
                raise ValueError(
                    f"training.senses names {', '.join(sorted(unknown))}; the inputs are {', '.join(sorted(known))}"
                    + ("" if self.speech else " (mic needs a [speech] table)")
                )
        return self


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: No such file, no TOML, or a key that is missing, unknown or wrong; all of them are named.
    """
    try:
        return parse_recipe(tomllib.loads(path.read_text()), str(path))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}") from error


def parse_recipe(content: object, where: str) -> Recipe:
    """Check the content of a recipe.

    Raises:
        RecipeError: A key is missing, unknown or wrong; all of them are named.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "recipe"
            got = (
                ""
                if problem["type"] == "missing" or isinstance(problem["input"], dict)
                else f" (got {problem['input']!r})"
            )
            lines.append(f"  {key}: {problem['msg']}{got}")
        raise RecipeError(f"{where} is not a valid recipe:\n" + "\n".join(lines)) from error
