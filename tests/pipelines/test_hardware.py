import os
import platform
import re
from importlib.metadata import version

from sensorimotor.pipelines.hardware import describe_machine, today, versions


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
