"""Decoding in other processes. A worker that is killed is replaced, and what it had to do is done again.

An episode that two of them died of is not touched any more. Single rows are decoded several at a time; where a worker
dies of some, they are decoded again one by one, and it is told which comes next.
"""

import signal
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import connection, get_context, reduction, resource_tracker
from typing import Any

from sensorimotor.errors import SensorimotorError
from sensorimotor.pipelines.batch_blocks import Block, Unit
from sensorimotor.pipelines.batch_slots import Slots
from sensorimotor.pipelines.batch_worker import Message, Opening, Ready, Request, Touching, work

STRIKES = 2
"""An episode that so many workers in a row died of is not touched any more."""
STILLBORN = 3
"""So many workers in a row that die before they are ready end the work."""
KILLED = "decoders killed"
"""Under this name they are counted."""
LOOK_EVERY_S = 0.2
"""How often somebody who waits looks up."""
PATIENCE_S = 2.0
"""How long a worker may take to end by itself."""


@dataclass
class _Worker:
    """A process, and the units that it was asked for, in the order in which they will come."""

    process: Any
    channel: Any
    asked: deque[Unit] = field(default_factory=deque)
    ready: bool = False
    touching: int | None = None


@dataclass
class _Progress:
    """How far a unit is.

    Attributes:
        worker: The number of who decodes it.
        had: So many steps of it were taken.
        slot: Where the block lies, or will lie, that was asked for.
        block: That block, once it is there.
        held: Where the block lies that was taken.
        careful: Whether a worker died of it.
        forgotten: Whether nobody wants it any more.
    """

    worker: int
    had: int = 0
    slot: int | None = None
    block: Block | None = None
    held: int | None = None
    careful: bool = False
    forgotten: bool = False


class Workers:
    """Decodes in other processes; a `Decoding` and a context manager.

    Args:
        opening: What they need to begin.
        count: How many.
        pulse: Called while waiting; what it raises ends the wait.
    """

    def __init__(self, opening: Opening, count: int, pulse: Callable[[], None] = lambda: None):
        self._stillborn = self._killed = 0
        self._opening, self._pulse = opening, pulse
        self._slots = Slots.make(opening.slots, opening.slot_bytes)
        self._free = list(range(opening.slots))
        self._units: dict[Unit, _Progress] = {}
        self._strikes: Counter[int] = Counter()
        self._workers = [self._begin() for _ in range(count)]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, unit: Unit) -> None:
        """See `Decoding`."""
        if unit not in self._units:
            loads = [len(worker.asked) for worker in self._workers]
            self._units[unit] = _Progress(loads.index(min(loads)))
        progress = self._units[unit]
        while not self._free:  # what is forgotten is still to come
            self._listen()
        progress.slot = self._free.pop()
        self._workers[progress.worker].asked.append(unit)
        self._send(progress.worker, self._request(unit))

    def take(self, unit: Unit) -> Block:
        """See `Decoding`.

        Raises:
            SensorimotorError: Workers cannot open the input, or die before they have.
        """
        progress = self._units[unit]
        while progress.block is None:
            self._listen()
        block, progress.block = progress.block, None
        progress.held, progress.slot = progress.slot, None
        last = block.parts[-1]
        progress.had = last.first + len(last.steps)
        if self._killed:
            block, self._killed = replace(block, losses={**block.losses, KILLED: self._killed}), 0
        return block

    def release(self, unit: Unit) -> None:
        """See `Decoding`."""
        progress = self._units[unit]
        if progress.held is not None:
            self._free.append(progress.held)
            progress.held = None
        if progress.slot is None:  # nothing more was asked for: it has ended
            del self._units[unit]

    def forget(self, unit: Unit) -> None:
        """See `Decoding`."""
        self._units[unit].forgotten = True
        self._drop_forgotten(unit)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.channel.close()
        for worker in self._workers:
            worker.process.join(PATIENCE_S)
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
        self._slots.close()

    def _begin(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._opening), daemon=True, name="sensorimotor decoder")
        resource_tracker.ensure_running()  # it would let go of the mask
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited: Ctrl-C is for us to act upon
        try:
            process.start()
        except OSError as error:
            raise SensorimotorError(f"no process can be started to decode in ({error.strerror}): use fewer") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        worker = _Worker(process, ours)
        with suppress(OSError):  # it has died already, which is seen when it is listened to
            reduction.send_handle(ours, self._slots.file, process.pid)
        return worker

    def _request(self, unit: Unit) -> Request:
        progress = self._units[unit]
        assert progress.slot is not None
        deadly = frozenset(one for one in range(unit.first, unit.stop) if self._strikes[one] >= STRIKES)
        return Request(unit, progress.slot, progress.had, deadly, progress.careful)

    def _send(self, number: int, message: Request | Unit) -> None:
        with suppress(OSError):  # it has died, which is seen when it is listened to; then all is asked for again
            self._workers[number].channel.send(message)

    def _listen(self) -> None:
        """Take what workers say, and replace those that died."""
        channels = {worker.channel: number for number, worker in enumerate(self._workers)}
        ready = connection.wait(list(channels), LOOK_EVERY_S)
        self._pulse()
        for channel in ready:
            number = channels[channel]
            try:
                said: Message = self._workers[number].channel.recv()
            except (EOFError, OSError):
                self._replace(number)
                continue
            self._hear(self._workers[number], said)

    def _hear(self, worker: _Worker, said: Message) -> None:
        match said:
            case Ready():
                self._stillborn, worker.ready = 0, True
            case Touching(episode):
                worker.touching = episode
            case Block():
                unit, worker.touching = worker.asked.popleft(), None
                self._units[unit].block = self._slots.get(said)
                for part in said.parts:
                    del self._strikes[part.episode]  # a long recording may have seen others die of something else
                if self._units[unit].forgotten:
                    self._drop_forgotten(unit)
            case error:
                raise error

    def _drop_forgotten(self, unit: Unit) -> None:
        """Let go of a unit that nobody wants, once what was asked for is there."""
        progress = self._units[unit]
        if progress.slot is not None and progress.block is None:
            return
        if progress.slot is not None:
            self._free.append(progress.slot)
        self._send(progress.worker, unit)
        del self._units[unit]

    def _replace(self, number: int) -> None:
        """Put another in the place of a worker that died."""
        dead = self._workers[number]
        dead.channel.close()
        dead.process.kill()  # in case that it only stopped talking
        dead.process.join()
        self._blame(dead)
        self._killed += 1
        self._workers[number] = self._begin()
        self._workers[number].asked = dead.asked
        for unit in dead.asked:
            self._send(number, self._request(unit))

    def _blame(self, dead: _Worker) -> None:
        """Say what a worker died of, as far as that can be known."""
        if not dead.ready:
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                raise SensorimotorError(
                    f"{STILLBORN} processes in a row died before they had opened the input, the last with exit status "
                    f"{dead.process.exitcode}: is there enough memory? --workers 0 decodes without them"
                )
        elif dead.touching is not None:
            self._strikes[dead.touching] += 1
        elif dead.asked and not self._units[dead.asked[0]].careful:
            unit = dead.asked[0]
            self._strikes.update(range(unit.first, unit.stop))
            self._units[unit].careful = unit.stop - unit.first > 1
