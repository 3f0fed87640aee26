import gymnasium
import numpy as np
import pytest

from sensorimotor.actions.actuator import Command
from sensorimotor.clock import ManualClock
from sensorimotor.errors import ActuatorError
from sensorimotor.pipelines.body import WAITING, Body
from sensorimotor.pipelines.reach import ID
from sensorimotor.pipelines.worlds import make_world

INPUTS = ("camera", "state", "instruction")


def do(action):
    return Command(action, "go", 0, 0, 1, held=False)


@pytest.fixture
def body():
    clock, ended = ManualClock(), []
    made = Body(make_world(ID), INPUTS, clock, seed=7, told=lambda *one: ended.append(one))
    made.clock, made.ended = clock, ended
    return made


def read(body):
    return {name: sensor.read(0.01) for name, sensor in body.sensors.items()}


def test_an_episode_begins_with_what_is_sensed_then(body):
    assert body.over
    assert read(body) == dict.fromkeys(INPUTS)
    body.clock.advance(2.0)
    body.begin()
    sensed = read(body)
    expected, info = make_world(ID).reset(seed=7)
    assert np.array_equal(sensed["camera"].value, expected["camera"])
    assert sensed["instruction"].value == info["mission"]
    assert {one.captured_ns for one in sensed.values()} == {2 * 10**9}


def test_each_action_is_a_step_that_is_sensed(body):
    body.begin()
    before = read(body)["state"].value
    body.send(do(np.array([0.5, 0.0], np.float32)), 0.1)
    after = read(body)["state"]
    assert after.sequence == 1
    assert after.value - before == pytest.approx([0.05, 0.0], abs=1e-6)


def test_a_hold_that_is_left_to_the_device_moves_nothing(body):
    body.begin()
    read(body)
    body.send(do(None), 0.1)
    assert read(body) == dict.fromkeys(INPUTS)


def test_an_episode_that_is_over_is_told_and_the_next_seed_follows(body):
    body.begin()
    world = body._world.unwrapped
    while not body.over:
        body.send(do(world.expert_action()), 0.1)
    assert (body.episodes, body.successes) == (1, 1)
    assert body.ended[0][0] == 7
    assert body.ended[0][2] is True
    body.send(do(np.zeros(2, np.float32)), 0.1)  # between episodes: nothing happens
    body.begin()
    assert body._mission == make_world(ID).reset(seed=8)[1]["mission"]


def test_an_environment_that_raises_is_an_action_that_failed(body):
    body.begin()
    with pytest.raises(ActuatorError, match=r"sensorimotor/Reach-v0 raised WorldError"):
        body.send(do(np.full(2, np.nan)), 0.1)


def test_what_nobody_reads_does_not_pile_up(body):
    body.begin()
    for _ in range(WAITING):
        body.send(do(np.array([0.0, 0.001], np.float32)), 0.1)
        if body.over:
            body.begin()
    for _ in range(5):
        body.begin()
    assert body.sensors["camera"].losses.totals()["overflow"] >= 5


class Reused(gymnasium.Env):
    """An environment that writes all of its observations into the same array."""

    observation_space = gymnasium.spaces.Dict({"state": gymnasium.spaces.Box(0, 100, (1,))})
    action_space = gymnasium.spaces.Discrete(2)
    at = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        self.at[:] = 0
        return {"state": self.at}, {}

    def step(self, action):
        self.at += 1
        return {"state": self.at}, 0.0, False, False, {"success": False}


def test_what_was_sensed_does_not_change_with_the_environment():
    body = Body(Reused(), ("state",), ManualClock())
    body.begin()
    body.send(do(1), 0.1)
    sensor = body.sensors["state"]
    assert [sensor.read(0.01).value.tolist() for _ in range(2)] == [[0.0], [1.0]]
