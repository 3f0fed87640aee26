"""Practice: the network acts, and the expert says at every step what it would have done (DAgger).

A policy that imitates only what the expert saw never learns to get out of what the expert never got into (Ross et al.,
"A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning", AISTATS 2011).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorimotor.models.network import Network
from sensorimotor.perception.modality import Audio, Image, Text
from sensorimotor.pipelines.babyai import make_level, quietly
from sensorimotor.pipelines.expert import Lesson, write_lessons
from sensorimotor.pipelines.frames import FrameTable
from sensorimotor.pipelines.imitation import input_of

AT_ONCE = 128
"""Episodes that are played side by side, so that the network decides on many rows at a time."""


def practise(
    network: Network,
    levels: Sequence[tuple[str, int]],
    first_seed: int,
    path: Path,
    *,
    considerate: bool,
    longest: int,
    leave_out: Callable[[str], bool] = lambda _mission: False,
) -> None:
    """Let the network play with a camera and written missions, and write down the expert's advice.

    Args:
        network: In any mode.
        levels: Level ids and episodes of each; the seeds of a level are consecutive.
        first_seed: Of every level.
        path: Where the episodes go.
        considerate: Which expert; see `Expert`.
        longest: Episodes are broken off after so many steps.
        leave_out: Missions that are not played.
    """
    network.eval()
    todo = [(level, first_seed + i) for level, episodes in levels for i in range(episodes)]
    played: list[tuple[Lesson, int]] = []
    rng = np.random.default_rng([first_seed, 6])
    for start in range(0, len(todo), AT_ONCE):
        played += _play(network, todo[start : start + AT_ONCE], considerate, longest, leave_out, rng)
    write_lessons(path, [lesson for lesson, _ in played], [seed for _, seed in played])


@torch.inference_mode()
def _play(
    network: Network,
    todo: Sequence[tuple[str, int]],
    considerate: bool,
    longest: int,
    leave_out: Callable[[str], bool],
    rng: np.random.Generator,
) -> list[tuple[Lesson, int]]:
    """Play some episodes side by side; those in which the expert gives up end there."""
    lessons, seeds = [], []
    for level, seed in todo:
        game = make_level(level)
        with quietly():
            game.reset(seed=seed)
        if not leave_out(game.mission):
            lessons.append(Lesson(game, considerate))
            seeds.append(seed)
    if not lessons:
        return []
    actor, active = _Actor(network, [lesson.mission for lesson in lessons]), np.arange(len(lessons))
    for _ in range(longest):
        active = np.array([i for i in active if _advised(lessons[i])], np.int64)
        if not len(active):
            break
        actions = actor.act(active, np.stack([lessons[i].views[-1] for i in active]), rng)
        active = np.array([i for i, a in zip(active, actions, strict=True) if not lessons[i].act(int(a))], np.int64)
    return [(lesson, seed) for lesson, seed in zip(lessons, seeds, strict=True) if lesson.advice]


def _advised(lesson: Lesson) -> bool:
    try:
        lesson.advise()
    except Exception:  # noqa: BLE001 (the bot was not written for every state that a pupil can get into)
        return False
    return True


class _Actor:
    """The network on several episodes, each with its memory and its written mission."""

    def __init__(self, network: Network, missions: Sequence[str]):
        assert network.tokenizer is not None
        self._network, self._device = network, next(network.parameters()).device
        self._frames, self._memory = FrameTable(), network.initial_memory(len(missions))
        words = torch.from_numpy(np.stack([network.tokenizer.encode(mission) for mission in missions]))
        name = input_of(network, Text)
        self._words = network.encoders[name](words.to(self._device))

    def act(self, rows: np.ndarray, views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Actions of some episodes, drawn from the network's own probabilities, `(rows,)`."""
        network, at, count = self._network, torch.from_numpy(rows).to(self._device), len(rows)
        frames = torch.from_numpy(self._frames.render(views)).to(self._device)
        tokens: list[Any] = []
        present = torch.zeros(count, len(network.signature.names), dtype=torch.bool, device=self._device)
        for i, (name, modality) in enumerate(network.signature.inputs.items()):
            match modality:
                case Image():
                    tokens.append(network.encoders[name](frames))
                case Text():
                    tokens.append((self._words[0][at], self._words[1][at]))
                case Audio():
                    empty = torch.zeros(count, 1, network.token_shapes()[name].dim, device=self._device)
                    tokens.append((empty, torch.zeros(count, 1, dtype=torch.bool, device=self._device)))
            present[:, i] = not isinstance(modality, Audio)
        age_s = torch.zeros(present.shape, device=self._device)
        logits, _, memory = network.core(*zip(*tokens, strict=True), present, age_s, self._memory[at])
        self._memory[at] = memory
        likelihood = logits.double().softmax(-1).cumsum(-1).cpu().numpy()
        return (likelihood < rng.random((count, 1)) * likelihood[:, -1:]).sum(1)
