"""All graphs of a bundle merged into one ONNX file that does one step: for runtimes that take a single model.

Inputs are the raw values of all inputs, `present`, `age_s` and `memory`; outputs `parameters`, `embedding` and
`memory_out`. An absent input still has to be given something of its shape; zeros will do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.models.backend import CoreInput, CoreOutput
from sensorimotor.models.bundle import CORE, SINGLE, encoder_file
from sensorimotor.models.onnx_backend import DECIDED, runtime
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Image


def write_single_file(signature: Signature, directory: Path) -> Path:
    """Merge the encoders and the core that are in `directory` into `policy.onnx` there."""
    import onnx
    from onnx import compose

    merged = compose.add_prefix(onnx.load(directory / CORE), "core/", rename_inputs=False, rename_outputs=False)
    for name in signature.names:
        encoder, modality = onnx.load(directory / encoder_file(name)), signature.inputs[name]
        encoder.ir_version = merged.ir_version
        if isinstance(modality, Image) and modality.frames > 1:
            encoder = _of_films(encoder, name, modality)
        else:
            encoder = compose.add_prefix(encoder, f"{name}/", rename_inputs=False)
        io_map = [(f"{name}/tokens", f"{name}.tokens"), (f"{name}/mask", f"{name}.mask")]
        merged = compose.merge_models(encoder, merged, io_map=io_map)
    onnx.checker.check_model(merged)
    path = directory / SINGLE
    onnx.save(merged, path)
    return path


def _of_films(encoder: Any, name: str, modality: Image) -> Any:
    """An encoder of frames as one of films: frames go in one a row, and the tokens of a film come out in order."""
    from onnx import compose, helper
    from onnx.numpy_helper import from_array

    def reshaped(before: str, after: str, kind: int, shapes: tuple[list[Any], list[Any]]) -> Any:
        """A graph that gives an array another shape, of which only the rows are not known."""
        values = [
            helper.make_tensor_value_info(one, kind, shape) for one, shape in zip((before, after), shapes, strict=True)
        ]
        target = from_array(np.array([-1, *shapes[1][1:]], np.int64), f"{after}.shape")
        node = helper.make_node("Reshape", [before, target.name], [after])
        graph = helper.make_graph([node], after, values[:1], values[1:], [target])
        return helper.make_model(graph, opset_imports=encoder.opset_import, ir_version=encoder.ir_version)

    inner = compose.add_prefix(encoder, f"{name}/frame/")
    one, films, frames = list(modality.one_frame), f"{name}.films", f"{name}.frames"
    [taken] = inner.graph.input
    kind = taken.type.tensor_type.elem_type
    cut = reshaped(name, f"{name}/frames", kind, ([films, modality.frames, *one], [frames, *one]))
    whole = compose.merge_models(cut, inner, io_map=[(f"{name}/frames", taken.name)])
    for output in encoder.graph.output:
        shape = [size.dim_value for size in output.type.tensor_type.shape.dim[1:]]
        film = [films, modality.frames * shape[0], *shape[1:]]
        source, kind = f"{name}/frame/{output.name}", output.type.tensor_type.elem_type
        joined = reshaped(f"{source}s", f"{name}/{output.name}", kind, ([frames, *shape], film))
        whole = compose.merge_models(whole, joined, io_map=[(source, f"{source}s")])
    return whole


class SingleFileBackend:
    """Runs `policy.onnx` as a back end, so that it can be held against the parts it was merged from.

    Its encoders cannot run on their own, so the "tokens" it hands out are the raw values themselves: of a film, its
    frames, which are put together again for the step.
    """

    def __init__(self, path: Path, signature: Signature, memory_size: int):
        self._session = runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._signature, self.memory_size = signature, memory_size

    def encode(self, name: str, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Hand the raw values through: the first as tokens, the second, a length, as mask."""
        return values[0], values[1] if len(values) > 1 else np.zeros((len(values[0]), 1), np.int64)

    def step(self, inputs: CoreInput) -> CoreOutput:
        """See `Backend.step`."""
        feeds: dict[str, Any] = {"present": inputs.present, "age_s": inputs.age_s, "memory": inputs.memory}
        for name, value, length in zip(self._signature.names, inputs.tokens, inputs.masks, strict=True):
            modality = self._signature.inputs[name]
            if isinstance(modality, Image):
                value = value.reshape(-1, *modality.shape)  # the frames of a film lie below each other
            feeds[name], feeds[f"{name}.length"] = value, length
        wanted = {argument.name for argument in self._session.get_inputs()}
        outputs = self._session.run(DECIDED, {name: feeds[name] for name in wanted})
        return CoreOutput(*outputs)

    def empty_tokens(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Zeros of the raw value's shape, and a length of 0."""
        from sensorimotor.models.export import example_values

        return np.zeros_like(example_values(self._signature.inputs[name], 1)[0]), np.zeros(1, np.int64)
