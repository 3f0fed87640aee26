"""The examples in the documentation strings are run, all of them."""

import doctest
import importlib.util
import pkgutil
from pathlib import Path

import pytest

import sensorimotor

MODULES = ["sensorimotor", *(module.name for module in pkgutil.walk_packages(sensorimotor.__path__, "sensorimotor."))]
SOURCES = {name: Path(importlib.util.find_spec(name).origin).read_text() for name in MODULES}
WITH_EXAMPLES = [name for name, source in SOURCES.items() if ">>> " in source]
FREE_OF_TORCH = [
    "actions.choice",
    "actions.decision",
    "actions.space",
    "clock",
    "errors",
    "files",
    "models.bundle",
    "models.policy",
    "models.signature",
    "perception.buffers",
    "perception.modality",
    "perception.tokenizer",
    "perception.utterance",
    "pipelines.calibration",
    "pipelines.espeak",
    "pipelines.grounding",
    "pipelines.programs",
    "pipelines.recordings",
    "pipelines.sound",
    "pipelines.speech",
    "pipelines.speech_bank",
]


@pytest.mark.parametrize("name", sorted({*WITH_EXAMPLES, *(f"sensorimotor.{module}" for module in FREE_OF_TORCH)}))
def test_the_examples_of_a_module_are_true(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0
    assert (results.attempted > 0) == (name in WITH_EXAMPLES)


def test_the_modules_that_people_meet_first_have_examples():
    first = {"sensorimotor", "sensorimotor.models.signature", "sensorimotor.perception.modality"}
    assert first <= set(WITH_EXAMPLES)
