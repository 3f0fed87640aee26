import copy
import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import ExportError, ParityError
from sensorimotor.models import export as module
from sensorimotor.models.backends import backend_for
from sensorimotor.models.bound_backend import BoundBackend
from sensorimotor.models.bundle import CARD, CORE, Bundle, encoder_file, half_file
from sensorimotor.models.execution import Execution
from sensorimotor.models.export import HALF_TOLERANCE, export
from sensorimotor.models.golden import verify_golden
from sensorimotor.models.half import AttentionInHalf, InHalf, halved
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.parity import Evidence
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.architectures import known_architecture, stand_in_tokenizer
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.modality import Audio, Image, State, Text

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
CLIP_SPEC = {
    "kind": "open_clip",
    "tokens": "patches",
    "architecture": {"model_cfg": CLIP, "preprocess_cfg": {"size": 32}},
}
WHISPER = {
    "n_mels": 80, "n_audio_ctx": 100, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 2,
    "n_vocab": 51865, "n_text_ctx": 4, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1,
}  # fmt: skip
BERT = known_architecture(LanguageSpec()) | {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 200,
}  # fmt: skip
INPUTS = {
    "camera": Image(height=40, width=56),
    "mic": Audio(seconds=0.5),
    "instruction": Text(max_tokens=10),
    "joints": State(size=3),
}
SPECS = {
    "camera": CLIP_SPEC,
    "mic": {"kind": "whisper", "architecture": WHISPER},
    "instruction": {"kind": "transformers", "architecture": BERT},
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    spec = NetworkSpec.model_validate({"dim": 32, "encoders": copy.deepcopy(SPECS)})
    words = stand_in_tokenizer(LanguageSpec(architecture=BERT), 10)
    signature = Signature(INPUTS, Discrete(3, ("wait", "go", "turn")), Constant("wait"), 10.0)
    return Network(signature, spec, words).eval()


@pytest.fixture(scope="module")
def evidence():
    rng = np.random.default_rng(0)
    shown = [
        {
            "camera": rng.integers(0, 256, (40, 56, 3)).astype(np.uint8),
            "mic": (0.3 * rng.standard_normal((8000, 1))).clip(-1, 1).astype(np.float32),
            "instruction": " ".join(["word"] * int(rng.integers(1, 8))),
            "joints": rng.standard_normal(3).astype(np.float32),
        }
        for _ in range(20)
    ]
    steps = [Sensed(shown[step % 20], {}, {}) for step in range(1000)]
    return Evidence(steps, [step % 20 == 0 for step in range(1000)])


STATED = {
    "name": "halved",
    "description": "Two precisions.",
    "metrics": {"held_out": {}},
    "provenance": {
        "recipe": {"name": "halved"},
        "steps": 1,
        "hours": 0.0,
        "machine": {"cores": 1, "processor": "a processor"},
    },
}


@pytest.fixture(scope="module")
def bundle(network, evidence, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "halved"
    export(network, evidence, out, STATED, precision="fp16")
    return Bundle.load(out)


def test_attention_in_half_precision_is_the_layers_own_but_for_rounding():
    torch.manual_seed(0)
    rows = torch.randn(2, 5, 16)
    causal = torch.full((5, 5), -torch.inf).triu(1)
    for batch_first in (True, False):
        x = rows if batch_first else rows.transpose(0, 1)
        for mask in (None, causal):
            layer = nn.MultiheadAttention(16, 4, batch_first=batch_first).eval()
            half = AttentionInHalf(copy.deepcopy(layer))
            expected = layer(x, x, x, need_weights=False, attn_mask=mask)[0]
            found, weights = half(x, x, x, need_weights=False, attn_mask=mask)
            assert weights is None
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
            assert not torch.equal(found, expected)


@pytest.mark.parametrize("name", SPECS)
def test_a_tower_multiplies_in_half_precision_and_nothing_else_of_it_does(network, name):
    encoder = network.encoders[name]
    half = halved(encoder)
    layers = [layer for layer in half.modules() if isinstance(layer, InHalf)]
    assert len(layers) >= 8
    kept = {key: value.dtype for key, value in half.state_dict().items() if ".layer." not in f".{key}"}
    assert torch.float16 not in kept.values()
    assert all(value.dtype == torch.float16 for layer in layers for value in layer.layer.parameters())
    norms = [one for one in half.modules() if isinstance(one, nn.LayerNorm)]
    assert norms
    assert all(one.weight.dtype == torch.float32 for one in norms)
    assert all(value.dtype != torch.float16 for value in encoder.state_dict().values())  # it is a copy


@pytest.mark.parametrize("name", SPECS)
def test_its_tokens_are_those_of_full_precision_but_for_rounding(bundle, evidence, name):
    policies = [Policy.load(bundle.path, execution=Execution(precision=one)) for one in ("fp32", "fp16")]
    value = evidence.steps[3].observation[name]
    full, half = (np.asarray(policy.encode(name, value, 0).tokens) for policy in policies)
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.05
    flat = full.ravel() @ half.ravel() / np.linalg.norm(full) / np.linalg.norm(half)
    assert flat > 0.9999


def test_the_bundle_has_both_and_says_how_far_they_are_apart(bundle):
    for name in SPECS:
        assert {encoder_file(name), half_file(name)} <= set(bundle.config["files"])
        assert bundle.graph(name, "fp16").name == half_file(name)
    assert half_file("joints") not in bundle.config["files"]
    assert bundle.graph("joints", "fp16").name == encoder_file("joints")
    report = bundle.config["parity"]["fp16"]
    assert (report["subsets"], report["tolerance"]) == (15, HALF_TOLERANCE)
    assert bundle.config["parity"]["max_error"] < report["max_error"] < HALF_TOLERANCE
    assert bundle.config["format"] == 1  # who does not know of them reads the rest as before


def test_its_card_says_so_too(bundle):
    assert "With encoders in half precision (`fp16`) the differences are" in bundle.file(CARD).read_text()


def test_half_of_the_weights_bytes_are_gone_and_the_core_is_as_it_was(bundle):
    def kinds(file):
        return {one.data_type for one in onnx.load(bundle.file(file)).graph.initializer}

    assert onnx.TensorProto.FLOAT16 in kinds(half_file("camera"))
    assert onnx.TensorProto.FLOAT16 not in kinds(encoder_file("camera")) | kinds(CORE)


@pytest.mark.parametrize("make", [backend_for, BoundBackend])
def test_the_golden_set_is_reproduced_in_half_precision_within_its_own_tolerance(bundle, make):
    backend = make(bundle, Execution(precision="fp16"))
    report = verify_golden(bundle, Policy(bundle.signature, backend, bundle.tokenizer()), "fp16")
    assert report["ok"]
    assert report["tolerance"] == HALF_TOLERANCE
    assert report["max_error"] > bundle.config["parity"]["tolerance"] / 100


def test_over_tolerance_nothing_is_exported(network, evidence, tmp_path, monkeypatch):
    def upside_down(encoder):
        changed = halved(encoder)
        for layer in changed.modules():
            if isinstance(layer, InHalf):
                layer.layer.weight.data *= -1
        return changed

    monkeypatch.setattr(module, "halved", upside_down)
    with pytest.raises(ParityError, match="nothing was exported"):
        export(network, evidence, tmp_path / "out", STATED, precision="fp16")
    assert not (tmp_path / "out").exists()


def test_a_network_without_pretrained_encoders_has_nothing_to_halve(tmp_path, evidence):
    small = Network(Signature({"joints": State(size=3)}, Discrete(2, ("a", "b")), Constant("a"), 10.0), NetworkSpec())
    with pytest.raises(ExportError, match="no pretrained encoder.*export in fp32"):
        export(small, evidence, tmp_path / "out", STATED, precision="fp16")
    assert not (tmp_path / "out").exists()


def test_the_command_says_so_before_anything_is_compared(sensorimotor, trained, tmp_path):
    done = sensorimotor("export", trained.path, "--out", tmp_path / "out", "--precision", "fp16", "--json")
    assert done.returncode == 1
    assert "no pretrained encoder" in done.stderr
    assert not (tmp_path / "out").exists()
    assert not done.stdout or json.loads(done.stdout)
