"""Calibration: making the probabilities of a policy mean what they say, on data it was not trained on.

One temperature for all (Guo et al., ICML 2017), with the targets of Platt (1999): as if one decision more had been
wrong. Otherwise a policy that is always right on what is held out would be as sure as numbers allow, of everything.
Beside it the expected calibration error, before and after.
"""

import numpy as np

BINS = 15


def fit_temperature(logits: np.ndarray, actions: np.ndarray) -> float:
    """The temperature under which the actions are most likely, were one of `n + 2` another one.

    By golden-section search in [0.05, 20].

    Args:
        logits: `(n, choices)`, uncalibrated.
        actions: int `(n,)`.
    """
    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _negative_log_likelihood(logits / np.exp(left), actions) < _negative_log_likelihood(
            logits / np.exp(right), actions
        ):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def calibration_error(logits: np.ndarray, actions: np.ndarray) -> float:
    """Expected calibration error with 15 equal bins of confidence: 0 is honest, 0.1 is ten points off on average."""
    probabilities = np.exp(_log_softmax(logits))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == actions
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[which == b].mean() - right[which == b].mean()) * np.mean(which == b) for b in set(which)]
    return float(sum(gaps))


def _negative_log_likelihood(logits: np.ndarray, actions: np.ndarray) -> float:
    log_probabilities = _log_softmax(logits)
    right = log_probabilities[np.arange(len(actions)), actions]
    others = (log_probabilities.sum(1) - right) / max(1, logits.shape[1] - 1)
    another = 1 / (len(actions) + 2)
    return float(-((1 - another) * right + another * others).mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))
