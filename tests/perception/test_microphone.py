import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from sensorimotor.clock import ManualClock
from sensorimotor.errors import SensorError
from sensorimotor.perception import microphone as module
from sensorimotor.perception.microphone import Microphone
from sensorimotor.perception.modality import Audio

EAR = Audio(sample_rate=16_000, seconds=1.0)


@pytest.fixture
def opened(monkeypatch, fake_portaudio):
    made = []

    def make(modality=EAR, rate=16_000, channels=1, **settings):
        portaudio = fake_portaudio.PortAudio(rate, channels)
        monkeypatch.setattr(module, "portaudio", lambda *_: portaudio)
        clock = ManualClock(1000)
        microphone = Microphone(settings.pop("device", None), modality, clock=clock, **settings)
        made.append(microphone)
        return microphone, portaudio, clock, microphone.open()

    yield make
    for microphone in made:
        microphone.close()
    assert not module._open_streams


def block(value=0.25, samples=320, channels=1):
    return np.full((samples, channels), value, np.float32)


def test_blocks_come_in_order_with_the_time_they_were_in_hand_and_the_device_s_own(opened):
    microphone, portaudio, clock, notice = opened()
    assert notice is None
    memory = block(0.25)
    portaudio.hear(memory, adc_s=7.0)
    memory[:] = 0.5  # drivers use theirs again
    clock.advance(1.0)
    portaudio.hear(memory)
    first, second = microphone.read(0.0), microphone.read(0.0)
    assert EAR.check_chunk("mic", first.value)[0] == 0.25
    assert (first.captured_ns, first.sequence, first.device_s) == (1000, 0, pytest.approx(7.02))
    assert (second.captured_ns, second.sequence, second.device_s) == (1_000_001_000, 1, None)
    assert microphone.read(0.0) is None


def test_a_slow_reader_gets_the_newest_sound_and_the_rest_is_counted(opened):
    microphone, portaudio, _, _ = opened(limit_ms=100)
    for _ in range(12):
        portaudio.hear(block())
    sequences = []
    while (sample := microphone.read(0.0)) is not None:
        sequences.append(sample.sequence)
    assert sequences == [7, 8, 9, 10, 11]  # 100 ms
    assert microphone.losses.totals() == {"overflow": 7}


def test_what_the_driver_lost_is_counted_and_bad_samples_too(opened):
    microphone, portaudio, _, _ = opened()
    sound = block()
    sound[3], sound[4], sound[5:9] = np.nan, -np.inf, 1.0
    portaudio.hear(sound, overflow=True)
    heard = EAR.check_chunk("mic", microphone.read(0.0).value)
    assert heard[3] == heard[4] == 0
    assert microphone.losses.totals() == {"driver overflow": 1, "not finite": 2, "clipped": 4}


def test_a_device_of_another_rate_is_resampled_without_seams_with_a_notice(opened):
    microphone, portaudio, _, notice = opened(rate=48_000, channels=2, modality=Audio(seconds=1.0, channels=1))
    assert notice == ("microphone default: asked for 16000 Hz x 1, got 48000 Hz x 1; it is converted")
    assert portaudio.stream.samplerate == 48_000
    wave = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000, dtype=np.float32)[:, None]
    heard = []
    for start in range(0, 48_000, 960):
        portaudio.hear(wave[start : start + 960])
        sample = microphone.read(0.0)
        heard.extend([] if sample is None else sample.value[:, 0])
    assert 15_500 < len(heard) <= 16_000  # the filter holds back the rest
    expected = np.sin(2 * np.pi * 440 * np.arange(len(heard)) / 16_000)
    assert np.abs(np.array(heard) - expected)[200:].max() < 1e-2


def test_a_device_with_fewer_channels_fills_them_all(opened):
    stereo = Audio(seconds=1.0, channels=2)
    microphone, portaudio, _, notice = opened(modality=stereo)
    assert "got 16000 Hz x 1" in notice
    portaudio.hear(block())
    assert stereo.check_chunk("mic", microphone.read(0.0).value).tolist() == [[0.25, 0.25]] * 320


def test_a_microphone_that_hears_nothing_at_all_is_told_once(opened):
    microphone, portaudio, _, _ = opened()
    for _ in range(600):
        portaudio.hear(block(0.0))
        microphone.read(0.0)
    assert microphone.losses.told() == ["microphone default: only zeros for 5 s; it is muted, or nothing is plugged in"]


def test_a_microphone_that_is_unplugged_is_lost_at_once(opened):
    microphone, portaudio, _, _ = opened()
    portaudio.stream.active = False
    portaudio.stream.finished_callback()
    with pytest.raises(SensorError, match="unplugged"):
        microphone.read(60.0)


def test_a_device_plugged_in_later_is_found(opened):
    microphone, portaudio, _, _ = opened()
    microphone.close()
    portaudio.there = False
    microphone.open()  # PortAudio looks again
    portaudio.hear(block())
    assert microphone.read(0.0).sequence == 0


def test_portaudio_is_not_started_anew_while_another_microphone_is_open(opened):
    _, first, _, _ = opened()
    with pytest.raises(SensorError, match="Microphones of this machine: 'USB mic'"):
        opened(device="none such")
    assert first.stream.active


def test_a_microphone_that_does_not_exist_is_refused_with_those_that_do(opened):
    with pytest.raises(SensorError, match=r"microphone 7: No input device.*Microphones of this machine: 'USB mic'"):
        opened(device=7)


def test_a_driver_that_hangs_does_not_hang_the_end(opened, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    microphone, portaudio, _, _ = opened()
    portaudio.hangs.clear()
    microphone.close()
    with pytest.raises(SensorError, match="closed"):
        microphone.read(60.0)
    portaudio.hangs.set()
    for _ in range(100):
        if not module._open_streams:
            break
        time.sleep(0.02)


LISTENER = """
import json, sys, time
import numpy as np
from sensorimotor.clock import MonotonicClock
from sensorimotor.perception.feed import Feed, Patience
from sensorimotor.perception.feeds import Feeds
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.sensors import available, open_sensor

def tell(**line):
    print(json.dumps(line), flush=True)

clock, ear, heard = MonotonicClock(), Audio(sample_rate=16000, seconds=0.25), []
def sink(name, sample):
    heard.append((sample, clock.now_ns()))
tell(found=[found.about for found in available()])
microphone = open_sensor("mic", ear, "default", clock=clock)
feed = Feed("mic", ear, microphone, clock=clock, sink=sink, event=lambda n, e, r: tell(event=e, reason=r),
            notice=lambda n, line: tell(notice=line), patience=Patience(0.5, 3.0))
with Feeds([feed]):
    until = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < until:
        time.sleep(0.25)
        taken, heard = heard, []
        if taken:
            sound = np.concatenate([ear.check_chunk("mic", sample.value) for sample, _ in taken])[:, 0]
            spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
            tell(samples=len(sound), level=float(np.sqrt(np.mean(sound**2))),
                 hz=float(np.argmax(spectrum) * 16000 / len(sound)),
                 lag_ms=max(now_ns - sample.captured_ns for sample, now_ns in taken) / 1e6)
tell(drops=feed.drops())
"""


def test_a_real_microphone_is_heard_lost_and_heard_again(pulse, tmp_path):
    rate = 48_000
    tone = 0.3 * np.sin(2 * np.pi * 800 * np.arange(3 * rate) / rate)
    soundfile.write(tmp_path / "tone.wav", tone.astype(np.float32), rate)

    def play():
        return pulse.play(tmp_path / "tone.wav")

    listener = subprocess.Popen(
        [sys.executable, "-c", LISTENER, "40"], env=pulse.env, stdout=subprocess.PIPE, text=True
    )
    lines = []

    def wait_for(what):
        for text in listener.stdout:
            lines.append(json.loads(text))
            if what(lines[-1]):
                return lines[-1]
        raise AssertionError(f"never came: {lines}")

    playing = None
    try:
        assert wait_for(lambda line: "found" in line)["found"]
        wait_for(lambda line: line.get("event") == "live")
        assert wait_for(lambda line: "level" in line)["level"] == 0
        playing = play()
        heard = wait_for(lambda line: line.get("level", 0) > 0.15)
        assert heard["hz"] == pytest.approx(800, abs=10)
        assert heard["lag_ms"] < 500
        pulse.kill()
        wait_for(lambda line: line.get("event") == "lost")
        pulse.start()
        wait_for(lambda line: line.get("event") == "recovered")
        playing.wait()
        playing = play()
        assert wait_for(lambda line: line.get("level", 0) > 0.15)["hz"] == pytest.approx(800, abs=10)
    finally:
        listener.kill()
        listener.wait()
        if playing is not None:
            playing.kill()
            playing.wait()
