import numpy as np
import pytest
import torch
from gymnasium import spaces

from sensorimotor.actions.head import BoxHead, DiscreteHead, MultiBinaryHead, head_for
from sensorimotor.actions.space import ActionSpace, Box, Discrete, MultiBinary
from sensorimotor.errors import SignatureError

pytestmark = pytest.mark.usefixtures("one_thread")
ARM = Box([-1, 0], [1, 10], ("turn", "lift"), ("rad", "cm"))


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


def test_the_loss_of_a_choice_is_its_cross_entropy_and_can_be_weighted():
    head, logits, actions = head_for(Discrete(3), 8), torch.zeros(4, 3), torch.tensor([0, 0, 0, 2])
    assert head.loss(logits, actions).item() == pytest.approx(np.log(3))
    logits[:, 0] = 2.0
    even = head.loss(logits, actions, torch.tensor([1 / 3, 1.0, 1.0]))
    assert even > head.loss(logits, actions)  # what is rare counts as much as what is frequent


def test_there_is_a_logit_for_every_switch_and_each_is_judged_alone():
    head = head_for(MultiBinary(3), 8)
    assert isinstance(head, MultiBinaryHead)
    assert head(torch.randn(2, 8)).shape == (2, 3)
    logits, actions = torch.tensor([[20.0, -20.0, 0.0]]), torch.tensor([[1, 0, 1]])
    assert head.loss(logits, actions).item() == pytest.approx(np.log(2) / 3, rel=1e-4)


def test_a_plan_is_in_the_units_of_the_space_and_within_its_limits_when_it_acts():
    torch.manual_seed(0)
    head = head_for(ARM, dim=8, horizon=5, statistics=([0.0, 5.0], [0.5, 2.0]))
    assert isinstance(head, BoxHead)
    plan = head.eval()(100 * torch.randn(50, 8))
    assert plan.shape == (50, 5, 2)
    assert all(ARM.space.contains(action) for action in plan.detach().numpy().reshape(-1, 2))
    torch.nn.init.zeros_(head.layers[-1].weight)
    torch.nn.init.zeros_(head.layers[-1].bias)
    assert torch.equal(head(torch.randn(1, 8))[0, 0], torch.tensor([0.0, 5.0]))


def test_beyond_a_limit_there_is_still_a_way_back_while_it_learns():
    torch.manual_seed(0)
    head = head_for(ARM, dim=8, horizon=1)
    torch.nn.init.constant_(head.layers[-1].bias, 100.0)
    loss = head.train().loss(head(torch.randn(4, 8)), torch.zeros(4, 1, 2))
    loss.backward()
    assert head.layers[-1].bias.grad.abs().min() > 0


def test_the_loss_of_a_plan_is_in_standard_deviations_and_ends_with_the_episode():
    head = head_for(ARM, dim=8, horizon=2, statistics=([0.0, 0.0], [0.5, 2.0]))
    plan, actions = torch.zeros(1, 2, 2), torch.tensor([[[0.5, 2.0], [50.0, 50.0]]])
    assert head.loss(plan, actions, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(1.0)
    assert head.loss(plan, actions[:, :1].expand(1, 2, 2)).item() == pytest.approx(1.0)


def test_a_dimension_that_never_changes_is_no_division_by_zero():
    head = head_for(ARM, dim=8, statistics=([0.2, 5.0], [0.0, 1.0]))
    assert head(torch.randn(2, 8)).isfinite().all()


def test_without_statistics_it_begins_in_the_middle_of_its_limits():
    head = head_for(ARM, dim=8)
    assert head.mean.tolist() == [0.0, 5.0]
    assert head.std.tolist() == [0.5, 2.5]


# Bad input


def test_a_space_without_limits_is_refused_by_the_names_of_its_dimensions():
    endless = ActionSpace(spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, 1.0])), ("turn", "lift"))
    with pytest.raises(SignatureError, match="no limits for lift: actions are clamped, so state finite ones"):
        head_for(endless, dim=8)


@pytest.mark.parametrize("statistics", [([0.0, np.nan], [1.0, 1.0]), ([0.0, 0.0], [1.0, np.inf])])
def test_statistics_that_are_no_numbers_are_refused(statistics):
    with pytest.raises(SignatureError, match="standard deviation of lift is no finite number"):
        head_for(ARM, dim=8, statistics=statistics)


@pytest.mark.parametrize("space", [Discrete(3), MultiBinary(2)])
def test_choices_are_not_planned(space):
    with pytest.raises(SignatureError, match="plans of 4 actions are for Box"):
        head_for(space, dim=8, horizon=4)
