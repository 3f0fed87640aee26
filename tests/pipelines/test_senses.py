import threading

import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.clock import ManualClock
from sensorimotor.errors import ObservationError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Audio, State
from sensorimotor.perception.sensor import Sample
from sensorimotor.pipelines.senses import WINDOW_PARTS, Senses

WAIT_S = 5.0


@pytest.fixture
def sensing(fake):
    """Makes senses of a policy without a network; they are stopped at the end of the test."""
    made = []

    def make(signature=None, **told):
        policy, clock = fake() if signature is None else fake(signature), ManualClock()
        failures = []
        told.setdefault("failed", lambda name, error: failures.append((name, error)))
        senses = Senses(policy, clock, **told)
        senses.start()
        made.append(senses)
        senses.failures, senses.policy, senses.clock = failures, policy, clock
        return senses

    yield make
    for senses in made:
        assert senses.stop() == []


def frame(level):
    return np.full((4, 6, 3), level, np.uint8)


def give(senses, name, value, after=-1):
    """Hand over a sample and wait until it is encoded."""
    senses.take(name, Sample(value, senses.clock.now_ns(), 0))
    return senses.wait_for(name, after, WAIT_S)


def test_what_comes_in_is_encoded_and_ages(sensing):
    senses = sensing()
    assert senses.now(0).observation == {}
    assert give(senses, "camera", frame(3)) == 0
    senses.clock.advance(0.25)
    seen = senses.now(senses.clock.now_ns())
    assert np.array_equal(seen.observation["camera"], frame(3))
    assert (seen.ages_s, seen.sequences) == ({"camera": 0.25}, {"camera": 0})
    assert set(seen.known) == {"camera"}


def test_a_decision_on_what_is_known_runs_no_encoder_and_is_the_same_as_on_the_values(sensing, fake):
    senses = sensing()
    give(senses, "camera", frame(3))
    give(senses, "instruction", "go")
    seen = senses.now(senses.clock.now_ns())
    runs = len(senses.policy.backend.encoded)
    decision = senses.policy.act(seen.observation, ages_s=seen.ages_s, sequences=seen.sequences, known=seen.known)
    assert len(senses.policy.backend.encoded) == runs == 2
    assert np.array_equal(decision.parameters, fake().act(seen.observation).parameters)


def test_words_and_utterances_stay_known_and_do_not_age(sensing):
    senses = sensing()
    give(senses, "instruction", "go to the ball")
    senses.clock.advance(3600)
    assert senses.now(senses.clock.now_ns()).ages_s == {"instruction": 0.0}


def test_what_is_too_old_is_left_out_unless_it_is_critical(sensing):
    senses = sensing()
    give(senses, "camera", frame(3))
    give(senses, "joints", np.zeros(2, np.float32))
    senses.clock.advance(2.5)
    seen = senses.now(senses.clock.now_ns())
    assert seen.ages_s == {"camera": 2.5}
    decision = senses.policy.act(seen.observation, ages_s=seen.ages_s, sequences=seen.sequences, known=seen.known)
    assert decision.held
    assert give(senses, "joints", np.ones(2, np.float32), after=0) == 1
    assert set(senses.now(senses.clock.now_ns()).ages_s) == {"camera", "joints"}


def test_a_slow_encoder_takes_the_newest_value_and_delays_nobody(sensing):
    senses = sensing()
    entered, go_on = threading.Event(), threading.Event()
    encode = senses.policy.backend.encode

    def slow(name, values):
        if name == "camera":
            entered.set()
            assert go_on.wait(WAIT_S)
        return encode(name, values)

    senses.policy.backend.encode = slow
    for level in range(5):
        senses.take("camera", Sample(frame(level), senses.clock.now_ns(), level))
        assert entered.wait(WAIT_S)
    assert give(senses, "joints", np.zeros(2, np.float32)) == 0
    senses.clock.advance(1.5)
    assert senses.busy_s()["camera"] == 1.5
    assert set(senses.now(0).observation) == {"joints"}
    go_on.set()
    assert senses.wait_for("camera", 3, WAIT_S) == 4
    assert np.array_equal(senses.now(0).observation["camera"], frame(4))
    assert senses.drops() == {"camera": {"replaced": 3}}
    assert senses.stop() == []
    assert senses.busy_s() == {}


def test_an_encoder_that_raises_costs_one_value(sensing):
    senses = sensing()
    encode, failed = senses.policy.backend.encode, threading.Event()

    def broken_once(name, values):
        if not failed.is_set():
            failed.set()
            raise RuntimeError("no memory")
        return encode(name, values)

    senses.policy.backend.encode = broken_once
    senses.take("camera", Sample(frame(1), 0, 0))
    assert failed.wait(WAIT_S)
    assert give(senses, "camera", frame(2)) == 1
    assert [(name, str(error)) for name, error in senses.failures] == [("camera", "no memory")]
    assert senses.drops() == {"camera": {"failed": 1}}


def test_a_value_that_is_none_is_refused_and_counted(sensing):
    refused = threading.Event()
    errors = []
    senses = sensing(failed=lambda name, error: (errors.append(error), refused.set()))
    senses.take("camera", Sample(np.zeros((5, 6, 3), np.uint8), 0, 0))
    assert refused.wait(WAIT_S)
    assert isinstance(errors[0], ObservationError)
    assert senses.drops() == {"camera": {"refused": 1}}
    with pytest.raises(ObservationError, match="unknown name"):
        senses.take("lidar", Sample(np.zeros(2), 0, 0))


def test_after_a_reset_nothing_is_known_and_numbers_begin_anew(sensing):
    senses = sensing()
    give(senses, "camera", frame(1))
    give(senses, "camera", frame(2), after=0)
    senses.reset()
    assert senses.now(0).observation == {}
    assert give(senses, "camera", frame(3)) == 0
    assert np.array_equal(senses.now(0).observation["camera"], frame(3))


def test_every_sample_of_sound_is_in_a_window_that_is_encoded(sensing):
    """There is no blind interval: an impulse is heard wherever it falls."""
    ear = Audio(sample_rate=4000, seconds=0.2, mode="window")
    signature = Signature({"noise": ear, "joints": State(size=2)}, Discrete(2), Constant(0), 10.0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        senses = sensing(signature)
        sound = np.zeros((4000, 1), np.float32)
        sound[at := int(rng.integers(3600))] = 0.5
        heard, newest, taken, since = False, -1, 0, ear.samples
        while taken < len(sound):
            chunk = sound[taken : taken + int(rng.integers(1, 360))]
            taken, since = taken + len(chunk), since + len(chunk)
            senses.clock.advance(len(chunk) / 4000)
            senses.take("noise", Sample(chunk, senses.clock.now_ns(), 0))
            if since >= ear.samples / WINDOW_PARTS:
                newest, since = senses.wait_for("noise", newest, WAIT_S), 0
                heard |= bool(senses.now(senses.clock.now_ns()).observation["noise"].max() == 0.5)
        assert heard, at
