"""Sound files and frames as the project uses them everywhere: float32, one channel, 16 kHz."""

from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import MissingExtraError, SpeechError

SAMPLE_RATE = 16_000


def read_sound(path: Path) -> np.ndarray:
    """A sound file as float32 `(samples,)`, mixed to one channel and resampled to 16 kHz.

    Raises:
        SpeechError: It is no sound file, or empty.
    """
    av = _av()
    if not path.is_file():
        raise SpeechError(f"{path.name} cannot be read as sound: {path} is no file")
    try:
        with av.open(str(path)) as container:
            sound = resampled(list(container.decode(audio=0)))
    except (av.FFmpegError, IndexError) as error:
        raise SpeechError(f"{path.name} cannot be read as sound: {error}") from error
    if not len(sound) or not np.isfinite(sound).all():
        raise SpeechError(f"{path.name} has no sound in it, or samples that are no numbers")
    return sound


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("PyAV", "sim", "resampling speech") from error
    return av


def resampled(frames: list[Any]) -> np.ndarray:
    """PyAV audio frames as float32 `(samples,)` at 16 kHz, the mean of all channels."""
    # FFmpeg's own mix to one channel is 3 dB louder than its channels and clips what is near full scale.
    resampler = _av().AudioResampler(format="fltp", rate=SAMPLE_RATE)
    pieces = [out.to_ndarray().mean(0) for frame in [*frames, None] for out in resampler.resample(frame)]
    sound = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return np.clip(sound, -1.0, 1.0)
