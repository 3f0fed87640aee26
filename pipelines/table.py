"""A table with named columns out of a Parquet, CSV or JSON Lines file; equal rows give equal tables in each format.

A column holds whole numbers, numbers, yes or no, texts, or lists of numbers. An empty cell, an empty text, null and NaN
are all the same: missing. Rows are counted from 1, the first row of data.
"""

import csv
import json
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.libraries import library
from sensorimotor.pipelines.arrow_columns import (
    canonical_type,
    explained,
    from_values,
    mixed_types,
    whole,
    without_blanks,
)
from sensorimotor.pipelines.media import require_file

MAX_TABLE_BYTES = 4 * 2**30
MAX_LINE_BYTES = 16 * 2**20
MAX_ROWS = 50_000_000
"""A Parquet file of a few kilobytes can claim more rows than fit any memory."""

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
TABLES = (*PARQUET, *JSON_LINES, *DELIMITERS)
"""What the names of tables end in."""
_Wanted = dict[str, bool] | None
"""Column → whether it must be there."""
_NO_CSV = "is no CSV that can be read: save it again as UTF-8"
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


@dataclass(frozen=True, eq=False)
class Table:
    """Some columns of a table.

    Attributes:
        path: The file.
        rows: How many rows it has, at least one.
        columns: By name, Arrow arrays of `int64`, `float64`, `bool`, `large_string` or `large_list<float64>`; what is
            missing is null.
    """

    path: Path
    rows: int
    columns: dict[str, Any]


def read_table(
    path: Path, wanted: Collection[str] | None = None, also: Collection[str] = (), texts: Collection[str] = ()
) -> Table:
    """Read a table.

    Args:
        path: `.parquet` or `.pq`; `.csv` or `.tsv` with a header; `.jsonl` or `.ndjson`.
        wanted: The columns to read; None: all.
        also: Columns to read if they are there.
        texts: Columns that are kept as they are written, even if they look like numbers.

    Raises:
        DataError: There is no such file or column, or it is damaged, empty, too large, or of mixed types.
        MissingExtraError: pyarrow is not installed.
    """
    library("pyarrow", "pyarrow", "data", "reading a table")
    readers = (
        dict.fromkeys(PARQUET, _parquet) | dict.fromkeys(JSON_LINES, _json_lines) | dict.fromkeys(DELIMITERS, _csv)
    )
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: a table ends in {', '.join(readers)}: convert or rename it")
    try:
        require_file(path)
        size = path.stat().st_size
        if size > MAX_TABLE_BYTES:
            raise DataError(f"{path} has {size / 2**30:.1f} GiB, more than {MAX_TABLE_BYTES / 2**30:g}: split it")
        needed = None if wanted is None else dict.fromkeys(also, False) | dict.fromkeys(wanted, True)
        table = readers[path.suffix.lower()](path, needed, texts)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not table.rows:
        raise DataError(f"{path} has no rows: add at least one")
    return table


def column_names(path: Path) -> list[str]:
    """The columns of a table; of JSON Lines all is read for it, of others the header.

    Raises:
        DataError: There is no such table, or its header is damaged.
        MissingExtraError: pyarrow is not installed.
    """
    library("pyarrow", "pyarrow", "data", "reading a table")
    if path.suffix.lower() not in (*PARQUET, *DELIMITERS):
        return list(read_table(path).columns)
    try:
        require_file(path)
        return _parquet_header(path) if path.suffix.lower() in PARQUET else _csv_header(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def missing_column(path: Path, name: str, known: Collection[str], what: str = "column") -> DataError:
    """The error that says which columns there are instead, or whatever they are called."""
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
    return DataError(f"{path} has no {what} {name!r}; {hint}")


def _selected(path: Path, names: list[str], wanted: _Wanted) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path} has two columns {name!r}: rename one")
    for name, needed in (wanted or {}).items():
        if needed and name not in names:
            raise missing_column(path, name, names)
    return [name for name in names if wanted is None or name in wanted]


# Parquet


def _parquet(path: Path, wanted: _Wanted, texts: Collection[str]) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    with explained(path, "is damaged or no Parquet file: write it again"), parquet.ParquetFile(path) as file:
        names = _selected(path, file.schema_arrow.names, wanted)
        rows = file.metadata.num_rows
        if rows > MAX_ROWS:
            raise DataError(f"{path} has {rows} rows, more than {MAX_ROWS}: split it")
        types = {name: canonical_type(path, name, file.schema_arrow.field(name).type) for name in names}
        table = file.read(columns=names)
        columns = {}
        for name, kind in types.items():
            safe = not pa.types.is_large_list(kind)  # in lists, whole numbers beyond 2^53 are rounded
            columns[name] = without_blanks(whole(table[name].cast(kind, safe=safe)))
        for name in {*texts} & {*names}:
            if not pa.types.is_large_list(types[name]):
                columns[name] = columns[name].cast(pa.large_string())
    return Table(path, rows, columns)


def _parquet_header(path: Path) -> list[str]:
    from pyarrow import parquet

    with explained(path, "is damaged or no Parquet file: write it again"), parquet.ParquetFile(path) as file:
        return list(file.schema_arrow.names)


# CSV


def _csv(path: Path, wanted: _Wanted, texts: Collection[str]) -> Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    delimiter = DELIMITERS[path.suffix.lower()]
    uneven: list[Any] = []

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    header = _csv_header(path)
    with explained(path, _NO_CSV):
        names = _selected(path, header, wanted)
        try:
            table = arrow_csv.read_csv(
                path,
                read_options=arrow_csv.ReadOptions(use_threads=False),  # else rows are not counted
                parse_options=arrow_csv.ParseOptions(
                    delimiter=delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=len(header) > 1,  # else an empty line is an empty cell
                    invalid_row_handler=refuse,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.large_string()),
                    include_columns=names,
                    null_values=["", "null", "NaN", "nan"],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if "straddling" in str(error):
                raise DataError(f"{path} has a row of more than 1 MiB: close its quotes, or make it shorter") from error
            for row in uneven:
                raise DataError(
                    f"{path}, row {row.number - 1}: {row.actual_columns} cells, but the header has "
                    f"{row.expected_columns}: {row.text[:80]!r}. Quote cells that contain {delimiter!r}"
                ) from None
            raise
    columns = {name: without_blanks(whole(table[name])) for name in names}
    read = {name: column if name in texts else _parsed(path, name, column) for name, column in columns.items()}
    return Table(path, table.num_rows, read)


def _csv_header(path: Path) -> list[str]:
    delimiter = DELIMITERS[path.suffix.lower()]
    with explained(path, _NO_CSV), path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    _require_header(path, header, delimiter)
    return header


def _require_header(path: Path, header: list[str], delimiter: str) -> None:
    if not header:
        raise DataError(f"{path} has nothing in its first line, which names the columns: write them there")
    if any("\0" in name for name in header):
        raise DataError(f"{path} is no text, but binary data: save it as UTF-8")
    other = [mark for mark in ";\t," if mark != delimiter and mark in header[0]]
    if len(header) == 1 and other:
        raise DataError(f"{path} has {other[0]!r} between the names of its columns: expected {delimiter!r}")


def _parsed(path: Path, name: str, cells: Any) -> Any:
    """The cells of a CSV column as what all of them can be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = len(cells) - cells.null_count
    numbers = pc.match_substring_regex(cells, _NUMBER)
    if present and pc.sum(numbers).as_py() == present:
        trimmed = pc.utf8_trim_whitespace(cells)
        try:
            return trimmed.cast(pa.int64())
        except pa.ArrowInvalid:
            return trimmed.cast(pa.float64())
    if 2 * (pc.sum(numbers).as_py() or 0) > present:
        row = int(np.flatnonzero(~np.asarray(numbers.fill_null(True)))[0])
        raise mixed_types(path, row + 1, name, "a number, as in most rows", repr(cells[row].as_py()))
    if present and pc.all(pc.is_in(pc.utf8_lower(cells), pa.array(["true", "false", None], pa.large_string()))).as_py():
        return pc.equal(pc.utf8_lower(cells), "true")
    if present and pc.all(pc.starts_with(cells, "[")).as_py():
        return from_values(path, name, [_list(path, row, name, cell) for row, cell in enumerate(cells.to_pylist(), 1)])
    return cells


def _list(path: Path, row: int, name: str, cell: str | None) -> Any:
    try:
        return cell and json.loads(cell)
    except (ValueError, RecursionError) as error:  # a list in a list in a list …
        raise mixed_types(path, row, name, "a list of numbers such as [1, 2.5]", repr(cell)[:60]) from error


# JSON Lines


def _json_lines(path: Path, wanted: _Wanted, texts: Collection[str]) -> Table:
    columns: dict[str, list[Any]] = {}
    names: dict[str, None] = {}
    rows, blank = 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
            if len(line) > MAX_LINE_BYTES:
                raise DataError(f"{path}, line {number} is longer than {MAX_LINE_BYTES / 2**20:g} MiB: split it")
            if not line.strip():
                blank = blank or number
                continue
            if blank:
                raise DataError(f"{path}, line {blank} is empty: remove it")
            for name, value in _object(path, number, line.removeprefix(b"\xef\xbb\xbf")).items():
                names.setdefault(name)
                if wanted is None or name in wanted:
                    column = columns.setdefault(name, [])
                    column.extend([None] * (rows - len(column)))
                    column.append(value)
            rows += 1
    selected = _selected(path, list(names), wanted) if rows else []
    for name in selected:
        columns[name].extend([None] * (rows - len(columns[name])))
        if name in texts:
            columns[name] = [_as_written(value) for value in columns[name]]
    return Table(path, rows, {name: from_values(path, name, columns[name]) for name in selected})


def _as_written(value: Any) -> Any:
    """A number or boolean as JSON writes it, which is as CSV does."""
    if not isinstance(value, int | float):
        return value
    return json.dumps(value) if value == value else None  # NaN is missing


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number} is no JSON: {error}. Each line is one object") from error
    if not isinstance(found, dict):
        raise DataError(f'{path}, line {number}: expected an object such as {{"label": "go"}}, got {line[:60]!r}')
    return found
