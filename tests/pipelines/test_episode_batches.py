import numpy as np
import pytest
import torch

from sensorimotor.pipelines.episode_batches import EpisodeBatches
from sensorimotor.pipelines.episode_recipe import Augment, EpisodeTraining
from sensorimotor.pipelines.examples import examples, state_statistics, tokenizer_for
from sensorimotor.pipelines.token_table import TokenTable

INPUTS = ("camera", "speed", "task")


@pytest.fixture
def batches(drives, bound):
    """Makes batches: `batches([3, 5], horizon=2, lost_frames=0.5, augment={…})`."""

    def make(lengths=(3, 9, 5), kind="vector", horizon=1, augment=(), tables=None, source=None, seed=0, **training):
        source = source or drives(lengths, kind)
        binding = bound(source, horizon=horizon)
        found = examples(source, binding, range(len(source)))
        plan = EpisodeTraining(**{"steps": 1, "batch_episodes": 4, "lost_frames": 0, "stale_frames": 0, **training})
        return EpisodeBatches(
            found, binding.signature, tokenizer_for(found, binding), tables or {}, plan, Augment(**dict(augment)),
            state_statistics(found, binding), seed,
        )  # fmt: skip

    return make


def everything(batch):
    """All tensors of a batch."""
    inputs = [t for one in batch.inputs.values() for t in (*(one.arguments or ()), one.value, one.age_s)]
    return [*inputs, batch.actions, batch.weights, batch.episode, batch.time]


def same(a, b):
    ours, theirs = everything(a), everything(b)
    return len(ours) == len(theirs) and all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def seen(batch, name):
    """What each step of a batch saw of an input, and None where it saw nothing."""
    one = batch.inputs[name]
    return [None if value < 0 else one.arguments[0][value] for value in one.value.tolist()]


# A training step


def test_a_batch_depends_on_seed_and_step_and_on_nothing_else(batches):
    varied = {"augment": {"shift": 0.2, "light": 0.2, "state_noise": 0.1}, "lost_frames": 0.2, "stale_frames": 0.2}
    one, other = batches(**varied), batches(**varied)
    later = one.training_batch(7)  # other batches in between change nothing
    assert same(one.training_batch(3), other.training_batch(3))
    assert same(later, other.training_batch(7))
    assert not same(one.training_batch(3), one.training_batch(4))
    assert not same(one.training_batch(3), batches(seed=1, **varied).training_batch(3))


def test_a_stretch_is_some_steps_of_one_episode_in_order(batches):
    for step in range(5):
        batch = batches(sequence_steps=4).training_batch(step)
        for stretch in range(4):
            mine = batch.episode == stretch
            assert batch.time[mine].tolist() == list(range(int(mine.sum())))
            assert int(mine.sum()) in (3, 4)
            done = batch.actions[mine][:, 0]  # the first value of an action counts the steps
            assert (done[:, 0].diff() == 1).all()
            assert len(set(done[:, 1].tolist())) == 1  # the second is its episode


def test_what_a_step_sees_belongs_to_what_it_should_do(batches):
    batch = batches().training_batch(0)
    for name in ("camera", "speed"):
        for value, action in zip(seen(batch, name), batch.actions[:, 0], strict=True):
            if value is not None:
                step, episode = (float(action[0]), float(-action[1]))
                assert value.float().flatten()[0] == (10 * episode + step if name == "camera" else step)


def test_a_value_that_several_steps_know_is_there_once(batches):
    batch = batches(senses=[{"inputs": INPUTS, "weight": 1}]).training_batch(0)
    assert len(batch.inputs["task"].arguments[0]) == 4  # one a stretch
    assert len(batch.inputs["task"].value) == len(batch.time)


def test_longer_episodes_are_drawn_more_often(batches):
    made = batches([2, 40], sequence_steps=4, batch_episodes=100)
    batch = made.training_batch(0)
    long = sum(float(batch.actions[batch.episode == stretch][0, 0, 1]) == -1 for stretch in range(100))
    assert long > 80  # ten times as long


def test_plans_end_with_the_episode(batches):
    batch = batches([3], horizon=3, senses=[{"inputs": INPUTS, "weight": 1}], batch_episodes=1).training_batch(0)
    assert batch.actions.shape == (3, 3, 2)
    assert batch.weights.tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0]]


def test_choices_are_numbers_and_have_weights(batches):
    batch = batches(kind="text").training_batch(0)
    assert (batch.actions.dtype, batch.actions.ndim) == (torch.int64, 1)
    assert batch.weights.tolist() == [1.0] * len(batch.time)


# What is missing


def test_senses_say_which_inputs_are_there_together(batches):
    made = batches(senses=[{"inputs": ["speed"], "weight": 1}, {"inputs": ["camera", "task"], "weight": 1}])
    found = set()
    for step in range(10):
        batch = made.training_batch(step)
        for stretch in range(4):
            mine = batch.episode == stretch
            there = {name for name, one in batch.inputs.items() if (one.value[mine] >= 0).all()}
            assert there in ({"speed"}, {"camera", "task"})
            assert all((batch.inputs[name].value[mine] < 0).all() for name in set(INPUTS) - there)
            found.add(frozenset(there))
    assert len(found) == 2


def test_without_senses_at_most_one_input_is_missing(batches):
    made, missing = batches(), []
    for step in range(40):
        batch = made.training_batch(step)
        for stretch in range(4):
            mine = batch.episode == stretch
            missing.append(sum(bool((one.value[mine] < 0).all()) for one in batch.inputs.values()))
    assert set(missing) == {0, 1}
    assert 0.1 < np.mean(missing) < 0.3


def test_what_gets_lost_is_never_everything(batches):
    made = batches(lost_frames=0.5, senses=[{"inputs": ["camera", "speed"], "weight": 1}])
    lost = []
    for step in range(10):
        there = torch.stack([one.value >= 0 for one in made.training_batch(step).inputs.values()])
        assert there.any(0).all()
        lost.append((~there[:2]).float().mean().item())
    assert 0.15 < np.mean(lost) < 0.35  # where both would be, neither is


def test_what_is_kept_until_the_next_one_is_not_lost(batches):
    batch = batches(lost_frames=0.9, senses=[{"inputs": INPUTS, "weight": 1}]).training_batch(0)
    assert (batch.inputs["task"].value >= 0).all()


def test_what_comes_late_is_the_step_before_and_older(batches):
    made = batches(stale_frames=0.5, senses=[{"inputs": INPUTS, "weight": 1}])
    late = 0
    for step in range(5):
        batch = made.training_batch(step)
        camera, age_s = seen(batch, "camera"), batch.inputs["camera"].age_s
        for at, time in enumerate(batch.time.tolist()):
            now = float(-10 * batch.actions[at, 0, 1] + batch.actions[at, 0, 0])
            behind = now - float(camera[at].float().mean())
            assert behind in (0, 1)
            assert age_s[at] == pytest.approx(0.1 * behind)
            assert time or not behind  # the first step has none before it
            late += behind
    assert late > 10
    assert (made.training_batch(0).inputs["task"].age_s == 0).all()


# Variants


def test_values_of_a_stretch_move_alike_and_held_out_ones_never(batches):
    made = batches([4, 4], augment={"state_noise": 1.0}, senses=[{"inputs": INPUTS, "weight": 1}])
    batch = made.training_batch(0)
    for stretch in range(4):
        mine = (batch.episode == stretch).nonzero().flatten().tolist()
        moved = torch.stack([seen(batch, "speed")[at] for at in mine])
        true = torch.stack([batch.actions[mine, 0, 0], -2 * batch.actions[mine, 0, 1]], 1)
        assert torch.allclose((moved - true).diff(dim=0), torch.zeros(len(mine) - 1, 2), atol=1e-5)
        assert (moved - true).abs().max() > 0.01
    (held_out,) = next(made.held_out(INPUTS))
    assert (torch.stack(seen(held_out, "speed"))[:, 0] == held_out.actions[:, 0, 0]).all()


def test_tokens_of_a_frozen_encoder_are_read_and_not_computed(batches, drives):
    values = [3, 9, 5]
    first = {episode: sum(values[:episode]) for episode in range(3)}
    tokens = np.arange(17, dtype=np.float16)[:, None, None].repeat(2, 1)
    table = TokenTable(tokens, np.ones((17, 2), bool), np.arange(17)[:, None], first)
    batch = batches(values, tables={"camera": table}, senses=[{"inputs": ["camera"], "weight": 1}]).training_batch(0)
    given = batch.inputs["camera"]
    assert given.encoded
    for value, action in zip(given.value.tolist(), batch.actions[:, 0], strict=True):
        assert given.arguments[0][value].flatten().tolist() == [first[int(-action[1])] + float(action[0])] * 2


# Held out


@pytest.mark.parametrize("sequence_steps", [2, 4, 64])
def test_every_held_out_step_comes_once_and_in_order(batches, sequence_steps):
    made = batches([3, 9, 5, 1, 2, 7], sequence_steps=sequence_steps)
    found = []
    for parts in made.held_out(("camera",)):
        steps = {}
        for part in parts:
            assert {name for name, one in part.inputs.items() if one.arguments is not None} <= {"camera"}
            for stretch, action in zip(part.episode.tolist(), part.actions[:, 0], strict=True):
                steps.setdefault(stretch, []).append((int(-action[1]), int(action[0])))
        found += steps.values()
    assert sorted(found) == [[(e, s) for s in range(length)] for e, length in enumerate([3, 9, 5, 1, 2, 7])]


def test_held_out_steps_are_not_disturbed(batches):
    made = batches(lost_frames=0.9, stale_frames=0.9, augment={"shift": 0.5, "light": 0.9})
    calm = batches()
    for ours, theirs in zip(made.held_out(INPUTS), calm.held_out(INPUTS), strict=True):
        assert all(same(a, b) for a, b in zip(ours, theirs, strict=True))


def test_an_input_that_nobody_has_is_known_to_be_missing(batches):
    (batch,) = next(batches().held_out(("camera",)))
    assert batch.inputs["speed"].arguments is None
    assert (batch.inputs["speed"].value == -1).all()


def test_a_batch_goes_to_a_device_as_it_is(batches):
    (batch,) = next(batches().held_out(("camera",)))
    assert same(batch, batch.to(torch.device("cpu")))


def test_little_is_read_twice_and_nothing_is_kept_beyond_the_limit(batches, drives, monkeypatch):
    source, read = drives([6, 6]), []
    for episode in source.episodes:
        track = episode.tracks["camera"]
        track.read = lambda numbers, values=track.values: (read.extend(numbers), [values[i] for i in numbers])[1]
    made = batches(source=source, senses=[{"inputs": INPUTS, "weight": 1}])
    for step in range(5):
        made.training_batch(step)
    assert len(read) == 12
    monkeypatch.setattr("sensorimotor.pipelines.episode_batches.KEPT_BYTES", 3 * 192)
    made = batches(source=source, senses=[{"inputs": INPUTS, "weight": 1}])
    for step in range(5):
        made.training_batch(step)
    assert len(read) > 24
    assert made._kept_bytes <= 3 * 192
