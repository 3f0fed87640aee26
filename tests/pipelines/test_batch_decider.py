"""Decisions in blocks of many episodes are those of `act`, step by step."""

from dataclasses import replace

import numpy as np
import pytest

from sensorimotor.errors import ObservationError
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.modality import Image
from sensorimotor.pipelines.batch_blocks import Part, Trouble
from sensorimotor.pipelines.batch_decider import Decider
from sensorimotor.pipelines.batch_input import Step
from sensorimotor.pipelines.batch_tally import BatchTally

IDS = ["a", "b", "c"]


def lived(seen, length, seed):
    """Steps as they are lived through: frames that last for two steps, an utterance, and words that change."""
    rng = np.random.default_rng(seed)
    steps = []
    for number in range(length):
        if number % 2 == 0:
            camera = rng.integers(0, 256, (4, 6, 3), np.uint8)
        observation = {"camera": camera, "instruction": ("go", "turn to the ball")[number // 3 % 2]}
        sequences = {"camera": number // 2, "instruction": number // 3}
        if number >= seed:
            observation |= {"mic": seen["mic"], "joints": rng.normal(size=2).astype(np.float32)}
            sequences |= {"mic": 0, "joints": number}
        ages_s = {"camera": 0.1 * (number % 2)}
        steps.append(Step(0.1 * number, Sensed(observation, ages_s, sequences)))
    return steps


def parts_of(episodes, size, start):
    """The next blocks of all episodes that have one."""
    return [
        Part(number, start, tuple(steps[start : start + size]), start + size >= len(steps))
        for number, steps in enumerate(episodes)
        if start < len(steps)
    ]


def decided(policy, episodes, size, batch_size=32):
    """The rows of each episode, decided side by side in blocks of `size` steps."""
    decider, rows = Decider(policy, IDS, batch_size, BatchTally()), [[] for _ in episodes]
    for start in range(0, max(map(len, episodes)), size):
        parts = parts_of(episodes, size, start)
        made, ended = decider.decide(parts)
        assert ended == [part.ended for part in parts]
        for part, some in zip(parts, made, strict=True):
            rows[part.episode] += some
    return rows, decider.tally


def act(policy, steps):
    policy.reset()
    return [policy.act(one.seen.observation, ages_s=one.seen.ages_s, sequences=one.seen.sequences) for one in steps]


ROUNDING = 1e-4  # the tokens of this policy are as large as 190, and it takes their sine


def assert_the_same(row, decision):
    ours = row.decision
    assert (ours.selected, ours.executed, ours.label, ours.held) == (
        decision.selected,
        decision.executed,
        decision.label,
        decision.held,
    )
    assert np.allclose(ours.parameters, decision.parameters, atol=ROUNDING)
    assert np.allclose(ours.embedding, decision.embedding, atol=ROUNDING)
    for name, report in decision.inputs.items():
        assert (ours.inputs[name].present, ours.inputs[name].age_s) == (report.present, report.age_s)


@pytest.mark.parametrize(("size", "batch_size"), [(1, 1), (2, 3), (3, 32), (20, 32)])
def test_recordings_side_by_side_are_decided_as_one_after_the_other(fake, seen, size, batch_size):
    episodes = [lived(seen, 7, 0), lived(seen, 3, 1), lived(seen, 12, 5)]
    rows, tally = decided(fake(), episodes, size, batch_size)
    for number, (steps, made) in enumerate(zip(episodes, rows, strict=True)):
        assert [(row.id, row.step, row.time_s) for row in made] == [
            (IDS[number], at, step.time_s) for at, step in enumerate(steps)
        ]
        for row, decision in zip(made, act(fake(), steps), strict=True):
            assert_the_same(row, decision)
    assert tally.rows == 22
    assert tally.absent == {"mic": 6, "joints": 6}


def test_nothing_is_encoded_twice_in_an_episode_and_a_text_only_once_in_all(fake, seen):
    policy = fake()
    decided(policy, [lived(seen, 8, 0), lived(seen, 8, 0)], 4)
    rows = {name: sum(count for what, count in policy.backend.encoded if what == name) for name in seen}
    assert rows == {"camera": 8, "mic": 2, "instruction": 2, "joints": 16}


def test_no_more_is_encoded_at_a_time_than_the_batch_size(fake, seen):
    policy = fake()
    decided(policy, [lived(seen, 12, 0), lived(seen, 12, 1)], 12, batch_size=5)
    assert max(count for _, count in policy.backend.encoded) == 5


def test_films_are_encoded_frame_by_frame_and_shared_frames_once(fake):
    signature = replace(fake().signature, inputs={"camera": Image(height=4, width=6, frames=3)})
    frames = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 3), np.uint8)
    steps = [Step(0.1 * at, Sensed({"camera": frames[at : at + 3]}, {}, {"camera": at})) for at in range(6)]
    policy = fake(signature)
    rows, _ = decided(policy, [steps], 2)
    for row, decision in zip(rows[0], act(fake(signature), steps), strict=True):
        assert_the_same(row, decision)
    assert sum(count for _, count in policy.backend.encoded) == len(frames)


def test_memory_does_not_pass_from_one_recording_to_the_next(fake, seen):
    steps = lived(seen, 5, 0)
    decider = Decider(fake(), IDS, 32, BatchTally())
    first, _ = decider.decide([Part(0, 0, tuple(steps), True)])
    again, _ = decider.decide([Part(0, 0, tuple(steps), True)])
    assert [row.decision.probabilities.tolist() for row in first[0]] == [
        row.decision.probabilities.tolist() for row in again[0]
    ]


def test_where_nothing_is_seen_the_safe_action_is_held_and_memory_stays_as_it_is(fake, seen):
    nothing = Step(0.0, Sensed({}, {}, {}))
    steps = lived(seen, 4, 0)
    rows, tally = decided(fake(), [[nothing, *steps]], 2)
    first = rows[0][0].decision
    assert (first.selected, first.executed, first.label, first.held) == (None, 0, "wait", True)
    for row, decision in zip(rows[0][1:], act(fake(), steps), strict=True):
        assert_the_same(row, decision)
    assert (tally.rows, tally.held, tally.absent["camera"]) == (5, 1, 1)


def test_a_network_that_gives_no_numbers_ends_its_own_recording_and_no_other(fake, seen):
    """The second recording has a picture that the core cannot bear."""
    bad = lived(seen, 6, 0)
    bad[3].seen.observation["joints"] = np.array([1e30, 1e30], np.float32)

    def spoil(output):
        broken = ~np.isfinite(output.memory).all(1)
        output.parameters[broken] = np.nan
        return output

    class Fragile:
        def __init__(self, backend):
            self.backend, self.memory_size = backend, backend.memory_size

        def encode(self, name, values):
            tokens, mask = self.backend.encode(name, values)
            return np.where(np.abs(tokens) > 1e20, np.nan, tokens), mask

        def __getattr__(self, name):
            return getattr(self.backend, name)

    good = lived(seen, 6, 1)
    decider = Decider(fake(spoil=spoil).on(Fragile), IDS, 32, BatchTally())
    rows, ended = decider.decide([Part(0, 0, tuple(good), True), Part(1, 0, tuple(bad), False)])
    assert [len(some) for some in rows] == [6, 3]
    assert ended == [True, True]
    (trouble,) = decider.tally.quarantine
    assert (trouble.id, trouble.step, trouble.stage, trouble.error) == ("b", 3, "core", "OutputError")
    for row, decision in zip(rows[0], act(fake(), good), strict=True):
        assert_the_same(row, decision)


def test_a_value_that_is_not_what_the_signature_says_ends_its_own_recording_there(fake, seen):
    bad = lived(seen, 4, 0)
    bad[2].seen.observation["camera"] = np.zeros((5, 6, 3), np.uint8)
    decider = Decider(fake(), IDS, 32, BatchTally())
    rows, ended = decider.decide([Part(0, 8, tuple(bad), False), Part(2, 0, tuple(lived(seen, 4, 0)), False)])
    assert [len(some) for some in rows] == [2, 4]
    assert ended == [True, False]
    (trouble,) = decider.tally.quarantine
    assert (trouble.id, trouble.step, trouble.stage, trouble.error) == ("a", 10, "encode", ObservationError.__name__)
    assert "(5, 6, 3)" in trouble.message


def test_what_was_wrong_while_decoding_is_told_with_the_steps_before_it(fake, seen):
    told = Trouble("b", 4, "decode", "DataError", "torn")
    decider = Decider(fake(), IDS, 32, BatchTally())
    rows, ended = decider.decide([Part(1, 2, tuple(lived(seen, 2, 0)), True, told)])
    assert [row.step for row in rows[0]] == [2, 3]
    assert ended == [True]
    assert decider.tally.quarantine == [told]
