"""Every kind of pretrained encoder in a whole policy: exported, compared, and run again without its source."""

import copy
import json
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
import transformers
import whisper
from safetensors.torch import load_file, save_file

from sensorimotor.actions.space import Box
from sensorimotor.errors import EncoderError, LicenceWarning, SignatureError
from sensorimotor.models.bundle import CARD, WEIGHTS, Bundle
from sensorimotor.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sensorimotor.models.export import export, without_adapters
from sensorimotor.models.network import Network, NetworkSpec
from sensorimotor.models.parity import Evidence
from sensorimotor.models.policy import Policy
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.modality import Audio, Image, State, Text

pytestmark = pytest.mark.usefixtures("one_thread")

CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
WHISPER = {
    "n_mels": 80, "n_audio_ctx": 100, "n_audio_state": 16, "n_audio_head": 2, "n_audio_layer": 2,
    "n_vocab": 51865, "n_text_ctx": 4, "n_text_state": 16, "n_text_head": 2, "n_text_layer": 1,
}  # fmt: skip
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lift", "lower", "the", "arm", "a", "little", "slowly"]
SIGNATURE = Signature(
    {
        "camera": Image(height=48, width=64),
        "mic": Audio(seconds=0.5, channels=2),
        "instruction": Text(max_tokens=10),
        "joints": State(size=3),
    },
    Box([-1, -2], [1, 2], ("lift", "turn"), ("m", "rad")),
    Constant([0, 0]),
    10.0,
    horizon=4,
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Checkpoints in the formats of their own libraries: folder or file of each."""
    home = tmp_path_factory.mktemp("sources")
    torch.manual_seed(0)
    (home / "clip").mkdir()
    (home / "clip" / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": {}}))
    (home / "clip" / "README.md").write_text("---\nlicense: mit\n---\n# A small model\n")
    model = open_clip.CLIP(**copy.deepcopy(CLIP))
    save_file(model.state_dict(), home / "clip" / "open_clip_model.safetensors")
    dims = whisper.model.ModelDimensions(**WHISPER)
    torch.save({"dims": WHISPER, "model_state_dict": whisper.model.Whisper(dims).state_dict()}, home / "whisper.pt")
    (home / "bert").mkdir()
    (home / "bert" / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizer(str(home / "bert" / "vocab.txt")).save_pretrained(home / "bert")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=20, **sizes)
    transformers.BertModel(config).save_pretrained(home / "bert")
    return home


@pytest.fixture(scope="module")
def spec(sources):
    return NetworkSpec.model_validate(
        {
            "dim": 32,
            "encoders": {
                "camera": {"kind": "open_clip", "model": f"local-dir:{sources / 'clip'}", "tokens": "patches"},
                "mic": {"kind": "whisper", "model": str(sources / "whisper.pt"), "training": "trained"},
                "instruction": {"kind": "transformers", "model": str(sources / "bert")},
            },
        }
    )


@pytest.fixture(scope="module")
def network(spec):
    torch.manual_seed(1)
    return Network(SIGNATURE, spec).eval()


def observation(step):
    rng = np.random.default_rng(step)
    return {
        "camera": rng.integers(0, 256, (48, 64, 3)).astype(np.uint8),
        "mic": (0.3 * rng.standard_normal((8000, 2))).clip(-1, 1).astype(np.float32),
        "instruction": "lift the arm slowly" if step % 20 < 10 else "lower the arm a little",
        "joints": rng.standard_normal(3).astype(np.float32),
    }


def exported(network, out):
    shown = [observation(step) for step in range(40)]
    steps = [Sensed(shown[step % 40], {}, {}) for step in range(1000)]
    starts = [step % 40 == 0 for step in range(1000)]
    made = {"recipe": {"name": "arm"}, "steps": 1, "hours": 0.0, "machine": {"cores": 1, "processor": "a processor"}}
    stated = {"name": "arm", "description": "Lifts.", "metrics": {"held_out": {}}, "provenance": made}
    export(network, Evidence(steps, starts), out, stated)
    return out


@pytest.fixture(scope="module")
def bundle(network, tmp_path_factory):
    return exported(network, tmp_path_factory.mktemp("bundles") / "arm")


def test_a_whole_policy_passes_the_gate_in_every_subset_and_batch(bundle):
    parity = Bundle.load(bundle).config["parity"]
    assert (parity["subsets"], parity["batches"]) == (15, [1, 2, 7])
    assert parity["max_error"] < parity["tolerance"]


def test_a_policy_that_gazes_and_does_not_remember_passes_it_too(spec, tmp_path):
    torch.manual_seed(1)
    gazing = Network(SIGNATURE, spec.model_copy(update={"gaze": True, "memory": False})).eval()
    bundle = Bundle.load(exported(gazing, tmp_path / "arm"))
    assert bundle.memory_size == 0
    assert bundle.config["parity"]["max_error"] < bundle.config["parity"]["tolerance"]


def test_it_plans_within_its_limits_and_says_how_old_the_plan_is(bundle):
    decision = Policy.load(bundle).act(observation(3))
    assert decision.parameters.shape == (4, 2)
    assert SIGNATURE.action_space.space.contains(decision.selected)
    assert np.array_equal(decision.selected, decision.parameters[0])
    assert decision.plan_age_s == 0.0
    assert decision.label.startswith("lift ")
    assert json.loads(json.dumps(decision.to_json()))["confidence"] is None


def test_it_runs_in_a_process_without_torch(bundle):
    code = (
        "import sys, numpy as np; from sensorimotor import Policy\n"
        f"policy = Policy.load({str(bundle)!r})\n"
        "print(policy.act({'instruction': 'lift the arm', 'joints': np.zeros(3)}).selected.tolist())\n"
        "assert not {'torch', 'open_clip', 'transformers', 'whisper'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)) == 2


def test_what_is_frozen_does_not_learn_and_the_rest_does(spec):
    torch.manual_seed(1)
    network = Network(SIGNATURE, spec).train()
    learns = {name: any(p.requires_grad for p in encoder.parameters()) for name, encoder in network.encoders.items()}
    assert learns == {"camera": False, "mic": True, "instruction": False, "joints": True}
    modes = {name: encoder.training for name, encoder in network.encoders.items()}
    assert modes == {"camera": False, "mic": True, "instruction": False, "joints": True}


def test_a_checkpoint_and_a_bundle_need_nothing_else(network, bundle, tmp_path, monkeypatch):
    """Neither hub nor files: what was loaded once is built again from what is written down."""
    save_checkpoint(tmp_path / "checkpoint.safetensors", Checkpoint(network, 1, {}))
    for loader in ("load_clip", "load_whisper", "load_language"):
        real = getattr(sys.modules["sensorimotor.models.encoders"], loader)

        def only_built(spec, real=real):
            assert spec.architecture
            return real(spec)

        monkeypatch.setattr(f"sensorimotor.models.encoders.{loader}", only_built)
    again = load_checkpoint(tmp_path).network
    shown = observation(5)
    expected = Policy(SIGNATURE, TorchBackend(network), network.tokenizer).act(shown).parameters
    for backend in (TorchBackend(again), TorchBackend.from_bundle(Bundle.load(bundle))):
        assert np.allclose(Policy(SIGNATURE, backend, network.tokenizer).act(shown).parameters, expected, atol=1e-6)


def test_an_encoder_that_does_not_fit_its_input_is_refused_by_name(spec):
    def changed(**encoders):
        return spec.model_copy(update={"encoders": {**spec.encoders, **encoders}})

    with pytest.raises(SignatureError, match=r"input 'joints': an encoder of whisper is none for a state"):
        Network(SIGNATURE, changed(joints=spec.encoders["mic"]))
    with pytest.raises(SignatureError, match=r"stated for 'hand', which is none of the inputs camera, mic"):
        Network(SIGNATURE, changed(hand=spec.encoders["mic"]))
    missing = spec.encoders["camera"].model_copy(update={"model": "local-dir:/nowhere"})
    with pytest.raises(EncoderError, match="input 'camera': local-dir:/nowhere cannot be loaded"):
        Network(SIGNATURE, changed(camera=missing))


def test_texts_that_are_read_differently_cannot_share_a_network(spec, sources):
    inputs = SIGNATURE.inputs | {"caption": Text(max_tokens=10)}
    signature = Signature(inputs, SIGNATURE.action_space, SIGNATURE.safe_action, 10.0)
    other = {"kind": "open_clip", "model": f"local-dir:{sources / 'clip'}"}
    both = NetworkSpec.model_validate(
        {**spec.model_dump(), "encoders": {**spec.model_dump()["encoders"], "caption": other}}
    )
    with pytest.raises(SignatureError, match="read with one tokenizer"):
        Network(signature, both)


def test_texts_of_different_lengths_share_a_tokenizer_of_the_longest(spec):
    inputs = SIGNATURE.inputs | {"caption": Text(max_tokens=6)}
    signature = Signature(inputs, SIGNATURE.action_space, SIGNATURE.safe_action, 10.0)
    reads = {"instruction": spec.encoders["instruction"], "caption": spec.encoders["instruction"]}
    network = Network(signature, spec.model_copy(update={"encoders": {**spec.encoders, **reads}}))
    assert network.tokenizer.max_tokens == 10


def test_a_bundle_says_whose_weights_it_began_with(bundle):
    loaded = Bundle.load(bundle)
    assert loaded.config["weights"] == [
        {"input": "camera", "weights": "clip", "source": "a local folder", "licence": "mit", "training": "frozen"},
        {"input": "mic", "weights": "whisper.pt", "source": "a local file", "licence": "not stated",
         "training": "trained"},
        {"input": "instruction", "weights": "bert", "source": "a local folder", "licence": "not stated",
         "training": "frozen"},
    ]  # fmt: skip
    assert "| camera | clip | a local folder | mit | frozen |" in loaded.file(CARD).read_text()


def adapted(spec, **changes):
    """The specification with every encoder adapted."""
    changes = {"training": "lora", "lora_rank": 2, **changes}
    encoders = {name: encoder.model_copy(update=changes) for name, encoder in spec.encoders.items()}
    return spec.model_copy(update={"encoders": encoders})


def planned(network, shown):
    return Policy(SIGNATURE, TorchBackend(network), network.tokenizer).act(shown).parameters


def outputs(network, shown):
    """What every encoder and the head give, for one observation in a batch of one."""
    values = {
        "camera": [torch.from_numpy(shown["camera"])[None]],
        "mic": [torch.from_numpy(shown["mic"])[None], torch.tensor([8000])],
        "instruction": [torch.from_numpy(network.tokenizer.encode(shown["instruction"]))[None]],
        "joints": [torch.from_numpy(shown["joints"])[None]],
    }
    tokens, masks = zip(*(network.encoders[name](*value) for name, value in values.items()), strict=True)
    present, age = torch.ones(1, 4, dtype=torch.bool), torch.zeros(1, 4)
    return network.core(tokens, masks, present, age, network.initial_memory(1))[0]


@pytest.fixture(scope="module")
def learnt(spec):
    """A network with adapters in all pretrained encoders that has taken some steps towards one plan, and its start."""
    torch.manual_seed(1)
    network = Network(SIGNATURE, adapted(spec))
    before = copy.deepcopy(network.state_dict())
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.01)
    losses = []
    for _ in range(5):
        network.train()
        loss = (outputs(network, observation(3)) - 0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        planned(network, observation(3))  # it is judged in between, as in a run
    assert losses[-1] < losses[0]
    return network.eval(), before


def test_adapters_learn_in_every_encoder_and_the_weights_beside_them_stay(learnt):
    network, before = learnt
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    for name in ("camera", "mic", "instruction"):
        mine = {key for key in moved if key.startswith(f"encoders.{name}.")}
        assert mine
        assert all(".lora_" in key for key in mine)
    assert any(key.startswith("core.") for key in moved)
    learning = {name for name, encoder in network.encoders.items() if next(encoder.parameters()).requires_grad}
    assert learning == {"joints"}


def test_a_checkpoint_with_adapters_goes_on_exactly_where_it_was(learnt, tmp_path):
    network, _ = learnt
    save_checkpoint(tmp_path / "checkpoint.safetensors", Checkpoint(network, 5, {}))
    again = load_checkpoint(tmp_path).network
    mine, theirs = network.state_dict(), again.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    shown = observation(7)
    assert np.array_equal(planned(again, shown), planned(network, shown))
    names = [[name for name, one in which.named_parameters() if one.requires_grad] for which in (network, again)]
    assert names[0] == names[1]  # an optimiser's state goes by their order


def test_an_export_merges_adapters_and_leaves_the_network_as_it_was(learnt, tmp_path):
    network, _ = learnt
    before = copy.deepcopy(network.state_dict())
    bundle = Bundle.load(exported(network, tmp_path / "arm"))  # past the gate: graphs against network with adapters
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [one.training for one in network.spec.encoders.values()] == ["lora"] * 3
    weights = load_file(bundle.file(WEIGHTS))
    assert [name for name in weights if "lora" in name or "base_layer" in name] == []
    assert bundle.config["parameters"] < sum(parameter.numel() for parameter in network.parameters())
    assert {one["training"] for one in bundle.config["network"]["encoders"].values()} == {"trained"}
    assert [one["training"] for one in bundle.config["weights"]] == ["lora"] * 3
    shown = observation(7)
    reference = TorchBackend.from_bundle(bundle).network
    assert np.allclose(planned(reference, shown), planned(network, shown), atol=1e-5)
    plan = Policy.load(bundle.path).act(shown).parameters
    assert np.allclose(plan, planned(network, shown), atol=1e-4)


def test_a_network_without_adapters_is_exported_as_it_is(network):
    assert without_adapters(network) is network


def test_weights_for_research_only_warn_at_export(spec, tmp_path, monkeypatch):
    origin = {"weights": "MobileCLIP2-S0", "source": "https://example.org", "licence": "apple-amlr"}
    camera = type(spec.encoders["camera"]).model_validate({**spec.encoders["camera"].model_dump(), "origin": origin})
    network = Network(SIGNATURE, spec.model_copy(update={"encoders": {**spec.encoders, "camera": camera}}))
    monkeypatch.setattr("sensorimotor.models.export.write_graphs", lambda network, out: 1 / 0)
    with pytest.warns(LicenceWarning, match="'camera': the weights MobileCLIP2-S0"), pytest.raises(ZeroDivisionError):
        exported(network, tmp_path / "arm")
