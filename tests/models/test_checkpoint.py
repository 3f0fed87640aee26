import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sensorimotor.errors import CheckpointError
from sensorimotor.models.checkpoint import FORMAT, Checkpoint, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")
FULL = Path("/dev/full")


@pytest.fixture
def written(trained, tmp_path):
    """A checkpoint that a test may damage."""
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes((trained.path / path.name).read_bytes())
    return path


@pytest.fixture(scope="module")
def checkpoint(trained, one_thread):
    return load_checkpoint(trained.path)


def rewrite(path, change):
    """Write the file again with its description, and maybe its tensors, changed."""
    with safe_open(path, "pt") as file:
        info = json.loads(file.metadata()["sensorimotor"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    change(info, tensors)
    save_file(tensors, path, {"sensorimotor": json.dumps(info)})


def test_everything_that_a_run_needs_comes_back_as_it_was(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "again.safetensors", checkpoint)
    again = load_checkpoint(tmp_path / "again.safetensors")
    for expected, found in (
        (checkpoint.network.state_dict(), again.network.state_dict()),
        (checkpoint.tutor, again.tutor),
    ):
        assert set(found) == set(expected) != set()
        assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert again.optimizer.keys() == checkpoint.optimizer.keys() != set()
    for index, state in checkpoint.optimizer.items():
        assert set(state) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(value, again.optimizer[index][name]) for name, value in state.items())
    assert (again.step, again.recipe, again.record) == (120, checkpoint.recipe, checkpoint.record)
    assert again.network.signature == checkpoint.network.signature
    assert again.network.tokenizer.to_json() == checkpoint.network.tokenizer.to_json()


def test_a_network_alone_can_be_kept(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "bare.safetensors", Checkpoint(checkpoint.network, 0, {}))
    bare = load_checkpoint(tmp_path / "bare.safetensors")
    assert (bare.tutor, bare.optimizer, bare.record) == ({}, {}, {})


def test_a_run_is_found_by_its_directory_or_its_file(trained, checkpoint):
    assert load_checkpoint(trained.path / "checkpoint.safetensors").step == checkpoint.step
    assert next(checkpoint.network.parameters()).device == torch.device("cpu")


def test_everybody_may_read_it(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "run" / "checkpoint.safetensors", checkpoint)
    (tmp_path / "other").touch()
    assert (tmp_path / "run" / "checkpoint.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


# What cannot be read


@pytest.mark.parametrize("left", [0, 7, 1000, -1])
def test_a_checkpoint_that_was_cut_short_is_refused(written, left):
    written.write_bytes(written.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=f"{written} is damaged or no checkpoint"):
        load_checkpoint(written)


@pytest.mark.parametrize("where", ["missing.safetensors", "."])
def test_no_checkpoint_is_no_checkpoint(tmp_path, where):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / where)


def test_a_newer_format_is_refused(written):
    rewrite(written, lambda info, _: info.update(format=FORMAT + 1))
    with pytest.raises(CheckpointError, match=rf"newer version \(format {FORMAT + 1}, this reads {FORMAT}\)"):
        load_checkpoint(written)


@pytest.mark.parametrize("older", [FORMAT - 1, 0])
def test_an_older_format_is_refused_with_what_to_do(written, older):
    rewrite(written, lambda info, _: info.update(format=older))
    with pytest.raises(CheckpointError, match=rf"older version \(format {older}, this reads {FORMAT}\): train again"):
        load_checkpoint(written)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {"sensorimotor": "[]"}, {"sensorimotor": '{"format": "1"}'}]
)
def test_weights_of_somebody_else_are_refused(tmp_path, metadata):
    save_file({"weight": torch.zeros(2)}, tmp_path / "theirs.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"theirs\.safetensors is no checkpoint of sensorimotor"):
        load_checkpoint(tmp_path / "theirs.safetensors")


@pytest.mark.parametrize("metadata", ["{", "[" * 100_000])
def test_a_description_that_is_none_is_refused(tmp_path, metadata):
    save_file({"weight": torch.zeros(2)}, tmp_path / "theirs.safetensors", {"sensorimotor": metadata})
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        load_checkpoint(tmp_path / "theirs.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda info, tensors: tensors.pop("network.core.head.temperature"),
        lambda info, tensors: tensors.update({"network.more": torch.zeros(1)}),
        lambda info, tensors: tensors.update({"network.core.head.layers.3.bias": torch.zeros(3)}),
        lambda info, tensors: tensors.update({"optimizer.first.step": torch.zeros(())}),
        lambda info, tensors: tensors.update({"network.core.head.temperature": torch.tensor(1)}),
        lambda info, tensors: info.pop("step"),
        lambda info, tensors: info.update(step="3"),
        lambda info, tensors: info.update(step=True),
        lambda info, tensors: info.update(step=-1),
        lambda info, tensors: info.update(record=[]),
        lambda info, tensors: info.update(recipe=None),
        lambda info, tensors: info["spec"].update(dim=32),
        lambda info, tensors: info["spec"].update(dim="wide"),
        lambda info, tensors: info.update(spec=None),
        lambda info, tensors: info["signature"].pop("inputs"),
        lambda info, tensors: info.update(tokenizer="no tokenizer"),
        lambda info, tensors: info.update(tokenizer=None),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(written, change):
    rewrite(written, change)
    with pytest.raises(CheckpointError, match=f"^{written} does not fit together"):
        load_checkpoint(written)


# What cannot be written


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_checkpoint_before(written, checkpoint):
    before = written.read_bytes()
    written.with_name(f".{written.name}.{os.getpid()}.part").symlink_to(FULL)
    with pytest.raises(
        CheckpointError, match="was not written, the one before is unchanged: .*No space left on device"
    ):
        save_checkpoint(written, checkpoint)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_a_place_that_cannot_be_written_is_named(tmp_path, checkpoint):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=f"{tmp_path}/file/checkpoint.safetensors was not written"):
        save_checkpoint(tmp_path / "file" / "checkpoint.safetensors", checkpoint)


def test_an_interruption_leaves_the_checkpoint_before(written, checkpoint, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = written.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(written, checkpoint)
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]
