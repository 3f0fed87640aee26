"""How the graphs of a policy are run on a machine: on what, with how many threads, how they are optimised."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorimotor.errors import UsageError
from sensorimotor.models.bundle import CORE, Bundle, encoder_file

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
DEVICES = {"cpu": (CPU,), "cuda": (CUDA,)}
"""Device → the execution providers of ONNX Runtime that run a policy there."""

Optimisation = Literal["all", "extended", "basic", "none"]
Precision = Literal["fp32", "fp16"]


@dataclass(frozen=True)
class Execution:
    """How ONNX Runtime runs graphs. What is set here is quickest for graphs that take under a millisecond.

    Attributes:
        providers: Execution providers in order of preference.
        threads: Threads inside one operator; None: as many as ONNX Runtime takes by itself, one a core and tied to it.
        parallel: Whether operators that do not need each other run side by side ...
        inter_threads: ... in so many threads.
        spinning: Whether threads wait for work by trying again and again: quicker, and it burns a core between the
            decisions of a live policy.
        optimisation: How far graphs are rewritten before they run.
        arena: Whether memory, once taken, is kept for the next run.
        fallback: Whether nodes that the first provider cannot run may run on the CPU. Otherwise that is an error: a
            policy that is half on another device is slower than on either.
        precision: Of the encoders; with fp16 those are taken that a bundle has in half precision beside the others.
        graphs: File of a bundle → another that takes its place, with the same inputs and outputs: in another precision.

    Raises:
        UsageError: A number of threads is below one, or there is no provider.

    >>> Execution.on("cpu", threads=2).providers
    ('CPUExecutionProvider',)
    """

    providers: tuple[str, ...] = (CPU,)
    threads: int | None = 1
    parallel: bool = False
    inter_threads: int = 1
    spinning: bool = False
    optimisation: Optimisation = "all"
    arena: bool = True
    fallback: bool = False
    precision: Precision = "fp32"
    graphs: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fewest = self.inter_threads if self.threads is None else min(self.threads, self.inter_threads)
        if fewest < 1:
            raise UsageError(f"threads must be at least 1, not {fewest}")
        if not self.providers:
            raise UsageError("at least one execution provider is needed")

    @classmethod
    def on(cls, device: str, **settings: Any) -> "Execution":
        """On a device, `cpu` or `cuda`.

        Raises:
            UsageError: There is no such device.
        """
        if device not in DEVICES:
            raise UsageError(f"no device is called {device!r}; there are {', '.join(DEVICES)}")
        return cls(DEVICES[device], **settings)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        graphs = {file: str(path) for file, path in self.graphs.items()}
        return {**asdict(self), "providers": list(self.providers), "graphs": graphs}

    def files(self, bundle: Bundle) -> dict[str, Path]:
        """File of each graph that a step takes → the one that is run in its place.

        Raises:
            UsageError: Half precision is asked for, and the bundle has no encoder in that.
        """
        own = {encoder_file(name): bundle.graph(name, self.precision) for name in bundle.signature.names}
        return {**own, CORE: bundle.file(CORE), **self.graphs}

    def session_options(self, ort: Any) -> Any:
        """The same in the terms of ONNX Runtime.

        Args:
            ort: The module `onnxruntime`.

        Raises:
            UsageError: A provider is not in this build of it.
        """
        available = ort.get_available_providers()
        if unknown := [name for name in self.providers if name not in available]:
            hint = "; for NVIDIA GPUs, pip install onnxruntime-gpu in place of onnxruntime" if CUDA in unknown else ""
            raise UsageError(
                f"execution provider {', '.join(unknown)} is not available here; there are {', '.join(available)}{hint}"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads or 0, self.inter_threads
        modes = ort.ExecutionMode
        options.execution_mode = modes.ORT_PARALLEL if self.parallel else modes.ORT_SEQUENTIAL
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[self.optimisation])
        options.enable_cpu_mem_arena = self.arena
        spinning = "1" if self.spinning else "0"
        options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
        options.add_session_config_entry("session.inter_op.allow_spinning", spinning)
        if self.providers[0] != CPU and not self.fallback:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        options.log_severity_level = 3
        return options


_LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}

ONE_THREAD = Execution()
"""On one thread of the CPU."""
AS_IT_COMES = Execution(threads=None, spinning=True)
"""As ONNX Runtime runs graphs on the CPU if it is told nothing."""
