import numpy as np
import pytest

from sensorimotor.pipelines.babyai import ACTIONS, Gaze, make_level
from sensorimotor.pipelines.considerate import DONE, FORWARD, LEFT, RIGHT, ConsiderateGuide, Pose
from sensorimotor.pipelines.expert import play_expert

LOCAL, SEEDS = "BabyAI-GoToLocal-v0", range(40)


def played(considerate):
    """(first object correct, success, steps) of the expert on the same rooms."""
    game, results = make_level(LOCAL), []
    for seed in SEEDS:
        game.reset(seed=seed)
        gaze = Gaze(game)
        lesson = play_expert(game, considerate=considerate, after_step=gaze.look)
        results.append((gaze.first_object_correct is True, lesson.success, len(lesson.advice)))
    return np.array(results).T


def guided(game):
    """The actions of the guide alone, until it arrives or knows no more."""
    guide, actions = ConsiderateGuide(game), []
    while (action := guide.suggest()) not in (DONE, None) and len(actions) < 40:
        actions.append(action)
        game.step(action)
    return actions, action


def test_it_turns_to_the_right_object_first_far_more_often_than_the_bot_and_takes_hardly_longer():
    first, success, steps = played(considerate=True)
    bots_first, bots_success, bots_steps = played(considerate=False)
    assert success.all()
    assert bots_success.all()
    assert first.mean() >= 0.9
    assert first.mean() >= bots_first.mean() + 0.2
    assert steps.mean() <= 1.3 * bots_steps.mean()


def test_actions_are_minigrids():
    assert [ACTIONS[action] for action in (LEFT, RIGHT, FORWARD, DONE)] == ["left", "right", "forward", "done"]


@pytest.mark.parametrize(
    ("direction", "front", "right_of_it"), [(0, (4, 3), 1), (1, (3, 4), 2), (2, (2, 3), 3), (3, (3, 2), 0)]
)
def test_poses_turn_and_face_as_minigrid_does(room, direction, front, right_of_it):
    pose = Pose(3, 3, direction)
    game = room({}, "red ball", direction=direction)
    assert tuple(game.front_pos) == pose.front == front
    assert pose.turned(RIGHT).direction == right_of_it
    assert pose.turned(RIGHT).turned(LEFT) == pose


def test_it_goes_straight_to_what_it_sees(room):
    assert guided(room({(6, 3): "red ball"}, "red ball")) == ([FORWARD, FORWARD], DONE)


def test_it_stays_where_it_has_arrived(room):
    assert guided(room({(4, 3): "red ball"}, "red ball")) == ([], DONE)


def test_it_walks_around_an_object_without_ever_facing_it(room):
    game = room({(5, 3): "blue key", (6, 3): "red ball"}, "red ball")
    guide, faced = ConsiderateGuide(game), []
    while (action := guide.suggest()) != DONE:
        game.step(action)
        faced.append(game.grid.get(*game.front_pos))
    things = {thing.type for thing in faced if thing and thing.type != "wall"}
    assert things == {"ball"}


def test_it_looks_around_for_what_it_does_not_see(room):
    game = room({(1, 3): "red ball"}, "red ball")  # behind its back
    actions, last = guided(game)
    assert actions[0] in (LEFT, RIGHT)
    assert last == DONE


def test_it_searches_on_the_side_where_nothing_is_in_the_way(room):
    game = room({(3, 4): "blue key", (1, 3): "red ball"}, "red ball")  # a key to its right, the ball behind it
    assert ConsiderateGuide(game).suggest() == LEFT


def test_it_knows_no_way_where_every_way_faces_something(room):
    beside = {(3, 2): "blue key", (3, 4): "blue key"}
    assert ConsiderateGuide(room({**beside, (1, 3): "red ball"}, "red ball")).suggest() is None


def test_of_two_that_are_asked_for_it_takes_the_nearer(room):
    game = room({(6, 3): "red ball", (3, 5): "red ball"}, "red ball")
    actions, last = guided(game)
    assert last == DONE
    assert len(actions) == 2
