"""A network over whole episodes at once: every different value is encoded once, only the memory goes step by step."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sensorimotor.fusion.fusion import Scene
from sensorimotor.models.network import Network


@dataclass(frozen=True)
class Sampled:
    """What an encoder made of an input that comes again and again and ages, and which step saw what of it.

    Attributes:
        tokens: Of the different values, `(values, n, dim_i)`.
        mask: bool `(values, n)`.
        value: int64 `(steps,)`, which value each step saw; -1: none.
        age_s: float32 `(steps,)`, how old it was (s).
    """

    tokens: Tensor
    mask: Tensor
    value: Tensor
    age_s: Tensor


@dataclass(frozen=True)
class Latched:
    """What a network made of an input that is kept until the next one, and which step still knew what.

    Attributes:
        summary: Of the different values, `(values, dim)`.
        value: int64 `(steps,)`, which value each step knew; -1: none.
    """

    summary: Tensor
    value: Tensor


@dataclass(frozen=True)
class Unrolled:
    """What a network makes of episodes.

    Attributes:
        parameters: What its head gives, `(steps, …)`.
        evidence: Of the tokens of each scene, `(steps, ASPECTS, n, ROLES)` (see `Search`).
        memory: After the longest episode's last step, `(episodes, memory_size)`.
    """

    parameters: Tensor
    evidence: list[Tensor]
    memory: Tensor


def unroll(
    network: Network,
    seen: Mapping[str, Sampled | Latched],
    episode: Tensor,
    time: Tensor,
    memory: Tensor | None = None,
) -> Unrolled:
    """What a network would have done at every step.

    Args:
        network: The network.
        seen: Of every input.
        episode: int64 `(steps,)`, which episode each step belongs to, counted from 0.
        time: int64 `(steps,)`, the step's place in its episode.
        memory: What each episode begins with, `(episodes, memory_size)`; None: nothing.
    """
    fusion = network.core.fusion
    summaries: dict[str, Tensor] = {}
    scenes: dict[str, Scene] = {}
    for name in network.signature.names:
        match seen[name]:
            case Sampled(tokens, mask, value, age_s):
                if not len(tokens):
                    tokens, mask = _nothing(network, name)
                row = value.clamp(min=0)
                sense: Any = fusion.senses[name]
                wide, mask, summaries[name] = sense(tokens[row], mask[row], value >= 0, age_s)
                if name in fusion.scenes:
                    scenes[name] = Scene(wide, mask, value >= 0)
            case Latched(summary, value):
                known = torch.cat([summary, absent_summary(network, name).to(summary.dtype)])
                summaries[name] = known[value]  # the last one is for those that know none
    found, evidence = fusion.look(summaries, scenes)
    longest = int(time.max()) + 1
    episodes = int(episode.max()) + 1 if memory is None else len(memory)
    with torch.autocast(found.device.type, enabled=False):  # a memory adds up what rounding does to it
        padded = found.new_zeros(episodes, longest, fusion.dim, dtype=torch.float32)
        padded[episode, time] = found.float()
        outputs = []
        memory = network.initial_memory(episodes) if memory is None else memory
        for t in range(longest):
            embedding, memory = fusion.remember(padded[:, t], memory)
            outputs.append(embedding)
        embeddings = torch.stack(outputs, 1)[episode, time]
        return Unrolled(network.core.head(embeddings), evidence, memory)


def summarised(network: Network, name: str, tokens: Tensor, mask: Tensor) -> Tensor:
    """The summary of a latched input that is there, `(values, dim)`."""
    rows = torch.ones_like(mask[:, 0])
    sense: Any = network.core.fusion.senses[name]
    return sense(tokens, mask, rows, torch.zeros(len(mask), device=mask.device))[2]


def absent_summary(network: Network, name: str) -> Tensor:
    """The summary of an input that is not there, `(1, dim)`."""
    tokens, mask = _nothing(network, name)
    sense: Any = network.core.fusion.senses[name]
    return sense(tokens, mask, ~mask[:, 0], tokens.new_zeros(1))[2]


def _nothing(network: Network, name: str) -> tuple[Tensor, Tensor]:
    """What stands for the tokens of an absent input: `(1, 1, dim_i)` and its mask."""
    sense: Any = network.core.fusion.senses[name]
    tokens = sense.position.new_zeros(1, 1, network.token_shapes()[name].dim)
    return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)
