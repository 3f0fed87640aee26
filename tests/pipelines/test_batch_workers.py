"""Decoding in other processes, some of which are killed."""

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import DataError, SensorimotorError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image, Text
from sensorimotor.pipelines import batch_workers
from sensorimotor.pipelines.batch_blocks import Reader, Unit
from sensorimotor.pipelines.batch_input import InputSpec, open_input
from sensorimotor.pipelines.batch_slots import slot_bytes
from sensorimotor.pipelines.batch_worker import Opening
from sensorimotor.pipelines.batch_workers import KILLED, Workers

SIGNATURE = Signature({"camera": Image(height=40, width=40), "instruction": Text()}, Discrete(2), Constant(0), 10.0)

DEADLY = '''
import os, signal, sys
from fsspec.implementations.local import LocalFileSystem

class Deadly(LocalFileSystem):
    """`deadly://always/FILE` kills whoever opens it, `deadly://once/FILE` only the first one."""

    protocol = "deadly"

    @classmethod
    def _strip_protocol(cls, path):
        return path

    def _open(self, path, mode="rb", **options):
        how, _, file = path.removeprefix("deadly://").partition("/")
        marker = "/" + file + ".killed"
        if how == "always" or not os.path.exists(marker):
            open(marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return open("/" + file, mode)
'''
REGISTERED = "import fsspec, deadly\nfsspec.register_implementation('deadly', deadly.Deadly)\n"


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Makes the address of a picture that kills: `deadly("once", file)`; processes that begin now know of it."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "deadly.py").write_text(DEADLY)
    (code / "sitecustomize.py").write_text(REGISTERED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]))
    return lambda how, file: f"deadly://{how}{file}"


def pictures(folder, count):
    files = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        files.append(folder / f"{number}.png")
        assert cv2.imwrite(str(files[-1]), pixels)
    return files


def rows_table(folder, locations):
    text = "".join(f"r{at},{location},go {at}\n" for at, location in enumerate(locations))
    (folder / "rows.csv").write_text("id,camera,instruction\n" + text)
    return InputSpec(str(folder / "rows.csv"))


def lived_table(folder, episodes):
    lines = ["episode,time,camera,instruction"]
    for at, locations in enumerate(episodes):
        lines += [f"e{at},{number / 10},{location},go" for number, location in enumerate(locations)]
    (folder / "lived.csv").write_text("\n".join(lines))
    return InputSpec(str(folder / "lived.csv"))


def opening_of(spec, steps=1, slots=12):
    opened = open_input(spec, SIGNATURE)
    size = slot_bytes(40 * 40 * 3, 2, max(steps, 4))
    return Opening(spec, SIGNATURE.to_json(), opened.ids, steps, slots, size), opened


def read(workers, units):
    """All parts of some units, copied, asked for together."""
    parts = []
    for unit in units:
        workers.ask(unit)
    for unit in units:
        while True:
            block = workers.take(unit)
            parts += [(part, [one.seen.observation["camera"].copy() for one in part.steps]) for part in block.parts]
            if not block.ended:
                workers.ask(unit)
            workers.release(unit)
            if block.ended:
                break
    return parts


def frames(opened, index):
    return [step.seen.observation["camera"] for step in opened.lived(index)]


def assert_whole(parts, opened):
    """Every episode is there, step by step, each once."""
    for index in range(len(opened)):
        found = [(part.first, some) for part, some in parts if part.episode == index]
        assert [first for first, _ in found] == list(np.cumsum([0] + [len(some) for _, some in found[:-1]]))
        assert np.array_equal([one for _, some in found for one in some], frames(opened, index))


def test_what_other_processes_decode_is_what_is_decoded_here(tmp_path):
    files = pictures(tmp_path, 6)
    opening, opened = opening_of(lived_table(tmp_path, [files, files[:1], files[::-1]]), steps=4)
    with Workers(opening, 2) as workers:
        assert_whole(read(workers, [Unit(0, 1), Unit(1, 2), Unit(2, 3)]), opened)


@pytest.mark.parametrize("lived", [True, False])
def test_what_a_killed_process_had_to_do_is_done_again(tmp_path, deadly, lived):
    files = pictures(tmp_path, 8)
    locations = [*files[:5], deadly("once", files[5]), *files[6:]]
    spec = lived_table(tmp_path, [locations, files]) if lived else rows_table(tmp_path, locations)
    opening, _ = opening_of(spec, steps=2)
    units = [Unit(0, 1), Unit(1, 2)] if lived else [Unit(0, 4), Unit(4, 8)]
    with Workers(opening, 1) as workers:
        parts = read(workers, units)
    plain = lived_table(tmp_path, [files, files]) if lived else rows_table(tmp_path, files)
    assert [part.trouble for part, _ in parts if part.trouble] == []
    assert_whole(parts, open_input(plain, SIGNATURE))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_kills_twice_is_put_aside_and_no_other_is(tmp_path, deadly, workers):
    files = pictures(tmp_path, 8)
    opening, opened = opening_of(rows_table(tmp_path, [*files[:5], deadly("always", files[5]), *files[6:]]))
    with Workers(opening, workers) as decoding:
        parts = read(decoding, [Unit(0, 4), Unit(4, 8)])
    assert [part.episode for part, _ in parts] == list(range(8))
    assert [part.trouble and part.trouble.error for part, _ in parts] == [None] * 5 + ["WorkerDied"] + [None] * 2
    for part, some in parts:
        if not part.trouble:
            assert np.array_equal(some, frames(opened, part.episode))


def test_a_recording_that_kills_twice_keeps_what_came_before_and_the_next_is_decoded(tmp_path, deadly):
    files = pictures(tmp_path, 8)
    spec = lived_table(tmp_path, [[*files[:6], deadly("always", files[6])], files])
    opening, opened = opening_of(spec, steps=2)
    with Workers(opening, 1) as workers:
        parts = read(workers, [Unit(0, 1), Unit(1, 2)])
    troubles = [part.trouble for part, _ in parts if part.trouble]
    assert [(one.id, one.stage, one.error) for one in troubles] == [("e0", "decode", "WorkerDied")]
    second = [one for part, some in parts if part.episode == 1 for one in some]
    assert np.array_equal(second, frames(opened, 1))


def test_kills_are_counted(tmp_path, deadly):
    files = pictures(tmp_path, 2)
    opening, _ = opening_of(rows_table(tmp_path, [deadly("once", files[0]), files[1]]))
    with Workers(opening, 1) as workers:
        workers.ask(Unit(0, 2))
        assert workers.take(Unit(0, 2)).losses[KILLED] == 1


def test_processes_that_are_killed_from_outside_are_replaced_again_and_again(tmp_path):
    files = pictures(tmp_path, 6)
    opening, opened = opening_of(lived_table(tmp_path, [files * 5] * 3), steps=2)
    rng = np.random.default_rng(0)
    asked = 0
    with Workers(opening, 2) as workers:

        def ask(unit):
            nonlocal asked
            asked += 1
            if asked % 9 == 0:  # not so often that an episode is blamed twice
                victim = workers._workers[rng.integers(2)]
                if victim.ready and not victim.asked:
                    os.kill(victim.process.pid, signal.SIGKILL)
            Workers.ask(workers, unit)

        workers.ask = ask
        assert_whole(read(workers, [Unit(0, 1), Unit(1, 2), Unit(2, 3)]), opened)


def test_what_is_forgotten_makes_room_for_others(tmp_path):
    files = pictures(tmp_path, 6)
    opening, opened = opening_of(lived_table(tmp_path, [files * 3] * 6), steps=2, slots=2)
    with Workers(opening, 1) as workers:
        for number in range(5):
            unit = Unit(number, number + 1)
            workers.ask(unit)
            workers.take(unit)
            workers.ask(unit)
            workers.release(unit)
            workers.forget(unit)
        parts = read(workers, [Unit(5, 6)])
    assert np.array_equal([one for _, some in parts for one in some], frames(opened, 5))


def test_an_input_that_has_gone_is_told(tmp_path):
    opening, _ = opening_of(rows_table(tmp_path, pictures(tmp_path, 2)))
    Path(opening.spec.where).unlink()
    with Workers(opening, 1) as workers:
        workers.ask(Unit(0, 2))
        with pytest.raises(DataError, match=r"rows\.csv"):
            workers.take(Unit(0, 2))


def test_an_input_that_has_other_rows_by_now_is_told(tmp_path):
    files = pictures(tmp_path, 2)
    opening, _ = opening_of(rows_table(tmp_path, files))
    rows_table(tmp_path, files[:1])
    with Workers(opening, 1) as workers:
        workers.ask(Unit(0, 2))
        with pytest.raises(DataError, match="changed"):
            workers.take(Unit(0, 2))


def test_processes_that_die_before_they_are_ready_are_not_replaced_for_ever(tmp_path, monkeypatch):
    opening, _ = opening_of(rows_table(tmp_path, pictures(tmp_path, 2)))
    code = tmp_path / "code"
    code.mkdir()
    kill = "import os, signal, sys\nif '--multiprocessing-fork' in sys.argv: os.kill(os.getpid(), signal.SIGKILL)\n"
    (code / "sitecustomize.py").write_text(kill)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")]))
    with Workers(opening, 1) as workers:
        workers.ask(Unit(0, 2))
        with pytest.raises(SensorimotorError, match="3 processes in a row died .* --workers 0"):
            workers.take(Unit(0, 2))


def test_who_waits_can_be_called_away(tmp_path, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    opening, _ = opening_of(rows_table(tmp_path, pictures(tmp_path, 2)))
    with Workers(opening, 1, stop) as workers:
        workers.ask(Unit(0, 2))
        with pytest.raises(KeyboardInterrupt):
            workers.take(Unit(0, 2))


def test_no_process_is_left_behind(tmp_path, monkeypatch):
    opening, _ = opening_of(rows_table(tmp_path, pictures(tmp_path, 2)))
    with Workers(opening, 2) as workers:
        processes = [worker.process for worker in workers._workers]
    assert all(process.exitcode is not None for process in processes)


def test_one_that_does_not_end_by_itself_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_workers, "PATIENCE_S", 0.1)
    opening, _ = opening_of(rows_table(tmp_path, pictures(tmp_path, 2)))
    with Workers(opening, 1) as workers:
        process = workers._workers[0].process
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
    assert process.exitcode == -signal.SIGKILL
    assert time.monotonic() - began < 60


def test_reading_here_and_there_is_the_same(tmp_path):
    files = pictures(tmp_path, 5)
    opening, opened = opening_of(rows_table(tmp_path, files))
    here = Reader(opened, Unit(0, 4), 1).block()
    with Workers(opening, 1) as workers:
        there = read(workers, [Unit(0, 4)])
    for part, (other, some) in zip(here.parts, there, strict=True):
        assert (part.episode, part.ended, part.trouble) == (other.episode, other.ended, other.trouble)
        assert np.array_equal(part.steps[0].seen.observation["camera"], some[0])
