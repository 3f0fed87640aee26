"""What a running policy does when its camera fails: a real one, over HTTP and UDP, and critical."""

import shutil
import socket
import subprocess

import pytest


def test_camera_frozen_by_sigstop(running, camera):
    camera.freeze()
    with running.only_the_safe_action():
        running.wait_for("camera late")
        running.wait_for("→ holding: critical: camera is")
        running.wait_for("camera lost")
        running.wait_for_state("holding")
    camera.go_on()
    running.wait_for("camera recovered")
    running.wait_until_it_acts()
    assert running.input_states("camera") == ["live", "late", "lost", "recovered"]


@pytest.mark.parametrize("mode", ["repeat", "black"])
def test_camera_repeats_one_frame(running, camera, mode):
    camera.tell(f"mode {mode}")
    running.wait_for("camera frozen")
    with running.only_the_safe_action():
        running.wait_for_state("holding")
    camera.tell("mode live")
    running.wait_for("camera recovered")
    running.wait_until_it_acts()
    assert running.live.drops()["camera"]["frozen"] > 0
    assert any(event["input"] == "camera" and event["cause"] == "frozen" for event in running.events("drop"))
    assert running.input_states("camera") == ["live", "frozen", "recovered"]


def test_camera_covered(running, camera):
    camera.tell("mode covered")
    running.wait_for("dark for 5 s, with nothing but noise to be seen; is its lens covered, or the light off?")
    running.wait_until_it_acts()
    assert running.state() == "running"
    assert running.input_states("camera") == ["live"]


def test_camera_killed_and_restarted(running, camera):
    camera.kill()
    running.wait_for("camera lost")
    with running.only_the_safe_action():
        running.wait_for_state("holding")
    camera.start()
    running.wait_for("camera recovered")
    running.wait_until_it_acts()
    assert running.live.summary()["inputs"]["camera"] == "live"


def test_camera_not_there_at_the_start(inside, policy, camera):
    camera.kill()
    with inside(policy, {"camera": camera.url}) as running:
        running.wait_for("camera lost")
        with running.only_the_safe_action():
            running.wait_for_state("holding")
        camera.start()
        running.wait_until_it_acts()


def test_resolution_changes_in_mid_stream(running, camera):
    camera.tell("size 640x480")
    running.wait_for("640 x 480 is cropped and resized to 56 x 56")
    running.wait_until_it_acts()
    assert "lost" not in running.input_states("camera")


@pytest.mark.parametrize("mode", ["torn", "truncated"])
def test_frames_torn_or_truncated(running, camera, tools, mode):
    camera.tell(f"mode {mode}")
    tools.eventually(lambda: running.live.drops().get("camera", {}).get("torn", 0) >= 10)
    running.wait_until_it_acts()  # on the frames between them, which are whole
    assert any(event["cause"] == "torn" for event in running.events("drop"))
    assert running.live.tally.errors == 0


def test_camera_slower_than_asked(running, camera):
    camera.tell("rate 0.6")
    for _ in range(2):
        running.wait_until_it_holds()
        running.wait_until_it_acts()
    held = [one for one in running.lines("decision") if one["executed"] != one["selected"] or one["verdicts"]]
    assert any("camera is" in verdict["reason"] for one in held for verdict in one["verdicts"])
    camera.tell("rate 30")
    running.wait_for_state("running")


def test_camera_faster_than_asked(running, camera, tools):
    camera.tell("rate 150")

    def jumps():
        seen = [one["inputs"]["camera"]["sequence"] for one in running.lines("decision")]
        return [after - before for before, after in zip(seen[:-1], seen[1:], strict=True) if before is not None]

    tools.eventually(lambda: sum(jump > 5 for jump in jumps()) >= 5)  # it decides on the newest, and no more often
    running.wait_until_it_acts()
    assert running.state() == "running"
    assert min(jumps()) >= 0


def test_rtsp_camera_gone_and_back(inside, policy, rtsp):
    with rtsp.RtspCamera(user="ann", password="s3cret") as camera, inside(policy, {"camera": camera.url}) as running:
        running.wait_until_it_acts()
        camera.go_away()
        with running.only_the_safe_action():
            running.wait_for("camera lost: rtsp://***@127.0.0.1")
            running.wait_for_state("holding")
        camera.come_back()
        running.wait_for("camera recovered")
        running.wait_until_it_acts()
        assert not any("s3cret" in line for line in running.told())
    assert camera.clients >= 2


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_udp_stream_killed_and_restarted(inside, policy):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "-loglevel quiet -re -f lavfi -i testsrc=size=160x120:rate=20 -c:v libx264 -preset ultrafast"
    command += f" -tune zerolatency -g 10 -f mpegts udp://127.0.0.1:{port}?pkt_size=1316"

    def send():
        return subprocess.Popen([shutil.which("ffmpeg"), *command.split()], stdin=subprocess.DEVNULL)

    sender = send()
    try:
        with inside(policy, {"camera": f"udp://127.0.0.1:{port}"}) as running:
            running.wait_until_it_acts()
            sender.kill()
            sender.wait()
            with running.only_the_safe_action():
                running.wait_for("camera lost")
                running.wait_for_state("holding")
            sender = send()
            running.wait_for("camera recovered")
            running.wait_until_it_acts()
    finally:
        sender.kill()
        sender.wait()
