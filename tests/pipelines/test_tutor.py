import math

import pytest
import torch

from sensorimotor.models.network import NetworkSpec
from sensorimotor.perception.tokenizer import BEGIN, PAD, Tokenizer
from sensorimotor.pipelines.tutor import BLANK, Tutor

pytestmark = pytest.mark.usefixtures("one_thread")
TOKENIZER = Tokenizer.train(["go to the red ball"], 6)


@pytest.fixture
def tutor():
    torch.manual_seed(0)
    return Tutor(NetworkSpec(dim=16, audio_dim=8), TOKENIZER)


def certain(tutor, logits):
    """Make the tutor's reader say these logits, whatever it is shown."""
    with torch.no_grad():
        tutor.reader.weight.zero_()
        tutor.reader.bias.copy_(logits.flatten())


def words_of(*texts):
    return torch.stack([torch.from_numpy(TOKENIZER.encode(text)) for text in texts])


def test_every_place_of_an_instruction_is_read_as_a_word(tutor):
    assert tutor.read(torch.zeros(3, 16)).shape == (3, 6, TOKENIZER.size)


def test_reading_is_judged_by_all_words_of_an_instruction_together(tutor):
    certain(tutor, torch.zeros(6, TOKENIZER.size))
    words = words_of("go to the ball", "go")
    assert tutor.misread(torch.zeros(2, 16), words).item() == pytest.approx(6 * math.log(TOKENIZER.size), rel=1e-5)


def test_an_instruction_is_understood_only_if_every_word_is(tutor):
    words = words_of("go to the ball")
    certain(tutor, 20 * torch.nn.functional.one_hot(words[0], TOKENIZER.size).float())
    both = words_of("go to the ball", "go to the red")
    assert tutor.understood(torch.zeros(2, 16), both).tolist() == [True, False]
    assert tutor.misread(torch.zeros(1, 16), words).item() == pytest.approx(0, abs=1e-4)
    assert tutor.misread(torch.zeros(2, 16), both).item() > 5


def test_padding_is_never_said_so_it_can_be_the_blank():
    assert BLANK == PAD


def test_a_word_counts_as_spelt_wherever_along_the_sound_it_is_and_only_in_order(tutor):
    with torch.no_grad():  # tokens say directly which word they are
        tutor.speller.weight.copy_(torch.eye(TOKENIZER.size, 8) * 30)
        tutor.speller.bias.zero_()
    assert TOKENIZER.size <= 8
    words = words_of("go to")
    go, to = words[0, 1:3].tolist()

    def loss(*said):
        tokens = torch.nn.functional.one_hot(torch.tensor([said]), 8).float()
        return tutor.misspelt(tokens, torch.ones(1, len(said), dtype=torch.bool), words).item()

    for right in ((go, to), (BLANK, go, BLANK, to), (go, go, BLANK, to, to), (go, to, BLANK, BLANK)):
        assert loss(*right) == pytest.approx(0, abs=1e-3)
    for wrong in ((to, go), (go, BLANK, BLANK), (go, to, go), (BEGIN, go, to)):
        assert loss(*wrong) > 10


def test_what_lies_behind_an_utterance_is_not_listened_to(tutor):
    tokens, words = torch.randn(2, 8, 8), words_of("go to", "go")
    mask = torch.arange(8)[None] < torch.tensor([[5], [3]])
    expected = tutor.misspelt(tokens, mask, words)
    tokens[0, 5:], tokens[1, 3:] = 100, -100
    assert tutor.misspelt(tokens, mask, words).item() == pytest.approx(expected.item())
    assert expected > 0


def test_too_short_an_utterance_for_its_words_is_passed_over(tutor):
    tokens = torch.randn(1, 8, 8, requires_grad=True)
    loss = tutor.misspelt(tokens, torch.arange(8)[None] < 1, words_of("go to the red ball"))
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(tokens.grad).all()


def test_without_rows_there_is_nothing_wrong_and_nothing_breaks(tutor):
    assert tutor.misread(torch.zeros(0, 16), words_of("go")[:0]).item() == 0


def test_losses_are_computed_in_full_precision(tutor):
    summary, words = torch.randn(2, 16), words_of("go", "to")
    full = tutor.misread(summary.bfloat16().float(), words)
    assert tutor.misread(summary.bfloat16(), words).item() == full.item()
