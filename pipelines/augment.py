"""Variants of what is learnt from: moved, lit, louder or noisier, as other days and other rooms would make it."""

from typing import Any

import numpy as np

from sensorimotor.perception.modality import Audio, Image, Modality, State
from sensorimotor.pipelines.episode_recipe import Augment


def augmented(value: Any, modality: Modality, plan: Augment, scale: np.ndarray | None, rng: np.random.Generator) -> Any:
    """A variant of one value; values of a sequence that are given equal generators move alike.

    Args:
        value: As `Modality.check` gives it.
        modality: Of its input.
        plan: How much.
        scale: Standard deviation of each value of a state; None where it is not known.
        rng: What is drawn from.
    """
    match modality:
        case Image():
            return _picture(value, plan, rng)
        case Audio():
            return _sound(value, plan, rng)
        case State() if plan.state_noise and scale is not None:
            return (value + plan.state_noise * scale * rng.standard_normal(value.shape)).astype(np.float32)
    return value


def _picture(frames: np.ndarray, plan: Augment, rng: np.random.Generator) -> np.ndarray:
    height, width = frames.shape[-3:-1]
    down, right = (round(rng.uniform(-plan.shift, plan.shift) * side) for side in (height, width))
    if down or right:
        rows = np.clip(np.arange(height) - down, 0, height - 1)
        columns = np.clip(np.arange(width) - right, 0, width - 1)
        frames = frames[..., rows, :, :][..., columns, :]
    if plan.light:
        contrast, brightness = 1 + rng.uniform(-plan.light, plan.light, 2)
        lit = (frames.astype(np.float32) - 127.5) * contrast + 127.5 * brightness
        frames = lit.round().clip(0, 255).astype(np.uint8)
    return frames


def _sound(sound: np.ndarray, plan: Augment, rng: np.random.Generator) -> np.ndarray:
    if plan.gain_db:
        sound = sound * np.float32(10 ** (rng.uniform(-plan.gain_db, plan.gain_db) / 20))
    if plan.noise_db is not None:
        level = 10 ** (rng.uniform(plan.noise_db - 20, plan.noise_db) / 20)
        sound = sound + np.float32(level) * rng.standard_normal(sound.shape, np.float32)
    return sound.clip(-0.999, 0.999).astype(np.float32, copy=False)
