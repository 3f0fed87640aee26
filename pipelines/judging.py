"""What a network knows of episodes and voices that it does not learn from."""

from collections.abc import Iterable

import numpy as np
import torch

from sensorimotor.models.network import Network
from sensorimotor.pipelines.batches import Batches, Spoken
from sensorimotor.pipelines.imitation import hear, unroll
from sensorimotor.pipelines.tutor import Tutor

AT_ONCE = 128
"""Episodes or utterances that are judged at a time."""


@torch.inference_mode()
def held_out_logits(
    network: Network, batches: Batches, inputs: tuple[str, ...], device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 `(steps, choices)` with some of the inputs, and the expert's actions int64 `(steps,)`."""
    network.eval()
    logits, actions = [], []
    for start in range(0, len(batches), AT_ONCE):
        batch = batches.held_out_batch(np.arange(start, min(start + AT_ONCE, len(batches))), inputs).to(device)
        heard = hear(network, batch.spoken) if batch.spoken else None
        logits.append(unroll(network, batch, heard).parameters.float().cpu().numpy())
        actions.append(batch.actions.cpu().numpy())
    return np.concatenate(logits), np.concatenate(actions)


@torch.inference_mode()
def understood(network: Network, tutor: Tutor, utterances: Iterable[Spoken], device: torch.device) -> float:
    """Which part of utterances is read right, word for word."""
    network.eval()
    right = []
    for some in utterances:
        spoken = some.to(device)
        right.append(tutor.understood(hear(network, spoken).summary, spoken.words).cpu().numpy())
    return float(np.concatenate(right).mean())
