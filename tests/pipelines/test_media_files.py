"""Listing media files here and elsewhere."""

import os

import fsspec
import pytest

from sensorimotor.errors import DataError
from sensorimotor.pipelines.media_files import MediaFiles


@pytest.fixture
def folder(tmp_path):
    for name in (
        "clip10.mp4",
        "clip9.mp4",
        "a/x.JPG",
        ".hidden.png",
        "a/.deep/y.png",
        "a/._x.JPG",
        "notes.txt",
        "z.opus",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_media_are_listed_in_the_order_of_people_and_the_rest_is_counted(folder):
    files = MediaFiles(str(folder))
    assert list(files.names) == ["a/x.JPG", "clip9.mp4", "clip10.mp4", "z.opus"]
    assert files.others == 1
    assert files.read("a/x.JPG") == b"a/x.JPG"
    with files.local("a/x.JPG") as path:
        assert path == folder / "a" / "x.JPG"


def test_links_that_lead_back_do_not_lead_astray(folder):
    os.symlink(folder, folder / "a" / "back")
    os.symlink(folder / "z.opus", folder / "linked.opus")
    assert list(MediaFiles(str(folder)).names) == ["a/x.JPG", "clip9.mp4", "clip10.mp4", "linked.opus", "z.opus"]


def test_a_pipe_is_no_file_to_wait_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(DataError, match="pipe"):
        MediaFiles(str(tmp_path)).read("x.png")


def test_the_fingerprint_changes_with_what_is_there(folder):
    before = MediaFiles(str(folder)).fingerprint
    assert MediaFiles(str(folder)).fingerprint == before
    (folder / "clip9.mp4").write_text("something else")
    assert MediaFiles(str(folder)).fingerprint != before


def test_files_that_are_known_are_not_listed(folder, monkeypatch):
    names = MediaFiles(str(folder / "*.mp4")).names
    monkeypatch.setattr(MediaFiles, "_listed", None)
    again = MediaFiles(str(folder / "*.mp4"), names)
    assert list(again.names) == ["clip9.mp4", "clip10.mp4"]
    assert again.read("clip9.mp4") == b"clip9.mp4"


@pytest.mark.parametrize("chained", ["memory://media_files/in", "simplecache::memory://media_files/in"])
def test_files_elsewhere_are_copied_for_as_long_as_they_are_needed(chained):
    fsspec.filesystem("memory").pipe("/media_files/in/deep/clip.mp4", b"film")
    files = MediaFiles(chained)
    assert list(files.names) == ["deep/clip.mp4"]
    assert files.read("deep/clip.mp4") == b"film"
    with files.local("deep/clip.mp4") as path:
        assert path.name == "clip.mp4"
        assert path.read_bytes() == b"film"
    assert not path.exists()


def test_what_cannot_be_reached_is_said_without_credentials():
    with pytest.raises(DataError) as error:
        MediaFiles("nothing://user:secret@host/clips")
    assert "secret" not in str(error.value)
    assert "nothing" in str(error.value)


def test_files_of_which_no_table_can_hold_the_names_are_counted_and_left_out(folder):
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"")
    files = MediaFiles(str(folder))
    assert (len(files.names), files.others, files.misnamed) == (4, 1, 1)


def test_what_is_no_media_file_changes_nothing(folder):
    before = MediaFiles(str(folder)).fingerprint
    (folder / "decisions").mkdir()
    (folder / "decisions" / "manifest.json").write_text("{}")
    assert MediaFiles(str(folder)).fingerprint == before
