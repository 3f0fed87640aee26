"""Whose weights a pretrained encoder begins with, and what their source states as their licence."""

import re
from pathlib import Path
from typing import Any

from sensorimotor.files import sha256
from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.pretrained import Origin, encoder_library
from sensorimotor.perception.whisper_encoder import WhisperSpec

HUB = "https://huggingface.co/"
WHISPER = "https://github.com/openai/whisper"
FOLDER, FILE = "a local folder", "a local file"
_RESTRICTED = re.compile(r"research|non-?commercial|\bnc\b|\bapple-(amlr|ascl)\b", re.IGNORECASE)


def restricted(licence: str | None) -> bool:
    """Whether a licence is known to allow research only, or no commercial use.

    >>> [name for name in ("mit", "cc-by-nc-sa-4.0", "apple-amlr", "apache-2.0", None) if restricted(name)]
    ['cc-by-nc-sa-4.0', 'apple-amlr']
    """
    return bool(licence and _RESTRICTED.search(licence))


def origin_of(spec: ClipSpec | WhisperSpec | LanguageSpec) -> Origin:
    """Whose weights they are, with the licence that a model card or the library's own repository states.

    open_clip and `transformers` state no licences themselves: the card of the model does, its `README.md`.
    """
    match spec:
        case ClipSpec():
            return _of_clip(spec)
        case WhisperSpec():
            return _of_whisper(spec)
        case LanguageSpec():
            folder = Path(spec.model)
            return _in_folder(folder) if folder.is_dir() else _on_hub(spec.model, spec.model)


def card_licence(card: Path) -> str | None:
    """The licence that a model card states in its head; None without one, or where it cannot be read."""
    hub, yaml = encoder_library("huggingface_hub", "huggingface-hub"), encoder_library("yaml", "PyYAML")
    try:
        stated: dict[str, Any] = hub.metadata_load(card) or {}
    except (OSError, ValueError, yaml.YAMLError):
        return None
    licence = stated.get("license")
    if licence == "other":
        licence = stated.get("license_name") or licence
    return licence if isinstance(licence, str) else None


def _of_clip(spec: ClipSpec) -> Origin:
    open_clip = encoder_library("open_clip", "open_clip_torch")
    where, _, rest = spec.model.partition(":")
    if where == "local-dir":
        found = _in_folder(Path(rest))
    elif where == "hf-hub":
        found = _on_hub(rest, rest)
    elif Path(spec.pretrained).is_file():
        found = Origin(weights=Path(spec.pretrained).name, source=FILE)
    else:
        known = open_clip.get_pretrained_cfg(spec.model.replace("/", "-"), spec.pretrained)
        weights = f"{spec.model} ({spec.pretrained})"
        repository = "/".join(known.get("hf_hub", "").split("/")[:2])
        found = _on_hub(repository, weights) if repository else Origin(weights=weights, source=known.get("url") or None)
    if found.licence is None and "mobileclip" in f"{found.weights} {found.source}".lower():
        return found.model_copy(update={"licence": "apple-amlr"})  # stated in Apple's repository, not in open_clip
    return found


def _of_whisper(spec: WhisperSpec) -> Origin:
    """The licence of OpenAI's weights is that of their repository; a file of theirs is known by its SHA-256."""
    published: dict[str, str] = encoder_library("whisper", "openai-whisper")._MODELS
    name = spec.model
    if name not in published:
        digest = sha256(Path(name))
        name = next((one for one, address in published.items() if f"/{digest}/" in address), "")
    if name:
        return Origin(weights=f"Whisper {name}", source=WHISPER, licence="mit")
    return Origin(weights=Path(spec.model).name, source=FILE)


def _in_folder(folder: Path) -> Origin:
    return Origin(weights=folder.absolute().name, source=FOLDER, licence=card_licence(folder / "README.md"))


def _on_hub(repository: str, weights: str) -> Origin:
    """The card comes from where the weights have just come from, or from the hub's cache on this machine."""
    hub = encoder_library("huggingface_hub", "huggingface-hub")
    try:
        licence = card_licence(Path(hub.hf_hub_download(repository, "README.md")))
    except Exception:  # noqa: BLE001 (the hub's own errors and those of its transport: without a card nothing is stated)
        licence = None
    return Origin(weights=weights, source=HUB + repository, licence=licence)
