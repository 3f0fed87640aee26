"""The arithmetic of operators, from the shapes of what they take and give.

Counted are matrix products, convolutions, recurrent layers and attention, a multiply-add being two; whatever else a
graph does is cheap in arithmetic, and paid for in bytes.
"""

import math
from collections.abc import Sequence

Shapes = Sequence[Sequence[int]]

PRODUCTS = {
    *("MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"),
    *("Gemm", "FusedGemm", "QGemm", "GemmFastGelu", "FusedMatMulActivation"),
}
CONVOLUTIONS = {"Conv", "FusedConv", "NhwcConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"}
RECURRENT = {"GRU", "LSTM", "RNN", "DynamicQuantizeLSTM"}


def node_flops(operator: str, inputs: Shapes, outputs: Shapes) -> int:
    """Floating point operations of one call; 0 for operators that are not counted, or whose shapes are not known.

    Args:
        operator: Its type, as ONNX or ONNX Runtime calls it.
        inputs: Shapes of what it takes, weights among them.
        outputs: Shapes of what it gives.

    >>> node_flops("Gemm", [(2, 8), (4, 8), (4,)], [(2, 4)])  # whichever of them is transposed
    128
    >>> node_flops("Conv", [(1, 3, 8, 8), (16, 3, 3, 3)], [(1, 16, 8, 8)])
    55296
    """
    if operator in PRODUCTS:
        return _product(inputs, outputs)
    if operator in CONVOLUTIONS:
        weights = _of_rank(inputs, 3)
        return 2 * math.prod(outputs[0]) * math.prod(weights[1][1:]) if len(weights) > 1 else 0
    if operator == "ConvTranspose":
        weights = _of_rank(inputs, 3)
        return 2 * math.prod(weights[0]) * math.prod(weights[1][1:]) if len(weights) > 1 else 0
    if operator in RECURRENT:
        sequence, *weights = _of_rank(inputs, 3) or [(0, 0, 0)]
        return 2 * sequence[0] * sequence[1] * sum(math.prod(one) for one in weights[:2])
    if operator == "MultiHeadAttention":
        sides = _of_rank(inputs, 3)
        return 4 * math.prod(sides[0]) * sides[1][-2] if len(sides) > 1 else 0
    return 0


def _product(inputs: Shapes, outputs: Shapes) -> int:
    """A matrix product, either side of which may be transposed: the axis that vanishes follows from the other sizes."""
    sides = _of_rank(inputs, 2)
    if len(sides) < 2 or len(outputs[0]) < 2 or not math.prod(outputs[0]):
        return 0
    left, right, made = (math.prod(one[-2:]) for one in (*sides[:2], outputs[0]))
    return 2 * math.prod(outputs[0]) * math.isqrt(left * right // made)


def _of_rank(shapes: Shapes, least: int) -> list[Sequence[int]]:
    return [shape for shape in shapes if len(shape) >= least]
