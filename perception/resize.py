"""Pillow's resizing as two matrix products, so that a picture is resized inside the exported graph, the same anywhere.

A resize to a known size is linear: every output pixel is a weighted sum of input pixels, first along the rows, then
along the columns. The weights are those of Pillow's `Image.resize` (antialiased, as in `Resample.c`), and so are both
roundings to whole levels; only where the height shrinks much more than the width does Pillow 13 do the columns first
(python-pillow/Pillow#9549). ONNX's own `Resize` is not the same on every execution provider (onnxruntime#25264).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

Interpolation = Literal["bilinear", "bicubic"]


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    x, a = np.abs(x), -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


_FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}
"""Filter and its support at scale 1."""


def resize_weights(source: int, target: int, interpolation: Interpolation) -> np.ndarray:
    """How much every input pixel counts for every output pixel along one axis, float32 `(target, source)`.

    >>> (7 * resize_weights(4, 2, "bilinear")).round().tolist()
    [[3.0, 3.0, 1.0, 0.0], [0.0, 1.0, 3.0, 3.0]]
    """
    weights = np.zeros((target, source))
    kernel, support = _FILTERS[interpolation]
    scale = source / target
    stretch = max(scale, 1.0)
    for row in range(target):
        centre = (row + 0.5) * scale
        first = max(int(centre - support * stretch + 0.5), 0)
        last = min(int(centre + support * stretch + 0.5), source)
        values = kernel((np.arange(first, last) - centre + 0.5) / stretch)
        weights[row, first:last] = values / values.sum()
    return weights.astype(np.float32)


class Resize(nn.Module):
    """Resizes pictures of one size to another, exactly as Pillow does.

    Args:
        source: Height and width of what comes.
        target: Height and width of what is wanted.
        interpolation: Pillow's filter.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, source: tuple[int, int], target: tuple[int, int], interpolation: Interpolation):
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(resize_weights(source[0], target[0], interpolation)))
        self.register_buffer("columns", torch.from_numpy(resize_weights(source[1], target[1], interpolation)))

    def forward(self, levels: Tensor) -> Tensor:
        """float32 levels 0–255 `(batch, channels, height, width)` → the same, resized; whole levels."""
        return _whole(self.rows @ _whole(levels @ self.columns.T))


def _whole(levels: Tensor) -> Tensor:
    return torch.floor(levels + 0.5).clamp(0, 255)
