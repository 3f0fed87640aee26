"""A dark page to draw samples on, and to write as PNG."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from sensorimotor.files import replacing
from sensorimotor.libraries import library
from sensorimotor.pipelines.film_drawing import MUTED, PAGE, WHITE, Colour

WIDTH, MARGIN = 1440, 40
TITLE, HEADING, CAPTION = 30, 22, 16
"""Text heights (pixels)."""
HEADER = 84
"""Height of what `header` writes."""
MAX_HEIGHT = 16_000
"""Viewers and PNG readers refuse much taller pages."""


class Sheet:
    """A page of `WIDTH` x `height` pixels, RGB.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, height: int):
        self._cv2: Any = library("cv2", "opencv-python-headless", "data", "drawing a sheet of samples")
        self._unicode = int(self._cv2.__version__.split(".")[0]) >= 5  # before, it has only stroked ASCII letters
        self.pixels = np.empty((min(height, MAX_HEIGHT), WIDTH, 3), np.uint8)
        self.pixels[:] = PAGE

    def header(self, title: str, detail: str) -> None:
        """What the page is."""
        end = self.text(title, MARGIN, MARGIN + 18, TITLE, bold=True)
        self.text(detail, end + 18, MARGIN + 18, HEADING, MUTED, within=WIDTH - MARGIN - end - 18)

    def width(self, words: str, height: float, bold: bool = False) -> int:
        """How wide words are (pixels)."""
        return int(self._cv2.getTextSize(self._plain(words), self._face(bold), height / 30, 1)[0][0])

    def text(
        self,
        words: str,
        x: float,
        baseline: float,
        height: float,
        colour: Colour = WHITE,
        bold: bool = False,
        align: Literal["left", "middle", "right"] = "left",
        within: float | None = None,
    ) -> int:
        """Write words, cut short where they do not fit `within`; gives the x at which they end."""
        words = self._plain(words)
        if within is not None and self.width(words, height, bold) > within:
            while words and self.width(words + "...", height, bold) > within:
                words = words[:-1]
            words = words.rstrip() + "..."
        width = self.width(words, height, bold)
        left = round(x - {"left": 0.0, "middle": 0.5, "right": 1.0}[align] * width)
        at, face = (left, round(baseline)), self._face(bold)
        self._cv2.putText(self.pixels, words, at, face, height / 30, colour, 1, self._cv2.LINE_AA)
        return left + width

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a box."""
        self.pixels[round(y) : round(y + height), round(x) : round(x + width)] = colour

    def picture(self, image: np.ndarray, x: int, y: int, width: int, height: int) -> None:
        """Put an image, uint8 `(height, width, channels)`, as large as fits, in the middle of a box."""
        scale = min(width / image.shape[1], height / image.shape[0])
        shown = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        method = (
            self._cv2.INTER_NEAREST if scale >= 2 else self._cv2.INTER_LINEAR if scale > 1 else self._cv2.INTER_AREA
        )
        colours = np.repeat(image, 3, 2) if image.shape[2] == 1 else image[..., :3]
        x, y = x + (width - shown[0]) // 2, y + (height - shown[1]) // 2
        scaled = self._cv2.resize(np.ascontiguousarray(colours), shown, interpolation=method)
        self.pixels[y : y + shown[1], x : x + shown[0]] = scaled[: max(0, self.pixels.shape[0] - y)]

    def write(self, path: Path) -> None:
        """Write the page as PNG.

        Raises:
            OutputPathError: Nothing can be written there.
        """
        _, png = self._cv2.imencode(".png", self._cv2.cvtColor(self.pixels, self._cv2.COLOR_RGB2BGR))
        with replacing(path) as aside:
            aside.write_bytes(png.tobytes())

    def _face(self, bold: bool) -> int:
        return int(self._cv2.FONT_HERSHEY_DUPLEX if bold else self._cv2.FONT_HERSHEY_SIMPLEX)

    def _plain(self, words: str) -> str:
        words = " ".join(words.split())
        return words if self._unicode else words.encode("ascii", "replace").decode()
