"""The verbs for data: inspect and convert."""

from pathlib import Path
from typing import Annotated

import typer

from sensorimotor.pipelines.cli_options import (
    Json,
    print_json,
)

data = typer.Typer(help="Look into data, and turn them into a recording.", no_args_is_help=True)


@data.command("inspect")
def data_inspect(
    path: Annotated[Path, typer.Argument(help="A recording's directory, or a manifest.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory for contact_sheet.png and spectrograms.png. Default: no pictures.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is in data: features, rates, statistics, and what is missing, equal or has gaps.

    Example: `sensorimotor data inspect demos/reach --out report`
    """
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.data_report import inspect_data
    from sensorimotor.pipelines.data_sheets import write_sheets
    from sensorimotor.pipelines.data_tables import data_table
    from sensorimotor.pipelines.sources import source_at

    source = source_at(path)
    with console.counting("looking", len(source)) as progress:
        report = inspect_data(source, progress)
    report["sheets"] = [str(sheet) for sheet in write_sheets(source, out)] if out else []
    if as_json:
        print_json(report)
    else:
        data_table(report)


@data.command("convert")
def data_convert(
    source: Annotated[Path, typer.Argument(help="A recording's directory, or a manifest.")],
    out: Annotated[Path, typer.Argument(help="A new directory, or one of the same recording, which is continued.")],
    as_json: Json = False,
) -> None:
    """Turn data into a recording: a LeRobotDataset v3 with the sound beside it.

    Example: `sensorimotor data convert clips.csv recordings/clips`
    """
    from sensorimotor.pipelines import console
    from sensorimotor.pipelines.convert import convert
    from sensorimotor.pipelines.sources import source_at

    found = source_at(source)
    with console.counting("converting", len(found)) as progress:
        report = convert(found, out, progress)
    if as_json:
        print_json(report)
    else:
        console.converted(report)
