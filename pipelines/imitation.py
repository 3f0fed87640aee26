"""Behaviour cloning through time: what a network would have done in the expert's place, and how wrong that is."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sensorimotor.models.network import Network
from sensorimotor.perception.modality import Audio, Image, Text
from sensorimotor.pipelines.batches import Batch, Spoken
from sensorimotor.pipelines.tutor import Tutor


@dataclass(frozen=True)
class Heard:
    """What a network makes of utterances: tokens `(n, time, audio_dim)`, their mask and their summaries `(n, dim)`."""

    tokens: Tensor
    mask: Tensor
    summary: Tensor


@dataclass(frozen=True)
class Unrolled:
    """What a network makes of a batch's episodes: logits `(steps, choices)`; evidence `(steps, ASPECTS, n, ROLES)`."""

    logits: Tensor
    evidence: Tensor


def unroll(network: Network, batch: Batch, heard: Heard | None) -> Unrolled:
    """Run a network over whole episodes: the camera at every step, words and speech once an episode.

    Args:
        network: The network.
        batch: With at least one episode.
        heard: What it made of the batch's utterances; the first ones belong to the episodes.
    """
    fusion = network.core.fusion
    camera, instruction = input_of(network, Image), input_of(network, Text)
    zero_age = torch.zeros(len(batch.words), device=batch.words.device)

    tokens, mask = network.encoders[camera](batch.frames)
    scene, scene_mask, seen = fusion.senses[camera](tokens, mask, batch.frame_present, batch.frame_age_s)
    tokens, mask = network.encoders[instruction](batch.words)
    _, _, words = fusion.senses[instruction](tokens, mask, batch.words_present, zero_age)
    summaries = {camera: seen, instruction: words[batch.episode]}
    if any(isinstance(modality, Audio) for modality in network.signature.inputs.values()):
        mic = input_of(network, Audio)
        spoken = _absent_summary(network, mic).expand(len(batch.words), -1)
        if heard is not None and batch.spoken_present.any():
            own = heard.summary[: int(batch.spoken_present.sum())].to(spoken.dtype)
            spoken = spoken.masked_scatter(batch.spoken_present[:, None], own)
        summaries[mic] = spoken[batch.episode]

    in_order = {name: summaries[name] for name in network.signature.inputs}
    found, (evidence,) = fusion.look(in_order, {camera: (scene, scene_mask)})
    episodes, longest = len(batch.words), int(batch.time.max()) + 1
    with torch.autocast(found.device.type, enabled=False):  # a memory adds up what rounding does to it
        padded = found.new_zeros(episodes, longest, fusion.dim, dtype=torch.float32)
        padded[batch.episode, batch.time] = found.float()
        memory, outputs = network.initial_memory(episodes), []
        for t in range(longest):
            embedding, memory = fusion.remember(padded[:, t], memory)
            outputs.append(embedding)
        embeddings = torch.stack(outputs, 1)[batch.episode, batch.time]
        return Unrolled(network.core.head(embeddings), evidence)


def hear(network: Network, utterances: Spoken) -> Heard:
    """Tokens and summaries of utterances, as a policy would latch them."""
    name = input_of(network, Audio)
    encoder: Any = network.encoders[name]
    with torch.autocast(utterances.sound.device.type, enabled=False):
        features, frames = encoder.bands(utterances.sound, utterances.length)
    tokens, mask = encoder.listen(features, frames)
    return Heard(tokens, mask, _summary(network, name, tokens, mask))


def read(network: Network, words: Tensor) -> Tensor:
    """Summaries `(rows, dim)` of instructions, int64 `(rows, max_tokens)`."""
    name = input_of(network, Text)
    return _summary(network, name, *network.encoders[name](words))


def input_of(network: Network, kind: type) -> str:
    """The name of the network's input of a modality."""
    return next(name for name, modality in network.signature.inputs.items() if isinstance(modality, kind))


def _summary(network: Network, name: str, tokens: Tensor, mask: Tensor) -> Tensor:
    """The summary of a latched input that is there, `(rows, dim)`."""
    rows = torch.ones_like(mask[:, 0])
    age_s = torch.zeros(len(mask), device=mask.device)
    return network.core.fusion.senses[name](tokens, mask, rows, age_s)[2]


def _absent_summary(network: Network, name: str) -> Tensor:
    """The summary of an input that is not there, `(1, dim)`."""
    sense: Any = network.core.fusion.senses[name]
    tokens = sense.position.new_zeros(1, 1, network.token_shapes()[name].dim)
    mask = torch.ones_like(tokens[..., 0], dtype=torch.bool)
    return sense(tokens, mask, ~mask[:, 0], tokens.new_zeros(1))[2]


def alignment_loss(network: Network, tutor: Tutor, utterances: Spoken, heard: Heard) -> Tensor:
    """How far speech is from meaning what its text means (nats, and squared distance of summaries).

    The words must be spelt along the sound, and read off the summary of speech *and* of text; and the summary of
    speech must come to lie where that of its text lies.
    """
    written = read(network, utterances.words)
    spelling = tutor.misspelt(heard.tokens, heard.mask, utterances.words)
    reading = tutor.misread(heard.summary, utterances.words) + tutor.misread(written, utterances.words)
    return (
        spelling + reading + F.mse_loss(heard.summary.float(), written.float().detach(), reduction="sum") / len(written)
    )


def pointing_loss(batch: Batch, unrolled: Unrolled) -> Tensor:
    """How far the network is from seeing what fits the instruction in which aspect, where it sees and is told.

    Mean binary cross-entropy of a frame, summed over its tokens, roles and aspects (nats).
    """
    told = (batch.words_present | batch.spoken_present)[batch.episode] & batch.frame_present
    if not told.any():
        return unrolled.evidence.new_zeros(())
    fits = batch.fits[told].permute(0, 3, 1, 2).float()
    return F.binary_cross_entropy_with_logits(unrolled.evidence[told].float(), fits, reduction="sum") / len(fits)
