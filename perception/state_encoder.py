"""A small encoder for measured vectors: raw values to one token, normalised inside the graph."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sensorimotor.perception.modality import State

CLAMP_SIGMAS = 10.0
"""A value further out than this says "broken sensor", not "more of the same"; it must not swamp the policy."""


class StateEncoder(nn.Module):
    """Normalises with statistics that are part of the graph, then a two-layer perceptron.

    Args:
        modality: Size of the vector.
        mean: Of each value over the training data, in the value's own unit.
        std: Standard deviation of each value; values that never change may have 0.
        dim: Width of the token.
    """

    tokens = 1
    mean: Tensor
    std: Tensor

    def __init__(
        self, modality: State, mean: Sequence[float] | None = None, std: Sequence[float] | None = None, dim: int = 64
    ):
        super().__init__()
        self.modality, self.dim = modality, dim
        scale = torch.tensor(std if std is not None else [1.0] * modality.size, dtype=torch.float32)
        centre = torch.tensor(mean if mean is not None else [0.0] * modality.size, dtype=torch.float32)
        self.register_buffer("mean", centre)
        self.register_buffer("std", torch.where(scale > 0, scale, 1.0))
        self.layers = nn.Sequential(nn.Linear(modality.size, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """float32 `(batch, size)` in raw units → tokens `(batch, 1, dim)`, mask `(batch, 1)` of ones."""
        normal = ((state - self.mean) / self.std).clamp(-CLAMP_SIGMAS, CLAMP_SIGMAS)
        tokens = self.layers(normal)[:, None]
        return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)
