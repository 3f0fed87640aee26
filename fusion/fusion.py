"""Fusion: the tokens of all senses become one embedding, and a memory that goes in and comes out.

Every sense is summarised; the summaries add up to a context. What one is told about is searched for in the tokens of
the scene; the context says what to make of them (FiLM: Perez et al., AAAI 2018); what comes of it and the context go
through a GRU. A sense that is absent takes part as a learnt token, so any subset of senses gives a valid embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.fusion.gaze import GAZE, Gaze, waves
from sensorimotor.fusion.search import NEVER, Search


@dataclass(frozen=True)
class TokenShape:
    """What an encoder gives for one input.

    Attributes:
        n: Tokens (the most, where lengths vary).
        dim: Width of a token.
        max_age_s: Ages are clamped to this (s).
        grid: Frames, rows and columns, where its tokens are places to look for something (a scene: images); None
            where they are only something to be told (words).
    """

    n: int
    dim: int
    max_age_s: float
    grid: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Scene:
    """The tokens of an input to look for something in.

    Attributes:
        tokens: `(batch, n, dim)`.
        mask: bool `(batch, n)`.
        present: bool `(batch,)`.
    """

    tokens: Tensor
    mask: Tensor
    present: Tensor


class Sense(nn.Module):
    """The learnt glue of one input: projection, position, age, the token of its absence, and its summary."""

    def __init__(self, shape: TokenShape, dim: int, heads: int = 4):
        super().__init__()
        self.max_age_s, self.heads = shape.max_age_s, heads
        self.project = nn.Linear(shape.dim, dim)
        self.position = nn.Parameter(0.02 * torch.randn(shape.n, dim))
        self.age = nn.Parameter(torch.zeros(dim))
        self.absent = nn.Parameter(0.02 * torch.randn(dim))
        self.norm = nn.LayerNorm(dim)
        self.score, self.value = nn.Linear(dim, heads, bias=False), nn.Linear(dim, dim)
        # Summaries of fixed length: none can drown the others, and drawing one towards another cannot inflate both.
        self.mix = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim, elementwise_affine=False))

    def forward(self, tokens: Tensor, mask: Tensor, present: Tensor, age_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bring tokens to the common width and summarise them.

        Args:
            tokens: `(batch, n, dim_i)`, at least one; where absent, anything finite.
            mask: bool `(batch, n)`, true where there is a token.
            present: bool `(batch,)`.
            age_s: float32 `(batch,)`.

        Returns:
            tokens `(batch, n, dim)`, mask `(batch, n)` and summary `(batch, dim)`.
        """
        age = (age_s / self.max_age_s).clamp(0, 1)
        # Bias and position are one addition to every token, which the exporter makes a constant.
        place = (self.position + self.project.bias)[: tokens.shape[1]] + age[:, None, None] * self.age
        wide = F.linear(tokens, self.project.weight) + place
        wide = self.norm(torch.where(present[:, None, None], wide, self.absent))
        mask = mask | ~present[:, None]
        # A bias of the scores would cancel in the softmax over tokens.
        weight = torch.softmax(torch.where(mask[..., None], self.score(wide), NEVER), dim=1)
        # Every head's values are linear in the tokens and its weights add up to one: average first, then project once.
        average = weight.transpose(1, 2) @ wide
        value = self.value.weight.unflatten(0, (self.heads, -1)).transpose(1, 2)
        summary = (average[:, :, None] @ value).flatten(1) + self.value.bias
        return wide, mask, self.mix(summary)


class FilmBlock(nn.Module):
    """A residual perceptron on every token, scaled and shifted by the context."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.film = nn.Linear(dim, 2 * dim)
        self.inner, self.outer = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """`(batch, n, dim)` and `(batch, dim)` → `(batch, n, dim)`."""
        scale, shift = self.film(context)[:, None].chunk(2, dim=-1)
        return tokens + self.outer(torch.relu(torch.addcmul(shift, self.inner(self.norm(tokens)), 1 + scale)))


class Fusion(nn.Module):
    """All senses into one embedding, with memory.

    Args:
        shapes: What the encoder of each input gives, in the order of the signature.
        dim: Width of tokens, embedding and memory.
        blocks: FiLM blocks on the scene.
        gaze: Take in nothing of a scene but the places of what one is told about (see `Gaze`), without FiLM blocks.
        memory: Whether to remember; without, the memory is `(batch, 0)`.
    """

    def __init__(
        self,
        shapes: Mapping[str, TokenShape],
        dim: int = 128,
        blocks: int = 2,
        *,
        gaze: bool = False,
        memory: bool = True,
    ):
        super().__init__()
        self.dim, self.memory_size = dim, dim if memory else 0
        grids = {name: shape.grid for name, shape in shapes.items() if shape.grid}
        self.scenes = list(grids)
        self.senses = nn.ModuleDict({name: Sense(shape, dim) for name, shape in shapes.items()})
        self.context = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.search = Search(dim)
        if gaze:
            for name, grid in grids.items():
                self.senses[name].position = nn.Parameter(waves(grid, dim))
        self.gazes = nn.ModuleDict({name: Gaze(grid) for name, grid in grids.items()} if gaze else {})
        self.blocks = nn.ModuleList(FilmBlock(dim) for _ in range(0 if gaze else blocks))
        width = dim + len(grids) * (GAZE if gaze else dim)
        self.combine = nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, dim))
        self.cell = nn.GRUCell(dim, dim) if memory else None

    def forward(
        self, tokens: Sequence[Tensor], masks: Sequence[Tensor], present: Tensor, age_s: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            tokens: Of each input, `(batch, n_i, dim_i)`.
            masks: Of each input, bool `(batch, n_i)`.
            present: bool `(batch, inputs)`.
            age_s: float32 `(batch, inputs)`, age of the newest sample (s).
            memory: float32 `(batch, memory_size)`; zeros at the start of a stream.

        Returns:
            embedding `(batch, dim)` and the new memory.
        """
        summaries, scenes = {}, {}
        for i, (name, sense) in enumerate(self.senses.items()):
            wide, mask, summaries[name] = sense(tokens[i], masks[i], present[:, i], age_s[:, i])
            if name in self.scenes:
                scenes[name] = Scene(wide, mask, present[:, i])
        return self.remember(self.look(summaries, scenes)[0], memory)

    def look(self, summaries: Mapping[str, Tensor], scenes: Mapping[str, Scene]) -> tuple[Tensor, list[Tensor]]:
        """What all senses together make of the scenes.

        Args:
            summaries: Of each input, `(batch, dim)`, in the order of the signature.
            scenes: Of each input that is one.

        Returns:
            What was found, `(batch, dim)`, before memory; and the evidence of each scene's tokens (see `Search`).
        """
        told = [summary for name, summary in summaries.items() if name not in self.scenes]
        context = self.context(_total(told if self.gazes else list(summaries.values())))
        asked = _total(told) if told else torch.zeros_like(context)
        found, evidence = [context], []
        for name, scene in scenes.items():
            tokens, fits = self.search(scene.tokens, asked)
            evidence.append(fits)
            if self.gazes:
                found.append(self.gazes[name](fits, scene.mask, scene.present))
                continue
            for block in self.blocks:
                tokens = block(tokens, context)
            found.append(tokens.masked_fill(~scene.mask[..., None], NEVER).amax(1))
        return self.combine(torch.cat(found, dim=-1)), evidence

    def remember(self, seen: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step of memory: `(batch, dim)` and `(batch, memory_size)` → embedding and memory."""
        if self.cell is None:
            return seen, memory
        memory = self.cell(F.relu(seen), memory)
        return seen + memory, memory


def _total(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
