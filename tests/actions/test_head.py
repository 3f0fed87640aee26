import pytest
import torch

from sensorimotor.actions.head import DiscreteHead, head_for
from sensorimotor.actions.space import Box, Discrete, MultiBinary
from sensorimotor.errors import SignatureError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_there_is_a_logit_for_every_choice():
    torch.manual_seed(0)
    head = head_for(Discrete(5), dim=8)
    assert isinstance(head, DiscreteHead)
    assert head(torch.randn(3, 8)).shape == (3, 5)


def test_the_temperature_divides_the_logits_and_travels_with_the_weights():
    torch.manual_seed(0)
    head, twin, embedding = DiscreteHead(4, 8), DiscreteHead(4, 8), torch.randn(3, 8)
    uncalibrated = head(embedding)
    head.temperature.fill_(2.5)
    twin.load_state_dict(head.state_dict())
    assert torch.allclose(head(embedding), uncalibrated / 2.5)
    assert torch.equal(twin(embedding), head(embedding))


@pytest.mark.parametrize("space", [Box([0, 0], [1, 1]), MultiBinary(2)])
def test_a_space_without_a_head_is_refused_with_what_can_be_trained(space):
    with pytest.raises(
        SignatureError, match="no head gives actions of .* yet; Discrete is what can be trained"
    ) as caught:
        head_for(space, dim=8)
    assert str(space.space) in str(caught.value)
