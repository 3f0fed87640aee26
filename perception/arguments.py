"""What an encoder takes: checked values of some rows, side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sensorimotor.perception.modality import Audio, Modality, Text
from sensorimotor.perception.tokenizer import Tokenizer


def encoder_arguments(modality: Modality, values: Sequence[Any], tokenizer: Tokenizer | None) -> tuple[np.ndarray, ...]:
    """The arguments of an input's encoder.

    Args:
        modality: Of the input.
        values: One a row, each as `Modality.check` gives it; of films, their frames.
        tokenizer: For texts.

    Returns:
        Frames uint8 `(rows, height, width, channels)`; sound float32 `(rows, samples, channels)`, padded with
        zeros, and lengths int64 `(rows,)`; ids int64 `(rows, max_tokens)`; states float32 `(rows, size)`.
    """
    match modality:
        case Text(max_tokens=tokens):
            assert tokenizer is not None
            return (np.stack([tokenizer.encode(value) for value in values])[:, :tokens],)
        case Audio(samples=samples, channels=channels):
            sound = np.zeros((len(values), samples, channels), np.float32)
            for row, value in zip(sound, values, strict=True):
                row[: len(value)] = value
            return sound, np.array([len(value) for value in values], np.int64)
    return (values[0][None] if len(values) == 1 else np.stack(values),)
