"""Pictures, sounds and clips that a table names: getting their bytes, from a disk or over a network, and decoding them.

Everything is decoded from bytes in memory, and nothing larger than stated limits is read.
"""

import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from posixpath import splitext
from typing import Any, NamedTuple

import numpy as np

from sensorimotor.errors import DataError, MissingExtraError
from sensorimotor.libraries import library
from sensorimotor.pipelines.cut_short import require_whole_film, require_whole_sound
from sensorimotor.pipelines.picture_size import require_modest
from sensorimotor.redaction import redacted, without_secrets

MAX_FILE_BYTES = 512 * 2**20
MAX_SOUND_VALUES = 2**28
"""Samples times channels of one sound, 1 GiB as float32: a small file of silence can be days long."""
MAX_CLIP_BYTES = 2**30
"""All frames of one clip that are asked for."""
MAX_PEAK = 2.0
"""Lossy formats decode a little beyond 1, which is cut off; what is further out was never scaled to [-1, 1]."""

_SOUNDFILE = frozenset(("aif", "aiff", "flac", "oga", "ogg", "wav"))


class Sound(NamedTuple):
    """What a sound file holds.

    Attributes:
        samples: float32 `(samples, channels)` in [-1, 1].
        sample_rate: (Hz).
    """

    samples: np.ndarray
    sample_rate: int


class Clip(NamedTuple):
    """Some frames of a video.

    Attributes:
        frames: uint8 `(n, height, width, 3)`, RGB.
        times_s: When each is shown, from the first frame of the video on, float64 `(n,)` (s).
    """

    frames: np.ndarray
    times_s: np.ndarray


def extension(location: str) -> str:
    """The ending of a path or URL in lower case, without the dot.

    >>> extension("https://example.org/a/Door.WAV?version=2")
    'wav'
    """
    path = location.split("?")[0].split("#")[0] if "://" in location else location
    return splitext(path)[1][1:].lower()


def is_url(location: str) -> bool:
    """Whether a location is a URL of `fsspec` and not a path."""
    return "://" in location


def read_bytes(location: str, folder: Path) -> bytes:
    """The bytes of a file.

    Args:
        location: A path, relative to `folder` or absolute, or any URL that `fsspec` knows.
        folder: Where relative paths start.

    Raises:
        DataError: It is not there, cannot be read or is too large.
        MissingExtraError: `fsspec` is not installed.
    """
    if is_url(location):
        return _fetched(location)
    path = folder / location
    try:
        require_file(path)
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        relative = "" if Path(location).is_absolute() else f" (paths start from {folder})"
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{location}{relative} cannot be read: {reason}. Put the file there or correct its row"
        ) from error
    return bounded(location, data)


def require_file(path: Path) -> None:
    """Opening a pipe waits until somebody writes to it, which may be for ever.

    Raises:
        DataError: It is there, and a pipe or a device.
        OSError: It is not there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a directory, the system says what is wrong itself
        raise DataError(f"{path} is no regular file, but a pipe or a device: put a file there")


def _fetched(url: str) -> bytes:
    fsspec = library("fsspec", "fsspec", "data", f"reading {redacted(url)}")
    with reached(url), fsspec.open(url, "rb") as file:
        return bounded(url, file.read(MAX_FILE_BYTES + 1))


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Whatever a file system of `fsspec` raises inside is said of an address, without the credentials in it.

    Raises:
        DataError: In place of what was raised.
    """
    shown = redacted(url)
    try:
        yield
    except (DataError, MissingExtraError):
        raise
    except ImportError as error:  # fsspec knows the protocol, but its driver is a package of its own
        raise DataError(f"{shown} cannot be read: {error}. Install the package that it names") from error
    except Exception as error:  # noqa: BLE001 (every file system of fsspec raises types of its own)
        reason = " ".join(without_secrets(str(error), url).split())[:300] or type(error).__name__
        raise DataError(
            f"{shown} cannot be read: {reason}. Check the address, the network and your credentials, or download the "
            "file and name its path"
        ) from None  # the library's own error may have the credentials in it


def bounded(location: str, data: bytes) -> bytes:
    """The content of a file, if it is none that is too large to be in memory.

    Raises:
        DataError: It is larger.
    """
    if len(data) > MAX_FILE_BYTES:
        raise DataError(
            f"{redacted(location)} is larger than {MAX_FILE_BYTES / 2**20:g} MiB: cut it into shorter pieces"
        )
    return data


def decode_image(data: bytes, name: str) -> np.ndarray:
    """A picture as uint8 `(height, width, 3)`, RGB.

    It is turned as its EXIF orientation says, so that it is what people saw who labelled it. Grey becomes three equal
    channels, transparency is dropped, 16 bits become 8.

    Args:
        data: The bytes of an image file.
        name: What to call it in a message.

    Raises:
        DataError: It is no picture, damaged or too large.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = library("cv2", "opencv-python-headless", "data", "reading pictures")
    require_modest(data, name)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except cv2.error as error:  # larger than OpenCV allows
        raise DataError(f"{name} cannot be decoded: {' '.join(str(error).split())[:300]}") from error
    if picture is None:
        raise DataError(f"{name} ({len(data)} bytes) is no picture that OpenCV can read, or it is damaged: replace it")
    return np.asarray(picture)


def decode_sound(data: bytes, name: str, sample_rate: int | None = None, channels: int | None = None) -> Sound:
    """The sound of a sound or video file.

    Args:
        data: The bytes of the file.
        name: What to call it in a message; its extension says how to read it.
        sample_rate: What to resample to (Hz); None: as it is.
        channels: 1 mixes all channels, more than 1 repeats a single one; None: as they are.

    Raises:
        DataError: It has no sound, is damaged, cut short or too long, or has other channels than can be made into
            `channels`.
        MissingExtraError: A library is not installed.
    """
    require_whole_sound(data, name)
    read = _soundfile_sound if extension(name) in _SOUNDFILE else _av_sound
    samples, own_rate = read(data, name)
    if not len(samples):
        raise DataError(f"{name} has no sound in it: replace it, or leave its cell empty")
    peak = float(np.abs(samples).max())  # NaN and infinity come through max()
    if not peak <= MAX_PEAK:
        raise DataError(f"{name} has a peak of {peak:.3g}: scale its samples to [-1, 1]")
    samples = _with_channels(samples, channels, name)
    if sample_rate is not None and sample_rate != own_rate:
        if samples.size * sample_rate > MAX_SOUND_VALUES * own_rate:
            raise DataError(
                f"{name} is stated to be at {own_rate} Hz, so that at {sample_rate} Hz it has more than "
                f"{MAX_SOUND_VALUES} samples: correct its sample rate, or cut it into shorter pieces"
            )
        soxr = library("soxr", "soxr", "data", "resampling sound")
        samples = soxr.resample(samples, own_rate, sample_rate, quality="HQ")
    return Sound(np.clip(samples, -1.0, 1.0), sample_rate or own_rate)


def _with_channels(samples: np.ndarray, channels: int | None, name: str) -> np.ndarray:
    own = samples.shape[1]
    if channels in (None, own):
        return samples
    if channels == 1:
        return samples.mean(1, keepdims=True)
    if own == 1:
        return np.repeat(samples, channels, 1)
    raise DataError(f"{name} has {own} channels, which cannot be made into {channels}: mix it, or ask for 1 or {own}")


def _soundfile_sound(data: bytes, name: str) -> Sound:
    soundfile = library("soundfile", "soundfile", "data", "reading sound")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_length(name, file.frames * file.channels)
            return Sound(file.read(dtype="float32", always_2d=True), file.samplerate)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise DataError(f"{name} ({len(data)} bytes) cannot be read as sound: {error}. Replace it") from error


def _av_sound(data: bytes, name: str) -> Sound:
    av = library("av", "av", "data", "reading compressed sound and video")

    def decode(container: Any) -> Sound:
        rate, pieces, values = 0, [], 0
        resampler = av.AudioResampler(format="fltp")  # the sample format only
        for frame in container.decode(audio=0):
            rate = frame.sample_rate
            for out in resampler.resample(frame):
                pieces.append(out.to_ndarray().T)
                values += pieces[-1].size
                _check_length(name, values)
        return Sound(np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32), rate)

    return _opened(av, data, name, "sound", decode)


def _check_length(name: str, values: int) -> None:
    if values > MAX_SOUND_VALUES:
        raise DataError(f"{name} has more than {MAX_SOUND_VALUES} samples: cut it into shorter pieces")


def decode_clip(data: bytes, name: str, count: int) -> Clip:
    """`count` frames of a video, the middles of as many equal parts of it; a shorter video repeats frames.

    Frames are turned as the file says, as players do.

    Args:
        data: The bytes of a video file.
        name: What to call it in a message.
        count: How many frames.

    Raises:
        DataError: It is no video, damaged or cut short.
        MissingExtraError: PyAV is not installed.
    """
    av = library("av", "av", "data", "reading compressed sound and video")
    return _opened(av, data, name, "video", lambda container: _spread(container, name, count))


def _spread(container: Any, name: str, count: int) -> Clip:
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise DataError(f"{name} is in a format that FFmpeg cannot decode, or it is damaged: convert or replace it")
    if count * stream.width * stream.height * 3 > MAX_CLIP_BYTES:
        size = f"{count} frames of {stream.width} x {stream.height}"
        raise DataError(
            f"{name}: {size} are more than {MAX_CLIP_BYTES / 2**20:g} MiB: make it smaller, or ask for fewer"
        )
    packets = [packet for packet in container.demux(stream) if packet.pts is not None and not packet.is_discard]
    if not packets:
        raise DataError(f"{name} has no frame in it: replace it, or leave its cell empty")
    shown = sorted(packet.pts for packet in packets)
    keys = np.array(sorted(packet.pts for packet in packets if packet.is_keyframe) or shown[:1])
    wanted = [shown[(2 * part + 1) * len(shown) // (2 * count)] for part in range(count)]
    pictures: dict[int, np.ndarray] = {}
    frames: Iterator[Any] = iter(())
    frame = None
    for pts in dict.fromkeys(wanted):
        key = int(keys[max(0, np.searchsorted(keys, pts, "right") - 1)])
        if frame is None or key > frame.pts:  # else it is nearer to go on from where decoding is
            for place in (key, shown[0]):  # some formats seek past the place: then all is decoded from the start
                container.seek(place, stream=stream)
                frames = (one for one in container.decode(stream) if one.pts is not None)
                frame = next(frames, frame)
                if frame is not None and frame.pts <= pts:
                    break
        while frame is not None and frame.pts < pts:
            following = next(frames, None)
            if following is None:  # the last frames are damaged
                break
            frame = following
        if frame is None:
            raise DataError(f"{name} has no frame that can be decoded: replace it")
        pictures[pts] = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    times_s = np.array([float((pts - shown[0]) * stream.time_base) for pts in wanted])
    return Clip(np.stack([pictures[pts] for pts in wanted]), times_s)


def _opened(av: Any, data: bytes, name: str, what: str, decode: Callable[[Any], Any]) -> Any:
    try:
        with av.open(io.BytesIO(data)) as container:
            if not require_whole_film(container, data, name):
                return decode(container)
        with av.open(io.BytesIO(data)) as container:
            return decode(container)
    except (av.FFmpegError, IndexError, ValueError) as error:  # IndexError: it has no such stream
        reason = "it has none" if isinstance(error, IndexError) else error
        raise DataError(f"{name} ({len(data)} bytes) cannot be read as {what}: {reason}. Replace it") from error
