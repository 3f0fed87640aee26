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
from sensorimotor.pipelines.unrolling import Latched, Sampled, Unrolled, absent_summary, summarised
from sensorimotor.pipelines.unrolling import unroll as _unroll


@dataclass(frozen=True)
class Heard:
    """What a network makes of utterances: tokens `(n, time, audio_dim)`, their mask and their summaries `(n, dim)`."""

    tokens: Tensor
    mask: Tensor
    summary: Tensor


def unroll(network: Network, batch: Batch, heard: Heard | None) -> Unrolled:
    """Run a network over whole episodes: the camera at every step, words and speech once an episode.

    Args:
        network: The network.
        batch: With at least one episode.
        heard: What it made of the batch's utterances; the first ones belong to the episodes.
    """
    camera, instruction = input_of(network, Image), input_of(network, Text)
    steps, episodes = torch.arange(len(batch.frames)), torch.arange(len(batch.words))
    tokens, mask = network.encoders[camera](batch.frames)
    seen: dict[str, Sampled | Latched] = {
        camera: Sampled(tokens, mask, _where(batch.frame_present, steps), batch.frame_age_s),
        instruction: Latched(read(network, batch.words), _where(batch.words_present, episodes)[batch.episode]),
    }
    if any(isinstance(modality, Audio) for modality in network.signature.inputs.values()):
        mic = input_of(network, Audio)
        known = absent_summary(network, mic)[:0] if heard is None else heard.summary
        seen[mic] = Latched(known, _where(batch.spoken_present, batch.spoken_present.cumsum(0) - 1)[batch.episode])
    return _unroll(network, seen, batch.episode, batch.time)


def _where(present: Tensor, value: Tensor) -> Tensor:
    """Which value is known: `value` where one is present, -1 where none is."""
    return torch.where(present, value.to(present.device), -1)


def hear(network: Network, utterances: Spoken) -> Heard:
    """Tokens and summaries of utterances, as a policy would latch them."""
    name = input_of(network, Audio)
    encoder: Any = network.encoders[name]
    with torch.autocast(utterances.sound.device.type, enabled=False):
        features, frames = encoder.bands(utterances.sound, utterances.length)
    tokens, mask = encoder.listen(features, frames)
    return Heard(tokens, mask, summarised(network, name, tokens, mask))


def read(network: Network, words: Tensor) -> Tensor:
    """Summaries `(rows, dim)` of instructions, int64 `(rows, max_tokens)`."""
    name = input_of(network, Text)
    return summarised(network, name, *network.encoders[name](words))


def input_of(network: Network, kind: type) -> str:
    """The name of the network's input of a modality."""
    return next(name for name, modality in network.signature.inputs.items() if isinstance(modality, kind))


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
        return unrolled.parameters.new_zeros(())
    (evidence,) = unrolled.evidence
    fits = batch.fits[told].permute(0, 3, 1, 2).float()
    return F.binary_cross_entropy_with_logits(evidence[told].float(), fits, reduction="sum") / len(fits)
