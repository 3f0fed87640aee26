"""The page about data of one's own names every key that a recipe may have, and its example runs."""

import re
import subprocess
import sys
from pathlib import Path

from sensorimotor.pipelines.episode_recipe import Action, Augment, Contract, EpisodeTraining, Input, ManifestData
from sensorimotor.pipelines.recipe_tables import BaseTraining

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text()


def test_every_key_is_named():
    own = set(EpisodeTraining.model_fields) - set(BaseTraining.model_fields)
    keys = {f"training.{key}" for key in own}
    for table, where in (
        (ManifestData, "data"),
        (Contract, "signature"),
        (Input, "signature.inputs.NAME"),
        (Action, "signature.action"),
        (Augment, "augment"),
    ):
        keys |= {f"{where}.{key}" for key in table.model_fields}
    keys -= {"data.kind", "signature.inputs", "signature.action"}
    assert not sorted(key for key in keys if f"`{key}`" not in PAGE)


def test_the_example_runs():
    for example in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
