"""Films played for decisions that are made without waiting."""

import numpy as np
import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.errors import DataError
from sensorimotor.perception.modality import Audio, Image
from sensorimotor.perception.sensor import Losses, Sample, StreamBroken, StreamEnded
from sensorimotor.pipelines import batch_film
from sensorimotor.pipelines.batch_film import Film, played
from sensorimotor.pipelines.reel import Reel
from sensorimotor.pipelines.video import VideoWriter


class Recording:
    """Gives samples `(time_s, value)`, and raises `end` after them."""

    def __init__(self, samples, end=None):
        self.losses, self._left, self._end = Losses(), list(enumerate(samples)), end or StreamEnded("over")

    def read(self, timeout_s):
        if not self._left:
            raise self._end
        number, (time_s, value) = self._left.pop(0)
        return Sample(value, 0, number, time_s)


@pytest.mark.parametrize(("frames", "made"), [(1, 6), (2, 26)])
def test_frames_that_no_decision_sees_are_not_made_into_pictures(tmp_path, monkeypatch, frames, made):
    writer = VideoWriter(tmp_path / "a.mp4", 50, 16, 16)
    for number in range(26):
        writer.write(np.full((16, 16, 3), 8 * number, np.uint8))
    writer.close()
    inputs, count = {"camera": Image(height=16, width=16, frames=frames)}, []
    fitted = batch_film.VideoFile.made
    monkeypatch.setattr(batch_film.VideoFile, "made", lambda self, frame: count.append(1) or fitted(self, frame))
    film = Film(tmp_path / "a.mp4", inputs["camera"], clock=ManualClock(), real_time=False)
    film.open()
    steps = list(played({"camera": Reel(film)}, inputs, 10.0, Losses()))
    film.close()
    assert len(count) == made
    newest = [step.seen.observation["camera"].reshape(-1, 16, 16, 3)[-1].mean() for step in steps]
    assert np.allclose(newest, 8 * np.arange(0, 26, 5), atol=3)


def test_samples_that_are_none_are_counted_and_passed_over():
    good, bad, losses = np.zeros((160, 1), np.float32), np.full((160, 1), 7, np.float32), Losses()
    reels = {"mic": Reel(Recording([(0.01, good), (0.02, bad), (0.03, good)]))}
    steps = list(played(reels, {"mic": Audio(seconds=0.1)}, 100.0, losses))
    assert [step.seen.sequences.get("mic") for step in steps] == [None, 0, 0, 1]
    assert losses.totals() == {"mic: not taken": 1}


def test_nothing_is_made_of_what_comes_before_damage_is_known():
    recording = Recording([(0.01, np.zeros((160, 1), np.float32))], StreamBroken("bad"))
    steps = played({"mic": Reel(recording)}, {"mic": Audio(seconds=0.1)}, 100.0, Losses())
    assert next(steps).time_s == 0
    with pytest.raises(StreamBroken):
        next(steps)


def test_a_week_is_long_enough(monkeypatch):
    monkeypatch.setattr(batch_film, "MAX_LENGTH_S", 0.5)
    sound = [(0.1 * number, np.zeros((160, 1), np.float32)) for number in range(20)]
    with pytest.raises(DataError, match=r"or 0\.5 s in all"):
        list(played({"mic": Reel(Recording(sound))}, {"mic": Audio(seconds=0.1)}, 10.0, Losses()))
