import json
import os
import re
import shutil
from pathlib import Path

import onnxruntime
import pytest

from sensorimotor.errors import OutputPathError, ProfileError
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import ONE_THREAD, Execution
from sensorimotor.models.policy import Policy
from sensorimotor.models.quantised import quantise
from sensorimotor.pipelines.machine_profile import (
    Hardware,
    MachineProfile,
    Measured,
    Settings,
    profile_directory,
    tuned,
)

GAIN = Measured(ratio=1.5, low=1.2, high=1.9, pairs=20)
TWO = Execution(threads=2, spinning=True, optimisation="extended", arena=False)


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load("default")


@pytest.fixture
def written(bundle, tmp_path):
    """Writes a profile: `written(execution)`; words change what it says."""

    def write(execution, **changed):
        stated = {
            "objective": "latency",
            "bundle": bundle.fingerprint,
            "onnxruntime": onnxruntime.__version__,
            "hardware": Hardware.here(),
            "name": "as somebody found out",
            "settings": Settings.of(execution),
            "over_onnxruntime": GAIN,
            "over_default": GAIN,
            "date": "2026-11-28",
        }
        return MachineProfile(**{**stated, **changed}).write(tmp_path)

    return write


@pytest.fixture
def int8(bundle, tmp_path):
    directory = profile_directory(bundle.fingerprint, tmp_path)
    directory.mkdir(parents=True)
    return quantise(bundle, directory, reduce_range=False)


@pytest.fixture
def pick_up(bundle, tmp_path):
    """Gives the execution that is picked up, and what was told."""

    def pick(objective="latency"):
        told = []
        return tuned(bundle, objective, told.append, tmp_path), told

    return pick


def test_where_nothing_was_tuned_nothing_is_said(pick_up):
    assert pick_up() == (ONE_THREAD, [])


def test_what_was_tuned_is_picked_up_with_a_word(written, pick_up):
    written(TWO)
    assert pick_up() == (TWO, ["tuned on this machine on 2026-11-28: as somebody found out"])


def test_int8_graphs_are_picked_up_and_run(bundle, written, pick_up, int8):
    written(Execution(graphs=int8))
    execution, _ = pick_up()
    assert execution == Execution(graphs=int8)
    assert Policy.load(bundle, execution=execution).act({"instruction": "go to the red ball"}).label


def test_what_is_for_throughput_is_not_for_latency(written, pick_up):
    written(TWO, objective="throughput")
    assert pick_up("latency") == (ONE_THREAD, [])
    assert pick_up("throughput")[0] == TWO


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hardware": Hardware.here().model_copy(update={"processor": "Another CPU"})}, "on other hardware"),
        ({"hardware": Hardware.here().model_copy(update={"usable_cores": 99})}, "on other hardware"),
        ({"onnxruntime": "1.0.0"}, f"with onnxruntime 1.0.0, and this is {onnxruntime.__version__}"),
    ],
)
def test_elsewhere_it_is_ignored_with_a_word(written, pick_up, changed, said):
    written(TWO, **changed)
    assert pick_up() == (
        ONE_THREAD,
        [f"run on one thread: what was tuned on 2026-11-28 was tuned {said}: run `sensorimotor tune` again"],
    )


def test_a_profile_of_another_policy_is_ignored_with_a_word(bundle, written, pick_up, tmp_path):
    path = written(TWO, bundle="0" * 64)
    shutil.copytree(path.parent, profile_directory(bundle.fingerprint, tmp_path))
    execution, told = pick_up()
    assert execution == ONE_THREAD
    assert "was tuned of another policy" in told[0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda stated: "", "Invalid JSON"),
        (lambda stated: json.dumps(stated)[:200], "Invalid JSON"),
        (lambda stated: "[" * 100_000, "Invalid JSON"),
        (lambda stated: " " * 2**21, "is larger than"),
        (
            lambda stated: json.dumps({**stated, "over_default": {**GAIN.model_dump(), "low": float("nan")}}),
            "over_default.low",
        ),
        (lambda stated: json.dumps({**stated, "format": 2}), "format: Input should be 1"),
        (lambda stated: json.dumps({**stated, "more": 1}), "more: Extra inputs are not permitted"),
        (lambda stated: json.dumps({**stated, "settings": {**stated["settings"], "threads": 0}}), "settings.threads"),
        (lambda stated: json.dumps({**stated, "settings": {**stated["settings"], "threads": "2"}}), "settings.threads"),
        (
            lambda stated: json.dumps({**stated, "settings": {**stated["settings"], "optimisation": "most"}}),
            "settings.optimisation",
        ),
        (
            lambda stated: json.dumps({**stated, "settings": {**stated["settings"], "graphs": {"../x.onnx": "0"}}}),
            r"no graph \.\./x\.onnx",
        ),
    ],
)
def test_a_damaged_or_odd_profile_is_ignored_with_a_word(written, pick_up, damage, said):
    path = written(TWO)
    path.write_text(damage(json.loads(path.read_text())))
    execution, (told,) = pick_up()
    assert execution == ONE_THREAD
    assert told.startswith("run on one thread: ")
    assert re.search(said, told)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_profile_that_is_no_file_is_ignored_with_a_word(written, pick_up, make):
    path = written(TWO)
    path.unlink()
    make(path)
    execution, told = pick_up()
    assert execution == ONE_THREAD
    assert told


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"another graph")])
def test_graphs_that_are_gone_or_changed_are_not_run(written, pick_up, int8, harm):
    written(Execution(graphs=int8))
    harm(int8["core.onnx"])
    execution, told = pick_up()
    assert execution == ONE_THREAD
    assert "core.int8.onnx is missing or was changed" in told[0]


def test_a_profile_for_encoders_that_the_policy_does_not_have_is_ignored_with_a_word(written, pick_up):
    written(Execution(precision="fp16"))
    execution, told = pick_up()
    assert execution == ONE_THREAD
    assert "no encoder in half precision" in told[0]


def test_settings_name_only_graphs_of_the_policy(bundle, tmp_path):
    settings = Settings.of(ONE_THREAD).model_copy(update={"graphs": {"policy.onnx": "0"}})
    with pytest.raises(ProfileError, match=r"the policy has no graph policy\.onnx"):
        settings.execution(bundle, tmp_path)


def test_where_it_cannot_be_written_is_told(bundle, written, tmp_path):
    (tmp_path / "machines").write_text("a file")
    with pytest.raises(OutputPathError, match="cannot write"):
        written(TWO)
