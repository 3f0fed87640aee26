"""Search: where in a scene is what one is told about, judged aspect by aspect.

A token fits a role as far as it fits in *every* aspect: in its colour, in its kind, in where it is. Each aspect is a
product of what is seen and what is told, and the mark depends on nothing else, so that a combination which was never
asked for is found by its parts (the compositional question of gSCAN: Ruis et al., NeurIPS 2020).
"""

import torch
from torch import Tensor, nn

from sensorimotor.fusion.aspects import ASPECTS, ROLES

NEVER = -1e9
"""Below any score: what a masked token gets, and finite, so that a row of masked tokens gives no NaN."""


class Search(nn.Module):
    """Marks the tokens of a scene that one is told about.

    Args:
        dim: Width of tokens and of what is told.
        width: Of the space in which an aspect of both is compared.
    """

    def __init__(self, dim: int, width: int = 16):
        super().__init__()
        self.width = width
        self.key = nn.Linear(dim, ASPECTS * width)
        self.query = nn.Linear(dim, ASPECTS * width * ROLES)
        self.bias = nn.Parameter(torch.zeros(ASPECTS, 1, ROLES))
        self.mark = nn.Parameter(0.5 * torch.randn(ROLES, dim))

    def forward(self, tokens: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Compare and mark.

        Args:
            tokens: Of a scene, `(batch, n, dim)`.
            told: Summary of what is told, `(batch, dim)`.

        Returns:
            The tokens, marked, `(batch, n, dim)`; and the evidence, logits `(batch, ASPECTS, n, ROLES)`.
        """
        keys = self.key(tokens).unflatten(-1, (ASPECTS, self.width)).transpose(1, 2)
        queries = self.query(told).unflatten(-1, (ASPECTS, self.width, ROLES))
        evidence = keys @ queries + self.bias
        return tokens + torch.sigmoid(evidence).prod(1) @ self.mark, evidence
