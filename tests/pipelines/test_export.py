import json
import logging
import math

import pytest
import torch

from sensorimotor.errors import CheckpointError, ExportError, OutputPathError, ParityError, RecipeError
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.checkpoint import load_checkpoint, save_checkpoint
from sensorimotor.models.network import Network
from sensorimotor.pipelines import export as module
from sensorimotor.pipelines.babyai import EVALUATION_SEED, signature
from sensorimotor.pipelines.export import EVIDENCE_SEED, SENSES, closed_loop_evidence, export_checkpoint
from sensorimotor.pipelines.recipe import parse_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def checkpoint(trained):
    return load_checkpoint(trained.path)


@pytest.fixture
def handed_over(monkeypatch):
    """What is handed to the export proper, which is tested where it is defined."""
    calls = []

    def export(network, evidence, out, config, *, single_file, precision):
        calls.append((network, evidence, out, config, single_file, precision))
        return {"max_error": 0.0}

    monkeypatch.setattr(module, "export", export)
    return calls


def test_evidence_is_over_a_thousand_steps_of_what_the_policy_itself_did_with_all_its_senses(checkpoint, tiny_recipe):
    evidence = closed_loop_evidence(checkpoint, tiny_recipe)
    assert 1000 <= len(evidence.steps) == len(evidence.starts) < 1100
    first = [i for i, start in enumerate(evidence.starts) if start]
    assert first[0] == 0
    shown = [tuple(sorted(evidence.steps[i].observation)) for i in first]
    assert shown[:6] == [tuple(sorted(senses)) for senses in SENSES] * 2
    missions = {step.observation.get("instruction") for step in evidence.steps} - {None}
    assert len(missions) > 5


def test_evidence_comes_from_rooms_that_nobody_learns_or_is_examined_in(tiny_recipe):
    data = tiny_recipe.data
    assert data.held_out_seed + data.held_out_episodes < EVIDENCE_SEED < EVALUATION_SEED - 1_000_000


def test_a_policy_without_ears_is_exported_on_words_alone(checkpoint, tiny_recipe, monkeypatch):
    monkeypatch.setattr(module, "CLOSED_LOOP_STEPS", 200)
    plan = tiny_recipe.model_dump(mode="json") | {"speech": None}
    plan["training"]["senses"] = plan["training"]["senses"][1:]
    checkpoint.network = Network(signature(utterance_s=None), tiny_recipe.network, checkpoint.network.tokenizer)
    evidence = closed_loop_evidence(checkpoint, parse_recipe(plan, "here"))
    assert {name for step in evidence.steps for name in step.observation} == {"camera", "instruction"}
    assert len(evidence.steps) >= 200


def test_the_bundle_is_told_what_the_run_knew(trained, handed_over, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLOSED_LOOP_STEPS", 20)
    assert export_checkpoint(trained.path, tmp_path / "bundle", single_file=True) == {"max_error": 0.0}
    ((network, evidence, out, config, single_file, precision),) = handed_over
    told = json.loads(trained.done.stdout)
    assert (out, single_file, precision) == (tmp_path / "bundle", True, "fp32")
    assert len(evidence.steps) >= 20
    assert (config["name"], config["provenance"]["steps"]) == ("tiny", told["step"])
    metrics = config["metrics"]
    assert (metrics["held_out"], metrics["calibration"]) == (told["held_out"], told["calibration"])
    assert 0 <= metrics["understood"] <= 1
    assert config["provenance"]["hours"] == pytest.approx(told["seconds"] / 3600)
    assert network.core.head.temperature.item() == pytest.approx(told["calibration"]["temperature"])


def test_a_run_that_is_not_finished_can_be_exported(checkpoint, handed_over, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CLOSED_LOOP_STEPS", 20)
    checkpoint.step, checkpoint.record["held_out"] = 3, {}
    del checkpoint.record["calibration"]
    save_checkpoint(tmp_path / "early.safetensors", checkpoint)
    export_checkpoint(tmp_path / "early.safetensors", tmp_path / "bundle")
    metrics = handed_over[0][3]["metrics"]
    assert (metrics["held_out"], metrics["calibration"]) == ({}, None)
    assert handed_over[0][3]["provenance"]["steps"] == 3


@pytest.mark.parametrize("odd", [math.nan, -math.inf])
def test_weights_that_are_no_numbers_are_not_exported(checkpoint, tmp_path, odd):
    with torch.no_grad():
        next(checkpoint.network.core.head.parameters()).flatten()[0] = odd
    save_checkpoint(tmp_path / "odd.safetensors", checkpoint)
    with pytest.raises(ExportError, match=r"^core\.head\..* has weights that are NaN or infinite: train again"):
        export_checkpoint(tmp_path / "odd.safetensors", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_what_is_no_checkpoint_is_refused(tmp_path, tiny_bundle):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        export_checkpoint(tmp_path / "no", tmp_path / "bundle")
    with pytest.raises(CheckpointError, match="is no checkpoint of sensorimotor"):
        export_checkpoint(tiny_bundle / "model.safetensors", tmp_path / "bundle")


def test_a_recipe_that_this_version_does_not_know_is_named(checkpoint, tmp_path):
    checkpoint.recipe["training"]["dreams"] = 3
    save_checkpoint(tmp_path / "newer.safetensors", checkpoint)
    with pytest.raises(
        RecipeError, match=r"the recipe in .*newer\.safetensors is not a valid recipe:\n  training\.dreams"
    ):
        export_checkpoint(tmp_path / "newer.safetensors", tmp_path / "bundle")


def test_a_directory_with_something_else_in_it_is_refused_before_any_playing(trained, tmp_path, monkeypatch):
    def play(*_, **__):
        raise AssertionError("played")

    monkeypatch.setattr(module, "play", play)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputPathError, match="something else than a bundle"):
        export_checkpoint(trained.path, tmp_path)


@pytest.mark.slow
def test_a_network_that_computes_something_else_by_the_time_it_is_compared_is_not_exported(
    trained, tmp_path, monkeypatch
):
    import torch

    from sensorimotor.models import export as proper

    write = proper.write_graphs

    def and_change(network, directory):
        write(network, directory)
        with torch.no_grad():
            network.core.head.layers[-1].bias[0] += 1e-3

    monkeypatch.setattr(proper, "write_graphs", and_change)
    with pytest.raises(ParityError, match="nothing was exported"):
        export_checkpoint(trained.path, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_policy_without_ears_goes_all_the_way(checkpoint, tiny_recipe, tmp_path):
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    plan = tiny_recipe.model_dump(mode="json") | {"speech": None}
    plan["training"]["senses"] = plan["training"]["senses"][1:]
    checkpoint.recipe = plan
    checkpoint.network = Network(signature(utterance_s=None), tiny_recipe.network, checkpoint.network.tokenizer)
    save_checkpoint(tmp_path / "deaf.safetensors", checkpoint)
    parity = export_checkpoint(tmp_path / "deaf.safetensors", tmp_path / "bundle", single_file=True)
    assert (parity["subsets"], parity["single_file"]["subsets"]) == (3, 3)
    assert Bundle.load(tmp_path / "bundle").signature.names == ("camera", "instruction")
