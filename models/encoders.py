"""Which encoder an input has: a small one that is trained from scratch, or one that others have trained."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from torch import nn

from sensorimotor.errors import SignatureError
from sensorimotor.perception.audio_encoder import AudioEncoder
from sensorimotor.perception.clip import ClipSpec, load_clip
from sensorimotor.perception.clip_encoder import ClipImageEncoder
from sensorimotor.perception.image_encoder import ImageEncoder
from sensorimotor.perception.language_encoder import (
    ClipTextEncoder,
    LanguageEncoder,
    LanguageSpec,
    build_language,
    clip_tokenizer,
    load_language,
)
from sensorimotor.perception.modality import Audio, Image, State, Text
from sensorimotor.perception.state_encoder import StateEncoder
from sensorimotor.perception.text_encoder import TextEncoder
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.perception.whisper_encoder import WhisperEncoder, WhisperSpec, load_whisper

PretrainedSpec = Annotated[ClipSpec | WhisperSpec | LanguageSpec, Field(discriminator="kind")]
Statistics = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Name → mean and standard deviation over the training data."""


def small_encoder(modality: Any, width: int, tokenizer: Tokenizer | None, statistics: Any) -> nn.Module:
    """An encoder that is trained from scratch.

    Args:
        modality: Of the input.
        width: Of its tokens.
        tokenizer: Of texts.
        statistics: Mean and standard deviation of a state; None where they are not known.

    Raises:
        SignatureError: It is a text, and there is no tokenizer.
    """
    match modality:
        case Image():
            return ImageEncoder(modality, width)
        case Audio():
            return AudioEncoder(modality, width)
        case State():
            mean, std = statistics or (None, None)
            return StateEncoder(modality, mean, std, width)
        case Text() if tokenizer is not None:
            return TextEncoder(modality, tokenizer.size, width)
    raise SignatureError("it is a text, and the network was given no tokenizer")


def pretrained_encoder(
    modality: Any, spec: ClipSpec | WhisperSpec | LanguageSpec, tokenizer: Tokenizer | None
) -> tuple[nn.Module, str | None]:
    """An encoder that others have trained, and the content of its `tokenizer.json` where it reads.

    Args:
        modality: Of the input.
        spec: Which one; with an architecture its weights are random, for those of a checkpoint to be loaded.
        tokenizer: Of texts, where the specification has an architecture already.

    Raises:
        EncoderError: It cannot be had.
        SignatureError: It is none for inputs of this kind.
    """
    match spec, modality:
        case ClipSpec(), Image():
            return ClipImageEncoder(modality, load_clip(spec), spec), None
        case ClipSpec(), Text():
            clip = load_clip(spec)
            known = tokenizer.to_json() if spec.architecture and tokenizer else clip_tokenizer(clip)
            return ClipTextEncoder(modality, clip), known
        case WhisperSpec(), Audio():
            return WhisperEncoder(modality, load_whisper(spec), spec), None
        case LanguageSpec(), Text():
            if spec.architecture and tokenizer:
                language = build_language(spec.architecture, tokenizer.to_json())
            else:
                language = load_language(spec)
            return LanguageEncoder(modality, language), language.tokenizer
    raise SignatureError(f"an encoder of {spec.kind} is none for {modality}")
