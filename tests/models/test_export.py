import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sensorimotor.errors import ExportError, OutputPathError, ParityError
from sensorimotor.models import export as module
from sensorimotor.models import parity
from sensorimotor.models.bundle import CARD, CORE, GOLDEN, SINGLE, TOKENIZER, WEIGHTS, Bundle, encoder_file
from sensorimotor.models.export import example_values, export, require_exportable
from sensorimotor.models.parity import Evidence
from sensorimotor.models.policy import Policy
from sensorimotor.perception.modality import Audio, Image, State, Text

pytestmark = pytest.mark.usefixtures("one_thread")


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# What the command that made the tiny bundle did: the whole of export, nothing left out.


def test_a_bundle_holds_graphs_weights_words_a_golden_set_and_a_card(tiny_bundle):
    graphs = [CORE, SINGLE, *map(encoder_file, ("camera", "mic", "instruction"))]
    assert set(files(tiny_bundle)) == {"config.json", *graphs, TOKENIZER, GOLDEN, WEIGHTS, CARD}


def test_its_configuration_says_where_it_comes_from_and_how_good_it_is(tiny_bundle, tiny_network):
    config = Bundle.load(tiny_bundle).config
    assert (config["name"], config["format"]) == ("tiny", 1)
    assert config["parameters"] == sum(parameter.numel() for parameter in tiny_network.parameters())
    assert config["network"] == tiny_network.spec.model_dump()
    assert config["provenance"]["recipe"]["name"] == "tiny"
    assert config["provenance"]["steps"] == 120
    assert set(config["metrics"]["held_out"]) == {"camera + instruction", "camera + mic", "camera"}
    assert config["metrics"]["calibration"]["temperature"] > 0
    assert config["encoders"]["camera"] == {"tokens": 49, "dim": 8}
    assert config["thresholds"] == {"confidence": None, "novelty": None}


def test_it_passed_the_gate_on_every_subset_and_over_a_thousand_closed_loop_steps(exported):
    parts = Bundle.load(exported.path).config["parity"]
    for report in (parts, parts["single_file"]):
        assert (report["subsets"], report["batches"], report["stream_steps"]) == (7, [1, 2, 7], 300)
        assert report["closed_loop_steps"] >= 1000
        for error in ("max_error", "stream_max_error", "closed_loop_max_error"):
            assert 0 <= report[error] <= report["tolerance"] == 1e-4
    assert json.loads(exported.done.stdout)["parity"] == parts


def test_no_file_says_where_it_was_made(tiny_bundle):
    code = str(Path(module.__file__).parent).encode()
    assert not [name for name, content in files(tiny_bundle).items() if code in content or b'File "' in content]


def test_everybody_may_read_every_file(tiny_bundle):
    modes = {path.name: path.stat().st_mode & 0o777 for path in tiny_bundle.iterdir()}
    assert set(modes.values()) == {modes["config.json"]}


def test_nothing_is_left_beside_it(tiny_bundle):
    assert [path.name for path in tiny_bundle.parent.iterdir()] == [tiny_bundle.name]


# The gate and the directory, with the graphs that were exported once and a hundred steps instead of a thousand.


@pytest.fixture
def short(monkeypatch, tiny_bundle, golden_steps):
    """Export in a second: the arguments of `export` but for the network and the directory."""

    def write_graphs(network, directory):
        for file in tiny_bundle.glob("*.onnx"):
            if file.name != SINGLE:
                shutil.copy(file, directory)

    monkeypatch.setattr(module, "write_graphs", write_graphs)
    monkeypatch.setattr(parity, "CLOSED_LOOP_STEPS", 100)
    monkeypatch.setattr(parity, "MEMORY_STEPS", 50)
    config = Bundle.load(tiny_bundle).config
    return Evidence(*golden_steps), {name: config[name] for name in ("name", "description", "metrics", "provenance")}


@pytest.fixture
def other_network(tiny_network):
    """A network that is not the one in the graphs: one bias of its last layer is a little larger."""
    network = copy.deepcopy(tiny_network)
    with torch.no_grad():
        network.core.head.layers[-1].bias[0] += 1e-3
    return network


def test_graphs_that_do_not_compute_what_the_network_computes_are_never_exported(short, other_network, tmp_path):
    evidence, config = short
    with pytest.raises(
        ParityError, match="camera in a batch of 1: outputs differ by .*, allowed is 1e-04; nothing was exported"
    ):
        export(other_network, evidence, tmp_path / "bundle", config)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_older_bundle(short, other_network, bundle_copy):
    before = files(bundle_copy)
    with pytest.raises(ParityError):
        export(other_network, short[0], bundle_copy, short[1])
    assert files(bundle_copy) == before
    assert list(bundle_copy.parent.iterdir()) == [bundle_copy]


@pytest.mark.parametrize("where", ["write_graphs", "save_golden", "card"])
def test_an_interrupted_export_leaves_nothing_behind(short, tiny_network, tmp_path, monkeypatch, where):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_network, short[0], tmp_path / "bundle", short[1])
    assert list(tmp_path.iterdir()) == []


def test_a_memory_that_is_wrong_is_caught_though_every_action_is_right(short, tiny_network, tmp_path):
    network = copy.deepcopy(tiny_network)
    with torch.no_grad():
        network.core.fusion.cell.bias_hh += 1e-3
    with pytest.raises(ParityError, match="outputs differ"):
        export(network, short[0], tmp_path / "bundle", short[1])


def test_an_older_bundle_is_replaced_as_a_whole(short, tiny_network, bundle_copy):
    evidence, config = short
    assert (bundle_copy / SINGLE).exists()
    report = export(tiny_network.train(), evidence, bundle_copy, {**config, "name": "newer"})
    bundle = Bundle.load(bundle_copy)
    assert bundle.config["name"] == "newer"
    assert bundle.config["parity"] == report
    assert "single_file" not in report
    assert set(files(bundle_copy)) == {"config.json", *bundle.config["files"]}
    assert not (bundle_copy / SINGLE).exists()
    assert list(bundle_copy.parent.iterdir()) == [bundle_copy]


def test_a_damaged_bundle_may_be_replaced(short, tiny_network, bundle_copy):
    (bundle_copy / CORE).unlink()
    (bundle_copy / CARD).write_text("scribbled over")
    export(tiny_network, short[0], bundle_copy, short[1])
    assert Policy.load(bundle_copy)


@pytest.mark.parametrize(
    "content",
    [
        {"thesis.tex": "ten years of work"},
        {"config.json": '{"model_type": "bert"}', "pytorch_model.bin": "weights of somebody else"},
        {"config.json": "no JSON at all"},
    ],
    ids=["something else", "somebody else's model", "somebody else's configuration"],
)
def test_a_directory_with_something_else_in_it_is_left_alone(short, tiny_network, tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    for name, text in content.items():
        (out / name).write_text(text)
    before = files(out)
    with pytest.raises(OutputPathError, match=r"has something else than a bundle in it \(.*; choose another directory"):
        export(tiny_network, short[0], out, short[1])
    assert files(out) == before


def test_what_somebody_put_into_a_bundle_is_not_thrown_away(short, tiny_network, bundle_copy):
    (bundle_copy / "notes.txt").write_text("worked well on the blue table")
    before = files(bundle_copy)
    with pytest.raises(OutputPathError, match=r"has something else than a bundle in it \(notes\.txt\)"):
        export(tiny_network, short[0], bundle_copy, short[1])
    assert files(bundle_copy) == before


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/nowhere"])
def test_a_place_that_cannot_be_written_is_named(short, tiny_network, tmp_path, place):
    (tmp_path / "a file").write_text("mine")
    out = {"a file": tmp_path / "a file", "below a file": tmp_path / "a file" / "out"}.get(place, place)
    with pytest.raises(OutputPathError, match=f"{out}"):
        export(tiny_network, short[0], type(tmp_path)(out), short[1])
    assert (tmp_path / "a file").read_text() == "mine"


def test_weights_that_no_onnx_file_can_hold_are_refused_before_anything_is_done(
    short, tiny_network, tmp_path, monkeypatch
):
    sizes = {name: module._bytes(encoder) for name, encoder in tiny_network.encoders.items()}
    monkeypatch.setattr(module, "LARGEST_BYTES", sizes["mic"] - 1)
    monkeypatch.setattr(module, "write_graphs", lambda *_: pytest.fail("the work was begun"))
    with pytest.raises(ExportError, match="the encoder of 'mic' has .* GiB of weights; .*: choose a smaller model"):
        export(tiny_network, short[0], tmp_path / "bundle", short[1])
    assert list(tmp_path.iterdir()) == []


def test_parts_that_fit_may_be_too_large_for_a_single_file(tiny_network, monkeypatch):
    parts = [module._bytes(part) for part in (*tiny_network.encoders.values(), tiny_network.core)]
    monkeypatch.setattr(module, "LARGEST_BYTES", max(parts))
    require_exportable(tiny_network)
    with pytest.raises(ExportError, match=r"together, in policy\.onnx, has .*: export without the single file"):
        require_exportable(tiny_network, single_file=True)
    monkeypatch.setattr(module, "LARGEST_BYTES", sum(parts))
    require_exportable(tiny_network, single_file=True)


def test_too_little_evidence_exports_nothing(short, tiny_network, tmp_path):
    evidence, config = short
    with pytest.raises(ParityError, match="99 real steps are too few"):
        export(tiny_network, Evidence(evidence.steps[1:], evidence.starts[1:]), tmp_path / "bundle", config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        (Image(height=4, width=6, frames=2), [((3, 2, 4, 6, 3), np.uint8)]),
        (Audio(seconds=0.5, sample_rate=8000, channels=2), [((3, 4000, 2), np.float32), ((3,), np.int64)]),
        (Text(max_tokens=5), [((3, 5), np.int64)]),
        (State(size=7), [((3, 7), np.float32)]),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_every_kind_of_encoder_has_an_example_to_be_exported_with(modality, expected):
    assert [(value.shape, value.dtype) for value in example_values(modality, 3)] == expected
