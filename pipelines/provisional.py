"""The lesson of a recipe with whatever is missing stood in for, so that it can be looked at before it costs anything.

What is stood in for: pretrained weights that cannot be had, data that are not there, and spoken missions, which take
long to make. Each is said.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorimotor.errors import UnreachableError
from sensorimotor.files import expanded
from sensorimotor.models.network import NetworkSpec
from sensorimotor.perception.architectures import Spec, known_architecture, stand_in_tokenizer
from sensorimotor.perception.clip import ClipSpec, load_clip
from sensorimotor.perception.language_encoder import LanguageSpec, load_language
from sensorimotor.perception.modality import Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.perception.whisper_encoder import WhisperSpec, load_whisper
from sensorimotor.pipelines.assumed import assumed_source
from sensorimotor.pipelines.cloning import EpisodeLesson
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe
from sensorimotor.pipelines.lesson import Lesson
from sensorimotor.pipelines.material import gather
from sensorimotor.pipelines.mission_recipe import MissionRecipe
from sensorimotor.pipelines.missions import MissionLesson
from sensorimotor.pipelines.recipe import Recipe
from sensorimotor.pipelines.sound import SAMPLE_RATE
from sensorimotor.pipelines.sources import Parts, open_parts
from sensorimotor.pipelines.speech_bank import SpeechBank

EPISODES = 200
"""So many episodes tell what the limits, statistics and words of a data set are like."""
AT_ONCE, STEPS = 2, 4
"""Episodes of the batch, and steps of each."""
A_LEVEL = 4
"""Demonstrations."""


def provisional_lesson(recipe: Recipe, folder: Path, device: torch.device) -> tuple[Lesson, list[str]]:
    """A lesson whose batches are small, and in what it is not the recipe's own.

    Args:
        recipe: What to teach.
        folder: For what is made meanwhile; to be removed afterwards.
        device: Where to compute.

    Raises:
        RecipeError: The recipe does not fit its data, or does not tell what data that are not there would be like.
        DataError: The data are damaged.
        UnreachableError: A pretrained encoder cannot be had, and its architecture is not known either.
        EncoderError: There is none of that name, or it is damaged.
        SignatureError: What it describes is no policy.
    """
    if isinstance(recipe, MissionRecipe):
        return _of_missions(recipe, folder, device)
    return _of_episodes(recipe, device)


def _of_episodes(recipe: EpisodeRecipe, device: torch.device) -> tuple[Lesson, list[str]]:
    network, words, notes = _encoders(recipe)
    parts, about_data = _data(recipe)
    training = recipe.training.model_copy(update={"batch_episodes": AT_ONCE, "sequence_steps": STEPS})
    small = recipe.model_copy(update={"network": network, "training": training})
    lesson = EpisodeLesson(small, None, None, {}, device, lambda *_: None, parts, words)
    return lesson, notes + about_data


def _data(recipe: EpisodeRecipe) -> tuple[Parts, list[str]]:
    """The first of the recipe's episodes, or invented ones."""
    if not expanded(recipe.data.path).exists():
        source, assumed = assumed_source(recipe)
        last = len(source) - 1
        said = f"; assumed: {', '.join(assumed)}" if assumed else ""
        return Parts(source, list(range(last)), source, [last]), [f"data: {recipe.data.path} is not there: noise{said}"]
    parts = open_parts(recipe)
    if len(parts.learnt) <= EPISODES:
        return Parts(parts.shown, parts.learnt, parts.other, parts.held_out[:EPISODES]), []
    note = f"data: limits, statistics and words are those of {EPISODES} of {len(parts.learnt)} episodes"
    return Parts(parts.shown, parts.learnt[:EPISODES], parts.other, parts.held_out[:EPISODES]), [note]


def _encoders(recipe: EpisodeRecipe) -> tuple[NetworkSpec, Tokenizer | None, list[str]]:
    """The recipe's encoders, with an architecture in place of weights that cannot be had; and a tokenizer likewise."""
    encoders, notes = dict(recipe.network.encoders), list[str]()
    words: Tokenizer | None = None
    for name, spec in encoders.items():
        try:
            _load(spec)
            continue
        except UnreachableError as error:
            architecture = known_architecture(spec)
            if architecture is None:
                raise UnreachableError(f"input {name!r}: {error}") from error
        encoders[name] = known = spec.model_copy(update={"architecture": architecture})
        notes.append(f"{name}: random weights; those of {label(spec)} are not on this machine and cannot be downloaded")
        longest = recipe.signature.inputs[name].max_tokens
        reads = isinstance(spec, LanguageSpec) or longest is not None
        stand_in = stand_in_tokenizer(known, longest or Text().max_tokens) if reads else None
        if stand_in:
            words = stand_in
            notes.append(f"{name}: a stand-in tokenizer with {stand_in.size} ids, to which all words are the same")
    return recipe.network.model_copy(update={"encoders": encoders}), words, notes


def _load(spec: Spec) -> None:
    """Load an encoder and let it go: whether that works is all that is asked."""
    match spec:
        case ClipSpec():
            load_clip(spec)
        case WhisperSpec():
            load_whisper(spec)
        case LanguageSpec():
            load_language(spec)


def label(spec: Spec) -> str:
    """What an encoder is called."""
    tag = f" ({spec.pretrained})" if isinstance(spec, ClipSpec) and ":" not in spec.model else ""
    return f"{spec.kind} {spec.model}{tag}"


def _of_missions(recipe: MissionRecipe, folder: Path, device: torch.device) -> tuple[Lesson, list[str]]:
    levels = tuple(level.model_copy(update={"episodes": min(A_LEVEL, level.episodes)}) for level in recipe.data.levels)
    # No object is kept from learning: among so few missions all might be about it.
    data = recipe.data.model_copy(update={"levels": levels, "held_out_episodes": 1, "novel": ()})
    silent = recipe.model_copy(update={"data": data, "speech": None})
    material = gather(silent, folder, 1, lambda *_: None)
    shown = len(material.demonstrations)
    notes = [f"data: {shown} demonstrations made now, whose {material.tokenizer.size} words are all that it can read"]
    if recipe.start:
        notes.append(f"start: random weights in place of the runs {', '.join(recipe.start.values())}")
    if recipe.speech:
        limit_s = recipe.speech.utterance_s
        bank, held_out = (
            _noise(sorted(set(part.missions)), limit_s) for part in (material.demonstrations, material.held_out)
        )
        material = replace(material, bank=bank, held_out_bank=held_out)
        notes.append("speech: noise in place of spoken missions; no voice was tried")
    plan: dict[str, Any] = {"batch_episodes": min(AT_ONCE, recipe.training.batch_episodes)}
    plan["alignment_utterances"] = min(AT_ONCE, recipe.training.alignment_utterances)
    training = recipe.training.model_copy(update=plan)
    small = recipe.model_copy(update={"data": data, "training": training, "start": {}})
    return MissionLesson(small, material, None, folder, {}, device), notes


def _noise(texts: list[str], limit_s: float) -> SpeechBank:
    """One utterance of every text."""
    samples = round(min(limit_s, 2.0) * SAMPLE_RATE)
    sound = np.random.default_rng(0).integers(-3000, 3000, samples * len(texts)).astype(np.int16)
    starts = np.arange(len(texts)) * samples
    return SpeechBank(
        tuple(texts),
        np.arange(len(texts)),
        np.array(["noise"] * len(texts)),
        sound,
        np.stack([starts, starts + samples], 1),
        round(limit_s * SAMPLE_RATE),
    )
