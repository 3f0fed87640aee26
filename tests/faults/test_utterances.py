"""No blind interval: whatever is said, whenever it is said, is in exactly one utterance that is encoded."""

import queue
import time

import numpy as np
import pytest

from sensorimotor.perception.sensor import Losses, Sample

RATE = 16_000
PAUSE_S = 0.6
"""More than ends an utterance."""


class Heard:
    """A microphone that hears what a test says, or a camera that sees what it shows."""

    paced, noisy, reopens, interval_s, source = True, False, True, None, "heard"

    def __init__(self):
        self.losses, self._waiting, self._sequence = Losses(), queue.Queue(), -1

    def put(self, value):
        self._waiting.put(value)

    def open(self):
        pass

    def read(self, timeout_s):
        try:
            value = self._waiting.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._sequence += 1
        return Sample(value, time.monotonic_ns(), self._sequence)

    def close(self):
        pass


def stream(rng, words):
    """Sound with so many words in it, and where each of them begins and ends (samples).

    No two stretches of it are the same, so that it can be said of each where it comes from.
    """
    parts, places, at = [], [], 0
    for _ in range(words):
        pause = 1e-4 * rng.uniform(-1, 1, int(rng.uniform(PAUSE_S, 2 * PAUSE_S) * RATE) + int(rng.integers(320)))
        word = 0.3 * rng.uniform(-1, 1, int(rng.uniform(0.1, 1.2) * RATE))
        at += len(pause)
        places.append((at, at + len(word)))
        at += len(word)
        parts += [pause, word]
    parts.append(1e-4 * rng.uniform(-1, 1, round(PAUSE_S * RATE)))
    return np.concatenate(parts).astype(np.float32), places


def place_of(utterance, whole):
    """Where in a stream an utterance is (samples)."""
    for start in np.flatnonzero(whole == utterance[0, 0]):
        if np.array_equal(whole[start : start + len(utterance)], utterance[:, 0]):
            return int(start), int(start) + len(utterance)
    raise AssertionError("it is not what was said")


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))])
def test_speech_at_any_moment_is_in_exactly_one_utterance_that_is_encoded(inside, policy, tools, seed):
    rng = np.random.default_rng(seed)
    whole, places = stream(rng, words=6)
    encode, encoded = policy.encode, []

    def noting(name, value, *more):
        known = encode(name, value, *more)
        if name == "mic":
            encoded.append(value)
        return known

    policy.encode = noting
    mic, camera, taken = Heard(), Heard(), 0
    frame = rng.integers(0, 255, (56, 56, 3), np.uint8)
    with inside(policy, {}, sensors={"mic": mic, "camera": camera}, rate_hz=50.0) as running:
        senses = running.live._senses
        while taken < len(whole):
            chunk = whole[taken : taken + int(rng.integers(1, 2400)), None]
            taken += len(chunk)
            mic.put(chunk)
            tools.eventually(lambda: mic._waiting.empty() and running.live._feeds.states()["mic"] == "live")
            if taken == len(chunk) or taken >= places[3][0]:
                camera.put(frame)  # it is blind at first
                frame = frame + 1
            tools.eventually(lambda: len(encoded) > senses._buffers.newest("mic")[0] or not encoded)
        tools.eventually(lambda: len(encoded) == len(places))
        tools.eventually(lambda: running.seen[-1][1].inputs["mic"].sequence == len(places) - 1)
    found = [place_of(utterance, whole) for utterance in encoded]
    for begins, ends in places:
        assert sum(start <= begins and ends <= end for start, end in found) == 1
        assert sum(start < ends and begins < end for start, end in found) == 1  # and in part in no other
    assert "replaced" not in running.live.drops().get("mic", {})


def test_what_is_said_before_the_first_frame_is_known_at_the_first_action(inside, policy, tools):
    whole, _ = stream(np.random.default_rng(9), words=1)
    mic, camera = Heard(), Heard()
    with inside(policy, {}, sensors={"mic": mic, "camera": camera}) as running:
        running.wait_until_it_holds()
        for chunk in np.array_split(whole[:, None], 50):
            mic.put(chunk)
        tools.eventually(lambda: running.live._senses._buffers.newest("mic")[0] == 0)
        assert all(command["held"] for command in running.receiver.commands)
        tools.eventually(lambda: "mic" in running.live._senses.now(0).observation)
        camera.put(np.full((56, 56, 3), 90, np.uint8))
        tools.eventually(lambda: any(not decision.held for _, decision in running.seen))
    first = next(decision for _, decision in running.seen if not decision.held)
    assert first.inputs["mic"].present
    assert first.inputs["mic"].sequence == 0
