"""Opening the data that a recipe names."""

from pathlib import Path

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.pipelines.episode_recipe import ManifestData, RecordedData
from sensorimotor.pipelines.episodes import Source

TABLES = (".parquet", ".csv", ".jsonl", ".ndjson")


def open_source(data: RecordedData | ManifestData, path: str | None = None) -> Source:
    """The data of a recipe; `path` in place of its own.

    Raises:
        DataError: There is no such data, or they are damaged.
    """
    where = Path(path or data.path).expanduser()
    if isinstance(data, RecordedData):
        from sensorimotor.pipelines.lerobot import LeRobotSource

        return LeRobotSource(where)
    from sensorimotor.pipelines.manifest import ManifestSource

    return ManifestSource(where, kinds=data.kinds, vectors=data.vectors, rate_hz=data.rate_hz)


def source_at(path: Path) -> Source:
    """The data at a path, whatever they are: a directory is a recording, a file is a manifest.

    Raises:
        DataError: There are none.
    """
    if path.suffix.lower() in TABLES:
        return open_source(ManifestData(kind="manifest", path=str(path)))
    if path.is_dir():
        return open_source(RecordedData(kind="lerobot", path=str(path)))
    raise DataError(f"{path} is no data: name a recording's directory, or a manifest ({', '.join(TABLES)})")


def split(count: int, held_out: float, seed: int) -> tuple[list[int], list[int]]:
    """Which of `count` episodes are learnt from, and which are held out, drawn by `seed`.

    Raises:
        DataError: There are not two.

    >>> [len(part) for part in split(10, 0.2, seed=0)]
    [8, 2]
    """
    if count < 2:
        raise DataError(f"{count} episodes are too few: one to learn from and one to be judged on are needed")
    away = min(count - 1, max(1, round(held_out * count)))
    order = np.random.default_rng([seed, 7]).permutation(count)
    return sorted(int(i) for i in order[away:]), sorted(int(i) for i in order[:away])
