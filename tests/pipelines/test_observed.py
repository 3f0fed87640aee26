import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorimotor.errors import DataError
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.observed import observed

RATE = 16_000
MIC = Feature("audio", (1,), rate_hz=RATE, stream=True)
times = st.lists(st.integers(0, 40), max_size=12).map(lambda ticks: np.array(sorted(ticks)) / 20)


def live(modality, times_s, values, decisions_s):
    """What live buffers would have given at each decision: value (None: nothing) and age."""
    buffers, given, found = Buffers({"it": modality}), 0, []
    for now in decisions_s:
        while given < len(times_s) and times_s[given] <= now:
            buffers.feed("it", values[given], times_s[given])
            given += 1
        sensed = buffers.observe(now)
        found.append((sensed.observation.get("it"), sensed.ages_s.get("it", 0.0)))
    return found


def assert_as_live(memory, modality, feature, track, values, decisions_s):
    episode = memory.Episode("episode 0", decisions_s, {"it": track})
    seen = observed(episode, "it", feature, modality)
    for step, (value, age_s) in enumerate(live(modality, track.times_s, values, decisions_s)):
        assert seen.age_s[step] == pytest.approx(age_s, abs=1e-6)
        if value is None:
            assert seen.value[step] == -1
        else:
            (ours,) = seen.values.read([int(seen.value[step])])
            assert np.array_equal(ours, modality.check("it", value))


@settings(max_examples=40, deadline=None)
@given(samples=times, decisions=times)
def test_frames_and_states_are_the_newest_there_were(memory, samples, decisions):
    values = [np.full(2, i, np.float32) for i in range(len(samples))]
    track = memory.Track(samples, values)
    assert_as_live(memory, State(size=2), Feature("vector", (2,)), track, values, np.unique(decisions))


@settings(max_examples=20, deadline=None)
@given(samples=times, decisions=times)
def test_texts_are_kept_and_do_not_age(memory, samples, decisions):
    values = [f"say {i}" for i in range(len(samples))]
    assert_as_live(memory, Text(), Feature("text"), memory.Track(samples, values), values, np.unique(decisions))


def chunks(sound, rng):
    """A stream in chunks of uneven size, and when each was in hand."""
    cuts = np.unique(rng.integers(1, len(sound), 15))
    pieces = np.split(sound, cuts)
    return np.cumsum([len(piece) for piece in pieces]) / RATE, pieces


def test_a_window_is_the_last_of_a_stream_with_silence_before_it(memory):
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.5, 0.5, (RATE, 1)).astype(np.float32)
    times_s, pieces = chunks(sound, rng)
    modality = Audio(seconds=0.3)
    assert_as_live(memory, modality, MIC, memory.Sound(times_s, pieces), pieces, np.arange(0, 1.2, 0.07))


def test_an_utterance_is_there_once_it_has_ended(memory):
    rng = np.random.default_rng(1)
    tone = 0.3 * np.sin(np.arange(RATE) * 0.2, dtype=np.float32)
    quiet = np.zeros(RATE, np.float32)
    stream = np.concatenate([quiet, tone[: RATE // 2], quiet, tone, quiet])[:, None]
    times_s, pieces = chunks(stream, rng)
    modality = Audio(seconds=3.0, mode="utterance")
    decisions_s = np.arange(0, 4.5, 0.1)
    assert_as_live(memory, modality, MIC, memory.Sound(times_s, pieces), pieces, decisions_s)
    episode = memory.Episode("episode 0", decisions_s, {"it": memory.Sound(times_s, pieces)})
    assert observed(episode, "it", MIC, modality).value.max() == 1


def test_a_clip_is_brought_to_the_length_of_a_window(memory):
    short, long = (np.full((samples, 1), 0.5, np.float32) for samples in (RATE // 10, RATE))
    clips = Feature("audio", (1,), rate_hz=RATE)
    episode = memory.Episode("row 3", np.array([0.0, 1.0]), {"it": memory.Track([0.0, 1.0], [short, long])})
    seen = observed(episode, "it", clips, Audio(seconds=0.3))
    first, second = seen.values.read([0, 1])
    assert len(first) == len(second) == round(0.3 * RATE)
    assert np.count_nonzero(first) == len(short)
    assert np.all(second == 0.5)
    assert seen.age_s.tolist() == [0, 0]


def test_a_film_is_the_last_frames_and_begins_with_the_first_one_repeated(memory):
    frames = [np.full((4, 4, 3), i, np.uint8) for i in range(3)]
    episode = memory.Episode("episode 0", np.array([0.0, 0.1, 0.2]), {"it": memory.Track([0.0, 0.1, 0.2], frames)})
    seen = observed(episode, "it", Feature("image", (4, 4, 3)), Image(height=4, width=4, frames=2))
    shown = seen.values.read([0, 1, 2])
    assert [film[:, 0, 0, 0].tolist() for film in shown] == [[0, 0], [0, 1], [1, 2]]


def test_a_film_says_which_frames_it_has_and_those_are_read_once(memory):
    asked = []

    class Track(memory.Track):
        def read(self, samples):
            asked.append(list(samples))
            return super().read(samples)

    frames = [np.full((4, 4, 3), i, np.uint8) for i in range(5)]
    times_s = np.arange(5) / 10
    episode = memory.Episode("episode 0", times_s[1:], {"it": Track(times_s, frames)})
    seen = observed(episode, "it", Feature("image", (4, 4, 3)), Image(height=4, width=4, frames=3))
    assert seen.parts(seen.value).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert seen.needed().tolist() == [0, 1, 2, 3, 4]
    seen.values.read([2, 3])
    assert asked == [[0, 1, 2, 3]]
    assert [frame[0, 0, 0] for frame in seen.encoded.read([4, 0])] == [4, 0]


def test_a_frame_of_another_size_is_named(memory):
    frames = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)]
    episode = memory.Episode("episode 7", np.array([0.0, 0.1]), {"it": memory.Track([0.0, 0.1], frames)})
    seen = observed(episode, "it", Feature("image", (4, 4, 3)), Image(height=4, width=4, frames=2))
    with pytest.raises(DataError, match=r"episode 7: it: input 'sample 1': expected an image, uint8 \(4, 4, 3\)"):
        seen.values.read([1])


def test_a_value_that_is_not_what_the_signature_says_is_named(memory):
    wrong = [np.zeros((4, 5, 3), np.uint8)]
    episode = memory.Episode("episode 7", np.array([0.0]), {"it": memory.Track([0.0], wrong)})
    seen = observed(episode, "it", Feature("image", (4, 4, 3)), Image(height=4, width=4))
    with pytest.raises(DataError, match=r"episode 7: it: input 'sample 0': expected an image, uint8 \(4, 4, 3\)"):
        seen.values.read([0])
