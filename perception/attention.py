"""One pre-norm transformer layer over the tokens of one input (Vaswani et al., 2017; Xiong et al., 2020)."""

import torch
from torch import Tensor, nn

NEVER = -1e9
"""Below any score: what a masked token gets."""


class AttentionLayer(nn.Module):
    """Every token looks at all valid ones of its row, then passes through a perceptron.

    Args:
        dim: Width of a token.
        heads: Attention heads; they share the width.
    """

    def __init__(self, dim: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.mix = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens `(batch, n, dim)` and mask bool `(batch, n)`, at least one valid a row → `(batch, n, dim)`."""
        batch, n, dim = tokens.shape
        q, k, v = self.qkv(self.norm(tokens)).reshape(batch, n, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        # Written out: on a CPU, for the few tokens of an utterance, torch's fused kernel takes longer.
        scores = (q @ k.transpose(2, 3)) * (dim // self.heads) ** -0.5
        attended = torch.softmax(scores.masked_fill(~mask[:, None, None], NEVER), dim=-1) @ v
        tokens = tokens + self.mix(attended.transpose(1, 2).reshape(batch, n, dim))
        return tokens + self.narrow(torch.relu(self.widen(self.norm_out(tokens))))
