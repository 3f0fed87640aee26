"""What a pretrained image model wants to be shown, made from a camera's frames inside the exported graph.

The steps are those of open_clip's evaluation transform (resize, crop or pad, normalise), for a camera whose size is
known, so that they become a few matrix products; see `sensorimotor.perception.resize`.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sensorimotor.perception.modality import Image
from sensorimotor.perception.resize import Interpolation, Resize


class Preprocessing(BaseModel):
    """How pictures are prepared for a model: the `preprocess_cfg` of open_clip."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: int | tuple[int, int] = 224
    """Side of a square, or height and width (pixels)."""
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: Interpolation = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    """Which side is made to fit: the other is cropped (`shortest`), padded (`longest`) or fitted too (`squash`)."""
    fill_color: int = Field(default=0, ge=0, le=255)
    """Level of what is padded."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what the model is shown."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a frame after resizing, before cropping or padding."""
        target = self.shape
        if self.resize_mode == "squash":
            return target
        if self.resize_mode == "longest" or target[0] != target[1]:
            choose = max if self.resize_mode == "longest" else min
            ratio = choose(height / target[0], width / target[1])
            return round(height / ratio), round(width / ratio)
        side, short = target[0], min(height, width)  # torchvision's Resize cuts the fraction off
        return (side, int(side * width / short)) if height <= width else (int(side * height / short), side)


class Preprocess(nn.Module):
    """Frames of one camera to what a pretrained model is shown.

    Args:
        camera: Size and channels of the frames; grey ones are shown as three equal channels, a fourth is left out.
        how: The model's own preprocessing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, camera: Image, how: Preprocessing):
        super().__init__()
        self.camera, self.how = camera, how
        resized, target = how.resized(camera.height, camera.width), how.shape
        # Ratio-keeping resizes of non-square targets ignore the interpolation that they are given (open_clip 3.3).
        interpolation = "bicubic" if how.resize_mode == "shortest" and target[0] != target[1] else how.interpolation
        same = resized == (camera.height, camera.width)
        self.resize = nn.Identity() if same else Resize((camera.height, camera.width), resized, interpolation)
        self.margins = _margins(resized, target)
        self.register_buffer("mean", torch.tensor(how.mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(how.std).reshape(3, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 `(batch, height, width, channels)` → float32 `(batch, 3, *how.shape)`."""
        levels = frames.permute(0, 3, 1, 2).to(torch.float32)
        levels = levels.expand(-1, 3, -1, -1) if self.camera.channels == 1 else levels[:, :3]
        levels = F.pad(self.resize(levels), self.margins, value=float(self.how.fill_color))
        return (levels / 255 - self.mean) / self.std


def _margins(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom margins (pixels) that make a size the target; negative where something is cut off."""
    (top, bottom), (left, right) = (_centred(side, wanted) for side, wanted in zip(size, target, strict=True))
    return left, right, top, bottom


def _centred(side: int, wanted: int) -> tuple[int, int]:
    if side < wanted:
        before = (wanted - side) // 2
        return before, wanted - side - before
    before = round((side - wanted) / 2)
    return -before, wanted - side + before
