"""A small convolutional encoder for images, trained from scratch: uint8 frames to a grid of tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.perception.modality import Image


class ImageEncoder(nn.Module):
    """Patches, then a residual pair of convolutions: every token sees a neighbourhood of 40 x 40 pixels.

    Tokens lie on a grid with one cell for every 8 x 8 pixels, row by row. The frames of a film are encoded one by one.
    Normalising is part of the graph. Cutting patches first, as in a vision transformer (Dosovitskiy et al., 2021),
    makes the encoder faster to train on a CPU than a stack of strided convolutions.

    Args:
        modality: Size of the frames.
        dim: Width of a token.
    """

    PATCH = 8

    def __init__(self, modality: Image, dim: int = 64):
        super().__init__()
        self.modality, self.dim = modality, dim
        rows, columns = (-(-side // self.PATCH) for side in (modality.height, modality.width))
        self.grid = (rows, columns)
        self.tokens = rows * columns
        self.margin = (0, columns * self.PATCH - modality.width, 0, rows * self.PATCH - modality.height)
        self.patches = _normed(nn.Conv2d(modality.channels, dim, self.PATCH, self.PATCH, bias=False))
        self.context = nn.Sequential(*(_normed(nn.Conv2d(dim, dim, 3, padding=1, bias=False)) for _ in range(2)))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `(rows, height, width, channels)` → tokens `(rows, n, dim)`, mask `(rows, n)` of ones."""
        frames = frames.reshape(-1, *self.modality.one_frame)  # of this size and no other
        image = frames.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        if any(self.margin):
            image = F.pad(image, self.margin)
        grid = self.patches(image)
        grid = grid + self.context(grid)
        tokens = grid.flatten(2).transpose(1, 2)
        return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    # Batch normalisation is folded into the convolution at export; in evaluation rows do not influence each other.
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())
