"""Columns of the tables of a LeRobotDataset v3.0, of one episode at a time, from files that many episodes share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.libraries import library
from sensorimotor.pipelines.lerobot_format import Entry, Info, fill
from sensorimotor.pipelines.recent import Recent

KEPT_BYTES = 16 * 2**20
"""Larger columns than this are read again for every episode."""


class EpisodeRow(NamedTuple):
    """Where an episode lies.

    Attributes:
        number: Which one it is.
        steps: How many it has.
        data: Chunk and file of its table.
        videos: Feature → chunk and file of its video, and where in it the episode begins (s).
    """

    number: int
    steps: int
    data: dict[str, int]
    videos: dict[str, tuple[dict[str, int], float]]


class EpisodeTable:
    """Where all episodes lie: some 100 bytes each."""

    def __init__(self, columns: dict[str, np.ndarray], videos: Sequence[str]):
        self._columns, self._videos = columns, videos

    def __len__(self) -> int:
        return len(self._columns["length"])

    def row(self, index: int) -> EpisodeRow:
        """Where one of them lies."""

        def place(of: str) -> dict[str, int]:
            return {part: int(self._columns[f"{of}/{part}"][index]) for part in ("chunk_index", "file_index")}

        videos = {
            name: (place(f"videos/{name}"), float(self._columns[f"videos/{name}/from_timestamp"][index]))
            for name in self._videos
        }
        return EpisodeRow(index, int(self._columns["length"][index]), place("data"), videos)


def load_episodes(root: Path, info: Info, videos: Sequence[str]) -> EpisodeTable:
    """Read where the episodes of a data set lie.

    Raises:
        DataError: A file is missing or damaged, or episodes are.
    """
    pa = library("pyarrow", "pyarrow", "data", "reading LeRobot data sets")
    names = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    names += [f"videos/{key}/{part}" for key in videos for part in ("chunk_index", "file_index", "from_timestamp")]
    files = sorted(root.glob("meta/episodes/*/*.parquet"))
    if not files and info.total_episodes:
        raise DataError(f"{root}/meta/episodes: the list of episodes is missing; copy the data set again")
    tables = [_places(path, names) for path in files]
    table = pa.concat_tables(tables) if tables else pa.table({name: np.zeros(0, np.int64) for name in names})
    columns = {name: table[name].to_numpy()[: info.total_episodes] for name in names}
    numbers = columns["episode_index"]
    wrong = next((i for i, number in enumerate(numbers) if number != i), len(numbers))
    if wrong < info.total_episodes:
        raise DataError(
            f"{root}/meta/episodes: expected episodes 0 to {info.total_episodes - 1} in order, found "
            f"{numbers[wrong] if wrong < len(numbers) else 'nothing'} where {wrong} belongs; copy the data set again"
        )
    return EpisodeTable(columns, videos)


def _places(path: Path, names: list[str]) -> Any:
    """A part of the list of episodes: whole numbers, and times (s)."""
    pa = library("pyarrow", "pyarrow", "data", "reading LeRobot data sets")
    table = _read(path, names)
    columns = {}
    for name in names:
        column, timed = table[name], name.endswith("from_timestamp")
        numbers = np.array([np.nan])
        with suppress(pa.ArrowInvalid):  # a fraction, or beyond 64 bits
            if (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)) and not column.null_count:
                numbers = column.cast(pa.float64() if timed else pa.int64()).to_numpy()
        if not np.isfinite(numbers).all() or (not timed and (numbers < 0).any()):
            what = "a time (s)" if timed else "a whole number from 0"
            raise DataError(f"{path}: expected {what} in {name}, in every row; copy the data set again")
        columns[name] = numbers
    return pa.table(columns)


class Columns:
    """The table of a data set, read by column and by episode, with the columns that were used last at hand."""

    def __init__(self, root: Path, info: Info):
        self._root, self._info = root, info
        self._footers: Recent[Any] = Recent(64)
        self._shared: Recent[Any] = Recent(32)
        self._pictures: Recent[Any] = Recent(2)

    def file(self, row: EpisodeRow) -> Path:
        """The file that has an episode's table in it, among others."""
        return self._root / fill(self._info.data_path, **row.data)

    def values(self, row: EpisodeRow, name: str) -> Any:
        """A column of an episode: numbers `(steps, size)`, or a list of strings.

        Raises:
            DataError: The file is missing or damaged, or the column is not what `meta/info.json` says.
        """
        entry = self._info.features.get(name)
        column = self._column(row, name)
        if entry is not None and entry.dtype == "string":
            return column.to_pylist()
        return self._numbers(row, name, entry, column)

    def pictures(self, row: EpisodeRow, name: str) -> Any:
        """The encoded pictures of an episode, an Arrow array of bytes.

        Raises:
            DataError: The file is missing or damaged, or the column has no pictures in it.
        """
        return self._pictures.get((row.number, name), lambda: self._encoded(row, name))

    def _encoded(self, row: EpisodeRow, name: str) -> Any:
        pa = library("pyarrow", "pyarrow", "data", "reading LeRobot data sets")
        pc = library("pyarrow.compute", "pyarrow", "data", "reading LeRobot data sets")
        column = self._column(row, name)
        if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = pc.struct_field(column, "bytes")
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            raise DataError(f"{self.file(row)}: expected pictures in {name}, found {column.type}; copy the set again")
        return column.take(np.arange(row.steps))  # a copy: else the pictures of all its neighbours stay in memory

    def _numbers(self, row: EpisodeRow, name: str, entry: Entry | None, column: Any) -> np.ndarray:
        pa = library("pyarrow", "pyarrow", "data", "reading LeRobot data sets")
        pc = library("pyarrow.compute", "pyarrow", "data", "reading LeRobot data sets")
        shape = entry.shape if entry is not None else (1,)
        valid = column.is_valid().to_numpy().astype(bool)
        column = column.filter(valid) if column.null_count else column
        if isinstance(column.type, pa.BaseExtensionType):  # how the datasets library keeps arrays of several axes
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        for width in shape:
            if not _is_list(column.type):
                break
            widths = pc.list_value_length(column).to_numpy()
            if (widths != width).any():
                step = int(np.flatnonzero(widths != width)[0]) // max(len(widths) // max(int(valid.sum()), 1), 1)
                raise DataError(
                    f"{self.file(row)}: episode {row.number}, row {np.flatnonzero(valid)[step]}: expected {name} of "
                    f"{width} values, as meta/info.json says, found {widths[widths != width][0]}; "
                    "leave this episode out, or correct one of them"
                )
            column = pc.list_flatten(column)
        if not (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
        ):
            raise DataError(f"{self.file(row)}: expected numbers in {name}, found {column.type}; copy the set again")
        size = int(np.prod(shape))
        flat = column.to_numpy()
        if len(flat) != valid.sum() * size:
            raise DataError(
                f"{self.file(row)}: episode {row.number}: expected {name} of {size} values, as meta/info.json says, "
                f"found {len(flat) // max(int(valid.sum()), 1)}; leave this episode out, or correct one of them"
            )
        if valid.all():
            return flat.reshape(-1, size)
        values = np.full((row.steps, size), np.nan)
        values[valid] = flat.reshape(-1, size)
        return values

    def _column(self, row: EpisodeRow, name: str) -> Any:
        """The rows of an episode in one column, an Arrow array in chunks."""
        path = self.file(row)
        footer = self._footers.get(path, lambda: _footer(path))
        groups = tuple(_groups(footer, row.number))
        numbers = self._of_groups(path, footer, groups, "episode_index").to_numpy()
        rows = np.flatnonzero(numbers == row.number)
        if len(rows) != row.steps or (len(rows) and rows[-1] - rows[0] != len(rows) - 1):
            raise DataError(
                f"{path}: expected {row.steps} rows of episode {row.number}, found {len(rows)}; "
                "the file was cut short or belongs to another data set: copy it again"
            )
        return self._of_groups(path, footer, groups, name).slice(int(rows[0]) if len(rows) else 0, row.steps)

    def _of_groups(self, path: Path, footer: Any, groups: tuple[int, ...], name: str) -> Any:
        """A column of some row groups of a file."""
        if name not in footer.schema.to_arrow_schema().names:
            raise DataError(f"{path}: the column {name} is missing, of which meta/info.json speaks; copy the set again")

        def read() -> Any:
            return _read(path, [name], footer, groups)[name]

        if _bytes(footer, groups, name) > KEPT_BYTES:
            return read()
        return self._shared.get((path, groups, name), read)


def _is_list(kind: Any) -> bool:
    pa = library("pyarrow", "pyarrow", "data", "reading LeRobot data sets")
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _index_of(footer: Any, name: str) -> int | None:
    paths = (footer.schema.column(number).path for number in range(footer.num_columns))
    return next((number for number, path in enumerate(paths) if path == name), None)


def _groups(footer: Any, episode: int) -> Iterator[int]:
    """The row groups of a file that may have rows of an episode in them."""
    column = _index_of(footer, "episode_index")
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(column).statistics if column is not None else None
        if statistics is None or not statistics.has_min_max or statistics.min <= episode <= statistics.max:
            yield group


def _bytes(footer: Any, groups: Sequence[int], name: str) -> int:
    """How much memory a column of some row groups takes."""
    columns = [
        number
        for number in range(footer.num_columns)
        if footer.schema.column(number).path == name or footer.schema.column(number).path.startswith(f"{name}.")
    ]
    return sum(footer.row_group(group).column(column).total_uncompressed_size for group in groups for column in columns)


def _footer(path: Path) -> Any:
    pq = library("pyarrow.parquet", "pyarrow", "data", "reading LeRobot data sets")
    with _explained(path):
        return pq.read_metadata(path)


def _read(path: Path, names: list[str], footer: Any = None, groups: Sequence[int] | None = None) -> Any:
    """Some columns of a file, or of some of its row groups, as an Arrow table."""
    pq = library("pyarrow.parquet", "pyarrow", "data", "reading LeRobot data sets")
    with _explained(path), pq.ParquetFile(path, metadata=footer) as file:
        table = file.read(names) if groups is None else file.read_row_groups(groups, names)
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: the column {missing[0]} is missing; copy the data set again")
    return table


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What pyarrow says of a file that is not there or damaged, with what to do about it."""
    pa = library("pyarrow", "pyarrow", "data", "reading LeRobot data sets")
    if not path.is_file():
        raise DataError(f"{path}: this table is missing; copy the data set again")
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{path} is damaged or cut short ({reason}); copy it again") from error
