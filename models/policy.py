"""The runtime: a policy, loaded once, decides on one observation or on many at a time. It never needs torch."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.actions.choice import choose
from sensorimotor.actions.decision import Decision, GuardVerdict, InputReport
from sensorimotor.actions.plan import Following, Plans, RecedingHorizon
from sensorimotor.errors import ObservationError, OutputError, SignatureError, UsageError
from sensorimotor.models.backend import Backend, CoreInput
from sensorimotor.models.bundle import Bundle
from sensorimotor.models.execution import Execution
from sensorimotor.models.known import Encode, Known, encode_films, encode_values, unchanged
from sensorimotor.models.signature import ActuatorHold, Constant, HoldPosition, Signature
from sensorimotor.perception.arguments import encoder_arguments
from sensorimotor.perception.buffers import latched
from sensorimotor.perception.modality import Image, Observation, Text
from sensorimotor.perception.tokenizer import Tokenizer

PASS = (GuardVerdict("critical", "pass"),)
NEWEST = RecedingHorizon()
"""Always the first action of the newest plan."""


@dataclass
class _Stream:
    """What the runtime keeps between the decisions of one stream."""

    memory: np.ndarray
    step: int = 0
    known: dict[str, Known] = field(default_factory=dict)
    plans: Plans = Plans()


class Policy:
    """Decides on observations. Each stream has its own memory; decisions of one stream must come in order.

    Args:
        signature: What comes in and goes out.
        backend: What runs the graphs.
        tokenizer: For text inputs.
        fingerprint: Of the bundle; it goes into every decision.
        following: How plans of several actions are carried out.

    >>> policy = Policy.load("default")
    >>> decision = policy.act({"camera": np.zeros((56, 56, 3), np.uint8), "instruction": "go to the red ball"})
    >>> decision.held, decision.label in policy.signature.action_space.labels
    (False, True)
    """

    def __init__(
        self,
        signature: Signature,
        backend: Backend,
        tokenizer: Tokenizer | None = None,
        fingerprint: str = "",
        following: Following = NEWEST,
    ):
        if tokenizer is None and any(isinstance(modality, Text) for modality in signature.inputs.values()):
            raise SignatureError("a policy with a text input needs a tokenizer")
        self.signature, self.fingerprint, self._following = signature, fingerprint, following
        self._backend, self._tokenizer = backend, tokenizer
        self._max_age_s = np.array([modality.max_age_s for modality in signature.inputs.values()], np.float32)
        self._empty = [backend.empty_tokens(name) for name in signature.names]
        self._streams: dict[str, _Stream] = {}

    @classmethod
    def load(
        cls,
        source: str | Path | Bundle,
        *,
        device: str = "cpu",
        threads: int = 1,
        execution: Execution | None = None,
        following: Following = NEWEST,
    ) -> "Policy":
        """Load a bundle into ONNX Runtime.

        Args:
            source: A bundle directory, the name of a bundled policy, or a bundle that is loaded already.
            device: `cpu` or `cuda`.
            threads: Threads inside one operator.
            execution: All about how graphs are run, in place of `device` and `threads`.
            following: How plans of several actions are carried out.

        Raises:
            BundleError: The bundle is missing, damaged, edited or too new.
            MissingExtraError: ONNX Runtime is not installed.
            UsageError: There is no such device, or this build of ONNX Runtime cannot use it.
        """
        from sensorimotor.models.backends import backend_for

        bundle = source if isinstance(source, Bundle) else Bundle.load(source)
        backend = backend_for(bundle, execution or Execution.on(device, threads=threads))
        return cls(bundle.signature, backend, bundle.tokenizer(), bundle.fingerprint, following)

    def act(
        self,
        observation: Observation,
        *,
        ages_s: Mapping[str, float] | None = None,
        sequences: Mapping[str, int] | None = None,
        known: Mapping[str, Known] | None = None,
        stream: str = "main",
    ) -> Decision:
        """Decide on one observation.

        Args:
            observation: Input name → raw value; inputs may be missing. What is not in it is not known: pass an
                instruction with every observation.
            ages_s: Input name → age of its newest sample (s); what is not named is new. Latched inputs do not age.
            sequences: Input name → sequence number of its value. An input with the same number as at the last decision
                is taken to be unchanged and not encoded again; without numbers, contents are compared. Frames of a film
                that were in the film before are never encoded again.
            known: Input name → what `encode` made of its value; such an input is not encoded here.
            stream: Whose memory to use.

        Raises:
            ObservationError: An input is unknown or not what the signature says, or there is none at all.
            OutputError: The network gave NaN or infinity; the stream's memory is unchanged.
        """
        return self.act_batch(
            [observation],
            ages_s=[ages_s or {}],
            sequences=[sequences or {}],
            known=[known or {}],
            streams=[stream],
        )[0]

    def act_batch(
        self,
        observations: Sequence[Observation],
        *,
        ages_s: Sequence[Mapping[str, float]] | None = None,
        sequences: Sequence[Mapping[str, int]] | None = None,
        known: Sequence[Mapping[str, Known]] | None = None,
        streams: Sequence[str] | None = None,
    ) -> list[Decision]:
        """Decide on one observation of each of several streams; no row influences another.

        Args:
            observations: One a stream.
            ages_s: As for `act`, one mapping a stream.
            sequences: As for `act`, one mapping a stream.
            known: As for `act`, one mapping a stream.
            streams: Names of the streams; without them, "0", "1", ….

        Raises:
            UsageError: A stream is named twice, or the lengths differ.
            ObservationError: As for `act`.
            OutputError: As for `act`; no stream's memory has changed.
        """
        began = time.perf_counter()
        count = len(observations)
        ages_s = [{}] * count if ages_s is None else ages_s
        sequences = [{}] * count if sequences is None else sequences
        given = [{}] * count if known is None else known
        names = [str(i) for i in range(count)] if streams is None else list(streams)
        if not len(ages_s) == len(sequences) == len(given) == len(names) == count:
            raise UsageError(
                f"{count} observations with {len(ages_s)} ages, {len(sequences)} sequences, {len(names)} streams"
            )
        if len(set(names)) != count:
            raise UsageError("a stream can decide once a batch: its next decision needs the memory of the one before")
        if not count:
            return []
        for name in {name for one in (*ages_s, *sequences, *given) for name in one}:
            if name not in self.signature.inputs:
                hint = f"It has {', '.join(self.signature.names)}"
                raise ObservationError(name, "an input of this policy", "an unknown name", hint)
        checked = [self.signature.check(observation) for observation in observations]
        age = self._ages(checked, ages_s)
        rows = [self._streams.get(name) or _Stream(np.zeros(self._backend.memory_size, np.float32)) for name in names]

        timings_ms: dict[str, float] = {}
        held = [{**row.known, **made} for row, made in zip(rows, given, strict=True)]
        cached = [self._encode(name, checked, sequences, held, timings_ms) for name in self.signature.names]

        before_core = time.perf_counter()
        present = np.array([[name in values for name in self.signature.names] for values in checked])
        tokens, masks = self._gather(held, present)
        memory = rows[0].memory[None] if count == 1 else np.stack([row.memory for row in rows])
        output = self._backend.step(CoreInput(tokens, masks, present, np.minimum(age, self._max_age_s), memory))
        choices = [choose(self.signature.action_space, parameters) for parameters in output.parameters]
        if not math.isfinite(output.memory.sum()):
            raise OutputError("the network gave a new memory that is NaN or infinite; the memory is unchanged")
        now = time.perf_counter()
        timings_ms["core"], timings_ms["total"] = (now - before_core) * 1e3, (now - began) * 1e3

        decisions = []
        for i, (name, row, choice) in enumerate(zip(names, rows, choices, strict=True)):
            plans, selected, label, plan_age_s = row.plans, choice.action, choice.label, None
            if choice.plan is not None:
                plans = plans.add(row.step, choice.plan, self._following)
                selected, steps = plans.action(row.step, self._following)
                label, plan_age_s = self.signature.action_space.describe(selected), steps / self.signature.rate_hz
            verdicts, executed, label = self._guard(checked[i], age[i], selected, label)
            decisions.append(
                Decision(
                    policy=self.fingerprint,
                    stream=name,
                    step=row.step,
                    selected=selected,
                    executed=executed,
                    label=label,
                    probabilities=choice.probabilities,
                    confidence=choice.confidence,
                    novelty=None,
                    inputs={
                        key: InputReport(True, float(age[i, j]), _plain_int(sequences[i].get(key)), cached[j][i])
                        if key in checked[i]
                        else InputReport(False)
                        for j, key in enumerate(self.signature.names)
                    },
                    verdicts=verdicts,
                    timings_ms=dict(timings_ms),
                    labels=self.signature.action_space.labels,
                    parameters=output.parameters[i],
                    plan_age_s=plan_age_s,
                    embedding=output.embedding[i],
                )
            )
            self._streams[name] = _Stream(output.memory[i], row.step + 1, held[i], plans)
        return decisions

    def encode(self, name: str, value: Any, sequence: int, before: Known | None = None) -> Known:
        """What an encoder makes of a value, for a later `act`; several threads may do so at a time, each for an input.

        Args:
            name: The input.
            value: As in an observation.
            sequence: Number of the value; `act` must be given the same one.
            before: What was made of the value before: frames of a film that were in it are not encoded again.

        Raises:
            ObservationError: There is no such input, or the value is not what the signature says.
        """
        checked = self.signature.check({name: value})
        known = {} if before is None else {name: before}
        self._encode(name, [checked], [{name: sequence}], [known], {})
        return known[name]

    def encode_batch(
        self,
        name: str,
        values: Sequence[Any],
        sequences: Sequence[int],
        before: Sequence[Known | None] | None = None,
    ) -> list[Known]:
        """What an encoder makes of several values at a time, for later decisions of any streams.

        Args:
            name: The input.
            values: As in observations.
            sequences: Numbers of the values; `act` must be given the same ones.
            before: As for `encode`, one a value.

        Raises:
            ObservationError: As for `encode`.
        """
        checked = [self.signature.check({name: value}) for value in values]
        known: list[dict[str, Known]] = [{name: one} if one else {} for one in before or [None] * len(values)]
        self._encode(name, checked, [{name: sequence} for sequence in sequences], known, {})
        return [one[name] for one in known]

    def ahead(
        self,
        steps: int,
        observation: Observation,
        *,
        ages_s: Mapping[str, float] | None = None,
        stream: str = "main",
    ) -> Decision | None:
        """What the plans of a stream say of a step for which no decision came; None: none of them reaches that far.

        Nothing is computed and no memory changes, so that it may be asked while `act` is at work in another thread.

        Args:
            steps: How many after the last decision, from 1.
            observation: What is known now: without a critical input, or with one that is too old, it holds.
            ages_s: As for `act`.
            stream: Whose plans.

        Raises:
            ObservationError: As for `act`.
        """
        row = self._streams.get(stream)
        if row is None:
            return None
        step = row.step - 1 + steps
        plans = row.plans.reaching(step)
        if not plans.made:
            return None
        checked = self.signature.check(observation)
        age = self._ages([checked], [ages_s or {}])[0]
        selected, behind = plans.action(step, self._following)
        label = self.signature.action_space.describe(selected)
        verdicts, executed, label = self._guard(checked, age, selected, label)
        return Decision(
            policy=self.fingerprint,
            stream=stream,
            step=step,
            selected=selected,
            executed=executed,
            label=label,
            probabilities=None,
            confidence=None,
            novelty=None,
            inputs={
                name: InputReport(True, float(age[j])) if name in checked else InputReport(False)
                for j, name in enumerate(self.signature.names)
            },
            verdicts=verdicts,
            plan_age_s=behind / self.signature.rate_hz,
        )

    def reset(self, stream: str | None = None) -> None:
        """Forget the memory of one stream, or of all: the next decision is the first of an episode."""
        if stream is None:
            self._streams.clear()
        else:
            self._streams.pop(stream, None)

    def memory(self, stream: str = "main") -> np.ndarray:
        """A copy of a stream's memory, float32 `(memory_size,)`: zeros before its first decision."""
        known = self._streams.get(stream)
        return np.zeros(self._backend.memory_size, np.float32) if known is None else known.memory.copy()

    def on(self, wrap: Callable[[Backend], Backend]) -> "Policy":
        """The same policy, without any memory yet, on a back end that is made from its own."""
        return Policy(self.signature, wrap(self._backend), self._tokenizer, self.fingerprint, self._following)

    def follow(self, following: Following) -> "Policy":
        """The same policy, without any memory yet, that carries out plans in another way."""
        return Policy(self.signature, self._backend, self._tokenizer, self.fingerprint, following)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that the policy has never been taught."""
        return self._tokenizer.unknown(text) if self._tokenizer else []

    def _ages(self, checked: Sequence[Mapping[str, Any]], ages_s: Sequence[Mapping[str, float]]) -> np.ndarray:
        age = np.zeros((len(checked), len(self.signature.names)), np.float32)
        for i, given in enumerate(ages_s):
            for j, (name, modality) in enumerate(self.signature.inputs.items()):
                if name in given and name in checked[i] and not latched(modality):
                    if not 0 <= given[name] < math.inf:
                        raise UsageError(f"the age of input {name!r} is {given[name]} s; ages are finite, not negative")
                    age[i, j] = given[name]
        return age

    def _encode(
        self,
        name: str,
        checked: Sequence[Mapping[str, Any]],
        sequences: Sequence[Mapping[str, int]],
        known: list[dict[str, Known]],
        timings_ms: dict[str, float],
    ) -> list[bool]:
        """Bring `known` up to date for one input; says of which rows nothing had to be encoded."""
        modality = self.signature.inputs[name]
        cached = [
            name in values and unchanged(known[i].get(name), values[name], sequences[i].get(name))
            for i, values in enumerate(checked)
        ]
        new = [i for i, values in enumerate(checked) if name in values and not cached[i]]
        if not new:
            return cached

        def encode(rows: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
            began = time.perf_counter()
            made = self._backend.encode(name, encoder_arguments(modality, rows, self._tokenizer))
            took_ms = (time.perf_counter() - began) * 1e3
            timings_ms[f"encode.{name}"] = timings_ms.get(f"encode.{name}", 0.0) + took_ms
            return made

        values, numbers = [checked[i][name] for i in new], [sequences[i].get(name) for i in new]
        if isinstance(modality, Image) and modality.frames > 1:
            # Of one stream frame by frame: a matrix product of several rows may round otherwise than that of one, and
            # which frames are new together is a matter of timing, which must not matter when a run is done again.
            several = encode if len(checked) > 1 else partial(_one_by_one, encode)
            now, again = encode_films(values, numbers, [known[i].get(name) for i in new], several)
            for i, nothing_new in zip(new, again, strict=True):
                cached[i] = nothing_new
        else:
            now = encode_values(values, numbers, encode)
        for i, one in zip(new, now, strict=True):
            known[i][name] = one
        return cached

    def _gather(self, known: list[dict[str, Known]], present: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Tokens and masks of every input for all rows; an input that is absent from all costs one token only."""
        tokens, masks = [], []
        for j, name in enumerate(self.signature.names):
            some = next((row[name] for i, row in enumerate(known) if present[i, j]), None)
            if some is None:
                empty_tokens, empty_mask = self._empty[j]
                tokens.append(empty_tokens if len(known) == 1 else np.repeat(empty_tokens, len(known), 0))
                masks.append(empty_mask if len(known) == 1 else np.repeat(empty_mask, len(known), 0))
            elif len(known) == 1:
                tokens.append(some.tokens[None])
                masks.append(some.mask[None])
            else:
                here = [row[name] if present[i, j] else some for i, row in enumerate(known)]
                tokens.append(np.stack([one.tokens for one in here]))
                masks.append(np.stack([one.mask for one in here]))
        return tokens, masks

    def _guard(
        self, values: Mapping[str, Any], age_s: np.ndarray, action: Any, label: str
    ) -> tuple[tuple[GuardVerdict, ...], Any, str]:
        """Hold where a critical input is missing or too old."""
        lost = []
        for age, (name, modality) in zip(age_s, self.signature.inputs.items(), strict=True):
            if modality.critical and name not in values:
                lost.append(f"{name} is missing")
            elif modality.critical and age > modality.max_age_s:
                lost.append(f"{name} is {age:g} s old, {modality.max_age_s:g} s are allowed")
        if not lost:
            return PASS, action, label
        executed, label = self.safe_action(values)
        return (GuardVerdict("critical", "hold", "; ".join(lost)),), executed, label

    def safe_action(self, values: Mapping[str, Any]) -> tuple[Any, str]:
        """What to do when unsure, given the inputs that are there, and its name; None: the device holds by itself."""
        match self.signature.safe_action:
            case Constant(safe):
                return safe, self.signature.action_space.label(safe) if isinstance(safe, int) else "hold"
            case HoldPosition(name):
                return values.get(name), "hold"
            case ActuatorHold():
                return None, "hold"
        raise AssertionError(self.signature.safe_action)


def _one_by_one(encode: Encode, frames: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    tokens, masks = zip(*(encode([frame]) for frame in frames), strict=True)
    return np.concatenate(tokens), np.concatenate(masks)


def _plain_int(number: int | None) -> int | None:
    """A sequence number without numpy's type, which JSON does not know."""
    return None if number is None else int(number)
