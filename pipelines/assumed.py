"""What data that are not there would be like, as far as a recipe tells; what it does not tell is assumed, and said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensorimotor.errors import RecipeError
from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.whisper_encoder import WhisperSpec
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe, HoldInput, Input, ManifestData
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot_format import AUDIO, TASK
from sensorimotor.pipelines.synthetic import Invented, SyntheticSource

CAMERA, SIZE, SAMPLE_RATE, RECORDED_HZ = (480, 640, 3), 6, 16_000, 30.0
"""Pixels; values of a vector; of sound (Hz); steps a second of a recording, LeRobot's own default."""
PICTURES, STATES = "observation.images.", "observation."
"""What the names of cameras and of measurements begin with in a LeRobot data set."""
CHOICES = ("one", "other")


def assumed_source(recipe: EpisodeRecipe) -> tuple[SyntheticSource, list[str]]:
    """Data as a recipe expects them, and what was assumed of them, one phrase each.

    Raises:
        RecipeError: It does not tell what kind of thing an input or the action is.
    """
    contract, data = recipe.signature, recipe.data
    notes: list[str] = []
    rate_hz = data.rate_hz if isinstance(data, ManifestData) else None  # without it, the rows of a table stand alone
    if rate_hz is None and (data.kind == "lerobot" or contract.horizon > 1):
        rate_hz = contract.rate_hz
        if rate_hz is None:
            rate_hz = RECORDED_HZ
            notes.append(f"{rate_hz:g} steps a second")
    action = _Action(recipe)
    invented = {}
    for name, entry in contract.inputs.items():
        feature = entry.feature or name
        kind = _kind(recipe, name, entry, feature)
        invented[feature] = _input(recipe, name, entry, feature, kind, action.size, notes)
    invented[contract.action.feature] = action.invented(notes)
    return SyntheticSource(invented, rate_hz), notes


def _kind(recipe: EpisodeRecipe, name: str, entry: Input, feature: str) -> str:
    """The kind of an input: from its options, its encoder, what the table says of it, or its name in the format."""
    data, encoder, hold = recipe.data, recipe.network.encoders.get(name), recipe.signature.safe_action
    lerobot = data.kind == "lerobot"
    reasons = {
        "text": entry.max_tokens is not None or isinstance(encoder, LanguageSpec) or (lerobot and feature == TASK),
        "audio": any((entry.seconds, entry.mode, entry.sample_rate))
        or isinstance(encoder, WhisperSpec)
        or (lerobot and feature.startswith(AUDIO)),
        "image": entry.frames is not None
        or isinstance(encoder, ClipSpec)
        or (lerobot and feature.startswith(PICTURES)),
        "vector": hold == HoldInput(hold=name) or (lerobot and feature.startswith(STATES)),
    }
    if isinstance(data, ManifestData):
        if feature in data.vectors:
            return "vector"
        if stated := data.kinds.get(feature):
            return {"video": "image", "choice": "text"}.get(stated, stated)  # a choice is read by its name
    for kind, told in reasons.items():
        if told:
            return kind
    raise RecipeError(
        f"signature.inputs.{name}: {data.path} is not there, and nothing in the recipe tells what {feature!r} is. Put "
        "the data there, or say frames (of a camera), seconds (of sound) or max_tokens (of a text)"
        + (", or data.kinds" if isinstance(data, ManifestData) else "")
    )


def _input(
    recipe: EpisodeRecipe, name: str, entry: Input, feature: str, kind: str, actions: int | None, notes: list[str]
) -> Invented:
    match kind:
        case "image":
            notes.append(f"{name} of {CAMERA[0]} x {CAMERA[1]} x {CAMERA[2]}")
            return Invented(Feature("image", CAMERA), lambda rng: rng.integers(0, 256, CAMERA).astype(np.uint8))
        case "audio":
            notes.append(f"{name} with one channel")
            rate = entry.sample_rate or SAMPLE_RATE
            samples = round((entry.seconds or 1.0) * rate)
            return Invented(
                Feature("audio", (1,), rate_hz=rate, stream=recipe.data.kind == "lerobot"),
                lambda rng: (0.1 * rng.standard_normal((samples, 1))).clip(-1, 1).astype(np.float32),
            )
        case "text":
            return Invented(Feature("text"), lambda _: "go")  # short enough for any max_tokens
    columns = recipe.data.vectors.get(feature, ()) if isinstance(recipe.data, ManifestData) else ()
    held = recipe.signature.safe_action == HoldInput(hold=name)
    size = len(columns) or (held and actions) or SIZE
    if not columns:
        notes.append(f"{name} with {size} values")
    return Invented(
        Feature("vector", (size,), tuple(columns)), lambda rng: rng.standard_normal(size).astype(np.float32)
    )


@dataclass(frozen=True)
class _Action:
    """What a recipe tells of its actions."""

    recipe: EpisodeRecipe

    @property
    def size(self) -> int | None:
        """Values of a vector; None where nothing tells."""
        action, data, safe = self.recipe.signature.action, self.recipe.data, self.recipe.signature.safe_action
        columns = data.vectors.get(action.feature, ()) if isinstance(data, ManifestData) else ()
        given = (columns, action.low, action.high, action.units, action.labels, safe if isinstance(safe, tuple) else ())
        return next((len(one) for one in given if one), None)

    @property
    def _is_vector(self) -> bool:
        contract, data = self.recipe.signature, self.recipe.data
        action, safe = contract.action, contract.safe_action
        if isinstance(data, ManifestData):
            if action.feature in data.vectors:
                return True
            if action.feature in data.kinds:
                return data.kinds[action.feature] == "vector"
        told = action.switches or action.low or action.high or action.units or contract.horizon > 1
        if told or isinstance(safe, tuple | HoldInput):
            return True
        return data.kind == "lerobot" and not action.labels and safe == "actuator"

    def invented(self, notes: list[str]) -> Invented:
        """Actions to learn from."""
        contract = self.recipe.signature
        action, safe = contract.action, contract.safe_action
        if not self._is_vector:
            labels = action.labels
            if not labels and safe == "actuator":
                raise RecipeError(
                    f"signature.action: {self.recipe.data.path} is not there, and nothing in the recipe tells what "
                    f"{action.feature!r} is. Put the data there, or name its labels, or its low and high"
                )
            if not labels:
                labels = (str(safe), CHOICES[1])
                notes.append(f"actions {', '.join(labels)}")
            return Invented(Feature("text"), _drawn(labels))
        size = self.size or SIZE
        if not self.size:
            notes.append(f"actions of {size} values")
        if action.switches:
            return Invented(Feature("vector", (size,)), lambda rng: rng.integers(0, 2, size).astype(np.float32))
        low, high = np.array(action.low or [-1.0] * size), np.array(action.high or [1.0] * size)
        if not (action.low and action.high):
            notes.append("limits of the actions near -1 and 1")
        if len(low) != size or len(high) != size:
            raise RecipeError(f"signature.action: low and high need one value for each of the {size} there are")
        return Invented(Feature("vector", (size,)), lambda rng: rng.uniform(low, high).astype(np.float32))


def _drawn(labels: tuple[str, ...]) -> Callable[[np.random.Generator], Any]:
    return lambda rng: labels[int(rng.integers(len(labels)))]
