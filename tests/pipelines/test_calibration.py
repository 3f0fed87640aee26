import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.pipelines.calibration import calibration_error, fit_temperature


def honest(n: int, choices: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are true: each action is drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=(n, choices))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def loss(logits: np.ndarray, actions: np.ndarray) -> float:
    """Cross-entropy where each action counts but for one in n + 2, and the others share that."""
    share = np.full(logits.shape, 1 / (len(actions) + 2) / (logits.shape[1] - 1))
    share[np.arange(len(actions)), actions] = 1 - 1 / (len(actions) + 2)
    shifted = logits - logits.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - (share * shifted).sum(1)).mean())


@pytest.mark.parametrize("factor", [0.25, 1.0, 3.0, 8.0])
def test_the_temperature_undoes_what_made_honest_logits_over_or_underconfident(factor):
    logits, actions = honest(20_000)
    assert fit_temperature(logits * factor, actions) == pytest.approx(factor, rel=0.05)


@given(seed=st.integers(0, 2**32), factor=st.floats(0.1, 10))
def test_no_other_temperature_makes_the_actions_more_likely(seed, factor):
    logits, actions = honest(50, seed=seed)
    logits = logits * factor
    fitted = fit_temperature(logits, actions)
    others = np.exp(np.linspace(np.log(0.05), np.log(20.0), 60))
    assert loss(logits / fitted, actions) <= min(loss(logits / other, actions) for other in others) + 1e-6


@pytest.mark.parametrize("n", [2, 20, 400])
@pytest.mark.parametrize("margin", [0.5, 2.0, 20.0])
def test_who_is_always_right_is_as_sure_as_so_many_decisions_allow(n, margin):
    actions = np.arange(n) % 2
    logits = margin * np.eye(2)[actions]
    sharpened = logits / fit_temperature(logits, actions)
    confidence = 1 / (1 + np.exp(-np.ptp(sharpened, axis=1)))
    assert confidence == pytest.approx((n + 1) / (n + 2), abs=1e-4)


def test_logits_that_are_always_wrong_are_flattened_as_far_as_it_goes():
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(20.0, rel=0.2)


def test_huge_logits_are_no_trouble():
    logits = np.array([[1e4, -1e4], [1e4, -1e4], [1e4, -1e4]], np.float32)
    assert np.isfinite(fit_temperature(logits, np.array([0, 0, 1])))
    assert calibration_error(logits, np.array([0, 0, 1])) == pytest.approx(1 / 3)


def test_honest_probabilities_have_next_to_no_calibration_error():
    assert calibration_error(*honest(50_000)) < 0.01


@pytest.mark.parametrize(
    ("confidence", "right", "error"), [(0.8, 4, 0.0), (0.8, 2, 0.4), (0.55, 5, 0.45), (0.999, 0, 0.999)]
)
def test_the_calibration_error_is_the_gap_between_confidence_and_success(confidence, right, error):
    logits = np.tile(np.log([confidence, 1 - confidence]), (5, 1))
    actions = np.array([0] * right + [1] * (5 - right))
    assert calibration_error(logits, actions) == pytest.approx(error, abs=1e-9)


@pytest.mark.parametrize(("first", "second", "error"), [(0.97, 1 - 1e-16, 0.485), (0.9, 0.97, 0.535)])
def test_confidences_are_compared_within_fifteenths_and_full_confidence_belongs_to_the_last(first, second, error):
    logits = np.array([[np.log(first), np.log(1 - first)], [np.log(second), np.log1p(-second)]])
    assert calibration_error(logits, np.array([0, 1])) == pytest.approx(error)


def test_gaps_of_different_confidences_do_not_cancel_out():
    over, under = np.log([0.9, 0.1]), np.log([0.6, 0.4])
    logits, actions = np.stack([over] * 10 + [under] * 10), np.array([0] * 6 + [1] * 4 + [0] * 9 + [1])
    assert calibration_error(logits, actions) == pytest.approx(0.3)


def test_calibrating_lowers_the_error_of_overconfident_logits():
    logits, actions = honest(5000)
    logits = logits * 4
    assert calibration_error(logits, actions) > 0.15
    assert calibration_error(logits / fit_temperature(logits, actions), actions) < 0.03
