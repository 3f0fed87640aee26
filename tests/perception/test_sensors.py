import io
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from sensorimotor.clock import ManualClock
from sensorimotor.errors import MissingExtraError, ObservationError, SensorError, SensorimotorError, UsageError
from sensorimotor.perception import sensors
from sensorimotor.perception.camera import Camera
from sensorimotor.perception.image_directory import ImageDirectory
from sensorimotor.perception.microphone import Microphone
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.readings import UdpReadings
from sensorimotor.perception.sensors import available, open_sensor
from sensorimotor.perception.sound_stream import SoundStream
from sensorimotor.perception.video_file import VideoFile
from sensorimotor.perception.video_stream import VideoStream
from sensorimotor.perception.words import FileOfWords, FixedWords

INPUTS = {
    "camera": Image(height=8, width=8),
    "mic": Audio(seconds=1.0),
    "instruction": Text(),
    "joints": State(size=2),
}


def sensor_of(name, what, **settings):
    return open_sensor(name, INPUTS[name], what, clock=ManualClock(), **settings)


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").write_bytes(b"")
    Path("odd name").write_bytes(b"")
    soundfile.write("clip.wav", np.zeros(10), 16_000)
    Path("frames").mkdir()
    cv2.imwrite("frames/0.png", np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite("one.png", np.zeros((8, 8, 3), np.uint8))
    Path("instruction.txt").write_text("go")


@pytest.mark.parametrize(
    ("name", "what", "kind", "source"),
    [
        ("camera", "0", Camera, "camera 0"),
        ("camera", "/dev/video2", Camera, "camera /dev/video2"),
        ("camera", "rtsp://admin:s3cret@cam/1", VideoStream, "rtsp://***@cam/1"),
        ("camera", "http://cam/video", VideoStream, "http://cam/video"),
        ("camera", "clip.mp4", VideoFile, "clip.mp4"),
        ("camera", "odd name", VideoFile, "odd name"),
        ("camera", "file:clip.mp4", VideoFile, "clip.mp4"),
        ("camera", "frames/", ImageDirectory, "frames"),
        ("mic", "clip.wav", SoundStream, "clip.wav"),
        ("mic", "clip.mp4", SoundStream, "clip.mp4"),
        ("mic", "rtsp://admin:s3cret@cam/1", SoundStream, "rtsp://***@cam/1"),
        ("instruction", "go to the red ball", FixedWords, "words"),
        ("instruction", "clip.mp4", FixedWords, "words"),
        ("instruction", "file:instruction.txt", FileOfWords, "file instruction.txt"),
        ("joints", "udp://127.0.0.1:9001", UdpReadings, "udp://127.0.0.1:9001"),
        ("joints", "udp://:9001", UdpReadings, "udp://127.0.0.1:9001"),
        ("joints", "udp://[::1]:9001", UdpReadings, "udp://[::1]:9001"),
    ],
)
def test_what_a_person_types_is_the_sensor_they_mean(name, what, kind, source):
    sensor = sensor_of(name, what)
    assert type(sensor) is kind
    assert sensor.source == source


@pytest.mark.parametrize(("what", "source"), [("default", "default"), ("3", "3"), ("USB mic 2.0", "USB mic 2.0")])
def test_a_microphone_is_a_number_or_a_name(what, source, monkeypatch):
    monkeypatch.setattr("sensorimotor.perception.microphone.portaudio", lambda *_: None)
    sensor = sensor_of("mic", what)
    assert type(sensor) is Microphone
    assert sensor.source == f"microphone {source}"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("camera", ""),
        ("camera", "front"),
        ("camera", "clip.wav"),
        ("camera", "one.png"),
        ("camera", "-"),
        ("camera", "-1"),
        ("mic", "-"),
        ("mic", "frames"),
        ("mic", "one.png"),
        ("instruction", "  "),
        ("joints", "9001"),
        ("joints", "udp://127.0.0.1"),
        ("joints", "udp://127.0.0.1:70000"),
        ("joints", "udp://[::1:9"),
        ("joints", "http://127.0.0.1:9001"),
        ("joints", "udp://admin:s3cret@127.0.0.1:9001"),
    ],
)
def test_what_no_input_of_its_kind_can_be_read_from_is_refused_with_what_can(name, what):
    with pytest.raises(UsageError) as refused:
        sensor_of(name, what)
    assert sensors.EXPECTED[INPUTS[name].kind] in str(refused.value)
    assert repr(name) in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "what"), [("camera", "none.mp4"), ("camera", "none/of/this"), ("mic", "none.wav"), ("mic", "./none")]
)
def test_a_file_that_is_not_there_is_refused_at_once(name, what):
    with pytest.raises(SensorError, match=f"there is no {what}"):
        sensor_of(name, what)


def test_settings_come_through():
    assert not sensor_of("camera", "clip.mp4", real_time=False).paced
    assert not sensor_of("mic", "clip.wav", real_time=False).paced
    with pytest.raises(UsageError, match="crop, pad or stretch"):
        sensor_of("camera", "0", fit="squeeze")


@pytest.mark.parametrize(
    ("name", "what", "module", "package"),
    [
        ("camera", "0", "cv2", "opencv-python-headless"),
        ("camera", "rtsp://cam", "av", "av"),
        ("mic", "default", "sounddevice", "sounddevice"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra(name, what, module, package, monkeypatch):
    def missing(wanted):
        if wanted == module:
            raise ImportError(wanted)
        return object()

    monkeypatch.setattr("sensorimotor.libraries.import_module", missing)
    with pytest.raises(MissingExtraError, match=rf"needs {package}.*sensorimotor\[live\]"):
        sensor_of(name, what)


def test_a_machine_without_portaudio_is_told_what_to_install(monkeypatch):
    def missing(wanted):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr("sensorimotor.libraries.import_module", missing)
    with pytest.raises(SensorError, match="libportaudio2"):
        sensor_of("mic", "default")
    told = []
    assert [found for found in available(told.append) if found.kind == "audio"] == []
    assert "libportaudio2" in told[0]


def test_a_text_that_is_too_long_is_refused_by_the_name_of_its_input():
    with pytest.raises(ObservationError, match="input 'instruction': expected a text"):
        sensor_of("instruction", "x" * 100_000)


def test_standard_input_that_is_closed_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SensorimotorError, match="standard input"):
        sensor_of("joints", "-")


def test_what_a_machine_has_can_be_typed():
    for found in available():
        assert found.kind in ("image", "audio")
        assert found.what.isdecimal() or found.what.startswith("/dev/")
        assert found.about


def test_a_camera_is_described_without_being_opened_and_its_second_device_is_left_out(monkeypatch):
    def answer(capabilities):
        return struct.pack("16s32s32sIII12x", b"uvcvideo", b"Pretty Camera\0", b"usb", 1, 0x80000000, capabilities)

    monkeypatch.setattr(Path, "open", lambda self, *_, **__: io.BytesIO())
    monkeypatch.setattr(sensors.fcntl, "ioctl", lambda *_: answer(0x04200001))
    assert sensors._camera(Path("/dev/video0")) == "Pretty Camera"
    monkeypatch.setattr(sensors.fcntl, "ioctl", lambda *_: answer(0x04A00000))  # metadata
    assert sensors._camera(Path("/dev/video1")) is None


def test_knowing_all_sensors_imports_no_library_of_any_of_them():
    code = "import sys, sensorimotor.perception.sensors; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"cv2", "av", "sounddevice", "soxr", "torch"} & set(loaded)
