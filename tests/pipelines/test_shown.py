from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import BundleError, DataError
from sensorimotor.models.bundle import GOLDEN, Bundle
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import State, Text
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.shown import golden_shown, recorded_shown

SIGNATURE = Signature(
    {"joints": State(size=2, critical=True), "instruction": Text()}, Discrete(2, ("wait", "go")), Constant("wait"), 10.0
)


def source(kind="vector", joints="joints", instruction="instruction", texts=((0.0, "go"), (0.2, "wait"))):
    """Two episodes of three steps, 0.1 s apart."""
    times_s = np.array([0.0, 0.1, 0.2])
    vectors = [np.full(2, i, np.float32) for i in range(3)]
    tracks = {
        joints: SimpleNamespace(times_s=times_s, read=lambda numbers: [vectors[i] for i in numbers]),
        instruction: SimpleNamespace(
            times_s=np.array([at for at, _ in texts]), read=lambda numbers: [texts[i][1] for i in numbers]
        ),
    }
    episode = SimpleNamespace(name="an episode", times_s=times_s, track=lambda feature, rate=None: tracks[feature])

    class Two:
        features = {joints: Feature(kind, (2,)), instruction: Feature("text")}  # noqa: RUF012

        def __len__(self):
            return 2

        def episode(self, number):
            return episode

    return Two()


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


def test_a_recording_is_shown_step_by_step():
    shown = recorded_shown(source(), SIGNATURE, "demos")
    assert shown.origin == "demos"
    assert shown.starts == [True, False, False] * 2
    assert [step.observation["instruction"] for step in shown.steps[:3]] == ["go", "go", "wait"]
    assert [step.sequences for step in shown.steps[:3]] == [
        {"joints": 0, "instruction": 0},
        {"joints": 1, "instruction": 0},
        {"joints": 2, "instruction": 1},
    ]


def test_an_input_is_found_by_the_end_of_a_feature_s_name():
    shown = recorded_shown(source(joints="observation.joints"), SIGNATURE, "demos")
    assert shown.steps[2].observation["joints"].tolist() == [2, 2]


def test_an_input_that_was_not_recorded_is_missing():
    shown = recorded_shown(source(instruction="said"), SIGNATURE, "demos")
    assert all(step.observation.keys() == {"joints"} for step in shown.steps)


def test_a_critical_input_that_was_not_recorded_is_an_error_that_suggests_the_nearest():
    with pytest.raises(DataError, match="demos has no column 'joints'; did you mean 'joint_s'"):
        recorded_shown(source(joints="joint_s"), SIGNATURE, "demos")


def test_a_feature_of_another_kind_is_an_error():
    with pytest.raises(DataError, match=r"demos: expected joints to be a state, float32 \(2,\), found image"):
        recorded_shown(source(kind="image"), SIGNATURE, "demos")


def test_a_recording_in_which_nothing_is_sensed_is_an_error():
    empty = source(texts=((5.0, "go"),), joints="other")
    signature = Signature({"instruction": Text()}, Discrete(2, ("wait", "go")), Constant("wait"), 10.0)
    with pytest.raises(DataError, match="demos: no step has a value of instruction"):
        recorded_shown(empty, signature, "demos")
