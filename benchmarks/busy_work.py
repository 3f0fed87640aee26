"""What computes in place of a model, so and so long, with and without the GIL. Needs nothing but numpy."""

import time

import numpy as np

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The environment of a process that computes on one thread."""
SIDE = 1024


class InNumpy:
    """One product of matrices, without the GIL, as one call of ONNX Runtime.

    Args:
        rows: Of the first matrix: how much there is to compute.
    """

    def __init__(self, rows: int):
        self._left, self._right = np.ones((rows, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)
        self._out = np.empty_like(self._left)

    def __call__(self) -> None:
        """Compute."""
        np.matmul(self._left, self._right, out=self._out)

    @staticmethod
    def rows(cpu_ms: float) -> int:
        """How many take so much time of a CPU (ms)."""
        trial = 512
        product, took_ms = InNumpy(trial), []
        for _ in range(20):
            began_s = time.thread_time()
            product()
            took_ms.append((time.thread_time() - began_s) * 1e3)
        return round(trial * cpu_ms / float(np.median(took_ms)))


class InPython:
    """Computes in Python until its thread has had so much time of a CPU (ms); it never lets go of the GIL by itself."""

    def __init__(self, cpu_ms: float):
        self._cpu_s = cpu_ms / 1e3

    def __call__(self) -> None:
        """Compute."""
        until_s, number = time.thread_time() + self._cpu_s, 1
        while time.thread_time() < until_s:
            for _ in range(500):
                number = number * 1103515245 + 12345 & 0x7FFFFFFF
