"""Models of open_clip: getting all of their weights, or saying plainly that they cannot be had."""

import json
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import nn

from sensorimotor.errors import EncoderError, UnreachableError
from sensorimotor.perception.preprocessing import Preprocessing
from sensorimotor.perception.pretrained import Pretrained, encoder_library

CONFIG = "open_clip_config.json"


class ClipSpec(Pretrained):
    """Which model of open_clip, and with which weights; for pictures or for texts.

    Attributes:
        model: A built-in name, `hf-hub:OWNER/NAME` or `local-dir:DIR` (which bring their weights).
        pretrained: The tag of a built-in model's weights, or a checkpoint file.
        tokens: Of a picture: `pooled`, one token in the space that pictures and texts share; or `patches`, one for
            every patch of the last layer.
    """

    kind: Literal["open_clip"] = "open_clip"
    model: str = "ViT-B-32-256"
    pretrained: str = "datacomp_s34b_b86k"
    tokens: Literal["pooled", "patches"] = "pooled"


class Clip(NamedTuple):
    """A model and what it takes to build it again without its source.

    Attributes:
        model: The two towers, in evaluation mode.
        preprocessing: How its pictures are prepared.
        architecture: The content of an `open_clip_config.json`.
    """

    model: nn.Module
    preprocessing: Preprocessing
    architecture: dict[str, Any]


def load_clip(spec: ClipSpec) -> Clip:
    """A model with all its weights; with random ones where the specification has an architecture already.

    Raises:
        UnreachableError: It cannot be downloaded.
        EncoderError: There is no such model or tag, or its weights are damaged, incomplete or of another architecture.
        MissingExtraError: open_clip is not installed.
    """
    open_clip = encoder_library("open_clip", "open_clip_torch")
    if spec.architecture:
        return build_clip(spec.architecture)
    local = spec.model.startswith(("local-dir:", "hf-hub:"))
    try:
        model, _, _ = open_clip.create_model_and_transforms(
            spec.model,
            pretrained=None if local else spec.pretrained,
            require_pretrained=True,  # else a failure is logged, and the weights stay random
            pretrained_image=False,
            pretrained_text=False,
        )
        architecture = {
            "model_cfg": open_clip.get_model_config(spec.model),
            "preprocess_cfg": open_clip.get_model_preprocess_cfg(model),
        }
    except Exception as error:  # noqa: BLE001 (open_clip, the hub and torch each raise types of their own)
        raise _explained(spec, error, open_clip) from error
    return Clip(model.eval(), Preprocessing(**architecture["preprocess_cfg"]), architecture)


def build_clip(architecture: dict[str, Any]) -> Clip:
    """A model with random weights: for a network whose own weights are loaded next."""
    open_clip = encoder_library("open_clip", "open_clip_torch")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONFIG).write_text(json.dumps(architecture))
        model = open_clip.create_model(
            f"local-dir:{folder}", load_weights=False, pretrained_image=False, pretrained_text=False
        )
    return Clip(model.eval(), Preprocessing(**architecture["preprocess_cfg"]), architecture)


def _explained(spec: ClipSpec, error: Exception, open_clip: Any) -> EncoderError:
    """What went wrong with a model, and what to do about it."""
    reason = " ".join(str(error).split())
    where = spec.model if spec.model.startswith(("local-dir:", "hf-hub:")) else f"{spec.model} ({spec.pretrained})"
    if "Error(s) in loading state_dict" in reason or "size mismatch" in reason:
        return EncoderError(f"the weights of {where} do not fit its architecture: {reason[:600]}")
    if ":" not in spec.model and spec.model.replace("/", "-") not in open_clip.list_models():
        return EncoderError(f"open_clip has no model {spec.model!r}{_nearest(spec.model, open_clip.list_models())}")
    if ":" not in spec.model and not Path(spec.pretrained).suffix:
        tags = open_clip.list_pretrained_tags_by_model(spec.model.replace("/", "-"))
        if spec.pretrained not in tags:
            known = ", ".join(tags) or "none"
            return EncoderError(f"open_clip has no weights {spec.pretrained!r} for {spec.model}; it has {known}")
    if "Failed to download" in reason or "HF Hub" in reason:
        return UnreachableError(
            f"the weights of {where} cannot be downloaded ({reason[:300]}). Download them elsewhere, with their "
            f"{CONFIG}, into a folder, and name it: model = 'local-dir:FOLDER'"
        )
    return EncoderError(f"{where} cannot be loaded: {reason[:600]}")


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""
