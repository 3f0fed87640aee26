import numpy as np
import pytest
import torch

from sensorimotor.perception.modality import State
from sensorimotor.perception.state_encoder import CLAMP_SIGMAS, StateEncoder

pytestmark = pytest.mark.usefixtures("one_thread")


def encoder(size: int = 3, **statistics) -> StateEncoder:
    torch.manual_seed(0)
    return StateEncoder(State(size=size), dim=16, **statistics).eval()


def test_a_state_is_one_token_that_is_always_there():
    tokens, mask = encoder()(torch.randn(4, 3))
    assert StateEncoder.tokens == 1
    assert tokens.shape == (4, 1, 16)
    assert mask.shape == (4, 1)
    assert mask.all()


@pytest.mark.parametrize("others", [[1], [4, 3, 2, 1]])
def test_a_row_does_not_depend_on_the_other_rows(others):
    net, states = encoder(mean=[0, 1, 2], std=[1, 2, 3]), torch.randn(5, 3) * 1e3
    alone, _ = net(states[:1])
    for at in range(len(others) + 1):
        order = [*others[:at], 0, *others[at:]]
        assert torch.allclose(net(states[order])[0][at], alone[0], atol=1e-5)


def test_values_are_normalised_by_the_statistics_of_the_training_data():
    raw, standard = encoder(mean=[100.0, -3.0, 0.0], std=[50.0, 0.1, 1.0]), encoder()
    state = torch.tensor([[150.0, -3.2, 0.5]])
    assert torch.allclose(raw(state)[0], standard(torch.tensor([[1.0, -2.0, 0.5]]))[0], atol=1e-4)


def test_a_value_that_never_changed_in_training_has_no_standard_deviation_and_stays_finite():
    net = encoder(mean=[5.0, 0.0, 0.0], std=[0.0, 1.0, 1.0])
    assert net(torch.tensor([[5.0, 0.0, 0.0], [7.0, 0.0, 0.0]]))[0].isfinite().all()


@pytest.mark.parametrize("far", [1e4, -1e4, 3e38, -3e38])
def test_a_broken_sensor_does_not_swamp_the_policy(far):
    net = encoder(std=[1e-3, 1.0, 1.0])
    clamped = torch.tensor([[CLAMP_SIGMAS * 1e-3 * (1 if far > 0 else -1), 0.5, 0.5]])
    assert torch.allclose(net(torch.tensor([[far, 0.5, 0.5]]))[0], net(clamped)[0], atol=1e-4)


@pytest.mark.parametrize("kind", [list, np.array, lambda values: [int(v) for v in values], lambda v: list(np.array(v))])
def test_statistics_may_be_any_numbers(kind):
    net = encoder(mean=kind([1.0, 2.0, 3.0]), std=kind([1.0, 2.0, 4.0]))
    expected = encoder()(torch.tensor([[1.0, 1.0, 1.0]]))[0]
    tokens, _ = net(torch.tensor([[2.0, 4.0, 7.0]]))
    assert tokens.dtype == torch.float32
    assert torch.allclose(tokens, expected, atol=1e-5)


def test_the_statistics_travel_with_the_weights():
    trained, fresh = encoder(mean=[1.0, 2.0, 3.0], std=[1.0, 2.0, 4.0]), encoder()
    fresh.load_state_dict(trained.state_dict())
    assert fresh.mean.tolist() == [1.0, 2.0, 3.0]
    assert fresh.std.tolist() == [1.0, 2.0, 4.0]
