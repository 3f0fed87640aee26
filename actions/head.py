"""Heads: an embedding becomes the parameters of an action."""

import torch
from gymnasium import spaces
from torch import Tensor, nn

from sensorimotor.actions.space import ActionSpace
from sensorimotor.errors import SignatureError


class DiscreteHead(nn.Module):
    """One logit a choice, divided by a temperature that makes the probabilities honest on held-out data.

    Args:
        choices: How many there are.
        dim: Width of the embedding.
    """

    temperature: Tensor

    def __init__(self, choices: int, dim: int):
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, choices))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, embedding: Tensor) -> Tensor:
        """`(batch, dim)` → calibrated logits `(batch, choices)`."""
        return self.layers(embedding) / self.temperature


def head_for(action_space: ActionSpace, dim: int) -> DiscreteHead:
    """The head that gives actions of this space.

    Raises:
        SignatureError: There is none yet.
    """
    if isinstance(action_space.space, spaces.Discrete):
        return DiscreteHead(action_space.size, dim)
    raise SignatureError(f"no head gives actions of {action_space.space} yet; Discrete is what can be trained")
