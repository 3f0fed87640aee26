"""ONNX graphs of one node, to measure a machine with; written by hand, since running a policy does not need `onnx`."""

from collections.abc import Sequence

IR_VERSION, OPSET = 8, 17
FLOAT = 1


def one_node(operator: str, inputs: Sequence[str], rank: int) -> bytes:
    """A model whose only node takes float32 tensors of so many axes of any length, and gives `made`, which has as many.

    The fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
    """
    node = b"".join(_field(1, name.encode()) for name in inputs) + _field(2, b"made") + _field(4, operator.encode())
    tensors = b"".join(_field(11, _tensor(name, rank)) for name in inputs) + _field(12, _tensor("made", rank))
    graph = _field(1, node) + _field(2, b"measured") + tensors
    return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(2, OPSET))


def _tensor(name: str, rank: int) -> bytes:
    shape = _field(1, b"") * rank  # axes of which nothing is said
    return _field(1, name.encode()) + _field(2, _field(1, _field(1, FLOAT) + _field(2, shape)))


def _field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer: a number, or something with a length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the eighth says that there is more.

    >>> _varint(300).hex()
    'ac02'
    """
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
