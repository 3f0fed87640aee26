"""The golden set: real observations in a bundle and what must come out, to see that a policy works on this machine."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sensorimotor.actions.choice import choose, same_choice
from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import BundleError
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.execution import Precision
from sensorimotor.models.parity import difference
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.modality import Audio, Text

FULL_SCALE = np.float32(32767)
"""A sample of 1.0 as a 16-bit integer."""


def save_golden(path: Path, policy: Policy, steps: Sequence[Sensed], starts: Sequence[bool]) -> None:
    """Replay steps and write them with the outputs; equal values of an input are stored once.

    Sound is rounded to the 16 bits that it is stored in before it is replayed, so that what is read back is the same.

    Args:
        path: The `.npz` file.
        policy: What gives the outputs.
        steps: What each decision saw.
        starts: Whether each step is the first of an episode.
    """
    steps = [_in_16_bits(step, policy.signature) for step in steps]
    outputs = replay(policy, steps, starts)
    arrays = {"starts": np.array(starts), "parameters": np.stack(outputs)}
    for name, modality in policy.signature.inputs.items():
        arrays[f"{name}.age_s"] = np.array([step.ages_s.get(name, 0.0) for step in steps], np.float32)
        values, index = _distinct([step.observation.get(name) for step in steps])
        arrays[f"{name}.index"] = np.array(index, np.int64)
        if not values:
            continue
        if isinstance(modality, Text):
            arrays[f"{name}.values"] = np.array(values, str)
        elif isinstance(modality, Audio):
            arrays[f"{name}.lengths"] = np.array([len(value) for value in values], np.int64)
            arrays[f"{name}.values"] = np.round(np.concatenate(values) * FULL_SCALE).astype(np.int16)
        else:
            arrays[f"{name}.values"] = np.stack(values)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_golden(path: Path, signature: Signature) -> tuple[list[Sensed], list[bool], np.ndarray]:
    """Read what `save_golden` wrote: steps, starts and outputs `(steps, n)`.

    Raises:
        BundleError: It cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: _values(arrays, name, modality) for name, modality in signature.inputs.items()}
            steps = []
            for i in range(len(arrays["starts"])):
                present = [name for name in signature.inputs if arrays[f"{name}.index"][i] >= 0]
                shown = {name: values[name][arrays[f"{name}.index"][i]] for name in present}
                steps.append(Sensed(shown, {name: float(arrays[f"{name}.age_s"][i]) for name in present}))
            return steps, [bool(start) for start in arrays["starts"]], arrays["parameters"]
    except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile, zlib.error) as error:
        raise BundleError(f"{path} is no golden set: {error}") from error


def verify_golden(bundle: Bundle, policy: Policy, precision: Precision = "fp32") -> dict[str, Any]:
    """Replay the golden set of a bundle on this machine.

    Args:
        bundle: Whose golden set.
        policy: What the bundle is here.
        precision: Of its encoders: in half precision it was exported with a tolerance of its own.

    Returns:
        `steps`, `max_error` (see `difference`) and `tolerance` of the head outputs, `same_actions`, and whether all is
        `ok`.

    Raises:
        BundleError: The bundle has no golden set.
    """
    steps, starts, expected = load_golden(bundle.file(GOLDEN), bundle.signature)
    outputs = np.stack(replay(policy, steps, starts))
    error = difference(outputs, expected)
    parity = bundle.config["parity"]
    tolerance = float((parity["fp16"] if precision == "fp16" else parity)["tolerance"])
    same = sum(_same(bundle.signature.action_space, *pair) for pair in zip(outputs, expected, strict=True))
    return {
        "steps": len(steps),
        "max_error": error,
        "tolerance": tolerance,
        "same_actions": same,
        "ok": error <= tolerance and same == len(steps),
    }


def replay(policy: Policy, steps: Sequence[Sensed], starts: Sequence[bool]) -> list[np.ndarray]:
    """What a policy's head gives at each step of some episodes, its memory carried along each; no memory is left.

    Args:
        policy: Its streams are reset.
        steps: What each decision sees.
        starts: Whether each step is the first of an episode.
    """
    outputs = []
    for step, start in zip(steps, starts, strict=True):
        if start:
            policy.reset()
        parameters = policy.act(step.observation, ages_s=step.ages_s).parameters
        assert parameters is not None
        outputs.append(parameters)
    policy.reset()
    return outputs


def _same(space: ActionSpace, ours: np.ndarray, theirs: np.ndarray) -> bool:
    if not np.isfinite(theirs).all():  # a file may say anything
        return False
    return same_choice(space, choose(space, ours).action, choose(space, theirs).action)


def _in_16_bits(step: Sensed, signature: Signature) -> Sensed:
    observation = {
        name: np.round(value * FULL_SCALE) / FULL_SCALE if isinstance(signature.inputs[name], Audio) else value
        for name, value in step.observation.items()
    }
    return replace(step, observation=observation)


def _distinct(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """The different values in order of appearance, and for each value which of them it is (-1: missing)."""
    known: dict[Any, int] = {}
    kept: list[Any] = []
    index: list[int] = []
    for value in values:
        if value is None:
            index.append(-1)
            continue
        key = value if isinstance(value, str) else (value.shape, value.tobytes())
        if key not in known:
            known[key] = len(kept)
            kept.append(value)
        index.append(known[key])
    return kept, index


def _values(arrays: Any, name: str, modality: Any) -> list[Any]:
    if f"{name}.values" not in arrays:
        return []
    stored = arrays[f"{name}.values"]
    if isinstance(modality, Text):
        return [str(value) for value in stored]
    if isinstance(modality, Audio):
        return np.split(stored.astype(np.float32) / FULL_SCALE, np.cumsum(arrays[f"{name}.lengths"])[:-1])
    return list(stored)
