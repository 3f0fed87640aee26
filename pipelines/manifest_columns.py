"""What the cells of one column of a manifest are: values to keep, or media to read and decode when they are wanted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.perception.extensions import CLIPS, IMAGES, SOUNDS
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.media import (
    decode_clip,
    decode_image,
    decode_sound,
    extension,
    read_bytes,
)
from sensorimotor.pipelines.table import Table

Kind = Literal["image", "audio", "video", "text", "vector", "choice"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_CHOICES = 32
"""Whole numbers from 0 up to here are taken for choices, larger ones for measurements."""
TRIED = 8
"""If this many media cannot be read, what their column is like is not looked for any further."""

_EXTENSIONS: Mapping[Kind, frozenset[str]] = {"image": IMAGES, "audio": SOUNDS, "video": CLIPS}


@dataclass(frozen=True, eq=False)
class Values:
    """What is in the table itself: vectors `(rows, size)`, choices `(rows,)`, or an Arrow array of texts.

    `present` says which rows have a sample, bool `(rows,)`.
    """

    feature: Feature
    present: np.ndarray
    values: Any
    per_row: int = 1

    def read(self, rows: Sequence[int], parts: Sequence[int], sample_rate: int | None) -> list[Any]:
        """The values of some rows, counted from 0."""
        match self.feature.kind:
            case "text":
                return [self.values[row].as_py() for row in rows]
            case "choice":
                return [int(self.values[row]) for row in rows]
        return [self.values[row].copy() for row in rows]


@dataclass(frozen=True, eq=False)
class Media:
    """What files hold; `decode(data, name, sample_rate)` gives the content of one and its sample rate (None: no sound).

    A row has one sample, except that a video is `per_row` pictures. Where the shape of the feature has a 0, that of the
    samples may have anything.
    """

    feature: Feature
    present: np.ndarray
    table: Table
    name: str
    decode: Callable[..., Any]
    per_row: int = 1

    @property
    def locations(self) -> Any:
        """The paths and URLs, an Arrow array."""
        return self.table.columns[self.name]

    def read(self, rows: Sequence[int], parts: Sequence[int], sample_rate: int | None) -> list[Any]:
        """The media of some rows; a video is decoded once for all its pictures that are wanted."""
        if self.per_row == 1:
            return [self._read(row, sample_rate) for row in rows]
        clips: dict[int, Any] = {}
        for row in rows:
            if row not in clips:
                clips[row] = self._read(row, None)
        return [clips[row][part] for row, part in zip(rows, parts, strict=True)]

    def _read(self, row: int, sample_rate: int | None) -> np.ndarray:
        sample, _ = decoded(self.table, self.name, row, self.decode, sample_rate)
        found, expected = sample.shape[-len(self.feature.shape) :], self.feature.shape
        if all(length in (0, there) for there, length in zip(found, expected, strict=True)):
            return sample
        words = "x".join
        location = self.locations[row].as_py()
        if self.feature.kind == "audio":
            raise _wrong(
                self.table, row, self.name, f"{location} has {found[0]} channels, but the first sound {expected[0]}",
                f"Say what all should have: channels = {{{self.name} = 1}}",
            )  # fmt: skip
        raise _wrong(
            self.table, row, self.name,
            f"{location} is {words(map(str, found))} (height x width x channels), but the first is "
            f"{words(map(str, expected))}",
            "Scale or cut all to one size",
        )  # fmt: skip


Column = Values | Media
"""The samples of one feature in all rows."""


def decoded(table: Table, name: str, row: int, decode: Callable[..., Any], sample_rate: int | None = None) -> Any:
    """The sample of one file and its sample rate (None: it is no sound).

    Raises:
        DataError: It cannot be read or decoded; the message names its row.
    """
    location = table.columns[name][row].as_py()
    try:
        return decode(read_bytes(location, table.path.absolute().parent), location, sample_rate)
    except DataError as error:
        raise DataError(f"{table.path}, row {row + 1}, column {name!r}: {error}") from error


def make_column(
    table: Table,
    name: str,
    kind: Kind | None = None,
    units: Sequence[str] = (),
    channels: int | None = None,
    clip_frames: int = 8,
    any_shape: bool = False,
) -> Column:
    """What a column of a table is.

    With `any_shape`, media need not be like the first, which is not looked at then, and a column without any value is
    one of texts, whatever its kind.

    Raises:
        DataError: Its cells are not of one kind, or not of the kind they should be.
    """
    array = table.columns[name]
    if (kind is None or any_shape) and not _present(array).any():
        return Values(Feature("text"), _present(array), array)  # as good as anything
    kind = kind or _kind(table, name)
    match kind:
        case "vector":
            return _vector(table, name, (name,), units)
        case "choice":
            return _choice(table, name)
        case "text":
            _require_texts(table, name, kind)
            return Values(Feature("text"), _present(array), array)
    _require_texts(table, name, kind)
    decode = {
        "image": lambda data, location, _: (decode_image(data, location), None),
        "audio": lambda data, location, rate: decode_sound(data, location, rate, channels),
        "video": lambda data, location, _: (decode_clip(data, location, clip_frames).frames, None),
    }[kind]
    per_row = clip_frames if kind == "video" else 1
    if any_shape:
        feature = Feature("audio", (channels or 0,)) if kind == "audio" else Feature("image", (0, 0, 3))
        return Media(feature, _present(array), table, name, decode, per_row)
    sample, rate = _first_readable(table, name, decode)
    shape = sample.shape[-1:] if kind == "audio" else sample.shape[-3:]
    feature = Feature("audio" if kind == "audio" else "image", shape, rate_hz=rate)
    return Media(feature, _present(array), table, name, decode, per_row)


def _first_readable(table: Table, name: str, decode: Callable[..., Any]) -> Any:
    rows = np.flatnonzero(_present(table.columns[name]))
    if not len(rows):
        raise DataError(f"{table.path}, column {name!r} has no file in any row: leave it out")
    failures = []
    for row in rows[:TRIED]:
        try:
            return decoded(table, name, int(row), decode)
        except DataError as error:
            failures.append(error)
    raise failures[0]


def _kind(table: Table, name: str) -> Kind:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = table.columns[name]
    if pa.types.is_boolean(array.type):
        return "choice"
    if pa.types.is_int64(array.type):
        limits = pc.min_max(array).as_py()
        return "choice" if limits["min"] >= 0 and limits["max"] < MAX_CHOICES else "vector"
    if not pa.types.is_large_string(array.type):
        return "vector"
    rows = np.flatnonzero(_present(array))
    first = array[int(rows[0])].as_py()
    for kind, endings in _EXTENSIONS.items():
        if extension(first) not in endings:
            continue
        for row in rows:
            location = array[int(row)].as_py()
            if extension(location) not in endings:
                raise _wrong(
                    table, row, name, f"{location[:60]!r} is no {kind} file, but {first[:60]!r} in the first is",
                    f"Correct it, or declare the column: kinds = {{{name} = 'text'}}",
                )  # fmt: skip
        return kind
    return "text"


def _choice(table: Table, name: str) -> Values:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = table.columns[name]
    if not (pa.types.is_boolean(array.type) or pa.types.is_int64(array.type) or pa.types.is_float64(array.type)):
        raise DataError(
            f"{table.path}, column {name!r}: choices are whole numbers from 0; leave choices with names as texts"
        )
    values = np.asarray(pc.fill_null(array.cast(pa.float64(), safe=False), 0))
    wrong = np.flatnonzero((values < 0) | (values != np.floor(values)) | (values > 2**31))
    if len(wrong):
        remedy = f"Correct it, or declare the column: kinds = {{{name} = 'vector'}}"
        raise _wrong(table, wrong[0], name, f"{values[wrong[0]]:g} is no whole number from 0", remedy)
    return Values(Feature("choice"), _present(array), values.astype(np.int64))


def join(table: Table, name: str, parts: Sequence[str], units: Sequence[str] = ()) -> Column:
    """One vector of several columns of numbers; a sample is missing where any of them is.

    Raises:
        DataError: A column has no numbers.
    """
    return _vector(table, name, parts, units)


def _vector(table: Table, name: str, parts: Sequence[str], units: Sequence[str]) -> Values:
    pieces = [_numbers(table, part) for part in parts]
    values = np.concatenate([numbers for numbers, _ in pieces], 1)
    present = np.logical_and.reduce([there for _, there in pieces])
    size = values.shape[1]
    if units and len(units) != size:
        raise DataError(f"{table.path}, {name!r} has {size} values but {len(units)} units: give one for each")
    names = tuple(parts) if size == len(parts) else ()
    return Values(Feature("vector", (size,), names, tuple(units)), present, values)


def _numbers(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column as float32 `(rows, size)`, and which rows have it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array, present = table.columns[name], _present(table.columns[name])
    if not present.any():
        raise DataError(f"{table.path}, column {name!r} has no value in any row: leave it out")
    if pa.types.is_large_string(array.type):
        first = int(np.flatnonzero(present)[0])
        remedy = "Correct it, or leave the column a text"
        raise _wrong(table, first, name, f"{str(array[first].as_py())[:60]!r} is no number", remedy)
    if not pa.types.is_large_list(array.type):
        rounded = array.cast(pa.float64(), safe=False)  # whole numbers beyond 2^53
        flat, rows = np.asarray(pc.fill_null(rounded, np.nan)), np.arange(table.rows)
        size = 1
    else:
        rows = np.flatnonzero(present)
        lengths = np.asarray(pc.list_value_length(array.drop_null()))
        size = int(lengths[0])
        uneven = np.flatnonzero(lengths != size) if size else [0]
        if len(uneven):
            row, found = rows[uneven[0]], lengths[uneven[0]]
            expected = f"the first has {size}" if size else "at least one is needed"
            raise _wrong(table, row, name, f"a list of {found} numbers, but {expected}", "Make all equally long")
        flat = np.asarray(pc.fill_null(pc.list_flatten(array), np.nan))
    values = np.full((table.rows, size), np.nan, np.float32)
    with np.errstate(over="ignore"):
        values[rows] = flat.reshape(-1, size)
    infinite = np.flatnonzero(np.isinf(values).any(1))
    if len(infinite):
        raise _wrong(table, infinite[0], name, "a number beyond float32", "Leave it empty if it is not known")
    return values, np.asarray(np.isfinite(values).all(1))


def _require_texts(table: Table, name: str, kind: str) -> None:
    import pyarrow as pa

    if not pa.types.is_large_string(table.columns[name].type):
        raise DataError(f"{table.path}, column {name!r} has {table.columns[name].type}, which is no {kind}")


def _present(array: Any) -> np.ndarray:
    return np.asarray(array.is_valid())


def _wrong(table: Table, row: Any, name: str, got: str, remedy: str) -> DataError:
    return DataError(f"{table.path}, row {row + 1}, column {name!r}: {got}. {remedy}")
