"""A policy without training: it does what goes best with the picture, as a model of pictures and texts judges it.

Every action is described in words, its prompts. Their embeddings are averaged when the policy is made, and are all that
is left of the text tower: a decision encodes the picture and compares (zero-shot classification: Radford et al., ICML
2021).
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from sensorimotor.errors import EncoderError, SignatureError, UsageError
from sensorimotor.fusion.fusion import TokenShape
from sensorimotor.models.network import Network
from sensorimotor.models.signature import Signature
from sensorimotor.perception.clip import Clip, ClipSpec, load_clip
from sensorimotor.perception.clip_encoder import ClipImageEncoder
from sensorimotor.perception.modality import Image
from sensorimotor.perception.origin import origin_of
from sensorimotor.perception.pretrained import encoder_library


class PromptedSpec(BaseModel):
    """What it takes to build a prompted network again: the image encoder of its one input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["prompted"] = "prompted"
    encoders: dict[str, ClipSpec]


class PromptedCore(nn.Module):
    """Compares a picture with the prompts of every action; it has no memory, and ages do not matter to it.

    Args:
        choices: How many actions there are.
        dim: Width of the space that pictures and texts share.
    """

    prompts: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, choices: int, dim: int):
        super().__init__()
        self.register_buffer("prompts", torch.zeros(choices, dim))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))

    def forward(
        self, tokens: Sequence[Tensor], masks: Sequence[Tensor], present: Tensor, age_s: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step.

        Args:
            tokens: Of the picture, `(batch, 1, dim)`.
            masks: Not needed.
            present: bool `(batch, 1)`; without a picture all actions are equally probable.
            age_s: Not needed.
            memory: `(batch, 0)`.

        Returns:
            logits `(batch, choices)`, the picture's embedding `(batch, dim)`, of length 1, and the memory as it came.
        """
        embedding = F.normalize(tokens[0][:, 0], dim=-1) * present
        return self.scale * embedding @ self.prompts.T + self.bias, embedding, memory


class PromptedNetwork(nn.Module):
    """An image encoder and a `PromptedCore`: what can be exported like a `Network`.

    Args:
        signature: One image and choices.
        spec: The encoder of that image.
        clip: The model, where it is at hand; else it is had as `spec` says.

    Raises:
        SignatureError: The signature is another.
        EncoderError: The model cannot be had, or is none whose pictures can be compared with texts.
    """

    tokenizer = None
    memory_size = 0

    def __init__(self, signature: Signature, spec: PromptedSpec, clip: Clip | None = None):
        super().__init__()
        if list(signature.names) != list(spec.encoders):
            raise SignatureError(f"the encoder is for {', '.join(spec.encoders)}, not for {', '.join(signature.names)}")
        [(name, chosen)], [modality] = spec.encoders.items(), signature.inputs.values()
        if not isinstance(modality, Image) or modality.frames > 1 or chosen.tokens != "pooled":
            what = f"{modality} ({chosen.tokens} tokens)"
            raise SignatureError(f"input {name!r}: prompts are compared with one picture as a whole, not with {what}")
        clip = clip or load_clip(chosen)
        try:
            encoder = ClipImageEncoder(modality, clip, chosen)
        except (TypeError, IndexError, RuntimeError) as error:  # towers of captioning models give more than one tensor
            reason = f"{type(clip.model).__name__}: {error}"
            raise EncoderError(f"the image tower of {chosen.model} gives no single embedding ({reason})") from error
        described = chosen.model_copy(
            update={"architecture": encoder.architecture, "origin": chosen.origin or origin_of(chosen)}
        )
        self.signature, self.spec = signature, PromptedSpec(encoders={name: described})
        self.encoders = nn.ModuleDict({name: encoder})
        self.core = PromptedCore(signature.action_space.size, encoder.dim)
        self.requires_grad_(False)

    def token_shapes(self) -> dict[str, TokenShape]:
        """What the encoder gives: one token."""
        [(name, modality)] = self.signature.inputs.items()
        return {name: TokenShape(1, self.core.prompts.shape[1], modality.max_age_s, (1, 1, 1))}

    def initial_memory(self, batch: int) -> Tensor:
        """The memory at the start of a stream: `(batch, 0)`."""
        return self.core.prompts.new_zeros(batch, self.memory_size)


AnyNetwork = Network | PromptedNetwork
"""What can be exported."""


def prompted_network(signature: Signature, chosen: ClipSpec, prompts: Sequence[Sequence[str]]) -> PromptedNetwork:
    """A network that compares pictures with prompts, at the temperature that its model was trained to.

    Args:
        signature: One image and choices.
        chosen: The model.
        prompts: Of each choice, in order: texts whose embeddings are averaged.

    Raises:
        EncoderError: The model cannot be had.
        UsageError: A prompt is longer than what the model reads.
    """
    clip = load_clip(chosen)
    model: Any = clip.model
    network = PromptedNetwork(signature, PromptedSpec(encoders={signature.names[0]: chosen}), clip)
    with torch.inference_mode():
        embedded = torch.stack([_average(model, chosen, texts) for texts in prompts])
    if embedded.shape != network.core.prompts.shape:
        given, wanted = embedded.shape[1], network.core.prompts.shape[1]
        raise EncoderError(f"{chosen.model} has no space that pictures ({wanted}) and texts ({given}) share")
    network.core.prompts.copy_(embedded)
    network.core.scale.copy_(model.logit_scale.detach().exp().reshape(()))
    if getattr(model, "logit_bias", None) is not None:
        network.core.bias.copy_(model.logit_bias.detach().reshape(()))
    return network.eval()


def _average(model: Any, chosen: ClipSpec, texts: Sequence[str]) -> Tensor:
    """The mean direction of texts, `(dim,)`, of length 1."""
    ids = _ids(chosen, texts)
    return F.normalize(model.encode_text(ids, normalize=True).mean(0), dim=0)


def _ids(chosen: ClipSpec, texts: Sequence[str]) -> Tensor:
    """Token ids as the model's own tokenizer gives them, int64 `(texts, context)`."""
    open_clip = encoder_library("open_clip", "open_clip_torch")
    try:
        tokenizer = open_clip.get_tokenizer(chosen.model)
        ids = tokenizer(list(texts))
        wider = tokenizer(list(texts), context_length=ids.shape[1] + 1)
    except Exception as error:  # noqa: BLE001 (open_clip, the hub and tokenizers each raise types of their own)
        reason = " ".join(str(error).split())[:400]
        raise EncoderError(f"the tokenizer of {chosen.model} cannot be had: {reason}") from error
    cut = (ids != wider[:, :-1]).any(1)  # what is cut off ends one token later when there is room for one more
    if cut.any():
        long = texts[int(cut.nonzero()[0])]
        raise UsageError(
            f"the prompt {long[:60]!r}… is longer than the {ids.shape[1]} tokens that {chosen.model} reads"
        )
    return ids
