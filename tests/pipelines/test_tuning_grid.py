from dataclasses import replace

import pytest

from sensorimotor.models.execution import AS_IT_COMES, ONE_THREAD, Execution
from sensorimotor.pipelines.tuning_grid import described, modes, threads


@pytest.mark.parametrize(("cores", "counts"), [(1, set()), (2, {2}), (6, {2, 4, 6}), (8, {2, 4, 8})])
def test_threads_go_up_to_the_cores_waiting_and_spinning(cores, counts):
    grid = threads(cores)
    assert grid[-1] == AS_IT_COMES
    assert {(one.threads, one.spinning) for one in grid[:-1]} == {(count, spin) for count in counts for spin in (0, 1)}


def test_one_setting_at_a_time_is_changed():
    best = Execution(threads=2, spinning=True)
    for one in modes(best, 4):
        changed = {name for name in vars(best) if getattr(one, name) != getattr(best, name)}
        assert changed in ({"parallel", "inter_threads"}, {"optimisation"}, {"arena"})
    assert [one.inter_threads for one in modes(best, 4) if one.parallel] == [2, 4]
    assert not any(one.parallel for one in modes(best, 1))


def test_different_settings_have_different_names():
    tried = [ONE_THREAD, *threads(8), *(mode for one in threads(8) for mode in modes(one, 8))]
    assert len({described(one) for one in tried}) == len(tried)
    assert described(replace(AS_IT_COMES, arena=False)) == "ONNX Runtime's threads, no arena"
