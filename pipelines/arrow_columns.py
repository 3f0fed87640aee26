"""The types that a column of a table can have, as Arrow arrays, and what becomes of everything else."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sensorimotor.errors import DataError


def canonical_type(path: Path, name: str, kind: Any) -> Any:
    """The type that stands for an Arrow type.

    Raises:
        DataError: Nothing can be learnt from values of this type.
    """
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


def from_values(path: Path, name: str, values: list[Any]) -> Any:
    """Values from JSON, one a row, as an Arrow array.

    Raises:
        DataError: They are of several types, or of one that nothing can be learnt from.
    """
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
            raise mixed_types(path, row, name, what, _words(value))
        numbers = value if isinstance(value, list) else []
        for number in numbers:
            if type(number) not in (int, float, type(None)):
                raise mixed_types(path, row, name, "a list of numbers", f"a list with {_words(number)}")
    kind = kinds[float if len(expected) == 2 else type(first)]
    try:
        return without_blanks(pa.array(values, kind))
    except (ValueError, OverflowError, TypeError) as error:  # a number beyond 64 bits, half of a surrogate pair
        raise DataError(f"{path}, column {name!r}: {error}") from error


def _words(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:40]!r}"


def mixed_types(path: Path, row: int, name: str, expected: str, got: str) -> DataError:
    """The error of a cell that is not like others of its column."""
    return DataError(
        f"{path}, row {row}, column {name!r}: expected {expected}, got {got}. Correct it, leave the cell empty if "
        f"it is missing, or declare the column a text"
    )


def whole(column: Any) -> Any:
    """One array of all chunks."""
    import pyarrow as pa

    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def without_blanks(column: Any) -> Any:
    """NaN and texts of nothing but space become null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_large_string(column.type):
        return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
    return column


@contextmanager
def explained(path: Path, what: str) -> Iterator[None]:
    """Say what is wrong with a file in place of Arrow's own errors."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, csv.Error, OSError) as error:
        if getattr(error, "errno", None):  # it could not be opened at all
            raise
        raise DataError(f"{path} {what} ({' '.join(str(error).split())[:300]})") from error
