"""From a checkpoint to a bundle: real steps for the parity gate and the golden set, then the export itself."""

from itertools import cycle
from pathlib import Path
from typing import Any

from sensorimotor.actions.decision import Decision
from sensorimotor.models.checkpoint import Checkpoint, load_checkpoint
from sensorimotor.models.execution import Precision
from sensorimotor.models.export import export, pretrained_inputs, require_finite, require_replaceable
from sensorimotor.models.parity import CLOSED_LOOP_STEPS, Evidence
from sensorimotor.models.policy import Policy
from sensorimotor.models.torch_backend import TorchBackend
from sensorimotor.perception.buffers import Sensed
from sensorimotor.pipelines.babyai import BabyAIWorld
from sensorimotor.pipelines.continued import known_record
from sensorimotor.pipelines.mission_recipe import MissionRecipe
from sensorimotor.pipelines.recipe import Recipe, parse_recipe
from sensorimotor.pipelines.replay import recorded_evidence
from sensorimotor.pipelines.rollout import observed_inputs, play
from sensorimotor.pipelines.speech import speaker

EVIDENCE_SEED = 950_000_000
"""Rooms that were neither trained on nor are evaluated on."""
FALLBACK_SPEAKER = "espeak:en-us"
SENSES = (("camera", "mic", "instruction"), ("camera", "mic"), ("camera", "instruction"))


def export_checkpoint(
    checkpoint: Path, out: Path, *, single_file: bool = False, precision: Precision = "fp32"
) -> dict[str, Any]:
    """Export a checkpoint into a bundle.

    Args:
        checkpoint: The file, or the directory of its run.
        out: The bundle's directory.
        single_file: Also write `policy.onnx`.
        precision: With `fp16`, also write pretrained encoders in half precision.

    Returns:
        The parity report.

    Raises:
        CheckpointError: It cannot be read.
        ExportError: Its weights are no numbers, or there is nothing to halve.
        ParityError: The exported graphs differ from the network; nothing is written.
        OutputPathError: `out` cannot be written, or is a directory with something else in it.
    """
    require_replaceable(out)
    trained = load_checkpoint(checkpoint)
    recipe = parse_recipe(trained.recipe, f"the recipe in {checkpoint}")
    require_finite(trained.network)
    if precision == "fp16":
        pretrained_inputs(trained.network)
    record = known_record(trained, str(checkpoint))
    if isinstance(recipe, MissionRecipe):
        evidence, kind = closed_loop_evidence(trained, recipe), "closed loop"
    else:
        evidence, kind = recorded_evidence(recipe, trained.network.signature), "recorded"
    description = _description(trained, record, recipe, kind)
    return export(trained.network, evidence, out, description, single_file=single_file, precision=precision)


def closed_loop_evidence(trained: Checkpoint, recipe: MissionRecipe) -> Evidence:
    """What the trained network saw while it played, in torch: over 1,000 steps of all levels and sets of senses."""
    network = trained.network
    policy = Policy(network.signature, TorchBackend(network), network.tokenizer)
    names = recipe.speech.held_out_speakers if recipe.speech else (FALLBACK_SPEAKER,)
    voices = [speaker(name) for name in names]
    worlds = [BabyAIWorld(level.id, speakers=voices) for level in recipe.data.levels]
    steps: list[Sensed] = []
    starts: list[bool] = []

    def note(sensed: Sensed, decision: Decision) -> None:
        steps.append(sensed)
        starts.append(decision.step == 0)

    rounds = zip(cycle(SENSES), cycle(world for world in worlds for _ in SENSES), strict=False)
    for episode, (senses, world) in enumerate(rounds):
        shown = observed_inputs(network.signature, world, [name for name in senses if name in network.signature.inputs])
        play(policy, world, EVIDENCE_SEED + episode, shown, watch=note)
        if len(steps) >= CLOSED_LOOP_STEPS:
            return Evidence(steps, starts)
    raise AssertionError("the rounds never end")


def _description(trained: Checkpoint, record: dict[str, Any], recipe: Recipe, evidence: str) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "description": recipe.description,
        "metrics": {
            "held_out": record["held_out"],
            "understood": record.get("understood"),
            "baseline": record.get("baseline"),
            "calibration": record.get("calibration"),
        },
        "provenance": {
            "recipe": trained.recipe,
            "steps": trained.step,
            "hours": record["seconds"] / 3600,
            "evidence": evidence,
            "begun_with": record.get("begun_with", {}),
            "machine": record["machine"],
            "versions": record["versions"],
        },
    }
