"""Checkpoints in the formats of open_clip, made here and loaded as a user would."""

import copy
import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Picture
from safetensors.torch import save_file

from sensorimotor.errors import EncoderError, UnreachableError
from sensorimotor.perception.clip import CONFIG, ClipSpec, build_clip, load_clip
from sensorimotor.perception.clip_encoder import ClipImageEncoder
from sensorimotor.perception.modality import Image

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SHOWN = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}
CAMERA = Image(height=48, width=64)
POOLED, PATCHES = ClipSpec(), ClipSpec(tokens="patches")


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(0)
    return open_clip.CLIP(**copy.deepcopy(MODEL)).eval()


@pytest.fixture
def folder(tmp_path, original):
    """A `local-dir:` as the hub has it."""
    (tmp_path / CONFIG).write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": SHOWN}))
    save_file(original.state_dict(), tmp_path / "open_clip_model.safetensors")
    return tmp_path


@pytest.fixture
def builtin(tmp_path, monkeypatch):
    """A model that open_clip knows by name."""
    (tmp_path / "tiny-test-clip.json").write_text(json.dumps(MODEL))
    open_clip.add_model_config(tmp_path / "tiny-test-clip.json")
    return "tiny-test-clip"


def frames(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3)).astype(np.uint8)


def test_from_raw_bytes_comes_what_open_clip_makes_of_the_same_picture(folder):
    encoder = ClipImageEncoder(CAMERA, load_clip(ClipSpec(model=f"local-dir:{folder}")), POOLED)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    pictures = frames()
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(Picture.fromarray(one)) for one in pictures]))
        tokens, mask = encoder(torch.from_numpy(pictures))
    assert tokens.shape == (3, 1, 24)
    assert mask.all()
    assert torch.allclose(tokens[:, 0], expected, atol=0.02)  # a picture may differ by one level
    together = torch.nn.functional.cosine_similarity(tokens[:, 0], expected)
    assert together.min() > 0.9999


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_builtin_model_takes_its_weights_from_a_file(tmp_path, original, builtin, suffix):
    path = tmp_path / f"weights{suffix}"
    save_file(original.state_dict(), path) if suffix == ".safetensors" else torch.save(original.state_dict(), path)
    clip = load_clip(ClipSpec(model=builtin, pretrained=str(path)))
    for name, weight in original.state_dict().items():
        assert torch.equal(clip.model.state_dict()[name], weight)


def test_patches_are_one_token_each_in_the_width_of_the_tower(folder):
    encoder = ClipImageEncoder(CAMERA, load_clip(ClipSpec(model=f"local-dir:{folder}")), PATCHES)
    assert (encoder.tokens, encoder.dim) == (16, 32)
    pictures = frames(1)
    changed = pictures.copy()
    changed[:, :12, :16] = 255  # the first patch
    with torch.inference_mode():
        before, after = (encoder(torch.from_numpy(one))[0][0] for one in (pictures, changed))
    moved = (before - after).norm(dim=1)
    assert moved.argmax() == 0


def test_the_frames_of_a_film_are_encoded_like_single_ones(folder):
    clip = load_clip(ClipSpec(model=f"local-dir:{folder}"))
    film = ClipImageEncoder(Image(height=48, width=64, frames=3), clip, POOLED)
    pictures = torch.from_numpy(frames())
    with torch.inference_mode():
        assert torch.equal(film(pictures)[0], ClipImageEncoder(CAMERA, clip, POOLED)(pictures)[0])
    assert film.tokens == 1


def test_it_is_built_again_from_its_architecture_alone(folder):
    encoder = ClipImageEncoder(CAMERA, load_clip(ClipSpec(model=f"local-dir:{folder}")), POOLED)
    again = ClipImageEncoder(CAMERA, build_clip(json.loads(json.dumps(encoder.architecture))), POOLED)
    again.load_state_dict(encoder.state_dict())
    pictures = torch.from_numpy(frames())
    with torch.inference_mode():
        assert torch.equal(again(pictures)[0], encoder(pictures)[0])


# Bad input


def test_weights_that_are_not_all_there_are_refused_by_name(folder, original):
    weights = original.state_dict()
    del weights["visual.ln_post.weight"]
    save_file(weights, folder / "open_clip_model.safetensors")
    with pytest.raises(EncoderError, match=r"do not fit its architecture: .*visual\.ln_post\.weight"):
        load_clip(ClipSpec(model=f"local-dir:{folder}"))


def test_weights_of_another_architecture_are_refused(folder):
    other = MODEL | {"embed_dim": 20}
    (folder / CONFIG).write_text(json.dumps({"model_cfg": other, "preprocess_cfg": SHOWN}))
    with pytest.raises(EncoderError, match="do not fit its architecture"):
        load_clip(ClipSpec(model=f"local-dir:{folder}"))


def test_a_folder_without_weights_is_never_a_model_with_random_ones(folder):
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_clip(ClipSpec(model=f"local-dir:{folder}"))


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_damaged_weights_are_refused(folder, damage):
    path = folder / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if damage == "cut" else b"not weights")
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_clip(ClipSpec(model=f"local-dir:{folder}"))


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path, builtin):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    path = tmp_path / "weights.pt"
    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_clip(ClipSpec(model=builtin, pretrained=str(path)))


def test_an_unknown_name_is_refused_with_the_nearest_ones():
    with pytest.raises(EncoderError, match=r"no model 'ViT-B-23'; did you mean .*ViT-B-32"):
        load_clip(ClipSpec(model="ViT-B-23"))


def test_an_unknown_tag_is_refused_with_those_that_exist():
    with pytest.raises(EncoderError, match=r"no weights 'mine' for ViT-B-32-256; it has datacomp_s34b_b86k"):
        load_clip(ClipSpec(pretrained="mine"))


def test_a_hub_that_cannot_be_reached_is_no_dead_end(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("open_clip.factory.download_pretrained", unreachable)
    monkeypatch.setattr("open_clip.factory._get_hf_config", unreachable)
    for model in ("ViT-B-32-256", "hf-hub:somebody/something"):
        with pytest.raises(UnreachableError, match=rf"cannot be downloaded .*{CONFIG}.*local-dir:FOLDER"):
            load_clip(ClipSpec(model=model))
