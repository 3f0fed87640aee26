import json
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from sensorimotor.errors import MissingExtraError, QuantisationError
from sensorimotor.models.agreement import compare
from sensorimotor.models.bundle import Bundle, seal
from sensorimotor.models.execution import ONE_THREAD
from sensorimotor.models.golden import replay
from sensorimotor.models.policy import Policy
from sensorimotor.models.quantised import quantise
from sensorimotor.pipelines.shown import golden_shown


@pytest.fixture(scope="module")
def default():
    return Bundle.load("default")


@pytest.fixture(scope="module", params=[False, True], ids=["8 bits", "7 bits"])
def graphs(default, request, tmp_path_factory):
    return quantise(default, tmp_path_factory.mktemp("int8"), reduce_range=request.param)


def kinds(path):
    return [node.op_type for node in onnx.load(path).graph.node]


def test_graphs_with_large_matrix_products_are_made_and_no_others(graphs):
    assert {file: path.name for file, path in graphs.items()} == {
        "encoder.mic.onnx": "encoder.mic.int8.onnx",
        "core.onnx": "core.int8.onnx",
    }


def test_large_matrix_products_are_in_int8_and_small_ones_as_they_were(default, graphs):
    for file, path in graphs.items():
        graph = onnx.load(default.file(file)).graph
        sizes = {one.name: np.prod(one.dims) for one in graph.initializer}
        products = [sizes.get(node.input[1]) for node in graph.node if node.op_type in ("MatMul", "Gemm")]
        large = [size for size in products if size and size >= 2**14]
        assert kinds(path).count("MatMulInteger") == len(large)
        assert sum(kind in ("MatMul", "Gemm") for kind in kinds(path)) == len(products) - len(large) > 0
        assert "ConvInteger" not in kinds(path)


def test_seven_bits_are_seven(default, tmp_path):
    made = quantise(default, tmp_path, reduce_range=True)["core.onnx"]
    weights = [
        one for one in onnx.load(made).graph.initializer if one.data_type == TensorProto.INT8 and len(one.dims) > 1
    ]
    assert weights
    assert all(np.abs(numpy_helper.to_array(one).astype(int)).max() <= 64 for one in weights)


def test_the_bundled_policy_decides_in_int8_as_in_fp32(default, graphs):
    shown = golden_shown(default)
    right = replay(Policy.load(default), shown.steps, shown.starts)
    policy = Policy.load(default, execution=replace(ONE_THREAD, graphs=graphs))
    found = compare(default.signature.action_space, replay(policy, shown.steps, shown.starts), right)
    assert found.complete
    assert 0 < found.max_difference < 1


def test_the_bundle_is_as_it_was(default, graphs):
    assert Bundle.load("default").fingerprint == default.fingerprint


def test_without_onnx_the_extra_that_brings_it_is_named(default, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"quantising needs onnx.*sensorimotor\[tune\]"):
        quantise(default, tmp_path, reduce_range=False)


def test_a_graph_that_cannot_be_quantised_is_named(bundle_copy, tmp_path):
    (bundle_copy / "core.onnx").write_bytes(b"no graph")
    seal(bundle_copy, json.loads((bundle_copy / "config.json").read_text()))
    with pytest.raises(QuantisationError, match=r"core\.onnx cannot be quantised: "):
        quantise(Bundle.load(bundle_copy), tmp_path, reduce_range=False)
    assert list(tmp_path.glob("*core*")) == []
