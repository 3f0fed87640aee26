"""Recipes for missions in the rooms of BabyAI: demonstrations of a bot, spoken and written missions."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sensorimotor.pipelines.babyai import EVALUATION_SEED
from sensorimotor.pipelines.recipe_tables import MAX_BATCH, BaseRecipe, BaseTraining, Part, Senses, Table


class Level(Table):
    """One level of the `[data]` table."""

    id: str
    episodes: int = Field(gt=0)


class MissionData(Table):
    """`[data]`: which demonstrations to imitate."""

    kind: Literal["babyai"] = "babyai"
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


class Speech(Table):
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


class MissionTraining(BaseTraining):
    """`[training]`: how to imitate; with `batch_episodes = 0` it only listens and reads."""

    senses: tuple[Senses, ...] = Field(min_length=1)
    unknown_words: float = Field(default=0.1, ge=0, lt=1)
    """Part of the instructions with unknown words in them, so that the policy learns what an unknown word is."""
    pointing: float = Field(default=0.1, ge=0)
    """Weight of the loss that makes it see which cells the instruction is about."""
    alignment: float = Field(default=0.1, ge=0)
    """Weight of the loss that makes speech mean what its text means."""
    alignment_utterances: int = Field(default=64, ge=0, le=MAX_BATCH)
    """Further utterances a step that are only aligned, not acted upon."""


class MissionRecipe(BaseRecipe):
    """Everything that a run on missions depends on."""

    data: MissionData
    speech: Speech | None = None
    training: MissionTraining
    start: dict[str, Part] = {}
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
