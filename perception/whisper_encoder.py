"""The encoder of Whisper on as much sound as there is: no padding to 30 s, every layer, every channel.

The log-mel front end is Whisper's own, but for one thing: its floor hangs from a fixed reference and not from the
loudest sound of the batch, so that rows never influence each other and a window's gain does not jump while it slides.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.errors import EncoderError, SignatureError, UnreachableError
from sensorimotor.perception.attention import NEVER
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.pretrained import Pretrained, encoder_library
from sensorimotor.perception.spectrum import Spectrum

SAMPLE_RATE, WINDOW, HOP = 16_000, 400, 160
SAMPLES_A_TOKEN = 2 * HOP
DIRECTION_BANDS = 16
"""Bands in which channels are compared with the first."""


class WhisperSpec(Pretrained):
    """Which Whisper, and how loud its loudest sound is taken to be.

    Attributes:
        model: `tiny`, `base`, `small`, …, or a checkpoint file (`.pt`).
        reference: log10 of the mel power that the floor hangs from, 8 below it; Whisper takes each clip's loudest.
    """

    kind: Literal["whisper"] = "whisper"
    model: str = "tiny"
    reference: float = 1.5


class WhisperParts(NamedTuple):
    """The encoder, its mel filters `(mels, bins)` and the sizes it takes to build it again."""

    encoder: nn.Module
    filters: Tensor
    dimensions: dict[str, Any]


def load_whisper(spec: WhisperSpec) -> WhisperParts:
    """The encoder of a model with all its weights; with random ones where the specification has an architecture.

    Raises:
        UnreachableError: It cannot be downloaded.
        EncoderError: There is no such model, or its weights are damaged or incomplete.
        MissingExtraError: The `whisper` package is not installed.
    """
    whisper = encoder_library("whisper", "openai-whisper")
    if spec.architecture:
        return build_whisper(spec.architecture)
    known = whisper.available_models()
    if spec.model not in known and not Path(spec.model).is_file():
        raise EncoderError(f"there is no Whisper {spec.model!r}: name one of {', '.join(known)}, or a .pt file")
    try:
        model = whisper.load_model(spec.model, device="cpu")
    except Exception as error:  # noqa: BLE001 (urllib, pickle, torch and KeyError, each in its own words)
        reason = " ".join(str(error).split())[:600]
        if spec.model in known and not isinstance(error, RuntimeError):
            raise UnreachableError(
                f"Whisper {spec.model} cannot be downloaded ({reason}). Download its .pt file elsewhere and name it: "
                "model = 'FILE.pt'"
            ) from error
        raise EncoderError(f"the Whisper checkpoint {spec.model} is damaged, incomplete or none: {reason}") from error
    return WhisperParts(model.encoder.eval(), _filters(whisper, model.dims.n_mels), vars(model.dims))


def build_whisper(dimensions: dict[str, Any]) -> WhisperParts:
    """An encoder with random weights: for a network whose own weights are loaded next."""
    whisper = encoder_library("whisper", "openai-whisper")
    dims = whisper.model.ModelDimensions(**dimensions)
    encoder = whisper.model.AudioEncoder(
        dims.n_mels, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer
    )
    return WhisperParts(encoder.eval(), _filters(whisper, dims.n_mels), dimensions)


def _filters(whisper: Any, mels: int) -> Tensor:
    return whisper.audio.mel_filters("cpu", mels).clone()


class WhisperEncoder(nn.Module):
    """Sound to one token every 20 ms, in which all layers of all channels lie beside each other.

    What a layer is worth is for the network behind it to learn: different kinds of sound are told apart in different
    layers (Whisper-AT: Gong et al., Interspeech 2023). Channels share the weights; how they differ from the first in
    level and phase, from which a direction can be learnt, lies beside them.

    Args:
        modality: Length and channels of the sound, at 16 kHz.
        parts: The encoder.
        spec: How loud the loudest sound is taken to be.

    Raises:
        SignatureError: Another sample rate, or more sound than Whisper has positions for.
    """

    filters: Tensor
    bands: Tensor

    def __init__(self, modality: Audio, parts: WhisperParts, spec: WhisperSpec):
        super().__init__()
        limit_s = parts.dimensions["n_audio_ctx"] * SAMPLES_A_TOKEN / SAMPLE_RATE
        if modality.sample_rate != SAMPLE_RATE or not 0.5 <= modality.seconds <= limit_s:
            raise SignatureError(
                f"Whisper hears {SAMPLE_RATE} Hz, 0.5 to {limit_s:g} s of it, not {modality.seconds:g} s at "
                f"{modality.sample_rate} Hz: state those, and sound is resampled before it comes here"
            )
        self.modality, self.architecture, self.reference = modality, parts.dimensions, spec.reference
        self.spectrum = Spectrum(WINDOW, HOP)
        tower: Any = parts.encoder
        self.tower, layers, width = tower, len(tower.blocks), parts.dimensions["n_audio_state"]
        self.tokens = -(-modality.samples // SAMPLES_A_TOKEN)
        self.dim = modality.channels * layers * width + (modality.channels - 1) * 3 * DIRECTION_BANDS
        self.register_buffer("filters", parts.filters, persistent=False)
        self.register_buffer("bands", _even_bands(self.spectrum.bins, DIRECTION_BANDS), persistent=False)

    def forward(self, sound: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Sound to tokens; what lies behind a row's length does not count.

        Args:
            sound: float32 `(batch, samples, channels)`, padded behind with anything finite.
            length: int64 `(batch,)`, valid samples of each row; a row of none has no tokens.

        Returns:
            tokens `(batch, n, dim)` and mask `(batch, n)`, true where the row has sound.
        """
        batch, samples, channels = sound.shape
        heard = torch.arange(samples, device=sound.device)[None] < length[:, None]
        flat = (sound * heard[..., None]).transpose(1, 2).reshape(batch * channels, samples)
        padded = F.pad(flat[:, None], (WINDOW // 2, WINDOW // 2), "reflect")[:, 0]
        real, imaginary = (part[..., :-1] for part in self.spectrum(padded))
        tokens = self._layers(self.log_mel(real, imaginary), length.repeat_interleave(channels))
        beside = tokens.unflatten(0, (batch, channels)).transpose(1, 2).flatten(2)
        if channels > 1:
            compared = self._compared(real.unflatten(0, (batch, channels)), imaginary.unflatten(0, (batch, channels)))
            beside = torch.cat([beside, compared[:, : beside.shape[1]]], dim=2)
        n = beside.shape[1]
        return beside, torch.arange(n, device=sound.device)[None] * SAMPLES_A_TOKEN < length[:, None]

    def log_mel(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Whisper's log-mel under the fixed reference: `(rows, bins, frames)` twice → `(rows, mels, frames)`."""
        levels = torch.log10((self.filters @ (real.square() + imaginary.square())).clamp(min=1e-10))
        return (levels.clamp(min=self.reference - 8.0) + 4.0) / 4.0

    def _layers(self, mel: Tensor, length: Tensor) -> Tensor:
        """All layers beside each other, each normalised: `(rows, mels, frames)` → `(rows, n, layers * width)`."""
        tower = self.tower
        x = F.gelu(tower.conv2(F.gelu(tower.conv1(mel)))).transpose(1, 2)
        x = x + tower.positional_embedding[: x.shape[1]]
        starts = torch.arange(x.shape[1], device=x.device)[None] * SAMPLES_A_TOKEN
        mask = (starts < length[:, None]) | (length[:, None] <= 0)  # attention to nothing would be NaN
        found = []
        for block in tower.blocks:
            x = x + _attend(block.attn, block.attn_ln(x), mask)
            x = x + block.mlp(block.mlp_ln(x))
            found.append(x)
        found[-1] = tower.ln_post(found[-1])
        return torch.cat([*(F.layer_norm(one, one.shape[-1:]) for one in found[:-1]), found[-1]], dim=-1)

    def _compared(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """How every further channel differs from the first: level, and cosine and sine of the phase, of each band."""
        power = self.bands @ (real.square() + imaginary.square())
        level = torch.log10((power[:, 1:] + 1e-8) / (power[:, :1] + 1e-8))
        one, other = (real[:, :1], imaginary[:, :1]), (real[:, 1:], imaginary[:, 1:])
        along = self.bands @ (other[0] * one[0] + other[1] * one[1])
        across = self.bands @ (other[1] * one[0] - other[0] * one[1])
        size = torch.sqrt(along.square() + across.square() + 1e-12)
        found = torch.cat([level, along / size, across / size], dim=2).flatten(1, 2)
        found = F.pad(found, (0, found.shape[2] % 2))
        return F.avg_pool1d(found, 2).transpose(1, 2)


def _attend(attention: Any, x: Tensor, mask: Tensor) -> Tensor:
    """Whisper's self-attention, to valid tokens only: `(rows, n, width)` and bool `(rows, n)`."""
    split = (attention.n_head, -1)
    q, k, v = (
        layer(x).unflatten(2, split).transpose(1, 2) for layer in (attention.query, attention.key, attention.value)
    )
    scores = q @ k.transpose(2, 3) * (x.shape[2] // attention.n_head) ** -0.5
    weights = torch.softmax(scores.masked_fill(~mask[:, None, None], NEVER), dim=-1)
    return attention.out((weights @ v).transpose(1, 2).flatten(2))


def _even_bands(bins: int, bands: int) -> Tensor:
    """`(bands, bins)`: which bins, the constant one left out, belong to which of equally wide bands."""
    band = torch.arange(1, bins) * bands // bins
    return F.pad(F.one_hot(band, bands).T.float(), (1, 0))
