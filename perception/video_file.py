"""Video files as cameras: in real time, or every frame as fast as it is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.libraries import library
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.held import Held
from sensorimotor.perception.media_source import Source
from sensorimotor.perception.modality import Image
from sensorimotor.perception.pace import Pace, Wait
from sensorimotor.perception.sensor import Losses, Sample, StreamBroken, StreamEnded


class VideoFile:
    """The frames of a video file, turned as the file says.

    Args:
        path: The file.
        modality: What its frames are made into.
        clock: Paces and stamps them.
        fit: What to do with frames of another shape: `crop`, `pad` or `stretch`.
        real_time: Whether frames come when they are due.
        wait: How to wait for that; for tests.

    Raises:
        MissingExtraError: PyAV or OpenCV is not installed.
    """

    noisy = False
    reopens = False

    def __init__(
        self,
        path: Path,
        modality: Image,
        *,
        clock: Clock,
        fit: str = "crop",
        real_time: bool = True,
        wait: Wait | None = None,
    ):
        self._av = library("av", "av", "live", "reading video files")
        self.source, self.paced = str(path), real_time
        self.interval_s: float | None = None
        self.losses = Losses()
        self._path, self._clock, self._fit = path, clock, Fit(modality, fit)
        self._pace = Pace(clock, wait)
        self._held: Held[Source] | None = None

    def open(self) -> str | None:
        """Begin at the first frame.

        Raises:
            SensorError: There is no such file, or no video in it.
        """
        self.close()
        source = Source(str(self._path), "video")
        self.interval_s = source.interval_s
        self._frames: Iterator[tuple[int, Any]] = source.frames(self.losses, self._clock)
        self._colours = self._av.video.reformatter.VideoReformatter()  # one for all: to make one takes milliseconds
        self._next: Any = None
        self._first_s = 0.0
        self._sequence = -1
        self._held = Held(source, Source.close, self.source)
        self._pace.begin()
        return self._fit.notice(self.source, source.stream.height, source.stream.width)

    def read(self, timeout_s: float) -> Sample | None:
        """The next frame, when it is due.

        Raises:
            StreamEnded: There is none.
            SensorError: The file is damaged, or was closed.
        """
        held = self._held
        if held is None:
            raise SensorError(f"{self.source} is closed")
        if self._next is None:
            with held.use():
                self._next = self._decode()
        time_s, frame = self._next
        if self.paced and not self._pace.reached(time_s, timeout_s):
            return None
        self._next = None
        with held.use():
            value = self.made(frame)
        return Sample(value, self._clock.now_ns(), self._sequence, time_s)

    def made(self, frame: Any) -> Any:
        """A frame of PyAV as a sample has it: uint8 of the input's shape."""
        pixels = self._colours.reformat(frame, format="rgb24").to_ndarray()
        return self._fit(np.rot90(pixels, round(frame.rotation / 90)), own=True)

    def _decode(self) -> tuple[float, Any]:
        try:
            for _, frame in self._frames:
                self._sequence += 1
                if frame is None:
                    continue
                time_s = frame.time if frame.time is not None else self._sequence * (self.interval_s or 0.04)
                if self._sequence == 0:
                    self._first_s = time_s
                return time_s - self._first_s, frame
        except SensorError as error:
            raise StreamBroken(f"{error}; what comes after that is lost") from error  # not to be played from the start
        raise StreamEnded(f"{self.source} has been played to its end")

    def close(self) -> None:
        """Let go of the file."""
        self._pace.end()
        held, self._held = self._held, None
        if held is not None:
            held.let_go()
