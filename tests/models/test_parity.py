import numpy as np
import pytest

from sensorimotor.errors import OutputError, ParityError
from sensorimotor.models.parity import CLOSED_LOOP_STEPS, Evidence, check_parity, difference
from sensorimotor.perception.buffers import Sensed


@pytest.fixture
def evidence():
    """Enough steps of episodes of ten, in which every input is there at some time."""
    rng = np.random.default_rng(0)
    steps = []
    for _ in range(CLOSED_LOOP_STEPS):
        camera = rng.integers(0, 256, (4, 6, 3), np.uint8)
        sound = rng.uniform(-0.5, 0.5, (200, 1)).astype(np.float32)
        shown = {"camera": camera, "mic": sound, "instruction": "go to the red ball", "joints": rng.normal(size=2)}
        steps.append(Sensed(shown, {"joints": float(rng.uniform(0, 0.5))}))
    return Evidence(steps, [i % 10 == 0 for i in range(CLOSED_LOOP_STEPS)])


def test_a_policy_is_as_good_as_itself(fake, evidence):
    report = check_parity(fake(), fake(), evidence)
    assert report == {
        "tolerance": 1e-4,
        "batches": [1, 2, 7],
        "subsets": 15,
        "max_error": 0.0,
        "stream_steps": 300,
        "stream_max_error": 0.0,
        "closed_loop_steps": 1000,
        "closed_loop_max_error": 0.0,
    }


def test_small_differences_are_measured(fake, evidence):
    report = check_parity(fake(), fake(gain=1.000_001), evidence)
    worst = max(report["max_error"], report["stream_max_error"], report["closed_loop_max_error"])
    assert 1e-7 < worst < 1e-4


def test_large_outputs_may_differ_in_their_last_digits(fake, evidence):
    def large(output):
        output.parameters[:] *= 1e4
        return output

    report = check_parity(fake(spoil=large), fake(gain=1.000_001, spoil=large), evidence)
    assert 1e-7 < report["closed_loop_max_error"] < 1e-4
    with pytest.raises(ParityError, match="outputs differ by"):
        check_parity(fake(spoil=large), fake(gain=1.001, spoil=large), evidence)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [(0.5, 0.25, 0.25), (1.0, 1.5, 1 / 3), (-200.0, -100.0, 1.0), (0.0, 1e6, 1.0), (np.nan, 1.0, np.nan)],
)
def test_a_difference_is_absolute_up_to_one_and_relative_beyond(ours, theirs, expected):
    found = difference(np.array([0.0, ours]), np.array([0.0, theirs]))
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_difference_in_one_batch_is_enough(fake, evidence):
    with pytest.raises(ParityError, match=r"^camera in a batch of 1: outputs differ by .*, allowed is 1e-04; nothing"):
        check_parity(fake(), fake(gain=1.01), evidence)


def test_a_difference_of_one_row_in_a_batch_is_seen(fake, evidence):
    def mix_rows(output):
        output.parameters[:] = output.parameters.mean(0)
        return output

    with pytest.raises(ParityError, match="^camera in a batch of 2"):
        check_parity(fake(), fake(spoil=mix_rows), evidence)


def test_a_memory_that_drifts_is_seen_where_no_single_step_is_wrong(fake, evidence):
    with pytest.raises(ParityError, match="step [12]?[0-9]{1,2} of a stream: outputs differ"):
        check_parity(fake(decay=0.999), fake(decay=0.999 + 1e-6), evidence)


def test_another_action_is_no_matter_of_tolerance(fake, evidence):
    with pytest.raises(ParityError, match="of a stream: trained, it chooses 2; exported, 0"):
        check_parity(fake(), fake(gain=-1.0), evidence, tolerance=1e9)


def test_outputs_that_are_no_numbers_never_pass(fake, evidence):
    def lose(output):
        output.parameters[:] = np.nan
        return output

    with pytest.raises(OutputError, match="NaN"):
        check_parity(fake(spoil=lose), fake(spoil=lose), evidence)


def test_too_little_evidence_is_refused(fake, evidence):
    few = Evidence(evidence.steps[:-1], evidence.starts[:-1])
    with pytest.raises(ParityError, match="999 real steps are too few: parity needs 1000"):
        check_parity(fake(), fake(), few)


def test_evidence_in_which_two_inputs_never_meet_is_refused(fake, evidence):
    without = {0: "mic", 1: "joints"}
    steps = [
        Sensed({name: value for name, value in step.observation.items() if name != without[i % 2]})
        for i, step in enumerate(evidence.steps)
    ]
    with pytest.raises(ParityError, match="no step with mic, joints together"):
        check_parity(fake(), fake(), Evidence(steps, evidence.starts))
