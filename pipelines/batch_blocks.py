"""Blocks: what is decoded at a time, some steps of a recording, or some recordings that are a single step each."""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sensorimotor.pipelines.batch_input import BatchInput, Step, Unreadable


class Unit(NamedTuple):
    """Episodes that are decoded together, block by block, from `first` up to `stop`."""

    first: int
    stop: int


class Trouble(NamedTuple):
    """Why an episode ends before its end.

    Attributes:
        id: Of the episode.
        step: So many of its steps were decided in.
        stage: Where it failed: `open`, `decode`, `encode` or `core`.
        error: The class of the error.
        message: What was wrong, and what to do about it.
    """

    id: str
    step: int
    stage: str
    error: str
    message: str


@dataclass(frozen=True)
class Part:
    """What a block has of one episode.

    Attributes:
        episode: Its number.
        first: The number of the first of these steps.
        steps: What each decision sees.
        ended: Whether the episode has no more steps.
        trouble: Why it has no more, where it should.
    """

    episode: int
    first: int
    steps: tuple[Step, ...]
    ended: bool
    trouble: Trouble | None = None


@dataclass(frozen=True)
class Block:
    """The next steps of a unit.

    Attributes:
        parts: Of its episodes, in order.
        decode_s: How long it took (s).
        losses: What was left out or not used meanwhile, by cause.
    """

    parts: tuple[Part, ...]
    decode_s: float = 0.0
    losses: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it is the last one of its unit."""
        return all(part.ended for part in self.parts)


class Reader:
    """Reads a unit block by block; not to be asked for more after the block that ends it.

    Args:
        opened: What it is in.
        unit: The episodes: one, or several that are a single step each.
        steps: So many at most in a block of one.
        skip: So many steps of one were read before.
        deadly: Episodes that are not touched, since they have killed whoever read them.
    """

    def __init__(self, opened: BatchInput, unit: Unit, steps: int, skip: int = 0, deadly: Collection[int] = ()):
        self._opened = opened
        together = opened.alone or unit.first in deadly
        self._parts = _together(opened, unit, skip, deadly) if together else _lived(opened, unit.first, steps, skip)

    def block(self) -> Block:
        """The next block."""
        began, before = time.perf_counter(), self._opened.losses.totals()  # others read from it in between
        parts = next(self._parts)
        losses = {cause: count - before.get(cause, 0) for cause, count in self._opened.losses.totals().items()}
        return Block(parts, time.perf_counter() - began, {cause: more for cause, more in losses.items() if more})


def _lived(opened: BatchInput, episode: int, count: int, skip: int) -> Iterator[tuple[Part, ...]]:
    """The parts of an episode, read one step ahead, so that its last part is known to be the last."""
    lived, done = opened.lived(episode), 0
    trouble: Trouble | None = None

    def read() -> Step | None:
        nonlocal trouble
        try:
            return next(lived, None)
        except Unreadable as error:
            trouble = _unreadable(error)
            return None

    ahead = read()
    while ahead is not None and done < skip:
        ahead, done = read(), done + 1
    while True:
        first = done
        steps: list[Step] = []
        while ahead is not None and len(steps) < count:
            steps.append(ahead)
            ahead, done = read(), done + 1
        told = trouble._replace(step=done) if trouble else None
        yield (Part(episode, first, tuple(steps), ahead is None, told),)


def _together(opened: BatchInput, unit: Unit, skip: int, deadly: Collection[int]) -> Iterator[tuple[Part, ...]]:
    """The only part of each of several episodes."""
    episodes = range(unit.first, unit.stop)
    safe = [episode for episode in episodes if episode not in deadly]
    found = dict(zip(safe, opened.samples(safe), strict=True)) if safe else {}
    parts = []
    for episode in episodes:
        match found.get(episode):
            case None:
                parts.append(Part(episode, skip, (), True, _worker_died(opened.ids[episode], skip)))
            case Unreadable() as error:
                parts.append(Part(episode, 0, (), True, _unreadable(error)))
            case step:
                parts.append(Part(episode, 0, (step,), True))
    yield tuple(parts)


def _unreadable(error: Unreadable) -> Trouble:
    return Trouble(error.id, 0, error.stage, error.kind, error.message)


def _worker_died(id: str, step: int) -> Trouble:
    why = "two processes were killed while they decoded it: it is damaged, or takes more memory than there is"
    return Trouble(id, step, "decode", "WorkerDied", why)
