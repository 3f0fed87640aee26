"""Against open_clip's own transforms and Pillow, from raw bytes."""

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image as Picture

from sensorimotor.perception.modality import Image
from sensorimotor.perception.preprocessing import Preprocess, Preprocessing
from sensorimotor.perception.resize import Resize

pytestmark = pytest.mark.usefixtures("one_thread")


def frame(height, width, channels=3, seed=0):
    """Noise over a gradient with hard edges: everything that a filter can get wrong."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, channels))
    slope[height // 3 : height // 2, width // 4 : width // 2] = 255
    return np.clip(slope + rng.normal(0, 60, slope.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("source", "target"),
    [((480, 640), (224, 298)), ((120, 160), (256, 341)), ((53, 97), (64, 31)), ((64, 64), (64, 32)), ((7, 9), (1, 1))],
)
def test_a_picture_is_resized_as_pillow_resizes_it(name, source, target):
    picture = frame(*source)
    filtered = {"bilinear": Picture.BILINEAR, "bicubic": Picture.BICUBIC}[name]
    expected = np.asarray(Picture.fromarray(picture).resize(target[::-1], filtered)).astype(int)
    levels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    got = Resize(source, target, name)(levels)[0].permute(1, 2, 0).numpy()
    assert np.abs(got - expected).max() <= 1
    assert (got == expected).mean() > 0.99


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(480, 640, 224), (640, 480, 256), (97, 131, 32), (32, 32, 32), (20, 31, 64), (120, 160, (64, 96))],
)
def test_what_a_model_is_shown_is_what_open_clip_would_show_it(height, width, size, mode, interpolation):
    how = Preprocessing(size=size, resize_mode=mode, interpolation=interpolation, fill_color=7, mean=(0.5, 0.4, 0.3))
    transform = image_transform(
        size, False, how.mean, how.std, resize_mode=mode, interpolation=interpolation, fill_color=7
    )
    picture = frame(height, width)
    expected = transform(Picture.fromarray(picture)).numpy()
    got = Preprocess(Image(height=height, width=width), how)(torch.from_numpy(picture)[None])[0].numpy()
    assert got.shape == expected.shape
    scale = np.array(how.std).reshape(3, 1, 1)
    assert (np.abs(got - expected) * scale).max() <= 1 / 255 + 1e-5


def test_grey_frames_are_shown_in_three_equal_channels_and_a_fourth_is_left_out():
    grey, colour = frame(40, 60, 1), frame(40, 60, 4)
    how = Preprocessing(size=32)
    as_grey = Preprocess(Image(height=40, width=60, channels=1), how)(torch.from_numpy(grey)[None])
    as_three = Preprocess(Image(height=40, width=60), how)(torch.from_numpy(np.repeat(grey, 3, 2))[None])
    assert torch.equal(as_grey, as_three)
    with_alpha = Preprocess(Image(height=40, width=60, channels=4), how)(torch.from_numpy(colour)[None])
    without = Preprocess(Image(height=40, width=60), how)(torch.from_numpy(colour[..., :3].copy())[None])
    assert torch.equal(with_alpha, without)


def test_rows_do_not_influence_each_other():
    pictures = torch.from_numpy(np.stack([frame(40, 60, seed=seed) for seed in range(3)]))
    net = Preprocess(Image(height=40, width=60), Preprocessing(size=32))
    together = net(pictures)
    for row in range(3):
        assert torch.allclose(net(pictures[row : row + 1])[0], together[row], atol=1e-6)
