"""The lesson of a recipe for recorded episodes: doing what was done, whatever was seen, heard, read and measured."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensorimotor.errors import DataError, RecipeError
from sensorimotor.models.checkpoint import Checkpoint
from sensorimotor.models.export import require_exportable
from sensorimotor.models.licences import warn_of_restrictions
from sensorimotor.models.network import Network
from sensorimotor.perception.buffers import latched
from sensorimotor.perception.modality import Audio, Text
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.pipelines.calibration import calibration_error, fit_temperature
from sensorimotor.pipelines.continued import require_same
from sensorimotor.pipelines.contract import bind, require_alike
from sensorimotor.pipelines.episode_batches import EpisodeBatch, EpisodeBatches
from sensorimotor.pipelines.episode_recipe import EpisodeRecipe
from sensorimotor.pipelines.episodes import Source
from sensorimotor.pipelines.examples import (
    Example,
    acted,
    action_statistics,
    examples,
    require_seen,
    require_short,
    state_statistics,
    tokenizer_for,
)
from sensorimotor.pipelines.material import Report
from sensorimotor.pipelines.scoring import Done, histograms, scored
from sensorimotor.pipelines.sources import Parts, open_parts
from sensorimotor.pipelines.token_table import Encoding, TokenTable, token_table
from sensorimotor.pipelines.unrolling import Latched, Sampled, absent_summary, summarised, unroll

ALL_SUBSETS = 4
"""With so many inputs or fewer, every subset is judged at the end; with more, those of all but one and of one."""


class EpisodeLesson:
    """See `Lesson`.

    Args:
        recipe: What to teach.
        cache: Where tokens of frozen encoders are kept; None: they are computed whenever they are needed.
        started: A run to continue.
        record: Of the run.
        device: Where to compute.
        report: Told what is going on.
        parts: What to learn from and be judged on, in place of what the recipe names.
        words: The tokenizer, in place of that of a pretrained encoder or one of the words that are learnt from.

    Raises:
        DataError: The data cannot be used.
        RecipeError: The recipe does not fit its data.
        SignatureError: What it describes is no policy.
        EncoderError: A pretrained encoder cannot be had.
        ExportError: Its weights are too many for an ONNX file.
        CheckpointError: The run to continue began with other data.
    """

    def __init__(
        self,
        recipe: EpisodeRecipe,
        cache: Path | None,
        started: Checkpoint | None,
        record: dict[str, Any],
        device: torch.device,
        report: Report,
        parts: Parts | None = None,
        words: Tokenizer | None = None,
    ):
        self._recipe, self._device = recipe, device
        parts = parts or open_parts(recipe)
        shown, other = parts.shown, parts.other
        path = recipe.data.path
        report("data", {"what": f"{len(shown)} episodes of {path}", "total": len(shown)})
        done = [action for i in parts.learnt for action in acted(shown.episode(i), recipe.signature.action.feature)[1]]
        if not done:
            raise DataError(
                f"{path}: no step of {len(parts.learnt)} episodes has an {recipe.signature.action.feature!r}: there is "
                "nothing to imitate"
            )
        self._bound = bind(recipe.signature, shown, done)
        if other is not shown:
            require_alike(self._bound, shown, other, str(recipe.data.held_out_path))
        data = {"learnt": shown.fingerprint, "held_out": other.fingerprint}
        if started:
            require_same(started.network.signature, self._bound.signature, record.get("data", data), data, str(path))
        record["data"] = data
        learnt = examples(shown, self._bound, parts.learnt)
        require_seen(learnt, self._bound)
        held_out = examples(other, self._bound, parts.held_out)
        report("made", {"count": len(shown)})
        statistics = state_statistics(learnt, self._bound)
        torch.manual_seed(recipe.seed)
        signature = self._bound.signature
        moments = action_statistics(learnt) if signature.action_space.plans else None
        reads = any(isinstance(signature.inputs[name], Text) for name in recipe.network.encoders)
        # A pretrained reader brings its own words.
        known = words or (None if reads else tokenizer_for(learnt, self._bound))
        self.network = started.network if started else Network(signature, recipe.network, known, statistics, moments)
        require_exportable(self.network)
        warn_of_restrictions(self.network.spec)
        self.tutor: nn.Module = nn.Module()
        if reader := self.network.tokenizer:
            require_short([*learnt, *held_out], self._bound, reader)
        self.network.to(device)
        tables = [
            self._tables(source, some, cache / "tokens", report) if cache else dict[str, TokenTable]()
            for source, some in _by_source(shown, learnt, other, held_out)
        ]
        plan, seed = recipe.training, recipe.seed
        self._batches, self._held_out = (
            EpisodeBatches(some, signature, reader, table, plan, recipe.augment, statistics, seed)
            for some, table in zip((learnt, held_out), (tables[0], tables[-1]), strict=True)
        )
        self._actions = np.concatenate([example.actions[example.acted] for example in learnt])
        self._weights = self._class_weights()
        self._done: Done | None = None
        """On everything, when last judged."""
        record["actions"] = histograms(signature.action_space, self._actions)

    def _tables(self, source: Source, some: Sequence[Example], cache: Path, report: Report) -> dict[str, TokenTable]:
        """The tokens of the inputs whose encoders are frozen."""
        tables = {}
        for name, spec in self.network.spec.encoders.items():
            if spec.training != "frozen":
                continue
            seen = {example.number: example.seen[name] for example in some}
            total = sum(len(one.needed()) for one in seen.values())
            report("data", {"what": f"tokens of {total} values of {name}", "total": total})
            encoding = Encoding(
                name,
                self._bound.features[name],
                self.network.signature.inputs[name],
                self.network.encoders[name],
                self.network.tokenizer,
                self._recipe.augment,
                self._recipe.seed,
            )
            tables[name] = token_table(
                encoding, seen, source.fingerprint, cache, self._device, lambda made: report("made", {"count": made})
            )
        return tables

    def _class_weights(self) -> Tensor | None:
        """Of each choice, or of each switch that is on; None where all count the same, and for vectors."""
        plan, space = self._recipe.training, self._bound.signature.action_space
        if isinstance(plan.class_weights, dict):
            known = [] if space.plans else [space.label(i) for i in range(space.size)]
            if unknown := sorted(set(plan.class_weights) - set(known)):
                there = (
                    f"the choices are {', '.join(known)}" if known else "it weighs choices and switches, not vectors"
                )
                raise RecipeError(f"training.class_weights names {unknown[0]!r}; {there}")
        if plan.class_weights == "even" or space.plans:
            return None
        if isinstance(plan.class_weights, dict):
            return torch.tensor([plan.class_weights.get(space.label(i), 1.0) for i in range(space.size)])
        if self._actions.ndim == 1:
            counts = np.bincount(self._actions, minlength=space.size)
            return torch.tensor(len(self._actions) / (space.size * np.maximum(counts, 1)), dtype=torch.float32)
        on = self._actions.sum(0)
        return torch.tensor((len(self._actions) - on) / np.maximum(on, 1), dtype=torch.float32)

    def losses(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson.losses`."""
        self._done = None
        batch = self._batches.training_batch(step).to(self._device)
        parameters = self._run(batch)[0]
        loss = self._loss(parameters, batch)
        return loss, {"imitation": float(loss.detach()), "samples": len(batch.time)}

    def _loss(self, parameters: Tensor, batch: EpisodeBatch) -> Tensor:
        head: Any = self.network.core.head
        if self._bound.signature.action_space.plans:
            return head.loss(parameters, batch.actions, batch.weights)
        known = batch.weights > 0
        if not known.any():
            return parameters.sum() * 0
        weights = None if self._weights is None else self._weights.to(self._device)
        return head.loss(parameters[known], batch.actions[known], weights)

    def _run(self, batch: EpisodeBatch, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the network would have done in a batch, and its memory afterwards."""
        seen: dict[str, Sampled | Latched] = {}
        half = self._recipe.training.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, half):
            for name, modality in self.network.signature.inputs.items():
                given = batch.inputs[name]
                if given.arguments is None:
                    tokens = torch.zeros(0, 1, self.network.token_shapes()[name].dim, device=self._device)
                    mask = torch.ones(0, 1, dtype=torch.bool, device=self._device)
                elif given.encoded:
                    tokens, mask = given.arguments
                else:
                    # Spectra in half precision would be noise.
                    with torch.autocast(self._device.type, torch.bfloat16, half and not isinstance(modality, Audio)):
                        tokens, mask = self.network.encoders[name](*given.arguments)
                tokens, mask = given.whole(tokens, mask)
                if latched(modality):
                    known = summarised(self.network, name, tokens, mask) if len(tokens) else None
                    nothing = absent_summary(self.network, name)[:0]
                    seen[name] = Latched(nothing if known is None else known, given.value)
                else:
                    seen[name] = Sampled(tokens, mask, given.value, given.age_s)
            unrolled = unroll(self.network, seen, batch.episode, batch.time, memory)
        return unrolled.parameters, unrolled.memory

    @torch.inference_mode()
    def _held_out_done(self, inputs: Sequence[str]) -> Done:
        """What the network does on the held-out episodes with some of its inputs, its memory running through."""
        self.network.eval()
        found: list[tuple[Tensor, Tensor, Tensor, np.ndarray]] = []
        count = 0
        for batches in self._held_out.held_out(inputs):
            memory: Tensor | None = None
            for batch in batches:
                made, memory = self._run(batch.to(self._device), memory)
                found.append((made.float().cpu(), batch.actions, batch.weights, batch.episode.numpy() + count))
            count += 0 if memory is None else len(memory)
        parameters, actions, weights, episode = zip(*found, strict=True)
        return Done(torch.cat(parameters), torch.cat(actions), torch.cat(weights), np.concatenate(episode))

    def judge(self, board: Any, step: int, final: bool) -> dict[str, Any]:
        """See `Lesson.judge`."""
        names = self._bound.signature.names
        space, head = self._bound.signature.action_space, self.network.core.head
        judged: dict[str, Any] = {"held_out": {}}
        for inputs in _subsets(names) if final else [names]:
            done = self._held_out_done(inputs)
            one = scored(space, head, done)
            judged["held_out"][" + ".join(inputs)] = one
            board.add_scalar(f"held-out loss/{' + '.join(inputs)}", one["loss"], step)
            if inputs == names:
                self._done, judged["score"] = done, one["loss"]
                judged["baseline"] = scored(space, head, done.instead(space, self._actions))
                for label, values in done.chosen(space).items():
                    board.add_histogram(f"actions/{label}", values, step)
        return judged

    def calibrate(self) -> dict[str, Any] | None:
        """Fit the temperature on the held-out episodes."""
        if self._actions.ndim != 1:
            return None
        done = self._done or self._held_out_done(self._bound.signature.names)
        known = (done.weights > 0).numpy()
        logits, actions = done.parameters.numpy()[known], done.actions.numpy()[known]
        temperature = fit_temperature(logits, actions)
        self.network.core.set_temperature(temperature)
        return {
            "temperature": temperature,
            "decisions": len(actions),
            "error_before": calibration_error(logits, actions),
            "error": {" + ".join(self._bound.signature.names): calibration_error(logits / temperature, actions)},
        }


def _by_source(
    shown: Source, learnt: list[Example], other: Source, held_out: list[Example]
) -> list[tuple[Source, list[Example]]]:
    """Which episodes of which data are needed: all together where both parts come from the same."""
    return [(shown, [*learnt, *held_out])] if other is shown else [(shown, learnt), (other, held_out)]


def _subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The sets of inputs that are judged at the end, all of them first."""
    sizes = range(len(names), 0, -1) if len(names) <= ALL_SUBSETS else sorted({len(names), len(names) - 1, 1})[::-1]
    return [subset for size in sizes for subset in combinations(names, size)]
