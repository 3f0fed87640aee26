"""A small transformer encoder for short texts, trained from scratch: token ids to tokens."""

import torch
from torch import Tensor, nn

from sensorimotor.perception.attention import AttentionLayer
from sensorimotor.perception.modality import Text
from sensorimotor.perception.tokenizer import PAD


class TextEncoder(nn.Module):
    """Word and position embeddings and one transformer layer.

    Args:
        modality: Tokens of a text.
        vocabulary: Ids of the tokenizer.
        dim: Width of a token.
        heads: Attention heads.
    """

    def __init__(self, modality: Text, vocabulary: int, dim: int = 64, heads: int = 4):
        super().__init__()
        self.modality, self.dim, self.tokens = modality, dim, modality.max_tokens
        self.word = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(0.02 * torch.randn(modality.max_tokens, dim))
        self.layer = AttentionLayer(dim, heads)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """int64 `(batch, n)`, the first of each row never padding → tokens `(batch, n, dim)`, mask `(batch, n)`."""
        mask = ids != PAD
        return self.layer(self.word(ids) + self.position[: ids.shape[1]], mask), mask
