"""The wheel: what a user installs holds the bundled policy and works outside the source tree."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_installed_wheel_loads_the_bundled_policy(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"sensorimotor/py.typed", "sensorimotor/models/bundles/default/config.json"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "models/", "pipelines/"))]
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", f"{wheel}[cpu]"], check=True)
    program = (
        "import numpy, sensorimotor; policy = sensorimotor.Policy.load('default');"
        "print(policy.act({'camera': numpy.zeros((56, 56, 3), 'uint8'), 'instruction': 'go to the red ball'}).label)"
    )
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("left", "right", "forward", "pickup", "drop", "toggle", "done")
