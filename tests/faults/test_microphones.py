"""What a running policy does when its microphone fails: it is not critical, so that it goes on without.

Where a driver must misbehave in a way that no sound server can be asked for, a stand-in for PortAudio does it.
"""

import numpy as np
import pytest
import soundfile

from sensorimotor.perception import microphone as module

RATE = 16_000


def tone(seconds=0.6, peak=0.3):
    return (peak * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def quiet(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def mic(running):
    """The number of the utterance that the newest decision knows; None: of none."""
    decisions = running.lines("decision")
    return decisions[-1]["inputs"]["mic"]["sequence"] if decisions else None


@pytest.fixture
def listening(pulse, started, camera, tmp_path, tools):
    """`sensorimotor run` with the microphone of a sound server; `listening.say(sound)` plays something to it."""
    env = {**pulse.env, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    running = started("--input", f"camera={camera.url}", "--input", "mic=default", env=env)

    def say(sound):
        soundfile.write(tmp_path / "say.wav", np.concatenate([sound, quiet(0.6)]), RATE, subtype="FLOAT")
        return pulse.play(tmp_path / "say.wav")

    running.say, running.pulse = say, pulse
    running.wait_until_it_acts()
    tools.eventually(lambda: running.input_states("mic"))  # a sound server takes its time
    return running


def ended(running):
    status, summary = running.end()
    assert status == 0, running.told()
    running.check()
    return summary


def test_microphone_gone(listening, tools):
    listening.say(tone())
    tools.eventually(lambda: mic(listening) == 0)
    listening.pulse.kill()
    listening.wait_for("mic lost: microphone default")
    listening.wait_for_state("degraded")
    listening.wait_until_it_acts()
    assert listening.pulse.start()
    listening.wait_for("mic recovered")
    listening.wait_for_state("running")
    listening.say(np.concatenate([tone(), quiet(0.6), tone()]))
    tools.eventually(lambda: mic(listening) == 2)  # both of them, and each once
    assert ended(listening)["inputs"]["mic"] == "live"
    assert listening.input_states("mic")[-1] == "recovered"


@pytest.mark.slow
def test_microphone_silent(listening):
    listening.wait_for("microphone default: only zeros for 5 s; it is muted, or nothing is plugged in")
    listening.wait_until_it_acts()
    listening.wait_for_state("running")
    assert mic(listening) is None
    assert ended(listening)["absent"]["mic"] > 0


def test_microphone_clipping(listening, tools):
    listening.say(np.sign(tone()))
    assert "clipped sound" in listening.wait_for("encoder of mic: input 'mic'")
    listening.wait_for_state("degraded")
    listening.wait_until_it_acts()
    listening.say(tone())
    listening.wait_for("encoder of mic: it works again")
    tools.eventually(lambda: mic(listening) is not None)
    listening.wait_for_state("running")
    summary = ended(listening)
    assert summary["drops"]["mic"]["refused"] == 1
    assert summary["drops"]["mic"]["clipped"] > 0
    assert (summary["errors"], summary["held"]) == (0, summary["verdicts"].get("critical", {}).get("hold", 0))


@pytest.fixture
def driven(inside, policy, camera, fake_portaudio, monkeypatch):
    """A running policy whose microphone hears what a test says: `driven.hear(sound)`, in blocks of 20 ms."""
    portaudio = fake_portaudio.PortAudio(RATE)
    monkeypatch.setattr(module, "portaudio", lambda *_: portaudio)
    with inside(policy, {"camera": camera.url, "mic": "default"}) as running:

        def hear(sound, **status):
            for start in range(0, len(sound), 320):
                portaudio.hear(sound[start : start + 320, None], **status)

        running.hear = hear
        running.wait_until_it_acts()
        running.wait_for_state("running")
        yield running


def test_microphone_overflows(driven, tools):
    driven.hear(quiet(0.3))
    with driven.live._senses._lock:  # whoever takes the sound away is held up
        driven.hear(quiet(2.0))
    tools.eventually(lambda: driven.live.drops().get("mic", {}).get("overflow", 0) >= 70)
    driven.hear(quiet(0.1), overflow=True)
    tools.eventually(lambda: driven.live.drops()["mic"].get("driver overflow", 0) == 5)
    for part in np.split(np.concatenate([tone(), quiet(0.5)]), 11):  # it hears as before
        driven.hear(part)
        tools.eventually(lambda: not driven.live._feeds._feeds[1].sensor._ring._blocks)
    tools.eventually(lambda: mic(driven) == 0)
    assert any(event["cause"] == "overflow" for event in driven.events("drop"))
    driven.wait_until_it_acts()


def test_microphone_nan(driven, tools):
    sound = tone(0.3)
    sound[1000:1200], sound[1300] = np.nan, np.inf
    driven.hear(quiet(0.1))
    driven.hear(sound)
    tools.eventually(lambda: driven.live.drops().get("mic", {}).get("not finite", 0) == 201)
    driven.hear(quiet(0.45))
    tools.eventually(lambda: mic(driven) == 0)  # silence in their place
    driven.wait_until_it_acts()
    assert driven.live.tally.errors == 0
    assert np.isfinite(driven.seen[-1][0].observation["mic"]).all()
