"""Frames of any size and colours as an input wants them: its size, its channels, red first."""

from typing import Any, Literal, get_args

import numpy as np

from sensorimotor.errors import UsageError
from sensorimotor.libraries import library
from sensorimotor.perception.modality import Image

FitMode = Literal["crop", "pad", "stretch"]
Order = Literal["rgb", "bgr"]

_WORDS = {"crop": "cropped and resized", "pad": "resized and padded", "stretch": "stretched"}


class Fit:
    """Makes frames fit an input.

    Args:
        modality: The input.
        mode: `crop`: the largest centred part of the input's shape; `pad`: all of the frame, black beside it;
            `stretch`: all of the frame, its shape changed.

    Raises:
        UsageError: There is no such mode.

    >>> Fit(Image(height=2, width=2, channels=1))(np.full((4, 6, 3), 90, np.uint8)).tolist()
    [[[90], [90]], [[90], [90]]]
    """

    def __init__(self, modality: Image, mode: str = "crop"):
        if mode not in get_args(FitMode):
            raise UsageError(f"fit: expected crop, pad or stretch, got {mode!r}")
        self._cv2: Any = library("cv2", "opencv-python-headless", "live", "resizing frames")
        self._modality = modality
        self.mode = mode

    def notice(self, source: str, height: int, width: int) -> str | None:
        """One line that says what becomes of frames of this size; None where they fit."""
        wanted = self._modality
        if (height, width) == (wanted.height, wanted.width):
            return None
        return f"{source}: {width} x {height} is {_WORDS[self.mode]} to {wanted.width} x {wanted.height}"

    def __call__(self, frame: np.ndarray, order: Order = "rgb", *, own: bool = False) -> np.ndarray:
        """A frame as the input wants it.

        Args:
            frame: uint8 `(height, width)` or `(height, width, channels)` with 1, 3 or 4 channels.
            order: Of its colours.
            own: Whether nobody will write to the frame's memory again, so that it need not be copied.

        Returns:
            uint8 of the input's `(height, width, channels)`, in memory of its own (or of the frame, if `own`).

        Raises:
            ValueError: It is no frame.
        """
        if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
            raise ValueError(f"expected a uint8 frame, got {frame.dtype} {frame.shape}")
        given = frame
        if frame.ndim == 3 and frame.shape[2] == 1:
            frame = frame[:, :, 0]
        sized = self._colours(self._sized(frame), order)
        sized = np.ascontiguousarray(sized if sized.ndim == 3 else sized[:, :, None])
        return sized.copy() if not own and np.may_share_memory(sized, given) else sized  # cameras reuse their memory

    def _sized(self, frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        to_height, to_width = self._modality.height, self._modality.width
        if (height, width) == (to_height, to_width):
            return frame
        if self.mode == "crop":
            part_height = min(height, max(1, round(width * to_height / to_width)))
            part_width = min(width, max(1, round(height * to_width / to_height)))
            top, left = (height - part_height) // 2, (width - part_width) // 2
            return self._resized(frame[top : top + part_height, left : left + part_width], to_height, to_width)
        if self.mode == "stretch":
            return self._resized(frame, to_height, to_width)
        scale = min(to_height / height, to_width / width)
        in_height = min(to_height, max(1, round(height * scale)))
        in_width = min(to_width, max(1, round(width * scale)))
        top, left = (to_height - in_height) // 2, (to_width - in_width) // 2
        padded = np.zeros((to_height, to_width, *frame.shape[2:]), np.uint8)
        padded[top : top + in_height, left : left + in_width] = self._resized(frame, in_height, in_width)
        return padded

    def _resized(self, frame: np.ndarray, height: int, width: int) -> np.ndarray:
        cv2 = self._cv2
        if frame.shape[:2] == (height, width):
            return frame
        shrinks = height <= frame.shape[0] and width <= frame.shape[1]  # area is antialiased; enlarging it is blocky
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(frame, (width, height), interpolation=way))

    def _colours(self, frame: np.ndarray, order: Order) -> np.ndarray:
        cv2 = self._cv2
        have, want = 1 if frame.ndim == 2 else frame.shape[2], self._modality.channels
        if have not in (1, 3, 4):
            raise ValueError(f"expected 1, 3 or 4 channels, got {have}")
        if have == want and (have == 1 or order == "rgb"):
            return frame
        names = {1: "GRAY", 3: order.upper(), 4: f"{order.upper()}A"}
        wanted = {1: "GRAY", 3: "RGB", 4: "RGBA"}
        code = getattr(cv2, f"COLOR_{names[have]}2{wanted[want]}")
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), code))
