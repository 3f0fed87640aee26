from dataclasses import replace

import numpy as np
import pytest

from sensorimotor.errors import SensorimotorError
from sensorimotor.models.execution import ONE_THREAD
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.cold_start import PARTS, cold_starts


def test_a_fresh_process_is_timed_until_its_first_decision(tiny_bundle, observation):
    found = cold_starts(str(tiny_bundle), Sensed(observation), ONE_THREAD, n=2)
    assert found.seconds.shape == (2,)
    assert (found.seconds > 0.05).all()
    assert (found.seconds < 60).all()
    assert list(found.parts_s) == list(PARTS)
    assert all(seconds > 0 for seconds in found.parts_s.values())
    assert sum(found.parts_s.values()) == pytest.approx(float(np.median(found.seconds)), rel=0.5)
    assert 20 < found.resident_mb < 2000


def test_a_process_that_fails_says_why(tiny_bundle, observation):
    with pytest.raises(SensorimotorError, match=r"ended with status 1: .*NpuExecutionProvider is not available here"):
        cold_starts(
            str(tiny_bundle), Sensed(observation), replace(ONE_THREAD, providers=("NpuExecutionProvider",)), n=1
        )
