import pytest
import torch

from sensorimotor.perception.image_encoder import ImageEncoder
from sensorimotor.perception.modality import Image

pytestmark = pytest.mark.usefixtures("one_thread")


def encoder(dim: int = 16, **size) -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(Image(**size), dim).eval()


def frames(batch: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ({"height": 56, "width": 56}, 49),
        ({"height": 1, "width": 1}, 1),
        ({"height": 8, "width": 9}, 2),
        ({"height": 17, "width": 7, "channels": 1}, 3),
        ({"height": 33, "width": 23, "channels": 4}, 15),
        ({"height": 15, "width": 20, "frames": 3}, 6),
    ],
)
def test_there_is_a_token_for_every_8_by_8_pixels_of_a_frame(size, tokens):
    net = encoder(**size)
    out, mask = net(frames(2, *net.modality.one_frame))
    assert net.tokens == tokens
    assert out.shape == (2, tokens, 16)
    assert out.dtype == torch.float32
    assert mask.shape == (2, tokens)
    assert mask.all()


@pytest.mark.parametrize("others", [[1], [1, 2], [5, 4, 3, 2, 1]])
def test_a_row_does_not_depend_on_the_other_rows(others):
    net, rows = encoder(height=16, width=24), frames(6, 16, 24, 3)
    alone, _ = net(rows[:1])
    for at in range(len(others) + 1):
        order = [*others[:at], 0, *others[at:]]
        assert torch.allclose(net(rows[order])[0][at], alone[0], atol=1e-5)


def test_the_frames_of_a_film_are_encoded_like_single_ones():
    net, one = encoder(height=16, width=24, frames=3), encoder(height=16, width=24)
    film = frames(3, 16, 24, 3)
    assert torch.equal(net(film)[0], one(film)[0])


def test_tokens_lie_row_by_row():
    net = encoder(height=96, width=160)
    image = frames(1, 96, 160, 3)
    changed = image.clone()
    changed[:, 40:48, 120:128] = 255 - changed[:, 40:48, 120:128]
    difference = (net(changed)[0] - net(image)[0]).abs().sum(-1).reshape(12, 20)
    touched = difference.nonzero()
    row, column = divmod(int(difference.argmax()), 20)
    assert abs(row - 5) <= 1
    assert abs(column - 15) <= 1
    assert ((touched - torch.tensor([5, 15])).abs() <= 2).all()
    assert len(touched) == 25


def test_a_token_sees_its_cell_and_two_around_it_and_none_beyond():
    net = encoder(height=96, width=96)
    image = frames(1, 96, 96, 3)
    token = net(image)[0][0, 5 * 12 + 5]
    seen = []
    for column in range(96):
        changed = image.clone()
        changed[:, :, column] = 255 - changed[:, :, column]
        if not torch.allclose(net(changed)[0][0, 5 * 12 + 5], token, atol=1e-6):
            seen.append(column)
    assert seen == list(range(5 * 8 - 16, 5 * 8 + 24))


def test_black_white_and_noise_are_told_apart_and_all_finite():
    net = encoder(height=16, width=16)
    images = frames(3, 16, 16, 3)
    images[0], images[1] = 0, 255
    out, _ = net(images)
    assert out.isfinite().all()
    assert min((out[a] - out[b]).abs().max() for a, b in ((0, 1), (0, 2), (1, 2))) > 1e-3


def test_black_is_minus_one_and_white_is_one_inside():
    net, seen = encoder(height=8, width=8), []
    net.patches.register_forward_pre_hook(lambda _, pixels: seen.append(pixels[0].clone()))
    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    images[1] = 255
    net(images)
    assert torch.equal(seen[0], torch.stack([-torch.ones(3, 8, 8), torch.ones(3, 8, 8)]))


def test_colours_are_told_apart():
    net = encoder(height=16, width=16)
    red, blue = torch.zeros(2, 1, 16, 16, 3, dtype=torch.uint8)
    red[..., 0] = blue[..., 2] = 200
    assert (net(red)[0] - net(blue)[0]).abs().max() > 1e-3


def test_frames_of_another_size_cannot_be_encoded():
    with pytest.raises(RuntimeError):
        encoder(height=16, width=24)(frames(1, 17, 24, 3))
