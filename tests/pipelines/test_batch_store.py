"""A directory of decisions: each shard is there in whole or not at all, whatever happens meanwhile."""

import errno
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorimotor.errors import OutputPathError, UsageError
from sensorimotor.files import sha256
from sensorimotor.pipelines.batch_blocks import Trouble
from sensorimotor.pipelines.batch_store import JOURNAL, MANIFEST, QUARANTINE, REPORT, Shard, open_store
from sensorimotor.pipelines.batch_tally import BatchTally

SCHEMA = pa.schema([("id", pa.string()), ("step", pa.int64())])
KEY = {"policy": "a" * 64, "rate_hz": None, "input": "b" * 64}
TORN = Trouble("ep3", 2, "decode", "DataError", "torn")


def shard(number):
    return Shard(number, 2 * number, 2 * number + 2)


def rows(number):
    return [pa.RecordBatch.from_pydict({"id": [f"ep{number}"] * 3, "step": [0, 1, 2]}, SCHEMA)]


def tally(number):
    return BatchTally(rows=3, held=1, quarantine=[TORN] if number == 1 else [])


def keep(store, number):
    return store.keep(shard(number), SCHEMA, rows(number), lambda: tally(number))


def opened(path, key=KEY, **options):
    return open_store(path, key, {"date": "today"}, **options)


def written(path, count=2, finish=False):
    with opened(path) as store:
        for number in range(count):
            keep(store, number)
        if finish:
            store.finish({"rows": 3 * count})
    return path


def test_what_is_kept_is_found_again(tmp_path):
    written(tmp_path)
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [0, 1]
        assert store.kept[1].tally == tally(1)
        assert store.tally().rows == 6
    assert pq.read_table(tmp_path / "part-00001.parquet").to_pylist()[2] == {"id": "ep1", "step": 2}


def test_a_finished_run_has_a_manifest_a_report_and_what_was_put_aside(tmp_path):
    written(tmp_path, finish=True)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert (manifest["finished"], manifest["key"], manifest["date"]) == (True, KEY, "today")
    assert [one["file"] for one in manifest["shards"]] == ["part-00000.parquet", "part-00001.parquet"]
    for one in manifest["shards"]:
        assert one["sha256"] == sha256(tmp_path / one["file"])
        assert one["rows"] == 3
    assert json.loads((tmp_path / REPORT).read_text()) == {"rows": 6}
    assert pq.read_table(tmp_path / QUARANTINE).to_pylist() == [TORN._asdict()]


def test_nothing_put_aside_is_an_empty_table_of_the_same_columns(tmp_path):
    written(tmp_path, count=1, finish=True)
    assert pq.read_table(tmp_path / QUARANTINE).column_names == list(Trouble._fields)


# Killed at any moment


def test_a_shard_that_has_its_name_but_no_line_in_the_journal_does_not_count(tmp_path):
    written(tmp_path)
    lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_text(lines[0])
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [0]
        keep(store, 1)
    assert (tmp_path / JOURNAL).read_text().splitlines(keepends=True) == lines


@pytest.mark.parametrize("torn", [1, 20, -1])
def test_a_torn_line_of_the_journal_does_not_count_and_is_cut_off(tmp_path, torn):
    written(tmp_path)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(lines[0] + lines[1][:torn])
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [0]
        assert (tmp_path / JOURNAL).read_bytes() == lines[0]
        keep(store, 1)
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [0, 1]


def test_what_was_half_written_is_removed(tmp_path):
    written(tmp_path)
    (tmp_path / ".part-00002.parquet.77.part").write_bytes(b"half")
    with opened(tmp_path, resume=True):
        assert not (tmp_path / ".part-00002.parquet.77.part").exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes().replace(b"ep0", b"ep7")),
        lambda file: file.write_bytes(file.with_name("part-00001.parquet").read_bytes()),
    ],
    ids=["taken away", "emptied", "changed", "swapped"],
)
def test_a_shard_that_is_not_what_was_written_is_done_again(tmp_path, harm):
    written(tmp_path)
    harm(tmp_path / "part-00000.parquet")
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [1]


def test_a_run_that_was_killed_before_its_first_shard_is_continued(tmp_path):
    with opened(tmp_path):
        pass
    with opened(tmp_path, resume=True) as store:
        assert store.kept == {}


def changed(**of_line):
    def change(line):
        form = json.loads(line)
        tally = form["tally"] | of_line.pop("tally", {})
        return json.dumps({**form, "tally": tally, **of_line})

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda _: '{"shard": 0}',
        lambda _: "[" * 100_000,
        changed(shard=[0]),
        changed(shard=1),
        changed(file="../part-00000.parquet"),
        changed(tally={"rows": "many"}),
        changed(tally={"absent": {"mic": "often"}}),
        changed(tally={"quarantine": [[1, 2, 3, 4, 5]]}),
    ],
)
def test_a_journal_that_was_changed_is_refused(tmp_path, change):
    written(tmp_path)
    first, *others = (tmp_path / JOURNAL).read_text().splitlines()
    (tmp_path / JOURNAL).write_text("\n".join([change(first), *others, ""]))
    with pytest.raises(OutputPathError, match="line 1 is damaged: begin anew"), opened(tmp_path, resume=True):
        pass


def test_an_error_while_rows_are_made_leaves_nothing_of_their_shard(tmp_path):
    def broken():
        yield from rows(0)
        raise ValueError("no more")

    with opened(tmp_path) as store:
        with pytest.raises(ValueError, match="no more"):
            store.keep(shard(0), SCHEMA, broken(), BatchTally)
        assert store.kept == {}
    assert sorted(file.name for file in tmp_path.iterdir()) == [MANIFEST]


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_is_told_and_what_was_kept_before_is_kept(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with opened(tmp_path) as store:
        keep(store, 0)
        monkeypatch.setattr(os, call, full)
        with pytest.raises(OutputPathError, match="No space left on device"):
            keep(store, 1)
        monkeypatch.undo()
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [0]


# Whose directory it is


def test_results_that_are_there_are_neither_mixed_with_others_nor_removed_unasked(tmp_path):
    written(tmp_path, finish=True)
    with pytest.raises(UsageError, match=r"has results already: --resume .* --overwrite"), opened(tmp_path):
        pass
    with opened(tmp_path, overwrite=True) as store:
        assert store.kept == {}
    assert sorted(file.name for file in tmp_path.iterdir()) == [MANIFEST]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": "c" * 64}, "policy was aaaaaaaaaaaa…, and is cccccccccccc… now"),
        ({"rate_hz": 5.0}, "rate_hz was null, and is 5.0 now"),
        ({"input": "d" * 64}, "input was bbbbbbbbbbbb…, and is dddddddddddd… now"),
    ],
)
def test_what_depends_on_something_else_is_not_continued(tmp_path, change, words):
    written(tmp_path)
    with pytest.raises(UsageError, match=words), opened(tmp_path, KEY | change, resume=True):
        pass
    with opened(tmp_path, resume=True) as store:
        assert sorted(store.kept) == [0, 1]


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize("name", ["holiday.jpg", "part-00000.parquet"])
def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path, name, options):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(OutputPathError, match=f"something else in it .{name}"), opened(tmp_path, **options):
        pass
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize("content", ["[]", '{"kind": "bundle"}', "no JSON", '{"kind": "decisions", "key": 3}'])
def test_the_manifest_of_something_else_is_left_alone(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(OutputPathError, match="another directory"), opened(tmp_path, overwrite=True):
        pass
    assert (tmp_path / MANIFEST).read_text() == content


def test_overwriting_leaves_what_others_have_put_there(tmp_path):
    written(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with opened(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_to_continue_and_to_remove_do_not_go_together(tmp_path):
    with (
        pytest.raises(UsageError, match="leave one of them out"),
        opened(tmp_path / "new", resume=True, overwrite=True),
    ):
        pass


def test_results_of_a_newer_version_are_not_continued(tmp_path):
    written(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(UsageError, match="format 99"), opened(tmp_path, resume=True):
        pass


def test_two_runs_do_not_write_to_one_directory(tmp_path):
    code = (
        "import sys; from pathlib import Path; from sensorimotor.pipelines.batch_store import open_store\n"
        "with open_store(Path(sys.argv[1]), {}, {}): pass"
    )
    with opened(tmp_path):
        done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert "another process is writing to" in done.stderr


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputPathError, match="cannot write"), opened(tmp_path / "out"):
        pass
