"""Cameras of this machine, through OpenCV."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.libraries import library
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.held import Held
from sensorimotor.perception.modality import Image
from sensorimotor.perception.sensor import Losses, Sample

FAILURES = 10
"""So many failed reads in a row, and the camera is lost; single ones are torn frames."""


class Camera:
    """A camera by its number or its path (`/dev/video0`).

    Args:
        device: Number or path.
        modality: What its frames are made into; the camera is asked for the mode nearest to it.
        clock: Stamps samples.
        fit: What to do with frames of another shape: `crop`, `pad` or `stretch`.
        rate_hz: Frames a second to ask for; None: as the driver likes.
        capture: Opens it, as `cv2.VideoCapture` does; for tests.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """

    paced = True
    noisy = True
    reopens = True

    def __init__(
        self,
        device: int | str,
        modality: Image,
        *,
        clock: Clock,
        fit: str = "crop",
        rate_hz: float | None = None,
        capture: Callable[..., Any] | None = None,
    ):
        self._cv2: Any = library("cv2", "opencv-python-headless", "live", "a camera")
        self.source = f"camera {device}"
        self.interval_s: float | None = 1 / rate_hz if rate_hz else None
        self.losses = Losses()
        self._device, self._modality, self._clock, self._rate_hz = device, modality, clock, rate_hz
        self._fit = Fit(modality, fit)
        self._capture = capture or self._cv2.VideoCapture
        self._held: Held[Any] | None = None

    def open(self) -> str | None:
        """Begin to film; a line says which mode the camera chose.

        Raises:
            SensorError: There is no such camera, it is in use, or it gives no pictures.
        """
        self.close()
        cv2, wanted = self._cv2, self._modality
        path = f"/dev/video{self._device}" if isinstance(self._device, int) else self._device
        if self._capture is cv2.VideoCapture and path.startswith("/dev/") and not Path(path).exists():
            raise SensorError(f"{self.source}: there is no {path}; `sensorimotor sensors` lists the cameras there are")
        film = self._capture(self._device, cv2.CAP_ANY)
        if not film.isOpened():
            film.release()
            raise SensorError(f"{self.source}: it cannot be opened; is it in use, or may you not read {path}?")
        film.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # drivers that can then keep no old frames
        film.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width)
        film.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height)
        if self._rate_hz:
            film.set(cv2.CAP_PROP_FPS, self._rate_hz)
        rate = film.get(cv2.CAP_PROP_FPS)
        self.interval_s = 1 / rate if rate and 0 < rate < 1000 else None
        self._size = round(film.get(cv2.CAP_PROP_FRAME_HEIGHT)), round(film.get(cv2.CAP_PROP_FRAME_WIDTH))
        self._sequence, self._failed = -1, 0
        self._held = Held(film, lambda camera: camera.release(), self.source)
        return self._mode(rate)

    def _mode(self, rate: float) -> str | None:
        height, width = self._size
        if 0 in self._size:
            return None  # the driver does not say; the first frame will
        fitted = self._fit.notice(self.source, height, width)
        slower = self._rate_hz and rate and abs(rate - self._rate_hz) > 0.5
        if not fitted and not slower:
            return None
        at = f" at {rate:g} frames a second" if rate else ""
        wanted = f"{self._modality.width} x {self._modality.height}"
        asked = f"{wanted} at {self._rate_hz:g} frames a second" if self._rate_hz else wanted
        became = f"; it is {fitted.split(' is ', 1)[1]}" if fitted else ""
        return f"{self.source}: asked for {asked}, got {width} x {height}{at}{became}"

    def read(self, timeout_s: float) -> Sample | None:
        """The next frame; a driver without one can hold this up for longer than asked. None after one that failed.

        Raises:
            SensorError: The camera is gone, or was closed.
        """
        held, cv2 = self._held, self._cv2
        if held is None:
            raise SensorError(f"{self.source} is closed")
        with held.use() as film:
            grabbed = film.grab()
            captured_ns = self._clock.now_ns()
            whole, frame = film.retrieve() if grabbed else (False, None)
            device_ms = film.get(cv2.CAP_PROP_POS_MSEC) if whole else 0.0
        if not grabbed:
            raise SensorError(f"{self.source} gives no more frames: it was unplugged, or its driver stopped")
        self._sequence += 1
        if not whole or frame is None or frame.size == 0:
            self.losses.count("torn")
            self._failed += 1
            if self._failed >= FAILURES:
                raise SensorError(f"{self.source}: {FAILURES} frames in a row cannot be read")
            return None
        self._failed = 0
        if frame.shape[:2] != self._size:
            self._size = frame.shape[:2]
            notice = self._fit.notice(self.source, *self._size)
            if notice:
                self.losses.tell(notice)
        value = self._fit(frame, "bgr")
        return Sample(value, captured_ns, self._sequence, device_ms / 1000 if device_ms > 0 else None)

    def close(self) -> None:
        """Let go of the camera, as soon as nobody is reading; a frozen driver is not waited for."""
        held, self._held = self._held, None
        if held is not None:
            held.let_go()
