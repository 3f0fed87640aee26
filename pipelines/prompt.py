"""A policy on day one, without data: actions described in words, and a model that others have trained to compare."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import UsageError
from sensorimotor.models.export import export, require_replaceable
from sensorimotor.models.parity import CLOSED_LOOP_STEPS, TOLERANCE, Evidence
from sensorimotor.models.prompted import PromptedNetwork, prompted_network
from sensorimotor.models.signature import ActuatorHold, Constant, Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.modality import Image
from sensorimotor.pipelines.hardware import describe_machine, versions

TEMPLATES = ("{}.", "a photo of {}.", "a picture of {}.", "a video frame of {}.")
"""What a prompt is put into: models of pictures and texts have mostly read captions."""
CAMERA = (480, 640)
RATE_HZ = 10.0

PICTURES, PICTURE_BYTES = 100, 2**28
"""Synthetic pictures that the export is tested on; fewer where they would need more memory than this."""
FEWEST_PICTURES = 20
SIMILARITY_TOLERANCE = 1e-5
"""How much exported and original similarities may differ (cosine); logits differ by this times the model's scale."""
TRIES = 4
"""For each picture that is wanted: those between two actions are left out, where rounding may decide."""


def parse_image(given: str) -> ClipSpec:
    """The model that `--image` names.

    Args:
        given: `open_clip:MODEL:TAG`, where TAG may be a checkpoint file; `open_clip:hf-hub:OWNER/NAME`; or
            `open_clip:local-dir:DIR`.

    Raises:
        UsageError: It is none of these.

    >>> parse_image("open_clip:ViT-B-32-256:datacomp_s34b_b86k").pretrained
    'datacomp_s34b_b86k'
    >>> parse_image("open_clip:local-dir:models/mine").model
    'local-dir:models/mine'
    """
    library, _, rest = given.partition(":")
    first, _, second = rest.partition(":")
    if library == "open_clip" and first and second:
        if first in ("hf-hub", "local-dir"):
            return ClipSpec(model=rest)
        return ClipSpec(model=first, pretrained=second)
    raise UsageError(
        f"{given!r} names no model of pictures and texts: write open_clip:MODEL:TAG, for example "
        "open_clip:ViT-B-32-256:datacomp_s34b_b86k, or open_clip:hf-hub:OWNER/NAME, or open_clip:local-dir:DIR"
    )


def parse_actions(given: Sequence[str]) -> dict[str, str]:
    """The actions that `--action NAME=TEXT` names, in order.

    Raises:
        UsageError: One has no name or no text, a name comes twice, or there are fewer than two.

    >>> parse_actions(["wave=a person waving at the camera", "none=an empty room"])["none"]
    'an empty room'
    """
    actions: dict[str, str] = {}
    for one in given:
        name, _, text = (part.strip() for part in one.partition("="))
        if not name or not text:
            raise UsageError(f'{one!r} describes no action: write NAME=TEXT, for example none="an empty room"')
        if name in actions:
            raise UsageError(f"the action {name!r} is described twice")
        actions[name] = text
    if len(actions) < 2:
        raise UsageError(f"there is nothing to choose between: describe two actions or more, not {len(actions)}")
    return actions


def build_prompted(
    image: str,
    actions: Mapping[str, str | Sequence[str]],
    out: Path,
    *,
    camera: tuple[int, int] = CAMERA,
    templates: Sequence[str] = TEMPLATES,
    safe: str | None = None,
    rate_hz: float = RATE_HZ,
) -> dict[str, Any]:
    """Make a bundle that does what goes best with the picture; nothing is trained.

    Args:
        image: The model; see `parse_image`.
        actions: Name → the text that describes it, or several whose embeddings are averaged.
        out: The bundle's directory.
        camera: Height and width of the frames (pixels).
        templates: Each text is put into each of these, in place of `{}`.
        safe: The action to take when the camera is lost; None: the device is told to hold.
        rate_hz: Decisions a second.

    Returns:
        The parity report.

    Raises:
        UsageError: Model, actions, templates or camera make no policy, or the model cannot tell the actions apart.
        EncoderError: The model cannot be had.
        SignatureError: `safe` is none of the actions.
        ParityError: The exported graphs differ from the model; nothing is written.
        OutputPathError: `out` cannot be written, or is a directory with something else in it.
    """
    texts = {name: (text,) if isinstance(text, str) else tuple(text) for name, text in actions.items()}
    prompts = fill(templates, texts)
    chosen, signature = parse_image(image), prompted_signature(tuple(texts), camera, safe, rate_hz)
    require_replaceable(out)
    network = prompted_network(signature, chosen, prompts)
    # The scale of a CLIP is about 100: logits to within 1e-4 would ask for more digits of a cosine than float32 has.
    tolerance = max(TOLERANCE, SIMILARITY_TOLERANCE * float(network.core.scale))
    pictures = synthetic_pictures(network, margin=2 * tolerance)
    recipe = {"name": out.absolute().name, "prompt": {"image": image, "actions": texts, "templates": list(templates)}}
    config = {
        "name": recipe["name"],
        "description": f"Chooses between {', '.join(texts)}: what the picture goes best with. It was never trained.",
        "metrics": {"held_out": {}},
        "provenance": {
            "recipe": recipe,
            "steps": 0,
            "hours": 0.0,
            "machine": describe_machine(),
            "versions": versions("torch", "open_clip_torch", "onnx", "onnxscript"),
            "evidence": f"{len(pictures)} synthetic pictures (noise, gradients, shapes), for there were no data",
        },
    }
    return export(network, _evidence(pictures), out, config, tolerance=tolerance)


def prompted_signature(
    labels: Sequence[str], camera: tuple[int, int] = CAMERA, safe: str | None = None, rate_hz: float = RATE_HZ
) -> Signature:
    """One camera, without which nothing is decided, and one choice a label; see `build_prompted`."""
    try:
        frames = Image(height=camera[0], width=camera[1], critical=True)
    except ValidationError as error:
        raise UsageError(f"no camera has frames of {camera[0]} x {camera[1]} pixels (height x width)") from error
    hold = ActuatorHold() if safe is None else Constant(safe)
    return Signature({"camera": frames}, Discrete(len(labels), labels), hold, rate_hz)


def synthetic_pictures(network: PromptedNetwork, margin: float) -> list[np.ndarray]:
    """Pictures to test an export on, uint8 `(height, width, 3)`: always the same for the same camera and prompts.

    Args:
        network: What decides on them.
        margin: Its best two logits differ by more, so that rounding cannot change what it chooses.

    Raises:
        UsageError: There are hardly any such pictures: to this model the prompts say the same.
    """
    [(name, modality)] = network.signature.inputs.items()
    assert isinstance(modality, Image)
    wanted = max(FEWEST_PICTURES, min(PICTURES, PICTURE_BYTES // (modality.height * modality.width * 3)))
    rng = np.random.default_rng(0)
    pictures: list[np.ndarray] = []
    present = torch.ones(1, 1, dtype=torch.bool)
    for number in range(TRIES * wanted):
        picture = synthetic_picture(rng, modality.height, modality.width, number)
        with torch.inference_mode():
            tokens, mask = network.encoders[name](torch.from_numpy(picture)[None])
            logits, _, _ = network.core([tokens], [mask], present, torch.zeros(1, 1), network.initial_memory(1))
        best, second = logits[0].topk(2).values.tolist()
        if best - second > margin:
            pictures.append(picture)
        if len(pictures) == wanted:
            return pictures
    raise UsageError(
        "the model cannot tell the actions apart: on nearly all pictures its two best go equally well; describe them "
        "in other words"
    )


def synthetic_picture(rng: np.random.Generator, height: int, width: int, number: int) -> np.ndarray:
    """Noise, coarse noise, a gradient or shapes, in turn by `number`; uint8 `(height, width, 3)`."""
    match number % 4:
        case 0:
            return rng.integers(0, 256, (height, width, 3), np.uint8)
        case 1:
            coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
            return coarse.repeat(16, 0).repeat(16, 1)[:height, :width].copy()
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    if number % 4 == 2:
        slopes = rng.uniform(-1, 1, (3, 2))
        ramp = np.stack([down * rows + across * columns for down, across in slopes], -1)
        return (127.5 + 63.5 * ramp).round().astype(np.uint8)
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = rng.integers(0, 256, 3)
    for _ in range(int(rng.integers(1, 7))):
        y, x, tall, wide = *rng.uniform(-1, 1, 2), *rng.uniform(0.1, 0.6, 2)
        down, across = (rows - y) / tall, (columns - x) / wide
        inside = down**2 + across**2 < 1 if rng.random() < 0.5 else np.maximum(abs(down), abs(across)) < 1
        picture[inside] = rng.integers(0, 256, 3)
    return picture


def fill(templates: Sequence[str], texts: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The prompts of each action: every text in every template.

    Raises:
        UsageError: There are fewer than two actions, one is not described or like another, or a template is none.

    >>> fill(["a photo of {}.", "{}"], {"a": ["a dog"], "b": ["a cat"]})
    [['a photo of a dog.', 'a dog'], ['a photo of a cat.', 'a cat']]
    """
    if len(texts) < 2:
        raise UsageError(f"there is nothing to choose between: describe two actions or more, not {len(texts)}")
    if wrong := [template for template in templates if template.count("{}") != 1]:
        raise UsageError(f"{wrong[0]!r} is no template: it needs one {{}} for the text to go")
    if not templates:
        raise UsageError("without a template there are no prompts; the plainest is {}")
    known: dict[tuple[str, ...], str] = {}
    for name, described in texts.items():
        if not described or not all(text.strip() for text in described):
            raise UsageError(f"the action {name!r} has no text that describes it")
        same = known.setdefault(tuple(sorted({text.strip().lower() for text in described})), name)
        if same != name:
            raise UsageError(f"the actions {same!r} and {name!r} are described in the same words")
    return [
        [template.replace("{}", text.strip()) for text in described for template in templates]
        for described in texts.values()
    ]


def _evidence(pictures: Sequence[np.ndarray]) -> Evidence:
    """Every picture for as many steps on end as make enough: without a memory, more would test the same again."""
    held = -(-CLOSED_LOOP_STEPS // len(pictures))
    steps = [Sensed({"camera": picture}, {"camera": 0.0}, {}) for picture in pictures for _ in range(held)]
    return Evidence(steps, [step % held == 0 for step in range(len(steps))])
