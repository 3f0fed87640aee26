"""What a recipe's run learns from and is judged on: demonstrations, voices and words, made or read from the cache."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensorimotor.errors import RecipeError
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines.expert import Demonstrations, demonstrations
from sensorimotor.pipelines.mission_recipe import MissionData, MissionRecipe
from sensorimotor.pipelines.speech_bank import Script, SpeechBank, speech_bank

Report = Callable[[str, dict[str, Any]], None]
"""Told what is going on: a kind of event ("data", "made", "step", "held out", "checkpoint") and its numbers."""


@dataclass(frozen=True)
class Material:
    """What a recipe's run learns from and is judged on."""

    demonstrations: Demonstrations
    held_out: Demonstrations
    bank: SpeechBank | None
    held_out_bank: SpeechBank | None
    tokenizer: Tokenizer


def gather(recipe: MissionRecipe, cache: Path, workers: int, report: Report) -> Material:
    """Make, or read from the cache, all that the recipe asks for."""
    data = recipe.data
    shown = _demonstrations(data, cache, workers, report, held_out=False)
    held_out = _demonstrations(data, cache, workers, report, held_out=True)
    texts = sorted({*shown.missions, *held_out.missions})
    banks: list[SpeechBank | None] = [None, None]
    if recipe.speech:
        speech = recipe.speech
        for i, (speakers, count) in enumerate(
            [(speech.speakers, speech.utterances), (speech.held_out_speakers, speech.held_out_utterances)]
        ):
            script = Script(
                tuple(texts), speakers, speech.shares, count, speech.rates, speech.pitches, speech.utterance_s,
                recipe.seed,
            )  # fmt: skip
            report("data", {"what": f"{count} utterances by {len(speakers)} speakers", "total": count})
            banks[i] = speech_bank(
                script, cache / "speech", workers=workers, progress=lambda made: report("made", {"count": made})
            )
    tokenizer = Tokenizer.train(shown.missions, data.max_tokens)
    if long := next((text for text in texts if tokenizer.length(text) > data.max_tokens), None):
        raise RecipeError(f"data.max_tokens = {data.max_tokens} cuts missions short: {long!r}")
    return Material(shown, held_out, banks[0], banks[1], tokenizer)


def _demonstrations(data: MissionData, cache: Path, workers: int, report: Report, held_out: bool) -> Demonstrations:
    parts = []
    for level in data.levels:
        episodes = min(data.held_out_episodes, level.episodes) if held_out else level.episodes
        what = f"{episodes} {'held-out ' if held_out else ''}demonstrations of {level.id}"
        report("data", {"what": what, "total": episodes})
        parts.append(
            demonstrations(
                level.id,
                episodes,
                data.held_out_seed if held_out else data.first_seed,
                cache / "demonstrations",
                considerate=data.expert == "considerate",
                workers=workers,
                progress=lambda made: report("made", {"count": made}),
            )
        )
    shown = Demonstrations.join(parts)
    if not data.novel:
        return shown
    if not len(kept := shown.only(lambda mission: not data.is_novel(mission))):
        raise RecipeError(f"data.novel = {list(data.novel)} leaves no episode to learn from or to be judged on")
    return kept
