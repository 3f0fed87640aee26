import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.perception.utterance import FRAME_S, ONSET_FRAMES, Endpointer

RATE = 8000
FRAME = round(FRAME_S * RATE)
LIMIT_S = 1.2


def quiet(seconds: float, rate: int = RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.float32)


def loud(seconds: float, rate: int = RATE, peak: float = 0.3) -> np.ndarray:
    return (peak * np.sin(np.arange(round(seconds * rate)) * 0.5)).astype(np.float32)


def hear(stream: np.ndarray, **settings):
    return Endpointer(RATE, LIMIT_S, **settings).feed(stream)


@st.composite
def streams(draw) -> np.ndarray:
    """Stretches of noise, each at its own level, of up to 3 s in all."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = st.integers(0, 4 * FRAME) | st.integers(0, round(0.8 * RATE))
    levels = st.sampled_from([0.0, 1e-4, 1e-2, 0.3])
    stretches = draw(st.lists(st.tuples(lengths, levels), min_size=1, max_size=6))
    channels = draw(st.integers(1, 2))
    parts = [level * rng.uniform(-1, 1, (length, channels)) for length, level in stretches]
    return np.concatenate(parts).astype(np.float32)[: 3 * RATE]


@given(stream=streams(), cuts=st.lists(st.integers(0, 3 * RATE), max_size=12))
def test_the_same_stream_in_any_chunks_gives_the_same_utterances(stream, cuts):
    whole = hear(stream)
    ear = Endpointer(RATE, LIMIT_S)
    pieces = [utterance for chunk in np.split(stream, sorted(cuts)) for utterance in ear.feed(chunk)]
    assert [(u.start_s, u.delay_s, u.truncated) for u in pieces] == [(u.start_s, u.delay_s, u.truncated) for u in whole]
    assert all(np.array_equal(a.sound, b.sound) for a, b in zip(pieces, whole, strict=True))


@given(stream=streams())
def test_every_utterance_is_a_stretch_of_the_stream_within_the_limit_and_none_overlap(stream):
    end = 0
    for utterance in hear(stream):
        start = round(utterance.start_s * RATE)
        assert start >= end
        end = start + len(utterance.sound)
        assert 0 < len(utterance.sound) <= LIMIT_S * RATE
        assert utterance.sound.dtype == np.float32
        assert np.array_equal(utterance.sound, stream[start:end])


def test_one_stretch_of_sound_between_quiet_is_one_utterance():
    (utterance,) = hear(np.concatenate([quiet(0.5), loud(0.5), quiet(0.5)]))
    assert utterance.start_s < 0.5
    assert utterance.start_s + len(utterance.sound) / RATE > 1.0
    assert not utterance.truncated
    assert utterance.sound.shape[1] == 1


def test_silence_and_steady_noise_say_nothing():
    hum = loud(3.0, peak=0.05)
    assert hear(quiet(2.0)) == []
    assert hear(hum) == []


@pytest.mark.parametrize("frames", range(1, ONSET_FRAMES))
def test_a_click_is_no_utterance(frames):
    assert hear(np.concatenate([quiet(0.5), loud(frames * FRAME_S), quiet(1.0)])) == []


def test_sound_that_is_quieter_than_any_speech_is_no_utterance():
    assert hear(np.concatenate([quiet(0.5), loud(0.5, peak=0.001), quiet(0.6)])) == []


def test_a_short_pause_does_not_split_an_utterance_and_a_long_one_does():
    words = loud(0.2)
    assert len(hear(np.concatenate([quiet(0.3), words, quiet(0.2), words, quiet(0.6)]))) == 1
    assert len(hear(np.concatenate([quiet(0.3), words, quiet(0.6), words, quiet(0.6)]))) == 2


def test_an_utterance_is_known_as_soon_as_the_silence_behind_it_is_long_enough():
    ear = Endpointer(RATE, LIMIT_S, silence_s=0.4)
    assert ear.feed(np.concatenate([quiet(0.4), loud(0.4), quiet(0.38)])) == []
    assert ear.speaking
    (utterance,) = ear.feed(quiet(0.02))
    assert utterance.delay_s == pytest.approx(0.4)
    assert not ear.speaking


def test_the_quiet_in_front_belongs_to_the_utterance_as_asked():
    stream = np.concatenate([quiet(0.6), loud(0.4), quiet(0.6)])
    starts = [hear(stream, pre_roll_s=pre_roll_s)[0].start_s for pre_roll_s in (0.0, 0.1, 0.2)]
    assert starts == pytest.approx([0.6, 0.5, 0.4])


def test_of_the_quiet_behind_a_quarter_of_what_ended_it_belongs_to_the_utterance():
    (utterance,) = hear(np.concatenate([quiet(0.6), loud(0.4), quiet(0.6)]), pre_roll_s=0.1, silence_s=0.4)
    assert utterance.start_s == pytest.approx(0.5)
    assert len(utterance.sound) == round((0.1 + 0.4 + 0.1) * RATE)


@pytest.mark.parametrize("silence_s", [0.0, 0.02, 0.1, 0.6])
def test_so_much_silence_as_asked_ends_an_utterance_but_at_least_a_frame(silence_s):
    (utterance,) = hear(np.concatenate([quiet(0.5), loud(0.2), quiet(0.8)]), silence_s=silence_s)
    assert utterance.delay_s == pytest.approx(max(silence_s, FRAME_S))
    assert not utterance.truncated


def test_an_utterance_that_reaches_the_limit_is_cut_there_and_marked():
    first, *_ = hear(np.concatenate([quiet(0.5), loud(2.0), quiet(0.6)]))
    assert first.truncated
    assert len(first.sound) == LIMIT_S * RATE
    assert first.delay_s == 0


@pytest.mark.parametrize(("seconds", "truncated", "delay_s"), [(0.8, False, 0.4), (0.82, True, 0.38)])
def test_what_ends_just_in_time_is_whole_and_what_does_not_is_marked(seconds, truncated, delay_s):
    (utterance,) = hear(np.concatenate([quiet(0.5), loud(seconds), quiet(0.6)]), pre_roll_s=0.0)
    assert utterance.truncated is truncated
    assert utterance.delay_s == pytest.approx(delay_s)


@pytest.mark.parametrize(("frames", "utterances"), [(ONSET_FRAMES - 1, 1), (ONSET_FRAMES, 2)])
def test_after_the_limit_a_new_utterance_begins_like_any_other(frames, utterances):
    stream = np.concatenate([quiet(0.5), loud(LIMIT_S + frames * FRAME_S), quiet(0.6)])
    assert len(hear(stream, pre_roll_s=0.0)) == utterances


@pytest.mark.parametrize("limit_s", [0.01, 0.05, 0.1, 0.2, 0.27, 0.3])
def test_no_utterance_exceeds_even_a_limit_shorter_than_the_quiet_in_front(limit_s):
    heard = Endpointer(RATE, limit_s).feed(np.concatenate([quiet(0.5), loud(0.4), quiet(0.6)]))
    assert heard
    assert all(0 < len(utterance.sound) <= limit_s * RATE for utterance in heard)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100])
def test_the_beginning_is_right_at_any_sample_rate_and_does_not_drift(rate):
    seconds = 20.0
    stream = np.concatenate([quiet(seconds, rate), loud(0.5, rate), quiet(0.6, rate)])
    (utterance,) = Endpointer(rate, LIMIT_S, pre_roll_s=0.0).feed(stream)
    assert utterance.start_s == pytest.approx(seconds, abs=1.5 * FRAME_S)
    start = round(utterance.start_s * rate)
    assert np.array_equal(utterance.sound[:, 0], stream[start : start + len(utterance.sound)])


def test_speech_is_found_above_a_noise_floor_that_it_is_clearly_louder_than():
    rng = np.random.default_rng(0)
    stream = np.concatenate([quiet(1.0), loud(0.5), quiet(0.6)])
    noise = 0.02 * rng.standard_normal(len(stream)).astype(np.float32)
    (utterance,) = hear(stream + noise)
    assert utterance.start_s < 1.0 < utterance.start_s + len(utterance.sound) / RATE


def test_a_noise_that_stays_becomes_the_floor_slowly_enough_not_to_swallow_speech():
    rng = np.random.default_rng(0)
    room, fan = (
        level * rng.standard_normal(round(s * RATE)).astype(np.float32) for level, s in ((0.003, 1), (0.03, 12))
    )
    heard = hear(np.concatenate([room, fan]))
    assert 4.0 < heard[-1].start_s + len(heard[-1].sound) / RATE < 7.0  # 11 dB at 2.5 dB/s


def test_channels_are_kept():
    stereo = np.stack([np.concatenate([quiet(0.5), loud(0.5), quiet(0.6)])] * 2, axis=1)
    (utterance,) = hear(stereo * np.float32([1.0, 0.5]))
    assert utterance.sound.shape[1] == 2
    assert np.allclose(utterance.sound[:, 1], utterance.sound[:, 0] / 2)


@pytest.mark.parametrize("size", [round(0.45 * RATE), round(0.77 * RATE) + 13])
def test_the_memory_of_a_chunk_can_be_used_again_by_the_caller(size):
    stream = np.concatenate([quiet(0.5), loud(0.5), quiet(0.6)])
    (expected,) = hear(stream)
    ear, buffer, heard = Endpointer(RATE, LIMIT_S), np.empty(size, np.float32), []
    for start in range(0, len(stream), size):
        chunk = buffer[: len(stream[start : start + size])]
        chunk[:] = stream[start : start + size]
        heard += ear.feed(chunk)
        buffer[:] = 0.9
    assert np.array_equal(heard[0].sound, expected.sound)


def test_after_a_reset_the_ear_is_as_new():
    stream = np.concatenate([quiet(0.5), loud(0.5), quiet(0.6)])
    ear = Endpointer(RATE, LIMIT_S)
    ear.feed(stream[: round(0.77 * RATE) + 13])
    assert ear.speaking
    ear.reset()
    assert not ear.speaking
    (again,), (new,) = ear.feed(stream), hear(stream)
    assert again.start_s == new.start_s
    assert np.array_equal(again.sound, new.sound)
