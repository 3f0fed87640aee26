"""Demonstrations by the BabyAI expert: made in parallel, guarded against its hangs, cached shard by shard.

A frame is stored as the 7 x 7 x 3 symbols it was rendered from; `FrameTable` gives back exactly the pixels that the
camera of `BabyAIWorld` saw. Policies are only ever shown the pixels.
"""

import hashlib
import signal
from collections.abc import Callable, Iterator
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
from sensorimotor.pipelines.considerate import ConsiderateGuide

SHARD_EPISODES = 500
HANG_S = 2.0
"""A plan takes milliseconds; the expert's search never ends on a few seeds, which are then left out."""
SHARD_VERSION = 1


@dataclass(frozen=True)
class Demonstrations:
    """Episodes of the expert, one after the other.

    Attributes:
        symbols: uint8 `(steps, 7, 7, 3)`, the partial view in minigrid's encoding.
        actions: uint8 `(steps,)`.
        starts: int64 `(episodes + 1,)`: episode `i` is steps `starts[i]` to `starts[i + 1]`.
        missions: One instruction an episode.
        seeds: int64 `(episodes,)`.
    """

    symbols: np.ndarray
    actions: np.ndarray
    starts: np.ndarray
    missions: tuple[str, ...]
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.missions)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode, int64 `(episodes,)`."""
        return np.diff(self.starts)

    @classmethod
    def join(cls, parts: list["Demonstrations"]) -> "Demonstrations":
        """All episodes of all parts, in order."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.symbols for part in parts]),
            np.concatenate([part.actions for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]),
            tuple(mission for part in parts for mission in part.missions),
            np.concatenate([part.seeds for part in parts]),
        )


class Hang(Exception):  # noqa: N818 (an event of the expert, not an error of the user)
    """The expert did not come back."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
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
        self._last: int | None = None

    def act(self) -> int:
        """The next action.

        Raises:
            Hang: The bot's search does not end.
        """
        with _deadline(HANG_S):
            action = int(self._bot.replan(self._last))
        considerate = self._guide.suggest() if self._guide else None
        self._last = action if considerate is None else considerate
        return self._last


def play_expert(
    game: Any, *, considerate: bool = False, after_step: Callable[[], None] = lambda: None
) -> tuple[list[np.ndarray], list[int], bool]:
    """Let the expert finish the episode that `game` is at the start of.

    Args:
        game: A `minigrid` BabyAI environment, just reset.
        considerate: See `Expert`.
        after_step: Called after every step.

    Returns:
        The symbols before each action, the actions, and whether it succeeded.

    Raises:
        Hang: The bot's search does not end.
    """
    expert = Expert(game, considerate)
    views, actions = [], []
    while True:
        views.append(game.gen_obs()["image"])
        actions.append(expert.act())
        with quietly():
            _, reward, terminated, truncated, _ = game.step(actions[-1])
        after_step()
        if terminated or truncated:
            return views, actions, reward > 0


def expert_steps(level: str, seeds: list[int]) -> dict[int, int | None]:
    """How many steps the expert needs for each seed; None where it fails."""
    game, steps = make_level(level), {}
    for seed in seeds:
        with quietly():
            game.reset(seed=seed)
        try:
            _, actions, success = play_expert(game)
            steps[seed] = len(actions) if success else None
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
    return Demonstrations.join([_read_shard(_shard_path(*shard)) for shard in shards])


def _shard_path(level: str, seed: int, count: int, considerate: bool, cache: Path) -> Path:
    key = hashlib.sha256(f"{SHARD_VERSION} {level} {seed} {count} {considerate}".encode()).hexdigest()[:12]
    return cache / f"{level}-{seed}-{count}-{key}.npz"


def _make_shard(level: str, first_seed: int, count: int, considerate: bool, cache: Path) -> int:
    game = make_level(level)
    views: list[np.ndarray] = []
    actions: list[int] = []
    lengths, missions, seeds = [], [], []
    for seed in range(first_seed, first_seed + count):
        with quietly():
            game.reset(seed=seed)
        try:
            seen, done, success = play_expert(game, considerate=considerate)
        except Hang:
            continue
        if success:
            views += seen
            actions += done
            lengths.append(len(done))
            missions.append(game.mission)
            seeds.append(seed)
    with replacing(_shard_path(level, first_seed, count, considerate, cache)) as path, path.open("wb") as file:
        np.savez_compressed(
            file,
            symbols=np.array(views, np.uint8).reshape(-1, VIEW_TILES, VIEW_TILES, 3),  # also where there are none
            actions=np.array(actions, np.uint8),
            lengths=np.array(lengths, np.int64),
            missions=np.array(missions, str),
            seeds=np.array(seeds, np.int64),
        )
    return count


def _read_shard(path: Path) -> Demonstrations:
    with np.load(path, allow_pickle=False) as shard:
        starts = np.concatenate([[0], np.cumsum(shard["lengths"])])
        missions = tuple(str(mission) for mission in shard["missions"])
        return Demonstrations(shard["symbols"], shard["actions"], starts, missions, shard["seeds"])
