"""The kinds of input a policy can have, and the check that a raw value is what an input of that kind says.

An input is raw: pixels as the camera gives them, samples as the microphone gives them, words as they are written.
Whatever is done to them (resizing, normalising, log-mel, token embedding) belongs to the encoders and is exported.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

import numpy as np
from gymnasium import spaces
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensorimotor.errors import ObservationError, SignatureError

FULL_SCALE = 32767 / 32768
"""The loudest positive sample that int16 sound has; a sample that reaches it may have been cut off there."""

CLIPPED_SAMPLES = 0.01
"""A recording with more than this part of its samples at full scale is distorted beyond what an ear should trust."""

MAX_TEXT_CHARACTERS = 10_000
"""Longer texts are refused before any work is done on them."""


class _Modality(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    critical: bool = False
    """Without this input the policy must not act: it holds its safe action."""
    max_age_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Older than this (s) is not told apart from this old; a critical input that is older makes the policy hold."""

    def _refuse(self, name: str, got: str, hint: str = "") -> ObservationError:
        return ObservationError(name, str(self), got, hint)


def _array(name: str, value: Any, modality: "_Modality") -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    raise modality._refuse(name, f"a {type(value).__name__}", "Pass a numpy array")


class Image(_Modality):
    """Frames of a camera: uint8, `(height, width, channels)`, or `(frames, height, width, channels)` for video.

    Colours are in the order of the training data: red, green, blue in BabyAI (OpenCV reads blue, green, red).

    >>> Image(height=56, width=56).check("camera", np.zeros((56, 56, 3), np.uint8)).shape
    (56, 56, 3)
    """

    kind: Literal["image"] = "image"
    height: int = Field(gt=0, le=16384)
    width: int = Field(gt=0, le=16384)
    channels: Literal[1, 3, 4] = 3
    frames: int = Field(default=1, gt=0, le=256)

    @property
    def one_frame(self) -> tuple[int, int, int]:
        """The shape of one frame."""
        return self.height, self.width, self.channels

    @property
    def still(self) -> "Image":
        """The same with a single frame: what encoders take, for they see the frames of a film one by one."""
        return self.model_copy(update={"frames": 1})

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value."""
        return self.one_frame if self.frames == 1 else (self.frames, *self.one_frame)

    def __str__(self) -> str:
        return f"an image, uint8 {self.shape}"

    def check(self, name: str, value: Any) -> np.ndarray:
        """The value as uint8 of `shape`.

        Raises:
            ObservationError: Not an array, another shape, or another type.
        """
        frame = _array(name, value, self)
        if frame.dtype != np.uint8:
            hint = "Pass bytes 0–255: normalising is part of the policy"
            raise self._refuse(name, f"{frame.dtype} {frame.shape}", hint)
        if frame.shape != self.shape:
            raise self._refuse(
                name,
                f"uint8 {frame.shape}",
                "Resize the frame (its axes are height, width, channels), or train for this size",
            )
        return frame

    def to_space(self) -> spaces.Space:
        """The Gymnasium space of one value."""
        return spaces.Box(0, 255, self.shape, np.uint8)


class Audio(_Modality):
    """Sound: float32 in [-1, 1], `(samples, channels)`; one channel may also come as `(samples,)`.

    A `window` is the last `seconds` of a stream and slides; an `utterance` is a stretch of speech with an end, up to
    `seconds` long, encoded once and then kept like a text.
    """

    kind: Literal["audio"] = "audio"
    sample_rate: int = Field(default=16_000, ge=4_000, le=192_000)
    channels: int = Field(default=1, gt=0, le=64)
    seconds: float = Field(ge=0.01, le=60)
    mode: Literal["window", "utterance"] = "window"

    @property
    def samples(self) -> int:
        """The most samples one value can have, per channel."""
        return round(self.seconds * self.sample_rate)

    def __str__(self) -> str:
        length = "exactly" if self.mode == "window" else "at most"
        return (
            f"an audio {self.mode}, float32 in [-1, 1], {length} {self.samples} samples "
            f"({self.seconds:g} s at {self.sample_rate} Hz) x {self.channels}"
        )

    def check(self, name: str, value: Any) -> np.ndarray:
        """The value as float32 `(samples, channels)`.

        Raises:
            ObservationError: Another shape, type or length; not finite; beyond [-1, 1]; clipped.
        """
        sound = self.check_chunk(name, value)
        if len(sound) == 0 or len(sound) > self.samples or (self.mode == "window" and len(sound) != self.samples):
            got = f"{len(sound)} samples ({len(sound) / self.sample_rate:.2f} s)"
            raise self._refuse(name, got, "Cut it shorter, or train for a longer limit" if len(sound) else "")
        clipped = np.count_nonzero(np.abs(sound) >= FULL_SCALE) / sound.size
        if clipped > CLIPPED_SAMPLES:
            raise self._refuse(name, f"clipped sound ({clipped:.0%} at full scale)", "Lower the recording level")
        return sound

    def check_chunk(self, name: str, value: Any) -> np.ndarray:
        """A stretch of any length of a stream of this sound, as float32 `(samples, channels)`.

        Raises:
            ObservationError: Another shape or type; not finite; beyond [-1, 1].
        """
        sound = _array(name, value, self)
        if sound.ndim == 1:
            sound = sound[:, None]
        if sound.dtype != np.float32:
            hint = "Divide int16 samples by 32768" if sound.dtype == np.int16 else "Convert with .astype(np.float32)"
            raise self._refuse(name, f"{sound.dtype} {sound.shape}", hint)
        if sound.ndim != 2 or sound.shape[1] != self.channels:
            raise self._refuse(name, f"float32 {value.shape}", "The axes are (samples, channels)")
        peak = float(np.abs(sound).max(initial=0.0))  # NaN and infinity come through max()
        if not np.isfinite(peak):
            raise self._refuse(name, "samples that are NaN or infinite", "Check the driver or the file")
        if peak > 1.0:
            raise self._refuse(name, f"a peak of {peak:.3g}", "Scale the samples to [-1, 1]")
        return sound

    def to_space(self) -> spaces.Space:
        """The Gymnasium space of one value (of the longest one, for utterances)."""
        return spaces.Box(-1.0, 1.0, (self.samples, self.channels), np.float32)


class Text(_Modality):
    """Words: any unicode string. It is tokenized by the policy's own tokenizer and cut after `max_tokens`."""

    kind: Literal["text"] = "text"
    max_tokens: int = Field(default=32, gt=0, le=4096)

    def __str__(self) -> str:
        return f"a text, str of at most {MAX_TEXT_CHARACTERS} characters"

    def check(self, name: str, value: Any) -> str:
        """The value as it came.

        Raises:
            ObservationError: Not a string, not valid unicode, or too long.
        """
        if not isinstance(value, str):
            raise self._refuse(name, f"a {type(value).__name__}")
        if len(value) > MAX_TEXT_CHARACTERS:
            raise self._refuse(name, f"{len(value)} characters")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise self._refuse(name, f"a string that is not valid unicode ({error.reason})") from error
        return value

    def to_space(self) -> spaces.Space:
        """The Gymnasium space of one value."""
        return spaces.Text(max_length=MAX_TEXT_CHARACTERS, min_length=0)


class State(_Modality):
    """A vector of measurements: float32 `(size,)`, each with a name and a unit where they are known."""

    kind: Literal["state"] = "state"
    size: int = Field(gt=0, le=4096)
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_name_each(self) -> Self:
        for field in ("names", "units"):
            given = getattr(self, field)
            if given and len(given) != self.size:
                raise ValueError(f"{field} has {len(given)} entries for a size of {self.size}")
        return self

    def __str__(self) -> str:
        return f"a state, float32 ({self.size},)"

    def check(self, name: str, value: Any) -> np.ndarray:
        """The value as float32 `(size,)`; lists, float64 and integers are converted.

        Raises:
            ObservationError: Another shape, not numbers, or not finite.
        """
        try:
            with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused below
                state = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise self._refuse(name, f"a {type(value).__name__} that is not numbers") from error
        if state.shape != (self.size,):
            raise self._refuse(name, f"shape {state.shape}")
        bad = np.flatnonzero(~np.isfinite(state))
        if len(bad):
            where = ", ".join(self.names[i] if self.names else f"[{i}]" for i in bad)
            raise self._refuse(name, f"values that are NaN or infinite: {where}")
        return state

    def to_space(self) -> spaces.Space:
        """The Gymnasium space of one value."""
        return spaces.Box(-np.inf, np.inf, (self.size,), np.float32)


Modality = Annotated[Image | Audio | Text | State, Field(discriminator="kind")]
"""Any of the four kinds."""

Observation = Mapping[str, Any]
"""What the senses give at one moment: input name → raw value. A missing key or None is a missing input."""


def from_space(name: str, space: spaces.Space) -> Image | Text | State:
    """The modality that a Gymnasium space describes; sound cannot be told from a plain array, so declare it.

    Raises:
        SignatureError: No modality has values like that.

    >>> from_space("camera", spaces.Box(0, 255, (64, 64, 3), np.uint8)).height
    64
    """
    if isinstance(space, spaces.Text):
        return Text()
    if isinstance(space, spaces.Box):
        shape = space.shape
        with suppress(ValidationError):  # a size that no modality has
            if space.dtype == np.uint8 and (len(shape) == 3 or (len(shape) == 4 and shape[0] > 1)):
                sizes = zip(("channels", "width", "height", "frames"), reversed(shape), strict=False)
                return Image.model_validate(dict(sizes))
            if np.issubdtype(space.dtype, np.floating) and len(shape) == 1:
                return State(size=shape[0])
    raise SignatureError(
        f"input {name!r}: no modality fits the space {space}; images are uint8 boxes (height, width, channels), "
        "states are float boxes (size,), texts are Text spaces, and audio must be declared as Audio(...)"
    )
