"""The trainable network of a policy: one encoder an input, and the core that turns their tokens into actions."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sensorimotor.actions.head import DiscreteHead, head_for
from sensorimotor.errors import SignatureError
from sensorimotor.fusion.fusion import Fusion, TokenShape
from sensorimotor.models.signature import Signature
from sensorimotor.perception.audio_encoder import AudioEncoder
from sensorimotor.perception.image_encoder import ImageEncoder
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.state_encoder import StateEncoder
from sensorimotor.perception.text_encoder import TextEncoder
from sensorimotor.perception.tokenizer import Tokenizer

Encoder = ImageEncoder | AudioEncoder | TextEncoder | StateEncoder


class NetworkSpec(BaseModel):
    """Sizes of a network: the `[network]` table of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_dim: int = Field(default=64, ge=8, le=512, multiple_of=8)
    audio_dim: int = Field(default=128, ge=8, le=1024, multiple_of=4)
    text_dim: int = Field(default=64, ge=8, le=1024, multiple_of=4)
    state_dim: int = Field(default=64, ge=8, le=1024)
    dim: int = Field(default=128, ge=8, le=2048, multiple_of=4)
    blocks: int = Field(default=2, ge=0, le=12)


class Core(nn.Module):
    """Everything after the encoders: fusion, memory and head."""

    def __init__(self, fusion: Fusion, head: DiscreteHead):
        super().__init__()
        self.fusion, self.head = fusion, head

    def set_temperature(self, temperature: float) -> None:
        """Calibrate the head: logits are divided by this."""
        self.head.temperature.fill_(temperature)

    def forward(
        self, tokens: Sequence[Tensor], masks: Sequence[Tensor], present: Tensor, age_s: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step; see `Fusion`. Gives logits `(batch, choices)`, embedding `(batch, dim)` and the new memory."""
        embedding, memory = self.fusion(tokens, masks, present, age_s, memory)
        return self.head(embedding), embedding, memory


class Network(nn.Module):
    """Encoders and core for one signature.

    Args:
        signature: What comes in and goes out.
        spec: Sizes.
        tokenizer: For the text inputs; its vocabulary is the text encoders'.
        statistics: State input → (mean, standard deviation) of the training data.

    Raises:
        SignatureError: There is a text input and no tokenizer, no head for the action space, or an input is named
            like something that torch modules have themselves (`type`, `keys`).
    """

    def __init__(
        self,
        signature: Signature,
        spec: NetworkSpec,
        tokenizer: Tokenizer | None = None,
        statistics: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    ):
        super().__init__()
        if taken := [name for name in signature.names if hasattr(nn.ModuleDict(), name)]:
            raise SignatureError(f"{taken[0]!r} cannot name an input of a network, because torch has a use for it")
        self.signature, self.spec, self.tokenizer = signature, spec, tokenizer
        self.encoders = nn.ModuleDict(
            {name: self._encoder(name, modality, statistics or {}) for name, modality in signature.inputs.items()}
        )
        fusion = Fusion(self.token_shapes(), spec.dim, spec.blocks)
        self.core = Core(fusion, head_for(signature.action_space, spec.dim))

    def _encoder(self, name: str, modality: Any, statistics: Mapping[str, Any]) -> Encoder:
        match modality:
            case Image():
                return ImageEncoder(modality, self.spec.image_dim)
            case Audio():
                return AudioEncoder(modality, self.spec.audio_dim)
            case State():
                mean, std = statistics.get(name, (None, None))
                return StateEncoder(modality, mean, std, self.spec.state_dim)
            case Text() if self.tokenizer is not None:
                return TextEncoder(modality, self.tokenizer.size, self.spec.text_dim)
        raise SignatureError(f"input {name!r} is a text, and the network was given no tokenizer")

    def token_shapes(self) -> dict[str, TokenShape]:
        """What each encoder gives."""
        shapes = {}
        for name, modality in self.signature.inputs.items():
            encoder: Any = self.encoders[name]
            shapes[name] = TokenShape(encoder.tokens, encoder.dim, modality.max_age_s, isinstance(modality, Image))
        return shapes

    @property
    def memory_size(self) -> int:
        """Width of the memory of one stream."""
        return self.core.fusion.memory_size

    def initial_memory(self, batch: int) -> Tensor:
        """The memory at the start of a stream: zeros `(batch, memory_size)`."""
        return torch.zeros(batch, self.memory_size, device=next(self.parameters()).device)
