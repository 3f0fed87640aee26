import numpy as np
import pytest

from sensorimotor.models.bundle import WEIGHTS, Bundle
from sensorimotor.models.execution import ONE_THREAD, Execution
from sensorimotor.models.policy import Policy
from sensorimotor.pipelines import turns
from sensorimotor.pipelines.batch_input import InputSpec
from sensorimotor.pipelines.shown import golden_shown
from sensorimotor.pipelines.turns import Job, compare, outputs, ratios, why_incomparable


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle)


@pytest.fixture
def few_turns(monkeypatch):
    monkeypatch.setattr(turns, "TURNS", 3)
    monkeypatch.setattr(turns, "TURN", 20)


@pytest.mark.parametrize("recording", [None, InputSpec("demos/a", {"camera": "front"})])
def test_a_job_can_be_given_to_another_process(recording):
    job = Job("bundles/a", recording, 2, 100, compiled=True)
    assert Job.from_json(job.to_json()) == job


def test_eager_torch_takes_turns_and_decides_the_same(bundle, few_turns, monkeypatch, tmp_path):
    """Without a C++ compiler `torch.compile` cannot take part, and says why."""
    for name, value in (("CXX", "/no/compiler"), ("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))):
        monkeypatch.setenv(name, value)
    said = []
    policy, shown = Policy.load(bundle.path), golden_shown(bundle)
    ours, eager, compiled = compare(bundle, policy, shown, ONE_THREAD, told=said.append)
    assert [ours.name, eager.name, compiled.name] == ["runtime", "eager torch", "torch.compile"]
    assert [len(turn) for turn in ours.turns] == [len(turn) for turn in eager.turns] == [20, 20, 20]
    assert eager.max_error < 1e-4
    assert not eager.why_not
    assert ratios(ours.turns, eager.turns).shape == (3,)
    assert not compiled.turns
    assert "compiler" in compiled.why_not
    assert said == ["eager torch gets ready", "torch.compile gets ready", "taking turns"]


@pytest.mark.slow
def test_torch_compile_takes_turns_where_there_is_a_compiler(bundle, few_turns):
    policy, shown = Policy.load(bundle.path), golden_shown(bundle)
    _, _, compiled = compare(bundle, policy, shown, ONE_THREAD)
    assert not compiled.why_not
    assert compiled.max_error < 1e-4


def test_a_network_that_cannot_be_built_again_is_not_compared_and_the_reason_is_plain(bundle, few_turns):
    del bundle.config["files"][WEIGHTS]
    policy, shown = Policy.load(bundle.path), golden_shown(bundle)
    ours, *others = compare(bundle, policy, shown, ONE_THREAD)
    assert not ours.turns
    for one in others:
        assert one.why_not == (
            "the bundle has no model.safetensors, from which its network could be built again: export it again"
        )


def test_torch_that_is_not_installed_is_not_compared(bundle, monkeypatch):
    monkeypatch.setattr(turns, "find_spec", lambda name: None)
    assert "torch and safetensors is not installed: pip install" in why_incomparable(bundle, ONE_THREAD)


def test_graphs_on_another_device_are_not_compared_with_torch_on_the_cpu(bundle):
    assert "on the CPU only" in why_incomparable(bundle, Execution.on("cuda"))


def test_a_process_that_is_not_ready_in_time_is_left_out(bundle, few_turns, monkeypatch):
    monkeypatch.setattr(turns, "LIMIT_S", dict.fromkeys(turns.LIMIT_S, 0.01))
    policy, shown = Policy.load(bundle.path), golden_shown(bundle)
    _, eager, _ = compare(bundle, policy, shown, ONE_THREAD)
    assert eager.why_not == "it was not ready within 0 s"


def test_a_recording_that_the_other_process_cannot_read_is_why(bundle, few_turns, tmp_path):
    policy, shown = Policy.load(bundle.path), golden_shown(bundle)
    _, eager, _ = compare(bundle, policy, shown, ONE_THREAD, InputSpec(str(tmp_path / "nothing.csv")))
    assert "DataError" in eager.why_not


def test_ratios_are_of_medians_turn_by_turn():
    ours, theirs = [np.array([1, 1, 9]), np.array([2, 2, 2])], [np.array([3, 3, 3]), np.array([4, 1, 9])]
    assert ratios(ours, theirs).tolist() == [3, 2]


def test_outputs_are_those_of_a_policy_that_forgets_between_episodes(bundle):
    policy, shown = Policy.load(bundle.path), golden_shown(bundle)
    policy.act(shown.steps[5].observation)
    once = outputs(policy, shown, 30)
    assert np.array_equal(once, outputs(policy, shown, 30))
    assert once.shape == (30, policy.signature.action_space.size)
