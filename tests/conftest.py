"""What all tests share: reproducible property tests without a stopwatch, torch on one thread, and two small policies.

One is trained; the other has no network: arithmetic simple enough to know what must come out.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from sensorimotor.actions.space import Discrete
from sensorimotor.models.backend import CoreOutput
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.tokenizer import Tokenizer

settings.register_profile("house", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("house")


@pytest.fixture(scope="session")
def one_thread():
    """Keep torch to one thread: the networks of the tests are too small to share work."""
    import torch

    torch.set_num_threads(1)


# One small policy, made once by the real commands, that every test of a finished policy uses.

TINY = """
name = "tiny"
description = "Goes to the one object in the room; small and quick to make, for tests."
seed = 3

[data]
levels = [{ id = "BabyAI-GoToObj-v0", episodes = 40 }]
expert = "considerate"
held_out_episodes = 8

[speech]
speakers = ["espeak:en-us", "espeak:en+m3"]
held_out_speakers = ["espeak:en-us+f3"]
utterances = 120
held_out_utterances = 40

[network]
image_dim = 8
audio_dim = 16
text_dim = 16
dim = 16
blocks = 1

[training]
steps = 120
batch_episodes = 4
learning_rate = 1e-2
warmup_steps = 2
evaluate_every = 60
alignment = 0.1
alignment_utterances = 0
senses = [
    { inputs = ["camera", "mic"], weight = 1 },
    { inputs = ["camera", "instruction"], weight = 3 },
]
"""


@dataclass(frozen=True)
class Made:
    """What a command wrote, and how it ended."""

    path: Path
    done: subprocess.CompletedProcess


@pytest.fixture(scope="session")
def person(tmp_path_factory):
    """What a command gets from the person who runs it: an empty home, one thread, and a wide terminal."""
    home = tmp_path_factory.mktemp("home")
    return {**os.environ, "HOME": str(home), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def sensorimotor(person):
    """Run the installed command: `sensorimotor("inspect", "default")` gives its exit status and both its outputs."""
    program = Path(sys.executable).with_name("sensorimotor")

    def run(*words, **options):
        call = [str(word) for word in (program, *words)]
        return subprocess.run(call, capture_output=True, text=True, check=False, **({"env": person} | options))

    return run


@pytest.fixture(scope="session")
def tiny_recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipes") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_recipe(tiny_recipe_file):
    from sensorimotor.pipelines.recipe import load_recipe

    return load_recipe(tiny_recipe_file)


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory):
    """Demonstrations and speech of the tiny recipe are kept here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def trained(sensorimotor, tiny_recipe_file, tiny_cache, tmp_path_factory):
    """`sensorimotor train`: a finished run."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    done = sensorimotor("train", tiny_recipe_file, "--out", out, "--cache", tiny_cache, "--workers", 1, "--json")
    assert done.returncode == 0, done.stderr
    return Made(out, done)


@pytest.fixture(scope="session")
def exported(sensorimotor, trained, tmp_path_factory):
    """`sensorimotor export`: a bundle with everything in it."""
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    done = sensorimotor("export", trained.path, "--out", out, "--single-file", "--json")
    assert done.returncode == 0, done.stderr
    return Made(out, done)


@pytest.fixture(scope="session")
def tiny_bundle(exported):
    """The directory of a bundle; not to be changed."""
    return exported.path


@pytest.fixture
def bundle_copy(tiny_bundle, tmp_path):
    """A bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture
def tiny_policy(tiny_bundle):
    from sensorimotor.models.policy import Policy

    return Policy.load(tiny_bundle)


@pytest.fixture(scope="session")
def tiny_network(trained, one_thread):
    """The trained network in torch; not to be changed."""
    from sensorimotor.models.checkpoint import load_checkpoint

    return load_checkpoint(trained.path).network.eval()


@pytest.fixture(scope="session")
def golden_steps(tiny_bundle):
    """A hundred real steps of several episodes: what each decision saw, and whether it began an episode."""
    from sensorimotor.models.bundle import GOLDEN, Bundle
    from sensorimotor.models.golden import load_golden

    steps, starts, _ = load_golden(tiny_bundle / GOLDEN, Bundle.load(tiny_bundle).signature)
    return steps, starts


@pytest.fixture(scope="session")
def observation(golden_steps):
    """A real observation with all inputs."""
    steps, _ = golden_steps
    return next(step.observation for step in steps if len(step.observation) == 3)


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


def _helper(name):
    path = Path(__file__).parent / "perception" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def mjpeg():
    """The module of the loopback camera: `with mjpeg.MjpegCamera() as camera`."""
    return _helper("mjpeg_camera")


@pytest.fixture(scope="session")
def rtsp():
    """The module of the loopback RTSP camera: `with rtsp.RtspCamera() as camera`."""
    return _helper("rtsp_camera")


@pytest.fixture(scope="session")
def fake_portaudio():
    """The module that stands in for sounddevice: `fake_portaudio.PortAudio()`."""
    return _helper("fake_portaudio")


@pytest.fixture
def pulse(tmp_path):
    """A sound server of the test's own, with a microphone that hears what is played: `pulse.play(file)`."""
    module = _helper("sound_server")
    if reason := module.missing():
        pytest.skip(reason)
    pytest.importorskip("sounddevice", exc_type=OSError)
    server = module.SoundServer(tmp_path)
    if not server.start():
        pytest.skip("pulseaudio does not start here")
    yield server
    server.kill()
