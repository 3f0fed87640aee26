"""A contact sheet: pictures of a source, spread evenly over it, with their episodes, times and what is said of them."""

from pathlib import Path

import numpy as np

from sensorimotor.errors import DataError, UsageError
from sensorimotor.pipelines.data_samples import Picture, pictures
from sensorimotor.pipelines.episodes import Episode, Source
from sensorimotor.pipelines.film_drawing import ACCENT, MUTED, PANEL
from sensorimotor.pipelines.sheet import CAPTION, HEADER, HEADING, MARGIN, WIDTH, Sheet

COLUMNS, GAP = 6, 14
CELL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS
TALLEST = 320
"""Of a picture (pixels); it is less wide then."""
CAPTIONS = 52
"""Height of two lines under each picture."""


def contact_sheet(source: Source, path: Path, *, title: str = "", count: int = 24) -> None:
    """Write a PNG with at most `count` pictures of each image feature.

    Args:
        source: Where the pictures are from.
        path: The file to write.
        title: What the source is called.
        count: How many pictures of a feature; they are decoded.

    Raises:
        UsageError: The source has no pictures.
        DataError: None of them can be decoded.
        OutputPathError: Nothing can be written there.
    """
    names = [name for name, feature in source.features.items() if feature.kind == "image"]
    if not names:
        raise UsageError(f"there are no pictures to show; features: {', '.join(source.features)}")
    failures: list[DataError] = []
    shown = {name: list(pictures(source, name, count, failures.append)) for name in names}
    if not any(shown.values()):
        raise failures[0] if failures else DataError("every picture is missing: there is nothing to show")
    tops, bottom = {}, HEADER
    for name, found in shown.items():
        tops[name] = bottom
        bottom += 44 + -(-len(found) // COLUMNS) * (_height(found) + CAPTIONS) + 16
    sheet = Sheet(bottom + MARGIN - 16)
    sheet.header("contact sheet", f"{title}{' · ' if title else ''}{len(source):,} episodes")
    for name, found in shown.items():
        shape = source.features[name].shape
        end = sheet.text(name, MARGIN, tops[name] + 20, HEADING, ACCENT, bold=True)
        detail = f"{shape[1]} x {shape[0]} pixels, {len(found)} spread over all episodes"
        sheet.text(detail, end + 14, tops[name] + 20, CAPTION + 2, MUTED)
        for number, picture in enumerate(found):
            row, column = divmod(number, COLUMNS)
            y = tops[name] + 44 + row * (_height(found) + CAPTIONS)
            _draw(sheet, source, picture, MARGIN + column * (CELL + GAP), y, _height(found))
    sheet.write(path)


def _height(found: list[Picture]) -> int:
    """Of the pictures of a feature, which are all of one shape (pixels)."""
    if not found:
        return 0
    rows, columns, _ = found[0].image.shape
    return min(TALLEST, round(CELL * rows / columns))


def _draw(sheet: Sheet, source: Source, picture: Picture, x: int, y: int, height: int) -> None:
    sheet.box(x, y, CELL, height, PANEL)
    sheet.picture(picture.image, x, y, CELL, height)
    right = x + CELL
    if source.rate_hz:
        time = f"{picture.time_s:.2f} s"
        right -= sheet.width(time, CAPTION) + 8
        sheet.text(time, x + CELL, y + height + 19, CAPTION, MUTED, align="right")
    sheet.text(picture.episode.name, x, y + height + 19, CAPTION, bold=True, within=right - x)
    sheet.text(_words(source, picture.episode, picture.time_s), x, y + height + 39, CAPTION - 1, MUTED, within=CELL)


def _words(source: Source, episode: Episode, time_s: float) -> str:
    """What the texts and choices of an episode are at a time."""
    said = []
    for name, feature in source.features.items():
        if feature.kind in ("text", "choice"):
            track = episode.track(name)
            newest = int(np.searchsorted(track.times_s, time_s + episode.times_s[0] + 1e-6, "right")) - 1
            if newest >= 0:
                value = track.read([newest])[0]
                said.append(f"{name} {value}" if feature.kind == "choice" else str(value))
    return " · ".join(said)
