"""Shards of decisions, with decoding done in this process."""

import gc

import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import UsageError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.modality import Audio, Image
from sensorimotor.perception.sensor import Losses
from sensorimotor.pipelines.batch_engine import Engine, Here, Pace, step_bytes
from sensorimotor.pipelines.batch_input import Step, Unreadable
from sensorimotor.pipelines.batch_rows import Columns
from sensorimotor.pipelines.batch_store import Shard

LENGTHS = [3, 0, 11, 1, 7, 2, 5, 4, 9]


class Rooms:
    """Recordings of such lengths, or rows that stand alone; some are torn after so many steps."""

    def __init__(self, lengths=LENGTHS, alone=False, torn=()):
        self.lengths, self.alone, self.torn, self.losses = lengths, alone, dict(torn), Losses()
        self.ids = [f"e{number}" for number in range(len(lengths))]
        self.open = self.most_open = 0

    def lived(self, index):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        rng = np.random.default_rng(index)
        for number in range(self.lengths[index]):
            if self.torn.get(index) == number:
                self.open -= 1
                raise Unreadable(self.ids[index], "decode", "DataError", "torn")
            observation = {"camera": rng.integers(0, 256, (4, 6, 3), np.uint8), "instruction": f"go {index % 3}"}
            yield Step(number / 10, Sensed(observation, {"camera": 0.05}, {"camera": number, "instruction": 0}))
        self.open -= 1

    def samples(self, indices):
        found = []
        for index in indices:
            try:
                found += self.lived(index)
            except Unreadable as error:
                found.append(error)
        return found


def run(policy, opened, tmp_path, batch_size=8, shard_size=4, pulse=lambda _: None):
    pace = Pace.of(policy.signature, batch_size, opened.alone)
    columns = Columns(policy.signature, embeddings=True)
    engine = Engine(policy, Here(opened, pace), opened.ids, pace, batch_size, columns, tmp_path, pulse)
    count = len(opened.ids)
    shards = [Shard(at, first, min(first + shard_size, count)) for at, first in enumerate(range(0, count, shard_size))]
    rows, tallies = [], []
    for decided in engine.decide(shards):
        rows += [row for batch in decided.rows for row in batch.to_pylist()]
        tallies.append(decided.tally())
    return rows, tallies


def expected(policy, opened):
    rows = []
    for index, name in enumerate(opened.ids):
        policy.reset()
        for at, step in enumerate(opened.lived(index)):
            seen = step.seen
            rows.append((name, at, policy.act(seen.observation, ages_s=seen.ages_s, sequences=seen.sequences)))
    return rows


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
@pytest.mark.parametrize("shard_size", [1, 4, 100])
def test_rows_are_in_the_order_of_the_input_and_those_of_act(fake, tmp_path, batch_size, shard_size):
    rows, tallies = run(fake(), Rooms(), tmp_path, batch_size, shard_size)
    wanted = expected(fake(), Rooms())
    assert [(row["id"], row["step"]) for row in rows] == [(name, at) for name, at, _ in wanted]
    for row, (_, _, decision) in zip(rows, wanted, strict=True):
        assert row["label"] == decision.label
        assert row["embedding"] == pytest.approx(decision.embedding.tolist(), abs=1e-4)
    assert sum(tally.rows for tally in tallies) == sum(LENGTHS)


@pytest.mark.parametrize("batch_size", [1, 5, 16, 64])
def test_rows_that_stand_alone_are_in_order_too(fake, tmp_path, batch_size):
    opened = Rooms([1] * 37, alone=True)
    rows, _ = run(fake(), opened, tmp_path, batch_size, shard_size=20)
    assert [row["id"] for row in rows] == opened.ids
    wanted = [decision.label for _, _, decision in expected(fake(), opened)]
    assert [row["label"] for row in rows] == wanted


def test_rows_that_stand_alone_are_encoded_so_many_at_a_time(fake, tmp_path):
    policy = fake()
    run(policy, Rooms([1] * 64, alone=True), tmp_path, batch_size=16, shard_size=64)
    assert [count for name, count in policy.backend.encoded if name == "camera"] == [16] * 4


@pytest.mark.parametrize("shard_size", [1, 100])
def test_a_torn_recording_ends_early_and_costs_no_other_a_row(fake, tmp_path, shard_size):
    rows, tallies = run(fake(), Rooms(torn={2: 5, 6: 0}), tmp_path, shard_size=shard_size)
    counts = {name: sum(row["id"] == name for row in rows) for name in Rooms().ids}
    assert list(counts.values()) == [3, 0, 5, 1, 7, 2, 0, 4, 9]
    troubles = [trouble for tally in tallies for trouble in tally.quarantine]
    assert [(trouble.id, trouble.step) for trouble in troubles] == [("e2", 5), ("e6", 0)]


def test_troubles_are_told_in_the_order_of_the_input(fake, tmp_path):
    _, (tally,) = run(fake(), Rooms([9, 9, 9], torn={0: 8, 1: 5, 2: 0}), tmp_path)
    assert [trouble.id for trouble in tally.quarantine] == ["e0", "e1", "e2"]


def test_only_so_many_recordings_are_open_at_a_time(fake, tmp_path):
    opened = Rooms([20] * 50)
    run(fake(), opened, tmp_path, batch_size=4, shard_size=50)
    assert opened.most_open == 4  # one is asked for, and opened when it is taken


def test_each_stage_is_timed(fake, tmp_path):
    _, tallies = run(fake(), Rooms(), tmp_path)
    for tally in tallies:
        assert set(tally.seconds) == {"decode", "wait", "encode", "core", "write"}
        assert all(seconds >= 0 for seconds in tally.seconds.values())


def test_who_looks_up_can_end_the_work(fake, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(fake(), Rooms(), tmp_path, pulse=stop)


@pytest.mark.parametrize("alone", [True, False])
def test_nothing_is_kept_of_rows_that_are_done(fake, tmp_path, alone):
    """As many objects are alive after the last shard as after the third."""
    opened = Rooms([1] * 1200, alone=True) if alone else Rooms([4] * 300)
    pace = Pace.of(fake().signature, 16, alone)
    columns = Columns(fake().signature)
    engine = Engine(fake(), Here(opened, pace), opened.ids, pace, 16, columns, tmp_path)
    shards = [Shard(at, at * 50, at * 50 + 50) for at in range(len(opened.ids) // 50)]
    alive = []
    for decided in engine.decide(shards):
        assert sum(len(rows) for rows in decided.rows) in (50, 200)
        gc.collect()
        alive.append(len(gc.get_objects()))
    assert abs(alive[-2] - alive[2]) < 100


# How much at a time


def signature(**inputs):
    return Signature(inputs, Discrete(2), Constant(0), 10.0)


SMALL = signature(camera=Image(height=56, width=56))


@pytest.mark.parametrize("batch_size", [1, 2, 7, 8, 32, 1000])
def test_about_as_many_rows_are_decided_at_a_time_as_are_asked_for(batch_size):
    alone, lived = Pace.of(SMALL, batch_size, alone=True), Pace.of(SMALL, batch_size, alone=False)
    assert batch_size / 2 < alone.episodes * alone.lanes <= batch_size
    assert batch_size / 2 < lived.steps * lived.lanes <= batch_size
    assert (alone.steps, lived.episodes) == (1, 1)


def test_large_pictures_make_small_blocks():
    large = signature(camera=Image(height=2160, width=3840))
    assert Pace.of(large, 32, alone=True).episodes == 1
    assert Pace.of(large, 1000, alone=False).steps == 1


@pytest.mark.parametrize("size", [0, 10**9])
def test_a_batch_has_at_least_one_row_and_not_all_there_are(size):
    with pytest.raises(UsageError, match=f"the batch size is 1 to 4096, not {size}"):
        Pace.of(SMALL, size, alone=True)


def test_films_and_sounds_are_counted_whole():
    inputs = {"film": Image(height=2, width=3, frames=4), "mic": Audio(sample_rate=8000, seconds=2, channels=2)}
    assert step_bytes(signature(**inputs)) == 4 * 2 * 3 * 3 + 4 * 16000 * 2


def test_units_cover_a_shard():
    pace = Pace.of(SMALL, 32, alone=True)
    assert pace.units(Shard(0, 10, 28)) == [(10, 18), (18, 26), (26, 28)]
