"""A sheet of spectrograms: pieces of the sounds of a source, each with its waveform, over seconds and kilohertz."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sensorimotor.errors import DataError, UsageError
from sensorimotor.pipelines.data_report import dbfs
from sensorimotor.pipelines.data_samples import Stretch, stretches
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.film_drawing import ACCENT, DIM, MUTED, PANEL, WHITE
from sensorimotor.pipelines.sheet import CAPTION, HEADER, HEADING, MARGIN, WIDTH, Sheet
from sensorimotor.pipelines.spectrogram import RANGE_DB, coloured, power_db

COLUMNS, GAP, AXIS = 2, 36, 46
"""Panels side by side, the pixels between them, and left of each for the names of frequencies."""
PANEL_WIDTH = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS - AXIS
WAVE, PICTURE, CAPTIONS = 44, 200, 34
"""Heights of a waveform, of a spectrogram, and of each line of text (pixels)."""
PITCH = CAPTIONS + WAVE + 4 + PICTURE + CAPTIONS + 10
CHANNELS = 2
"""Further channels are not drawn."""


def spectrogram_sheet(source: Source, path: Path, *, title: str = "", count: int = 6, seconds: float = 6.0) -> None:
    """Write a PNG with the spectrograms of at most `count` pieces of each feature of sound.

    Args:
        source: Where the sounds are from.
        path: The file to write.
        title: What the source is called.
        count: How many pieces of a feature; they are decoded.
        seconds: How long a piece is at most (s).

    Raises:
        UsageError: The source has no sound.
        DataError: None of it can be decoded.
        OutputPathError: Nothing can be written there.
    """
    names = [name for name, feature in source.features.items() if feature.kind == "audio"]
    if not names:
        raise UsageError(f"there are no sounds to show; features: {', '.join(source.features)}")
    failures: list[DataError] = []
    shown = {name: list(stretches(source, name, count, seconds, failures.append)) for name in names}
    if not any(shown.values()):
        raise failures[0] if failures else DataError("every sound is missing: there is nothing to show")
    tops, bottom = {}, HEADER
    for name, found in shown.items():
        tops[name] = bottom
        bottom += 48 + -(-len(found) // COLUMNS) * PITCH + 8
    sheet = Sheet(bottom + MARGIN - 16)
    sheet.header("spectrograms", f"{title}{' · ' if title else ''}{len(source):,} episodes")
    for name, found in shown.items():
        end = sheet.text(name, MARGIN, tops[name] + 20, HEADING, ACCENT, bold=True)
        channels = source.features[name].shape[0]
        detail = f"{found[0].sample_rate / 1000:g} kHz, " if found else ""
        detail += f"{channels} channel{'s' * (channels > 1)}, {len(found)} pieces spread over all episodes"
        sheet.text(detail, end + 14, tops[name] + 20, CAPTION + 2, MUTED)
        powers = [
            [power_db(channel, one.sample_rate, PANEL_WIDTH) for channel in one.samples.T[:CHANNELS]] for one in found
        ]
        loudest = max((float(power.max()) for several in powers for power in several), default=0.0)
        top_db = 10 * int(np.ceil(min(loudest, 0.0) / 10))
        peak = max((float(np.abs(one.samples).max()) for one in found), default=0.0)
        _draw_scale(sheet, tops[name], top_db)
        for number, (one, power) in enumerate(zip(found, powers, strict=True)):
            row, column = divmod(number, COLUMNS)
            x = MARGIN + AXIS + column * (PANEL_WIDTH + AXIS + GAP)
            top = tops[name] + 48 + row * PITCH
            _draw_names(sheet, one, x, top + 14, timed=source.rate_hz is not None)
            _draw_waveform(sheet, one.samples.mean(1) / max(peak, 1e-6), x, top + CAPTIONS - 10)
            _draw_spectrogram(sheet, one, power, x, top + CAPTIONS - 10 + WAVE + 4, top_db)
    sheet.write(path)


def ticks(stop: float, most: int) -> Iterator[float]:
    """At most some `most` round numbers from 0 to `stop`.

    >>> list(ticks(8.0, 5))
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    rough = max(stop, 1e-6) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999))
    yield from (round(number * step, 9) for number in range(int(stop / step + 1e-9) + 1))


def _draw_names(sheet: Sheet, found: Stretch, x: int, baseline: int, *, timed: bool) -> None:
    end = sheet.text(found.episode.name, x, baseline, CAPTION, bold=True, within=PANEL_WIDTH // 2)
    if timed:
        sheet.text(f"from {found.start_s:.2f} s", end + 10, baseline, CAPTION, MUTED)
    samples = found.samples
    peak, rms = dbfs(float(np.abs(samples).max(initial=0.0))), dbfs(float(np.sqrt(np.square(samples).mean())))
    levels = "silent" if peak is None or rms is None else f"peak {peak:.1f} dBFS, rms {rms:.1f} dBFS"
    sheet.text(levels, x + PANEL_WIDTH, baseline, CAPTION, MUTED, align="right")


def _draw_spectrogram(sheet: Sheet, found: Stretch, powers: list[np.ndarray], x: int, top: int, top_db: int) -> None:
    rate, duration_s = found.sample_rate, len(found.samples) / found.sample_rate
    height = (PICTURE - 4 * (len(powers) - 1)) // len(powers)
    for number, power in enumerate(powers):
        y = top + number * (height + 4)
        sheet.picture(coloured(power, top_db, height), x, y, PANEL_WIDTH, height)
        if len(powers) > 1:
            sheet.text(f"channel {number + 1}", x + PANEL_WIDTH - 8, y + 18, CAPTION - 2, WHITE, align="right")
        for khz in ticks(rate / 2000, 4 if len(powers) == 1 else 3):
            at = y + height - khz / (rate / 2000) * height
            sheet.box(x - 5, at - 0.5, 5, 1, DIM)
            sheet.text(f"{khz:g}", x - 9, at + 5, CAPTION - 2, MUTED, align="right")
    sheet.text("kHz", x - 9, top - 12, CAPTION - 2, MUTED, align="right")
    bottom = top + PICTURE
    for second in ticks(duration_s, 8):
        at = x + second / duration_s * PANEL_WIDTH
        sheet.box(min(at, x + PANEL_WIDTH - 1), bottom, 1, 5, DIM)
        if at < x + PANEL_WIDTH - 24:
            sheet.text(f"{second:g}", at, bottom + 20, CAPTION - 2, MUTED, align="middle")
    sheet.text("s", x + PANEL_WIDTH, bottom + 20, CAPTION - 2, MUTED, align="right")


def _draw_waveform(sheet: Sheet, samples: np.ndarray, x: int, top: int) -> None:
    """The range of each pixel's samples, which are from -1 to 1."""
    sheet.box(x, top, PANEL_WIDTH, WAVE, PANEL)
    edges = np.arange(PANEL_WIDTH) * len(samples) // PANEL_WIDTH
    low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
    for column in range(PANEL_WIDTH):
        above, below = ((1 - level) / 2 * (WAVE - 1) for level in (high[column], low[column]))
        sheet.box(x + column, top + round(above), 1, max(1, round(below) - round(above)), ACCENT)


def _draw_scale(sheet: Sheet, top: int, top_db: int) -> None:
    """Which colour is how loud."""
    width, x = 220, WIDTH - MARGIN - 220 - 60
    ramp = np.repeat(np.linspace(top_db - RANGE_DB, top_db, width)[None], 12, 0)
    sheet.picture(coloured(ramp[::-1], top_db, 12), x, top + 8, width, 12)
    sheet.text(f"{top_db - RANGE_DB}", x - 8, top + 20, CAPTION - 2, MUTED, align="right")
    sheet.text(f"{top_db} dBFS", x + width + 8, top + 20, CAPTION - 2, MUTED)
