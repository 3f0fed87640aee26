"""What runs the graphs of a policy: ONNX Runtime in production, torch to compare with."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np


class CoreInput(NamedTuple):
    """What one step of the core takes; the order of inputs is that of the signature.

    Attributes:
        tokens: Of each input, float32 `(batch, n_i, dim_i)`.
        masks: Of each input, bool `(batch, n_i)`.
        present: bool `(batch, inputs)`.
        age_s: float32 `(batch, inputs)`, age of the newest sample (s).
        memory: float32 `(batch, memory_size)`; zeros at the start of a stream.
    """

    tokens: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    present: np.ndarray
    age_s: np.ndarray
    memory: np.ndarray


class CoreOutput(NamedTuple):
    """What one step of the core gives.

    Attributes:
        parameters: Head outputs, float32 `(batch, n)`.
        embedding: float32 `(batch, dim)`.
        memory: float32 `(batch, memory_size)`.
    """

    parameters: np.ndarray
    embedding: np.ndarray
    memory: np.ndarray


class Backend(Protocol):
    """Runs encoders and core on numpy arrays."""

    memory_size: int

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Raw values of one input → tokens `(rows, n, dim)` and mask `(rows, n)`.

        `values` are the encoder's arguments: frames, those of films too one a row; sound and length; token ids; states.
        """
        ...

    def step(self, inputs: CoreInput) -> CoreOutput:
        """One step of the core."""
        ...

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """One token `(1, 1, dim)` and its mask `(1, 1)` to stand for an input that is absent from a whole batch."""
        ...
