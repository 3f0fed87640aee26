"""The pictures of a report on data: a contact sheet of frames, and spectrograms of sounds."""

from pathlib import Path

from sensorimotor.files import require_writable
from sensorimotor.pipelines.contact_sheet import contact_sheet
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.spectrogram_sheet import spectrogram_sheet


def write_sheets(source: Source, out: Path) -> list[Path]:
    """Write `contact_sheet.png` and `spectrograms.png`, each where there is something for it.

    Args:
        source: The data.
        out: Directory for them.

    Returns:
        What was written.

    Raises:
        OutputPathError: The directory cannot be written to.
        DataError: A picture or a sound cannot be read.
    """
    require_writable(out)
    kinds = {feature.kind for feature in source.features.values()}
    written = []
    for kind, draw, name in (
        ("image", contact_sheet, "contact_sheet.png"),
        ("audio", spectrogram_sheet, "spectrograms.png"),
    ):
        if kind in kinds:
            draw(source, out / name)
            written.append(out / name)
    return written
