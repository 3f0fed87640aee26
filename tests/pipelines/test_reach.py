"""Reach has a known answer: who sees, feels and reads always succeeds, and who does not read succeeds by chance."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sensorimotor.errors import MissingExtraError, WorldError
from sensorimotor.models.signature import Signature
from sensorimotor.pipelines.reach import (
    APART_M,
    CAMERA_PIXELS,
    CLEAR_M,
    COLOURS,
    DISC_M,
    EDGE_M,
    FLOOR,
    HAND,
    ID,
    MAX_SPEED,
    MAX_STEPS,
    PHRASES,
    RATE_HZ,
    REACH_M,
    RENDER_PIXELS,
    RING_M,
    Reach,
    pixel,
)

MADE = f"sensorimotor.pipelines.reach:{ID}"


def play(world, act):
    """The episode that was begun: how it ended, and how many steps it took."""
    for step in range(1, 1 + MAX_STEPS):
        *_, terminated, truncated, info = world.step(act(world))
        if terminated or truncated:
            return info | {"terminated": terminated, "steps": step}
    raise AssertionError("it never ends")


# The answer


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_expert_always_succeeds_in_time(noise):
    world = Reach(control_noise=noise)
    for seed in range(200):
        world.reset(seed=seed)
        played = play(world, Reach.expert_action)
        assert played["success"]
        assert played["steps"] < MAX_STEPS


def test_who_does_not_read_succeeds_in_one_of_three():
    world, rng = Reach(), np.random.default_rng(0)
    successes = 0
    for seed in range(300):
        world.reset(seed=seed)
        colour = str(rng.choice(sorted(world.discs)))
        played = play(world, lambda world, colour=colour: world.expert_action(colour))
        assert played["terminated"]
        assert played["touched"] == colour  # never another one on the way
        assert played["success"] == (colour == world.target)
        successes += played["success"]
    assert abs(successes / 300 - 1 / 3) < 0.07  # 2.6 standard deviations


def test_neither_place_nor_colour_gives_the_target_away():
    world = Reach()
    nearest, first, colours = 0, 0, dict.fromkeys(COLOURS, 0)
    for seed in range(450):
        world.reset(seed=seed)
        away = {colour: np.linalg.norm(middle - world.hand) for colour, middle in world.discs.items()}
        nearest += min(away, key=away.get) == world.target
        first += next(iter(world.discs)) == world.target
        colours[world.target] += 1
    assert abs(nearest / 450 - 1 / 3) < 0.06
    assert abs(first / 450 - 1 / 3) < 0.06
    assert all(abs(count / 450 - 1 / 6) < 0.05 for count in colours.values())


def test_a_hand_that_does_not_move_runs_out_of_time():
    world = Reach()
    world.reset(seed=0)
    played = play(world, lambda _: np.zeros(2))
    assert (played["steps"], played["terminated"], played["success"], played["touched"]) == (60, False, False, None)


def test_touching_the_right_disc_is_worth_one_and_a_wrong_one_nothing():
    for right in (True, False):
        world = Reach()
        world.reset(seed=1)
        colour = world.target if right else next(one for one in world.discs if one != world.target)
        world.hand = world.discs[colour] + [REACH_M + 0.01, 0]
        _, reward, terminated, truncated, info = world.step([-0.2, 0])
        assert (reward, terminated, truncated) == (float(right), True, False)
        assert info == {"success": right, "touched": colour}


def test_a_disc_is_touched_on_the_way_too():
    world = Reach()
    world.reset(seed=1)
    world.hand = world.discs[world.target] + [0.024, 0.035]
    *_, info = world.step([-0.5, 0])  # from 4.2 cm on one side to 4.4 cm on the other
    assert info["success"]


# The arena


def test_the_straight_way_to_every_disc_is_free():
    world = Reach()
    for seed in range(100):
        world.reset(seed=seed)
        middles = list(world.discs.values())
        assert len(middles) == 3
        for i, end in enumerate(middles):
            assert EDGE_M <= end.min() < end.max() <= 1 - EDGE_M
            way = world.hand + np.linspace(0, 1, 200)[:, None] * (end - world.hand)
            for other in middles[:i] + middles[i + 1 :]:
                assert np.linalg.norm(way - other, axis=1).min() >= CLEAR_M
                assert np.linalg.norm(end - other) >= APART_M
            assert np.linalg.norm(end - world.hand) >= APART_M


@pytest.mark.parametrize("side", [CAMERA_PIXELS, RENDER_PIXELS])
def test_the_picture_has_each_disc_at_its_place_in_its_colour(side):
    world = Reach()
    for seed in range(10):
        observation, _ = world.reset(seed=seed)
        picture = observation["camera"] if side == CAMERA_PIXELS else world.render()
        assert (picture.shape, picture.dtype) == ((side, side, 3), np.uint8)
        for colour, middle in world.discs.items():
            column, row = pixel(middle, side).round().astype(int)
            assert tuple(picture[row, column]) == COLOURS[colour]
            is_disc = (picture == COLOURS[colour]).all(-1)
            rows, columns = is_disc.nonzero()
            assert np.allclose([columns.mean(), rows.mean()], pixel(middle, side), atol=0.5)
            assert is_disc.sum() / side**2 == pytest.approx(np.pi * DISC_M**2, rel=0.35)  # without its soft edge
        column, row = pixel(world.hand, side).round().astype(int)
        assert tuple(picture[row, column]) == FLOOR  # a ring is open
        column, row = pixel(world.hand + [RING_M, 0], side).round().astype(int)
        assert picture[row, column].min() > 100
        assert picture.max() <= max(HAND)


def test_up_is_up_and_right_is_right():
    world = Reach()
    world.reset(seed=0)
    world.hand = np.array([0.5, 0.5])
    world.discs = {"red": np.array([0.9, 0.8])}
    picture = world.render()
    rows, columns = (picture == COLOURS["red"]).all(-1).nonzero()
    assert rows.mean() < RENDER_PIXELS / 2 < columns.mean()


def test_the_hand_moves_by_its_velocity_and_stays_inside():
    world = Reach()
    world.reset(seed=2)
    world.hand = np.array([0.02, 0.5])
    world.discs = {"red": np.array([0.9, 0.9])}
    observation, *_ = world.step([0.3, -0.2])
    assert np.allclose(observation["state"], [0.05, 0.48])
    observation, *_ = world.step([-9.0, 9.0])  # faster than it can
    assert np.allclose(observation["state"], [0.0, 0.48 + MAX_SPEED / RATE_HZ])


def test_noise_disturbs_what_is_done_and_not_what_is_shown_to_be_right():
    calm, shaken = Reach(), Reach(control_noise=0.2)
    for world in (calm, shaken):
        world.reset(seed=4)
    assert np.array_equal(calm.expert_action(), shaken.expert_action())
    asked = calm.expert_action()
    calm.step(asked)
    shaken.step(asked)
    assert 0 < np.linalg.norm(calm.hand - shaken.hand) < 0.1
    corrected = shaken.expert_action()
    towards = shaken.discs[shaken.target] - shaken.hand
    assert np.allclose(corrected / np.linalg.norm(corrected), towards / np.linalg.norm(towards), atol=1e-5)


def test_the_expert_is_within_limits_and_slows_down():
    world = Reach()
    world.reset(seed=5)
    far = world.expert_action()
    assert world.action_space.contains(far)
    assert np.abs(far).max() == pytest.approx(MAX_SPEED)
    world.hand = world.discs[world.target] + [0.05, 0]
    assert 0 < np.linalg.norm(world.expert_action()) < MAX_SPEED / 2


# As an environment


def test_gymnasium_finds_it_and_has_no_complaint():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(MADE).unwrapped)
        check_env(gymnasium.make(ID, control_noise=0.1, render_mode="rgb_array").unwrapped)


def test_the_same_seed_is_the_same_episode():
    def films(noise):
        for _ in range(2):
            world = Reach(control_noise=noise)
            first, info = world.reset(seed=7)
            frames = [first["camera"]]
            for _ in range(5):
                observation, *_ = world.step(world.expert_action())
                frames.append(observation["camera"])
            yield info["mission"], np.stack(frames)

    for noise in (0.0, 0.1):
        (mission, frames), (again, same) = films(noise)
        assert mission == again
        assert np.array_equal(frames, same)
    other, info = Reach().reset(seed=8)
    assert not np.array_equal(other["camera"], frames[0])


def test_the_mission_is_what_is_read_and_it_is_said_in_several_ways():
    world = Reach()
    missions = set()
    for seed in range(200):
        observation, info = world.reset(seed=seed)
        assert observation["instruction"] == info["mission"] == world.mission
        assert [colour for colour in COLOURS if colour in world.mission.split()] == [world.target]
        missions.add(world.mission)
    assert missions == {phrase.format(colour) for phrase in PHRASES for colour in COLOURS}


def test_its_signature_is_that_of_its_spaces_with_names_and_units():
    world = Reach()
    for horizon in (1, 8):
        stated = Reach.signature(horizon)
        assert Signature.from_json(stated.to_json()) == stated
        assert stated.horizon == horizon
        assert stated.action_space.space == world.action_space
        observation, _ = world.reset(seed=0)
        assert set(stated.check(observation)) == {"camera", "state", "instruction"}
    assert stated.action_space.describe([0.25, 0]) == "x 0.25 m/s, y 0 m/s"


# Wrong use


@pytest.mark.parametrize("action", [[0.1], [0.1, np.nan], [np.inf, 0], np.zeros((1, 2))])
def test_what_is_no_velocity_is_refused_and_changes_nothing(action):
    world = Reach()
    world.reset(seed=0)
    before = world.hand.copy()
    with pytest.raises(WorldError, match="two finite velocities"):
        world.step(action)
    assert np.array_equal(world.hand, before)


def test_an_episode_that_is_over_or_has_not_begun_takes_no_steps():
    world = Reach()
    with pytest.raises(WorldError, match=r"call reset\(\) first"):
        world.step([0, 0])
    with pytest.raises(WorldError, match="no named disc here; there are none"):
        world.expert_action()
    world.reset(seed=0)
    play(world, Reach.expert_action)
    with pytest.raises(WorldError, match=r"call reset\(\) first"):
        world.step([0, 0])


@pytest.mark.parametrize("noise", [-0.1, np.nan, np.inf])
def test_noise_is_a_speed(noise):
    with pytest.raises(WorldError, match="control_noise is a speed"):
        Reach(control_noise=noise)


def test_unknown_colours_and_render_modes_are_refused():
    with pytest.raises(WorldError, match="no render mode 'human'; it has rgb_array"):
        Reach(render_mode="human")
    world = Reach()
    world.reset(seed=0)
    with pytest.raises(WorldError, match="no mauve disc here; there are "):
        world.expert_action("mauve")


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"sensorimotor\[data\]"):
        Reach().reset(seed=0)


def test_importing_it_loads_no_library_that_draws_or_learns():
    code = "import sys, sensorimotor.pipelines.reach; print(sorted({'cv2', 'torch', 'minigrid'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
