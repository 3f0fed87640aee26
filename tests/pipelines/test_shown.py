import json
from itertools import pairwise

import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import BundleError, DataError
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import State, Text
from sensorimotor.pipelines import shown as module
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.shown import golden_shown, recorded_shown


def test_the_golden_set_is_shown_as_live_sensors_would_have_shown_it(tiny_bundle):
    bundle = Bundle.load(tiny_bundle)
    shown = golden_shown(bundle)
    assert (shown.origin, len(shown.steps), shown.starts[0]) == ("golden set", 100, True)
    frames = [step.sequences["camera"] for step in shown.steps if "camera" in step.observation]
    assert len(set(frames)) == len(frames), "a camera's every frame is new"
    for (before, now), start in zip(pairwise(shown.steps), shown.starts[1:], strict=True):
        if not start and {"instruction"} <= before.observation.keys() & now.observation.keys():
            same = before.observation["instruction"] == now.observation["instruction"]
            assert same == (before.sequences["instruction"] == now.sequences["instruction"])


def test_a_bundle_without_a_golden_set_is_refused_with_a_word_on_what_to_do(bundle_copy):
    bundle = Bundle.load(bundle_copy)
    del bundle.config["files"][GOLDEN]
    with pytest.raises(BundleError, match="has no golden set to be timed on: name a recording"):
        golden_shown(bundle)


SIGNATURE = Signature(
    {"joints": State(size=2, critical=True), "instruction": Text()}, Discrete(2, ("wait", "go")), Constant("wait"), 10.0
)


@pytest.fixture
def table(tmp_path):
    """Writes a table: two episodes of three steps, 0.1 s apart."""

    def write(joints="joints", instruction="instruction", told=("go", "go", "wait"), numbers="[{i}, {i}]"):
        rows = [
            {"episode": name, "time": i / 10, joints: json.loads(numbers.format(i=i)), instruction: told[i]}
            for name in "ab"
            for i in range(3)
        ]
        path = tmp_path / "steps.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def test_a_recording_is_shown_step_by_step(table):
    shown = recorded_shown(InputSpec(table()), SIGNATURE)
    assert shown.origin.endswith("steps.jsonl")
    assert shown.starts == [True, False, False] * 2
    assert [step.observation["instruction"] for step in shown.steps[:3]] == ["go", "go", "wait"]
    assert [step.observation["joints"].tolist() for step in shown.steps[:3]] == [[0, 0], [1, 1], [2, 2]]
    numbers = [step.sequences["joints"] for step in shown.steps[:3]]
    assert len(set(numbers)) == 3, "every state is a new one"


def test_an_input_that_was_not_recorded_is_missing(table):
    shown = recorded_shown(InputSpec(table(instruction="said")), SIGNATURE)
    assert all(step.observation.keys() == {"joints"} for step in shown.steps)


def test_a_critical_input_that_was_not_recorded_is_an_error_that_suggests_the_nearest(table):
    with pytest.raises(DataError, match="no column 'joints'; did you mean 'joint_s'"):
        recorded_shown(InputSpec(table(joints="joint_s")), SIGNATURE)


def test_a_feature_of_another_size_is_an_error(table):
    with pytest.raises(DataError, match=r"input 'joints' is a state, float32 \(2,\)"):
        recorded_shown(InputSpec(table(numbers="[{i}, 0, 0]")), SIGNATURE)


def test_data_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(DataError, match="nothing"):
        recorded_shown(InputSpec(str(tmp_path / "nothing.csv")), SIGNATURE)


def test_no_more_is_held_than_fits(table, monkeypatch):
    monkeypatch.setattr(module, "MOST_STEPS", 4)
    assert len(recorded_shown(InputSpec(table()), SIGNATURE).steps) == 4
