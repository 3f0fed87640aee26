"""What this machine can do at best, measured now: arithmetic in one large matrix product, bytes a second in copies."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from sensorimotor.models.execution import CPU, Execution
from sensorimotor.models.onnx_backend import runtime
from sensorimotor.pipelines.tiny_graphs import one_node

SIDES = {CPU: 1024}
SIDE = 8192
"""Of the square matrices on anything but a CPU."""
MEMORY_BYTES = 2**28
"""Larger than any cache."""
SHARED_FROM = 2**20
"""Copies that are smaller are made by one thread: to wake another takes longer."""
LONGEST_S = 0.4


@dataclass(frozen=True)
class Ceilings:
    """The best of several tries with the same provider and threads as the policy has.

    Attributes:
        gemm_flops_s: Arithmetic of a float32 matrix product, a multiply-add being two (FLOP/s).
        gemm_side: Rows and columns of it.
        memory_bytes_s: Bytes read and written when as much is copied as no cache holds (B/s).
        copies: Sizes (bytes read and written) → the same for as little (B/s), of those that were asked for.
    """

    gemm_flops_s: float
    gemm_side: int
    memory_bytes_s: float
    copies: dict[int, float]

    def floor_ms(self, flops: float, moved: float) -> float:
        """The least time that arithmetic and bytes take, whichever takes longer (ms)."""
        return 1e3 * max(flops / self.gemm_flops_s, moved / self.bandwidth(moved))

    def bound(self, flops: float, moved: float) -> str:
        """Which of them it is: `arithmetic` or `memory`."""
        return "arithmetic" if flops / self.gemm_flops_s >= moved / self.bandwidth(moved) else "memory"

    def bandwidth(self, moved: float) -> float:
        """Bytes a second of a copy of about this size: what fits a cache is moved faster."""
        near = [size for size in self.copies if size >= moved * 0.99]
        return self.copies[min(near)] if near else self.memory_bytes_s


def measure_ceilings(execution: Execution, sizes: list[float]) -> Ceilings:
    """Measure them.

    Args:
        execution: With which provider and how many threads.
        sizes: Bytes that graphs move.
    """
    side, flops_s = _gemm(execution)
    wanted = sorted({int(size) for size in sizes if size > 0})
    copies = {size: _copy(execution, size) for size in wanted}
    return Ceilings(flops_s, side, _copy(execution, MEMORY_BYTES), copies)


def _gemm(execution: Execution) -> tuple[int, float]:
    side = SIDES.get(execution.providers[0], SIDE)
    left, right = (np.full((side, side), value, np.float32) for value in (0.5, 0.25))
    run = _bound(execution, "MatMul", {"left": left, "right": right}, (side, side))
    return side, 2 * side**3 / _quickest_s(run)


def _copy(execution: Execution, moved: int) -> float:
    """Bytes a second that are read and written in a copy."""
    source = np.ones(max(1, moved // 8), np.float32)
    if execution.providers[0] != CPU:
        return 2 * source.nbytes / _quickest_s(_bound(execution, "Identity", {"source": source}, source.shape))
    target = np.empty_like(source)
    target[:] = 0  # pages are given when they are first written to
    parts = execution.threads if moved >= SHARED_FROM else 1
    if parts == 1:
        return 2 * source.nbytes / _quickest_s(lambda: np.copyto(target, source))
    with ThreadPoolExecutor(parts) as pool:
        pairs = list(zip(np.array_split(target, parts), np.array_split(source, parts), strict=True))
        return 2 * source.nbytes / _quickest_s(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)))


def _bound(
    execution: Execution, operator: str, inputs: dict[str, np.ndarray], shape: tuple[int, ...]
) -> Callable[[], Any]:
    """A graph of one node whose inputs and output stay where it runs."""
    ort = runtime()
    providers = list(execution.providers)
    session = ort.InferenceSession(
        one_node(operator, list(inputs), len(shape)), execution.session_options(ort), providers=providers
    )
    device = "cuda" if execution.providers[0] != CPU else "cpu"
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, device, 0))
    binding.bind_ortvalue_output("made", ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0))
    return lambda: session.run_with_iobinding(binding)


def _quickest_s(run: Callable[[], Any]) -> float:
    """The shortest time of a run (s), of as many as there is time for; the first ones warm up."""
    run()
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - began < LONGEST_S:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)
