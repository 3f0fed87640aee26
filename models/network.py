"""The trainable network of a policy: one encoder an input, and the core that turns their tokens into actions."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from sensorimotor.actions.head import BoxHead, Head, head_for
from sensorimotor.errors import EncoderError, SignatureError
from sensorimotor.fusion.fusion import Fusion, TokenShape
from sensorimotor.models.encoders import PretrainedSpec, Statistics, pretrained_encoder, small_encoder
from sensorimotor.models.signature import Signature
from sensorimotor.perception.adapters import adapt
from sensorimotor.perception.modality import Image, Text
from sensorimotor.perception.origin import origin_of
from sensorimotor.perception.tokenizer import Tokenizer


class NetworkSpec(BaseModel):
    """Sizes and encoders of a network: the `[network]` table of a recipe.

    What `encoders` does not name has a small one of its own that is trained from scratch.

    Attributes:
        gaze: Take in nothing of a picture but the places of what one is told about: for reaching and pointing, from
            few recordings (see `Gaze`).
        memory: Remember earlier steps. Who imitates with a memory may copy its own last move instead of looking (the
            copycat problem: Wen et al., NeurIPS 2020): do without where what is there now says what to do.
        encoders: Input name → a pretrained encoder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_dim: int = Field(default=64, ge=8, le=512, multiple_of=8)
    audio_dim: int = Field(default=128, ge=8, le=1024, multiple_of=4)
    text_dim: int = Field(default=64, ge=8, le=1024, multiple_of=4)
    state_dim: int = Field(default=64, ge=8, le=1024)
    dim: int = Field(default=128, ge=8, le=2048, multiple_of=4)
    blocks: int = Field(default=2, ge=0, le=12)
    gaze: bool = False
    memory: bool = True
    encoders: dict[str, PretrainedSpec] = {}


class Core(nn.Module):
    """Everything after the encoders: fusion, memory and head."""

    def __init__(self, fusion: Fusion, head: Head):
        super().__init__()
        self.fusion, self.head = fusion, head

    def set_temperature(self, temperature: float) -> None:
        """Calibrate the head: logits are divided by this; a plan of vectors has none."""
        if not isinstance(self.head, BoxHead):
            self.head.temperature.fill_(temperature)

    def forward(
        self, tokens: Sequence[Tensor], masks: Sequence[Tensor], present: Tensor, age_s: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step; see `Fusion`. Gives what its head gives, embedding `(batch, dim)` and the new memory."""
        embedding, memory = self.fusion(tokens, masks, present, age_s, memory)
        return self.head(embedding), embedding, memory


class Network(nn.Module):
    """Encoders and core for one signature.

    Args:
        signature: What comes in and goes out.
        spec: Sizes.
        tokenizer: For the text inputs; its vocabulary is the text encoders'. A pretrained text encoder brings its own.
        statistics: State input → (mean, standard deviation) over the training data.
        action_statistics: The same of each dimension of the actions, where they are vectors.

    Raises:
        SignatureError: There is a text input and no tokenizer, an encoder does not fit its input, no head fits the
            action space, or an input is named like something that torch modules have themselves (`type`, `keys`).
        EncoderError: A pretrained encoder cannot be had.
    """

    def __init__(
        self,
        signature: Signature,
        spec: NetworkSpec,
        tokenizer: Tokenizer | None = None,
        statistics: Statistics | None = None,
        action_statistics: tuple[Sequence[float], Sequence[float]] | None = None,
    ):
        super().__init__()
        if taken := [name for name in signature.names if hasattr(nn.ModuleDict(), name)]:
            raise SignatureError(f"{taken[0]!r} cannot name an input of a network, because torch has a use for it")
        if foreign := [name for name in spec.encoders if name not in signature.inputs]:
            known = ", ".join(signature.names)
            raise SignatureError(f"an encoder is stated for {foreign[0]!r}, which is none of the inputs {known}")
        self.signature, self.tokenizer = signature, tokenizer
        measured: Statistics = statistics or {}
        encoders: dict[str, Any] = {}
        encoder: Any
        described: dict[str, Any] = {}
        for name, modality in signature.inputs.items():
            try:
                if name not in spec.encoders:
                    width = int(getattr(spec, f"{modality.kind}_dim"))
                    encoders[name] = small_encoder(modality, width, tokenizer, measured.get(name))
                    continue
                chosen = spec.encoders[name]
                encoder, words = pretrained_encoder(modality, chosen, tokenizer)
                encoder.requires_grad_(chosen.training == "trained")
                if chosen.training == "lora":
                    adapt(encoder.tower, chosen.lora_rank)
            except (SignatureError, EncoderError) as error:
                raise type(error)(f"input {name!r}: {error}") from error
            encoders[name] = encoder
            origin = chosen.origin if chosen.origin or chosen.architecture else origin_of(chosen)
            filled_in = {"architecture": encoder.architecture, "origin": origin}
            described[name] = chosen.model_copy(update=filled_in)
            if words:
                longest = max(one.max_tokens for one in signature.inputs.values() if isinstance(one, Text))
                self._read_with(Tokenizer.from_json(words, longest))
        self.encoders, self.spec = nn.ModuleDict(encoders), spec.model_copy(update={"encoders": described})
        if spec.gaze and all(isinstance(modality, Image) for modality in signature.inputs.values()):
            raise SignatureError("gaze looks for what one is told about, and all inputs are images: nothing is told")
        fusion = Fusion(self.token_shapes(), spec.dim, spec.blocks, gaze=spec.gaze, memory=spec.memory)
        head = head_for(signature.action_space, spec.dim, signature.horizon, action_statistics)
        self.core = Core(fusion, head)

    def _read_with(self, tokenizer: Tokenizer) -> None:
        """All texts of a network are read with the same tokenizer."""
        if self.tokenizer and self.tokenizer.to_json() != tokenizer.to_json():
            raise SignatureError("the texts of a network are read with one tokenizer: give them the same encoder")
        self.tokenizer = tokenizer

    def _frozen(self) -> list[nn.Module]:
        return [self.encoders[name] for name, spec in self.spec.encoders.items() if spec.training == "frozen"]

    def train(self, mode: bool = True) -> Self:
        """Frozen encoders stay in evaluation mode whatever the rest of the network does."""
        super().train(mode)
        for encoder in self._frozen():
            encoder.eval()
        return self

    def token_shapes(self) -> dict[str, TokenShape]:
        """What each encoder gives; of a film, the tokens of all its frames."""
        shapes = {}
        for name, modality in self.signature.inputs.items():
            encoder: Any = self.encoders[name]
            frames = modality.frames if isinstance(modality, Image) else 1
            grid = (frames, *encoder.grid) if isinstance(modality, Image) else None
            shapes[name] = TokenShape(frames * encoder.tokens, encoder.dim, modality.max_age_s, grid)
        return shapes

    @property
    def memory_size(self) -> int:
        """Width of the memory of one stream."""
        return self.core.fusion.memory_size

    def initial_memory(self, batch: int) -> Tensor:
        """The memory at the start of a stream: zeros `(batch, memory_size)`."""
        return torch.zeros(batch, self.memory_size, device=next(self.parameters()).device)
