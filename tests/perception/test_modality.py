import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sensorimotor.errors import ObservationError, SignatureError
from sensorimotor.perception.modality import MAX_TEXT_CHARACTERS, Audio, Image, Modality, State, Text, from_space

CAMERA = Image(height=4, width=6)
MIC = Audio(sample_rate=8000, seconds=0.05, mode="utterance")
WINDOW = Audio(sample_rate=8000, seconds=0.05, mode="window", channels=2)
JOINTS = State(size=3, names=("hip", "knee", "ankle"))


def tone(samples: int, peak: float = 0.5) -> np.ndarray:
    return (peak * np.sin(np.arange(samples) * 0.3)).astype(np.float32)


def refusal(modality, value, name="sense") -> str:
    with pytest.raises(ObservationError) as caught:
        modality.check(name, value)
    assert caught.value.name == name
    assert str(caught.value).startswith(f"input {name!r}: expected {modality}, got ")
    return str(caught.value)


# Images


def test_a_frame_of_the_declared_size_passes_untouched():
    frame = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    assert CAMERA.check("camera", frame) is frame


def test_a_video_has_an_axis_of_frames_in_front():
    video = Image(height=4, width=6, frames=5)
    assert video.shape == (5, 4, 6, 3)
    assert video.check("camera", np.zeros((5, 4, 6, 3), np.uint8)).shape == (5, 4, 6, 3)
    assert "uint8 (4, 6, 3)" in refusal(video, np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize("shape", [(6, 4, 3), (4, 6), (4, 6, 1), (4, 6, 4), (1, 4, 6, 3), (3, 4, 6), (0, 6, 3), ()])
def test_a_frame_of_another_shape_is_refused_with_both_shapes(shape):
    message = refusal(CAMERA, np.zeros(shape, np.uint8))
    assert "uint8 (4, 6, 3), got" in message
    assert f"got uint8 {shape}" in message


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint16, bool])
def test_a_frame_that_is_not_bytes_is_refused_and_told_that_normalising_is_inside(dtype):
    message = refusal(CAMERA, np.zeros((4, 6, 3), dtype))
    assert f"got {np.dtype(dtype)} (4, 6, 3)" in message
    assert "Pass bytes 0–255" in message


@pytest.mark.parametrize("value", [[[[0, 0, 0]]], "frame.png", 3, object(), b"\0\0\0"])
def test_a_frame_that_is_no_array_is_refused_by_its_type(value):
    assert f"got a {type(value).__name__}. Pass a numpy array" in refusal(CAMERA, value)


# Sound


@given(samples=st.integers(1, MIC.samples))
def test_an_utterance_of_any_length_up_to_the_limit_passes_as_samples_by_channels(samples):
    checked = MIC.check("mic", tone(samples))
    assert checked.shape == (samples, 1)
    assert checked.dtype == np.float32
    assert np.array_equal(checked[:, 0], tone(samples))


def test_an_utterance_longer_than_the_limit_is_refused_naming_the_input():
    message = refusal(MIC, tone(MIC.samples + 80), "mic")
    assert "input 'mic'" in message
    assert "at most 400 samples" in message
    assert "got 480 samples (0.06 s). Cut it shorter" in message


@pytest.mark.parametrize("modality", [MIC, WINDOW])
def test_sound_without_samples_is_refused(modality):
    assert "got 0 samples" in refusal(modality, np.zeros((0, modality.channels), np.float32))


@pytest.mark.parametrize("samples", [1, WINDOW.samples - 1, WINDOW.samples + 1])
def test_a_window_must_be_exactly_full(samples):
    message = refusal(WINDOW, np.zeros((samples, 2), np.float32))
    assert "exactly 400 samples" in message
    assert f"got {samples} samples" in message
    assert WINDOW.check("mic", np.zeros((400, 2), np.float32)).shape == (400, 2)


@pytest.mark.parametrize("shape", [(400,), (400, 1), (2, 400), (400, 3), (400, 2, 1), (), (400, 0)])
def test_sound_with_other_channels_is_refused_and_told_the_axes(shape):
    message = refusal(WINDOW, np.zeros(shape, np.float32))
    assert f"got float32 {shape}" in message
    assert "(samples, channels)" in message


def test_int16_samples_are_refused_and_told_how_to_convert():
    assert "got int16 (100, 1). Divide int16 samples by 32768" in refusal(MIC, np.zeros(100, np.int16))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8])
def test_samples_of_another_type_are_refused_and_told_to_convert(dtype):
    assert ".astype(np.float32)" in refusal(MIC, np.zeros(100, dtype))


@pytest.mark.parametrize("value", [[0.0, 0.1], "speech.wav", None])
def test_sound_that_is_no_array_is_refused_by_its_type(value):
    assert f"got a {type(value).__name__}" in refusal(MIC, value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 57, 99])
def test_one_sample_that_is_not_finite_is_enough_to_refuse(bad, at):
    sound = tone(100)
    sound[at] = bad
    assert "NaN or infinite" in refusal(MIC, sound)


@pytest.mark.parametrize("peak", [1.01, -1.01, 32767.0])
def test_samples_beyond_full_scale_are_refused_with_their_peak(peak):
    sound = tone(100)
    sound[3] = peak
    assert f"a peak of {abs(peak):.3g}. Scale the samples" in refusal(MIC, sound)


@pytest.mark.parametrize("convert", [np.sign, lambda sound: (np.sign(sound) * 32767).astype(np.int16) / 32768])
def test_clipped_sound_is_refused_whether_it_was_float_or_int16(convert):
    sound = tone(400)
    sound[:40] = np.where(sound[:40] < 0, sound[:40], convert(np.ones(40)))
    clipped = np.mean(np.abs(sound) > 0.9)
    assert 0.03 < clipped < 0.08
    assert f"clipped sound ({clipped:.0%} at full scale). Lower the recording level" in refusal(MIC, sound)


def test_a_single_sample_at_full_scale_is_not_yet_clipping():
    sound = tone(400)
    sound[7] = -1.0
    sound[9] = 1.0
    assert MIC.check("mic", sound).min() == -1.0


def test_silence_passes():
    assert not MIC.check("mic", np.zeros(100, np.float32)).any()


def test_a_stretch_of_a_stream_may_have_any_length():
    assert MIC.check_chunk("mic", tone(10_000)).shape == (10_000, 1)
    assert WINDOW.check_chunk("mic", np.zeros((3, 2), np.float32)).shape == (3, 2)
    assert MIC.check_chunk("mic", tone(0)).shape == (0, 1)


@pytest.mark.parametrize(
    ("chunk", "complaint"),
    [
        (np.zeros(5, np.int16), "Divide int16"),
        (np.zeros((5, 2), np.float32), "(samples, channels)"),
        (np.full(5, np.nan, np.float32), "NaN or infinite"),
        (np.full(5, 2.0, np.float32), "a peak of 2"),
        ([0.0], "a list"),
    ],
)
def test_a_stretch_of_a_stream_is_otherwise_checked_like_a_whole_value(chunk, complaint):
    with pytest.raises(ObservationError, match="input 'mic'") as caught:
        MIC.check_chunk("mic", chunk)
    assert complaint in str(caught.value)


# Texts


@given(st.text(max_size=200))
def test_any_unicode_text_passes_untouched(words):
    assert Text().check("instruction", words) == words


@pytest.mark.parametrize("words", ["", "é" * MAX_TEXT_CHARACTERS, "a" * MAX_TEXT_CHARACTERS])
def test_texts_up_to_the_limit_pass_even_the_empty_one(words):
    assert Text().check("instruction", words) is words


def test_a_text_over_the_limit_is_refused_with_its_length():
    message = refusal(Text(), "a" * (MAX_TEXT_CHARACTERS + 1))
    assert "at most 10000 characters" in message
    assert "got 10001 characters" in message


@pytest.mark.parametrize("words", ["\ud800", "go to \udfff the ball", "é\udc80"])
def test_lone_surrogates_are_refused_as_invalid_unicode(words):
    assert "not valid unicode (surrogates not allowed)" in refusal(Text(), words)


@pytest.mark.parametrize("value", [b"go", 3, ["go"], np.array(["go"])])
def test_a_text_that_is_no_string_is_refused_by_its_type(value):
    assert f"got a {type(value).__name__}" in refusal(Text(), value)


# States


@pytest.mark.parametrize(
    "value", [[1, 2, 3], (1.0, 2.0, 3.0), np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]), np.array([1, 2, 3], np.uint8)]
)
def test_a_state_may_come_as_any_numbers_and_becomes_float32(value):
    checked = JOINTS.check("joints", value)
    assert checked.dtype == np.float32
    assert checked.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("value", [[1, 2], [1, 2, 3, 4], [[1, 2, 3]], 1.0, []])
def test_a_state_of_another_size_is_refused_with_its_shape(value):
    assert f"float32 (3,), got shape {np.shape(value)}" in refusal(JOINTS, value)


@pytest.mark.parametrize("value", ["abc", ["a", "b", "c"], {}, [[1], [2, 3], 4], object(), [1, None, "x"]])
def test_a_state_that_is_not_numbers_is_refused_by_its_type(value):
    assert f"got a {type(value).__name__} that is not numbers" in refusal(JOINTS, value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_a_state_value_that_is_not_finite_is_named(bad):
    assert refusal(JOINTS, [0.0, bad, 0.0]).endswith("values that are NaN or infinite: knee")


def test_every_bad_value_is_named_and_numbered_where_there_are_no_names():
    assert refusal(JOINTS, [np.nan, 0, np.inf]).endswith("infinite: hip, ankle")
    assert refusal(State(size=3), [np.nan, 0, np.inf]).endswith("infinite: [0], [2]")


# Declarations


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Image, {"height": 0, "width": 4}),
        (Image, {"height": 4, "width": 4, "channels": 2}),
        (Image, {"height": 4, "width": 4, "frames": 0}),
        (Image, {"height": 4.5, "width": 4}),
        (Image, {"height": 4}),
        (Audio, {"seconds": 0}),
        (Audio, {"seconds": 61}),
        (Audio, {"seconds": float("nan")}),
        (Audio, {"seconds": 1e-9}),
        (Audio, {"seconds": 1, "sample_rate": 100}),
        (Audio, {"seconds": 1, "channels": 0}),
        (Audio, {"seconds": 1, "mode": "stream"}),
        (Text, {"max_tokens": 0}),
        (State, {"size": 0}),
        (State, {"size": 2, "names": ("hip",)}),
        (State, {"size": 2, "units": ("rad", "rad", "rad")}),
        (Text, {"max_age_s": 0}),
        (Text, {"max_age_s": float("nan")}),
        (Text, {"max_age_s": float("inf")}),
        (Text, {"colour": "red"}),
    ],
)
def test_a_modality_that_no_value_could_fit_cannot_be_declared(kind, settings):
    with pytest.raises(ValidationError):
        kind(**settings)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Image, {"height": 1, "width": 1}),
        (Image, {"height": 16384, "width": 16384, "frames": 256}),
        (Audio, {"seconds": 0.01, "sample_rate": 4000}),
        (Audio, {"seconds": 60, "sample_rate": 192_000, "channels": 64}),
        (Text, {"max_tokens": 1}),
        (Text, {"max_tokens": 4096}),
        (State, {"size": 1}),
        (State, {"size": 4096}),
    ],
)
def test_the_smallest_and_largest_inputs_can_be_declared_and_are_not_critical_unless_said(kind, settings):
    modality = kind(**settings)
    assert not modality.critical
    assert modality.max_age_s == 1.0


def test_a_modality_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        CAMERA.height = 5


@pytest.mark.parametrize("modality", [CAMERA, MIC, WINDOW, JOINTS, Text(critical=True)])
def test_a_modality_comes_back_from_its_json_form_as_its_own_kind(modality):
    assert TypeAdapter(Modality).validate_json(modality.model_dump_json()) == modality


# Gymnasium


@pytest.mark.parametrize("modality", [CAMERA, Image(height=5, width=7, channels=1, frames=2), State(size=4), Text()])
def test_a_modality_is_found_again_from_its_gymnasium_space(modality):
    assert from_space("sense", modality.to_space()) == modality


@pytest.mark.parametrize("modality", [CAMERA, Image(height=2, width=2, frames=2), MIC, WINDOW, JOINTS, Text()])
def test_samples_of_the_gymnasium_space_pass_the_check(modality):
    space = modality.to_space()
    space.seed(0)
    for _ in range(5):
        assert space.contains(modality.check("sense", space.sample()))


@pytest.mark.parametrize(
    ("modality", "values"),
    [
        (CAMERA, [np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 255, np.uint8)]),
        (MIC, [np.full((400, 1), level, np.float32) for level in (-1, 0, 1)]),
        (Text(), ["", "g" * MAX_TEXT_CHARACTERS]),
        (JOINTS, [np.full(3, value, np.float32) for value in (-1e30, 1e30)]),
    ],
)
def test_the_gymnasium_space_reaches_from_the_least_to_the_most(modality, values):
    assert all(modality.to_space().contains(value) for value in values)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.MultiBinary(3),
        spaces.Box(0, 255, (8, 8, 2), np.uint8),
        spaces.Box(0, 255, (8, 8), np.uint8),
        spaces.Box(0, 255, (1, 8, 8, 3), np.uint8),
        spaces.Box(0, 255, (0, 8, 3), np.uint8),
        spaces.Box(-1, 1, (4, 4), np.float32),
        spaces.Box(-1, 1, (3,), np.int32),
        spaces.Box(-1, 1, (), np.float32),
        spaces.Box(-1, 1, (5000,), np.float32),
    ],
)
def test_a_space_that_no_modality_fits_is_refused_naming_the_input_and_what_fits(space):
    with pytest.raises(SignatureError, match="input 'odd': no modality fits") as caught:
        from_space("odd", space)
    assert "audio must be declared" in str(caught.value)
