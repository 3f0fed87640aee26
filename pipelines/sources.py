"""Opening the data that a recipe names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensorimotor.errors import DataError, RecipeError
from sensorimotor.files import expanded
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe, ManifestData, RecordedData
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.table import TABLES


@dataclass(frozen=True)
class Parts:
    """The episodes that a recipe learns from, and those that it is judged on.

    Attributes:
        shown: Where those are that are learnt from ...
        learnt: ... and their numbers.
        other: Where those are that are held out, often the same data ...
        held_out: ... and their numbers.
    """

    shown: Source
    learnt: list[int]
    other: Source
    held_out: list[int]


def open_parts(recipe: EpisodeRecipe) -> Parts:
    """The data of a recipe in both parts.

    Raises:
        DataError: There are no such data, they are damaged, or there are not two episodes.
        RecipeError: What is held out is what is learnt from.
    """
    data = recipe.data
    shown = open_source(data)
    if data.held_out_path:
        if expanded(data.path).resolve() == expanded(data.held_out_path).resolve():
            raise RecipeError(
                f"data.held_out_path = {data.held_out_path!r} is what is learnt from: leave it out, and a part of the "
                "episodes is held out"
            )
        other = open_source(data, data.held_out_path)
        return Parts(shown, list(range(len(shown))), other, list(range(len(other))))
    learnt, held_out = split(len(shown), data.held_out, recipe.seed)
    return Parts(shown, learnt, shown, held_out)


def open_source(data: RecordedData | ManifestData, path: str | None = None) -> Source:
    """The data of a recipe; `path` in place of its own.

    Raises:
        DataError: There is no such data, or they are damaged.
    """
    where = expanded(path or data.path)
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
