"""Training by imitation: from a recipe to a checkpoint, with everything needed to continue or to judge it."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sensorimotor.errors import CheckpointError, RecipeError, UsageError
from sensorimotor.files import require_writable, write_atomically
from sensorimotor.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sensorimotor.models.network import Network
from sensorimotor.perception.modality import Audio
from sensorimotor.pipelines import babyai
from sensorimotor.pipelines.batches import Batch, Batches
from sensorimotor.pipelines.calibration import calibration_error, fit_temperature
from sensorimotor.pipelines.hardware import describe_machine, versions
from sensorimotor.pipelines.imitation import alignment_loss, hear, pointing_loss, unroll
from sensorimotor.pipelines.judging import AT_ONCE, held_out_logits, understood
from sensorimotor.pipelines.material import Material, Report, gather
from sensorimotor.pipelines.recipe import Recipe, parse_recipe
from sensorimotor.pipelines.tutor import Tutor


@dataclass(frozen=True)
class Trained:
    """Where a run stands.

    Attributes:
        checkpoint: The file.
        step: Steps done.
        steps: Steps of the recipe.
        seconds: Time spent learning, interruptions left out (s).
        held_out: Senses → `loss` and `accuracy` on held-out episodes, when last judged.
        calibration: Temperature and expected calibration error; None before the last step.
    """

    checkpoint: Path
    step: int
    steps: int
    seconds: float
    held_out: dict[str, Any]
    calibration: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {**asdict(self), "checkpoint": str(self.checkpoint), "finished": self.step == self.steps}


def train(
    recipe: Recipe,
    out: Path,
    *,
    cache: Path,
    resume: bool = False,
    workers: int = 1,
    device: str = "cpu",
    report: Report = lambda _kind, _numbers: None,
    stop_after: int | None = None,
    material: Material | None = None,
) -> Trained:
    """Train as the recipe says.

    Args:
        recipe: What to do.
        out: Directory for `checkpoint.safetensors`, `log.jsonl` and TensorBoard's event files.
        cache: Directory for demonstrations and speech.
        resume: Continue the run in `out`; without it, `out` must not hold one.
        workers: Processes that make demonstrations.
        device: Where to train: `cpu`, `cuda`, `cuda:1`, …
        report: Told what is going on.
        stop_after: Stop after so many steps, as if interrupted there.
        material: What to learn from, in place of what the recipe would gather.

    Returns:
        Where the run stands: finished, or stopped by Ctrl-C, which leaves a checkpoint too.

    Raises:
        RecipeError: Missions are longer than the recipe allows.
        UsageError: There is no such device.
        CheckpointError: There is nothing to resume, another recipe's run is there, or it cannot be written.
    """
    where = _device(device)
    require_writable(out)
    path = out / "checkpoint.safetensors"
    if path.exists() and not resume:
        raise CheckpointError(f"{out} holds a run already: continue it with --resume, or choose another directory")
    started = load_checkpoint(path) if resume else None
    if started and parse_recipe(started.recipe, f"the recipe in {path}") != recipe:
        raise CheckpointError(f"{path} belongs to another recipe; a run continues only with the recipe it began with")
    material = material or gather(recipe, cache, workers, report)
    with _interruptible() as interrupted:
        run = _Run(recipe, material, out, started, where, report)
        run.learn(lambda step: interrupted() or (stop_after is not None and step >= stop_after))
    record = run.record
    return Trained(
        path, run.step, recipe.training.steps, record["seconds"], record["held_out"], record.get("calibration")
    )


def _device(name: str) -> torch.device:
    """A device that numbers can be put on."""
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"cannot train on device {name!r}: {str(error).splitlines()[0]}") from error


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C, or a polite kill, into a flag: the step in progress ends and a checkpoint is written."""
    asked = False
    before: dict[signal.Signals, Any] = {}

    def note(number: int, _frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])

    try:
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, note)
    except ValueError:  # not the main thread: somebody else handles signals
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        recipe: Recipe,
        material: Material,
        out: Path,
        started: Checkpoint | None,
        device: torch.device,
        report: Report,
    ):
        self.recipe, self.material, self.out, self.device, self.report = recipe, material, out, device, report
        plan = recipe.training
        held_out_bank = material.held_out_bank
        self.held_out = Batches(material.held_out, held_out_bank, material.tokenizer, plan, recipe.seed)
        torch.manual_seed(recipe.seed)
        utterance_s = recipe.speech.utterance_s if recipe.speech else None
        signature = babyai.signature(utterance_s, recipe.data.max_tokens)
        self.network = started.network if started else Network(signature, recipe.network, material.tokenizer)
        self.tutor = Tutor(recipe.network, material.tokenizer)
        self.step = started.step if started else 0
        self.record: dict[str, Any] = dict(started.record) if started else {"seconds": 0.0, "held_out": {}}
        if started:
            try:
                self.tutor.load_state_dict(started.tutor)
            except RuntimeError as error:
                raise CheckpointError(f"the checkpoint in {out} does not fit together: {error}") from error
        else:
            for part, name in recipe.start.items():
                self._begin_with(part, name)
        self.network.to(device)
        self.tutor.to(device)
        self.parameters = [*self.network.parameters(), *self.tutor.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
        if started:
            state = self.optimizer.state_dict()
            state["state"] = started.optimizer
            self.optimizer.load_state_dict(state)
        self.batches = Batches(material.demonstrations, material.bank, material.tokenizer, plan, recipe.seed)
        self.log = self._log_lines_until(self.step)

    def _begin_with(self, part: str, name: str) -> None:
        """Take over what another run has learnt: all of it (`network`), or one input's encoder and sense."""
        before = load_checkpoint(self.out.absolute().parent / name)
        mine = ("",) if part == "network" else (f"encoders.{part}.", f"core.fusion.senses.{part}.")
        weights = {key: value for key, value in before.network.state_dict().items() if key.startswith(mine)}
        known = before.network.tokenizer
        same_words = known is not None and known.to_json() == self.material.tokenizer.to_json()
        if not same_words or not weights or not weights.keys() <= self.network.state_dict().keys():
            raise RecipeError(f"start.{part} = {name!r}: that run has no such part, or learnt other words")
        theirs = before.network.signature.inputs
        hears = any(isinstance(modality, Audio) for key, modality in theirs.items() if part in ("network", key))
        lessons = (*(("reader.",) if part == "network" else ()), *(("speller.",) if hears else ()))
        try:
            self.network.load_state_dict(weights, strict=False)
            self.tutor.load_state_dict(
                {key: value for key, value in before.tutor.items() if key.startswith(lessons)}, strict=False
            )
        except RuntimeError as error:
            raise RecipeError(f"start.{part} = {name!r}: that run's network has other sizes: {error}") from error
        self.network.core.set_temperature(1.0)  # what it learns now is calibrated at its own end
        self.record["seconds"] += before.record["seconds"]
        self.record.setdefault("begun_with", {})[name] = {"steps": before.step, "seconds": before.record["seconds"]}

    def _log_lines_until(self, step: int) -> list[str]:
        path = self.out / "log.jsonl"
        if not path.exists() or not step:
            return []
        try:
            return [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged ({error}): remove it, and the run continues") from error

    def learn(self, should_stop: Callable[[int], bool]) -> None:
        """Run to the recipe's last step, or until told to stop; either way a checkpoint is written."""
        from torch.utils.tensorboard import SummaryWriter

        plan = self.recipe.training
        last_saved = time.monotonic()
        with SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step) as board:
            while self.step < plan.steps and not should_stop(self.step):
                numbers = self._train_step()
                for name, value in numbers.items():
                    board.add_scalar(f"train/{name}", value, self.step)
                self.report("step", {"step": self.step, "steps": plan.steps, **numbers})
                if self.step % plan.evaluate_every == 0 or self.step == plan.steps:
                    self._judge(numbers, board)
                if time.monotonic() - last_saved > plan.checkpoint_minutes * 60:
                    self._save()
                    last_saved = time.monotonic()
        if self.step == plan.steps and plan.batch_episodes and "calibration" not in self.record:
            self._calibrate()
        self._save()

    def _train_step(self) -> dict[str, float]:
        plan, began = self.recipe.training, time.monotonic()
        self.network.train()
        rate = plan.learning_rate * _schedule(self.step, plan.warmup_steps, plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.batches.training_batch(self.step).to(self.device)
        with self._precision():
            losses, accuracy = self._losses(batch)
        weights = {"imitation": 1.0, "pointing": plan.pointing, "alignment": plan.alignment}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        if not torch.isfinite(total):
            raise RecipeError(f"at step {self.step} the loss is no number any more: try a lower training.learning_rate")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        seconds = time.monotonic() - began
        self.record["seconds"] += seconds
        return {
            **{name: float(loss.detach()) for name, loss in losses.items()},
            **({"accuracy": accuracy} if "imitation" in losses else {}),
            "learning_rate": rate,
            "samples_per_s": len(batch.actions) / seconds,
        }

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, self.recipe.training.precision == "bfloat16")

    def _losses(self, batch: Batch) -> tuple[dict[str, torch.Tensor], float]:
        """All losses that the recipe asks for, and how often the expert would have acted the same."""
        plan, losses, accuracy = self.recipe.training, {}, math.nan
        heard = hear(self.network, batch.spoken) if batch.spoken else None
        if len(batch.actions):
            unrolled = unroll(self.network, batch, heard)
            losses["imitation"] = self.network.core.head.loss(unrolled.logits, batch.actions)
            accuracy = float((unrolled.logits.argmax(1) == batch.actions).float().mean())
            if plan.pointing > 0:
                losses["pointing"] = pointing_loss(batch, unrolled)
        if plan.alignment > 0 and heard is not None and batch.spoken is not None:
            losses["alignment"] = alignment_loss(self.network, self.tutor, batch.spoken, heard)
        return losses, accuracy

    def _held_out_logits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Senses → logits and the expert's actions on the held-out episodes."""
        subsets = [("camera", "instruction"), *([("camera", "mic")] if self.material.bank else []), ("camera",)]
        with self._precision():
            return {
                " + ".join(inputs): held_out_logits(self.network, self.held_out, inputs, self.device)
                for inputs in subsets
            }

    def _judge(self, numbers: dict[str, float], board: Any) -> None:
        judged: dict[str, Any] = {"held_out": {}}
        if self.recipe.training.batch_episodes:
            for senses, (logits, actions) in self._held_out_logits().items():
                loss = float(self.network.core.head.loss(torch.from_numpy(logits), torch.from_numpy(actions)))
                right = float(np.mean(logits.argmax(1) == actions))
                judged["held_out"][senses] = {"loss": round(loss, 4), "accuracy": round(right, 4)}
                board.add_scalar(f"held-out loss/{senses}", loss, self.step)
                board.add_scalar(f"held-out accuracy/{senses}", right, self.step)
        if self.material.held_out_bank and self.recipe.training.alignment > 0:
            utterances = (self.held_out.utterances(AT_ONCE, part) for part in range(4))
            with self._precision():
                judged["understood"] = round(understood(self.network, self.tutor, utterances, self.device), 4)
            board.add_scalar("held-out utterances understood", judged["understood"], self.step)
        self.record |= judged
        rounded = {name: float(f"{value:.4g}") for name, value in numbers.items() if math.isfinite(value)}
        self.log.append(
            json.dumps({"step": self.step, "seconds": round(self.record["seconds"], 1), **rounded, **judged})
        )
        self.report("held out", {"step": self.step, **judged})

    def _calibrate(self) -> None:
        """Fit the temperature on the held-out episodes with a written or a spoken instruction."""
        results = {name: pair for name, pair in self._held_out_logits().items() if name != "camera"}
        logits, actions = (np.concatenate(arrays) for arrays in zip(*results.values(), strict=True))
        temperature = fit_temperature(logits, actions)
        self.network.core.set_temperature(temperature)
        self.record["calibration"] = {
            "temperature": temperature,
            "decisions": len(actions),
            "error_before": calibration_error(logits, actions),
            "error": {name: calibration_error(own / temperature, did) for name, (own, did) in results.items()},
        }

    def _save(self) -> None:
        self.record |= {"machine": describe_machine(), "versions": versions("torch", "numpy", "minigrid")}
        checkpoint = Checkpoint(
            self.network,
            self.step,
            self.recipe.model_dump(mode="json"),
            self.tutor.state_dict(),
            self.optimizer.state_dict()["state"],
            self.record,
        )
        save_checkpoint(self.out / "checkpoint.safetensors", checkpoint)
        write_atomically(self.out / "log.jsonl", "".join(line + "\n" for line in self.log))
        self.report("checkpoint", {"step": self.step})


def _schedule(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the rate."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
