"""A table with named columns out of a Parquet, CSV or JSON Lines file; equal rows give equal tables in each format.

A column holds whole numbers, numbers, yes or no, texts, or lists of numbers. An empty cell, an empty text, null and NaN
are all the same: missing. Rows are counted from 1, the first row of data.
"""

import csv
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.pipelines.media import library

MAX_TABLE_BYTES = 4 * 2**30
MAX_ROWS = 50_000_000
"""A Parquet file of a few kilobytes can claim more rows than fit any memory."""

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
_Wanted = dict[str, bool] | None
"""Column → whether it must be there."""
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
    library("pyarrow", "pyarrow", "reading a table")
    readers = (
        dict.fromkeys(PARQUET, _parquet) | dict.fromkeys(JSON_LINES, _json_lines) | dict.fromkeys(DELIMITERS, _csv)
    )
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: a table ends in {', '.join(readers)}: convert or rename it")
    try:
        size = path.stat().st_size
        if size > MAX_TABLE_BYTES:
            raise DataError(f"{path} has {size / 2**30:.1f} GiB, more than {MAX_TABLE_BYTES / 2**30:g}: split it")
        wanted = (
            None if wanted is None else {**dict.fromkeys(wanted, True), **dict.fromkeys({*also} - {*wanted}, False)}
        )
        table = readers[path.suffix.lower()](path, wanted, texts)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not table.rows:
        raise DataError(f"{path} has no rows: add at least one")
    return table


def missing_column(path: Path, name: str, known: Collection[str]) -> DataError:
    """The error that says which columns there are instead."""
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
    return DataError(f"{path} has no column {name!r}; {hint}")


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

    with _explained(path, "is damaged or no Parquet file: write it again"), parquet.ParquetFile(path) as file:
        names = _selected(path, file.schema_arrow.names, wanted)
        rows = file.metadata.num_rows
        if rows > MAX_ROWS:
            raise DataError(f"{path} has {rows} rows, more than {MAX_ROWS}: split it")
        types = {name: _canonical_type(path, name, file.schema_arrow.field(name).type) for name in names}
        table = file.read(columns=names)
        columns = {}
        for name, kind in types.items():
            kind = pa.large_string() if name in texts and not pa.types.is_large_list(kind) else kind
            columns[name] = _without_blanks(_whole(table[name].cast(kind)))
    return Table(path, rows, columns)


def _canonical_type(path: Path, name: str, kind: Any) -> Any:
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        kind = kind.value_type
    if is_.is_boolean(kind):
        return pa.bool_()
    if is_.is_integer(kind):
        return pa.int64()
    if is_.is_floating(kind) or is_.is_decimal(kind):
        return pa.float64()
    if is_.is_string(kind) or is_.is_large_string(kind) or is_.is_null(kind):
        return pa.large_string()
    lists = is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind)
    if lists and (is_.is_integer(kind.value_type) or is_.is_floating(kind.value_type)):
        return pa.large_list(pa.float64())
    raise DataError(
        f"{path}, column {name!r}: {kind} is no type that can be learnt from; there are numbers, lists of numbers, "
        "booleans and strings. Convert it, or leave the column out"
    )


# CSV


def _csv(path: Path, wanted: _Wanted, texts: Collection[str]) -> Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    delimiter = DELIMITERS[path.suffix.lower()]
    uneven: list[Any] = []

    def refuse(row: Any) -> str:
        uneven.append(row)
        return "error"

    with _explained(path, "is no CSV that can be read: save it again as UTF-8"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=delimiter), [])
        names = _selected(path, header, wanted)
        try:
            table = arrow_csv.read_csv(
                path,
                read_options=arrow_csv.ReadOptions(use_threads=False),  # else rows are not counted
                parse_options=arrow_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.large_string()),
                    include_columns=names,
                    null_values=["", "null", "NaN", "nan"],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            for row in uneven:
                raise DataError(
                    f"{path}, row {row.number - 1}: {row.actual_columns} cells, but the header has "
                    f"{row.expected_columns}: {row.text[:80]!r}. Quote cells that contain {delimiter!r}"
                ) from None
            raise
    columns = {name: _without_blanks(_whole(table[name])) for name in names}
    read = {name: column if name in texts else _parsed(path, name, column) for name, column in columns.items()}
    return Table(path, table.num_rows, read)


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
    if 2 * (pc.sum(numbers).as_py() or 0) >= present > 0:
        row = int(np.flatnonzero(~np.asarray(numbers.fill_null(True)))[0])
        raise _mixed(path, row + 1, name, "a number, as in most rows", repr(cells[row].as_py()))
    if present and pc.all(pc.is_in(pc.utf8_lower(cells), pa.array(["true", "false", None], pa.large_string()))).as_py():
        return pc.equal(pc.utf8_lower(cells), "true")
    if present and pc.all(pc.starts_with(cells, "[")).as_py():
        return _array(path, name, [_list(path, row, name, cell) for row, cell in enumerate(cells.to_pylist(), 1)])
    return cells


def _list(path: Path, row: int, name: str, cell: str | None) -> Any:
    try:
        return cell and json.loads(cell)
    except ValueError as error:
        raise _mixed(path, row, name, "a list of numbers such as [1, 2.5]", repr(cell)) from error


# JSON Lines


def _json_lines(path: Path, wanted: _Wanted, texts: Collection[str]) -> Table:
    columns: dict[str, list[Any]] = {}
    names: dict[str, None] = {}
    rows, blank = 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
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
            columns[name] = [
                value if value is None or isinstance(value, str) else str(value) for value in columns[name]
            ]
    return Table(path, rows, {name: _array(path, name, columns[name]) for name in selected})


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number} is no JSON: {error}. Each line is one object") from error
    if not isinstance(found, dict):
        raise DataError(f'{path}, line {number}: expected an object such as {{"label": "go"}}, got {line[:60]!r}')
    return found


def _array(path: Path, name: str, values: list[Any]) -> Any:
    """Values from JSON as an Arrow array."""
    import pyarrow as pa

    kinds = {
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        str: pa.large_string(),
        list: pa.large_list(pa.float64()),
    }
    first = next((value for value in values if value is not None), "")
    found = {type(value) for value in values if value is not None} or {str}
    expected = {int, float} if found == {int, float} else {type(first)}
    for row, value in enumerate(values, 1):
        if value is not None and (type(value) not in expected or type(value) not in kinds):
            what = (
                f"{_words(first)}, as in the rows before"
                if type(first) in kinds
                else "a number, a text or a list of numbers"
            )
            raise _mixed(path, row, name, what, _words(value))
        numbers = value if isinstance(value, list) else []
        for number in numbers:
            if type(number) not in (int, float, type(None)):
                raise _mixed(path, row, name, "a list of numbers", f"a list with {_words(number)}")
    kind = kinds[float if len(expected) == 2 else type(first)]
    try:
        return _without_blanks(pa.array(values, kind))
    except (ValueError, OverflowError, TypeError) as error:  # a number beyond 64 bits, half of a surrogate pair
        raise DataError(f"{path}, column {name!r}: {error}") from error


def _words(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"


# All


def _mixed(path: Path, row: int, name: str, expected: str, got: str) -> DataError:
    return DataError(
        f"{path}, row {row}, column {name!r}: expected {expected}, got {got}. Correct it, leave the cell empty if "
        f"it is missing, or declare the column a text"
    )


def _whole(column: Any) -> Any:
    """One array of all chunks."""
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _without_blanks(column: Any) -> Any:
    """NaN and texts of nothing but space become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_large_string(column.type):
        return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    return column


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, csv.Error, OSError) as error:
        if getattr(error, "errno", None):  # it could not be opened at all
            raise
        raise DataError(f"{path} {what} ({' '.join(str(error).split())[:300]})") from error
