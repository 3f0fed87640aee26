"""An expert acts, and what it saw and did is in the recording; episodes that it fails are not."""

import signal
from contextlib import suppress

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from sensorimotor.errors import DataError, WorldError
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot import LeRobotSource
from sensorimotor.pipelines.reach import Reach
from sensorimotor.pipelines.record import features_of, record_expert, recorded_names
from sensorimotor.pipelines.worlds import make_world

REACH = "sensorimotor/Reach-v0"


class Count(gymnasium.Env):
    """Counts to three; with an odd seed, its expert gives up first."""

    observation_space = spaces.Dict({"count": spaces.Box(0, 9, (1,), np.float32)})
    action_space = spaces.Discrete(2)

    def __init__(self, fails="odd", interrupted=None):
        self._fails, self._interrupted = fails, interrupted

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed == self._interrupted:
            with suppress(KeyboardInterrupt):  # as some libraries do
                signal.raise_signal(signal.SIGINT)
        self._count, self._gives_up = 0, self._fails == "always" or bool(seed % 2)
        return self._seen(), {}

    def _seen(self):
        return {"count": np.array([self._count], np.float32)}

    def expert_action(self):
        return 0 if self._gives_up else 1

    def step(self, action):
        self._count += 1
        over = self._count == 3 or not action
        return self._seen(), 0.0, over, False, {"success": bool(action)}


class Mute(Count):
    expert_action = None


class Strange(Count):
    action_space = spaces.MultiDiscrete([2, 2])


@pytest.fixture(autouse=True)
def worlds():
    for kind in (Count, Mute, Strange):
        gymnasium.register(f"test/{kind.__name__}-v0", kind)
    yield
    for kind in (Count, Mute, Strange):
        del gymnasium.registry[f"test/{kind.__name__}-v0"]


def read(source, index, name):
    track = source.episode(index).track(name)
    return track.read(range(len(track.times_s)))


def test_what_the_expert_saw_and_did_is_kept_step_by_step(tmp_path):
    told = []
    done = record_expert(REACH, tmp_path / "demos", 2, seed=5, progress=told.append)
    source = LeRobotSource(tmp_path / "demos")
    assert (done.episodes, done.kept, done.failed, done.recovered) == (2, 2, 0, None)
    assert done.steps == sum(len(source.episode(i).times_s) for i in range(2))
    assert told == [1, 1]
    world = Reach()
    for index in range(2):
        shown, info = world.reset(seed=5 + index)
        assert read(source, index, "task") == [info["mission"]]
        pairs = zip(read(source, index, "observation.state"), read(source, index, "action"), strict=True)
        for state, action in pairs:
            assert np.allclose(state, shown["state"])
            assert np.allclose(action, world.expert_action())
            shown, *_, info = world.step(world.expert_action())
        assert info["success"]


def test_features_have_the_names_of_lerobot_and_the_units_of_the_world():
    world = make_world(REACH)
    assert recorded_names(world) == {"camera": "observation.images.camera", "state": "observation.state"}
    features = features_of(world)
    assert features["action"] == Feature("vector", (2,), ("x", "y"), ("m/s", "m/s"))
    assert features["observation.images.camera"].kind == "image"
    assert features_of(make_world("test/Count-v0")) == {
        "observation.count": Feature("vector", (1,)),
        "action": Feature("choice"),
    }


def test_a_recording_goes_on_where_it_ended(tmp_path):
    record_expert(REACH, tmp_path / "demos", 1)
    done = record_expert(REACH, tmp_path / "demos", 1)
    assert (done.episodes, done.kept) == (2, 1)
    source = LeRobotSource(tmp_path / "demos")
    starts = [read(source, index, "observation.state")[0] for index in range(2)]
    for seed, start in enumerate(starts):
        assert np.allclose(start, Reach().reset(seed=seed)[0]["state"])


def test_options_make_the_world(tmp_path):
    record_expert(REACH, tmp_path / "calm", 1, seed=3)
    record_expert(REACH, tmp_path / "shaken", 1, seed=3, options={"control_noise": 0.2})
    one, other = (read(LeRobotSource(tmp_path / name), 0, "observation.state") for name in ("calm", "shaken"))
    assert np.allclose(one[0], other[0])
    assert not np.allclose(one[3], other[3])


def test_episodes_that_the_expert_fails_are_not_kept(tmp_path):
    done = record_expert("test/Count-v0", tmp_path / "demos", 3)
    assert (done.kept, done.failed, done.steps) == (3, 2, 9)
    source = LeRobotSource(tmp_path / "demos")
    assert [read(source, index, "action") for index in range(3)] == [[1, 1, 1]] * 3
    assert read(source, 0, "task") == ["test/Count-v0"]  # nothing says what it is about


def test_an_expert_that_always_fails_is_not_waited_for(tmp_path):
    with pytest.raises(WorldError, match="the expert of test/Count-v0 failed ten times in a row, last with seed 9"):
        record_expert("test/Count-v0", tmp_path / "demos", 1, options={"fails": "always"})


def test_a_world_without_an_expert_is_told_what_it_lacks(tmp_path):
    with pytest.raises(WorldError, match=r"test/Mute-v0 has no expert: give its class a method expert_action\(\)"):
        record_expert("test/Mute-v0", tmp_path / "demos", 1)
    assert not (tmp_path / "demos").exists()


def test_actions_that_cannot_be_recorded_are_refused(tmp_path):
    with pytest.raises(
        WorldError, match=r"test/Strange-v0 acts in MultiDiscrete.*; vectors and choices can be recorded"
    ):
        record_expert("test/Strange-v0", tmp_path / "demos", 1)


def test_another_world_does_not_continue_a_recording(tmp_path):
    record_expert(REACH, tmp_path / "demos", 1)
    with pytest.raises(DataError):
        record_expert("test/Count-v0", tmp_path / "demos", 1)
    assert len(LeRobotSource(tmp_path / "demos")) == 1


def test_an_interrupt_ends_a_recording_even_where_a_library_clears_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        record_expert("test/Count-v0", tmp_path / "demos", 10, options={"interrupted": 4})
    assert len(LeRobotSource(tmp_path / "demos")) == 2  # those with seeds 0 and 2
