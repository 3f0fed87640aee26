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

import torch
from torch import nn

from sensorimotor.errors import CheckpointError, DataError, RecipeError, UsageError
from sensorimotor.files import holding, require_writable, write_atomically
from sensorimotor.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sensorimotor.pipelines.cloning import EpisodeLesson
from sensorimotor.pipelines.continued import known_record, require_fitting
from sensorimotor.pipelines.hardware import describe_machine, versions
from sensorimotor.pipelines.lesson import Lesson
from sensorimotor.pipelines.material import Material, Report, gather
from sensorimotor.pipelines.mission_recipe import MissionRecipe
from sensorimotor.pipelines.missions import MissionLesson
from sensorimotor.pipelines.recipe import Recipe, parse_recipe

LAST, BEST = "checkpoint.safetensors", "best.safetensors"


@dataclass(frozen=True)
class Trained:
    """Where a run stands.

    Attributes:
        checkpoint: The file.
        step: Steps done.
        steps: Steps of the recipe.
        finished: Whether there is nothing more to do: all steps are done, or more of them did no good.
        seconds: Time spent learning, interruptions left out (s).
        held_out: Senses → `loss` and `accuracy` or `error` on held-out episodes, when last judged.
        calibration: Temperature and expected calibration error; None before the last step, and where nothing is chosen.
        record: All that is known of the run.
    """

    checkpoint: Path
    step: int
    steps: int
    finished: bool
    seconds: float
    held_out: dict[str, Any]
    calibration: dict[str, Any] | None
    record: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        known = {key: value for key, value in asdict(self).items() if key != "record"}
        return {**known, "checkpoint": str(self.checkpoint), "baseline": self.record.get("baseline")}


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
        out: Directory for `checkpoint.safetensors` (the last), `best.safetensors` (where something tells which is),
            `log.jsonl` and TensorBoard's event files.
        cache: Directory for demonstrations, speech and tokens.
        resume: Continue the run in `out`; without it, `out` must not hold one.
        workers: Processes that make demonstrations.
        device: Where to train: `cpu`, `cuda`, `cuda:1`, …
        report: Told what is going on.
        stop_after: Stop after so many steps, as if interrupted there.
        material: What to learn missions from, in place of what the recipe would gather.

    Returns:
        Where the run stands: finished, or stopped by Ctrl-C, which leaves a checkpoint too.

    Raises:
        RecipeError: Texts are longer than the recipe allows, or it does not fit its data.
        DataError: The data cannot be used.
        UsageError: There is no such device.
        CheckpointError: There is nothing to resume, another recipe's run is there, it began with other data, or it
            cannot be written.
        OutputPathError: `out` cannot be written to, or another process trains there.
    """
    where = usable_device(device)
    with holding(require_writable(out)):
        path = out / LAST
        if path.exists() and not resume:
            raise CheckpointError(f"{out} holds a run already: continue it with --resume, or choose another directory")
        started = load_checkpoint(path) if resume else None
        if started and parse_recipe(started.recipe, f"the recipe in {path}") != recipe:
            raise CheckpointError(
                f"{path} belongs to another recipe; a run continues only with the recipe it began with"
            )
        record: dict[str, Any] = known_record(started, str(path)) if started else {"seconds": 0.0, "held_out": {}}
        lesson: Lesson
        if isinstance(recipe, MissionRecipe):
            material = material or gather(recipe, cache, workers, report)
            lesson = MissionLesson(recipe, material, started, out.absolute().parent, record, where)
        else:
            lesson = EpisodeLesson(recipe, cache, started, record, where, report)
        with _interruptible() as interrupted:
            run = _Run(recipe, lesson, out, started, record, where, report)
            run.learn(lambda step: interrupted() or (stop_after is not None and step >= stop_after))
        return Trained(
            path,
            run.step,
            recipe.training.steps,
            run.finished,
            record["seconds"],
            record["held_out"],
            record.get("calibration"),
            record,
        )


def usable_device(name: str) -> torch.device:
    """A device that numbers can be put on.

    Raises:
        UsageError: There is none of that name.
    """
    try:
        device = torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError, ImportError) as error:
        raise UsageError(f"cannot train on device {name!r}: {str(error).splitlines()[0]}") from error
    if device.type == "meta":
        raise UsageError(f"cannot train on device {name!r}: its tensors have shapes and no numbers")
    return device


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
        lesson: Lesson,
        out: Path,
        started: Checkpoint | None,
        record: dict[str, Any],
        device: torch.device,
        report: Report,
    ):
        self.recipe, self.lesson, self.out, self.record, self.report = recipe, lesson, out, record, report
        self.step = started.step if started else 0
        lesson.network.to(device)
        lesson.tutor.to(device)
        both = [*lesson.network.parameters(), *lesson.tutor.parameters()]
        self.parameters = [parameter for parameter in both if parameter.requires_grad]
        plan = recipe.training
        self.optimizer = torch.optim.AdamW(self.parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
        if started:
            require_fitting(started, plan.steps, self.parameters, str(out / LAST))
            state = self.optimizer.state_dict()
            state["state"] = started.optimizer
            self.optimizer.load_state_dict(state)
        self.log = self._log_lines_until(self.step)

    def _log_lines_until(self, step: int) -> list[str]:
        path = self.out / "log.jsonl"
        if not path.exists() or not step:
            return []
        try:
            return [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged ({error}): remove it, and the run continues") from error

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or more of them did no good for as long as the recipe waits."""
        patience = getattr(self.recipe.training, "early_stopping", 0)
        waited = self.record.get("judged_since_best", 0)
        return self.step >= self.recipe.training.steps or bool(patience and waited >= patience)

    def learn(self, should_stop: Callable[[int], bool]) -> None:
        """Run to the end, until told to stop, or until data cannot be read; either way a checkpoint is written."""
        from torch.utils.tensorboard import SummaryWriter

        plan = self.recipe.training
        began_at, last_saved = self.step, time.monotonic()
        with SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step) as board:
            while not self.finished and not should_stop(self.step):
                try:
                    numbers = self._train_step()
                except DataError:
                    if self.step > began_at:  # the steps before are good, and what is broken may be put back
                        self._save(LAST)
                    raise
                for name, value in numbers.items():
                    board.add_scalar(f"train/{name}", value, self.step)
                self.report("step", {"step": self.step, "steps": plan.steps, **numbers})
                if self.step % plan.evaluate_every == 0 or self.step == plan.steps:
                    self._judge(numbers, board)
                if time.monotonic() - last_saved > plan.checkpoint_minutes * 60:
                    self._save(LAST)
                    last_saved = time.monotonic()
        if self.finished and "calibration" not in self.record:
            self.record["calibration"] = self.lesson.calibrate()
        self._save(LAST)

    def _train_step(self) -> dict[str, float]:
        plan, began = self.recipe.training, time.monotonic()
        self.lesson.network.train()
        rate = plan.learning_rate * _schedule(self.step, plan.warmup_steps, plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total, numbers = self.lesson.losses(self.step)
        if not torch.isfinite(total):
            raise RecipeError(f"at step {self.step} the loss is no number any more: try a lower training.learning_rate")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        seconds = time.monotonic() - began
        self.record["seconds"] += seconds
        samples = numbers.pop("samples")
        return {**numbers, "learning_rate": rate, "samples_per_s": samples / seconds}

    def _judge(self, numbers: dict[str, float], board: Any) -> None:
        judged = self.lesson.judge(board, self.step, self.step == self.recipe.training.steps)
        score = judged.pop("score", None)
        self.record |= judged
        self._log({**numbers, "seconds": self.record["seconds"]}, judged)
        if score is not None:
            best = self.record.get("best")
            if best is None or score < best["score"]:
                self.record |= {"best": {"step": self.step, "score": score}, "judged_since_best": 0}
                self._save_best()
            else:
                self.record["judged_since_best"] += 1

    def _log(self, numbers: dict[str, float], judged: dict[str, Any]) -> None:
        rounded = {name: float(f"{value:.4g}") for name, value in numbers.items() if math.isfinite(value)}
        seconds = {"seconds": round(self.record["seconds"], 1)}
        self.log.append(json.dumps({"step": self.step, **rounded, **seconds, **judged}))
        self.report("held out", {"step": self.step, **judged})

    def _save_best(self) -> None:
        """Keep what is best so far as it would be exported: calibrated, which learning on must not be."""
        self.record["calibration"] = self.lesson.calibrate()
        self._save(BEST)
        del self.record["calibration"]
        self.lesson.network.core.set_temperature(1.0)

    def _save(self, name: str) -> None:
        self.record |= {"machine": describe_machine(), "versions": versions("torch", "numpy", "minigrid")}
        checkpoint = Checkpoint(
            self.lesson.network,
            self.step,
            self.recipe.model_dump(mode="json"),
            self.lesson.tutor.state_dict(),
            self.optimizer.state_dict()["state"],
            self.record,
        )
        save_checkpoint(self.out / name, checkpoint)
        if name == LAST:
            write_atomically(self.out / "log.jsonl", "".join(line + "\n" for line in self.log))
            self.report("checkpoint", {"step": self.step})


def _schedule(step: int, warmup: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the rate."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
