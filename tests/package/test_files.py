import errno
import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import OutputPathError
from sensorimotor.files import (
    holding,
    making_directory,
    replacing,
    replacing_directory,
    require_writable,
    sha256,
    write_atomically,
)

FULL = Path("/dev/full")


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("a file, not a directory")
    return folder / "file" / "out"


def in_proc(_: Path) -> Path:
    return Path("/proc/nowhere/out")


def with_too_long_a_name(folder: Path) -> Path:
    return folder / ("n" * 300)


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_a_file_is_written_with_its_parents_and_nothing_beside_it(tmp_path):
    target = tmp_path / "new" / "deep" / "report.json"
    write_atomically(target, "{}")
    assert tree(target.parent) == {"report.json": b"{}"}


@given(content=st.binary() | st.text())
def test_any_content_is_written_as_it_is_text_as_utf8(content):
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "content"
        write_atomically(target, "what was there before")
        write_atomically(target, content)
        assert target.read_bytes() == (content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("unwritable", [below_a_file, in_proc, with_too_long_a_name])
def test_a_file_that_cannot_be_made_is_an_output_path_error_that_names_it(tmp_path, unwritable):
    target = unwritable(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OutputPathError, match=f"cannot write {target}: "):
        write_atomically(target, "x")
    assert tree(tmp_path) == before


def test_a_directory_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputPathError, match="Is a directory"):
        write_atomically(tmp_path / "out", "x")
    assert tree(tmp_path) == {"out": None}


def test_when_the_disk_is_full_the_old_file_stays_and_nothing_is_left_beside_it(tmp_path, monkeypatch):
    target = tmp_path / "report.json"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutputPathError, match=r"report.json: No space left on device. What was there before"):
        write_atomically(target, "new")
    assert tree(tmp_path) == {"report.json": b"old"}


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_real_full_device_is_explained_too(tmp_path):
    target = tmp_path / "weights"
    target.write_text("old")
    with pytest.raises(OutputPathError, match="No space left on device"), replacing(target) as aside:
        aside.symlink_to(FULL)
        aside.write_bytes(b"new")
    assert tree(tmp_path) == {"weights": b"old"}


def test_until_the_block_ends_the_old_file_is_there(tmp_path):
    target = tmp_path / "weights"
    target.write_text("old")
    with replacing(target) as aside:
        aside.write_text("new")
        assert target.read_text() == "old"
        assert aside.parent == target.parent, "a rename is atomic only within one file system"
    assert tree(tmp_path) == {"weights": b"new"}


def test_an_error_while_writing_comes_through_as_it_is_and_changes_nothing(tmp_path):
    target = tmp_path / "weights"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as aside:
        aside.write_text("half")
        1 / 0  # noqa: B018
    assert tree(tmp_path) == {"weights": b"old"}


def test_a_block_that_writes_no_file_is_an_error_and_changes_nothing(tmp_path):
    target = tmp_path / "weights"
    target.write_text("old")
    with pytest.raises(OutputPathError, match="No such file"), replacing(target):
        pass
    assert tree(tmp_path) == {"weights": b"old"}


def test_a_directory_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "stale").write_text("of the old one only")
    with replacing_directory(target) as aside:
        (aside / "config.json").write_text("{}")
        assert (target / "stale").exists()
    assert tree(tmp_path) == {"bundle": None, "bundle/config.json": b"{}"}


def test_a_new_directory_is_made_with_its_parents(tmp_path):
    with replacing_directory(tmp_path / "deep" / "bundle") as aside:
        (aside / "config.json").write_text("{}")
    assert tree(tmp_path / "deep") == {"bundle": None, "bundle/config.json": b"{}"}


def test_what_a_killed_run_left_half_filled_does_not_get_into_the_next(tmp_path):
    with pytest.raises(KeyboardInterrupt), replacing_directory(tmp_path / "bundle") as aside:
        left = aside
        raise KeyboardInterrupt
    left.mkdir()
    (left / "junk").write_text("half")
    with replacing_directory(tmp_path / "bundle") as aside:
        assert list(aside.iterdir()) == []
    assert tree(tmp_path) == {"bundle": None}


def test_an_error_while_filling_leaves_the_old_directory_and_nothing_else(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "config.json").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing_directory(target) as aside:
        (aside / "config.json").write_text("new")
        1 / 0  # noqa: B018
    assert tree(tmp_path) == {"bundle": None, "bundle/config.json": b"old"}


def test_a_full_disk_while_filling_leaves_the_old_directory_and_nothing_else(tmp_path):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "config.json").write_text("old")
    with pytest.raises(OutputPathError, match="bundle: No space left on device"), replacing_directory(target):
        no_space()
    assert tree(tmp_path) == {"bundle": None, "bundle/config.json": b"old"}


def test_when_the_last_rename_fails_the_old_directory_is_put_back(tmp_path, monkeypatch):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "config.json").write_text("old")
    rename = Path.rename

    def fails_for_the_new_one(self, to):
        if (self / "new").exists():
            no_space()
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fails_for_the_new_one)
    with (
        pytest.raises(OutputPathError, match="What was there before is unchanged"),
        replacing_directory(target) as aside,
    ):
        (aside / "new").write_text("new")
    assert tree(tmp_path) == {"bundle": None, "bundle/config.json": b"old"}


def test_a_file_is_not_replaced_by_a_directory_and_that_is_known_before_the_work(tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    with (
        pytest.raises(OutputPathError, match="notes.txt: Not a directory"),
        replacing_directory(tmp_path / "notes.txt"),
    ):
        pytest.fail("the work was begun")
    assert tree(tmp_path) == {"notes.txt": b"precious"}


@pytest.mark.parametrize("unwritable", [below_a_file, in_proc, with_too_long_a_name])
def test_a_directory_that_cannot_be_made_is_an_output_path_error_before_the_work(tmp_path, unwritable):
    target = unwritable(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OutputPathError, match=f"cannot write {target}: "), replacing_directory(target):
        pytest.fail("the work was begun")
    assert tree(tmp_path) == before


def test_a_directory_is_there_once_it_is_complete(tmp_path):
    target = tmp_path / "new" / "table"
    with making_directory(target) as aside:
        (aside / "rows").write_text("1")
        assert not target.exists()
    assert tree(tmp_path) == {"new": None, "new/table": None, "new/table/rows": b"1"}


def test_who_makes_a_directory_second_leaves_the_first(tmp_path):
    target = tmp_path / "table"
    with making_directory(target) as aside:
        (aside / "rows").write_text("second")
        target.mkdir()
        (target / "rows").write_text("first")
    assert tree(tmp_path) == {"table": None, "table/rows": b"first"}


def test_a_directory_that_was_not_completed_is_never_there(tmp_path):
    with pytest.raises(OutputPathError, match="table: No space left"), making_directory(tmp_path / "table") as aside:
        (aside / "rows").write_text("1")
        no_space()
    with pytest.raises(KeyboardInterrupt), making_directory(tmp_path / "table") as aside:
        raise KeyboardInterrupt
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("unwritable", [below_a_file, in_proc, with_too_long_a_name])
def test_a_directory_that_cannot_be_made_once_is_refused_before_the_work(tmp_path, unwritable):
    target = unwritable(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OutputPathError, match=f"cannot write {target}: "), making_directory(target):
        pytest.fail("the work was begun")
    assert tree(tmp_path) == before


def test_a_file_in_the_place_of_a_directory_stays(tmp_path):
    (tmp_path / "table").write_text("precious")
    with pytest.raises(OutputPathError, match="table: Not a directory"), making_directory(tmp_path / "table"):
        pass
    assert tree(tmp_path) == {"table": b"precious"}


def test_a_writable_directory_is_made_and_left_empty(tmp_path):
    assert require_writable(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert tree(tmp_path) == {"a": None, "a/b": None}


@pytest.mark.parametrize("unwritable", [below_a_file, in_proc, with_too_long_a_name])
def test_a_directory_that_cannot_be_written_to_is_refused_by_name(tmp_path, unwritable):
    directory = unwritable(tmp_path)
    with pytest.raises(OutputPathError, match=f"cannot write {directory}: "):
        require_writable(directory)


def test_an_existing_directory_on_a_read_only_disk_is_refused(tmp_path, monkeypatch):
    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(OutputPathError, match="Read-only file system"):
        require_writable(tmp_path)


@given(content=st.binary(max_size=4096))
def test_the_digest_of_a_file_is_that_of_its_bytes(content):
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        assert sha256(Path(file.name)) == hashlib.sha256(content).hexdigest()


def test_a_directory_is_held_by_one_at_a_time(tmp_path):
    taken = pytest.raises(OutputPathError, match=f"another process is writing to {tmp_path}: wait")
    with holding(tmp_path), taken, holding(tmp_path):
        pass
    with holding(tmp_path):
        assert not any(tmp_path.iterdir())


def test_a_pipe_or_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputPathError, match="it is a pipe or a device"):
        write_atomically(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
