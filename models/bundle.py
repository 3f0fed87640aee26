"""A bundle: the directory that ships. It is checked before anything in it is used, and it is data, never code."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensorimotor.errors import BundleError, SignatureError, UsageError
from sensorimotor.files import sha256
from sensorimotor.models.signature import Signature
from sensorimotor.perception.modality import Image, Text
from sensorimotor.perception.tokenizer import Tokenizer

FORMAT = 2
"""The newest there is. In format 2 the encoder of a film takes frames, in format 1 it took whole films; without films
both are the same, and 1 is written, which older versions read too."""
CONFIG, CORE, TOKENIZER, GOLDEN, WEIGHTS, CARD, SINGLE = (
    "config.json",
    "core.onnx",
    "tokenizer.json",
    "golden.npz",
    "model.safetensors",
    "README.md",
    "policy.onnx",
)
BUNDLED = Path(__file__).parent / "bundles"
MAX_CONFIG_BYTES = 4 * 2**20
MAX_FILES = 256
MAX_SIZE = 2**24
"""No memory and no set of tokens is larger than this."""
_STATED = ("name", "description", "created", "sensorimotor", "parameters", "metrics", "parity", "provenance")
"""What `config.json` says besides what is checked one by one."""


def encoder_file(name: str) -> str:
    """The file of one input's encoder."""
    return f"encoder.{name}.onnx"


def graph_files(bundle: "Bundle") -> list[str]:
    """The files of the graphs that a step takes: an encoder for each input, and the core."""
    return [*map(encoder_file, bundle.signature.names), CORE]


def half_file(name: str) -> str:
    """The file of one input's encoder in half precision, which a bundle may have beside the other."""
    return f"encoder.{name}.fp16.onnx"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose every file has been checked against its fingerprint.

    Attributes:
        path: The directory.
        config: The content of `config.json`.
        signature: What the policy expects and promises.
        fingerprint: SHA-256 of the whole bundle, in hexadecimal.
    """

    path: Path
    config: Mapping[str, Any]
    signature: Signature
    fingerprint: str

    @classmethod
    def load(cls, source: str | Path) -> "Bundle":
        """Read and check a bundle.

        Args:
            source: A directory, or the name of a bundled policy (`default`).

        Raises:
            BundleError: It is missing, damaged, edited, or newer than this version can read.
        """
        path = _locate(source)
        config = _read_config(path)
        if not isinstance(config.get("format"), int) or config["format"] > FORMAT:
            raise BundleError(
                f"{path} has bundle format {config.get('format')}, this version reads up to {FORMAT}: "
                "upgrade sensorimotor"
            )
        files, stated = config.get("files"), config.get("fingerprint")
        if not isinstance(files, dict) or not 0 < len(files) <= MAX_FILES:
            raise BundleError(f"{path / CONFIG} lists no files, or more than {MAX_FILES}")
        if stated != fingerprint_of(config):
            raise BundleError(f"{path / CONFIG} was changed after it was written: its fingerprint does not fit")
        for name, digest in files.items():
            _check_file(path, name, digest)
        return cls(path, config, _check_content(path, config), stated)

    def file(self, name: str) -> Path:
        """The path of one of its files.

        Raises:
            BundleError: It is not listed, so that nothing vouches for what is in it.
        """
        if name not in self.config["files"]:
            raise BundleError(f"{self.path / CONFIG} does not list {name}")
        return self.path / name

    def graph(self, name: str, precision: str = "fp32") -> Path:
        """The path of one input's encoder: in half precision, `fp16`, where the bundle has it in that.

        Raises:
            UsageError: Half precision is asked for, and it has no encoder in that.
        """
        if precision == "fp32":
            return self.file(encoder_file(name))
        if not any(half_file(one) in self.config["files"] for one in self.signature.names):
            raise UsageError(
                f"{self.path} has no encoder in half precision: export it with --precision fp16, or run it in fp32"
            )
        half = half_file(name)
        return self.file(half if half in self.config["files"] else encoder_file(name))

    @property
    def memory_size(self) -> int:
        """Width of the memory of one stream."""
        return int(self.config["memory_size"])

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum((self.path / name).stat().st_size for name in [CONFIG, *self.config["files"]])

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of its text inputs; None where it has none."""
        lengths = [modality.max_tokens for modality in self.signature.inputs.values() if isinstance(modality, Text)]
        return Tokenizer.load(self.file(TOKENIZER), max(lengths)) if lengths else None


def fingerprint_of(config: Mapping[str, Any]) -> str:
    """SHA-256 over everything `config.json` says but its own fingerprint; the files come in through their digests."""
    content = {key: value for key, value in config.items() if key != "fingerprint"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def seal(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Write `config.json` over all files that are in the directory, with their digests and the fingerprint."""
    files = {file.name: sha256(file) for file in sorted(path.iterdir()) if file.name != CONFIG}
    films = any("frames" in shape for shape in config.get("encoders", {}).values())
    sealed = {**config, "format": FORMAT if films else 1, "files": files}
    sealed["fingerprint"] = fingerprint_of(sealed)
    (path / CONFIG).write_text(json.dumps(sealed, indent=2) + "\n")
    return sealed


def contents(path: Path) -> set[str]:
    """The files that a bundle in this directory calls its own, damaged or not; none where there is no bundle."""
    try:
        config = _read_config(path)
    except BundleError:
        return set()
    files = config.get("files")
    return {CONFIG, *files} if isinstance(files, dict) and "fingerprint" in config else set()


def bundled_names() -> list[str]:
    """Names of the policies that are installed with the library."""
    return sorted(path.name for path in BUNDLED.iterdir() if (path / CONFIG).is_file()) if BUNDLED.is_dir() else []


def _locate(source: str | Path) -> Path:
    path = Path(source)
    if os.path.isdir(path):  # unlike Path.is_dir, also answers for what can be no path at all
        return path
    if os.path.exists(path):
        raise BundleError(f"{path} is a file; a bundle is a directory with a {CONFIG}")
    if str(source) in bundled_names():
        return BUNDLED / str(source)
    names = ", ".join(bundled_names()) or "none"
    raise BundleError(f"there is no directory and no bundled policy {str(source)!r}; bundled: {names}")


def _read_config(path: Path) -> dict[str, Any]:
    file = path / CONFIG
    try:
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise BundleError(f"{file} is larger than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise BundleError(f"{path} is no bundle: it has no {CONFIG}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"{file} is not a JSON object")
    return config


def _check_file(path: Path, name: str, digest: Any) -> None:
    if "/" in name or "\\" in name or name.startswith("."):
        raise BundleError(f"{path / CONFIG} lists {name!r}, which is no plain file name")
    file = path / name
    if not os.path.isfile(file):
        raise BundleError(f"{path} is incomplete: {name} is missing")
    try:
        found = sha256(file)
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error
    if found != digest:
        raise BundleError(f"{file} is damaged or was changed: its fingerprint does not fit")


def _check_content(path: Path, config: Mapping[str, Any]) -> Signature:
    """The signature, once `config.json` says all that running and inspecting a policy takes."""
    try:
        signature = Signature.from_json(config["signature"])
    except (KeyError, SignatureError) as error:
        raise BundleError(f"{path / CONFIG} has no valid signature: {error}") from error
    films = [name for name, one in signature.inputs.items() if isinstance(one, Image) and one.frames > 1]
    if films and config["format"] < 2:
        raise BundleError(
            f"{path} has bundle format {config['format']}, whose encoder of {films[0]!r} takes whole films; this "
            "version encodes each frame once: export it again from its checkpoint"
        )
    needed = [CORE, *(encoder_file(name) for name in signature.inputs)]
    if any(isinstance(modality, Text) for modality in signature.inputs.values()):
        needed.append(TOKENIZER)
    if missing := [name for name in needed if name not in config["files"]]:
        raise BundleError(f"{path / CONFIG} does not list {', '.join(missing)}")
    if missing := [key for key in _STATED if key not in config]:
        raise BundleError(f"{path / CONFIG} does not say {', '.join(missing)}")
    frames = [getattr(one, "frames", 1) for one in signature.inputs.values()]
    try:
        shapes = [config["encoders"][name] for name in signature.inputs]
        sizes = [config["memory_size"], *(shape[key] for shape in shapes for key in ("tokens", "dim"))]
        fits = frames == [shape.get("frames", 1) for shape in shapes]
    except (AttributeError, KeyError, TypeError):
        fits = False
    if not fits or not all(isinstance(size, int) and 0 <= size <= MAX_SIZE for size in sizes):
        raise BundleError(f"{path / CONFIG} has no valid memory_size and encoders")
    return signature
