"""Video files: the very frames of given moments, and recordings that can be read from any moment at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError, OutputPathError
from sensorimotor.libraries import library

CRF = 18
"""The quality that videos are written with: 0 keeps every pixel, 18 looks the same, 30 is visibly worse."""

GROUP = 2
"""A key frame every so many: any frame is then decoded from at most two, as in LeRobot's own videos."""

AT_ONCE_S = 1e-4
"""A frame this near (s) to the moment asked for is that moment's: no later one needs to be looked at."""

BACK_S = (0.0, 1.0, float("inf"))
"""How far before a moment (s) to look for a key frame: an index is in order of decoding, not of display."""


def _av() -> Any:
    return library("av", "PyAV", "data", "reading and writing video")


def read_frames(
    path: Path, times_s: Sequence[float], tolerance_s: float, rate_hz: float | None = None
) -> list[np.ndarray]:
    """The frames of a video at given moments, in the order asked for.

    Args:
        path: A video file.
        times_s: Moments since the file's start (s), in any order; frames are decoded once, from first to last.
        tolerance_s: How far (s) the nearest frame may be from a moment.
        rate_hz: Frames a second that the file must have; None: any.

    Returns:
        For each moment uint8 `(height, width, 3)`, red, green, blue.

    Raises:
        DataError: There is no such file, it is no video or damaged, its rate is another, or it has no frame at one of
            these moments.
    """
    frames: list[Any] = [None] * len(times_s)
    with _opened(path) as (container, stream):
        if rate_hz and stream.average_rate and abs(float(stream.average_rate) - rate_hz) > 0.01 * rate_hz:
            raise DataError(
                f"{path}: expected {rate_hz:g} frames a second, found {float(stream.average_rate):g}; "
                "encode it again at its true rate, or correct the rate that is written beside it"
            )
        film = _Film(path, container, stream)
        for number in sorted(range(len(times_s)), key=times_s.__getitem__):
            frames[number] = film.frame(float(times_s[number]), tolerance_s)
    return frames


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A video file and its picture stream; whatever goes wrong in it is said of it."""
    av = _av()
    if not path.is_file():
        raise DataError(f"{path}: there is no such video; copy it there, or leave out what was recorded with it")
    try:
        # A file must not be able to name others, or addresses, that are opened in its stead.
        with av.open(str(path.absolute()), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.video:
                raise DataError(f"{path}: has no pictures in it, only {_kinds(container)}")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # frames are few and readers many; threads would only delay them
            yield container, stream
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be decoded as video ({error}); copy or record it again") from error


def _kinds(container: Any) -> str:
    return ", ".join(stream.type for stream in container.streams) or "nothing"


class _Film:
    """A video that is played forward, and jumps where that is shorter."""

    def __init__(self, path: Path, container: Any, stream: Any):
        self._path, self._container, self._stream = path, container, stream
        self._start_s = (container.start_time or 0) / 1_000_000
        self._last: Any = None
        self._before: Any = None
        self._playing: Iterator[Any] | None = None
        self._pixels: tuple[Any, np.ndarray] | None = None
        self._colors = _av().video.reformatter.VideoReformatter()  # one for all frames: to make one takes milliseconds

    def frame(self, time_s: float, tolerance_s: float) -> np.ndarray:
        """The frame nearest to a moment that is not before the one asked for last."""
        if self._last is None or self._has_key_frame_until(time_s):
            self._jump(time_s)
        while self._last is not None and self._time_s(self._last) < time_s - AT_ONCE_S and self._play():
            pass
        near = [frame for frame in (self._before, self._last) if frame is not None]
        nearest = min(near, key=lambda frame: abs(self._time_s(frame) - time_s), default=None)
        if nearest is None or abs(self._time_s(nearest) - time_s) > tolerance_s:
            found = "no frame at all" if nearest is None else f"the nearest one at {self._time_s(nearest):.4f} s"
            rate = f"{float(self._stream.average_rate):g} frames a second" if self._stream.average_rate else "no rate"
            raise DataError(
                f"{self._path}: expected a frame at {time_s:.4f} s, found {found} ({rate}); "
                "the video was cut short, or has another rate than what it belongs to"
            )
        if self._pixels is None or self._pixels[0] is not nearest:
            self._pixels = nearest, self._colors.reformat(nearest, format="rgb24").to_ndarray()
        return self._pixels[1]

    def _time_s(self, frame: Any) -> float:
        return float(frame.pts * frame.time_base) - self._start_s

    def _ticks(self, time_s: float) -> int:
        return int(Fraction(max(time_s, 0.0) + self._start_s + AT_ONCE_S) / self._stream.time_base)

    def _has_key_frame_until(self, time_s: float) -> bool:
        """Whether decoding can begin later than where it stands, and still not after this moment."""
        entries = getattr(self._stream, "index_entries", None)
        if entries is None:  # PyAV 15 and older
            return time_s > self._time_s(self._last) + 1.0
        at = entries.search_timestamp(self._ticks(time_s), backward=True)
        # the frame that comes next is no jump: it would only be decoded twice
        return at >= 0 and entries[at].timestamp > self._last.pts + (self._last.duration or 0)

    def _jump(self, time_s: float) -> None:
        for back_s in BACK_S:
            self._container.seek(self._ticks(time_s - back_s), stream=self._stream)
            self._playing = iter(self._container.decode(self._stream))
            self._before = self._last = None
            if self._play() and self._time_s(self._last) <= time_s + AT_ONCE_S:
                return

    def _play(self) -> bool:
        """Decode one frame more; whether there was one."""
        assert self._playing is not None
        for frame in self._playing:
            if frame.pts is not None:
                self._before, self._last = self._last, frame
                return True
        return False


class VideoWriter:
    """Writes an H.264 video in which every second frame is a key frame.

    Pictures are stored with colours at half the resolution (yuv420p), as everywhere, where height and width are even;
    at full resolution (yuv444p) where one is odd; and exactly as they are (RGB) at `crf` 0.

    Args:
        path: A file that ends in `.mp4`.
        rate_hz: Frames a second.
        height: Of every frame.
        width: Of every frame.
        crf: Quality, from 0, nothing is lost, to 51.
    """

    def __init__(self, path: Path, rate_hz: int, height: int, width: int, crf: int = CRF):
        av = _av()
        self._path, self._frames = path, 0
        self._shape = (height, width, 3)
        with self._explained():
            self._container = av.open(str(path), "w", format="mp4")
            self._stream = self._container.add_stream("libx264" if crf else "libx264rgb", rate=rate_hz)
        self._stream.height, self._stream.width = height, width
        self._stream.pix_fmt = pixel_format(height, width, crf, encoding=True)
        self._stream.codec_context.gop_size = GROUP
        self._stream.codec_context.max_b_frames = 0  # frames are stored in the order they are shown: no edit lists
        self._stream.codec_context.time_base = Fraction(1, rate_hz)
        self._stream.options = {"crf": str(crf), "preset": "veryfast"}

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 `(height, width, 3)`.

        Raises:
            OutputPathError: The disk is full, or the file cannot be written for another reason.
            ValueError: Another shape or type.
        """
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"expected uint8 {self._shape}, not {frame.dtype} {frame.shape}")
        picture = _av().VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = self._frames, self._stream.codec_context.time_base
        with self._explained():
            self._container.mux(self._stream.encode(picture))
        self._frames += 1

    def close(self) -> None:
        """Write what is left, and the index without which a video cannot be read.

        Raises:
            OutputPathError: The disk is full, or the file cannot be written for another reason.
        """
        with self._explained():
            self._container.mux(self._stream.encode(None))
            self._container.close()

    def abandon(self) -> None:
        """Let go of the file, which is of no use then."""
        with suppress(_av().FFmpegError, OSError):
            self._container.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (_av().FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputPathError(f"cannot write {self._path}: {reason}") from error


def pixel_format(height: int, width: int, crf: int, encoding: bool = False) -> str:
    """How the pixels of a written video are stored, in the words of FFmpeg.

    >>> pixel_format(480, 640, CRF), pixel_format(35, 35, CRF), pixel_format(480, 640, 0)
    ('yuv420p', 'yuv444p', 'gbrp')
    """
    if not crf:
        return "rgb24" if encoding else "gbrp"
    return "yuv444p" if height % 2 or width % 2 else "yuv420p"
