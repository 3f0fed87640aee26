import pytest
import torch

from sensorimotor.perception.modality import Text
from sensorimotor.perception.text_encoder import TextEncoder
from sensorimotor.perception.tokenizer import BEGIN, PAD, Tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 10


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(Text(max_tokens=6), WORDS, dim=16, heads=4).eval()


def ids(*rows: list[int], n: int = 6) -> torch.Tensor:
    return torch.tensor([[BEGIN, *row] + [PAD] * (n - 1 - len(row)) for row in rows])


def test_every_word_has_a_token_and_padding_is_masked(encoder):
    tokens, mask = encoder(ids([3, 4], [], [3, 4, 5, 6, 7]))
    assert encoder.tokens == 6
    assert tokens.shape == (3, 6, 16)
    assert tokens.isfinite().all()
    assert mask.sum(1).tolist() == [3, 1, 6]
    assert mask[0].tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("others", [[[]], [[3, 4, 5, 6, 7]], [[9], [8, 8], [], [7, 6, 5, 4, 3]]])
def test_a_row_does_not_depend_on_the_other_rows(encoder, others):
    alone, _ = encoder(ids([3, 4]))
    for at in range(len(others) + 1):
        rows = [*others[:at], [3, 4], *others[at:]]
        assert torch.allclose(encoder(ids(*rows))[0][at], alone[0], atol=1e-5)


def test_the_amount_of_padding_changes_nothing(encoder):
    short, padded = encoder(ids([3, 4], n=3))[0], encoder(ids([3, 4]))[0]
    assert torch.allclose(short, padded[:, :3], atol=1e-5)


def test_a_word_is_read_in_the_light_of_the_others_and_of_their_order(encoder):
    tokens, _ = encoder(ids([3, 4], [3, 5], [4, 3]))
    first_word = tokens[:, 1]
    assert (first_word[0] - first_word[1]).abs().max() > 1e-3
    assert (tokens[0, :3].mean(0) - tokens[2, :3].mean(0)).abs().max() > 1e-3


def test_whatever_a_tokenizer_gives_can_be_encoded():
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["go to the red ball"], max_tokens=6)
    net = TextEncoder(Text(max_tokens=6), tokenizer.size, dim=16).eval()
    for text in ("", "go", "zebra \0 ☃", "go " * 50):
        tokens, mask = net(torch.from_numpy(tokenizer.encode(text))[None])
        assert tokens.isfinite().all()
        assert mask[0, 0]


def test_an_id_beyond_the_vocabulary_is_an_error(encoder):
    with pytest.raises(IndexError):
        encoder(ids([WORDS]))
