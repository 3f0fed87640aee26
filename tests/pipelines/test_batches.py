from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch

from sensorimotor.fusion.aspects import ASPECTS, ROLES
from sensorimotor.perception.tokenizer import BEGIN, PAD, UNKNOWN
from sensorimotor.pipelines.batches import Batch, Batches, Spoken, as_they_are, obscured
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.grounding import unpacked
from sensorimotor.pipelines.mission_recipe import MissionTraining
from sensorimotor.pipelines.recipe_tables import Senses

BOTH = ("camera", "mic"), ("camera", "instruction")


@pytest.fixture
def batches(material):
    """Makes batches of the tiny recipe's material: `batches(lost_frames=0.5)`."""

    off = {"lost_frames": 0, "stale_frames": 0, "unknown_words": 0, "alignment_utterances": 0}

    def make(seed=3, senses=((BOTH[0], 1.0), (BOTH[1], 3.0)), bank=material.bank, **plan):
        chosen = tuple(Senses(inputs=inputs, weight=weight) for inputs, weight in senses)
        training = MissionTraining(**{"steps": 1, "batch_episodes": 6, "senses": chosen} | off | plan)
        return Batches(material.demonstrations, bank, material.tokenizer, training, seed)

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
        fits = unpacked(shown.cells[span].transpose(0, 2, 1))
        assert np.array_equal(batch.fits[rows].reshape(fits.shape), fits)
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
        assert np.array_equal(batch.fits[row], unpacked(shown.cells[place].T.ravel()))


def test_frames_get_lost_as_often_as_the_recipe_says(batches):
    kept = batches(lost_frames=0.3, batch_episodes=100, senses=((BOTH[1], 1.0),)).training_batch(0).frame_present
    assert 0.6 < kept.float().mean() < 0.8


def test_instructions_have_unknown_words_as_often_as_the_recipe_says_and_always_a_beginning(batches):
    only_read = {"batch_episodes": 200, "senses": ((BOTH[1], 1.0),)}
    words = batches(unknown_words=0.4, **only_read).training_batch(0).words
    assert 0.25 < (words == UNKNOWN).any(1).float().mean() < 0.45
    assert (words[:, 0] == BEGIN).all()
    assert (words[:, 1:] != BEGIN).all()
    assert UNKNOWN not in batches(unknown_words=0.0, **only_read).training_batch(0).words


def test_what_is_heard_has_no_unknown_words(batches):
    batch = batches(unknown_words=0.9, batch_episodes=50, senses=((BOTH[0], 1.0),)).training_batch(0)
    assert UNKNOWN in batch.words
    assert UNKNOWN not in batch.spoken.words


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
    batch = batches(senses=((BOTH[1], 1.0),)).training_batch(0)
    assert batch.spoken is None
    assert not batch.spoken_present.any()


def test_further_utterances_come_behind_those_of_the_episodes(batches, material):
    batch = batches(alignment_utterances=5).training_batch(0)
    own = int(batch.spoken_present.sum())
    assert own > 0
    assert len(batch.spoken.sound) == len(batch.spoken.length) == len(batch.spoken.words) == own + 5
    assert torch.equal(batch.spoken.words[:own], batch.words[batch.spoken_present])
    known = {tuple(material.tokenizer.encode(text)) for text in material.demonstrations.missions}
    assert {tuple(words.tolist()) for words in batch.spoken.words} <= known
    assert len({tuple(words.tolist()) for words in batch.spoken.words[own:]}) > 1


def test_alignment_that_counts_for_nothing_costs_nothing(batches):
    only_read = {"alignment_utterances": 5, "senses": ((BOTH[1], 1.0),)}
    assert len(batches(**only_read).training_batch(0).spoken.sound) == 5
    assert batches(alignment=0.0, **only_read).training_batch(0).spoken is None
    assert batches(bank=None, **only_read).training_batch(0).spoken is None


def test_a_batch_may_be_there_to_listen_to_only(batches):
    batch = batches(batch_episodes=0, alignment_utterances=4, unknown_words=0.5).training_batch(0)
    assert len(batch.spoken.sound) == 4
    for field in fields(batch):
        if field.name != "spoken":
            assert len(getattr(batch, field.name)) == 0
    assert batch.frames.shape[1:] == (56, 56, 3)
    assert batch.fits.shape[1:] == (49, ROLES, ASPECTS)


def test_utterances_to_judge_by_are_those_of_the_bank_as_they_are(batches, material):
    maker = batches()
    spoken = maker.utterances(30, 0)
    assert same(spoken, maker.utterances(30, 0))
    assert not same(spoken, maker.utterances(30, 1))
    bank = material.bank
    for sound, length, words in zip(spoken.sound, spoken.length, spoken.words, strict=True):
        (text,) = (text for text in bank.texts if material.tokenizer.encode(text).tolist() == words.tolist())
        assert any(np.array_equal(sound[:length, 0], bank.utterance(i)) for i in bank.saying(text))


# Unknown words


def test_some_words_become_unknown_and_others_come_between_them():
    rng, row = np.random.default_rng(0), np.array([BEGIN, 5, 6, 7, 8, PAD, PAD, PAD, PAD, PAD, PAD, PAD])
    others = [obscured(row, rng) for _ in range(300)]
    known = np.mean([np.isin(words, [5, 6, 7, 8]).sum() / 4 for words in others])
    assert known == pytest.approx(0.6, abs=0.05)
    lengths = [int((words != PAD).sum()) for words in others]
    assert min(lengths) == 5
    assert np.mean(lengths) == pytest.approx(5 + 4 / 3, abs=0.3)
    for words in others:
        assert words.shape == row.shape
        assert words.dtype == np.int64
        assert words[0] == BEGIN
        rest = words[1:]
        assert [word for word in rest if word not in (UNKNOWN, PAD)] == sorted(set(rest.tolist()) & {5, 6, 7, 8})
        assert (rest[int((words != PAD).sum()) - 1 :] == PAD).all()


def test_an_instruction_that_fills_its_place_keeps_its_length():
    rng, row = np.random.default_rng(0), np.array([BEGIN, 5, 6, 7])
    before = row.copy()
    for _ in range(50):
        words = obscured(row, rng)
        assert len(words) == 4
        assert PAD not in words
    assert np.array_equal(row, before)


# Judging


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
    assert len(batch.spoken.sound) == 2


def test_a_batch_moves_to_another_device_as_a_whole(batches):
    batch = batches(alignment_utterances=2).training_batch(1).to(torch.device("meta"))
    assert isinstance(batch, Batch)
    for value in (getattr(batch, field.name) for field in fields(batch)):
        parts = [value.sound, value.length, value.words] if isinstance(value, Spoken) else [value]
        assert {part.device.type for part in parts} == {"meta"}


def test_utterances_of_a_bank_come_with_their_words_and_as_they_are(material):
    bank = material.bank
    spoken = as_they_are(bank, np.array([2, 0]), material.tokenizer)
    for row, index in enumerate((2, 0)):
        sound = bank.utterance(index)
        assert spoken.length[row] == len(sound)
        assert np.array_equal(spoken.sound[row, : len(sound), 0], sound)
        assert not spoken.sound[row, len(sound) :].any()
        assert spoken.words[row].tolist() == material.tokenizer.encode(bank.texts[bank.text_of[index]]).tolist()
