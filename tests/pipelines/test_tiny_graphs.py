import numpy as np
import onnx
import pytest

from sensorimotor.models.onnx_backend import runtime
from sensorimotor.pipelines.tiny_graphs import one_node


@pytest.mark.parametrize(("operator", "inputs"), [("MatMul", ["left", "right"]), ("Identity", ["source"])])
def test_what_is_written_by_hand_is_an_onnx_model(operator, inputs):
    model = onnx.load_from_string(one_node(operator, inputs, 2))
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == [operator]
    assert [one.name for one in model.graph.input] == inputs


def test_it_computes_what_it_says():
    left, right = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4), np.float32)
    session = runtime().InferenceSession(one_node("MatMul", ["left", "right"], 2), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"left": left, "right": right})
    assert np.array_equal(made, left @ right)
