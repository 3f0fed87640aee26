"""The directory that decisions are kept in, shard by shard, each in whole or not at all.

A shard is written aside, takes its name when all of it is on the disk, and counts from when the journal has its line.
Whoever is killed loses the shard that was being written, and no more; a run that is continued does it again.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sensorimotor.errors import OutputPathError, UsageError
from sensorimotor.files import holding, replacing, require_writable, sha256, write_atomically
from sensorimotor.pipelines.batch_rows import arrow, in_groups
from sensorimotor.pipelines.batch_tally import BatchTally

MANIFEST, REPORT, QUARANTINE, JOURNAL = "manifest.json", "report.json", "quarantine.parquet", ".journal.jsonl"
FORMAT = 1


class Shard(NamedTuple):
    """The episodes from `first` up to `stop`, whose decisions are in one file."""

    number: int
    first: int
    stop: int

    @property
    def file(self) -> str:
        """The name of that file."""
        return f"part-{self.number:05d}.parquet"


@dataclass(frozen=True)
class Kept:
    """A shard that counts.

    Attributes:
        file: Its name in the directory.
        episodes: From which to which.
        bytes: Its size.
        sha256: Of its content.
        tally: What there is to say of it.
    """

    file: str
    episodes: tuple[int, int]
    bytes: int
    sha256: str
    tally: BatchTally


class BatchStore:
    """The directory, while nobody else writes to it; made by `open_store`.

    Attributes:
        path: The directory.
        kept: Number → shard that counts.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]):
        self.path, self._manifest = path, dict(manifest)
        self.kept = {number: one for number, one in _journal(path) if self._is_there(one)}

    def _is_there(self, kept: Kept) -> bool:
        """Whether the file is the one that was written; all of it is read, for others may be of the same size."""
        file = self.path / kept.file
        try:
            return file.stat().st_size == kept.bytes and sha256(file) == kept.sha256
        except OSError:
            return False

    def keep(self, shard: Shard, schema: Any, decided: Iterable[Any], tally: Callable[[], BatchTally]) -> Kept:
        """Write a shard; it counts when this returns.

        Args:
            shard: Which.
            schema: Of its rows.
            decided: Its rows in order, some `pyarrow.RecordBatch` at a time.
            tally: What there is to say of it, once the rows are used up.

        Raises:
            OutputPathError: The disk is full, or the directory is gone.
        """
        with replacing(self.path / shard.file) as aside:
            _write(aside, schema, decided)
        with _explained(self.path / shard.file):
            _sync(self.path)
            file = self.path / shard.file
            kept = Kept(shard.file, (shard.first, shard.stop), file.stat().st_size, sha256(file), tally())
            line = {"shard": shard.number, **vars(kept), "tally": kept.tally.to_json()}
            _append(self.path / JOURNAL, json.dumps(line).encode() + b"\n")
        self.kept[shard.number] = kept
        return kept

    def tally(self) -> BatchTally:
        """Of all shards that count."""
        return BatchTally.sum(self.kept[number].tally for number in sorted(self.kept))

    def finish(self, report: Mapping[str, Any]) -> None:
        """Write what was quarantined, the report, and a manifest that lists the shards.

        Raises:
            OutputPathError: The disk is full, or the directory is gone.
        """
        pa = arrow()
        names = ("id", "step", "stage", "error", "message")
        columns = list(zip(*self.tally().quarantine, strict=True)) or [()] * len(names)
        kinds = [pa.int64() if name == "step" else pa.string() for name in names]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
        schema = pa.schema(list(zip(names, kinds, strict=True)))
        with replacing(self.path / QUARANTINE) as aside:
            _write(aside, schema, [pa.RecordBatch.from_arrays(arrays, schema=schema)])
        shards = [
            {
                "file": kept.file,
                "episodes": list(kept.episodes),
                "rows": kept.tally.rows,
                "bytes": kept.bytes,
                "sha256": kept.sha256,
            }
            for _, kept in sorted(self.kept.items())
        ]
        write_atomically(self.path / REPORT, _json(report))
        write_atomically(self.path / MANIFEST, _json({**self._manifest, "finished": True, "shards": shards}))


@contextmanager
def open_store(
    path: Path, key: Mapping[str, Any], about: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
) -> Iterator[BatchStore]:
    """Have a directory for the decisions of a run, alone.

    Args:
        path: New or empty, or one with the results of a run.
        key: All that the decisions depend on, in plain JSON types.
        about: What else the manifest says of the run.
        resume: Continue what is there, if there is something.
        overwrite: Remove what is there.

    Raises:
        UsageError: There are results, and neither is asked for; or they depend on something else.
        OutputPathError: It cannot be written to, holds something else, or another process has it.
    """
    if resume and overwrite:
        raise UsageError("--resume continues what is there and --overwrite removes it: leave one of them out")
    require_writable(path)
    manifest = {"format": FORMAT, "kind": "decisions", "key": dict(key), **about, "finished": False}
    with holding(path):
        before = _manifest(path)
        if before is None:
            _require_empty(path)
        elif resume:
            _require_same(path, before, manifest)
        elif not overwrite:
            raise UsageError(
                f"{path} has results already: --resume continues the same run, --overwrite removes them; or choose "
                "another directory"
            )
        _sweep(path, all_of_it=before is not None and overwrite)
        write_atomically(path / MANIFEST, _json(manifest))
        yield BatchStore(path, manifest)


def _manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of the results that are there; None: there are none."""
    try:
        found = json.loads((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise OutputPathError(f"{path / MANIFEST} cannot be read: {error}; choose another directory") from error
    if not isinstance(found, dict) or found.get("kind") != "decisions" or not isinstance(found.get("key"), dict):
        raise OutputPathError(f"{path / MANIFEST} is that of something else; choose another directory")
    return found


def _require_empty(path: Path) -> None:
    strange = sorted(file.name for file in path.iterdir() if not _is_aside(file))
    if strange:
        raise OutputPathError(f"{path} has something else in it ({strange[0]}); choose another directory")


def _require_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if before.get("format") != now["format"]:
        raise UsageError(
            f"{path} cannot be continued: it has format {before.get('format')}, this version writes {now['format']}"
        )
    for what, value in now["key"].items():
        if before["key"].get(what) != value:
            raise UsageError(
                f"{path} cannot be continued: {what} was {_short(before['key'].get(what))}, and is "
                f"{_short(value)} now. Run it as before, choose another directory, or begin anew with --overwrite"
            )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _sweep(path: Path, all_of_it: bool) -> None:
    """Remove what was half written; or every file of the results, the manifest last, which says that they are ours."""
    with _explained(path):
        for file in path.iterdir():
            if _is_aside(file) or (all_of_it and file.match("part-*.parquet")):
                file.unlink(missing_ok=True)
        if all_of_it:
            for name in (JOURNAL, QUARANTINE, REPORT, MANIFEST):
                (path / name).unlink(missing_ok=True)


def _is_aside(file: Path) -> bool:
    return file.name.startswith(".") and file.name.endswith(".part")


def _journal(path: Path) -> Iterator[tuple[int, Kept]]:
    """The lines of the journal; the last one may have been cut off, and does not count."""
    file = path / JOURNAL
    if not file.exists():
        return
    with _explained(file):
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(file, len(whole))
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            form = json.loads(line)
            tally = BatchTally.from_json(form["tally"])
            kept = Kept(form["file"], tuple(form["episodes"]), form["bytes"], form["sha256"], tally)
            shard = Shard(form["shard"], *kept.episodes)
            if shard.file != kept.file:
                raise ValueError(f"{kept.file} is not the file of shard {shard.number}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OutputPathError(f"{file}, line {number} is damaged: begin anew with --overwrite") from error
        yield shard.number, kept


def _write(file: Path, schema: Any, batches: Iterable[Any]) -> None:
    """A Parquet file of rows that come a few at a time, in groups that are worth reading at once."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for table in in_groups(batches, schema):
            writer.write_table(table)


def _append(file: Path, line: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.write(handle, line) < len(line):
            raise OSError("the disk is full")
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(directory: Path) -> None:
    """Have the names in a directory on the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputPathError(f"cannot write {target}: {error.strerror or error}") from error
