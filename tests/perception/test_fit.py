import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import UsageError
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Image

SIZES = st.integers(1, 40)


@given(
    size=st.tuples(SIZES, SIZES),
    wanted=st.tuples(SIZES, SIZES),
    have=st.sampled_from([None, 1, 3, 4]),
    want=st.sampled_from([1, 3, 4]),
    mode=st.sampled_from(["crop", "pad", "stretch"]),
)
def test_any_frame_becomes_what_the_input_says(size, wanted, have, want, mode):
    modality = Image(height=wanted[0], width=wanted[1], channels=want)
    frame = np.full(size if have is None else (*size, have), 200, np.uint8)
    fitted = Fit(modality, mode)(frame)
    assert modality.check("camera", fitted) is fitted
    assert not np.shares_memory(fitted, frame)
    if mode != "pad":
        assert fitted.min() == 200


def test_a_crop_keeps_the_middle_in_its_shape():
    frame = np.zeros((4, 12, 3), np.uint8)
    frame[:, 4:8] = 255  # the middle square
    assert Fit(Image(height=2, width=2))(frame).min() == 255


def test_a_padded_frame_keeps_everything_between_black():
    frame = np.full((4, 8, 3), 255, np.uint8)
    padded = Fit(Image(height=8, width=8), "pad")(frame)
    assert padded[2:6].min() == 255
    assert padded[:2].max() == padded[6:].max() == 0


def test_a_stretched_frame_keeps_everything_to_the_edges():
    frame = np.zeros((4, 8, 1), np.uint8)
    frame[:, :4] = 255
    assert Fit(Image(height=2, width=2, channels=1), "stretch")(frame)[:, :, 0].tolist() == [[255, 0], [255, 0]]


def test_shrinking_averages_areas():
    frame = np.indices((8, 8)).sum(0).astype(np.uint8) % 2 * 200  # a chequerboard, which points would miss
    assert set(Fit(Image(height=4, width=4, channels=1))(frame).ravel()) == {100}


def test_blue_first_becomes_red_first_and_grey_becomes_three():
    blue = np.zeros((2, 2, 3), np.uint8)
    blue[:, :, 0] = 255
    assert Fit(Image(height=2, width=2))(blue, "bgr")[0, 0].tolist() == [0, 0, 255]
    assert Fit(Image(height=2, width=2, channels=4))(blue, "bgr")[0, 0].tolist() == [0, 0, 255, 255]
    assert Fit(Image(height=2, width=2))(np.full((2, 2), 7, np.uint8))[0, 0].tolist() == [7, 7, 7]


def test_a_notice_says_what_happens_and_only_where_something_does():
    fit = Fit(Image(height=56, width=56))
    assert fit.notice("camera 0", 480, 640) == "camera 0: 640 x 480 is cropped and resized to 56 x 56"
    assert fit.notice("camera 0", 56, 56) is None


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4, 2), np.uint8)]
)
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match="expected"):
        Fit(Image(height=4, width=4))(frame)


def test_an_unknown_mode_is_refused():
    with pytest.raises(UsageError, match="crop, pad or stretch, got 'squeeze'"):
        Fit(Image(height=4, width=4), "squeeze")
