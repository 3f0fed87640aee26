import gymnasium
import pytest
from gymnasium import spaces

from sensorimotor.errors import UsageError, WorldError
from sensorimotor.pipelines.babyai import BabyAIWorld
from sensorimotor.pipelines.reach import Reach
from sensorimotor.pipelines.worlds import make_world, require_success, succeeded


class Plain(gymnasium.Env):
    observation_space = spaces.Box(0, 1, (2,))
    action_space = spaces.Discrete(2)


@pytest.fixture
def plain():
    gymnasium.register("test/Plain-v0", Plain)
    yield "test/Plain-v0"
    del gymnasium.registry["test/Plain-v0"]


def test_worlds_are_made_by_name_with_options():
    assert isinstance(make_world("BabyAI-GoToObj-v0"), BabyAIWorld)
    world = make_world("sensorimotor/Reach-v0", options={"control_noise": 0.1}).unwrapped
    assert isinstance(world, Reach)
    assert world.control_noise == 0.1


@pytest.mark.parametrize("name", ["Nothing-v0", "sensorimotor/Nothing-v0", "no_such_module:Nothing-v0", "not a name"])
def test_a_world_that_does_not_exist_is_named(name):
    with pytest.raises(WorldError, match=f"the environment '{name}' cannot be made"):
        make_world(name)


def test_an_option_that_a_world_does_not_have_is_refused():
    with pytest.raises(WorldError, match="'sensorimotor/Reach-v0' cannot be made: .*gravity"):
        make_world("sensorimotor/Reach-v0", options={"gravity": 9.81})


def test_observations_without_names_are_refused(plain):
    with pytest.raises(WorldError, match=r"test/Plain-v0 gives Box.*; a policy needs a Dict of named inputs"):
        make_world(plain)


def test_only_babyai_has_missions_to_swap():
    with pytest.raises(UsageError, match="Reach-v0: only missions of BabyAI can be swapped"):
        make_world("sensorimotor/Reach-v0", swap_mission=True)


@pytest.mark.parametrize(
    ("info", "done"),
    [
        ({"success": True}, True),
        ({"is_success": 1.0}, True),
        ({"success": False, "is_success": True}, False),
        ({}, False),
    ],
)
def test_success_has_two_usual_names(info, done):
    assert succeeded(info) is done
    if info:
        require_success("here", info)
    else:
        with pytest.raises(WorldError, match="here does not say in the info of its steps whether it was a success"):
            require_success("here", info)
