"""Pretrained encoders in half precision, for GPUs: matrix products and convolutions in fp16, everything else in fp32.

Preprocessing, norms, softmax, sums and what a layer hands to the next keep their range: a few large activations are
usual in such models, and a graph that was converted as a whole has been shipped with outputs that point the other way.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class InHalf(nn.Module):
    """A layer whose weights and product are in fp16; what goes in and comes out is fp32.

    Args:
        layer: It is changed.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer: Any = layer.half()

    @property
    def weight(self) -> Tensor:
        """The weights in fp32: models ask their layers in which precision to go on."""
        weight: Tensor = self.layer.weight
        return weight.float()

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's own."""
        found: Tensor = self.layer(x.half())
        return found.float()


class AttentionInHalf(nn.Module):
    """`nn.MultiheadAttention` with its projections in fp16 and its softmax in fp32; it gives no weights.

    Args:
        attention: The layer; keys and values are as wide as queries.
    """

    def __init__(self, attention: nn.MultiheadAttention):
        super().__init__()
        assert attention.in_proj_weight is not None
        self.heads, self.batch_first = attention.num_heads, attention.batch_first
        biases = [None] * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
        parts = zip(attention.in_proj_weight.chunk(3), biases, strict=True)
        self.projections = nn.ModuleList(InHalf(_linear(*part)) for part in parts)
        self.out = InHalf(_linear(attention.out_proj.weight, attention.out_proj.bias))

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *, attn_mask: Tensor | None = None, **_: Any
    ) -> tuple[Tensor, None]:
        """As the layer's own, without padding masks."""
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (
            project(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project, x in zip(self.projections, (query, key, value), strict=True)
        )
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask).transpose(1, 2).flatten(2)
        found = self.out(seen)
        return found if self.batch_first else found.transpose(0, 1), None


def halved(encoder: Any) -> nn.Module:
    """A copy of a pretrained encoder whose tower multiplies in fp16; its tokens are fp32 as before."""
    changed = copy.deepcopy(encoder)
    _halve(changed.tower)
    return changed.eval()


def _halve(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.MultiheadAttention) and child.in_proj_weight is not None:
            setattr(module, name, AttentionInHalf(child))
        elif isinstance(child, PRODUCTS):
            setattr(module, name, InHalf(child))
        else:
            _halve(child)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
