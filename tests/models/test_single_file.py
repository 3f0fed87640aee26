import numpy as np
import onnxruntime
import pytest

from sensorimotor.models.bundle import SINGLE, Bundle
from sensorimotor.models.policy import Policy
from sensorimotor.models.single_file import SingleFileBackend


@pytest.fixture
def session(tiny_bundle):
    """The file as any runtime that takes a single model would run it."""
    return onnxruntime.InferenceSession(str(tiny_bundle / SINGLE), providers=["CPUExecutionProvider"])


def test_it_takes_raw_values_and_gives_an_action_and_a_memory(session):
    assert {argument.name for argument in session.get_inputs()} == {
        *("camera", "mic", "mic.length", "instruction", "present", "age_s", "memory")
    }
    assert [output.name for output in session.get_outputs()] == ["parameters", "embedding", "memory_out"]


def test_fed_by_hand_it_gives_what_the_policy_gives_step_after_step(session, tiny_policy, tiny_bundle, golden_steps):
    bundle = Bundle.load(tiny_bundle)
    memory = np.zeros((1, bundle.memory_size), np.float32)
    for step in golden_steps[0][:25]:
        shown = step.observation
        sound = np.zeros((1, 80_000, 1), np.float32)
        heard = shown.get("mic", np.zeros((0, 1), np.float32))
        sound[0, : len(heard)] = heard
        parameters, _, memory = session.run(
            ["parameters", "embedding", "memory_out"],
            {
                "camera": shown["camera"][None],
                "mic": sound,
                "mic.length": np.array([len(heard)]),
                "instruction": bundle.tokenizer().encode(shown.get("instruction", ""))[None],
                "present": np.array([[name in shown for name in bundle.signature.names]]),
                "age_s": np.array([[step.ages_s.get(name, 0.0) for name in bundle.signature.names]], np.float32),
                "memory": memory,
            },
        )
        decision = tiny_policy.act(shown, ages_s=step.ages_s)
        assert parameters[0] == pytest.approx(decision.parameters, abs=1e-4)
        assert memory[0] == pytest.approx(tiny_policy.memory(), abs=1e-4)


def test_as_a_back_end_it_decides_like_the_parts_it_was_merged_from(tiny_bundle, tiny_policy, golden_steps):
    bundle = Bundle.load(tiny_bundle)
    merged = SingleFileBackend(tiny_bundle / SINGLE, bundle.signature, bundle.memory_size)
    policy = Policy(bundle.signature, merged, bundle.tokenizer())
    rows = [golden_steps[0][i].observation for i in (0, 30, 60, 99)] + [
        {"camera": golden_steps[0][5].observation["camera"]}
    ]
    for a, b in zip(policy.act_batch(rows), tiny_policy.act_batch(rows), strict=True):
        assert a.parameters == pytest.approx(b.parameters, abs=1e-4)
