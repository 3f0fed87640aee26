import numpy as np
import pytest

from sensorimotor.errors import OutputError, ParityError
from sensorimotor.models.parity import (
    CLOSED_LOOP_STEPS,
    Evidence,
    Remembering,
    check_parity,
    check_rows,
    difference,
)
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
        "closed_loop_values": {"camera": 1000, "mic": 1000, "instruction": 1, "joints": 1000},
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


# Along streams every different value is encoded once


@pytest.fixture
def repeated(evidence):
    """Twenty different steps, over and over."""
    return Evidence(evidence.steps[:20] * 50, evidence.starts)


def streams(policy):
    """Encoder runs along streams, those of the batches left out: by input, how many rows."""
    rows = dict.fromkeys(policy.signature.names, 0)
    for name, count in policy.backend.encoded[in_batches() :]:
        rows[name] += count
    return rows


def in_batches():
    """15 subsets at 3 batch sizes: every input is in 8 of them and runs once for each."""
    return 4 * 8 * 3


def test_a_value_that_comes_again_along_a_stream_is_encoded_once(fake, repeated):
    trained, exported = fake(), fake()
    report = check_parity(trained, exported, repeated)
    assert report["closed_loop_values"] == {"camera": 20, "mic": 20, "instruction": 1, "joints": 20}
    assert streams(trained) == streams(exported) == report["closed_loop_values"]


def test_batches_are_encoded_as_batches_whatever_is_known(fake, repeated):
    policy = fake()
    check_parity(policy, fake(), repeated)
    of_camera = [count for name, count in policy.backend.encoded[: in_batches()] if name == "camera"]
    assert of_camera == [1, 2, 7] * 8


def test_what_does_not_fit_into_memory_is_encoded_again_and_judged_the_same(fake, repeated, monkeypatch):
    expected = check_parity(fake(), fake(gain=1.000_001), repeated)
    monkeypatch.setattr("sensorimotor.models.parity.REMEMBERED_BYTES", 60)
    policy = fake()
    assert check_parity(policy, fake(gain=1.000_001), repeated) == expected
    assert streams(policy)["camera"] > 500


def test_values_are_told_apart_by_all_that_an_encoder_takes(fake):
    """Two sounds that are padded to the same samples have different lengths."""
    backend = Remembering(fake().backend)
    silence = np.zeros((1, 400, 1), np.float32)
    for length in (100, 200):
        backend.encode("mic", [silence, np.array([length])])
    assert len(backend.seen["mic"]) == 2


def test_equal_rows_of_a_batch_and_rows_that_are_known_come_out_in_their_places(fake):
    plain = fake().backend
    inner = fake().backend
    backend = Remembering(inner)
    frames = np.random.default_rng(0).integers(0, 256, (4, 4, 6, 3), np.uint8)
    backend.encode("camera", [frames[1:2]])
    mixed = frames[[0, 1, 0, 3, 2, 1]]
    tokens, mask = backend.encode("camera", [mixed])
    expected = plain.encode("camera", [mixed])
    assert tokens == pytest.approx(expected[0], rel=1e-6)
    assert np.array_equal(mask, expected[1])
    assert inner.encoded == [("camera", 1), ("camera", 3)]


# A glance


@pytest.fixture
def rows(evidence):
    return evidence.steps[:2]


def test_a_few_rows_are_compared_with_all_inputs_and_without_each(fake, rows):
    one, other = fake(), fake(gain=1.000_001)
    assert 0 < check_rows(one, other, rows) < 1e-4
    assert other.backend.encoded == one.backend.encoded
    assert one.backend.encoded.count(("camera", 2)) == 4  # with everything, and without each of the others


def test_a_few_rows_tell_of_a_difference_too(fake, rows):
    with pytest.raises(ParityError, match="^camera, mic, instruction, joints: outputs differ"):
        check_rows(fake(), fake(gain=1.01), rows)
