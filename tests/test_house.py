"""The rules of the house: what importing costs, and what no module may do."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sensorimotor

ROOT = Path(__file__).parents[1]
FOLDERS = ("package", "perception", "fusion", "actions", "models", "pipelines")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES = {str(path.relative_to(ROOT)): path.read_text() for path in MODULES}
EXCEPTIONS = {  # they tell other libraries not to phone home
    ("configuration by environment", "models/onnx_backend.py"),
    ("configuration by environment", "pipelines/batch_ray.py"),
}
FORBIDDEN = {
    "pickle": r"^\s*(import|from)\s+(c?pickle|dill|joblib|shelve|marshal)\b",
    "evaluated strings": r"(?<![\w.])(eval|exec)\(",
    "configuration by environment": r"\bos\.(environ|getenv|putenv)\b|from os import .*\b(environ|getenv)\b",
    "pickled arrays": r"allow_pickle\s*=\s*True",
    "unsafe weights": r"weights_only\s*=\s*False|\btorch\.load\(",
    "a shell": r"shell\s*=\s*True|\bos\.(system|popen)\(",
}


def imported_after(statement: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter has after a statement."""
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    loaded = imported_after("import sensorimotor")
    assert "sensorimotor" in loaded
    assert not loaded & {"torch", "numpy", "gymnasium", "pydantic", "onnxruntime", "cv2", "av", "minigrid"}


def test_loading_a_policy_does_not_need_torch():
    loaded = imported_after("import sensorimotor; from sensorimotor import Policy, Signature, Discrete")
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnx", "onnxscript", "safetensors", "minigrid", "pygame", "transformers"}


@pytest.mark.parametrize("name", sensorimotor.__all__)
def test_every_public_name_resolves(name):
    assert getattr(sensorimotor, name) is not None


def test_the_version_is_that_of_the_distribution():
    assert sensorimotor.__version__ == importlib.metadata.version("sensorimotor")


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_module_uses(what):
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    assert [name for name, text in SOURCES.items() if pattern.search(text) and (what, name) not in EXCEPTIONS] == []


def test_running_a_policy_leaves_no_telemetry_in_the_home(tmp_path):
    program = "from sensorimotor.models.onnx_backend import runtime; runtime()"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment | {"HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("what", "offence"),
    [
        ("pickle", "    import pickle"),
        ("pickle", "from pickle import loads"),
        ("evaluated strings", "x = eval(text)"),
        ("configuration by environment", 'os.environ["X"]'),
        ("configuration by environment", "from os import environ"),
        ("pickled arrays", "np.load(path, allow_pickle=True)"),
        ("unsafe weights", "torch.load(path)"),
        ("a shell", "subprocess.run(command, shell=True)"),
    ],
)
def test_an_offence_would_be_found(what, offence):
    assert re.search(FORBIDDEN[what], offence, re.MULTILINE)
    assert not re.search(FORBIDDEN["evaluated strings"], "network.eval()")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_module_says_what_it_is_for(folder):
    modules = [path for path in MODULES if path.is_relative_to(ROOT / folder)]
    assert modules
    assert [path.name for path in modules if not ast.get_docstring(ast.parse(path.read_text()))] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_a_package(folder):
    assert (ROOT / folder / "__init__.py").is_file()
