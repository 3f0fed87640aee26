import threading

import cv2
import numpy as np
import pytest

from sensorimotor.clock import ManualClock
from sensorimotor.errors import SensorError
from sensorimotor.perception.camera import FAILURES, Camera
from sensorimotor.perception.modality import Image

SMALL = Image(height=56, width=56)


class Driver:
    """Stands in for `cv2.VideoCapture`: has one mode, and gives frames as a test says."""

    def __init__(self, size=(48, 64), rate=30.0, there=True):
        self.size, self.rate, self.there = size, rate, there
        self.asked, self.released = {}, 0
        self.grabs = self.whole = True
        self.going = threading.Event()
        self.going.set()
        self.entered = threading.Event()
        self.memory = np.zeros((*size, 3), np.uint8)

    def __call__(self, device, backend):
        return self

    def isOpened(self):  # noqa: N802 (the names are given)
        return self.there

    def set(self, what, value):
        self.asked[what] = value
        return False

    def get(self, what):
        height, width = self.size
        known = {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FRAME_WIDTH: width}
        return known.get(what, 1500.0 if what == cv2.CAP_PROP_POS_MSEC else 0.0)

    def grab(self):
        self.entered.set()
        self.going.wait()
        return self.grabs

    def retrieve(self):
        if not self.whole:
            return False, None
        if self.memory.shape[:2] != self.size:
            self.memory = np.zeros((*self.size, 3), np.uint8)
        self.memory[:] = (10, 20, self.memory[0, 0, 2] + 50)  # the same memory again, blue first
        return True, self.memory

    def release(self):
        self.released += 1


def opened(driver, modality=SMALL, **settings):
    camera = Camera(0, modality, clock=ManualClock(9), capture=driver, **settings)
    return camera, camera.open()


def test_the_mode_nearest_to_the_input_is_asked_for_and_what_came_is_told_in_one_line():
    driver = Driver((480, 640))
    camera, notice = opened(driver, rate_hz=60.0)
    assert driver.asked[cv2.CAP_PROP_FRAME_WIDTH] == driver.asked[cv2.CAP_PROP_FRAME_HEIGHT] == 56
    assert driver.asked[cv2.CAP_PROP_FPS] == 60
    assert notice == (
        "camera 0: asked for 56 x 56 at 60 frames a second, got 640 x 480 at 30 frames a second; "
        "it is cropped and resized to 56 x 56"
    )
    assert camera.interval_s == pytest.approx(1 / 30)


def test_a_camera_that_has_the_mode_needs_no_notice():
    assert opened(Driver((56, 56)))[1] is None


def test_frames_are_red_first_stamped_and_in_memory_of_their_own():
    camera, _ = opened(Driver((56, 56)))
    first, second = camera.read(1.0), camera.read(1.0)
    assert first.value[0, 0].tolist() == [50, 20, 10]
    assert second.value[0, 0].tolist() == [100, 20, 10]
    assert (first.captured_ns, first.sequence, first.device_s) == (9, 0, 1.5)


def test_a_new_size_in_the_middle_is_fitted_and_told_once():
    driver = Driver((56, 56))
    camera, _ = opened(driver)
    camera.read(1.0)
    driver.size = (480, 640)
    assert camera.read(1.0).value.shape == camera.read(1.0).value.shape == (56, 56, 3)
    assert camera.losses.told() == ["camera 0: 640 x 480 is cropped and resized to 56 x 56"]


def test_a_torn_frame_is_counted_and_many_are_a_loss():
    driver = Driver((56, 56))
    camera, _ = opened(driver)
    driver.whole = False
    assert camera.read(1.0) is None
    driver.whole = True
    assert camera.read(1.0).sequence == 1
    driver.whole = False
    with pytest.raises(SensorError, match="in a row cannot be read"):
        for _ in range(FAILURES):
            camera.read(1.0)
    assert camera.losses.totals() == {"torn": 1 + FAILURES}


def test_an_unplugged_camera_is_lost():
    driver = Driver()
    camera, _ = opened(driver)
    driver.grabs = False
    with pytest.raises(SensorError, match="unplugged"):
        camera.read(1.0)


def test_a_camera_that_cannot_be_opened_is_refused_and_let_go_of():
    driver = Driver(there=False)
    with pytest.raises(SensorError, match="in use"):
        opened(driver)
    assert driver.released == 1


@pytest.mark.parametrize("device", [61, "/dev/video61"])
def test_a_camera_that_does_not_exist_is_refused(device):
    with pytest.raises(SensorError, match="there is no /dev/video61"):
        Camera(device, SMALL, clock=ManualClock()).open()


def test_closing_lets_go_once_and_reading_is_over():
    driver = Driver()
    camera, _ = opened(driver)
    camera.close()
    camera.close()
    assert driver.released == 1
    with pytest.raises(SensorError, match="closed"):
        camera.read(1.0)


def test_a_frozen_driver_is_not_waited_for_and_never_released_under_its_reader():
    driver = Driver()
    camera, _ = opened(driver)
    driver.going.clear()
    driver.entered.clear()
    ended = []

    def read():
        try:
            camera.read(0.1)
        except SensorError as error:
            ended.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert driver.entered.wait(5)
    camera.close()  # comes back though the driver does not
    assert driver.released == 0
    driver.going.set()
    reader.join(5)
    assert driver.released == 1
    assert ended == ["camera 0 was closed meanwhile"]
