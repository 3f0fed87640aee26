"""Recordings are read block by block, single rows several at a time."""

from itertools import zip_longest

import pytest

from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.sensor import Losses
from sensorimotor.pipelines.batch_blocks import Reader, Unit
from sensorimotor.pipelines.batch_input import Step, Unreadable


class Input:
    """Episodes of so many steps; negative: so many, and then they are torn; None: they cannot be opened."""

    def __init__(self, *lengths, alone=False):
        self.lengths, self.alone, self.losses = lengths, alone, Losses()
        self.ids = [f"e{number}" for number in range(len(lengths))]
        self.touched = []

    def lived(self, index):
        self.touched.append(index)
        length = self.lengths[index]
        if length is None:
            raise Unreadable(self.ids[index], "open", "DataError", "no such file")
        for number in range(abs(length)):
            self.losses.count("clipped")
            yield Step(number / 10, Sensed({"n": number}, {}, {"n": number}))
        if length < 0:
            raise Unreadable(self.ids[index], "decode", "ValueError", "torn")

    def samples(self, indices):
        found = []
        for index in indices:
            try:
                found += self.lived(index)
            except Unreadable as error:
                found.append(error)
        return found


def blocks(reader):
    while True:
        block = reader.block()
        yield block
        if block.ended:
            return


def steps_of(block):
    return [step.seen.observation["n"] for part in block.parts for step in part.steps]


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, [[]]), (1, [[0]]), (4, [[0, 1, 2, 3]]), (5, [[0, 1, 2, 3], [4]]), (8, [[0, 1, 2, 3], [4, 5, 6, 7]])],
)
def test_the_last_block_of_a_recording_is_known_to_be_the_last(length, expected):
    found = list(blocks(Reader(Input(length), Unit(0, 1), 4)))
    assert [steps_of(block) for block in found] == expected
    assert [block.parts[0].first for block in found] == [4 * number for number in range(len(expected))]
    assert sum(block.losses.get("clipped", 0) for block in found) == length


def test_what_is_lost_counts_once_where_recordings_are_read_by_turns():
    opened = Input(6, 2, 5)
    readers = [blocks(Reader(opened, Unit(number, number + 1), 2)) for number in range(3)]
    losses = [block.losses.get("clipped", 0) for turn in zip_longest(*readers) for block in turn if block]
    assert sum(losses) == opened.losses.totals()["clipped"] == 13


def test_who_reads_on_for_another_skips_what_was_had():
    reader = Reader(Input(10), Unit(0, 1), 4, skip=4)
    assert [(block.parts[0].first, steps_of(block)) for block in blocks(reader)] == [(4, [4, 5, 6, 7]), (8, [8, 9])]


def test_of_a_torn_recording_there_are_the_steps_before_the_tear_and_the_reason():
    *_, last = blocks(Reader(Input(-6), Unit(0, 1), 4))
    (part,) = last.parts
    assert steps_of(last) == [4, 5]
    assert part.trouble == ("e0", 6, "decode", "ValueError", "torn")


def test_a_recording_that_cannot_be_opened_is_a_block_without_steps():
    (block,) = blocks(Reader(Input(None), Unit(0, 1), 4))
    assert block.parts[0].trouble == ("e0", 0, "open", "DataError", "no such file")


def test_single_rows_come_together_each_with_its_own_trouble():
    opened = Input(1, None, 1, 1, alone=True)
    (block,) = blocks(Reader(opened, Unit(0, 4), 1))
    assert [part.episode for part in block.parts] == [0, 1, 2, 3]
    assert [part.trouble and part.trouble.stage for part in block.parts] == [None, "open", None, None]
    assert opened.touched == [0, 1, 2, 3]


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_deadly_is_not_touched(alone):
    opened = Input(1, 1, alone=alone)
    unit = Unit(0, 2) if alone else Unit(1, 2)
    (block,) = blocks(Reader(opened, unit, 1, skip=0, deadly={1}))
    trouble = block.parts[-1].trouble
    assert (trouble.id, trouble.stage, trouble.error) == ("e1", "decode", "WorkerDied")
    assert "two processes were killed" in trouble.message
    assert 1 not in opened.touched


def test_a_recording_that_became_deadly_later_keeps_the_number_of_its_steps():
    (block,) = blocks(Reader(Input(9), Unit(0, 1), 4, skip=4, deadly={0}))
    assert block.parts[0].trouble.step == 4
