"""The graphs of a bundle with their large matrix products in int8, for processors that multiply bytes faster.

Weights are quantised once, by column; what they are multiplied with is quantised as it comes, by one scale for a whole
tensor (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). The rows of a batch share that
scale, and so influence each other: such graphs are for one observation at a time.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sensorimotor.errors import QuantisationError
from sensorimotor.files import replacing
from sensorimotor.libraries import library
from sensorimotor.models.bundle import Bundle, graph_files
from sensorimotor.models.onnx_backend import runtime

SMALLEST = 2**14
"""Matrices of fewer weights stay as they are: quantising what they are multiplied with takes longer than they do."""


def quantised_name(file: str) -> str:
    """What the int8 form of a graph is called."""
    return f"{Path(file).stem}.int8.onnx"


def quantise(bundle: Bundle, directory: Path, *, reduce_range: bool) -> dict[str, Path]:
    """Write the int8 form of every graph that has large matrix products.

    Args:
        bundle: It is not changed.
        directory: Where to.
        reduce_range: Whether to use 7 bits of the 8: without dot product instructions for bytes, x86 processors add
            products of bytes in 16 bits, which overflow.

    Returns:
        File of the bundle → the graph to take in its place.

    Raises:
        MissingExtraError: `onnx` is not installed.
        QuantisationError: A graph cannot be quantised.
        OutputPathError: `directory` cannot be written to.
    """
    onnx = library("onnx", "onnx", "tune", "quantising")
    runtime()
    quantization = library("onnxruntime.quantization", "onnx", "tune", "quantising")
    made = {}
    for file in graph_files(bundle):
        with _named(bundle.file(file)):
            model = onnx.load(str(bundle.file(file)))
        large, small = _matrix_products(model.graph)
        if not large:
            continue
        target = directory / quantised_name(file)
        with replacing(target) as aside, _named(bundle.file(file)), _quiet():
            quantization.quantize_dynamic(
                model,
                str(aside),
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=reduce_range,
                nodes_to_exclude=small,
                extra_options={"MatMulConstBOnly": True},
            )
        made[file] = target
    return made


@contextmanager
def _named(graph: Path) -> Iterator[None]:
    """While inside, what goes wrong is said of this graph."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 (the quantiser raises whatever a graph makes it stumble over)
        raise QuantisationError(f"{graph} cannot be quantised: {' '.join(str(error).split())}") from error


def _matrix_products(graph: Any) -> tuple[list[str], list[str]]:
    """The names of matrix products with constant weights: large ones, and others. All get a name."""
    weights = {one.name: math.prod(one.dims) for one in graph.initializer}
    large, small = list[str](), list[str]()
    for number, node in enumerate(graph.node):
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights:
            node.name = node.name or f"{node.op_type}.{number}"
            # The quantiser turns a Gemm into a MatMul of another name and an Add.
            names = [node.name] if node.op_type == "MatMul" else [node.name, f"{node.name}_MatMul"]
            (large if weights[node.input[1]] >= SMALLEST else small).extend(names)
    return large, small


@contextmanager
def _quiet() -> Iterator[None]:
    """While inside, the quantiser does not recommend a preprocessing that the exporter has done."""
    logger = logging.getLogger()
    logger.addFilter(_says_something_else)
    try:
        yield
    finally:
        logger.removeFilter(_says_something_else)


def _says_something_else(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()
