"""A directory of pictures as a camera, in the order of their names, numbers counted as numbers."""

import re
from pathlib import Path
from typing import Any

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError, UsageError
from sensorimotor.libraries import library
from sensorimotor.perception.extensions import IMAGES
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Image
from sensorimotor.perception.pace import Pace, Wait
from sensorimotor.perception.sensor import Losses, Sample, StreamEnded

RATE_HZ = 10.0
"""Pictures a second where nothing is said."""


class ImageDirectory:
    """The pictures of a directory; files that are no pictures are counted as `torn` and left out.

    Args:
        path: The directory.
        modality: What pictures are made into.
        clock: Paces and stamps them.
        fit: What to do with pictures of another shape: `crop`, `pad` or `stretch`.
        real_time: Whether they come at `rate_hz`.
        rate_hz: Pictures a second.
        wait: How to wait for that; for tests.

    Raises:
        UsageError: `rate_hz` is not above 0.
        MissingExtraError: OpenCV is not installed.
    """

    noisy = False
    reopens = False

    def __init__(
        self,
        path: Path,
        modality: Image,
        *,
        clock: Clock,
        fit: str = "crop",
        real_time: bool = True,
        rate_hz: float = RATE_HZ,
        wait: Wait | None = None,
    ):
        if not rate_hz > 0:
            raise UsageError(f"{path}: expected a rate above 0 pictures a second, got {rate_hz}")
        self._cv2: Any = library("cv2", "opencv-python-headless", "live", "reading pictures")
        self.source, self.paced = str(path), real_time
        self.interval_s: float | None = 1 / rate_hz
        self.losses = Losses()
        self._path, self._clock, self._fit = path, clock, Fit(modality, fit)
        self._pace = Pace(clock, wait)
        self._files: list[Path] | None = None

    def open(self) -> str | None:
        """Begin at the first picture.

        Raises:
            SensorError: There is no such directory, or no picture in it.
        """
        if not self._path.is_dir():
            raise SensorError(f"{self.source}: expected a directory of pictures, there is none")
        files = [file for file in self._path.iterdir() if file.suffix[1:].lower() in IMAGES]
        if not files:
            raise SensorError(f"{self.source}: expected pictures ({', '.join(sorted(IMAGES))}), there are none")
        self._files = sorted(files, key=lambda file: natural(file.name))
        self._number = 0
        self._size: tuple[int, int] | None = None
        self._pace.begin()
        return None

    def read(self, timeout_s: float) -> Sample | None:
        """The next picture, when it is due; None after a file that was none.

        Raises:
            StreamEnded: There is none.
        """
        files, number = self._files, self._number
        if files is None:
            raise SensorError(f"{self.source} is closed")
        if number == len(files):
            raise StreamEnded(f"{self.source} has been shown to its end")
        time_s = number * (self.interval_s or 0.0)
        if self.paced and not self._pace.reached(time_s, timeout_s):
            return None
        self._number += 1
        picture = self._cv2.imread(str(files[number]), self._cv2.IMREAD_COLOR_RGB)  # 8 bits, turned as its EXIF says
        if picture is None:
            self.losses.count("torn")
            return None
        if picture.shape[:2] != self._size:
            self._size = picture.shape[:2]
            notice = self._fit.notice(self.source, *self._size)
            if notice:
                self.losses.tell(notice)
        return Sample(self._fit(picture, "rgb", own=True), self._clock.now_ns(), number, time_s)

    def close(self) -> None:
        """Wake up a `read` that waits."""
        self._files = None
        self._pace.end()


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts names with numbers in them as people do.

    >>> sorted(["frame10.png", "frame9.png"], key=natural)
    ['frame9.png', 'frame10.png']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
