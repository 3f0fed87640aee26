"""What is in a media file."""

import os

import numpy as np
import pytest
import soundfile

from sensorimotor.errors import DataError
from sensorimotor.pipelines.media_inside import inside
from sensorimotor.pipelines.video import VideoWriter

BOTH = {"pictures", "sound"}


def test_what_is_wanted_and_there_is_found(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    assert inside(tmp_path / "a.wav", BOTH) == {"sound"}
    assert inside(tmp_path / "a.wav", {"pictures"}) == set()
    writer = VideoWriter(tmp_path / "a.mp4", 10, 16, 16)
    for _ in range(5):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.close()
    assert inside(tmp_path / "a.mp4", BOTH) == {"pictures"}


def test_what_nobody_wants_may_be_anything(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10, 16, 16)
    for _ in range(5):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.close()
    (tmp_path / "b.mp4").write_bytes((tmp_path / "a.mp4").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(DataError, match="cannot decode"):
        inside(tmp_path / "b.mp4", BOTH)
    assert inside(tmp_path / "b.mp4", {"sound"}) == set()


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_a_sound_that_is_cut_short_is_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    rng = np.random.default_rng(0)
    soundfile.write(path, rng.uniform(-0.5, 0.5, 40_000), 16_000)
    assert inside(path, {"sound"}) == {"sound"}
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match="cut short"):
        inside(path, {"sound"})
