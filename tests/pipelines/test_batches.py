from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch

from sensorimotor.perception.tokenizer import BEGIN, PAD, UNKNOWN
from sensorimotor.pipelines.batches import Batch, Batches, Spoken
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.recipe import Senses, Training

BOTH = ("camera", "mic"), ("camera", "instruction")


@pytest.fixture
def batches(material):
    """Makes batches of the tiny recipe's material: `batches(lost_frames=0.5)`."""

    def make(seed=3, senses=((BOTH[0], 1.0), (BOTH[1], 3.0)), bank=material.bank, **plan):
        table = {"steps": 1, "batch_episodes": 6, "lost_frames": 0, "stale_frames": 0, "unknown_words": 0} | plan
        chosen = tuple(Senses(inputs=inputs, weight=weight) for inputs, weight in senses)
        plan = Training(senses=chosen, **table)
        return Batches(material.demonstrations, bank, material.tokenizer, plan, seed)

    return make


def same(a, b):
    """Whether two batches are equal to the last bit."""
    for field in fields(a):
        ours, theirs = getattr(a, field.name), getattr(b, field.name)
        if (ours is None) != (theirs is None):
            return False
        if isinstance(ours, Spoken):
            if not same(ours, theirs):
                return False
        elif ours is not None and not torch.equal(ours, theirs):
            return False
    return True


def episodes_of(batch, material):
    """Which demonstrations the rows of a batch are, found by their actions and first frames."""
    table, shown, found = FrameTable(), material.demonstrations, []
    for i in range(len(batch.words)):
        rows = batch.episode == i
        actions, first = batch.actions[rows].tolist(), batch.frames[rows][0].numpy()
        found.append(
            next(
                number
                for number, (start, stop) in enumerate(zip(shown.starts[:-1], shown.starts[1:], strict=True))
                if shown.actions[start:stop].tolist() == actions
                and np.array_equal(table.render(shown.symbols[start : start + 1])[0], first)
            )
        )
    return found


def test_a_batch_depends_on_the_seed_and_the_step_and_on_nothing_else(batches):
    augmented = {"lost_frames": 0.2, "stale_frames": 0.2, "unknown_words": 0.2}
    first = batches(**augmented)
    in_order = [first.training_batch(step) for step in range(4)]
    again = batches(**augmented)
    for step in (2, 0, 3, 1):
        assert same(again.training_batch(step), in_order[step])
    assert not same(in_order[0], in_order[1])
    assert not same(batches(seed=4, **augmented).training_batch(0), in_order[0])


def test_rows_are_whole_episodes_as_the_expert_played_and_the_camera_saw_them(batches, material):
    batch, shown, table = batches().training_batch(0), material.demonstrations, FrameTable()
    chosen = episodes_of(batch, material)
    assert len(chosen) == 6
    for i, number in enumerate(chosen):
        rows = batch.episode == i
        span = slice(shown.starts[number], shown.starts[number + 1])
        assert batch.time[rows].tolist() == list(range(shown.lengths[number]))
        assert np.array_equal(batch.frames[rows].numpy(), table.render(shown.symbols[span]))
        assert batch.actions[rows].tolist() == shown.actions[span].tolist()
        assert batch.words[i].tolist() == material.tokenizer.encode(shown.missions[number]).tolist()
    assert batch.frame_present.all()
    assert not batch.frame_age_s.any()


def test_a_stale_frame_is_the_one_before_and_is_known_to_be_old(batches, material):
    batch, shown, table = batches(stale_frames=0.5).training_batch(0), material.demonstrations, FrameTable()
    chosen = episodes_of(batch, material)
    stale = batch.frame_age_s > 0
    assert 0.2 < stale.float().mean() < 0.6
    assert not stale[batch.time == 0].any()
    for row in torch.nonzero(stale)[:, 0].tolist():
        place = shown.starts[chosen[batch.episode[row]]] + batch.time[row].item() - 1
        assert np.array_equal(batch.frames[row].numpy(), table.render(shown.symbols[place : place + 1])[0])
        assert batch.frame_age_s[row] == pytest.approx(0.1)


def test_frames_get_lost_as_often_as_the_recipe_says(batches):
    kept = batches(lost_frames=0.3, batch_episodes=100, senses=((BOTH[1], 1.0),)).training_batch(0).frame_present
    assert 0.6 < kept.float().mean() < 0.8


def test_words_become_unknown_as_often_as_the_recipe_says_but_never_the_beginning(batches):
    words = batches(unknown_words=0.4, batch_episodes=100, senses=((BOTH[1], 1.0),)).training_batch(0).words
    real = (words != PAD) & (words != BEGIN)
    assert 0.3 < (words[real] == UNKNOWN).float().mean() < 0.5
    assert (words[:, 0] == BEGIN).all()


def test_senses_are_drawn_as_their_weights_say_and_never_none(batches):
    mix = (("camera", "mic"), 4.0), (("camera", "instruction"), 4.0), (("camera",), 1.0), (("mic", "instruction"), 1.0)
    maker, drawn = batches(senses=mix, batch_episodes=30), Counter()
    for step in range(20):
        batch = maker.training_batch(step)
        for i in range(30):
            sees = batch.frame_present[batch.episode == i]
            assert sees.all() or not sees.any()
            there = ("camera", sees.any()), ("mic", batch.spoken_present[i]), ("instruction", batch.words_present[i])
            drawn[tuple(name for name, present in there if present)] += 1
    assert set(drawn) == {inputs for inputs, _ in mix}
    for inputs, weight in mix:
        assert drawn[inputs] / 600 == pytest.approx(weight / 10, abs=0.05)


def test_everybody_who_hears_is_told_their_own_mission(batches):
    batch = batches(senses=((BOTH[0], 1.0), (BOTH[1], 1.0))).training_batch(1)
    hears = batch.spoken_present
    assert 0 < hears.sum() < len(hears)
    assert torch.equal(batch.spoken.words, batch.words[hears])
    assert batch.spoken.sound.shape[0] == len(batch.spoken.length) == hears.sum()
    assert batch.spoken.sound.shape[1] % 1280 == 0
    assert batch.spoken.sound.shape[1] - 1280 < batch.spoken.length.max() <= batch.spoken.sound.shape[1]
    for sound, length in zip(batch.spoken.sound, batch.spoken.length, strict=True):
        assert sound[:length].any()
        assert not sound[length:].any()


def test_what_is_said_differs_at_every_use(batches):
    one, two = (batches(senses=((BOTH[0], 1.0),)).training_batch(step).spoken.sound[0] for step in (0, 1))
    assert one.shape != two.shape or not torch.equal(one, two)


def test_without_anybody_who_hears_nothing_is_said(batches):
    batch = batches(senses=((BOTH[1], 1.0),), alignment_utterances=0).training_batch(0)
    assert batch.spoken is None
    assert batch.aligned is None
    assert not batch.spoken_present.any()


def test_further_utterances_come_with_their_words(batches, material):
    aligned = batches(alignment_utterances=5).training_batch(0).aligned
    assert len(aligned.sound) == len(aligned.words) == 5
    known = {tuple(material.tokenizer.encode(text)) for text in material.bank.texts}
    assert {tuple(words.tolist()) for words in aligned.words} <= known


def test_alignment_that_counts_for_nothing_costs_nothing(batches):
    assert batches(alignment=0.0, alignment_utterances=5).training_batch(0).aligned is None
    assert batches(alignment_utterances=5, bank=None, senses=((BOTH[1], 1.0),)).training_batch(0).aligned is None


def test_held_out_episodes_are_shown_as_they_are(batches):
    maker = batches(lost_frames=0.9, stale_frames=0.9, unknown_words=0.9)
    episodes = np.array([4, 1])
    batch = maker.held_out_batch(episodes, ("camera", "mic"))
    assert same(batch, maker.held_out_batch(episodes, ("camera", "mic")))
    assert batch.frame_present.all()
    assert not batch.frame_age_s.any()
    assert UNKNOWN not in batch.words
    assert batch.spoken_present.all()
    assert not batch.words_present.any()
    assert batch.aligned is None


def test_a_batch_moves_to_another_device_as_a_whole(batches):
    batch = batches(alignment_utterances=2).training_batch(1).to(torch.device("meta"))
    assert isinstance(batch, Batch)
    for value in (getattr(batch, field.name) for field in fields(batch)):
        parts = [value.sound, value.length, value.words] if isinstance(value, Spoken) else [value]
        assert {part.device.type for part in parts} == {"meta"}
