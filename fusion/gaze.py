"""Gaze: a scene as no more than the places of what one is told about: what a hand needs that is to go there.

A place is the mean over all tokens, weighted by how well they fit (spatial softmax: Levine et al., JMLR 2016), and so
can lie between the cells of the grid. That nothing else gets through is the point: few recordings are enough, because a
scene cannot be learnt by heart from two numbers.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.fusion.aspects import ROLES
from sensorimotor.fusion.search import NEVER

GAZE = 2 * ROLES + 1
"""Numbers that a scene comes down to."""
SLOWEST = 0.125
"""Periods, along a side of the grid, of the slowest of the `waves`: no two cells of a side look the same to it."""
AMPLITUDE = 0.5
"""Of the `waves`, beside what tokens hold (about 1)."""


class Gaze(nn.Module):
    """The places of what fits.

    Args:
        grid: Frames, rows and columns of the scene's tokens. The place in a video is the mean over its frames.
    """

    places: Tensor

    def __init__(self, grid: tuple[int, int, int]):
        super().__init__()
        frames, rows, columns = grid
        # Far from the middle as often as a normal distribution: (-√3, √3) has a standard deviation of 1.
        down, right = (math.sqrt(3) * torch.linspace(-1, 1, side) if side > 1 else torch.zeros(1) for side in grid[1:])
        places = torch.cartesian_prod(down, right).repeat(frames, 1)
        self.register_buffer("places", places, persistent=False)

    def forward(self, evidence: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        """Where to look.

        Args:
            evidence: Logits, `(batch, ASPECTS, n, ROLES)` (see `Search`).
            mask: bool `(batch, n)`.
            present: bool `(batch,)`, whether there is a scene to look at.

        Returns:
            `(batch, GAZE)`: down and right of each role, 0 in the middle, and whether there is a scene.
        """
        fit = -F.softplus(-evidence).sum(1)  # the logarithm of what `Search` marks with, finite where that is zero
        weight = torch.softmax(fit.masked_fill(~mask[..., None], NEVER), dim=1)
        there = present[:, None].to(weight.dtype)
        place = (weight.transpose(1, 2) @ self.places[: mask.shape[1]].to(weight.dtype)).flatten(1)
        return torch.cat([place * there, there], dim=1)


def waves(grid: tuple[int, int, int], dim: int) -> Tensor:
    """What tokens that are gazed at begin with as their positions: near ones are alike from the first step on.

    Half of a position says how far down a token is and half how far to the right, by sines and cosines from an eighth
    of a period a side to one period every two cells (Vaswani et al., NeurIPS 2017).

    Args:
        grid: Frames, rows and columns.
        dim: Width of a position, a multiple of 4.

    Returns:
        float32 `(frames * rows * columns, dim)`.
    """
    frames, rows, columns = grid
    down, right = (_along(side, dim // 4) for side in (rows, columns))
    both = torch.cat([down[:, None].expand(-1, columns, -1), right[None].expand(rows, -1, -1)], dim=-1)
    return AMPLITUDE * both.flatten(0, 1).repeat(frames, 1)


def _along(side: int, count: int) -> Tensor:
    """Sines and cosines of `count` frequencies at the cells of a side, `(side, 2 * count)`."""
    periods = torch.logspace(math.log2(SLOWEST), math.log2(max(side, 2) / 2), count, base=2.0)
    phase = 2 * math.pi * torch.linspace(0, 1, side)[:, None] * periods
    return torch.cat([phase.sin(), phase.cos()], dim=1)
