import json
from dataclasses import replace

import onnx
import pytest
import torch

from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import ONE_THREAD
from sensorimotor.perception.arguments import encoder_arguments
from sensorimotor.pipelines.check import count_flops
from sensorimotor.pipelines.operators import foreign_nodes, graphs_of, read_events
from sensorimotor.pipelines.shown import golden_shown


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle)


@pytest.fixture(scope="module")
def graphs(bundle):
    return graphs_of(bundle, golden_shown(bundle), ONE_THREAD)


def test_every_graph_of_a_bundle_is_there(graphs):
    assert {graph.stage: graph.file for graph in graphs} == {
        "encode.camera": "encoder.camera.onnx",
        "encode.mic": "encoder.mic.onnx",
        "encode.instruction": "encoder.instruction.onnx",
        "core": "core.onnx",
    }


def test_every_node_says_where_it_ran_and_what_it_moved(graphs):
    for graph in graphs:
        assert len(graph.nodes) > 5
        assert graph.providers == {"CPUExecutionProvider": len(graph.nodes)}
        assert len({node.name for node in graph.nodes}) == len(graph.nodes)
        assert all(node.bytes > 0 and node.ms >= 0 for node in graph.nodes)
        assert 0 < sum(node.ms for node in graph.nodes) < graph.ms * 1.5


def test_the_weights_are_those_of_the_file(graphs, bundle):
    for graph in graphs:
        stored = onnx.load(bundle.file(graph.file)).graph.initializer
        size = sum(onnx.numpy_helper.to_array(one).nbytes for one in stored)
        assert graph.weights == pytest.approx(size, rel=0.1), graph.file
        assert graph.bytes > graph.weights


def test_the_arithmetic_is_what_torch_counts(graphs, tiny_network, bundle, golden_steps):
    """Which is what `train --check` tells; preprocessing that torch does in other operators counts too."""
    steps, _ = golden_steps
    for name, modality in bundle.signature.inputs.items():
        value = next(step.observation[name] for step in steps if name in step.observation)
        arguments = encoder_arguments(modality, [value], bundle.tokenizer())
        theirs = count_flops(tiny_network.encoders[name], *map(torch.from_numpy, arguments))
        ours = next(graph.flops for graph in graphs if graph.stage == f"encode.{name}")
        assert ours == pytest.approx(theirs, rel=0.02), name


def test_nodes_that_another_provider_runs_are_found(graphs):
    camera, *others = graphs
    moved = replace(camera.nodes[0], provider="CUDAExecutionProvider")
    mixed = [replace(camera, nodes=(moved, *camera.nodes[1:])), *others]
    assert foreign_nodes(graphs, "CPUExecutionProvider") == {}
    assert foreign_nodes(mixed, "CPUExecutionProvider") == {"encoder.camera.onnx": [moved]}


def event(**changes):
    args = {
        "op_name": "MatMul",
        "provider": "CPUExecutionProvider",
        "input_type_shape": [{"float": [2, 3]}, {"float": [3, 4]}],
        "output_type_shape": [{"float": [2, 4]}],
        "parameter_size": "48",
        "activation_size": "24",
        "output_size": "32",
    }
    return {"cat": "Node", "name": "product_kernel_time", "dur": 7, "args": args} | changes


def test_what_the_profiler_writes_is_read():
    (read,) = read_events(json.loads(json.dumps([event()])))
    assert (read.name, read.operator, read.provider, read.ms) == ("product", "MatMul", "CPUExecutionProvider", 0.007)
    assert (read.inputs, read.outputs) == ([[2, 3], [3, 4]], [[2, 4]])
    assert (read.parameter_bytes, read.activation_bytes) == (48, 56)


@pytest.mark.parametrize("other", [{"cat": "Session"}, {"name": "product_fence_before"}, {"cat": None}])
def test_what_is_no_run_of_a_node_is_left_out(other):
    assert read_events([event(**other)]) == []
