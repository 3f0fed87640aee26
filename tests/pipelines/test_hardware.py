import os
import platform
import re
from importlib.metadata import version

import numpy as np

from sensorimotor.pipelines.hardware import describe_machine, resident_mb, today, usable_cores, versions


def test_the_machine_is_described():
    machine = describe_machine()
    assert set(machine) == {"processor", "cores", "memory_gib", "system"}
    assert machine["processor"]
    assert machine["cores"] == os.cpu_count()
    assert 0 < machine["memory_gib"] < 100_000
    assert machine["system"].startswith(platform.system())


def test_versions_are_those_that_are_installed_and_nothing_else():
    assert versions("numpy", "no-such-package") == {
        "python": platform.python_version(),
        "sensorimotor": version("sensorimotor"),
        "numpy": version("numpy"),
    }


def test_the_date_is_a_date():
    assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", today())


def test_the_memory_of_this_process_grows_with_what_it_holds():
    before = resident_mb()
    held = np.ones(10_000_000, np.float64)
    assert 60 < resident_mb() - before < 200
    assert held[0] == 1


def test_no_more_cores_can_be_used_than_there_are():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
