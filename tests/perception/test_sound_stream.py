import threading
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
import soxr

from sensorimotor.clock import ManualClock
from sensorimotor.errors import SensorError
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.sensor import StreamEnded
from sensorimotor.perception.sound_stream import SoundStream

EAR = Audio(sample_rate=16_000, seconds=1.0)


def tone(seconds, rate, hz=440.0, peak=0.5):
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def opened(location, modality=EAR, **settings):
    clock = ManualClock()
    sensor = SoundStream(str(location), modality, clock=clock, wait=clock.advance, **settings)
    return sensor, clock, sensor.open()


def whole(sensor, timeout_s=0.0):
    samples = []
    with pytest.raises(StreamEnded):
        while True:
            sample = sensor.read(timeout_s)
            if sample is not None:
                samples.append(sample)
    return samples


@pytest.mark.parametrize("own_rate", [16_000, 8_000, 22_050, 44_100, 48_000])
def test_any_rate_becomes_the_rate_of_the_input_without_a_seam(tmp_path, own_rate):
    sound = tone(1.3, own_rate)
    soundfile.write(tmp_path / "clip.wav", sound, own_rate, subtype="FLOAT")
    sensor, _, notice = opened(tmp_path / "clip.wav", real_time=False)
    heard = np.concatenate([sample.value for sample in whole(sensor)])
    expected = soxr.resample(sound, own_rate, 16_000)
    assert abs(len(heard) - len(expected)) <= 1
    n = min(len(heard), len(expected))
    assert np.abs(heard[:n, 0] - expected[:n]).max() < 2e-3
    assert (notice is None) == (own_rate == 16_000)


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3"])
def test_compressed_sound_is_heard(tmp_path, ending):
    path = tmp_path / f"clip.{ending}"
    soundfile.write(path, tone(1.0, 44_100), 44_100)
    sensor, _, _ = opened(path, real_time=False)
    heard = np.concatenate([sample.value for sample in whole(sensor)])[:, 0]
    spectrum = np.abs(np.fft.rfft(heard[2000:14_000]))
    assert np.argmax(spectrum) * 16_000 / 12_000 == pytest.approx(440, abs=2)


def test_channels_are_mixed_and_repeated(tmp_path):
    left = tone(0.2, 16_000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, 0 * left], 1), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", left, 16_000, subtype="FLOAT")
    sensor, _, notice = opened(tmp_path / "stereo.wav", real_time=False)
    mixed = np.concatenate([sample.value for sample in whole(sensor)])
    assert np.allclose(mixed[:, 0], left / 2, atol=1e-6)
    assert notice.endswith("16000 Hz x 2 is made into 16000 Hz x 1")
    sensor, _, _ = opened(tmp_path / "mono.wav", Audio(seconds=1.0, channels=2), real_time=False)
    repeated = np.concatenate([sample.value for sample in whole(sensor)])
    assert np.allclose(repeated, left[:, None], atol=1e-6)


def test_sound_comes_when_it_has_been_heard(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(0.5, 16_000), 16_000)
    sensor, clock, _ = opened(tmp_path / "clip.wav")
    heard = 0
    with pytest.raises(StreamEnded):
        while True:
            sample = sensor.read(0.013)
            if sample is not None:
                heard += len(sample.value)
                assert len(sample.value) == 320
                assert sample.captured_ns == clock.now_ns() == round(sample.device_s * 1e9)
                assert heard == round(16_000 * sample.device_s)
    assert heard == 8_000


def test_an_impulse_is_where_it_was_after_resampling(tmp_path):
    sound = np.zeros(48_000, np.float32)
    sound[30_000] = 0.9
    soundfile.write(tmp_path / "clip.wav", sound, 48_000, subtype="FLOAT")
    sensor, _, _ = opened(tmp_path / "clip.wav", real_time=False)
    heard = np.concatenate([sample.value for sample in whole(sensor)])
    assert np.argmax(np.abs(heard)) == 10_000


def test_samples_that_are_no_numbers_are_silenced_and_counted_and_clipping_too(tmp_path):
    sound = np.zeros(16_000, np.float32)
    sound[100], sound[200], sound[300], sound[400:410] = np.nan, np.inf, 3.0, 1.0
    soundfile.write(tmp_path / "clip.wav", sound, 16_000, subtype="FLOAT")
    sensor, _, _ = opened(tmp_path / "clip.wav", real_time=False)
    heard = np.concatenate([EAR.check_chunk("mic", sample.value) for sample in whole(sensor)])
    assert heard[100] == heard[200] == 0
    assert heard[300] == 1
    assert sensor.losses.totals() == {"not finite": 2, "clipped": 11}


@pytest.mark.parametrize("content", [None, b"", b"not a sound" * 100])
def test_what_is_no_sound_is_refused(tmp_path, content):
    path = tmp_path / "clip.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SensorError, match=r"clip\.wav"):
        opened(path)


def test_a_silent_film_has_no_sound(tmp_path):
    import av

    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height = stream.width = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(SensorError, match="expected audio that can be decoded, found video"):
        opened(tmp_path / "clip.mp4")


def test_the_sound_of_an_address_comes_as_it_is_sent(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(0.5, 8_000), 8_000)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://admin:s3cret@127.0.0.1:{server.server_address[1]}/clip.wav"
        sensor, _, _ = opened(url, real_time=False)
        heard = 0
        with closing(sensor), pytest.raises(SensorError, match="ended by its sender") as ended:
            while True:
                heard += len(sensor.read(1.0).value)
        server.shutdown()
    assert sensor.paced
    assert sensor.reopens
    assert not isinstance(ended.value, StreamEnded)
    assert heard == pytest.approx(8_000, abs=2)
    assert "s3cret" not in sensor.source + str(ended.value)
