"""Films in a stream: every frame is encoded once, and what is decided is as if whole films were encoded every time."""

import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.buffers import Buffers
from sensorimotor.perception.modality import Image, State

FRAMES = 4
CAMERA = Image(height=4, width=6, frames=FRAMES)
SIGNATURE = Signature(
    {"camera": CAMERA, "joints": State(size=2)}, Discrete(3, ("wait", "go", "turn")), Constant("wait"), 10.0
)


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 6, 3), np.uint8)


@pytest.fixture
def watcher(fake):
    """A policy that sees films, without a network: its back end notes every frame that it encodes and keeps tokens."""
    policy = fake(SIGNATURE)
    backend, encode, step = policy.backend, policy.backend.encode, policy.backend.step
    backend.frames, backend.runs, backend.films = [], [], []

    def noted(name, values):
        if name == "camera":
            assert values[0].shape[1:] == CAMERA.one_frame
            backend.frames += [frame.tobytes() for frame in values[0]]
            backend.runs.append(len(values[0]))
            return tokens(values[0])[:, None, None], np.ones((len(values[0]), 1), bool)
        return encode(name, values)

    def watched(inputs):
        backend.films.append([film[:, 0].tolist() for film in inputs.tokens[0]])
        return step(inputs)

    backend.encode, backend.step = noted, watched
    return policy


def tokens(frames):
    """One number a frame, exact, so that it does not matter how many are encoded together."""
    weights = np.arange(1, 1 + frames[0].size)
    return (frames.reshape(len(frames), -1) @ weights).astype(np.float32)


def films(numbers, shown):
    return [shown[list(film)] for film in numbers]


def test_in_a_stream_each_frame_is_encoded_once(watcher):
    shown, buffers = pictures(30), Buffers(SIGNATURE.inputs)
    for i, frame in enumerate(shown):
        buffers.feed("camera", frame, i / 10)
        sensed = buffers.observe(i / 10)
        watcher.act(sensed.observation, ages_s=sensed.ages_s, sequences=sensed.sequences)
        assert watcher.backend.films[-1] == [tokens(sensed.observation["camera"]).tolist()]
    assert watcher.backend.frames == [frame.tobytes() for frame in shown]


@pytest.mark.parametrize("numbered", [True, False], ids=["with numbers", "without"])
def test_films_with_jumps_are_what_they_would_be_encoded_whole(watcher, numbered):
    numbers = [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 2), (1, 2, 3, 7), (2, 3, 7, 7), (7, 3, 2, 7), (9, 10, 11, 12)]
    new = [1, 1, 1, 2, 0, 0, 4]
    for step, (film, count) in enumerate(zip(films(numbers, pictures(13)), new, strict=True)):
        before = len(watcher.backend.frames)
        decision = watcher.act({"camera": film}, sequences={"camera": step} if numbered else None)
        assert watcher.backend.films[-1] == [tokens(film).tolist()]
        assert len(watcher.backend.frames) - before == count
        assert decision.inputs["camera"].cached == (count == 0)
        assert ("encode.camera" in decision.timings_ms) == (count > 0)


def test_the_same_number_is_the_same_film_and_so_is_the_same_content(watcher):
    shown = pictures(4)
    watcher.act({"camera": shown}, sequences={"camera": 5})
    assert watcher.act({"camera": pictures(4, 1)}, sequences={"camera": 5}).inputs["camera"].cached
    watcher.reset()
    watcher.act({"camera": shown})
    assert watcher.act({"camera": shown.copy()}).inputs["camera"].cached
    assert len(watcher.backend.frames) == 8


def test_one_pixel_makes_another_frame(watcher):
    """Wherever it is: recognising a frame never rests on some of its pixels."""
    shown = pictures(4)
    watcher.act({"camera": shown})
    for row in range(4):
        for column in range(6):
            changed = shown.copy()
            changed[2, row, column, 1] ^= 1
            watcher.act({"camera": shown})
            watcher.backend.frames.clear()
            decision = watcher.act({"camera": changed})
            assert watcher.backend.frames == [changed[2].tobytes()]
            assert not decision.inputs["camera"].cached


def test_a_film_whose_buffer_is_used_again_is_noticed(watcher):
    buffer = pictures(4)
    watcher.act({"camera": buffer})
    buffer[:-1] = buffer[1:].copy()
    buffer[-1] = 7
    watcher.act({"camera": buffer})
    assert watcher.backend.films[-1] == [tokens(buffer).tolist()]
    assert len(watcher.backend.frames) == 5


def test_a_film_may_lie_in_memory_as_it_likes(watcher):
    wide = np.random.default_rng(0).integers(0, 256, (8, 4, 12, 3), np.uint8)
    film = wide[::-2, :, ::2]
    watcher.act({"camera": film})
    assert watcher.backend.films[-1] == [tokens(film).tolist()]


def test_after_a_reset_every_frame_is_encoded_anew(watcher):
    shown = pictures(4)
    watcher.act({"camera": shown})
    watcher.reset()
    watcher.act({"camera": shown})
    assert len(watcher.backend.frames) == 8


def test_frames_are_still_known_when_a_camera_was_away(watcher):
    shown = pictures(5)
    watcher.act({"camera": shown[:4]})
    watcher.act({"joints": np.zeros(2, np.float32)})
    watcher.act({"camera": shown[1:]})
    assert len(watcher.backend.frames) == 5


def test_streams_in_a_batch_have_frames_of_their_own_that_are_encoded_together(watcher):
    left, right = pictures(9), pictures(9, 1)
    for i in range(5):
        pair = [left[i : i + 4], right[i : i + 4]]
        watcher.act_batch([{"camera": film} for film in pair], streams=["left", "right"])
        assert watcher.backend.films[-1] == [tokens(film).tolist() for film in pair]
        assert watcher.backend.runs[i:] == [8 if i == 0 else 2]
    watcher.backend.frames.clear()
    back = [{"camera": left[6:8].repeat(2, 0)}, {"camera": right[[3, 4, 5, 6]]}]
    decisions = watcher.act_batch(back, streams=["left", "right"])
    assert [decision.inputs["camera"].cached for decision in decisions] == [True, False]
    assert watcher.backend.frames == [right[3].tobytes()]


def test_a_frame_that_two_streams_see_at_once_is_encoded_once(watcher):
    shown = pictures(4)
    decisions = watcher.act_batch([{"camera": shown}, {"camera": shown.copy()}])
    assert len(watcher.backend.frames) == 4
    assert not any(decision.inputs["camera"].cached for decision in decisions)


def test_a_decision_that_failed_leaves_what_was_known(watcher):
    shown = pictures(5)
    watcher.act({"camera": shown[:4]})
    watcher.backend.spoil = lambda output: output._replace(memory=output.memory * np.nan)
    with pytest.raises(Exception, match="memory is unchanged"):
        watcher.act({"camera": shown[1:]})
    watcher.backend.spoil = lambda output: output
    watcher.act({"camera": shown[1:]})
    assert watcher.backend.frames == [frame.tobytes() for frame in [*shown, shown[4]]]
