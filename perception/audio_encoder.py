"""A small convolutional encoder for sound, trained from scratch: raw samples to tokens of 80 ms.

The log-mel front end is part of the module and so of the exported graph.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.perception.attention import AttentionLayer
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.spectrum import Spectrum

WINDOW_S, HOP_S = 0.025, 0.010
LOG_FLOOR = 1e-6
"""Power below this is silence (-60 dB of a full-scale tone's mel power)."""


class LogMel(nn.Module):
    """Log-mel spectrogram with a fixed reference: a frame never depends on louder frames, rows or batches.

    The mel scale is that of HTK, `2595 log10(1 + f / 700)`, with triangular filters of unit height.

    Args:
        sample_rate: Of the sound (Hz).
        bands: Mel bands between 60 Hz and half the sample rate (at most 8 kHz).
    """

    mel: Tensor

    def __init__(self, sample_rate: int, bands: int = 64):
        super().__init__()
        window, self.hop = round(WINDOW_S * sample_rate), round(HOP_S * sample_rate)
        self.spectrum = Spectrum(window, self.hop, scale=4 / window)  # 2 / the sum of the taper: amplitudes of tones
        top_hz = min(8000.0, sample_rate / 2)
        mel = _mel_filters(sample_rate, self.spectrum.bins, bands, 60.0, top_hz)
        self.register_buffer("mel", mel, persistent=False)

    def forward(self, sound: Tensor) -> Tensor:
        """float32 `(rows, samples)` → `(rows, bands, samples / hop)`, in units of about [-1, 1]."""
        aside = self.spectrum.window - self.hop
        real, imaginary = self.spectrum(F.pad(sound, (aside // 2, aside - aside // 2)))
        mel = self.mel @ (real.square() + imaginary.square())
        return torch.log10(mel.clamp(min=LOG_FLOOR)) / 3.0 + 1.0


class AudioEncoder(nn.Module):
    """Log-mel, strided convolutions in time, residual ones, and attention over all of it; a token covers 80 ms.

    Each channel goes through the front end; the bands of all channels are stacked, so that level differences between
    them are seen. An utterance has its own mean taken off every band, which removes the colour of microphone and
    synthesiser; a window does not, because its mean would move with what slides in.

    Args:
        modality: Rate, channels and length of the sound.
        dim: Width of a token.
        layers: Attention layers, by which a word knows the words around it.
    """

    def __init__(self, modality: Audio, dim: int = 128, layers: int = 2):
        super().__init__()
        self.modality, self.dim = modality, dim
        self.log_mel = LogMel(modality.sample_rate)
        self.tokens = _halved(_halved(_halved(modality.samples // self.log_mel.hop)))
        bands = self.log_mel.mel.shape[0] * modality.channels
        self.down = nn.ModuleList(
            [_TimeConvolution(bands, 96, 2), _TimeConvolution(96, dim, 2), _TimeConvolution(dim, dim, 2)]
        )
        self.context = nn.ModuleList([_TimeConvolution(dim, dim, 1), _TimeConvolution(dim, dim, 1)])
        self.position = nn.Parameter(0.02 * torch.randn(self.tokens, dim))
        self.layers = nn.ModuleList(AttentionLayer(dim) for _ in range(layers))

    def forward(self, sound: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Sound to tokens; what lies behind a row's length does not count.

        Args:
            sound: float32 `(batch, samples, channels)`, padded behind with anything finite.
            length: int64 `(batch,)`, valid samples of each row; a row of none has no tokens.

        Returns:
            tokens `(batch, n, dim)` and mask `(batch, n)`, true where the row has sound.
        """
        return self.listen(*self.bands(sound, length))

    def bands(self, sound: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """The front end, always in full precision: features `(batch, bands, frames)` and mask `(batch, frames)`."""
        batch, samples, channels = sound.shape
        heard = torch.arange(samples, device=sound.device)[None] < length[:, None]
        bands = self.log_mel((sound * heard[..., None]).transpose(1, 2).reshape(batch * channels, samples))
        frames = bands.shape[2]
        features = bands.reshape(batch, -1, frames)
        frame = torch.arange(frames, device=sound.device)[None]
        mask = frame * self.log_mel.hop < length[:, None]
        weight = mask[:, None].to(features.dtype)
        if self.modality.mode == "utterance":
            mean = (features * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp(min=1)
            features = features - mean
        else:
            # Silence is 0, like what lies behind the end. At -1 it would be most of every feature, and what is heard a
            # small part that layer norms all but remove: a rising tone was then not told from a falling one.
            features = features + 1.0
        return features * weight, mask

    def listen(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """From the front end's features to tokens and their mask, as `forward`."""
        for layer in self.down:
            mask = mask[:, ::2]
            features = layer(features, mask)
        # A batch that is padded to whole tokens may have a sliver of one more than the longest sound has.
        features, mask = features[:, :, : self.tokens], mask[:, : self.tokens]
        for layer in self.context:
            features = features + layer(features, mask)
        tokens = features.transpose(1, 2) + self.position[: features.shape[2]]
        some = mask | ~mask.any(1, keepdim=True)  # attention to nothing would be NaN
        for layer in self.layers:
            tokens = layer(tokens, some)
        return tokens, mask


class _TimeConvolution(nn.Module):
    """Convolution over five steps, layer norm over channels, ReLU; masked steps stay zero."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.convolution = nn.Conv1d(channels_in, channels_out, 5, stride, padding=2)
        self.norm = nn.LayerNorm(channels_out)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """`(batch, channels, time)` → the same with `channels_out` and `time / stride`."""
        out = self.norm(self.convolution(features).transpose(1, 2)).transpose(1, 2)
        return torch.relu(out) * mask[:, None].to(out.dtype)


def _halved(steps: int) -> int:
    return (steps + 1) // 2


def _mel_filters(sample_rate: int, bins: int, bands: int, low_hz: float, high_hz: float) -> Tensor:
    """`(bands, bins)` triangular filters, evenly spaced in mel."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (low_hz, high_hz))
    edges = 700 * (10 ** (torch.linspace(low, high, bands + 2, dtype=torch.float64) / 2595) - 1)
    frequency = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    # Low bands can be narrower than a bin and would hear nothing: give them the bin they lie in.
    deaf = filters.sum(1) == 0
    nearest = (frequency[None] - edges[1:-1, None]).abs().argmin(1)
    filters[deaf, nearest[deaf]] = 1.0
    return filters.float()
