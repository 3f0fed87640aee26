"""Cameras on a network: RTSP, MJPEG over HTTP, MPEG-TS over UDP, and whatever else FFmpeg opens by an address."""

from collections.abc import Iterator
from typing import Any

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.libraries import library
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.held import Held
from sensorimotor.perception.media_source import OPEN_TIMEOUT_S, READ_TIMEOUT_S, Source
from sensorimotor.perception.modality import Image
from sensorimotor.perception.sensor import Losses, Sample
from sensorimotor.redaction import redacted

ALL_TORN = 30
"""When so many frames come damaged before the first good one, it is rather their format that is unusual."""


class VideoStream:
    """A camera behind an address; a frame is stamped when its data are there, before it is decoded.

    Args:
        url: Of the stream; credentials may be part of it and are never shown.
        modality: What its frames are made into.
        clock: Stamps samples.
        fit: What to do with frames of another shape: `crop`, `pad` or `stretch`.
        open_timeout_s: For connecting (s).
        read_timeout_s: A stream silent for this long (s) is lost. `read` may take as long whatever it was asked.

    Raises:
        MissingExtraError: PyAV or OpenCV is not installed.
    """

    paced = True
    noisy = True
    reopens = True

    def __init__(
        self,
        url: str,
        modality: Image,
        *,
        clock: Clock,
        fit: str = "crop",
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
    ):
        self._av = library("av", "av", "live", "reading video streams")
        self.source = redacted(url)
        self.interval_s: float | None = None
        self.losses = Losses()
        self._url, self._clock, self._fit = url, clock, Fit(modality, fit)
        self._timeouts = open_timeout_s, read_timeout_s
        self._strict = True
        self._held: Held[Source] | None = None

    def open(self) -> str | None:
        """Connect.

        Raises:
            SensorError: Nothing answers, or what does sends no video.
        """
        self.close()
        source = Source(self._url, "video", *self._timeouts, strict=self._strict)
        self.interval_s = source.interval_s
        self._frames: Iterator[tuple[int, Any]] = source.frames(self.losses, self._clock)
        self._colours = self._av.video.reformatter.VideoReformatter()  # one for all: to make one takes milliseconds
        self._size: tuple[int, int] | None = None
        self._sequence, self._torn = -1, 0
        self._held = Held(source, Source.close, self.source)
        return None  # the size is only known with the first frame

    def read(self, timeout_s: float) -> Sample | None:
        """The next frame that is whole; None after one that was not.

        Raises:
            SensorError: The connection is gone, silent, or was closed.
        """
        if self._held is None:
            raise SensorError(f"{self.source} is closed")
        with self._held.use():
            try:
                captured_ns, frame = next(self._frames)
            except StopIteration:
                # A camera does not end: whoever sends was stopped, and may come back.
                raise SensorError(f"{self.source}: the stream was ended by its sender") from None
            self._sequence += 1
            if frame is None:
                self._torn += self._torn >= 0
                if self._torn >= ALL_TORN:
                    self._strict = False
                    raise SensorError(f"{self.source}: all frames look damaged; they are taken as they are from now on")
                return None
            self._torn = -1
            pixels = self._colours.reformat(frame, format="rgb24").to_ndarray()
        if pixels.shape[:2] != self._size:
            self._size = pixels.shape[:2]
            notice = self._fit.notice(self.source, *self._size)
            if notice:
                self.losses.tell(notice)
        return Sample(self._fit(pixels, own=True), captured_ns, self._sequence, frame.time)

    def close(self) -> None:
        """Disconnect, as soon as nobody is reading."""
        held, self._held = self._held, None
        if held is not None:
            held.let_go()
