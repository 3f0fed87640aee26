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
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines import babyai
from sensorimotor.pipelines.batches import Batches
from sensorimotor.pipelines.calibration import calibration_error, fit_temperature
from sensorimotor.pipelines.expert import Demonstrations, demonstrations
from sensorimotor.pipelines.hardware import describe_machine, versions
from sensorimotor.pipelines.imitation import alignment_loss, imitation_loss, unroll
from sensorimotor.pipelines.recipe import Data, Recipe, parse_recipe
from sensorimotor.pipelines.speech_bank import SpeechBank, speech_bank

Report = Callable[[str, dict[str, Any]], None]
"""Told what is going on: a kind of event ("data", "made", "step", "held out", "checkpoint") and its numbers."""


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


@dataclass(frozen=True)
class Material:
    """What a recipe's run learns from and is judged on."""

    demonstrations: Demonstrations
    held_out: Demonstrations
    bank: SpeechBank | None
    held_out_bank: SpeechBank | None
    tokenizer: Tokenizer


def gather(recipe: Recipe, cache: Path, workers: int, report: Report) -> Material:
    """Make, or read from the cache, all that the recipe asks for."""
    data = recipe.data
    shown = _demonstrations(data, cache, workers, report, held_out=False)
    held_out = _demonstrations(data, cache, workers, report, held_out=True)
    texts = sorted({*shown.missions, *held_out.missions})
    banks: list[SpeechBank | None] = [None, None]
    if recipe.speech:
        speech = recipe.speech
        for i, (speakers, takes) in enumerate([(speech.speakers, speech.takes), (speech.held_out_speakers, 1)]):
            report("data", {"what": f"{len(texts)} texts by {len(speakers)} speakers", "total": None})
            banks[i] = speech_bank(
                texts,
                speakers,
                takes=takes,
                rates=speech.rates,
                pitches=speech.pitches,
                limit_s=speech.utterance_s,
                seed=recipe.seed,
                cache=cache / "speech",
            )
    tokenizer = Tokenizer.train(shown.missions, data.max_tokens)
    if long := next((text for text in texts if tokenizer.length(text) > data.max_tokens), None):
        raise RecipeError(f"data.max_tokens = {data.max_tokens} cuts missions short: {long!r}")
    return Material(shown, held_out, banks[0], banks[1], tokenizer)


def _demonstrations(data: Data, cache: Path, workers: int, report: Report, held_out: bool) -> Demonstrations:
    parts = []
    for level in data.levels:
        episodes = min(data.held_out_episodes, level.episodes) if held_out else level.episodes
        what = f"{episodes} {'held-out ' if held_out else ''}demonstrations of {level.id}"
        report("data", {"what": what, "total": episodes})
        parts.append(
            demonstrations(
                level.id,
                episodes,
                data.held_out_seed if held_out else data.first_seed,
                cache / "demonstrations",
                considerate=data.expert == "considerate",
                workers=workers,
                progress=lambda made: report("made", {"count": made}),
            )
        )
    return Demonstrations.join(parts)


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
    material = gather(recipe, cache, workers, report)
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
        self.batches = Batches(material.demonstrations, material.bank, material.tokenizer, plan, recipe.seed)
        held_out_bank = material.held_out_bank
        self.held_out = Batches(material.held_out, held_out_bank, material.tokenizer, plan, recipe.seed)
        torch.manual_seed(recipe.seed)
        utterance_s = recipe.speech.utterance_s if recipe.speech else None
        signature = babyai.signature(utterance_s, recipe.data.max_tokens)
        self.network = started.network if started else Network(signature, recipe.network, material.tokenizer)
        lexicon = started.lexicon if started else None
        self.lexicon = lexicon or nn.Linear(recipe.network.dim, material.tokenizer.size)
        self.network.to(device)
        self.lexicon.to(device)
        self.step = started.step if started else 0
        self.record: dict[str, Any] = dict(started.record) if started else {"seconds": 0.0, "held_out": {}}
        self.parameters = [*self.network.parameters(), *self.lexicon.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
        if started:
            state = self.optimizer.state_dict()
            state["state"] = started.optimizer
            self.optimizer.load_state_dict(state)
        self.log = self._log_lines_until(self.step)

    def _log_lines_until(self, step: int) -> list[str]:
        path = self.out / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() and step else []
        return [line for line in lines if json.loads(line)["step"] <= step]

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
        if self.step == plan.steps and "calibration" not in self.record:
            self._calibrate()
        self._save()

    def _train_step(self) -> dict[str, float]:
        plan, began = self.recipe.training, time.monotonic()
        self.network.train()
        rate = plan.learning_rate * _schedule(self.step, plan.warmup_steps, plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.batches.training_batch(self.step).to(self.device)
        unrolled = unroll(self.network, batch)
        imitation = imitation_loss(unrolled.logits, batch.actions)
        alignment = torch.zeros(())
        loss = imitation
        if plan.alignment > 0:
            alignment = alignment_loss(self.network, self.lexicon, batch, unrolled)
            loss = imitation + plan.alignment * alignment
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        seconds = time.monotonic() - began
        self.record["seconds"] += seconds
        right = (unrolled.logits.argmax(1) == batch.actions).float().mean()
        return {
            "loss": float(imitation.detach()),
            "accuracy": float(right),
            "alignment": float(alignment.detach()),
            "learning_rate": rate,
            "samples_per_s": len(batch.actions) / seconds,
        }

    def _held_out_logits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Senses → (logits, expert's actions) on the held-out episodes."""
        subsets = [("camera", "instruction"), ("camera",)]
        if self.material.bank:
            subsets[1:1] = [("camera", "mic")]
        self.network.eval()
        results = {}
        with torch.inference_mode():
            for inputs in subsets:
                logits, actions = [], []
                for start in range(0, len(self.material.held_out), 128):
                    episodes = np.arange(start, min(start + 128, len(self.material.held_out)))
                    batch = self.held_out.held_out_batch(episodes, inputs).to(self.device)
                    logits.append(unroll(self.network, batch).logits.cpu().numpy())
                    actions.append(batch.actions.cpu().numpy())
                results[" + ".join(inputs)] = (np.concatenate(logits), np.concatenate(actions))
        return results

    def _judge(self, numbers: dict[str, float], board: Any) -> None:
        judged = {}
        for senses, (logits, actions) in self._held_out_logits().items():
            loss = float(imitation_loss(torch.from_numpy(logits), torch.from_numpy(actions)))
            judged[senses] = {"loss": round(loss, 4), "accuracy": round(float(np.mean(logits.argmax(1) == actions)), 4)}
            for name, value in judged[senses].items():
                board.add_scalar(f"held out, {senses}/{name}", value, self.step)
        self.record["held_out"] = judged
        rounded = {name: float(f"{value:.4g}") for name, value in numbers.items()}
        line = {"step": self.step, "seconds": round(self.record["seconds"], 1), **rounded, "held_out": judged}
        self.log.append(json.dumps(line))
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
            self.lexicon,
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
