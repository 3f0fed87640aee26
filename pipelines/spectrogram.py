"""A sound as a picture: its spectrogram in decibels, and in colours."""

import numpy as np

from sensorimotor.libraries import library

WINDOW_S = 0.032
"""Long enough to part the harmonics of a voice, short enough to part its syllables."""
RANGE_DB = 80


def power_db(samples: np.ndarray, sample_rate: int, columns: int) -> np.ndarray:
    """A log-power spectrogram; a sine at full scale has 0 dB.

    Args:
        samples: float32 `(samples,)`.
        sample_rate: (Hz).
        columns: Windows, spread evenly from the first sample to the last.

    Returns:
        float32 `(frequencies, columns)` (dB), from 0 Hz up to half the sample rate.
    """
    size = 2 ** round(np.log2(max(64, WINDOW_S * sample_rate)))
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, size // 2)
    starts = np.linspace(0, max(0, len(samples) - 1), columns).round().astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[starts] * window
    amplitude = np.abs(np.fft.rfft(frames)) * (2 / window.sum())
    return (20 * np.log10(np.maximum(amplitude, 1e-10))).T.astype(np.float32)


def coloured(power: np.ndarray, top_db: int, height: int) -> np.ndarray:
    """Colours for a log-power spectrogram.

    Args:
        power: `(frequencies, columns)` (dB).
        top_db: What is shown brightest; `RANGE_DB` below it is black.
        height: Of the picture (pixels).

    Returns:
        uint8 `(height, columns, 3)`, RGB, low frequencies at the bottom.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = library("cv2", "opencv-python-headless", "data", "drawing a spectrogram")
    levels = np.clip((power[::-1] - (top_db - RANGE_DB)) / RANGE_DB, 0, 1).astype(np.float32)
    method = cv2.INTER_AREA if len(power) > height else cv2.INTER_LINEAR
    levels = cv2.resize(levels, (power.shape[1], height), interpolation=method)
    return np.asarray(cv2.applyColorMap((levels * 255).astype(np.uint8), cv2.COLORMAP_MAGMA)[..., ::-1])
