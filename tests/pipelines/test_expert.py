import signal
from itertools import count

import numpy as np
import pytest

from sensorimotor.errors import UsageError, WorldError
from sensorimotor.pipelines import expert as module
from sensorimotor.pipelines.babyai import ACTIONS, EVALUATION_SEED, BabyAIWorld
from sensorimotor.pipelines.expert import (
    Demonstrations,
    Expert,
    Hang,
    Lesson,
    demonstrations,
    expert_steps,
    play_expert,
    read_lessons,
    write_lessons,
)
from sensorimotor.pipelines.frames import FrameTable

LEFT, RIGHT = ACTIONS.index("left"), ACTIONS.index("right")
LOCAL, PUT_NEXT, ONE = "BabyAI-GoToLocal-v0", "BabyAI-PutNextLocal-v0", "BabyAI-GoToObj-v0"


def arrays(shown):
    names = ("symbols", "actions", "cells", "starts", "seeds")
    return shown.missions, *(getattr(shown, name).tolist() for name in names)


def files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


# The expert itself


@pytest.mark.parametrize("considerate", [False, True])
@pytest.mark.parametrize("level", [LOCAL, PUT_NEXT, "BabyAI-PickupLoc-v0", "BabyAI-UnlockLocal-v0"])
def test_it_does_what_it_is_asked(level, considerate):
    world = BabyAIWorld(level)
    for seed in range(5):
        world.reset(seed=seed)
        lesson = play_expert(world.game, considerate=considerate)
        assert lesson.success
        assert len(lesson.views) == len(lesson.advice) == len(lesson.cells) < world.max_steps
        assert lesson.mission == world.mission


def test_a_search_that_never_ends_is_ended(monkeypatch):
    world = BabyAIWorld(LOCAL)
    world.reset(seed=0)
    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(module, "HANG_S", 0.05)
    monkeypatch.setattr("minigrid.utils.baby_ai_bot.BabyAIBot.replan", lambda *_: next(i for i in count() if i < 0))
    with pytest.raises(Hang):
        Expert(world.game).advise(None)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_no_alarm_is_left_behind_by_a_search_that_ends():
    world = BabyAIWorld(LOCAL)
    world.reset(seed=0)
    Expert(world.game).advise(None)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("level", [LOCAL, PUT_NEXT])
def test_it_still_arrives_when_it_was_not_listened_to_at_first(level):
    game = BabyAIWorld(level).game
    for seed in range(8):
        game.reset(seed=seed)
        rng, lesson, ended = np.random.default_rng(seed), Lesson(game), False
        while not ended:
            advice = lesson.advise()
            ended = lesson.act(int(rng.integers(3)) if len(lesson.advice) <= 8 else advice)
        assert lesson.success


def test_a_lesson_keeps_what_was_advised_and_not_what_was_done():
    game = BabyAIWorld(LOCAL).game
    game.reset(seed=1)
    lesson = Lesson(game)
    advice = lesson.advise()
    other = LEFT if advice != LEFT else RIGHT
    before = game.agent_dir
    assert lesson.act(other) is False
    assert game.agent_dir == (before + (1 if other == RIGHT else -1)) % 4
    lesson.advise()
    assert lesson.advice[0] == advice
    assert len(lesson.views) == len(lesson.cells) == 2
    assert not np.array_equal(*lesson.views)
    assert not lesson.success


def test_a_lesson_ends_unsuccessful_when_its_time_is_up():
    game = BabyAIWorld(LOCAL).game
    game.reset(seed=1)
    game.max_steps = 3
    lesson = Lesson(game)
    assert [lesson.act(LEFT) for _ in range(3)] == [False, False, True]
    assert not lesson.success


def test_lessons_that_were_written_are_read_again(tmp_path):
    game, lessons = BabyAIWorld(PUT_NEXT).game, []
    for seed in (4, 9):
        game.reset(seed=seed)
        lessons.append(play_expert(game))
    write_lessons(tmp_path / "deep" / "lessons.npz", lessons, [4, 9])
    shown = read_lessons(tmp_path / "deep" / "lessons.npz")
    assert shown.missions == tuple(lesson.mission for lesson in lessons)
    assert shown.seeds.tolist() == [4, 9]
    assert shown.lengths.tolist() == [len(lesson.advice) for lesson in lessons]
    assert shown.actions.tolist() == [action for lesson in lessons for action in lesson.advice]
    assert np.array_equal(shown.symbols, np.concatenate([lesson.views for lesson in lessons]))
    assert np.array_equal(shown.cells, np.concatenate([lesson.cells for lesson in lessons]))
    assert (shown.symbols.dtype, shown.actions.dtype, shown.cells.dtype) == (np.uint8, np.uint8, np.uint8)


def test_no_lessons_can_be_written_and_read_too(tmp_path):
    write_lessons(tmp_path / "none.npz", [], [])
    none = read_lessons(tmp_path / "none.npz")
    assert len(none) == 0
    assert none.symbols.shape == (0, 7, 7, 3)
    assert none.cells.shape == (0, 7, 7)


def test_steps_are_those_of_the_shortest_way_and_none_where_it_fails(monkeypatch):
    steps = expert_steps(LOCAL, [3, 5, 3])
    assert list(steps) == [3, 5]
    assert all(0 < count < 64 for count in steps.values())
    play = module.play_expert

    def lost_on_five(game, **options):
        if game.instrs is None or next(seeds) == 5:
            raise Hang
        return play(game, **options)

    seeds = iter([3, 5])
    monkeypatch.setattr(module, "play_expert", lost_on_five)
    assert expert_steps(LOCAL, [3, 5]) == {3: steps[3], 5: None}


# Demonstrations


@pytest.fixture
def three_shards(monkeypatch):
    monkeypatch.setattr(module, "SHARD_EPISODES", 4)


@pytest.mark.usefixtures("three_shards")
def test_demonstrations_are_made_once_and_only_what_is_missing_is_made_again(tmp_path):
    told = []
    made = demonstrations(ONE, 10, 50, tmp_path, progress=told.append)
    assert told[0] == 0
    assert sorted(told[1:]) == [2, 4, 4]
    assert len(files(tmp_path)) == 3
    before = files(tmp_path)

    told.clear()
    assert arrays(demonstrations(ONE, 10, 50, tmp_path, progress=told.append)) == arrays(made)
    assert (told, files(tmp_path)) == ([10], before)

    lost = next(path for path in tmp_path.iterdir() if "-54-4-" in path.name)
    lost.unlink()
    told.clear()
    assert arrays(demonstrations(ONE, 10, 50, tmp_path, workers=2, progress=told.append)) == arrays(made)
    assert told == [6, 4]
    after = files(tmp_path)
    assert after[lost.name][0] == before[lost.name][0]
    assert {name: after[name] for name in after if name != lost.name} == {
        name: before[name] for name in before if name != lost.name
    }


@pytest.mark.usefixtures("three_shards")
def test_the_number_of_workers_changes_nothing(tmp_path):
    one, two = (
        demonstrations(ONE, 10, 50, tmp_path / str(workers), considerate=True, workers=workers) for workers in (1, 2)
    )
    assert arrays(one) == arrays(two)
    assert one.seeds.tolist() == list(range(50, 60))


def test_demonstrations_replay_to_success(material):
    shown, world = material.demonstrations, BabyAIWorld(ONE)
    table = FrameTable()
    for episode in range(5):
        raw, info = world.reset(seed=int(shown.seeds[episode]))
        assert info["mission"] == shown.missions[episode]
        for step in range(shown.starts[episode], shown.starts[episode + 1]):
            assert np.array_equal(table.render(shown.symbols[step][None])[0], raw["camera"])
            raw, *_, outcome = world.step(shown.actions[step])
        assert outcome["success"]


@pytest.mark.parametrize(("first", "episodes"), [(EVALUATION_SEED - 3, 4), (EVALUATION_SEED, 1), (-1, 2)])
def test_seeds_of_evaluation_are_refused_before_anything_is_made(tmp_path, first, episodes):
    with pytest.raises(UsageError, match=f"demonstrations from seed {first} .* are for evaluation"):
        demonstrations(ONE, episodes, first, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_unknown_level_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(WorldError, match="BabyAI-GoToObjj-v0"):
        demonstrations("BabyAI-GoToObjj-v0", 5, 0, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_kinds_of_demonstrations_are_kept_apart(tmp_path):
    paths = {
        module._shard_path(level, seed, count, considerate, tmp_path)
        for level in (ONE, LOCAL)
        for seed in (0, 1)
        for count in (4, 5)
        for considerate in (True, False)
    }
    assert len(paths) == 16


@pytest.mark.parametrize("lost", [{1, 2}, {0, 1, 2, 3}])
def test_episodes_that_the_expert_cannot_solve_are_left_out_even_if_all_are(tmp_path, monkeypatch, lost):
    play, number = module.play_expert, count()

    def sometimes(game, **options):
        i = next(number)
        if i in lost and i % 2:
            raise Hang
        lesson = play(game, **options)
        lesson.success = lesson.success and i not in lost
        return lesson

    monkeypatch.setattr(module, "play_expert", sometimes)
    assert module._make_shard(ONE, 10, 4, False, tmp_path) == 4
    shard = read_lessons(module._shard_path(ONE, 10, 4, False, tmp_path))
    assert shard.seeds.tolist() == [10 + i for i in range(4) if i not in lost]
    assert shard.starts[-1] == len(shard.symbols) == len(shard.actions) == len(shard.cells)
    twice = Demonstrations.join([shard, shard])
    assert len(twice) == 2 * len(shard)
    assert twice.symbols.shape[1:] == (7, 7, 3)
    assert twice.cells.shape[1:] == (7, 7)


def test_joined_demonstrations_are_all_episodes_in_order(material):
    one = material.held_out
    both = Demonstrations.join([one, material.demonstrations])
    assert both.lengths.tolist() == [*one.lengths, *material.demonstrations.lengths]
    assert both.missions == (*one.missions, *material.demonstrations.missions)
    assert both.starts[-1] == len(both.actions)
    start = both.starts[len(one)]
    assert np.array_equal(both.symbols[start], material.demonstrations.symbols[0])


def test_only_some_missions_can_be_kept(material):
    shown = material.demonstrations
    balls = shown.only(lambda mission: "ball" in mission)
    theirs = [i for i, mission in enumerate(shown.missions) if "ball" in mission]
    assert 0 < len(balls) == len(theirs) < len(shown)
    assert balls.missions == tuple(shown.missions[i] for i in theirs)
    assert balls.seeds.tolist() == shown.seeds[theirs].tolist()
    for ours, index in enumerate(theirs):
        own, span = slice(*balls.starts[ours : ours + 2]), slice(*shown.starts[index : index + 2])
        for name in ("symbols", "actions", "cells"):
            assert np.array_equal(getattr(balls, name)[own], getattr(shown, name)[span])
    assert balls.starts[-1] == len(balls.symbols) == len(balls.actions) == len(balls.cells)
    assert len(shown.only(lambda _: False)) == 0
