import pytest

from sensorimotor.pipelines.flops import node_flops

CASES = {
    "MatMul": ([(2, 5, 8), (8, 3)], [(2, 5, 3)], 2 * 2 * 5 * 8 * 3),
    "FusedMatMul": (
        [(1, 4, 16, 36), (1, 4, 16, 36)],
        [(1, 4, 16, 16)],
        2 * 4 * 16 * 36 * 16,
    ),  # the right one transposed
    "Gemm": ([(7, 5), (3, 5), (3,)], [(7, 3)], 2 * 7 * 5 * 3),
    "QLinearMatMul": ([(2, 8), (), (), (8, 3), (), (), (), ()], [(2, 3)], 2 * 2 * 8 * 3),
    "Conv": ([(1, 8, 10), (4, 2, 3), (4,)], [(1, 4, 10)], 2 * 4 * 10 * 2 * 3),  # four groups of two channels
    "ConvTranspose": ([(1, 4, 5, 5), (4, 2, 3, 3)], [(1, 2, 7, 7)], 2 * 4 * 25 * 2 * 9),
    "GRU": ([(5, 2, 8), (1, 48, 8), (1, 48, 16)], [(5, 1, 2, 16)], 2 * 5 * 2 * 48 * (8 + 16)),
    "MultiHeadAttention": ([(1, 10, 64), (1, 12, 64), (1, 12, 64)], [(1, 10, 64)], 4 * 10 * 12 * 64),
}


@pytest.mark.parametrize("operator", CASES)
def test_arithmetic_follows_from_shapes(operator):
    inputs, outputs, flops = CASES[operator]
    assert node_flops(operator, inputs, outputs) == flops


@pytest.mark.parametrize("operator", ["Add", "Transpose", "SomethingNew"])
def test_whatever_else_there_is_counts_for_nothing(operator):
    assert node_flops(operator, [(2, 3), (2, 3)], [(2, 3)]) == 0


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs"),
    [
        ("MatMul", [(2, 3)], [(2, 5)]),  # the weights are gone
        ("Conv", [(1, 3, 8, 8)], [(1, 4, 8, 8)]),
        ("MatMul", [(0, 3), (3, 5)], [(0, 5)]),  # an empty batch
        ("GRU", [(5, 2, 8)], [(5, 1, 2, 16)]),
        ("GRU", [], []),
        ("MultiHeadAttention", [(1, 10, 64)], [(1, 10, 64)]),
    ],
)
def test_where_shapes_are_not_known_nothing_is_counted(operator, inputs, outputs):
    assert node_flops(operator, inputs, outputs) == 0
