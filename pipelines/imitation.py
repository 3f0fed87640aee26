"""Behaviour cloning through time: what a network would have done in the expert's place, and how wrong that is."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.models.network import Network
from sensorimotor.perception.modality import Audio, Image, Text
from sensorimotor.perception.tokenizer import BEGIN, PAD
from sensorimotor.pipelines.batches import Batch, Spoken


@dataclass(frozen=True)
class Unrolled:
    """What a network makes of a batch: logits `(steps, choices)`, summaries `(episodes, dim)` of words and speech."""

    logits: Tensor
    words: Tensor
    spoken: Tensor | None


def unroll(network: Network, batch: Batch) -> Unrolled:
    """Run a network over whole episodes: the camera at every step, words and speech once an episode."""
    fusion = network.core.fusion
    camera, instruction = _input_of(network, Image), _input_of(network, Text)
    zero_age = torch.zeros(len(batch.words), device=batch.words.device)

    tokens, mask = network.encoders[camera](batch.frames)
    scene, scene_mask, seen = fusion.senses[camera](tokens, mask, batch.frame_present, batch.frame_age_s)
    tokens, mask = network.encoders[instruction](batch.words)
    _, _, words = fusion.senses[instruction](tokens, mask, batch.words_present, zero_age)
    summaries = {camera: seen, instruction: words[batch.episode]}
    spoken = None
    if any(isinstance(modality, Audio) for modality in network.signature.inputs.values()):
        mic = _input_of(network, Audio)
        spoken = _absent_summary(network, mic).expand(len(batch.words), -1)
        if batch.spoken is not None:
            spoken = spoken.masked_scatter(batch.spoken_present[:, None], _summary(network, mic, _sound(batch.spoken)))
        summaries[mic] = spoken[batch.episode]

    found = fusion.look([summaries[name] for name in network.signature.inputs], [(scene, scene_mask)])
    episodes, longest = len(batch.words), int(batch.time.max()) + 1
    padded = found.new_zeros(episodes, longest, fusion.dim)
    padded[batch.episode, batch.time] = found
    memory, outputs = network.initial_memory(episodes), []
    for t in range(longest):
        embedding, memory = fusion.remember(padded[:, t], memory)
        outputs.append(embedding)
    embeddings = torch.stack(outputs, 1)[batch.episode, batch.time]
    return Unrolled(network.core.head(embeddings), words, spoken)


def _input_of(network: Network, kind: type) -> str:
    return next(name for name, modality in network.signature.inputs.items() if isinstance(modality, kind))


def _sound(utterances: Spoken) -> tuple[Tensor, Tensor]:
    return utterances.sound, utterances.length


def _summary(network: Network, name: str, values: tuple[Tensor, ...]) -> Tensor:
    """The summary of a latched input that is there, `(rows, dim)`."""
    tokens, mask = network.encoders[name](*values)
    rows = torch.ones_like(mask[:, 0])
    return network.core.fusion.senses[name](tokens, mask, rows, tokens.new_zeros(len(tokens)))[2]


def _absent_summary(network: Network, name: str) -> Tensor:
    """The summary of an input that is not there, `(1, dim)`."""
    sense: Any = network.core.fusion.senses[name]
    tokens = sense.position.new_zeros(1, 1, network.token_shapes()[name].dim)
    mask = torch.ones_like(tokens[..., 0], dtype=torch.bool)
    return sense(tokens, mask, ~mask[:, 0], tokens.new_zeros(1))[2]


def imitation_loss(logits: Tensor, actions: Tensor) -> Tensor:
    """Mean cross-entropy of the expert's actions (nats)."""
    return F.cross_entropy(logits, actions)


def alignment_loss(network: Network, lexicon: nn.Module, batch: Batch, unrolled: Unrolled) -> Tensor:
    """How far speech is from meaning what its text means.

    One linear layer, the lexicon, must read the words off the summary of a written *and* of a spoken instruction; and
    the summary of speech must come to lie where that of its text lies.
    """
    loss = _misread(lexicon, unrolled.words[batch.words_present], batch.words[batch.words_present])
    if unrolled.spoken is not None:
        loss = loss + _misread(lexicon, unrolled.spoken[batch.spoken_present], batch.words[batch.spoken_present])
        both = batch.spoken_present & batch.words_present
        if both.any():
            loss = loss + F.mse_loss(unrolled.spoken[both], unrolled.words[both].detach())
    if batch.aligned is not None:
        mic, instruction = _input_of(network, Audio), _input_of(network, Text)
        spoken = _summary(network, mic, _sound(batch.aligned))
        words = _summary(network, instruction, (batch.aligned.words,))
        loss = loss + _misread(lexicon, spoken, batch.aligned.words) + F.mse_loss(spoken, words.detach())
    return loss


def _misread(lexicon: nn.Module, summary: Tensor, words: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy of each word being in the instruction or not, summed over the vocabulary."""
    if not len(summary):
        return summary.new_zeros(())
    logits = lexicon(summary)
    said = torch.zeros_like(logits).scatter_(1, words, 1.0)
    said[:, [PAD, BEGIN]] = 0.0
    return F.binary_cross_entropy_with_logits(logits, said, reduction="none").sum(1).mean()
