"""The tables of a LeRobotDataset v3.0: the steps and the row of one episode, the tasks, the statistics of all."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.files import write_atomically
from sensorimotor.libraries import library
from sensorimotor.pipelines.lerobot_format import STATS, TASKS
from sensorimotor.pipelines.lerobot_stats import STATISTICS, Stats, merged_all


def _arrow() -> tuple[Any, Any]:
    purpose = "reading and writing tables"
    return library("pyarrow", "pyarrow", "data", purpose), library("pyarrow.parquet", "pyarrow", "data", purpose)


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns, by name, as a Parquet file."""
    pa, pq = _arrow()
    pq.write_table(pa.table(dict(columns)), path)


def episode_row(
    episode: int,
    task: str,
    first: int,
    times: tuple[int, int],
    place: Mapping[str, int],
    videos: Iterable[str],
    stats: Mapping[str, Stats],
) -> dict[str, list[Any]]:
    """The one row of `meta/episodes` of an episode that has all its files to itself.

    Args:
        episode: Its number.
        task: What it is about.
        first: How many steps there are before it.
        times: How many steps it has, and how many there are a second.
        place: Where its files lie.
        videos: The features that are videos.
        stats: Of every feature that has any.
    """
    steps, rate_hz = times
    chunk, number = place["chunk_index"], place["file_index"]
    row: dict[str, Any] = {
        "episode_index": episode,
        "tasks": [task],
        "length": steps,
        "data/chunk_index": chunk,
        "data/file_index": number,
        "dataset_from_index": first,
        "dataset_to_index": first + steps,
    }
    for name in videos:
        row |= {f"videos/{name}/chunk_index": chunk, f"videos/{name}/file_index": number}
        row |= {f"videos/{name}/from_timestamp": 0.0, f"videos/{name}/to_timestamp": steps / rate_hz}
    for name, one in stats.items():
        row |= {f"stats/{name}/{key}": value.tolist() for key, value in one.items()}
    row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": number}
    return {key: [value] for key, value in row.items()}


def load_tasks(root: Path) -> dict[str, int]:
    """The tasks of a data set, each with its number.

    Raises:
        DataError: There are none, or the file is damaged.
    """
    pa, pq = _arrow()
    path = root / TASKS
    if not path.is_file():
        raise DataError(f"{path}: the tasks are missing; copy the data set again")
    try:
        table = pq.read_table(path)
        names = [name for name in table.column_names if name != "task_index"]
        tasks, numbers = table[names[0]].to_pylist(), table["task_index"].to_pylist()
    except (pa.ArrowException, OSError, KeyError, IndexError) as error:
        raise DataError(f"{path} is damaged ({error}); copy the data set again") from error
    for row, (task, number) in enumerate(zip(tasks, numbers, strict=True)):
        if not isinstance(task, str) or not isinstance(number, int):
            raise DataError(
                f"{path}, row {row}: expected the text and the number of a task, found {str(task)[:60]!r} and "
                f"{str(number)[:60]!r}; correct it, or copy the data set again"
            )
    return dict(zip(tasks, numbers, strict=True))


def write_tasks(root: Path, tasks: Mapping[str, int]) -> None:
    """Write the tasks of a data set.

    Raises:
        OutputPathError: The disk is full or the like.
    """
    if not tasks:
        (root / TASKS).unlink(missing_ok=True)
        return
    pa, pq = _arrow()
    # LeRobot reads them by pandas, and looks for the tasks in the index of the frame.
    kinds = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
            for name, (kind, numpy) in kinds.items()
        ],
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": list(tasks.values()), "task": list(tasks)})
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), sink)
    write_atomically(root / TASKS, sink.getvalue().to_pybytes())


def load_stats(root: Path, frames: int, features: Mapping[str, Any]) -> dict[str, Stats] | None:
    """The statistics of all episodes; None: they are missing, not of so many frames, or not of these features.

    Args:
        root: The data set.
        frames: How many it has.
        features: What `meta/info.json` says of each.
    """
    try:
        content = json.loads((root / STATS).read_bytes())
        stats: dict[str, Stats] = {}
        for name, values in content.items():
            stats[name] = one = {key: np.array(value, np.float64) for key, value in values.items()}
            entry = features[name]
            shape = (entry["shape"][2], 1, 1) if entry["dtype"] == "video" else (math.prod(entry["shape"]),)
            if one["count"].shape != (1,) or any(one[key].shape != shape for key in STATISTICS):
                return None
            one["count"] = one["count"].astype(np.int64)
        return stats if stats["frame_index"]["count"].tolist() == [frames] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it is made again
        return None


def gather_stats(root: Path) -> dict[str, Stats]:
    """The statistics of all episodes, from those of each.

    Raises:
        DataError: A file is damaged.
    """
    pa, pq = _arrow()
    every: dict[str, list[Stats]] = {}
    for path in sorted(root.glob("meta/episodes/*/file-*.parquet")):
        try:
            for row in pq.read_table(path).to_pylist():
                parts: dict[str, Stats] = {}
                for key in (key for key in row if key.startswith("stats/")):
                    _, name, statistic = key.split("/")
                    parts.setdefault(name, {})[statistic] = np.array(row[key])
                for name, part in parts.items():
                    every.setdefault(name, []).append(part)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path} is damaged ({error}); copy the data set again") from error
    try:
        return merged_all(every)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{root}/meta/episodes: the statistics of episodes do not go together ({error!r})") from error


def write_stats(root: Path, stats: Mapping[str, Stats]) -> None:
    """Write the statistics of all episodes.

    Raises:
        OutputPathError: The disk is full or the like.
    """
    content = {name: {key: value.tolist() for key, value in one.items()} for name, one in stats.items()}
    write_atomically(root / STATS, json.dumps(content, indent=4))
