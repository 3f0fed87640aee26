"""A process that decodes blocks for another one, until nobody asks it any more."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any, NamedTuple

from sensorimotor.errors import SensorimotorError
from sensorimotor.memory import keep_memory
from sensorimotor.models.signature import Signature
from sensorimotor.pipelines.batch_blocks import Block, Reader, Unit
from sensorimotor.pipelines.batch_input import BatchInput, InputSpec, open_input
from sensorimotor.pipelines.batch_slots import Slots


@dataclass(frozen=True)
class Opening:
    """All that a worker needs to begin.

    Attributes:
        spec: The input.
        signature: Of the policy, in its JSON form.
        ids: Of the episodes.
        steps: Of a block of one episode, at most.
        slots: How many blocks there are at a time.
        slot_bytes: How large one is at most.
    """

    spec: InputSpec
    signature: dict[str, Any]
    ids: Sequence[str]
    steps: int
    slots: int
    slot_bytes: int


class Request(NamedTuple):
    """The next block of a unit.

    Attributes:
        unit: Which.
        slot: The piece of memory to put it in.
        skip: So many of its steps were had before, from whoever worked here before.
        deadly: Episodes that must not be touched.
        careful: Whether to say which episode comes next, since one of them may be deadly.
    """

    unit: Unit
    slot: int
    skip: int
    deadly: frozenset[int]
    careful: bool


class Ready(NamedTuple):
    """The input is open."""


class Touching(NamedTuple):
    """The episode that is decoded next."""

    episode: int


Forget = Unit
"""A unit of which no more is wanted."""
Message = Ready | Touching | Block | SensorimotorError
"""What a worker says; an error ends it."""


def work(channel: Any, opening: Opening) -> None:
    """Decode what is asked for.

    Args:
        channel: Both ways; first of all, the file of the shared memory comes through it.
        opening: What to work on.
    """
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # nobody is there any more
        try:
            slots = Slots(reduction.recv_handle(channel), opening.slots, opening.slot_bytes)
            _one_thread()
            keep_memory()
            opened = open_input(opening.spec, Signature.from_json(opening.signature), opening.ids)
            channel.send(Ready())
            _serve(channel, opened, opening.steps, slots)
        except SensorimotorError as error:
            channel.send(error)


def _serve(channel: Any, opened: BatchInput, steps: int, slots: Slots) -> None:
    readers: dict[Unit, Reader] = {}
    while True:
        asked: Request | Forget = channel.recv()
        if not isinstance(asked, Request):
            readers.pop(asked, None)
            continue
        if asked.careful:
            block = _one_by_one(opened, asked, channel.send)
        else:
            if asked.unit not in readers:
                readers[asked.unit] = Reader(opened, asked.unit, steps, asked.skip, asked.deadly)
            block = readers[asked.unit].block()
        if block.ended:
            readers.pop(asked.unit, None)
        channel.send(slots.put(block, asked.slot))


def _one_by_one(opened: BatchInput, asked: Request, say: Callable[[Touching], None]) -> Block:
    """A block of single rows, each told of before it is touched."""
    blocks = []
    for episode in range(asked.unit.first, asked.unit.stop):
        say(Touching(episode))
        blocks.append(Reader(opened, Unit(episode, episode + 1), 1, 0, asked.deadly).block())
    return Block(tuple(part for block in blocks for part in block.parts), sum(block.decode_s for block in blocks))


def _one_thread() -> None:
    """Several processes share the cores already."""
    with suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
