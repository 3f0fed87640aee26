"""A small convolutional encoder for images, trained from scratch: uint8 frames to a grid of tokens."""

import torch
from torch import Tensor, nn

from sensorimotor.perception.modality import Image


class ImageEncoder(nn.Module):
    """Three strided convolutions and a residual pair: every token sees a neighbourhood of 47 x 47 pixels.

    Tokens lie on a grid with one cell for every 8 x 8 pixels, row by row; the frames of a video follow each other.
    Normalising is part of the graph.

    Args:
        modality: Size of the frames.
        dim: Width of a token.
    """

    STRIDE = 8

    def __init__(self, modality: Image, dim: int = 64):
        super().__init__()
        self.modality, self.dim = modality, dim
        rows, columns = (-(-side // self.STRIDE) for side in (modality.height, modality.width))
        self.tokens = modality.frames * rows * columns
        self.stem = nn.Sequential(
            *_convolution(modality.channels, dim * 3 // 8, stride=2),
            *_convolution(dim * 3 // 8, dim * 3 // 4, stride=2),
            *_convolution(dim * 3 // 4, dim, stride=2),
        )
        self.context = nn.Sequential(*_convolution(dim, dim), *_convolution(dim, dim))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `(batch, [frames,] height, width, channels)` → tokens `(batch, n, dim)`, mask `(batch, n)` of ones."""
        batch = frames.shape[0]
        pixels = frames.reshape(-1, self.modality.height, self.modality.width, self.modality.channels)
        grid = self.stem(pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0)
        grid = grid + self.context(grid)
        tokens = grid.flatten(2).transpose(1, 2).reshape(batch, self.tokens, self.dim)
        return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    # Batch normalisation is folded into the convolution at export; in evaluation rows do not influence each other.
    return [
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
