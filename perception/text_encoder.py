"""A small transformer encoder for short texts, trained from scratch: token ids to tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.perception.modality import Text
from sensorimotor.perception.tokenizer import PAD


class TextEncoder(nn.Module):
    """Word and position embeddings and one pre-norm transformer layer.

    Args:
        modality: Tokens of a text.
        vocabulary: Ids of the tokenizer.
        dim: Width of a token.
        heads: Attention heads.
    """

    def __init__(self, modality: Text, vocabulary: int, dim: int = 64, heads: int = 4):
        super().__init__()
        self.modality, self.dim, self.tokens, self.heads = modality, dim, modality.max_tokens, heads
        self.word = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(0.02 * torch.randn(modality.max_tokens, dim))
        self.norm, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.mix = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """int64 `(batch, n)`, the first of each row never padding → tokens `(batch, n, dim)`, mask `(batch, n)`."""
        mask = ids != PAD
        words = self.word(ids) + self.position[: ids.shape[1]]
        batch, n, dim = words.shape
        q, k, v = self.qkv(self.norm(words)).reshape(batch, n, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        words = words + self.mix(attended.transpose(1, 2).reshape(batch, n, dim))
        return words + self.narrow(torch.relu(self.widen(self.norm_out(words)))), mask
