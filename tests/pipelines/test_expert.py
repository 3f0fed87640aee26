import signal
from itertools import count

import numpy as np
import pytest

from sensorimotor.errors import UsageError, WorldError
from sensorimotor.pipelines import expert as module
from sensorimotor.pipelines.babyai import EVALUATION_SEED, BabyAIWorld
from sensorimotor.pipelines.expert import (
    Demonstrations,
    Expert,
    Hang,
    demonstrations,
    expert_steps,
    play_expert,
)
from sensorimotor.pipelines.frames import FrameTable

LOCAL, PUT_NEXT, ONE = "BabyAI-GoToLocal-v0", "BabyAI-PutNextLocal-v0", "BabyAI-GoToObj-v0"


def arrays(shown):
    return shown.symbols.tolist(), shown.actions.tolist(), shown.starts.tolist(), shown.missions, shown.seeds.tolist()


def files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


# The expert itself


@pytest.mark.parametrize("considerate", [False, True])
@pytest.mark.parametrize("level", [LOCAL, PUT_NEXT, "BabyAI-PickupLoc-v0", "BabyAI-UnlockLocal-v0"])
def test_it_does_what_it_is_asked(level, considerate):
    world = BabyAIWorld(level)
    for seed in range(5):
        world.reset(seed=seed)
        views, actions, success = play_expert(world.game, considerate=considerate)
        assert success
        assert len(views) == len(actions) < world.max_steps


def test_a_search_that_never_ends_is_ended(monkeypatch):
    world = BabyAIWorld(LOCAL)
    world.reset(seed=0)
    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(module, "HANG_S", 0.05)
    monkeypatch.setattr("minigrid.utils.baby_ai_bot.BabyAIBot.replan", lambda *_: next(i for i in count() if i < 0))
    with pytest.raises(Hang):
        Expert(world.game).act()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_no_alarm_is_left_behind_by_a_search_that_ends():
    world = BabyAIWorld(LOCAL)
    world.reset(seed=0)
    Expert(world.game).act()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


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
        views, actions, success = play(game, **options)
        return views, actions, success and i not in lost

    monkeypatch.setattr(module, "play_expert", sometimes)
    assert module._make_shard(ONE, 10, 4, False, tmp_path) == 4
    shard = module._read_shard(module._shard_path(ONE, 10, 4, False, tmp_path))
    assert shard.seeds.tolist() == [10 + i for i in range(4) if i not in lost]
    assert shard.starts[-1] == len(shard.symbols) == len(shard.actions)
    twice = Demonstrations.join([shard, shard])
    assert len(twice) == 2 * len(shard)
    assert twice.symbols.shape[1:] == (7, 7, 3)


def test_joined_demonstrations_are_all_episodes_in_order(material):
    one = material.held_out
    both = Demonstrations.join([one, material.demonstrations])
    assert both.lengths.tolist() == [*one.lengths, *material.demonstrations.lengths]
    assert both.missions == (*one.missions, *material.demonstrations.missions)
    assert both.starts[-1] == len(both.actions)
    start = both.starts[len(one)]
    assert np.array_equal(both.symbols[start], material.demonstrations.symbols[0])
