"""The README says what is true: its examples run, and its numbers are those of the result files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_python_example_runs(example):
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_table_is_what_the_result_files_say():
    check = [sys.executable, "benchmarks/tables.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_every_file_and_recipe_that_is_named_exists():
    for path in re.findall(r"(?:recipes|benchmarks|docs)/[\w./-]+\w", README):
        assert (ROOT / path).exists(), path


def test_every_verb_that_is_named_exists():
    command = Path(sys.executable).with_name("sensorimotor")
    for verb in sorted(set(re.findall(r"`sensorimotor (\w+)", README))):
        done = subprocess.run([command, verb, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, verb
