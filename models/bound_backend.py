"""The back end for GPUs: ONNX Runtime on buffers of the device, where tokens stay from the encoders to the core.

Each graph is made for a few numbers of rows, so that every shape in it is known: then it runs on the device as a whole
(what computes shapes would run on the CPU) and can be captured as a CUDA graph. The memory of the streams goes to the
core with ages and presence in the one copy in, and comes back with the action in the one copy out, from other buffers
than it went in by. Nothing here is about CUDA but the device's memory, so that all of it also runs on a CPU.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import BundleError
from sensorimotor.models.backend import CoreInput, CoreOutput
from sensorimotor.models.bound_graph import BoundGraph
from sensorimotor.models.bundle import CORE, Bundle, encoder_file
from sensorimotor.models.device_array import DeviceArray, Piece, copies, uploaded
from sensorimotor.models.device_memory import Block, Blocks, Copy, CudaMemory, DeviceMemory, HostMemory
from sensorimotor.models.execution import CUDA, ONE_THREAD, Execution
from sensorimotor.models.onnx_backend import require_fit, runtime, session, shapes_of

SIZES = (1, 8, 64)
"""Numbers of rows that graphs are made for; each has the weights once more in the device's memory."""

CUDA_OPTIONS = {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
"""fp32 is fp32, and not what tensor cores make of it; and memory is taken as it is needed, not doubled every time."""


class BoundBackend:
    """Sessions for all graphs of a bundle, tied to buffers of one device.

    Args:
        bundle: Checked already.
        execution: How they are run.
        captured: Whether runs are captured as CUDA graphs; None: where the device has them and runs every node.
        memory: Of the device; None: of the device that `execution` names first.

    Raises:
        MissingExtraError: ONNX Runtime or `cuda-bindings` is not installed.
        UsageError: The device or its provider is not available.
        BundleError: A graph cannot be loaded, or does not fit the others.
    """

    def __init__(
        self,
        bundle: Bundle,
        execution: Execution = ONE_THREAD,
        *,
        captured: bool | None = None,
        memory: DeviceMemory | None = None,
    ):
        self._ort, self._execution = runtime(), execution
        execution.session_options(self._ort)  # says what is wrong with the providers before a device is asked for
        on_cuda = execution.providers[0] == CUDA
        self._memory = memory or (CudaMemory() if on_cuda else HostMemory())
        self._captured = on_cuda and not execution.fallback if captured is None else captured
        self.memory_size = bundle.memory_size
        self._names = bundle.signature.names
        self._tokens = {name: bundle.config["encoders"][name] for name in self._names}
        files = execution.files(bundle)
        self._files = {name: files[encoder_file(name)] for name in self._names} | {CORE: files[CORE]}
        self._blocks = Blocks(self._memory)
        self._sessions: dict[tuple[str, int], Any] = {}
        self._shapes: dict[str, dict[str, list[Any]]] = {}
        self._local = threading.local()  # CUDA graphs can be replayed in the thread only that captured them
        for name in self._names:
            self._graph(name, SIZES[0])
        require_fit(self, bundle, files[CORE])

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[Any, Any]:
        """See `Backend.encode`; tokens and mask stay on the device."""
        with self._memory.lock:
            made = [
                self._graph(name, size).encode([value[first:last] for value in values])
                for first, last, size in chunks(len(values[0]))
            ]
        if len(made) == 1:
            return made[0]
        tokens, masks = zip(*made, strict=True)
        return np.concatenate(tokens), np.concatenate(masks)

    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`; tokens that come from the host are taken too."""
        with self._memory.lock:
            tokens, masks = (
                [self._here(array, inputs.present[:, j]) for j, array in enumerate(arrays)]
                for arrays in (inputs.tokens, inputs.masks)
            )
            made = []
            for first, last, size in chunks(len(inputs.present)):
                graph: _Core = self._graph(CORE, size)
                for j, name in enumerate(self._names):
                    rows = [
                        (tokens[j][row], masks[j][row]) if inputs.present[row, j] else None
                        for row in range(first, last)
                    ]
                    graph.fill(name, rows)
                made.append(graph.step(inputs.present[first:last], inputs.age_s[first:last], inputs.memory[first:last]))
        return made[0] if len(made) == 1 else CoreOutput(*map(np.concatenate, zip(*made, strict=True)))

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """See `Backend.empty_tokens`."""
        return np.zeros((1, 1, self._tokens[name]["dim"]), np.float32), np.zeros((1, 1), bool)

    def _here(self, array: Any, present: np.ndarray) -> Any:
        """An array on the device; what is absent from all rows is not even brought there."""
        return array if isinstance(array, DeviceArray) or not present.any() else uploaded(self._blocks, array)

    def _graph(self, name: str, size: int) -> Any:
        """The graph of an encoder or the core for so many rows, in this thread."""
        graphs = self._local.__dict__.setdefault("graphs", {})
        if (name, size) not in graphs:
            capture = self._ort.RunOptions if self._captured else None
            parts = self._session(name, size), self._blocks, capture
            graphs[name, size] = _Core(*parts, self._names) if name == CORE else _Encoder(*parts)
        return graphs[name, size]

    def _session(self, name: str, size: int) -> Any:
        if (name, size) not in self._sessions:
            file = self._files[name]
            options = self._execution.session_options(self._ort)
            for symbol, length in self._lengths(name, file, size).items():
                options.add_free_dimension_override_by_name(symbol, length)
            cuda = {**CUDA_OPTIONS, "enable_cuda_graph": "1" if self._captured else "0"}
            providers = [(one, cuda) if one == CUDA else one for one in self._execution.providers]
            self._sessions[name, size] = session(self._ort, file, options, providers)
        return self._sessions[name, size]

    def _lengths(self, name: str, file: Path, size: int) -> dict[str, int]:
        """What the axes are to be whose lengths the graph leaves open: rows, and behind them tokens."""
        if name not in self._shapes:
            self._shapes[name] = shapes_of(self._ort, file)
        lengths = {}
        for argument, shape in self._shapes[name].items():
            for axis, symbol in enumerate(shape):
                if isinstance(symbol, str):
                    owner = argument.rpartition(".")[0]
                    if axis and owner not in self._tokens:
                        raise BundleError(f"{file}: nothing says how long axis {axis} of {argument} is")
                    lengths[symbol] = self._tokens[owner]["tokens"] if axis else size
        return lengths


class _Encoder:
    """An encoder for a fixed number of rows."""

    def __init__(self, session: Any, blocks: Blocks, capture: Any):
        self._graph, self._blocks = BoundGraph(session, blocks, capture=capture), blocks

    def encode(self, values: Sequence[np.ndarray]) -> tuple[DeviceArray, DeviceArray]:
        """As many rows as there are; what comes out is copied away, for the next run overwrites it."""
        rows, made = len(values[0]), self._graph.made
        for array, value in zip(self._graph.given.host.values(), values, strict=True):
            array[:rows] = value
            array[rows:] = value[:1]  # of what it makes of these nobody asks, but it must be able to
        self._graph.run()
        block = self._blocks.take(made.size)
        self._blocks.memory.start([Copy(block.pointer, made.pointer, made.size)])
        tokens, mask = (_rows(block, made.slots[name], rows) for name in ("tokens", "mask"))
        return tokens, mask


def _rows(block: Block, slot: Any, rows: int) -> DeviceArray:
    piece = Piece(block, slot.offset, slot.size // slot.shape[0] * rows)
    return DeviceArray((rows, *slot.shape[1:]), slot.dtype, (piece,))


Row = tuple[tuple[Piece, ...], tuple[Piece, ...]]
"""Where the tokens and the mask of a row are."""


class _Core:
    """The core for a fixed number of rows."""

    def __init__(self, session: Any, blocks: Blocks, capture: Any, names: Sequence[str]):
        staying = [f"{name}.{what}" for name in names for what in ("tokens", "mask")]
        self._graph, self._memory = BoundGraph(session, blocks, staying, capture), blocks.memory
        # What lies in each row of its inputs: the same tokens are not copied again. That they are held here also keeps
        # their bytes from being given to others, which could not be told from these.
        self._held: dict[str, list[Row | None]] = {
            name: [None] * self._graph.staying.slots[f"{name}.tokens"].shape[0] for name in names
        }
        longest = max(slot.size // max(slot.shape[0], 1) for slot in self._graph.staying.slots.values())
        zeros = uploaded(blocks, np.zeros(longest, np.uint8))
        self._zeros = zeros.pieces[0].block

    def fill(self, name: str, rows: Sequence[tuple[DeviceArray, DeviceArray] | None]) -> None:
        """Have the tokens of an input in the core's own; None, an absent one, is zeros and masked."""
        held = self._held[name]
        slots = [(self._graph.staying.slots[f"{name}.{what}"]) for what in ("tokens", "mask")]
        needed: list[list[Copy]] = [[], []]
        wanted: dict[int, Row] = {}
        for i, row in enumerate(rows):
            sizes = [slot.size // slot.shape[0] for slot in slots]
            pieces = [array.pieces for array in row] if row else [(Piece(self._zeros, 0, size),) for size in sizes]
            if (pieces[0], pieces[1]) == held[i]:
                continue
            for slot, size, part, copied in zip(slots, sizes, pieces, needed, strict=True):
                if sum(piece.size for piece in part) != size:
                    raise ValueError(f"{name} has tokens of another kind than the core takes: {part}, not {slot}")
                copied += copies(part, self._graph.staying.pointer + slot.offset + i * size)
            wanted[i] = pieces[0], pieces[1]
        for i in wanted:
            held[i] = None  # until they are there
        self._memory.start([*needed[0], *needed[1]])
        for i, there in wanted.items():
            held[i] = there

    def step(self, present: np.ndarray, age_s: np.ndarray, memory: np.ndarray) -> CoreOutput:
        """One step of as many rows as there are; the rest are rows without any input."""
        given, rows = self._graph.given.host, len(present)
        for name, array in (("present", present), ("age_s", age_s), ("memory", memory)):
            given[name][:rows] = array
            given[name][rows:] = 0
        self._graph.run()
        self._graph.made.download()
        made = self._graph.made.host
        return CoreOutput(*(made[name][:rows].copy() for name in ("parameters", "embedding", "memory_out")))


def chunks(rows: int) -> Iterator[tuple[int, int, int]]:
    """Where to cut so many rows for graphs of fixed sizes: first row, the row behind the last, and for how many rows.

    The smallest graph that has room is taken if more than half of it is used, and otherwise the largest that is full.

    >>> list(chunks(10))
    [(0, 8, 8), (8, 9, 1), (9, 10, 1)]
    >>> list(chunks(40))
    [(0, 40, 64)]
    """
    first = 0
    while first < rows:
        left = rows - first
        size = next(
            (size for size in SIZES if left <= size and 2 * left > size), max(size for size in SIZES if size <= left)
        )
        yield first, min(first + size, rows), size
        first += size
