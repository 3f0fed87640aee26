"""Tokens of frozen encoders, computed once and kept on disk: what never changes is not computed twice.

A table goes by what its tokens depend on: the encoder with its weights, the input, the data and how they are varied.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sensorimotor.errors import CacheError
from sensorimotor.files import making_directory
from sensorimotor.perception.arguments import encoder_arguments
from sensorimotor.perception.modality import Image, Modality, Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines.augment import augmented
from sensorimotor.pipelines.cached import mapped, read_arrays
from sensorimotor.pipelines.episode_recipe import Augment
from sensorimotor.pipelines.observed import Observed

LAYOUT = 2
"""Of a table; those of another layout are not read. In the first one, films had tokens of their own and not of frames,
and episodes lay in the order in which they came."""
AT_ONCE = 32
"""Values that are encoded at a time."""


@dataclass(frozen=True)
class TokenTable:
    """The tokens of one input over all episodes; of films, those of their frames, which are the values here.

    Attributes:
        tokens: float16 `(rows, n, dim)`, on disk.
        mask: bool `(rows, n)`.
        row: int64 `(values, views)`, the row of each value in each view.
        first: Episode → the number of its first value.
    """

    tokens: np.ndarray
    mask: np.ndarray
    row: np.ndarray
    first: dict[int, int]

    def read(self, episode: np.ndarray, value: np.ndarray, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens float32 `(n, tokens, dim)` and mask `(n, tokens)` of some values, each in one view."""
        at = np.array([self.first[int(number)] for number in episode], np.int64) + value
        rows = self.row[at, view]
        return self.tokens[rows].astype(np.float32), self.mask[rows]


@dataclass(frozen=True)
class Encoding:
    """Everything that the tokens of one input depend on but the episodes.

    Attributes:
        name: Of the input.
        feature: Where it comes from.
        modality: Of the input.
        encoder: A frozen one.
        tokenizer: Of texts.
        augment: How values are varied; the first view is the value as it is.
        seed: Of the variations.
    """

    name: str
    feature: str
    modality: Modality
    encoder: nn.Module
    tokenizer: Tokenizer | None
    augment: Augment
    seed: int

    @property
    def views(self) -> int:
        """Variants of each value; texts have one."""
        return 1 if isinstance(self.modality, Text) else self.augment.views

    @property
    def _film(self) -> bool:
        return isinstance(self.modality, Image) and self.modality.frames > 1

    def view(self, value: Any, episode: int, number: int, view: int) -> Any:
        """A variant of a value; all frames of an episode that films are made of move alike."""
        if view == 0:
            return value
        rng = np.random.default_rng([self.seed, 8, episode, 0 if self._film else number, view])
        return augmented(value, self.modality, self.augment, None, rng)

    def fingerprint(self, data: str, episodes: Sequence[int]) -> str:
        """SHA-256 of all that tokens depend on, with the fingerprint and the episodes of the data."""
        digest = hashlib.sha256()
        for key, tensor in self.encoder.state_dict().items():
            digest.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        words = self.tokenizer.to_json() if self.tokenizer and isinstance(self.modality, Text) else None
        varied = (self.augment.model_dump(), self.seed) if self.views > 1 else None
        said = [LAYOUT, type(self.encoder).__name__, self.feature, self.modality.model_dump(), words, varied, data]
        digest.update(json.dumps([*said, list(episodes)], sort_keys=True).encode())
        return digest.hexdigest()


def token_table(
    encoding: Encoding,
    seen: dict[int, Observed],
    data: str,
    cache: Path,
    device: torch.device,
    progress: Callable[[int], None] = lambda _: None,
) -> TokenTable:
    """The tokens of one input, computed now or before.

    Args:
        encoding: What is encoded and how.
        seen: Episode → what its steps saw of the input.
        data: Fingerprint of the data.
        cache: Directory in which tables are kept.
        device: Where to compute.
        progress: Told how many values have been encoded since the last call.

    Raises:
        CacheError: A table in the cache is damaged.
        OutputPathError: The cache cannot be written, or the disk is full; nothing is left there.
        DataError: A value cannot be read.
    """
    seen = dict(sorted(seen.items()))  # as the key has them: other runs learn from the same episodes in another order
    place = cache / encoding.fingerprint(data, list(seen))[:32]
    counts = {episode: int(one.needed().max(initial=-1)) + 1 for episode, one in seen.items()}
    if not place.exists():
        with making_directory(place) as aside:
            _compute(encoding, seen, counts, aside, device, progress)
    (row,) = read_arrays(place / "rows.npz", "row")
    tokens, mask = mapped(place / "tokens.npy"), mapped(place / "mask.npy")
    fits = row.shape == (sum(counts.values()), encoding.views) and len(tokens) == len(mask) > row.max(initial=-1)
    if not fits or row.min(initial=0) < 0:
        raise CacheError(f"{place} is damaged (its files do not fit together): delete it, and it is made again")
    ends = np.cumsum([0, *counts.values()])
    return TokenTable(tokens, mask, row, dict(zip(counts, (int(end) for end in ends), strict=False)))


@torch.inference_mode()
def _compute(
    encoding: Encoding,
    seen: dict[int, Observed],
    counts: dict[int, int],
    place: Path,
    device: torch.device,
    progress: Callable[[int], None],
) -> None:
    """Encode every value that some step saw, of films every frame, and write what comes of it as it comes."""
    encoder: Any = encoding.encoder.to(device).eval()
    row = np.zeros((sum(counts.values()), encoding.views), np.int64)
    known: dict[str, int] = {}
    rows, start = 0, 0
    with _Growing(place / "tokens.npy", np.float16) as tokens, _Growing(place / "mask.npy", np.bool_) as masks:
        for episode, one in seen.items():
            wanted = one.needed().tolist()
            for i in range(0, len(wanted), AT_ONCE):
                numbers = wanted[i : i + AT_ONCE]
                values = one.encoded.read(numbers)
                for view in range(encoding.views):
                    new: list[Any] = []
                    for number, value in zip(numbers, values, strict=True):
                        if isinstance(value, str) and value in known:
                            row[start + number, view] = known[value]
                            continue
                        row[start + number, view] = rows + len(new)
                        if isinstance(value, str):
                            known[value] = rows + len(new)
                        new.append(encoding.view(value, episode, number, view))
                    if not new:
                        continue
                    given = encoder_arguments(encoding.modality, new, encoding.tokenizer)
                    made, mask = encoder(*(torch.from_numpy(argument).to(device) for argument in given))
                    tokens.add(made.float().cpu().numpy().astype(np.float16))
                    masks.add(mask.cpu().numpy())
                    rows += len(new)
                progress(len(numbers))
            start += counts[episode]
    with (place / "rows.npz").open("wb") as file:
        np.savez(file, row=row)


class _Growing:
    """An `.npy` file that is written row by row; how many there are is known at the end."""

    HEADER = 128

    def __init__(self, path: Path, dtype: Any):
        self._file, self._dtype, self._shape = path.open("wb"), np.dtype(dtype), (0,)
        self._file.write(b" " * self.HEADER)

    def add(self, rows: np.ndarray) -> None:
        """Some more rows, all of one shape."""
        self._shape = (self._shape[0] + len(rows), *rows.shape[1:])
        self._file.write(np.ascontiguousarray(rows, self._dtype).tobytes())

    def __enter__(self) -> "_Growing":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        with self._file:
            if failed:
                return
            header = repr({"descr": self._dtype.str, "fortran_order": False, "shape": self._shape}).encode()
            room = self.HEADER - 10 - len(header) - 1
            size = (self.HEADER - 10).to_bytes(2, "little")
            self._file.seek(0)
            self._file.write(b"\x93NUMPY\x01\x00" + size + header + b" " * room + b"\n")
