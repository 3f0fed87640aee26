"""Demonstrations by the BabyAI expert: made in parallel, guarded against its hangs, cached shard by shard.

A frame is stored as the 7 x 7 x 3 symbols it was rendered from; `FrameTable` gives back exactly the pixels that the
camera of `BabyAIWorld` saw. Policies are only ever shown the pixels.
"""

import hashlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import UsageError
from sensorimotor.files import replacing
from sensorimotor.pipelines.babyai import (
    EVALUATION_SEED,
    VIEW_TILES,
    make_level,
    quietly,
)
from sensorimotor.pipelines.cached import read_arrays
from sensorimotor.pipelines.considerate import ConsiderateGuide
from sensorimotor.pipelines.grounding import Grounding

SHARD_EPISODES = 500
HANG_S = 2.0
"""A plan takes milliseconds; the expert's search never ends on a few seeds, which are then left out."""
SHARD_VERSION = 3


@dataclass(frozen=True)
class Demonstrations:
    """Episodes of the expert, one after the other.

    Attributes:
        symbols: uint8 `(steps, 7, 7, 3)`, the partial view in minigrid's encoding.
        actions: uint8 `(steps,)`, what the expert did.
        cells: uint8 `(steps, 7, 7)`, what in the view fits what is said (`Grounding.look`).
        starts: int64 `(episodes + 1,)`: episode `i` is steps `starts[i]` to `starts[i + 1]`.
        missions: One instruction an episode.
        seeds: int64 `(episodes,)`.
    """

    symbols: np.ndarray
    actions: np.ndarray
    cells: np.ndarray
    starts: np.ndarray
    missions: tuple[str, ...]
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.missions)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, int64 `(episodes,)`."""
        return np.diff(self.starts)

    def only(self, keep: Callable[[str], bool]) -> "Demonstrations":
        """The episodes whose missions are to be kept."""
        kept = np.array([keep(mission) for mission in self.missions], bool)
        steps, lengths = np.repeat(kept, self.lengths), self.lengths[kept]
        return Demonstrations(
            self.symbols[steps],
            self.actions[steps],
            self.cells[steps],
            np.concatenate([[0], np.cumsum(lengths)]),
            tuple(mission for mission, keeps in zip(self.missions, kept, strict=True) if keeps),
            self.seeds[kept],
        )

    @classmethod
    def join(cls, parts: list["Demonstrations"]) -> "Demonstrations":
        """All episodes of all parts, in order."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.symbols for part in parts]),
            np.concatenate([part.actions for part in parts]),
            np.concatenate([part.cells for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]),
            tuple(mission for part in parts for mission in part.missions),
            np.concatenate([part.seeds for part in parts]),
        )


class Hang(Exception):  # noqa: N818 (an event of the expert, not an error of the user)
    """The expert did not come back."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread can be woken
        yield
        return

    def ring(_signal: int, _frame: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Expert:
    """The BabyAI bot on one episode of a `minigrid` environment that has just been reset.

    Args:
        game: The environment.
        considerate: Where the mission is to go to an object, face no other object on the way if that can be.
    """

    def __init__(self, game: Any, considerate: bool = False):
        from minigrid.envs.babyai.core.verifier import GoToInstr
        from minigrid.utils.baby_ai_bot import BabyAIBot

        self._bot = BabyAIBot(game)
        self._guide = ConsiderateGuide(game) if considerate and isinstance(game.instrs, GoToInstr) else None

    def advise(self, last: int | None) -> int:
        """What to do now.

        Args:
            last: What was done since the last advice, whether it was advised or not; None at the start.

        Raises:
            Hang: The bot's search does not end.
        """
        with _deadline(HANG_S):
            action = int(self._bot.replan(last))
        considerate = self._guide.suggest() if self._guide else None
        return action if considerate is None else considerate


class Lesson:
    """An episode that is recorded step by step with the expert's advice, whoever acts.

    Args:
        game: A `minigrid` BabyAI environment, just reset.
        considerate: See `Expert`.

    Attributes:
        views: The symbols at each step.
        advice: The expert's action at each step.
        cells: What fitted the mission in each view (`Grounding.look`).
        success: Whether the mission is fulfilled.
    """

    def __init__(self, game: Any, considerate: bool = False):
        self.game, self.mission = game, str(game.mission)
        self.views: list[np.ndarray] = []
        self.advice: list[int] = []
        self.cells: list[np.ndarray] = []
        self.success = False
        self._expert, self._grounding = Expert(game, considerate), Grounding(game)
        self._last: int | None = None

    def advise(self) -> int:
        """Look, record, and say what to do now.

        Raises:
            Hang: The bot's search does not end.
        """
        view = self.game.gen_obs()["image"]
        advice = self._expert.advise(self._last)
        self.views.append(view)
        self.advice.append(advice)
        self.cells.append(self._grounding.look(view))
        return advice

    def act(self, action: int) -> bool:
        """Do something; says whether the episode has ended."""
        self._last = action
        with quietly():
            _, reward, terminated, truncated, _ = self.game.step(action)
        self.success = reward > 0
        return bool(terminated or truncated)


def play_expert(game: Any, *, considerate: bool = False, after_step: Callable[[], None] = lambda: None) -> Lesson:
    """Let the expert finish the episode that `game` is at the start of.

    Args:
        game: A `minigrid` BabyAI environment, just reset.
        considerate: See `Expert`.
        after_step: Called after every step.

    Raises:
        Hang: The bot's search does not end.
    """
    lesson, ended = Lesson(game, considerate), False
    while not ended:
        ended = lesson.act(lesson.advise())
        after_step()
    return lesson


def expert_steps(level: str, seeds: list[int]) -> dict[int, int | None]:
    """How many steps the expert needs for each seed; None where it fails."""
    game, steps = make_level(level), {}
    for seed in seeds:
        with quietly():
            game.reset(seed=seed)
        try:
            lesson = play_expert(game)
            steps[seed] = len(lesson.advice) if lesson.success else None
        except Hang:
            steps[seed] = None
    return steps


def demonstrations(
    level: str,
    episodes: int,
    first_seed: int,
    cache: Path,
    *,
    considerate: bool = False,
    workers: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> Demonstrations:
    """Episodes of the expert from consecutive seeds; shards that are in `cache` already are read instead of made.

    Args:
        level: A `BabyAI-*-v0` id.
        episodes: How many seeds to play; the few that the expert cannot solve are left out.
        first_seed: The first seed; all must lie below 1e9, where evaluation begins.
        cache: Directory of the shards.
        considerate: See `Expert`.
        workers: Processes.
        progress: Called with the number of episodes of each finished shard.

    Raises:
        UsageError: The seeds reach into those of evaluation.
    """
    if first_seed < 0 or first_seed + episodes > EVALUATION_SEED:
        raise UsageError(
            f"demonstrations from seed {first_seed} to {first_seed + episodes - 1} reach outside 0 to "
            f"{EVALUATION_SEED - 1}: seeds from {EVALUATION_SEED} on are for evaluation"
        )
    make_level(level)  # refuses an unknown level before any process is started
    shards = [
        (level, seed, min(SHARD_EPISODES, first_seed + episodes - seed), considerate, cache)
        for seed in range(first_seed, first_seed + episodes, SHARD_EPISODES)
    ]
    missing = [shard for shard in shards if not _shard_path(*shard).exists()]
    progress(sum(shard[2] for shard in shards) - sum(shard[2] for shard in missing))
    if missing:
        # Spawned, not forked: the parent may hold threads of torch or of a progress bar.
        with ProcessPoolExecutor(min(workers, len(missing)), mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_make_shard, *shard) for shard in missing]):
                progress(done.result())
    return Demonstrations.join([read_lessons(_shard_path(*shard)) for shard in shards])


def _shard_path(level: str, seed: int, count: int, considerate: bool, cache: Path) -> Path:
    key = hashlib.sha256(f"{SHARD_VERSION} {level} {seed} {count} {considerate}".encode()).hexdigest()[:12]
    return cache / f"{level}-{seed}-{count}-{key}.npz"


def _make_shard(level: str, first_seed: int, count: int, considerate: bool, cache: Path) -> int:
    game = make_level(level)
    lessons, seeds = [], []
    for seed in range(first_seed, first_seed + count):
        with quietly():
            game.reset(seed=seed)
        try:
            lesson = play_expert(game, considerate=considerate)
        except Hang:
            continue
        if lesson.success:
            lessons.append(lesson)
            seeds.append(seed)
    write_lessons(_shard_path(level, first_seed, count, considerate, cache), lessons, seeds)
    return count


def write_lessons(path: Path, lessons: Sequence[Lesson], seeds: Sequence[int]) -> None:
    """Write recorded episodes, aside first."""
    shape = (-1, VIEW_TILES, VIEW_TILES)  # also where there are none
    with replacing(path) as aside, aside.open("wb") as file:
        np.savez_compressed(
            file,
            symbols=np.array([view for lesson in lessons for view in lesson.views], np.uint8).reshape(*shape, 3),
            actions=np.array([action for lesson in lessons for action in lesson.advice], np.uint8),
            cells=np.array([cells for lesson in lessons for cells in lesson.cells], np.uint8).reshape(shape),
            lengths=np.array([len(lesson.advice) for lesson in lessons], np.int64),
            missions=np.array([lesson.mission for lesson in lessons], str),
            seeds=np.array(seeds, np.int64),
        )


def read_lessons(path: Path) -> Demonstrations:
    """Read what `write_lessons` wrote.

    Raises:
        CacheError: The file is damaged.
    """
    names = ("symbols", "actions", "cells", "lengths", "missions", "seeds")
    symbols, actions, cells, lengths, missions, seeds = read_arrays(path, *names)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Demonstrations(symbols, actions, cells, starts, tuple(map(str, missions)), seeds)
