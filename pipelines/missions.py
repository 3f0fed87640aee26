"""The lesson of a recipe for missions: imitating the bot of BabyAI's rooms, told in writing and in speech."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorimotor.errors import CheckpointError
from sensorimotor.models.checkpoint import Checkpoint
from sensorimotor.models.network import Network
from sensorimotor.pipelines import babyai
from sensorimotor.pipelines.batches import Batches
from sensorimotor.pipelines.beginning import begin_with
from sensorimotor.pipelines.calibration import calibration_error, fit_temperature
from sensorimotor.pipelines.imitation import alignment_loss, hear, pointing_loss, unroll
from sensorimotor.pipelines.judging import AT_ONCE, held_out_logits, understood
from sensorimotor.pipelines.material import Material
from sensorimotor.pipelines.mission_recipe import MissionRecipe
from sensorimotor.pipelines.tutor import Tutor


class MissionLesson:
    """See `Lesson`.

    Args:
        recipe: What to teach.
        material: What to teach it from.
        started: A run to continue.
        runs: The directory of the runs to begin with.
        record: Of the run; what it begins with is noted there.
        device: Where to compute.

    Raises:
        RecipeError: A run to begin with does not fit.
        CheckpointError: The run to continue does not fit together.
    """

    def __init__(
        self,
        recipe: MissionRecipe,
        material: Material,
        started: Checkpoint | None,
        runs: Path,
        record: dict[str, Any],
        device: torch.device,
    ):
        self._recipe, self._material, self._device = recipe, material, device
        plan = recipe.training
        self._held_out = Batches(material.held_out, material.held_out_bank, material.tokenizer, plan, recipe.seed)
        torch.manual_seed(recipe.seed)
        utterance_s = recipe.speech.utterance_s if recipe.speech else None
        signature = babyai.signature(utterance_s, recipe.data.max_tokens)
        self.network = started.network if started else Network(signature, recipe.network, material.tokenizer)
        self.tutor = Tutor(recipe.network, material.tokenizer)
        if started:
            try:
                self.tutor.load_state_dict(started.tutor)
            except RuntimeError as error:
                raise CheckpointError(f"the checkpoint does not fit together: {error}") from error
        else:
            for part, name in recipe.start.items():
                before = begin_with(part, name, runs, self.network, self.tutor)
                record["seconds"] += before["seconds"]
                record.setdefault("begun_with", {})[name] = before
        self._batches = Batches(material.demonstrations, material.bank, material.tokenizer, plan, recipe.seed)

    def losses(self, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """See `Lesson.losses`."""
        plan = self._recipe.training
        batch = self._batches.training_batch(step).to(self._device)
        losses: dict[str, torch.Tensor] = {}
        numbers: dict[str, float] = {"samples": len(batch.actions)}
        with self._precision():
            heard = hear(self.network, batch.spoken) if batch.spoken else None
            if len(batch.actions):
                unrolled = unroll(self.network, batch, heard)
                losses["imitation"] = self.network.core.head.loss(unrolled.parameters, batch.actions)
                numbers["accuracy"] = float((unrolled.parameters.argmax(1) == batch.actions).float().mean())
                if plan.pointing > 0:
                    losses["pointing"] = pointing_loss(batch, unrolled)
            if plan.alignment > 0 and heard is not None and batch.spoken is not None:
                losses["alignment"] = alignment_loss(self.network, self.tutor, batch.spoken, heard)
        weights = {"imitation": 1.0, "pointing": plan.pointing, "alignment": plan.alignment}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        return total, {name: float(loss.detach()) for name, loss in losses.items()} | numbers

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, self._recipe.training.precision == "bfloat16")

    def _held_out_logits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Senses → logits and the expert's actions on the held-out episodes."""
        subsets = [("camera", "instruction"), *([("camera", "mic")] if self._material.bank else []), ("camera",)]
        with self._precision():
            return {
                " + ".join(inputs): held_out_logits(self.network, self._held_out, inputs, self._device)
                for inputs in subsets
            }

    def judge(self, board: Any, step: int, final: bool) -> dict[str, Any]:
        """See `Lesson.judge`."""
        judged: dict[str, Any] = {"held_out": {}}
        if self._recipe.training.batch_episodes:
            for senses, (logits, actions) in self._held_out_logits().items():
                loss = float(self.network.core.head.loss(torch.from_numpy(logits), torch.from_numpy(actions)))
                right = float(np.mean(logits.argmax(1) == actions))
                judged["held_out"][senses] = {"loss": round(loss, 4), "accuracy": round(right, 4)}
                board.add_scalar(f"held-out loss/{senses}", loss, step)
                board.add_scalar(f"held-out accuracy/{senses}", right, step)
        if self._material.held_out_bank and self._recipe.training.alignment > 0:
            utterances = (self._held_out.utterances(AT_ONCE, part) for part in range(4))
            with self._precision():
                judged["understood"] = round(understood(self.network, self.tutor, utterances, self._device), 4)
            board.add_scalar("held-out utterances understood", judged["understood"], step)
        return judged

    def calibrate(self) -> dict[str, Any] | None:
        """Fit the temperature on the held-out episodes with a written or a spoken instruction."""
        if not self._recipe.training.batch_episodes:
            return None
        results = {name: pair for name, pair in self._held_out_logits().items() if name != "camera"}
        logits, actions = (np.concatenate(arrays) for arrays in zip(*results.values(), strict=True))
        temperature = fit_temperature(logits, actions)
        self.network.core.set_temperature(temperature)
        return {
            "temperature": temperature,
            "decisions": len(actions),
            "error_before": calibration_error(logits, actions),
            "error": {name: calibration_error(own / temperature, did) for name, (own, did) in results.items()},
        }
