"""A policy without a network: arithmetic simple enough to know what must come out, and a record of what was run."""

import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.models.backend import CoreOutput
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.tokenizer import Tokenizer

SIGNATURE = Signature(
    {
        "camera": Image(height=4, width=6, critical=True),
        "mic": Audio(sample_rate=4000, seconds=0.1, mode="utterance"),
        "instruction": Text(max_tokens=8),
        "joints": State(size=2, max_age_s=2.0),
    },
    Discrete(3, ("wait", "go", "turn")),
    Constant("wait"),
    10.0,
)


class FakeBackend:
    """Tokens are means of raw values; the memory is a decaying sum of what was seen; logits are linear in both.

    `encoded` lists each run of an encoder as (input, rows); `spoil` may change what the core gives.
    """

    memory_size = 2

    def __init__(self, signature=SIGNATURE, gain=1.0, decay=0.5, spoil=lambda output: output):
        self.names, self.gain, self.decay, self.spoil = signature.names, gain, decay, spoil
        self.encoded = []

    def encode(self, name, values):
        self.encoded.append((name, len(values[0])))
        raw = values[0].reshape(len(values[0]), -1).astype(np.float32)
        weights = np.linspace(1.0, 2.0, raw.shape[1], dtype=np.float32)
        return (raw @ weights)[:, None, None] / raw.shape[1], np.ones((len(raw), 1), bool)

    def step(self, inputs):
        tokens, _, present, age_s, memory = inputs
        total = np.zeros(len(present), np.float32)
        for j, value in enumerate(tokens):
            total += np.where(present[:, j], np.sin((j + 1) * value[:, 0, 0]) / (1 + age_s[:, j]), 0.0)
        memory = self.decay * memory + np.stack([total, np.ones_like(total)], 1)
        logits = np.stack([total, memory[:, 0], -total], 1) * self.gain
        return self.spoil(CoreOutput(logits.astype(np.float32), memory.copy(), memory.astype(np.float32)))

    def empty_tokens(self, name):
        return np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), bool)


@pytest.fixture
def fake():
    """Makes policies without a network: `fake()`, `fake(gain=2.0)`; the policy's back end is `policy.backend`."""

    def make(signature=SIGNATURE, fingerprint="0" * 64, **options):
        backend = FakeBackend(signature, **options)
        policy = Policy(signature, backend, Tokenizer.train(["go to the red ball"], 8), fingerprint)
        policy.backend = backend
        return policy

    return make


@pytest.fixture
def seen():
    """A complete observation for such a policy."""
    rng = np.random.default_rng(0)
    return {
        "camera": rng.integers(0, 256, (4, 6, 3), np.uint8),
        "mic": rng.uniform(-0.5, 0.5, (300, 1)).astype(np.float32),
        "instruction": "go to the ball",
        "joints": np.array([0.1, -0.2], np.float32),
    }
