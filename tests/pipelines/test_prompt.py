"""A policy made of words alone decides what open_clip itself would decide on the same picture."""

import copy
import json
import math
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Picture
from safetensors.torch import save_file

from sensorimotor.errors import EncoderError, OutputPathError, SignatureError, UsageError
from sensorimotor.models.backend import CoreInput
from sensorimotor.models.bundle import CARD, Bundle
from sensorimotor.models.onnx_backend import OnnxBackend
from sensorimotor.models.policy import Policy
from sensorimotor.models.prompted import PromptedNetwork, PromptedSpec, prompted_network
from sensorimotor.models.signature import ActuatorHold, Signature
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.clip import CONFIG, ClipSpec
from sensorimotor.perception.modality import State
from sensorimotor.pipelines.inspect import inspect
from sensorimotor.pipelines.prompt import (
    FEWEST_PICTURES,
    TEMPLATES,
    build_prompted,
    fill,
    parse_actions,
    parse_image,
    prompted_signature,
    synthetic_picture,
    synthetic_pictures,
)

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
ACTIONS = {"wave": "a person waving", "none": ["an empty room", "nobody there"], "point": "a hand that points"}
HEIGHT, WIDTH = 40, 56


def written(folder, seed=0, **changes):
    """A `local-dir:` with a model whose scale is that of a trained one."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.CLIP(**copy.deepcopy(MODEL), **changes)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(100))
    stated = MODEL | {name: value for name, value in changes.items() if name.startswith("init")}
    (folder / CONFIG).write_text(json.dumps({"model_cfg": stated, "preprocess_cfg": {"interpolation": "bilinear"}}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "wave"
    build_prompted(f"open_clip:local-dir:{folder}", ACTIONS, out, camera=(HEIGHT, WIDTH))
    return out


def pictures(height=HEIGHT, width=WIDTH, count=8):
    rng = np.random.default_rng(5)
    return [synthetic_picture(rng, height, width, number) for number in range(count)]


def expected_logits(folder, shown, actions, templates):
    """Zero-shot classification by open_clip alone, written as its README has it."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    with torch.inference_mode():
        seen = model.encode_image(torch.stack([transform(Picture.fromarray(one)) for one in shown]), normalize=True)
        classes = []
        for texts in actions.values():
            several = [texts] if isinstance(texts, str) else texts
            ids = tokenizer([template.format(text) for text in several for template in templates])
            mean = model.encode_text(ids, normalize=True).mean(0)
            classes.append(mean / mean.norm())
        return model.logit_scale.exp() * seen @ torch.stack(classes).T


def eager(folder, actions=ACTIONS, templates=TEMPLATES, camera=(HEIGHT, WIDTH), **options):
    """The same policy before it is exported."""
    signature = prompted_signature(tuple(actions), camera, **options)
    texts = {name: [text] if isinstance(text, str) else text for name, text in actions.items()}
    network = prompted_network(signature, ClipSpec(model=f"local-dir:{folder}"), fill(templates, texts))
    return Policy(signature, TorchBackend(network))


# What it decides


@pytest.mark.parametrize("templates", [TEMPLATES, ["{}"]])
def test_its_probabilities_are_those_of_open_clip_itself(folder, templates):
    policy = eager(folder, templates=templates, camera=(32, 32))
    shown = pictures(32, 32)
    decisions = [policy.act({"camera": one}) for one in shown]
    expected = expected_logits(folder, shown, ACTIONS, templates)
    given = np.stack([decision.parameters for decision in decisions])
    assert np.abs(given - expected.numpy()).max() < 1e-3 < np.ptp(given, axis=1).min()
    probabilities = np.stack([decision.probabilities for decision in decisions])
    assert np.abs(probabilities - expected.softmax(-1).numpy()).max() < 1e-4


def test_exported_they_still_are_for_pictures_that_have_to_be_resized(folder, out):
    policy = Policy.load(out)
    decisions = [policy.act({"camera": one}) for one in pictures()]
    given = np.stack([decision.probabilities for decision in decisions])
    expected = expected_logits(folder, pictures(), ACTIONS, TEMPLATES).softmax(-1).numpy()
    assert np.abs(given - expected).max() < 0.01  # a resized picture may differ by one level
    assert np.median(np.abs(given - expected)) < 1e-5
    assert len({decision.label for decision in decisions}) > 1
    for decision, row in zip(decisions, expected, strict=True):
        assert decision.confidence == pytest.approx(row.max(), abs=0.01)
        assert decision.label == list(ACTIONS)[int(row.argmax())]


def test_logits_have_the_bias_of_models_that_were_trained_with_one(tmp_path):
    """SigLIP: its logits are `scale * similarity + bias`."""
    folder = written(tmp_path / "siglip", init_logit_bias=-10.0)
    actions = {"a": "a red ball", "b": "a blue box"}
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    [picture] = pictures(32, 32, 1)
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(list(actions.values()))
    with torch.inference_mode():
        expected, _ = model.eval().get_logits(transform(Picture.fromarray(picture))[None], ids)
    decision = eager(folder, actions, ["{}"], (32, 32)).act({"camera": picture})
    assert np.allclose(decision.parameters, expected[0], atol=1e-4)


def test_when_the_camera_is_lost_it_holds(out):
    decision = Policy.load(out).act({"camera": pictures()[0]}, ages_s={"camera": 5.0})
    assert decision.held
    assert (decision.executed, decision.label) == (None, "hold")
    assert decision.verdicts[0].reason == "camera is 5 s old, 1 s are allowed"


def test_what_it_does_then_can_be_one_of_its_actions(folder):
    policy = eager(folder, safe="none", rate_hz=5.0)
    assert policy.signature.rate_hz == 5.0
    held = policy.act({"camera": pictures()[0]}, ages_s={"camera": 5.0})
    assert (held.executed, held.label) == (1, "none")


def test_without_a_picture_no_action_is_more_probable_than_another(out):
    backend = OnnxBackend(Bundle.load(out))
    tokens, mask = backend.empty_tokens("camera")
    for value in (tokens, tokens + 1):
        absent = CoreInput([value], [mask], np.zeros((1, 1), bool), np.zeros((1, 1), np.float32), np.zeros((1, 0), "f"))
        parameters, embedding, memory = backend.step(absent)
        assert np.ptp(parameters) == 0
        assert not embedding.any()
        assert memory.shape == (1, 0)


def test_an_action_is_found_in_any_row_of_a_batch(out):
    policy = Policy.load(out)
    alone = [policy.act({"camera": one}).parameters for one in pictures()]
    together = policy.act_batch([{"camera": one} for one in pictures()])
    assert np.allclose([one.parameters for one in together], alone, atol=1e-4)


# The bundle


def test_it_is_a_bundle_like_any_other(folder, out):
    bundle = Bundle.load(out)
    config = bundle.config
    assert bundle.signature.action_space.labels == ("wave", "none", "point")
    assert bundle.signature.inputs["camera"].critical
    assert bundle.signature.safe_action == ActuatorHold()
    assert (bundle.memory_size, config["encoders"]) == (0, {"camera": {"tokens": 1, "dim": 24}})
    parity = config["parity"]
    assert (parity["closed_loop_steps"], parity["subsets"], parity["batches"]) == (1000, 1, [1, 2, 7])
    assert max(parity["max_error"], parity["closed_loop_max_error"]) < parity["tolerance"] == pytest.approx(1e-3)
    report = inspect(str(out), verify=True)
    assert report["golden"]["ok"]
    assert report["golden"]["steps"] == 100
    made = config["provenance"]
    assert made["recipe"]["prompt"]["actions"]["none"] == ["an empty room", "nobody there"]
    assert made["recipe"]["prompt"]["image"] == f"open_clip:local-dir:{folder}"
    assert (made["steps"], made["hours"]) == (0, 0.0)
    assert made["evidence"].startswith("100 synthetic pictures")


def test_its_card_says_that_nothing_was_trained(out):
    text = (out / CARD).read_text()
    assert "Nothing was trained" in text
    assert "| none | an empty room / nobody there |" in text
    assert "How often it is right was never measured" in text
    assert "## Weights of others" in text
    assert "imitation" not in text


def test_an_inspection_says_what_it_compares(folder, out, capsys):
    from sensorimotor.pipelines import console

    console.inspection(inspect(str(out)))
    shown = " ".join(capsys.readouterr().out.split())
    assert "never trained" in shown
    assert f"open_clip:local-dir:{folder}" in shown.replace(" ", "")  # however it is broken into lines
    assert "none an empty room / nobody there" in shown
    assert "recipe" not in shown


def test_only_the_image_tower_travels(out):
    from safetensors.numpy import load_file

    names = set(load_file(out / "model.safetensors"))
    assert {"core.prompts", "core.scale", "core.bias"} < names
    assert not [name for name in names if "token_embedding" in name or "transformer.resblocks" in name[:24]]
    assert all(name.startswith(("core.", "encoders.camera.")) for name in names)


def test_it_is_built_again_from_the_bundle_alone(folder, out, monkeypatch):
    def only_built(spec):
        assert spec.architecture
        return real(spec)

    from sensorimotor.models import prompted

    real = prompted.load_clip
    monkeypatch.setattr(prompted, "load_clip", only_built)
    bundle = Bundle.load(out)
    eager = Policy(bundle.signature, TorchBackend.from_bundle(bundle))
    exported = Policy.load(out)
    for picture in pictures():
        ours, theirs = (policy.act({"camera": picture}).parameters for policy in (eager, exported))
        assert np.allclose(ours, theirs, atol=1e-3)


def test_it_runs_in_a_process_without_torch(out):
    code = (
        "import sys, numpy as np; from sensorimotor import Policy\n"
        f"policy = Policy.load({str(out)!r})\n"
        f"print(policy.act({{'camera': np.zeros(({HEIGHT}, {WIDTH}, 3), np.uint8)}}).label)\n"
        "assert not {'torch', 'open_clip', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ACTIONS


@pytest.mark.parametrize("number", range(4))
def test_synthetic_pictures_are_of_the_cameras_size_and_never_plain(number):
    for height, width in ((3, 5), (40, 56), (120, 33)):
        picture = synthetic_picture(np.random.default_rng(1), height, width, number)
        assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
        again = synthetic_picture(np.random.default_rng(1), height, width, number)
        assert np.array_equal(picture, again)
    assert picture.std() > 5


def test_pictures_leave_no_doubt_and_are_fewer_where_they_are_large(folder, monkeypatch):
    signature = prompted_signature(tuple(ACTIONS), (HEIGHT, WIDTH))
    network = prompted_network(signature, ClipSpec(model=f"local-dir:{folder}"), [["a ball"], ["a box"], ["a key"]])
    policy = Policy(signature, TorchBackend(network))
    for margin in (0.0, 1.0):
        shown = synthetic_pictures(network, margin)
        gaps = [np.ptp(np.sort(policy.act({"camera": one}).parameters)[-2:]) for one in shown]
        assert len(shown) == 100
        assert min(gaps) > margin
    monkeypatch.setattr("sensorimotor.pipelines.prompt.PICTURE_BYTES", 0)
    assert len(synthetic_pictures(network, 0.0)) == FEWEST_PICTURES


# Words of the command line


@pytest.mark.parametrize(
    ("given", "model", "pretrained"),
    [
        ("open_clip:ViT-B-32-256:datacomp_s34b_b86k", "ViT-B-32-256", "datacomp_s34b_b86k"),
        ("open_clip:ViT-B-32:/weights/of mine:2.pt", "ViT-B-32", "/weights/of mine:2.pt"),
        ("open_clip:hf-hub:laion/CLIP-ViT-B-32-256", "hf-hub:laion/CLIP-ViT-B-32-256", None),
        ("open_clip:local-dir:/models/a:b", "local-dir:/models/a:b", None),
    ],
)
def test_models_are_named_as_open_clip_names_them(given, model, pretrained):
    spec = parse_image(given)
    assert spec.model == model
    assert pretrained is None or spec.pretrained == pretrained


@pytest.mark.parametrize(
    "given",
    ["", "open_clip", "open_clip:", "open_clip:ViT-B-32", "open_clip:ViT-B-32:", "open_clip::openai", "clip:A:b",
     "ViT-B-32:openai", "open_clip:hf-hub:", "open_clip:local-dir:", "local-dir:/models"],
)  # fmt: skip
def test_what_names_no_model_is_refused_with_an_example(given):
    with pytest.raises(UsageError, match="open_clip:ViT-B-32-256:datacomp_s34b_b86k"):
        parse_image(given)


def test_actions_come_in_order_and_a_text_may_have_an_equals_sign():
    given = ["wave = a person waving", 'sum=a board with "1 + 1 = 2"', "none=an empty room"]
    parsed = parse_actions(given)
    assert list(parsed) == ["wave", "sum", "none"]
    assert parsed["wave"] == "a person waving"
    assert parsed["sum"] == 'a board with "1 + 1 = 2"'


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["wave"], "'wave' describes no action: write NAME=TEXT"),
        (["=a person", "none=nobody"], "'=a person' describes no action"),
        (["wave=  ", "none=nobody"], "'wave=  ' describes no action"),
        (["wave=a", "none=b", "wave=c"], "the action 'wave' is described twice"),
        (["wave=a person waving"], "nothing to choose between: describe two actions or more, .*not 1"),
        ([], "nothing to choose between: .* not 0"),
    ],
)
def test_actions_that_are_none_are_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        parse_actions(given)


# Bad input


def refused(folder, tmp_path, error, reason, actions=ACTIONS, image=None, **options):
    options = {"camera": (HEIGHT, WIDTH)} | options
    with pytest.raises(error, match=reason):
        build_prompted(image or f"open_clip:local-dir:{folder}", actions, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("actions", "options", "reason"),
    [
        ({"wave": "a person"}, {}, "nothing to choose between: describe two actions or more, .*not 1"),
        ({"a": "a person", "b": []}, {}, "the action 'b' has no text"),
        ({"a": "a person", "b": [" "]}, {}, "the action 'b' has no text"),
        ({"a": "a person", "b": "A person "}, {}, "the actions 'a' and 'b' are described in the same words"),
        (ACTIONS, {"templates": ["a photo"]}, "'a photo' is no template"),
        (ACTIONS, {"templates": ["{} and {}"]}, "is no template"),
        (ACTIONS, {"templates": []}, "without a template"),
        (ACTIONS, {"camera": (0, 64)}, "no camera has frames of 0 x 64 pixels"),
        ({"a": "one two three four five six seven", "b": "x"}, {"templates": ["a b c d e {}"]}, "longer than the 12"),
    ],
)
def test_what_makes_no_policy_is_refused(folder, tmp_path, actions, options, reason):
    refused(folder, tmp_path, UsageError, reason, actions, **options)


def test_a_prompt_of_exactly_the_length_that_is_read_is_read(folder):
    letters = "a b c d e f g h i j"  # ten tokens between begin and end
    eager(folder, {"a": letters, "b": "x"}, ["{}"])
    with pytest.raises(UsageError, match="is longer than the 12 tokens"):
        eager(folder, {"a": letters + " k", "b": "x"}, ["{}"])


def test_templates_are_never_evaluated(folder, tmp_path):
    refused(folder, tmp_path, UsageError, "is no template", templates=["{0.__class__}"])


def test_a_safe_action_is_one_of_the_actions(folder, tmp_path):
    refused(folder, tmp_path, SignatureError, "safe_action 'stop' is not in", safe="stop")


def test_unknown_models_and_tags_are_refused_with_those_that_exist(folder, tmp_path):
    refused(
        folder, tmp_path, EncoderError, r"no model 'ViT-B-23'; did you mean .*ViT-B-32", image="open_clip:ViT-B-23:x"
    )
    refused(folder, tmp_path, EncoderError, "no weights 'x' for ViT-B-32-256; it has", image="open_clip:ViT-B-32-256:x")
    refused(folder, tmp_path, EncoderError, "cannot be loaded", image=f"open_clip:local-dir:{tmp_path / 'nowhere'}")


def test_prompts_that_mean_the_same_to_the_model_are_refused(folder, tmp_path):
    # The tokenizer knows no difference between the two.
    refused(folder, tmp_path, UsageError, "cannot tell the actions apart", {"a": "a red ball", "b": "a  red   ball"})


def test_what_else_is_in_the_directory_stays(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputPathError, match=r"notes\.txt"):
        build_prompted(f"open_clip:local-dir:{folder}", ACTIONS, tmp_path, camera=(HEIGHT, WIDTH))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_only_one_picture_as_a_whole_is_compared(folder, out):
    signature = Bundle.load(out).signature
    chosen = ClipSpec(model=f"local-dir:{folder}")

    def other(inputs, **changes):
        changed = Signature(inputs, signature.action_space, signature.safe_action, 10.0)
        spec = PromptedSpec(encoders={"camera": chosen.model_copy(update=changes)})
        return PromptedNetwork(changed, spec)

    camera = signature.inputs["camera"]
    with pytest.raises(SignatureError, match="the encoder is for camera, not for camera, joints"):
        other({"camera": camera, "joints": State(size=2)})
    for inputs, changes in (
        ({"camera": State(size=2)}, {}),
        ({"camera": camera.model_copy(update={"frames": 2})}, {}),
        ({"camera": camera}, {"tokens": "patches"}),
    ):
        with pytest.raises(SignatureError, match="compared with one picture as a whole"):
            other(inputs, **changes)
