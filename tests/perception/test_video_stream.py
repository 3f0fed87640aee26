import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import numpy as np
import pytest

from sensorimotor.clock import MonotonicClock
from sensorimotor.errors import SensorError
from sensorimotor.perception.feed import Feed, Patience
from sensorimotor.perception.feeds import Feeds
from sensorimotor.perception.modality import Image
from sensorimotor.perception.video_stream import VideoStream

SIZE = Image(height=240, width=320)


@contextmanager
def watching(url, modality=SIZE, **settings):
    stream = VideoStream(url, modality, clock=MonotonicClock(), **settings)
    with closing(stream):
        stream.open()
        yield stream


def take(stream, number):
    samples = []
    while len(samples) < number:
        sample = stream.read(1.0)
        if sample is not None:
            samples.append(sample)
    return samples


def test_frames_come_as_they_were_and_are_stamped_soon_after(mjpeg):
    with mjpeg.MjpegCamera() as camera, watching(camera.url) as stream:
        samples = take(stream, 20)
    assert [sample.sequence for sample in samples] == list(range(20))
    ages_s = [(sample.captured_ns - mjpeg.read_stamp(sample.value)) / 1e9 for sample in samples]
    assert 0 < np.median(ages_s) < 0.5
    assert stream.losses.totals() == {}
    assert not stream.losses.told()


def test_a_new_size_in_the_middle_is_fitted_and_told_once(mjpeg):
    with mjpeg.MjpegCamera() as camera, watching(camera.url, Image(height=56, width=56)) as stream:
        take(stream, 2)
        assert stream.losses.told() == [f"{camera.url}: 320 x 240 is cropped and resized to 56 x 56"]
        camera.size = (480, 640)
        told = []
        while not told:
            assert take(stream, 1)[0].value.shape == (56, 56, 3)
            told = stream.losses.told()
        take(stream, 3)
    assert told == [f"{camera.url}: 640 x 480 is cropped and resized to 56 x 56"]
    assert not stream.losses.told()


@pytest.mark.parametrize("damage", ["torn", "truncated"])
def test_damaged_frames_are_left_out_and_counted(mjpeg, damage):
    with mjpeg.MjpegCamera() as camera, watching(camera.url) as stream:
        take(stream, 1)
        camera.mode = damage
        samples = take(stream, 12)
    torn = stream.losses.totals()["torn"]
    assert 9 <= torn <= 14
    assert samples[-1].sequence == len(samples) + torn
    for sample in samples:
        assert abs(sample.captured_ns - mjpeg.read_stamp(sample.value)) < 5e9  # every pixel of the clock is there


def test_a_frame_that_would_fill_the_memory_is_damaged_to_us(mjpeg, monkeypatch):
    monkeypatch.setattr("sensorimotor.perception.media_source.MAX_PIXELS", 320 * 240)
    with mjpeg.MjpegCamera(rate_hz=100) as camera, watching(camera.url) as stream:
        take(stream, 2)
        camera.size = (480, 640)
        while not stream.losses.totals():
            stream.read(1.0)
        camera.size = (240, 320)
        take(stream, 2)
    assert list(stream.losses.totals()) == ["torn"]
    assert stream.losses.told() == []


def test_a_camera_over_rtsp_is_seen_by_its_password_which_nobody_else_sees(rtsp):
    with rtsp.RtspCamera(user="ann", password="s3cret") as camera:
        with watching(camera.url, Image(height=120, width=160)) as stream:
            samples = take(stream, 10)
            assert stream.source == f"rtsp://***@127.0.0.1:{camera.port}/live"
        assert camera.clients == 1
        levels = [round(float(sample.value.mean())) for sample in samples]
        assert levels == sorted(levels)
        assert levels[0] < levels[-1]
        with pytest.raises(SensorError, match="401 Unauthorized") as refused:
            VideoStream(camera.url.replace("s3cret", "s3cond"), SIZE, clock=MonotonicClock()).open()
        assert "s3cond" not in str(refused.value)


def test_a_stream_whose_every_frame_looks_damaged_is_taken_as_it_is(mjpeg, monkeypatch):
    picture = mjpeg.MjpegCamera._picture
    monkeypatch.setattr(mjpeg.MjpegCamera, "_picture", lambda camera, number: picture(camera, 1))  # each one torn
    with mjpeg.MjpegCamera(rate_hz=200) as camera:
        camera.mode = "torn"
        with watching(camera.url) as stream:
            with pytest.raises(SensorError, match="taken as they are"):
                take(stream, 1)
            stream.open()
            assert take(stream, 1)[0].value.shape == (240, 320, 3)


def test_a_camera_that_says_nothing_any_more_is_lost_in_time(mjpeg):
    with mjpeg.MjpegCamera() as camera, watching(camera.url, read_timeout_s=0.3) as stream:
        take(stream, 2)
        camera.mode = "frozen"
        with pytest.raises(SensorError, match="did not answer in time"):
            take(stream, 30)


def test_a_camera_that_goes_away_is_lost_and_can_be_opened_again(mjpeg):
    with mjpeg.MjpegCamera() as camera, watching(camera.url) as stream:
        take(stream, 2)
        camera.go_away()
        with pytest.raises(SensorError, match="127.0.0.1"):
            take(stream, 30)
        with pytest.raises(SensorError, match="Connection refused"):
            stream.open()
        camera.come_back()
        stream.open()
        assert take(stream, 1)[0].sequence == 0


def test_an_address_that_accepts_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = VideoStream(
            f"http://127.0.0.1:{server.getsockname()[1]}/", SIZE, clock=MonotonicClock(), open_timeout_s=0.3
        )
        with pytest.raises(SensorError, match="did not answer in time"):
            stream.open()


def test_credentials_are_sent_and_never_told(mjpeg):
    with mjpeg.MjpegCamera() as camera:
        url = camera.url.replace("http://", "http://admin:s3cret@") + "?token=abc123"
        with watching(url) as stream:
            take(stream, 1)
            camera.go_away()
            with pytest.raises(SensorError) as lost:
                take(stream, 30)
        with pytest.raises(SensorError) as refused:
            stream.open()
    assert camera.paths == ["/video?token=abc123"]
    for told in (stream.source, str(lost.value), str(refused.value), *stream.losses.told()):
        assert not any(secret in told for secret in ("admin", "s3cret", "abc123"))
    assert refused.value.__suppress_context__  # a traceback would show the library's own message


def test_what_is_no_video_is_refused(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<html>hello</html>" * 100)
    with serving(tmp_path) as address:
        stream = VideoStream(f"{address}/page.html", SIZE, clock=MonotonicClock())
        with pytest.raises(SensorError, match="127.0.0.1"):
            stream.open()


def test_an_address_cannot_lead_to_a_file_of_this_machine(tmp_path, mjpeg):
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    )
    with serving(tmp_path) as address, pytest.raises(SensorError):
        VideoStream(f"{address}/list.m3u8", SIZE, clock=MonotonicClock()).open()


@contextmanager
def serving(folder):
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_closing_does_not_wait_for_a_read_in_another_thread(mjpeg):
    with mjpeg.MjpegCamera() as camera:
        stream = VideoStream(camera.url, SIZE, clock=MonotonicClock(), read_timeout_s=1.0)
        stream.open()
        take(stream, 1)
        camera.mode = "frozen"
        ended = []

        def read():
            try:
                while True:
                    stream.read(0.1)
            except SensorError as error:
                ended.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        before = time.monotonic()
        stream.close()
        stream.close()
        assert time.monotonic() - before < 0.9
        reader.join(5)
    assert len(ended) == 1
    with pytest.raises(SensorError, match="closed"):
        stream.read(0.1)


@contextmanager
def feeding(stream, **settings):
    """A running feed; gives it, and a function that waits for the next events to be these."""
    events, changed = [], threading.Condition()

    def event(name, kind, reason):
        with changed:
            events.append(kind)
            changed.notify_all()

    def wait_for(*kinds):
        with changed:
            assert changed.wait_for(lambda: events[: len(kinds)] == list(kinds), 15), (events, kinds)
            del events[: len(kinds)]

    clock = MonotonicClock()
    patience = Patience(late_s=0.5, lost_s=5.0)
    feed = Feed("camera", SIZE, stream, clock=clock, sink=lambda *_: None, event=event, patience=patience, **settings)
    with Feeds([feed]) as feeds:
        yield feed, wait_for
        assert feeds.stop() == []


def test_a_feed_lives_through_everything_a_camera_does(mjpeg):
    with mjpeg.MjpegCamera() as camera:
        stream = VideoStream(camera.url, SIZE, clock=MonotonicClock(), read_timeout_s=1.0)
        with feeding(stream, frozen_s=0.3) as (feed, wait_for):
            wait_for("live")
            camera.mode = "frozen"
            wait_for("late", "lost")
            camera.mode = "live"
            wait_for("recovered")
            for mode in ("repeat", "black"):
                camera.mode = mode
                wait_for("frozen")
                camera.mode = "live"
                wait_for("recovered")
            camera.go_away()
            wait_for("lost")
            camera.come_back()
            wait_for("recovered")
    assert feed.drops()["frozen"] > 0
    assert feed.connections >= 3


def test_a_camera_process_that_is_stopped_continued_killed_and_restarted_comes_back(mjpeg):
    def start(port):
        command = [sys.executable, mjpeg.__file__, "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return process, process.stdout.readline().strip()

    process, url = start(0)
    try:
        stream = VideoStream(url, SIZE, clock=MonotonicClock(), read_timeout_s=1.0)
        with feeding(stream) as (_, wait_for):
            wait_for("live")
            process.send_signal(signal.SIGSTOP)
            wait_for("late", "lost")
            process.send_signal(signal.SIGCONT)
            wait_for("recovered")
            process.kill()
            process.wait()
            wait_for("lost")
            process, _ = start(url.split(":")[2].split("/")[0])
            wait_for("recovered")
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_an_h264_stream_over_udp_is_read():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "-loglevel quiet -re -f lavfi -i testsrc=size=160x120:rate=20 -t 15 -c:v libx264 -preset ultrafast"
    command += f" -tune zerolatency -g 10 -f mpegts udp://127.0.0.1:{port}?pkt_size=1316"
    sender = subprocess.Popen([shutil.which("ffmpeg"), *command.split()], stdin=subprocess.DEVNULL)
    try:
        small = Image(height=120, width=160)
        with watching(f"udp://127.0.0.1:{port}", small, open_timeout_s=10.0) as stream:
            samples = take(stream, 10)
            sender.kill()
            with pytest.raises(SensorError, match="did not answer in time"):
                take(stream, 1000)
    finally:
        sender.kill()
        sender.wait()
    assert samples[0].value.shape == (120, 160, 3)
    assert np.ptp(samples[-1].value) > 200
    gaps_s = np.diff([sample.device_s for sample in samples])
    assert np.allclose(gaps_s, 0.05, atol=0.002)
