"""A graph for a fixed number of rows, tied to buffers that never move: one copy in, one copy out.

ONNX Runtime reads and writes the buffers in place (IO binding), and where it can, all kernels of a run are started as
one (a CUDA graph).
"""

import itertools
import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from sensorimotor.errors import BundleError
from sensorimotor.models.device_memory import ALIGNMENT, Blocks, Copy

WARM_UPS = 3
"""Runs before a capture: in the first ones ONNX Runtime still takes memory, which must not happen in a capture."""
SAME = 1e-3
"""So far may results differ and still be the same: kernels that add up in any order do not give the same bits twice."""
GRAPH_ID, NO_GRAPH = "gpu_graph_id", "-1"
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class Slot(NamedTuple):
    """Where an array lies in a stretch of memory."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    @property
    def size(self) -> int:
        """Bytes of it."""
        return math.prod(self.shape) * self.dtype.itemsize


class Stretch:
    """Arrays beside each other in one stretch of a device's memory, with the like of it on the host.

    Args:
        blocks: Of the device's memory.
        arguments: Inputs or outputs of a session, with shapes that are all known.

    Attributes:
        pointer: The address of its first byte.
        size: Bytes.
        slots: Name → where it lies.
        host: Name → the array on the host: what `upload` copies from and `download` to.
    """

    def __init__(self, blocks: Blocks, arguments: list[Any]):
        self._memory = blocks.memory
        self.slots: dict[str, Slot] = {}
        self.size = 0
        for one in arguments:
            slot = Slot(tuple(one.shape), np.dtype(_TYPES[one.type]), self.size)
            self.slots[one.name] = slot
            self.size += -(-slot.size // ALIGNMENT) * ALIGNMENT
        self._block = blocks.take(self.size)
        self.pointer = self._block.pointer
        self.bytes = self._memory.page_locked(self.size)
        self._on_host = int(self.bytes.ctypes.data)
        self.host = {
            name: self.bytes[slot.offset : slot.offset + slot.size].view(slot.dtype).reshape(slot.shape)
            for name, slot in self.slots.items()
        }

    def upload(self) -> None:
        """Start copying what is on the host to the device."""
        self._memory.start([Copy(self.pointer, self._on_host, self.size)])

    def download(self) -> None:
        """Copy what is on the device to the host."""
        self._memory.start([Copy(self._on_host, self.pointer, self.size)])
        self._memory.wait()


class BoundGraph:
    """A session whose inputs and outputs are tied to buffers. It is for one thread.

    Args:
        session: Of a graph whose shapes are all known.
        blocks: Of the memory of the device that it runs on.
        staying: Inputs that are filled on the device; all others come from the host.
        capture: Makes run options, if the runs are to be captured as a CUDA graph.

    Attributes:
        given: Inputs that come from the host.
        staying: The other inputs.
        made: Outputs.

    Raises:
        BundleError: The graph has shapes that are not known.
    """

    def __init__(
        self,
        session: Any,
        blocks: Blocks,
        staying: Collection[str] = (),
        capture: Callable[[], Any] | None = None,
    ):
        inputs, outputs = session.get_inputs(), session.get_outputs()
        for one in (*inputs, *outputs):
            if one.type not in _TYPES or not all(isinstance(size, int) for size in one.shape):
                raise BundleError(f"{one.name} of a graph is {one.type} {one.shape}, whose size is not known")
        self._session, self._memory = session, blocks.memory
        self.given = Stretch(blocks, [one for one in inputs if one.name not in staying])
        self.staying = Stretch(blocks, [one for one in inputs if one.name in staying])
        self.made = Stretch(blocks, outputs)
        self._binding = session.io_binding()
        for stretch, bind in (
            (self.given, self._binding.bind_input),
            (self.staying, self._binding.bind_input),
            (self.made, self._binding.bind_output),
        ):
            for name, (shape, dtype, offset) in stretch.slots.items():
                bind(name, self._memory.device, 0, dtype.type, shape, stretch.pointer + offset)
        self._plain = self._replay = None
        self._captured = capture is None
        if capture:
            self._plain, self._replay = capture(), capture()
            self._plain.add_run_config_entry(GRAPH_ID, NO_GRAPH)
            self._replay.add_run_config_entry(GRAPH_ID, str(next(_graph_ids)))

    def run(self) -> None:
        """Run on what is in the inputs; the outputs are on the device afterwards."""
        if not self._captured:
            self._capture()
        self._go(self._replay)

    def _go(self, options: Any) -> None:
        self.given.upload()
        self._memory.wait()
        self._session.run_with_iobinding(self._binding, options)

    def _capture(self) -> None:
        """Capture the graph, and see that it gives what the plain runs give, on inputs that differ.

        A captured graph has given the result of the first picture for ever (onnxruntime#20050). That the runs of a
        capture change what is carried along (onnxruntime#32243) cannot happen: no output lies where an input is.

        Raises:
            RuntimeError: It gives something else.
        """
        live = self.given.bytes.copy()
        probes = [_pattern(self.given), np.zeros_like(live), live]
        expected = []
        for probe in probes:
            self.given.bytes[:] = probe
            for _ in range(WARM_UPS):
                self._go(self._plain)
            expected.append(self._results())
        for probe, results in zip([*probes, probes[0], live], [*expected, expected[0], expected[-1]], strict=True):
            self.given.bytes[:] = probe
            self._go(self._replay)
            for name, found in self._results().items():
                if not np.allclose(found, results[name], rtol=SAME, atol=SAME, equal_nan=True):
                    raise RuntimeError(
                        f"captured as a CUDA graph, {name} comes out otherwise than without: it is not used"
                    )
        self.given.bytes[:] = live
        self._captured = True

    def _results(self) -> dict[str, np.ndarray]:
        self.made.download()
        return {name: array.astype(np.float64) for name, array in self.made.host.items()}


def _pattern(stretch: Stretch) -> np.ndarray:
    """Bytes that are valid inputs and differ from zeros: ids of 1, levels of all kinds, numbers between -1 and 1."""
    saved = stretch.bytes.copy()
    for array in stretch.host.values():
        count = np.arange(array.size).reshape(array.shape)
        match array.dtype.kind:
            case "f":
                array[:] = np.sin(count)
            case "u":
                array[:] = count % 251
            case _:
                array[:] = 1
    made = stretch.bytes.copy()
    stretch.bytes[:] = saved
    return made


_graph_ids = itertools.count()
