"""A manifest: a table with one row a sample or a time step, whose cells are values or the paths of media.

A column is an input or an action, under its own name. What its samples are is seen from its cells: paths that end like
pictures, sounds or videos are those; numbers and lists of numbers are vectors; small whole numbers and booleans are
choices; anything else is text. Cells that are empty, null or NaN are missing samples.

With a column `episode`, the rows of one value are the steps of one episode, in order of a column `time` (s) or at a
stated rate. Without it every row is an episode of one step, which a column `id` may name, and a column `time` is a
number like any other.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError, UsageError
from sensorimotor.files import sha256
from sensorimotor.pipelines.episodes import Feature, SoundTrack, Track
from sensorimotor.pipelines.manifest_columns import KINDS, Column, Kind, Media, join, make_column
from sensorimotor.pipelines.media import is_url
from sensorimotor.pipelines.table import Table, missing_column, read_table

EPISODE, TIME, ID = "episode", "time", "id"
LATEST_S = 1e11
"""Three thousand years: times beyond it are no seconds."""


class ManifestSource:
    """The episodes of a manifest. The table is in memory, its media are read when they are asked for.

    Args:
        path: A Parquet, CSV or JSON Lines file. Paths of media start from its folder; they may also be URLs of
            `fsspec` (with `simplecache::` before them they are downloaded once).
        columns: The features to read; None: all.
        kinds: Column → what its samples are, where the cells do not say it: a whole number that is a text or a
            measurement, a video of which only the sound is wanted.
        vectors: Feature → the columns of numbers that make one vector of it.
        units: Vector → the units of its values.
        channels: Column of sounds → 1 to mix all channels, or more to repeat a single one; without it all sounds must
            have as many as the first.
        rate_hz: Steps a second of an episode; None: the median of `time`.
        clip_frames: A video is this many pictures, spread evenly over it, all at the time of its row.
        any_shape: Columns of media of which no two need to be alike: a 0 in the shape of their feature says so, and
            nothing of them is decoded beforehand. These may also be without any value.

    Raises:
        DataError: The table is missing, damaged or empty, a column is missing, its values are not of one kind, or the
            steps of an episode are not in order of time; the message names file, row and remedy.
        UsageError: Arguments that do not go together.
        MissingExtraError: A library is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        columns: Sequence[str] | None = None,
        kinds: Mapping[str, Kind] | None = None,
        vectors: Mapping[str, Sequence[str]] | None = None,
        units: Mapping[str, Sequence[str]] | None = None,
        channels: Mapping[str, int] | None = None,
        rate_hz: float | None = None,
        clip_frames: int = 8,
        any_shape: Collection[str] = (),
    ):
        if rate_hz is not None and not 0 < rate_hz < float("inf"):
            raise UsageError(f"rate_hz is the number of steps a second, not {rate_hz}")
        if clip_frames < 1:
            raise UsageError(f"clip_frames is at least 1, not {clip_frames}")
        self.path = Path(path)
        kinds, vectors = kinds or {}, vectors or {}
        self._options = json.dumps([columns, kinds, vectors, units, channels, rate_hz, clip_frames], default=list)
        for name, kind in kinds.items():
            if kind not in KINDS:
                raise UsageError(f"column {name!r}: no kind is called {kind!r}; there are {', '.join(KINDS)}")
        self._table = table = _read(self.path, columns, kinds, vectors)
        self._starts, self._rows, self._times_s = _steps(table, rate_hz)
        self.rate_hz = rate_hz or _median_rate(self._times_s, self._starts)
        self._columns: dict[str, Column] = {}
        for name in columns or _names(table, vectors):
            if name in vectors:
                made = join(table, name, vectors[name], (units or {}).get(name, ()))
            else:
                made = make_column(
                    table,
                    name,
                    kinds.get(name),
                    (units or {}).get(name, ()),
                    (channels or {}).get(name),
                    clip_frames,
                    name in any_shape,
                )
            self._columns[name] = made
        self.features: Mapping[str, Feature] = {name: self._at_rate(column) for name, column in self._columns.items()}

    def _at_rate(self, column: Column) -> Feature:
        single = column.feature.kind == "audio" or column.per_row > 1
        return column.feature if single else replace(column.feature, rate_hz=self.rate_hz)

    def __len__(self) -> int:
        """How many episodes there are."""
        return len(self._starts) - 1

    def episode(self, index: int) -> "ManifestEpisode":
        """One of them."""
        steps = slice(self._starts[index], self._starts[index + 1])
        named = f"episode {self._name(index)}" if EPISODE in self._table.columns else self._name(index)
        return ManifestEpisode(f"{named} of {self.path.name}", self._times_s[steps], self._rows[steps], self)

    def _name(self, index: int) -> str:
        row = int(self._rows[self._starts[index]])
        return str(self._table.columns[EPISODE][row]) if EPISODE in self._table.columns else f"row {row + 1}"

    @property
    def episode_names(self) -> list[str]:
        """What each episode is called: its value of `episode`, or its row."""
        return [self._name(index) for index in range(len(self))]

    def ids(self) -> list[str]:
        """What identifies each episode: its value of `episode`, or in a table without it that of `id`, or its row.

        Raises:
            DataError: Two rows have the same `id`, or one has none.
        """
        columns = self._table.columns
        if EPISODE in columns:
            return list(map(str, columns[EPISODE].take(self._rows[self._starts[:-1]]).to_pylist()))
        if ID not in columns:
            return [f"row {row}" for row in range(1, len(self) + 1)]
        first: dict[Any, int] = {}
        for row, name in enumerate(columns[ID].to_pylist(), 1):
            if isinstance(name, list | dict):
                raise DataError(f"{self.path}, row {row}: {ID!r} is no text but a {type(name).__name__}. Name the row")
            if name is None:
                raise DataError(f"{self.path}, row {row}: {ID!r} is empty. Name the row, or leave the column out")
            if name in first:
                raise DataError(
                    f"{self.path}, row {row}: {ID!r} is {name!r}, as in row {first[name]}: give each an id of its own"
                )
            first[name] = row
        return list(map(str, first))

    def column(self, name: str) -> Column:
        """The samples of a feature in all rows.

        Raises:
            DataError: There is no such feature; the message has the nearest.
        """
        if name not in self._columns:
            raise missing_column(self.path, name, list(self._columns))
        return self._columns[name]

    @cached_property
    def fingerprint(self) -> str:
        """Of the table, of how it is read, and of the size and time of change of every local file that it names."""
        digest = hashlib.sha256(f"{sha256(self.path)} {self._options}".encode())
        folder = self.path.absolute().parent
        for name, column in self._columns.items():
            if isinstance(column, Media):
                for location in column.locations.drop_null().unique().to_pylist():
                    digest.update(f"{name} {location} {_state(folder, location)}\n".encode())
        return digest.hexdigest()


@dataclass(eq=False)
class ManifestEpisode:
    """An episode of a manifest; `rows` are those of its steps, counted from 0."""

    name: str
    times_s: np.ndarray
    rows: np.ndarray
    source: ManifestSource

    def track(self, feature: str, sample_rate: int | None = None) -> Track:
        """The samples of a feature, each at the time of its row.

        Raises:
            DataError: There is no such feature.
        """
        column = self.source.column(feature)
        present = column.present[self.rows]
        times_s = np.repeat(self.times_s[present], column.per_row)
        return ManifestTrack(times_s, self.rows[present], column, sample_rate)

    def sound(self, feature: str, sample_rate: int) -> SoundTrack:
        """Never there: the sounds of a manifest are clips.

        Raises:
            UsageError: Always.
        """
        self.source.column(feature)
        raise UsageError(f"{feature!r} in {self.source.path} is no stream of sound: its samples are read by track()")


@dataclass(eq=False)
class ManifestTrack:
    """The samples of a feature in one episode."""

    times_s: np.ndarray
    rows: np.ndarray
    column: Column
    sample_rate: int | None

    def read(self, samples: Sequence[int]) -> list[Any]:
        """Samples by number.

        Raises:
            DataError: A file is missing, damaged or not like the first of its column.
        """
        places = [divmod(int(sample), self.column.per_row) for sample in samples]
        return self.column.read(
            [int(self.rows[at]) for at, _ in places], [part for _, part in places], self.sample_rate
        )


def _read(
    path: Path, columns: Sequence[str] | None, kinds: Mapping[str, Kind], vectors: Mapping[str, Sequence[str]]
) -> Table:
    """The columns of the table that are needed."""
    wanted = None
    if columns is not None:
        wanted = [part for name in columns for part in vectors.get(name, (name,))]
    texts = [name for name, kind in kinds.items() if kind not in ("vector", "choice")]
    table = read_table(path, wanted, (EPISODE, TIME, ID), texts)
    known = list(table.columns)
    for name in (*kinds, *(part for parts in vectors.values() for part in parts)):
        if columns is None and name not in known:
            raise missing_column(path, name, known)
    for name, parts in vectors.items():
        if name in known or not parts:
            raise UsageError(f"the vector {name!r} needs columns, and a name that {path} does not have itself")
    return table


def _names(table: Table, vectors: Mapping[str, Sequence[str]]) -> list[str]:
    """All features: the columns that are no clock and no part of a vector, and the vectors."""
    used = {part for parts in vectors.values() for part in parts}
    clock = {EPISODE, TIME} if EPISODE in table.columns else set()
    return [name for name in table.columns if name not in used | clock] + list(vectors)


def _steps(table: Table, rate_hz: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each episode starts among the steps (and the end), the row of each step, and its time (s)."""
    import pyarrow as pa

    if EPISODE not in table.columns:
        if rate_hz is not None:
            raise UsageError(
                f"{table.path} has no column {EPISODE!r}, so its rows have no rate: leave out rate_hz, or add it"
            )
        return np.arange(table.rows + 1), np.arange(table.rows), np.zeros(table.rows)
    episodes = table.columns[EPISODE]
    if episodes.null_count:
        row = int(np.flatnonzero(~np.asarray(episodes.is_valid()))[0]) + 1
        raise DataError(f"{table.path}, row {row}: {EPISODE!r} is empty. Say which episode the row belongs to")
    if pa.types.is_large_list(episodes.type):
        raise DataError(f"{table.path}: {EPISODE!r} is a list in each row; expected a name or a number")
    codes = np.asarray(episodes.dictionary_encode().indices)  # in order of their first rows
    rows = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    if TIME not in table.columns:
        if rate_hz is None:
            raise DataError(
                f"{table.path} has {EPISODE!r} but no {TIME!r}: add the second of each step, or give rate_hz"
            )
        return starts, rows, (np.arange(table.rows) - np.repeat(starts[:-1], np.diff(starts))) / rate_hz
    return starts, rows, _clock(table, rows, codes)


def _clock(table: Table, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The time of each step, rising in each episode."""
    import pyarrow as pa

    column = table.columns[TIME]
    if not (pa.types.is_int64(column.type) or pa.types.is_float64(column.type)):
        raise DataError(f"{table.path}: {TIME!r} must be seconds, and is {column.type}: convert it")
    times_s = np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan))
    missing = np.flatnonzero(~np.isfinite(times_s))
    if len(missing):
        raise DataError(f"{table.path}, row {missing[0] + 1}: {TIME!r} is no number. Say when the step was, in seconds")
    far = np.flatnonzero(np.abs(times_s) > LATEST_S)
    if len(far):
        raise DataError(
            f"{table.path}, row {far[0] + 1}: {TIME!r} must be seconds, and {times_s[far[0]]:g} looks like "
            "milliseconds or nanoseconds since 1970: divide all by 1e3 or 1e9"
        )
    ordered, same = times_s[rows], codes[rows][1:] == codes[rows][:-1]
    falling = np.flatnonzero(same & (np.diff(ordered) <= 0))
    if len(falling):
        before, row = rows[falling[0]], rows[falling[0] + 1]
        raise DataError(
            f"{table.path}, row {row + 1}: time {times_s[row]:g} s follows {times_s[before]:g} s (row {before + 1}) of "
            f"the same episode. Sort the rows by {EPISODE} and {TIME}, and keep one of each time"
        )
    return ordered


def _median_rate(times_s: np.ndarray, starts: np.ndarray) -> float | None:
    """Steps a second; None: no episode has a second step."""
    within = np.ones(len(times_s), bool)
    within[starts[:-1]] = False
    steps = np.diff(times_s, prepend=0.0)[within]
    return float(f"{1 / np.median(steps):.6g}") if len(steps) else None


def _state(folder: Path, location: str) -> str:
    """Size and time of change of a local file; a URL is not asked."""
    if is_url(location):
        return "remote"
    try:
        found = (folder / location).stat()
    except (OSError, ValueError):  # it is missed when it is read
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"
