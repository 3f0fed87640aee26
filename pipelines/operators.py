"""What the graphs of a policy consist of: each node's operator, time, arithmetic, bytes, and where it really ran.

ONNX Runtime says so itself, in the file that its profiler writes. It is asked in sessions of their own, since being
watched makes them slower: as they are, for the times; with weights that are not packed for speed, because those have no
shape any more; and with channels that are not laid out in blocks, because those are padded, for the arithmetic and the
weights that a graph needs.
"""

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sensorimotor.models.backend import Backend, CoreInput, CoreOutput
from sensorimotor.models.bundle import CORE, Bundle, encoder_file
from sensorimotor.models.execution import Execution
from sensorimotor.models.onnx_backend import OnnxBackend, core_feeds, runtime
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines.flops import node_flops
from sensorimotor.pipelines.shown import Shown
from sensorimotor.pipelines.stage_timing import CORE as CORE_STAGE
from sensorimotor.pipelines.stage_timing import encoder_stage

CALLS = 16
"""So many calls of each graph are kept to be run again."""
UNPACKED = {"session.disable_prepacking": "1"}
WARM_UPS, MOST_RUNS, LONGEST_S = 3, 200, 1.0
Feeds = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Node:
    """A node of a graph as it is run, after whatever was optimised.

    Attributes:
        name: Its name.
        operator: Its type.
        provider: The execution provider that runs it.
        ms: Mean time of a run (ms).
        flops: Mean arithmetic of a run (see `node_flops`), that of padding among it.
        bytes: What it reads and writes, weights among it, in the mean of a run.
    """

    name: str
    operator: str
    provider: str
    ms: float
    flops: float
    bytes: float


@dataclass(frozen=True)
class Graph:
    """A graph as it is run.

    Attributes:
        stage: Of a decision.
        file: In the bundle.
        nodes: In the order in which they run.
        flops: Mean arithmetic of a run, without padding.
        bytes: Weights, inputs and outputs, each once: what has to be moved whatever is fused.
        weights: Bytes of the weights.
        ms: Mean time of a run while it is watched (ms).
    """

    stage: str
    file: str
    nodes: tuple[Node, ...]
    flops: float
    bytes: float
    weights: float
    ms: float

    @property
    def providers(self) -> dict[str, int]:
        """Execution provider → how many nodes it runs."""
        found: dict[str, int] = {}
        for node in self.nodes:
            found[node.provider] = found.get(node.provider, 0) + 1
        return found


def graphs_of(bundle: Bundle, shown: Shown, execution: Execution) -> list[Graph]:
    """All graphs of a policy, run again on what decisions give them.

    Args:
        bundle: Its files.
        shown: What the decisions see.
        execution: How graphs are run.
    """
    calls = _calls(bundle, shown)
    files = {encoder_stage(name): encoder_file(name) for name in bundle.signature.names} | {CORE_STAGE: CORE}
    return [_graph(bundle, stage, file, calls[stage], execution) for stage, file in files.items() if calls[stage]]


def foreign_nodes(graphs: Sequence[Graph], provider: str) -> dict[str, list[Node]]:
    """File of a graph → its nodes that another provider runs."""
    found = {graph.file: [node for node in graph.nodes if node.provider != provider] for graph in graphs}
    return {file: nodes for file, nodes in found.items() if nodes}


@dataclass
class _Listening:
    """A back end that keeps what its graphs are given."""

    backend: Backend
    encoders: dict[str, list[tuple[np.ndarray, ...]]] = field(default_factory=lambda: defaultdict(list))
    cores: list[CoreInput] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory_size = self.backend.memory_size

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if len(self.encoders[name]) < CALLS:
            self.encoders[name].append(tuple(values))
        return self.backend.encode(name, values)

    def step(self, inputs: CoreInput) -> CoreOutput:
        if len(self.cores) < CALLS:
            self.cores.append(inputs)
        return self.backend.step(inputs)

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.backend.empty_tokens(name)


def _calls(bundle: Bundle, shown: Shown) -> dict[str, list[Any]]:
    """Stage → what its graph is given, in decisions on the CPU that are spread over all that is shown."""
    heard = _Listening(OnnxBackend(bundle))
    listening = Policy(bundle.signature, heard, bundle.tokenizer())
    firsts = [i for i, start in enumerate(shown.starts) if start]
    for first in firsts[:: max(1, len(firsts) // CALLS)][:CALLS]:  # where all is new
        listening.reset()
        step = shown.steps[first]
        listening.act(step.observation, ages_s=step.ages_s)
    names = bundle.signature.names
    calls: dict[str, list[Any]] = {encoder_stage(name): heard.encoders[name] for name in names}
    return calls | {CORE_STAGE: [core_feeds(names, inputs) for inputs in heard.cores]}


def _graph(bundle: Bundle, stage: str, file: str, calls: list[Any], execution: Execution) -> Graph:
    path = bundle.file(file)
    timed = _watched(path, calls, execution)
    unpacked = _by_node(_watched(path, calls, execution, UNPACKED, once=True).events)
    plain = replace(execution, optimisation="extended") if execution.optimisation == "all" else execution
    needed = _watched(path, calls, plain, UNPACKED, once=True)
    nodes = []
    for name, runs in _by_node(timed.events).items():
        same = unpacked.get(name, runs)
        nodes.append(
            Node(
                name,
                runs[0].operator,
                runs[0].provider,
                ms=sum(one.ms for one in runs) / timed.runs,
                flops=float(np.mean([one.flops for one in same])),
                bytes=float(np.mean([one.parameter_bytes + one.activation_bytes for one in same])),
            )
        )
    weights = float(sum(one[0].parameter_bytes for one in _by_node(needed.events).values()))
    flops = sum(one.flops for one in needed.events) / needed.runs
    return Graph(stage, file, tuple(nodes), flops, weights + timed.moved, weights, timed.ms)


def _by_node(events: "Sequence[_Event]") -> "dict[str, list[_Event]]":
    """Node → its runs; the nodes in the order in which they first ran."""
    found: dict[str, list[_Event]] = defaultdict(list)
    for event in events:
        found[event.name].append(event)
    return dict(found)


@dataclass(frozen=True)
class _Event:
    """One run of one node."""

    name: str
    operator: str
    provider: str
    ms: float
    inputs: list[list[int]]
    outputs: list[list[int]]
    parameter_bytes: int
    activation_bytes: int

    @property
    def flops(self) -> int:
        """Its arithmetic."""
        return node_flops(self.operator, self.inputs, self.outputs)


@dataclass(frozen=True)
class _Watched:
    """Some runs of a graph: their nodes, how many there were, their mean time (ms), and bytes going in and out."""

    events: list[_Event]
    runs: int
    ms: float
    moved: float


def _watched(
    path: Path, calls: list[Any], execution: Execution, entries: Mapping[str, str] | None = None, *, once: bool = False
) -> _Watched:
    """Run a graph while ONNX Runtime keeps a record, and read that."""
    ort = runtime()
    with TemporaryDirectory(prefix="sensorimotor-profile-") as folder:
        options = execution.session_options(ort)
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "run")
        for key, value in (entries or {}).items():
            options.add_session_config_entry(key, value)
        session = ort.InferenceSession(str(path), options, providers=list(execution.providers))
        names = [one.name for one in session.get_inputs()]
        feeds = [one if isinstance(one, dict) else dict(zip(names, one, strict=True)) for one in calls]
        made = [session.run(None, one) for one in feeds[:WARM_UPS]]
        moved = [
            sum(a.nbytes for a in one.values()) + sum(a.nbytes for a in out)
            for one, out in zip(feeds, made, strict=False)
        ]
        began = time.perf_counter()
        runs = 0
        while runs < (len(feeds) if once else MOST_RUNS):
            session.run(None, feeds[runs % len(feeds)])
            runs += 1
            if time.perf_counter() - began > LONGEST_S:
                break
        ms = (time.perf_counter() - began) * 1e3 / runs
        events = read_events(json.loads(Path(session.end_profiling()).read_text()))
    seen: dict[str, int] = defaultdict(int)
    kept = []
    for event in events:
        seen[event.name] += 1
        if seen[event.name] > len(made):  # the first runs were to warm up
            kept.append(event)
    return _Watched(kept, runs, ms, float(np.mean(moved)))


def read_events(record: Any) -> list[_Event]:
    """The runs of nodes in what ONNX Runtime's profiler has written."""
    events = []
    for entry in record:
        told = entry.get("args", {})
        if entry.get("cat") != "Node" or not entry.get("name", "").endswith("_kernel_time"):
            continue
        inputs, outputs = (_shapes(told.get(f"{side}_type_shape", [])) for side in ("input", "output"))
        events.append(
            _Event(
                name=entry["name"].removesuffix("_kernel_time"),
                operator=told.get("op_name", "?"),
                provider=told.get("provider", "?"),
                ms=entry["dur"] / 1e3,
                inputs=inputs,
                outputs=outputs,
                parameter_bytes=int(told.get("parameter_size", 0)),
                activation_bytes=int(told.get("activation_size", 0)) + int(told.get("output_size", 0)),
            )
        )
    return events


def _shapes(told: Sequence[Mapping[str, Sequence[int]]]) -> list[list[int]]:
    return [list(shape) for one in told for shape in one.values()]
