"""What a stream still knows of its inputs, so that nothing is encoded twice: the tokens of the last value of each.

Of a film every frame is known, since most frames of the next film are the same ones. They are recognised by all of
their pixels: how many frames came since the last decision is not to be relied upon.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Encode = Callable[[Sequence[Any]], tuple[np.ndarray, np.ndarray]]
"""Runs an input's encoder: values or frames, one a row → tokens `(rows, n, dim)` and mask `(rows, n)`."""
GLANCE = 8
"""So many rows and columns of pixels are enough to tell most pictures apart."""


@dataclass(frozen=True)
class Frame:
    """A frame of a film: uint8 `(height, width, channels)`, its tokens `(n, dim)` and mask `(n,)`."""

    pixels: np.ndarray
    tokens: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Known:
    """The last value of an input.

    Attributes:
        sequence: The number that its sensor gave it.
        content: What it was, where it has no number and is no film.
        tokens: `(n, dim)`.
        mask: bool `(n,)`.
        frames: Of a film, in order.
    """

    sequence: int | None
    content: str | bytes | None
    tokens: np.ndarray
    mask: np.ndarray
    frames: tuple[Frame, ...] = ()


def unchanged(known: Known | None, value: Any, sequence: int | None) -> bool:
    """Whether a value is the last one again: by its number, where there is one, or else by its content."""
    if known is None:
        return False
    if sequence is not None or known.sequence is not None:
        return sequence == known.sequence
    if known.frames:
        return all(np.array_equal(frame.pixels, pixels) for frame, pixels in zip(known.frames, value, strict=True))
    return known.content == _content(value)


def encode_values(values: Sequence[Any], sequences: Sequence[int | None], encode: Encode) -> list[Known]:
    """New values of an input in several streams, encoded together."""
    tokens, mask = encode(values)
    return [
        Known(sequence, _content(value) if sequence is None else None, tokens[row], mask[row])
        for row, (value, sequence) in enumerate(zip(values, sequences, strict=True))
    ]


def encode_films(
    films: Sequence[np.ndarray], sequences: Sequence[int | None], before: Sequence[Known | None], encode: Encode
) -> tuple[list[Known], list[bool]]:
    """New films of an input in several streams; only frames that their stream does not know are encoded, together.

    Args:
        films: uint8 `(frames, height, width, channels)`, one a stream.
        sequences: Their numbers.
        before: The film that each stream knows.
        encode: Is not called where every frame is known.

    Returns:
        What is known now, and of which films every frame was known before.
    """
    new = _Pictures()
    plans: list[list[Frame | int]] = []
    for film, known in zip(films, before, strict=True):
        kept = known.frames if known else ()
        pictures = _Pictures(frame.pixels for frame in kept)
        plan: list[Frame | int] = []
        for pixels in film:
            at = pictures.find(pixels)
            plan.append(new.place(pixels) if at is None else kept[at])
        plans.append(plan)
    made: list[Frame] = []
    if new.pictures:
        tokens, mask = encode(new.pictures)
        made = [Frame(*one) for one in zip(new.pictures, tokens, mask, strict=True)]
    found = []
    for plan, sequence in zip(plans, sequences, strict=True):
        frames = tuple(made[part] if isinstance(part, int) else part for part in plan)
        tokens, mask = (np.concatenate([getattr(one, what) for one in frames]) for what in ("tokens", "mask"))
        found.append(Known(sequence, None, tokens, mask, frames))
    return found, [not any(isinstance(part, int) for part in plan) for plan in plans]


class _Pictures:
    """Pictures that are found again: a few pixels say where to look, all of them whether it is the same one."""

    def __init__(self, pictures: Iterable[np.ndarray] = ()):
        self.pictures: list[np.ndarray] = []
        self._alike: dict[bytes, list[int]] = {}
        for picture in pictures:
            self._add(picture)

    def find(self, picture: np.ndarray) -> int | None:
        """Which of them is equal."""
        alike = self._alike.get(_glance(picture), ())
        return next((at for at in alike if np.array_equal(self.pictures[at], picture)), None)

    def place(self, picture: np.ndarray) -> int:
        """Which of them is equal; a copy of the picture itself where none is yet: cameras reuse their buffers."""
        at = self.find(picture)
        return self._add(np.array(picture, order="C")) if at is None else at

    def _add(self, picture: np.ndarray) -> int:
        self.pictures.append(picture)
        self._alike.setdefault(_glance(picture), []).append(len(self.pictures) - 1)
        return len(self.pictures) - 1


def _glance(picture: np.ndarray) -> bytes:
    height, width = picture.shape[:2]
    return picture[:: -(-height // GLANCE), :: -(-width // GLANCE)].tobytes()


def _content(value: Any) -> str | bytes:
    """A value's content: cameras reuse their buffers, so only a copy can tell later whether it has changed."""
    return value if isinstance(value, str) else value.tobytes()
