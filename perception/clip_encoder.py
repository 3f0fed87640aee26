"""Image encoders of open_clip: a camera's raw frames to the tokens of a model that many trust."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from sensorimotor.errors import EncoderError
from sensorimotor.perception.clip import Clip, ClipSpec
from sensorimotor.perception.modality import Image
from sensorimotor.perception.preprocessing import Preprocess


class ClipImageEncoder(nn.Module):
    """The image tower of a CLIP model, with its own preprocessing in the graph.

    The frames of a film are encoded one by one.

    Args:
        modality: Size of the frames.
        clip: The model.
        spec: Which tokens.
    """

    def __init__(self, modality: Image, clip: Clip, spec: ClipSpec):
        super().__init__()
        self.modality, self.architecture, self.kind = modality, clip.architecture, spec.tokens
        self.preprocess = Preprocess(modality, clip.preprocessing)
        self.tower: Any = clip.model.visual
        with torch.inference_mode():
            _, self.dim, *grid = self._encode(torch.zeros(1, 3, *clip.preprocessing.shape)).shape
        self.grid = tuple(grid)
        self.tokens = math.prod(grid)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `(rows, height, width, channels)` → tokens `(rows, n, dim)`, mask `(rows, n)` of ones."""
        tokens = self._encode(self.preprocess(frames)).flatten(2).transpose(1, 2)
        return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)

    def _encode(self, pictures: Tensor) -> Tensor:
        """Pictures as the tower expects them → `(frames, dim, rows, columns)`."""
        if self.kind == "pooled":
            return self.tower(pictures)[:, :, None, None]
        try:
            found = self.tower.forward_intermediates(
                pictures, indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt="NCHW"
            )
        except (AttributeError, AssertionError, RuntimeError) as error:
            kind = type(self.tower).__name__
            raise EncoderError(f"this image tower ({kind}) has no patches: choose tokens = 'pooled'") from error
        return found["image_intermediates"][0]
