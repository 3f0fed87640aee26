"""The ways of running graphs on a CPU that are worth trying, a question at a time."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sensorimotor.models.execution import AS_IT_COMES, Execution


def threads(cores: int) -> list[Execution]:
    """Numbers of threads, waiting or spinning, up to one a core; one thread alone has nobody to wait for."""
    powers = [2**power for power in range(1, cores.bit_length()) if 2**power < cores]
    counts = [*powers, cores] if cores > 1 else []
    grid = [Execution(threads=count, spinning=spinning) for count in counts for spinning in (False, True)]
    return [*grid, AS_IT_COMES]


def modes(best: Execution, cores: int) -> list[Execution]:
    """The same with operators side by side, less rewriting of the graphs, or no memory kept."""
    side_by_side = [
        replace(best, parallel=True, inter_threads=count) for count in sorted({2, cores}) if 1 < count <= cores
    ]
    return [
        *side_by_side,
        replace(best, optimisation="extended"),
        replace(best, optimisation="basic"),
        replace(best, arena=False),
    ]


def with_graph(best: Execution, file: str, graphs: Mapping[str, Path]) -> Execution:
    """The same with one more graph in another precision."""
    return replace(best, graphs={**best.graphs, file: graphs[file]})


def described(execution: Execution) -> str:
    """Settings in a few words: what sets them apart.

    >>> described(Execution(threads=2, spinning=True, arena=False))
    '2 threads, spinning, no arena'
    >>> described(AS_IT_COMES), described(Execution(graphs={"core.onnx": Path("core.int8.onnx")}))
    ("ONNX Runtime's defaults", '1 thread, int8 core')
    """
    if execution == AS_IT_COMES:
        return "ONNX Runtime's defaults"
    match execution.threads:
        case None:
            words = ["ONNX Runtime's threads"]
        case 1:
            words = ["1 thread"]
        case count:
            words = [f"{count} threads"]
    if execution.spinning and execution.threads is not None:
        words.append("spinning")
    if execution.parallel:
        words.append(f"{execution.inter_threads} operators at a time")
    if execution.optimisation != "all":
        words.append(f"{execution.optimisation} optimisation")
    if not execution.arena:
        words.append("no arena")
    if execution.graphs:
        words.append("int8 " + " and ".join(Path(file).stem.removeprefix("encoder.") for file in execution.graphs))
    return ", ".join(words)
