"""How one moment of a film looks: what a policy sees, what it hears and what it does, side by side on a dark page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sensorimotor.errors import MissingExtraError, ObservationError, UsageError
from sensorimotor.pipelines.sound import SAMPLE_RATE

Colour = tuple[int, int, int]
Outcome = Literal["listening", "acting", "solved", "missed"]

SIZE = (1280, 720)
"""Width and height (pixels) that a page is laid out in; every coordinate below is of this grid."""

PAGE, PANEL, TRACK = (13, 17, 23), (21, 26, 35), (36, 43, 56)
DIM, MUTED, WHITE = (72, 82, 100), (146, 156, 172), (238, 242, 247)
ACCENT, GREEN, RED = (104, 170, 255), (84, 208, 130), (246, 102, 102)
TONES: dict[Outcome, Colour] = {"listening": ACCENT, "acting": ACCENT, "solved": GREEN, "missed": RED}

CAMERA_BOX = (48, 156, 504, 504)
"""x, y, width and height. 504 is nine times the 56 pixels of a BabyAI camera: every pixel becomes a sharp square."""
SOUND_BOX = (600, 156, 632, 72)
ROOM_BOX = (1040, 376, 192, 192)
BARS_BOX = (600, 376, 392, 210)
LEFT, MIDDLE, RIGHT = 48, 600, 1232
TITLE_BASELINE, SEES_BASELINE, SUBTITLE_BASELINE, DOES_BASELINE, STATS_BASELINE = 74, 136, 272, 354, 634
SMALL, NORMAL, LARGE = 20, 22, 30
"""Text heights; 20 is still read when a film is shown at half its size."""

AUDIBLE = 0.1
"""A sound above this share of its peak counts as speech: far over the microphone's noise, below any vowel."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What one moment of a film shows.

    Args:
        camera: What the policy sees, uint8 `(height, width, 3)`.
        room: The world from above, uint8 `(height, width, 3)`; for the viewer only.
        level: Name of the task, "GoToLocal".
        words: The mission, shown as a subtitle word by word while it is heard.
        waveform: The sound that leads into the episode, float32 `(samples,)` at 16 kHz; empty if there is none.
        heard_s: How much of `waveform` has been heard (s).
        labels: Names of the actions.
        probabilities: Of the actions, `(len(labels),)`; None while nothing has been decided.
        chosen: Index of the action that was taken, if any.
        confidence: Of the decision, 0 to 1.
        decision_ms: How long the decision took (ms).
        step: Actions taken so far.
        outcome: Where the episode stands.

    Raises:
        ObservationError: The camera, the room or the waveform is of another shape or type.
        UsageError: The probabilities or the choice do not belong to `labels`.
    """

    camera: np.ndarray
    room: np.ndarray
    level: str
    words: str
    waveform: np.ndarray
    heard_s: float
    labels: Sequence[str]
    probabilities: np.ndarray | None = None
    chosen: int | None = None
    confidence: float | None = None
    decision_ms: float | None = None
    step: int = 0
    outcome: Outcome = "listening"

    def __post_init__(self) -> None:
        for name, image in (("camera", self.camera), ("room", self.room)):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise ObservationError(name, "uint8 (height, width, 3)", f"{image.dtype} {image.shape}")
        if self.waveform.ndim != 1:
            raise ObservationError(
                "waveform", "(samples,)", f"{self.waveform.shape}", "a film has one channel of sound"
            )
        if self.probabilities is not None and np.shape(self.probabilities) != (len(self.labels),):
            raise UsageError(f"{np.shape(self.probabilities)} probabilities for {len(self.labels)} actions")
        if self.chosen is not None and not 0 <= self.chosen < len(self.labels):
            raise UsageError(f"action {self.chosen} was chosen among {len(self.labels)}, numbered from 0")


def draw(scene: Scene, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of a scene.

    Args:
        scene: What to show.
        size: Width and height (pixels), 16:9.

    Returns:
        uint8 `(height, width, 3)`, RGB.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    page = _Page()
    _draw_title(page, scene)
    _draw_sees(page, scene)
    _draw_hears(page, scene)
    _draw_does(page, scene)
    _draw_stats(page, scene)
    return page.at(size)


def _draw_title(page: "_Page", scene: Scene) -> None:
    end = page.text("sensorimotor", LEFT, TITLE_BASELINE, LARGE, WHITE, bold=True)
    page.text(scene.level, end + 20, TITLE_BASELINE, LARGE, MUTED)
    status = scene.outcome.upper()
    width = page.width(status, NORMAL, bold=True) + 40
    page.box((RIGHT - width, TITLE_BASELINE - 30, width, 42), TONES[scene.outcome], radius=21)
    page.text(status, RIGHT - 20, TITLE_BASELINE - 1, NORMAL, PAGE, bold=True, align="right")


def _draw_sees(page: "_Page", scene: Scene) -> None:
    x, y, width, height = CAMERA_BOX
    rows, columns, _ = scene.camera.shape
    page.caption("SEES", f"{columns} x {rows} pixels", x, SEES_BASELINE)
    if scene.outcome in ("solved", "missed"):
        page.box((x - 8, y - 8, width + 16, height + 16), TONES[scene.outcome], radius=12)
    page.picture(scene.camera, CAMERA_BOX)


def _draw_hears(page: "_Page", scene: Scene) -> None:
    x, y, width, height = SOUND_BOX
    length_s = len(scene.waveform) / SAMPLE_RATE
    heard = min(scene.heard_s / length_s, 1.0) if length_s else 1.0
    page.caption("HEARS", f"raw sound, {SAMPLE_RATE // 1000} kHz" if length_s else "nothing", x, SEES_BASELINE)
    if length_s:
        page.text(f"{heard * length_s:.1f} / {length_s:.1f} s", RIGHT, SEES_BASELINE, SMALL, MUTED, align="right")
    page.box(SOUND_BOX, PANEL, radius=8)

    margin, pitch = 12, 5
    levels = envelope(scene.waveform, (width - 2 * margin) // pitch)
    for index, level in enumerate(levels):
        half = max(1, round(level * (height / 2 - 8)))
        colour = ACCENT if length_s and (index + 0.5) / len(levels) < heard else DIM
        page.box((x + margin + index * pitch, y + height // 2 - half, 3, 2 * half), colour)
    if heard < 1:
        page.box((x + margin + round(heard * len(levels) * pitch) - 1, y + 4, 2, height - 8), WHITE)

    left = len(words_heard(scene.words, levels, heard))
    lines, text_height = page.wrapped(scene.words, width, LARGE)
    for index, line in enumerate(lines):
        page.text(line[: max(0, left)], x, SUBTITLE_BASELINE + index * 34, text_height, WHITE)
        left -= len(line) + 1


def _draw_does(page: "_Page", scene: Scene) -> None:
    x, y, width, height = BARS_BOX
    label_width, number_width = 96, 62
    pitch = min(30, height // max(1, len(scene.labels)))
    text_height = min(NORMAL, pitch - 6)
    page.caption("DOES", f"one of {len(scene.labels)} actions" if scene.labels else "", x, DOES_BASELINE)
    for index, label in enumerate(scene.labels):
        top, taken = y + index * pitch, index == scene.chosen
        baseline = top + pitch // 2 + round(0.35 * text_height)
        track = (x + label_width, top + pitch // 2 - 7, width - label_width - number_width, 14)
        ink = WHITE if taken else MUTED
        page.text(label, x, baseline, text_height, ink, bold=taken, within=label_width - 8)
        page.box(track, TRACK, radius=4)
        if scene.probabilities is not None:
            probability = float(scene.probabilities[index])
            filled = (*track[:2], round(probability * track[2]), track[3])
            page.box(filled, TONES[scene.outcome] if taken else DIM, radius=4)
            page.text(f"{probability:.0%}", x + width, baseline, text_height, ink, bold=taken, align="right")

    x, y, width, height = ROOM_BOX
    page.caption("ROOM", "from above", x, DOES_BASELINE, ink=MUTED)
    page.picture(scene.room, ROOM_BOX)
    page.text("not seen by the policy", x, y + height + 28, SMALL, MUTED, within=width)


def _draw_stats(page: "_Page", scene: Scene) -> None:
    stats = (
        ("step", f"{scene.step}"),
        ("confidence", None if scene.confidence is None else f"{scene.confidence:.0%}"),
        ("to decide", None if scene.decision_ms is None else f"{scene.decision_ms:.1f} ms"),
    )
    for index, (name, value) in enumerate(stats):
        x = MIDDLE + index * 140
        page.text(value or "-", x, STATS_BASELINE, LARGE, WHITE if value else DIM, bold=True, within=128)
        page.text(name, x, STATS_BASELINE + 28, SMALL, MUTED, within=128)


def envelope(waveform: np.ndarray, bins: int) -> np.ndarray:
    """The loudest sample in each of `bins` equal pieces, as a share of the peak: float `(bins,)`, zeros if no sound.

    >>> envelope(np.array([0.0, 0.1, -0.5, 0.2], np.float32), 2).tolist()
    [0.2, 1.0]
    """
    if not waveform.size:
        return np.zeros(bins)
    starts = np.arange(bins) * len(waveform) // bins
    levels = np.maximum.reduceat(np.abs(waveform), starts).astype(float)
    return np.round(levels / max(levels.max(), 1e-6), 6)


def words_heard(words: str, levels: np.ndarray, heard: float) -> str:
    """The words that have begun when the share `heard` of a sound has played, were its speech perfectly even.

    >>> words_heard("go to it", np.array([0.0, 1.0, 1.0, 0.0]), 0.5)
    'go to'
    """
    audible = np.flatnonzero(levels > AUDIBLE)
    if not audible.size:
        return words
    first, last = audible[0] / len(levels), (audible[-1] + 1) / len(levels)
    spoken = (heard - first) / (last - first) * len(words)
    if spoken <= 0:
        return ""
    next_space = words.find(" ", int(spoken))
    return words if next_space < 0 else words[:next_space]


class _Page:
    """A dark page with the few shapes that a scene is made of.

    Text is plain ASCII through OpenCV's Hershey calls: OpenCV 4 has only stroked letters, and from 5 on the same calls
    give a proper typeface. The letters of 4 are a quarter wider, so what could run into its neighbour is told its room.
    """

    def __init__(self) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError("opencv-python-headless", "sim", "drawing a film") from error
        self._cv2: Any = cv2
        self._pixels = np.repeat(np.array([[PAGE]], np.uint8), SIZE[0], axis=1).repeat(SIZE[1], axis=0)

    def at(self, size: tuple[int, int]) -> np.ndarray:
        """The page as uint8 `(height, width, 3)` of another size."""
        if size == SIZE:
            return self._pixels
        shrunk = size[0] < SIZE[0]
        method = self._cv2.INTER_AREA if shrunk else self._cv2.INTER_CUBIC
        return np.asarray(self._cv2.resize(self._pixels, size, interpolation=method), np.uint8)

    def box(self, box: tuple[int, int, int, int], colour: Colour, radius: int = 0) -> None:
        """Fill a box; each pixel of a round corner is mixed by how much of it lies inside."""
        x, y, width, height = box
        radius = min(radius, width // 2, height // 2)
        filled = self._pixels[y : y + height, x : x + width]
        if not radius:
            filled[:] = colour
            return
        reach = radius - 0.5 - np.arange(radius)
        inside = np.clip(radius + 0.5 - np.hypot(reach[:, None], reach), 0, 1)[..., None]
        corners = [filled[::down, ::across][:radius, :radius] for down in (1, -1) for across in (1, -1)]
        mixed = [corner + (np.array(colour) - corner) * inside for corner in corners]
        filled[:] = colour
        for corner, pixels in zip(corners, mixed, strict=True):
            corner[:] = pixels.round()

    def picture(self, image: np.ndarray, box: tuple[int, int, int, int]) -> None:
        """An image as large as fits into the middle of a box, its pixels left square when it grows."""
        x, y, width, height = box
        scale = min(width / image.shape[1], height / image.shape[0])
        shown = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        method = self._cv2.INTER_NEAREST if scale >= 1 else self._cv2.INTER_AREA
        x, y = x + (width - shown[0]) // 2, y + (height - shown[1]) // 2
        self._pixels[y : y + shown[1], x : x + shown[0]] = self._cv2.resize(image, shown, interpolation=method)

    def width(self, words: str, height: float, bold: bool = False) -> int:
        """How wide words are (pixels)."""
        face = self._cv2.FONT_HERSHEY_DUPLEX if bold else self._cv2.FONT_HERSHEY_SIMPLEX
        return int(self._cv2.getTextSize(words, face, height / 30, 1)[0][0])  # at scale 1 a line is 30 pixels high

    def text(
        self,
        words: str,
        x: int,
        baseline: int,
        height: float,
        colour: Colour,
        bold: bool = False,
        align: Literal["left", "right"] = "left",
        within: int | None = None,
    ) -> int:
        """Write words, smaller if they would not fit `within`; gives the x at which they end."""
        if within is not None:
            height *= min(1.0, within / max(1, self.width(words, height, bold)))
        face = self._cv2.FONT_HERSHEY_DUPLEX if bold else self._cv2.FONT_HERSHEY_SIMPLEX
        width = self.width(words, height, bold)
        x -= width if align == "right" else 0
        self._cv2.putText(self._pixels, words, (x, baseline), face, height / 30, colour, 1, self._cv2.LINE_AA)
        return x + width

    def caption(self, title: str, detail: str, x: int, baseline: int, ink: Colour = WHITE) -> None:
        end = self.text(title, x, baseline, SMALL, ink, bold=True)
        self.text(detail, end + 12, baseline, SMALL, MUTED)

    def wrapped(self, words: str, width: int, height: float) -> tuple[list[str], float]:
        """Words in at most two lines and the text height at which they fit."""
        while True:
            lines = [""]
            for word in words.split(" "):
                longer = f"{lines[-1]} {word}".lstrip()
                if lines[-1] and self.width(longer, height) > width:
                    lines.append(word)
                else:
                    lines[-1] = longer
            if len(lines) <= 2 or height < 12:
                return lines, height
            height -= 1
