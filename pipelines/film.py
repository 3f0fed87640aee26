"""A film of a policy at work: scenes drawn one after the other, with the sound that belongs to them, as MP4 or GIF."""

import io
import math
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np

from sensorimotor.errors import MissingExtraError, UsageError
from sensorimotor.files import require_writable, write_atomically
from sensorimotor.pipelines.film_drawing import SIZE, Scene, draw
from sensorimotor.pipelines.sound import SAMPLE_RATE

__all__ = ["Film", "Scene", "draw", "write_gif"]

FILM_SAMPLE_RATE = 48_000
"""An AAC frame is 1024 samples: 21 ms here, but 64 ms at 16 kHz, longer than a picture is shown."""
BT709 = 1
"""ITU-T H.273: the colours of HD video, which players assume at this size unless told otherwise."""
STUDIO_RANGE = 1
"""libavutil's AVCOL_RANGE_MPEG."""


class Film:
    """An MP4 film (H.264 and AAC), made scene by scene; the file appears, whole, when the `with` block ends well.

    It is kept in memory until then, some 20 kB a second.

    Args:
        path: The file to write.
        fps: Pictures a second.
        size: Width and height (pixels), even and 16:9.

    Raises:
        OutputPathError: Nothing can be written there.
        UsageError: No such size.
        MissingExtraError: PyAV is not installed.
    """

    sample_rate: ClassVar[int] = SAMPLE_RATE
    """Of the sounds that are added (Hz)."""

    def __init__(self, path: Path, fps: int = 25, size: tuple[int, int] = SIZE):
        if size[0] % 2 or size[1] % 2 or size[0] * 9 != size[1] * 16:
            raise UsageError(f"a film is 16:9 with even sides, such as 1280 x 720, not {size[0]} x {size[1]}")
        require_writable(path.parent)
        self.path, self.fps, self.size = path, fps, size
        self._av = _av()
        self._file = io.BytesIO()
        self._container = self._av.open(self._file, "w", format="mp4")
        self._pictures = self._container.add_stream("libx264", rate=fps, options={"crf": "20", "preset": "veryfast"})
        self._pictures.width, self._pictures.height = size
        self._pictures.pix_fmt = "yuv420p"
        context = self._pictures.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = STUDIO_RANGE
        self._sounds = self._container.add_stream("aac", rate=FILM_SAMPLE_RATE, layout="mono")
        self._asked_s = 0.0
        self._shown = 0
        self._played = 0
        self._to_play = np.zeros(0, np.float32)

    @property
    def duration_s(self) -> float:
        """Length of what has been added (s)."""
        return self._shown / self.fps

    def add(self, scene: Scene, duration_s: float, sound: np.ndarray | None = None) -> None:
        """Show a scene, with its sound from its first picture on.

        While sound plays, the playhead moves on from `scene.heard_s`. A sound shorter than its scene is followed by
        silence; a longer one plays on into the next. Durations are rounded to pictures; the error does not add up.

        Args:
            scene: What to show.
            duration_s: For how long (s).
            sound: What to play, float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            UsageError: The sound has more than one axis, or the duration is negative.
        """
        if not 0 <= duration_s < math.inf:
            raise UsageError(f"a scene lasts some seconds, not {duration_s}")
        if sound is not None and sound.ndim != 1:
            raise UsageError(f"a film's sound is (samples,), not {sound.shape}")
        self._asked_s += duration_s
        count = round(self._asked_s * self.fps) - self._shown
        audible_s = 0.0 if sound is None else len(sound) / SAMPLE_RATE
        frame, drawn_s = None, -1.0
        for index in range(count):
            heard_s = min(scene.heard_s + min(index / self.fps, audible_s), len(scene.waveform) / SAMPLE_RATE)
            if frame is None or heard_s != drawn_s:
                frame, drawn_s = self._frame(draw(replace(scene, heard_s=heard_s), self.size)), heard_s
            frame.pts, frame.time_base = self._shown, Fraction(1, self.fps)
            self._container.mux(self._pictures.encode(frame))
            self._shown += 1
        self._play(self._to_play if sound is None else _mixed(self._to_play, sound))

    def _frame(self, picture: np.ndarray) -> Any:
        rgb = self._av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame = rgb.reformat(format="yuv420p", dst_colorspace=BT709)
        frame.color_range = STUDIO_RANGE
        return frame

    def _play(self, sound: np.ndarray) -> None:
        """Play as much sound as the pictures so far are long, and keep the rest for the next scene."""
        count = self._shown * SAMPLE_RATE // self.fps - self._played
        self._to_play = sound[count:]
        if not count:
            return
        samples = np.zeros((1, count), np.float32)
        samples[0, : min(count, len(sound))] = np.clip(sound[:count], -1.0, 1.0)
        frame = self._av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._played, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._sounds.encode(frame))
        self._played += count

    def __enter__(self) -> "Film":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if not self._shown:
            raise UsageError(f"the film {self.path} has no scene")
        for stream in (self._pictures, self._sounds):
            self._container.mux(stream.encode(None))
        self._container.close()
        write_atomically(self.path, self._file.getvalue())


def write_gif(path: Path, pictures: Iterable[np.ndarray], fps: int, width: int = 640) -> None:
    """Write an animated GIF that repeats for ever, in the 256 colours that suit its own pictures best.

    Args:
        path: The file to write.
        pictures: uint8 `(height, width, 3)`, all of one shape; at least one.
        fps: Pictures a second; a GIF keeps time in hundredths of a second, so 10, 20 or 25.
        width: Of the GIF (pixels).

    Raises:
        OutputPathError: Nothing can be written there.
        UsageError: There are no pictures.
        MissingExtraError: PyAV is not installed.
    """
    av = _av()
    require_writable(path.parent)
    frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures]
    if not frames:
        raise UsageError(f"no pictures for {path}")
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frames[0].width, height=frames[0].height, format=frames[0].format, time_base=Fraction(1, fps)
    )
    height = round(width * frames[0].height / frames[0].width)
    scaled, split = graph.add("scale", f"{width}:{height}:flags=area"), graph.add("split")
    palette, paint = graph.add("palettegen"), graph.add("paletteuse", "dither=none:diff_mode=rectangle")
    sink = graph.add("buffersink")
    source.link_to(scaled)
    scaled.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(paint, 1, 0)
    palette.link_to(paint, 0, 1)
    paint.link_to(sink)
    graph.configure()

    file = io.BytesIO()
    with av.open(file, "w", format="gif") as container:
        stream = container.add_stream("gif", rate=fps)
        stream.pix_fmt, stream.width, stream.height = "pal8", width, height
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, fps)
            graph.push(frame)
        graph.push(None)  # the palette comes out at the end, and the pictures after it
        for _ in frames:
            container.mux(stream.encode(graph.pull()))
        container.mux(stream.encode(None))
    write_atomically(path, file.getvalue())


def _mixed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two sounds at once, as long as the longer."""
    both = np.zeros(max(len(first), len(second)), np.float32)
    both[: len(first)] += first
    both[: len(second)] += second
    return both


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("PyAV", "sim", "making a film") from error
    return av
