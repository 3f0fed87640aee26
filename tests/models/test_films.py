"""A whole policy that sees films: exported with encoders of frames, compared, refused where it is of an older kind."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import BundleError
from sensorimotor.models.bound_backend import BoundBackend
from sensorimotor.models.bundle import SINGLE, Bundle, encoder_file, fingerprint_of, seal
from sensorimotor.models.export import export
from sensorimotor.models.golden import verify_golden
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.onnx_backend import OnnxBackend, runtime
from sensorimotor.models.parity import Evidence
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.modality import Image, State

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1},
}
SIGNATURE = Signature(
    {
        "front": Image(height=16, width=24, frames=4),
        "wrist": Image(height=20, width=28, frames=4),
        "joints": State(size=3),
    },
    Discrete(3, ("wait", "go", "turn")),
    Constant("wait"),
    10.0,
)
SPEC = {
    "dim": 32,
    "image_dim": 16,
    "encoders": {
        "wrist": {
            "kind": "open_clip",
            "tokens": "patches",
            "architecture": {"model_cfg": CLIP, "preprocess_cfg": {"size": 32}},
        }
    },
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return Network(SIGNATURE, NetworkSpec.model_validate(copy.deepcopy(SPEC))).eval()


@pytest.fixture(scope="module")
def evidence():
    """Episodes of 25 steps as buffers give them, over and over."""
    rng, steps = np.random.default_rng(0), []
    for _ in range(2):
        buffers = Buffers(SIGNATURE.inputs)
        for step in range(25):
            buffers.feed("front", rng.integers(0, 256, (16, 24, 3), np.uint8), step / 10)
            buffers.feed("wrist", rng.integers(0, 256, (20, 28, 3), np.uint8), step / 10)
            buffers.feed("joints", rng.standard_normal(3).astype(np.float32), step / 10)
            steps.append(buffers.observe(step / 10))
    return Evidence(steps * 20, [i % 25 == 0 for i in range(1000)])


@pytest.fixture(scope="module")
def bundle(network, evidence, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "watcher"
    made = {"recipe": {"name": "watcher"}, "steps": 1, "hours": 0.0, "machine": {"cores": 1, "processor": "one"}}
    stated = {"name": "watcher", "description": "Watches.", "metrics": {"held_out": {}}, "provenance": made}
    export(network, evidence, out, stated, single_file=True)
    return out


def test_it_passes_the_gate_in_every_subset_and_as_a_single_file(bundle):
    parity = Bundle.load(bundle).config["parity"]
    for report in (parity, parity["single_file"]):
        assert (report["subsets"], report["batches"], report["closed_loop_steps"]) == (7, [1, 2, 7], 1000)
        assert max(report["max_error"], report["closed_loop_max_error"]) < report["tolerance"]


def test_its_manifest_says_that_frames_are_encoded_one_by_one(bundle):
    config = Bundle.load(bundle).config
    assert config["format"] == 2
    assert config["encoders"] == {
        "front": {"tokens": 24, "dim": 16, "frames": 4},
        "wrist": {"tokens": 64, "dim": 32, "frames": 4},
        "joints": {"tokens": 1, "dim": 64},
    }


def test_its_encoders_take_frames_and_the_single_file_takes_films(bundle):
    def shapes(file):
        session = runtime().InferenceSession(str(bundle / file), providers=["CPUExecutionProvider"])
        return {one.name: one.shape[1:] for one in session.get_inputs()}

    assert shapes(encoder_file("front")) == {"front": [16, 24, 3]}
    assert shapes(encoder_file("wrist")) == {"wrist": [20, 28, 3]}
    merged = shapes(SINGLE)
    assert (merged["front"], merged["wrist"]) == ([4, 16, 24, 3], [4, 20, 28, 3])


def test_its_golden_set_holds_films_and_is_reproduced(bundle):
    loaded = Bundle.load(bundle)
    report = verify_golden(loaded, Policy.load(bundle))
    assert report["ok"]
    assert report["steps"] == 100


@pytest.mark.parametrize("kind", ["onnx", "torch", "weights of the bundle"])
def test_in_a_stream_every_frame_is_encoded_once_and_decisions_are_those_of_whole_films(
    bundle, network, evidence, kind
):
    loaded = Bundle.load(bundle)
    make = {
        "onnx": lambda: OnnxBackend(loaded),
        "torch": lambda: TorchBackend(network),
        "weights of the bundle": lambda: TorchBackend.from_bundle(loaded),
    }[kind]
    backend, rows, given = make(), {"front": 0, "wrist": 0, "joints": 0}, []
    encode, step = backend.encode, backend.step

    def counted(name, values):
        rows[name] += len(values[0])
        return encode(name, values)

    def noted(inputs):
        given[:] = inputs.tokens, inputs.masks
        return step(inputs)

    backend.encode, backend.step = counted, noted
    policy = Policy(SIGNATURE, backend)
    for sensed in evidence.steps[:25]:
        policy.act(sensed.observation, ages_s=sensed.ages_s)
        for i, name in enumerate(("front", "wrist")):
            whole = np.concatenate(encode(name, [sensed.observation[name]])[0])
            assert given[0][i][0] == pytest.approx(whole, abs=1e-5)
            assert given[1][i].shape == (1, len(whole))
    assert rows == {"front": 25, "wrist": 25, "joints": 25}


def test_films_whose_tokens_stay_on_the_device_are_decided_as_those_on_the_host(bundle, evidence):
    loaded = Bundle.load(bundle)
    here, there = Policy(SIGNATURE, OnnxBackend(loaded)), Policy(SIGNATURE, BoundBackend(loaded))
    for one, other in zip(evidence.steps[:25], evidence.steps[25:50], strict=True):
        rows = [one.observation, other.observation]
        for ours, theirs in zip(*(policy.act_batch(rows) for policy in (here, there)), strict=True):
            assert ours.parameters == pytest.approx(theirs.parameters, abs=1e-5)


@pytest.fixture
def forged(bundle, tmp_path):
    """A copy of the bundle whose configuration is changed, its fingerprint fitting."""

    def forge(change):
        copied = shutil.copytree(bundle, tmp_path / "forged")
        config = json.loads((copied / "config.json").read_text())
        change(config)
        config["fingerprint"] = fingerprint_of(config)
        (copied / "config.json").write_text(json.dumps(config))
        return copied

    return forge


def test_a_bundle_whose_encoders_take_whole_films_is_refused_with_a_remedy(forged):
    path = forged(lambda config: config.update(format=1))
    with pytest.raises(BundleError, match="format 1, whose encoder of 'front' takes whole films.*export it again"):
        Bundle.load(path)


@pytest.mark.parametrize("frames", [None, 1, 3, "4", 4.5])
def test_a_manifest_that_counts_other_frames_is_refused(forged, frames):
    def change(config):
        if frames is None:
            del config["encoders"]["front"]["frames"]
        else:
            config["encoders"]["front"]["frames"] = frames

    with pytest.raises(BundleError, match="no valid memory_size and encoders"):
        Bundle.load(forged(change))


def test_sealing_it_again_keeps_its_format(forged):
    path = forged(lambda config: config.update(note="more"))
    assert seal(path, json.loads((path / "config.json").read_text()))["format"] == 2
