import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import ObservationError
from sensorimotor.perception.buffers import Buffers, latched
from sensorimotor.perception.modality import Audio, Image, State, Text

RATE = 4000
INPUTS = {
    "camera": Image(height=2, width=2),
    "noise": Audio(sample_rate=RATE, seconds=0.05),
    "mic": Audio(sample_rate=RATE, seconds=1.0, mode="utterance"),
    "instruction": Text(),
    "joints": State(size=2),
}


@pytest.fixture
def buffers() -> Buffers:
    return Buffers(INPUTS)


def frame(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros((round(seconds * RATE), 1), np.float32)


def loud(seconds: float, peak: float = 0.3) -> np.ndarray:
    return (peak * np.sin(np.arange(round(seconds * RATE)) * 0.9)).astype(np.float32)[:, None]


def test_nothing_is_observed_before_anything_is_fed(buffers):
    sensed = buffers.observe(now_s=3.0)
    assert (sensed.observation, sensed.ages_s, sensed.sequences) == ({}, {}, {})


def test_the_newest_frame_wins_and_counts_up(buffers):
    for value in (1, 2, 3):
        buffers.feed("camera", frame(value), now_s=float(value))
    sensed = buffers.observe(now_s=3.25)
    assert np.array_equal(sensed.observation["camera"], frame(3))
    assert sensed.sequences == {"camera": 2}
    assert sensed.ages_s == {"camera": 0.25}


def test_the_same_number_is_the_same_value(buffers):
    buffers.feed("joints", np.zeros(2), now_s=0.0)
    first, second = buffers.observe(now_s=0.1), buffers.observe(now_s=0.2)
    assert first.sequences == second.sequences == {"joints": 0}
    assert first.observation["joints"] is second.observation["joints"]


def test_what_streams_ages_and_what_is_latched_does_not(buffers):
    buffers.feed("camera", frame(0), now_s=1.0)
    buffers.feed("joints", np.zeros(2), now_s=2.0)
    buffers.feed("noise", quiet(0.01), now_s=3.0)
    buffers.feed("instruction", "go", now_s=0.0)
    buffers.feed("mic", np.concatenate([quiet(0.5), loud(0.4), quiet(0.6)]), now_s=0.0)
    assert buffers.observe(now_s=4.0).ages_s == {
        "camera": 3.0,
        "joints": 2.0,
        "noise": 1.0,
        "instruction": 0.0,
        "mic": 0.0,
    }
    assert [name for name in INPUTS if latched(INPUTS[name])] == ["mic", "instruction"]


def test_a_sample_that_came_in_after_the_moment_of_the_decision_has_age_0(buffers):
    buffers.feed("joints", np.zeros(2), now_s=1.001)
    assert buffers.observe(now_s=1.0).ages_s == {"joints": 0.0}


@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=8), seed=st.integers(0, 2**32))
def test_a_window_holds_the_newest_samples_whatever_the_chunks_and_begins_with_silence(lengths, seed):
    stream = np.random.default_rng(seed).uniform(-1, 1, (sum(lengths), 1)).astype(np.float32)
    buffers, samples = Buffers({"noise": INPUTS["noise"]}), INPUTS["noise"].samples
    for chunk in np.split(stream, np.cumsum(lengths)[:-1]):
        buffers.feed("noise", chunk, now_s=0.0)
    sensed = buffers.observe(now_s=0.0)
    assert np.array_equal(sensed.observation["noise"], np.concatenate([np.zeros((samples, 1)), stream])[-samples:])
    assert sensed.observation["noise"].dtype == np.float32
    assert sensed.sequences == {"noise": len(lengths) - 1}


def test_a_window_that_was_observed_does_not_slide_under_the_observer(buffers):
    buffers.feed("noise", loud(0.05), now_s=0.0)
    seen = buffers.observe(now_s=0.0).observation["noise"]
    before = seen.copy()
    buffers.feed("noise", quiet(0.02), now_s=0.02)
    assert np.array_equal(seen, before)


def test_sound_of_one_channel_may_come_without_an_axis_of_channels(buffers):
    buffers.feed("noise", loud(0.05)[:, 0], now_s=0.0)
    assert np.array_equal(buffers.observe(now_s=0.0).observation["noise"], loud(0.05))


def test_no_new_samples_make_no_new_value_and_no_younger_one(buffers):
    buffers.feed("noise", loud(0.05), now_s=0.0)
    buffers.feed("noise", quiet(0.0), now_s=5.0)
    sensed = buffers.observe(now_s=5.0)
    assert sensed.sequences == {"noise": 0}
    assert sensed.ages_s == {"noise": 5.0}


def test_an_utterance_appears_when_it_has_ended_and_stays(buffers):
    buffers.feed("mic", np.concatenate([quiet(0.5), loud(0.4)]), now_s=0.9)
    assert buffers.observe(now_s=0.9).observation == {}
    buffers.feed("mic", quiet(0.6), now_s=1.5)
    heard = buffers.observe(now_s=1.5)
    assert heard.sequences == {"mic": 0}
    buffers.feed("mic", quiet(2.0), now_s=3.5)
    later = buffers.observe(now_s=3.5)
    assert later.sequences == {"mic": 0}
    assert later.observation["mic"] is heard.observation["mic"]


def test_a_second_utterance_takes_the_place_of_the_first(buffers):
    buffers.feed("mic", np.concatenate([quiet(0.5), loud(0.4), quiet(0.6)]), now_s=1.5)
    buffers.feed("mic", np.concatenate([loud(0.4, peak=0.6), quiet(0.6)]), now_s=2.5)
    sensed = buffers.observe(now_s=2.5)
    assert sensed.sequences == {"mic": 1}
    assert np.abs(sensed.observation["mic"]).max() > 0.5


def test_of_two_utterances_in_one_chunk_the_last_is_kept(buffers):
    stream = [quiet(0.5), loud(0.4), quiet(0.6), loud(0.4, peak=0.6), quiet(0.6)]
    buffers.feed("mic", np.concatenate(stream), now_s=3.0)
    sensed = buffers.observe(now_s=3.0)
    assert np.abs(sensed.observation["mic"]).max() > 0.5
    assert sensed.sequences == {"mic": 1}  # so that whoever misses number 0 can count it


def test_what_an_ear_gives_passes_the_check_of_its_input(buffers):
    buffers.feed("mic", np.concatenate([quiet(0.5), loud(3.0), quiet(0.6)]), now_s=4.0)
    sound = buffers.observe(now_s=4.0).observation["mic"]
    assert INPUTS["mic"].check("mic", sound) is sound


def test_a_text_said_again_is_no_new_value(buffers):
    for words, sequence in (("go", 0), ("go", 0), ("stop", 1), ("go", 2)):
        buffers.feed("instruction", words, now_s=0.0)
        assert buffers.observe(now_s=0.0).sequences == {"instruction": sequence}


def test_a_reset_forgets_values_numbers_and_half_an_utterance(buffers):
    buffers.feed("camera", frame(1), now_s=0.0)
    buffers.feed("noise", loud(0.05), now_s=0.0)
    buffers.feed("mic", np.concatenate([quiet(0.5), loud(0.4)]), now_s=0.9)
    buffers.reset()
    assert buffers.observe(now_s=1.0).observation == {}
    buffers.feed("mic", quiet(0.6), now_s=1.5)
    buffers.feed("noise", quiet(0.01), now_s=1.5)
    sensed = buffers.observe(now_s=1.5)
    assert sensed.sequences == {"noise": 0}
    assert not sensed.observation["noise"].any()


def test_an_observation_does_not_change_when_more_comes_in(buffers):
    buffers.feed("instruction", "go", now_s=0.0)
    sensed = buffers.observe(now_s=0.0)
    buffers.feed("camera", frame(1), now_s=0.0)
    buffers.feed("instruction", "stop", now_s=0.0)
    assert sensed.observation == {"instruction": "go"}
    assert sensed.sequences == {"instruction": 0}


def test_an_input_that_the_stream_does_not_have_is_refused_by_name(buffers):
    with pytest.raises(
        ObservationError, match="input 'lidar': expected one of camera, noise, mic, instruction, joints"
    ):
        buffers.feed("lidar", np.zeros(2), now_s=0.0)


@pytest.mark.parametrize("name", ["noise", "mic"])
@pytest.mark.parametrize(
    "chunk",
    [np.zeros((5, 1), np.int16), np.full((5, 1), np.nan, np.float32), np.zeros((5, 2), np.float32), [0.0], "hello"],
)
def test_bad_sound_is_refused_by_name_when_it_comes_in_and_the_ear_stays_sound(buffers, name, chunk):
    with pytest.raises(ObservationError, match=f"input '{name}'"):
        buffers.feed(name, chunk, now_s=0.0)
    buffers.feed(name, np.concatenate([quiet(0.5), loud(0.4), quiet(0.6)]), now_s=1.5)
    assert buffers.observe(now_s=1.5).sequences == {name: 0}
