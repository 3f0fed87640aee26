"""The short-time Fourier transform as a fixed convolution: the same numbers on every execution provider.

ONNX Runtime has no STFT kernel for CUDA (onnxruntime#21164), and the one for CPUs is slow (onnxruntime#32403).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Spectrum(nn.Module):
    """Real and imaginary part of overlapping, Hann-tapered windows.

    Args:
        window: Samples of a window, and of its transform.
        hop: Samples from one window to the next.
        scale: Of the amplitudes.
    """

    taper: Tensor
    basis: Tensor

    def __init__(self, window: int, hop: int, scale: float = 1.0):
        super().__init__()
        self.window, self.hop, self.bins = window, hop, window // 2 + 1
        time = torch.arange(window, dtype=torch.float64)
        taper = torch.hann_window(window, periodic=True, dtype=torch.float64) * scale
        angle = 2 * math.pi * torch.arange(self.bins, dtype=torch.float64)[:, None] * time / window
        basis = torch.cat([torch.cos(angle), -torch.sin(angle)]) * taper
        self.register_buffer("taper", taper.float(), persistent=False)
        self.register_buffer("basis", basis[:, None].float(), persistent=False)

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """float32 `(rows, samples)` → real and imaginary part, each `(rows, bins, windows)`."""
        if self.training:  # the same numbers, and faster on a CPU
            tone = torch.stft(sound, self.window, self.hop, window=self.taper, center=False, return_complex=True)
            return tone.real, tone.imag
        real, imaginary = F.conv1d(sound[:, None], self.basis, stride=self.hop).chunk(2, dim=1)
        return real, imaginary
