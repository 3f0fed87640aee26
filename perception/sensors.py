"""Sensors by what a person types: `0`, `/dev/video0`, `rtsp://…`, `clip.mp4`, `default`, `-`, or plain words."""

import fcntl
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from sensorimotor.clock import Clock
from sensorimotor.errors import MissingExtraError, SensorError, UsageError
from sensorimotor.files import expanded
from sensorimotor.perception.camera import Camera
from sensorimotor.perception.extensions import CLIPS, IMAGES, SOUNDS
from sensorimotor.perception.image_directory import ImageDirectory
from sensorimotor.perception.media_source import is_url
from sensorimotor.perception.microphone import Microphone
from sensorimotor.perception.modality import Audio, Image, Modality, State, Text
from sensorimotor.perception.portaudio import portaudio
from sensorimotor.perception.readings import LinesOfReadings, UdpReadings
from sensorimotor.perception.sensor import Sensor
from sensorimotor.perception.sound_stream import SoundStream
from sensorimotor.perception.video_file import VideoFile
from sensorimotor.perception.video_stream import VideoStream
from sensorimotor.perception.words import FileOfWords, FixedWords, LinesOfWords
from sensorimotor.redaction import redacted

EXPECTED = {
    "image": "a camera (0, /dev/video0), an address (rtsp://…, http://…, udp://…), a video file or a directory of "
    "pictures",
    "audio": "a microphone (default, its number or name), a sound or video file, or an address (rtsp://…, http://…)",
    "text": "words, file:PATH for a text that may change, or - for lines of standard input",
    "state": "udp://HOST:PORT, or - for JSON lines on standard input",
}
"""What each kind of input can be read from."""

_VIDIOC_QUERYCAP = 0x80685600
_VIDEO_CAPTURE = 0x00000001 | 0x00001000
"""From linux/videodev2.h: how to ask a device what it is, and the bits of one that gives frames (the second, in several
planes)."""


def open_sensor(
    name: str, modality: Modality, what: str, *, clock: Clock, fit: str = "crop", real_time: bool = True
) -> Sensor:
    """The sensor of an input; it is not opened yet.

    Args:
        name: The input.
        modality: What samples are made into.
        what: What a person typed.
        clock: Stamps samples, and paces recordings.
        fit: What to do with frames of another shape: `crop`, `pad` or `stretch`.
        real_time: Whether recordings are played at their pace, or as fast as they are read.

    Raises:
        UsageError: An input of this kind cannot be read from that.
        SensorError: There is no such file.
        MissingExtraError: A library is not installed.
    """
    what = what.strip() if not isinstance(modality, Text) else what
    if not what.strip():
        raise UsageError(f"input {name!r}: expected {EXPECTED[modality.kind]}, got nothing")
    match modality:
        case Image():
            return _image(name, modality, what, clock, fit, real_time)
        case Audio():
            return _audio(name, modality, what, clock, real_time)
        case Text():
            if what == "-":
                return LinesOfWords(_standard_input(), modality, clock=clock)
            if what.startswith("file:"):
                return FileOfWords(_local(what), modality, clock=clock)
            return FixedWords(modality.check(name, what), modality, clock=clock)
        case State():
            return _state(name, modality, what, clock)


def _refuse(name: str, modality: Modality, what: str) -> UsageError:
    return UsageError(f"input {name!r}: expected {EXPECTED[modality.kind]}, got {redacted(what)!r}")


def _local(what: str) -> Path:
    return expanded(what.removeprefix("file://").removeprefix("file:"))


def _image(name: str, modality: Image, what: str, clock: Clock, fit: str, real_time: bool) -> Sensor:
    if what.isdecimal() and len(what) < 4:
        return Camera(int(what), modality, clock=clock, fit=fit)
    if what.startswith("/dev/"):
        return Camera(what, modality, clock=clock, fit=fit)
    if is_url(what):
        return VideoStream(what, modality, clock=clock, fit=fit)
    path = _local(what)
    if path.is_dir():
        return ImageDirectory(path, modality, clock=clock, fit=fit, real_time=real_time)
    if path.is_file():
        if path.suffix[1:].lower() in SOUNDS | IMAGES:
            raise _refuse(name, modality, what)
        return VideoFile(path, modality, clock=clock, fit=fit, real_time=real_time)
    if path.suffix or len(path.parts) > 1:
        raise SensorError(f"input {name!r}: there is no {what}; expected {EXPECTED['image']}")
    raise _refuse(name, modality, what)


def _audio(name: str, modality: Audio, what: str, clock: Clock, real_time: bool) -> Sensor:
    if what == "-":
        raise _refuse(name, modality, what)
    if is_url(what):
        return SoundStream(what, modality, clock=clock)
    path = _local(what)
    ending = path.suffix[1:].lower()
    if path.is_dir() or (path.is_file() and ending in IMAGES):
        raise _refuse(name, modality, what)
    if path.is_file():
        return SoundStream(str(path), modality, clock=clock, real_time=real_time)
    if what.startswith(("file:", "/", "./", "../", "~")) or ending in SOUNDS | CLIPS:
        raise SensorError(f"input {name!r}: there is no {what}; expected {EXPECTED['audio']}")
    device = None if what == "default" else int(what) if what.isdecimal() and len(what) < 4 else what
    return Microphone(device, modality, clock=clock)


def _state(name: str, modality: State, what: str, clock: Clock) -> Sensor:
    if what == "-":
        return LinesOfReadings(_standard_input(), name, modality, clock=clock)
    try:
        address = urlsplit(what)
        port = address.port
    except ValueError:  # a port beyond 65535, or brackets that are no IPv6 address
        raise _refuse(name, modality, what) from None
    if address.scheme != "udp" or port is None or address.username is not None:
        raise _refuse(name, modality, what)
    return UdpReadings(address.hostname or "127.0.0.1", port, name, modality, clock=clock)


def _standard_input() -> int:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError) as error:  # a notebook, a service without one
        raise SensorError("standard input is not there, or is closed") from error


class Found(NamedTuple):
    """A camera or microphone of this machine.

    Attributes:
        kind: Of input it is for.
        what: What to type for it.
        about: What it is.
    """

    kind: Literal["image", "audio"]
    what: str
    about: str


def available(told: Callable[[str], object] = lambda sentence: None) -> list[Found]:
    """The cameras and microphones of this machine; no camera is switched on for it.

    Args:
        told: Gets a sentence where microphones cannot be listed.
    """
    return _cameras() + _microphones(told)


def _cameras() -> list[Found]:
    paths = sorted(Path("/dev").glob("video*"), key=lambda path: (len(path.name), path.name))
    return [Found("image", str(path), about) for path in paths if (about := _camera(path))]


def _camera(path: Path) -> str | None:
    """What a video device is; None: it gives no frames (cameras have a second device for what is about frames)."""
    try:
        with path.open("rb", buffering=0) as device:
            answer = fcntl.ioctl(device, _VIDIOC_QUERYCAP, bytes(104))
    except PermissionError:
        return "a video device that you may not read; are you in the group video?"
    except OSError:
        return None
    _, card, _, _, capabilities, of_device = struct.unpack("16s32s32sIII12x", answer)
    if not (of_device or capabilities) & _VIDEO_CAPTURE:
        return None
    return card.split(b"\0")[0].decode(errors="replace") or "a camera"


def _microphones(told: Callable[[str], object]) -> list[Found]:
    try:
        sound = portaudio("listing microphones")
    except (MissingExtraError, SensorError) as error:
        told(str(error))
        return []
    default = sound.default.device[0]
    found = []
    for device in sound.query_devices():
        if device["max_input_channels"] > 0:
            about = f"{device['name']}, {device['max_input_channels']} channels, {device['default_samplerate']:g} Hz"
            if device["index"] == default:
                about += " (default)"
            found.append(Found("audio", str(device["index"]), about))
    return found
