import pytest
import torch

from sensorimotor.perception.attention import AttentionLayer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def layer() -> AttentionLayer:
    torch.manual_seed(0)
    return AttentionLayer(16, heads=4).eval()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))


def all_of(tokens):
    return torch.ones(tokens.shape[:2], dtype=torch.bool)


def test_tokens_keep_their_shape_and_their_order_is_no_matter(layer, tokens):
    out = layer(tokens, all_of(tokens))
    assert out.shape == tokens.shape
    assert torch.allclose(layer(tokens.flip(1), all_of(tokens)).flip(1), out, atol=1e-5)
    assert (out[:, 0] - out[:, 1]).abs().max() > 1e-2


def test_every_token_looks_at_all_others(layer, tokens):
    out = layer(tokens, all_of(tokens))
    tokens[:, 4] *= -1
    assert ((layer(tokens, all_of(tokens)) - out).abs().amax(-1) > 1e-4).all()


def test_nobody_looks_at_what_is_masked(layer, tokens):
    mask = all_of(tokens)
    mask[:, 3:] = False
    out = layer(tokens, mask)
    assert torch.allclose(out[:, :3], layer(tokens[:, :3], mask[:, :3]), atol=1e-5)
    tokens[:, 3:] = 1e3
    assert torch.allclose(layer(tokens, mask)[:, :3], out[:, :3], atol=1e-5)


def test_a_row_does_not_depend_on_the_other_rows(layer, tokens):
    out = layer(tokens, all_of(tokens))
    for i in range(3):
        assert torch.allclose(layer(tokens[i : i + 1], all_of(tokens[:1]))[0], out[i], atol=1e-5)


def test_attention_is_softmax_of_scaled_products(layer, tokens):
    """Written out for one head at a time."""
    q, k, v = layer.qkv(layer.norm(tokens)).chunk(3, -1)
    heads = []
    for h in range(4):
        part = slice(4 * h, 4 * h + 4)
        weight = (q[..., part] @ k[..., part].transpose(1, 2) / 2).softmax(-1)
        heads.append(weight @ v[..., part])
    mixed = tokens + layer.mix(torch.cat(heads, -1))
    expected = mixed + layer.narrow(torch.relu(layer.widen(layer.norm_out(mixed))))
    assert torch.allclose(layer(tokens, all_of(tokens)), expected, atol=1e-5)
