"""Deciding many steps at a time: encoders run over all that is new in them, the core over recordings side by side.

The decisions are those of `Policy.act`, step by step. Matrix products of several rows may round otherwise than those of
one, so numbers differ by some 1e-6; what is decided together depends only on the input and on how much is decided at a
time, and so comes out the same, bit by bit, whoever decodes it.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sensorimotor.actions.decision import Decision, GuardVerdict, InputReport
from sensorimotor.errors import ObservationError, OutputError
from sensorimotor.models.known import Known
from sensorimotor.models.policy import Policy
from sensorimotor.perception.modality import Image, Text
from sensorimotor.pipelines.batch_blocks import Part, Trouble
from sensorimotor.pipelines.batch_rows import Row
from sensorimotor.pipelines.batch_tally import BatchTally

TEXTS = 4096
"""So many texts are known at most; then all are forgotten."""
FAILED = (ObservationError, OutputError)
Place = tuple[int, int]
"""Which part, and which of its steps."""
Stop = tuple[int, Trouble]
"""The first step of a part that cannot be decided in, and why."""
NEVER: Stop = (sys.maxsize, Trouble("", 0, "", "", ""))


class Decider:
    """Decides in blocks of episodes, each with a memory of its own.

    Args:
        policy: Decides; nothing else may use it meanwhile.
        ids: What identifies each episode.
        batch_size: So many values are encoded at a time, at most.
        tally: Is told of all rows, and of what took how long.
    """

    def __init__(self, policy: Policy, ids: Sequence[str], batch_size: int, tally: BatchTally):
        self._policy, self._ids, self._batch_size, self.tally = policy, ids, batch_size, tally
        self._known: dict[int, dict[str, Known]] = {}
        self._texts: dict[tuple[str, str], Known | Exception] = {}
        executed, label = policy.safe_action({})
        self._nothing = Decision(
            policy=policy.fingerprint,
            stream="",
            step=0,
            selected=None,
            executed=executed,
            label=label,
            probabilities=None,
            confidence=None,
            novelty=None,
            inputs={name: InputReport(False) for name in policy.signature.names},
            verdicts=(GuardVerdict("critical", "hold", "nothing is sensed"),),
        )

    def decide(self, parts: Sequence[Part]) -> tuple[list[list[Row]], list[bool]]:
        """Decide in the next steps of some episodes.

        Args:
            parts: Of different episodes.

        Returns:
            The rows of each, and whether it has ended.
        """
        began = time.perf_counter()
        encoded, failed = self._encode(parts)
        between = time.perf_counter()
        rows: list[list[Row]] = [[] for _ in parts]
        for turn in range(max((len(part.steps) for part in parts), default=0)):
            for at, made in self._turn(parts, turn, encoded, failed):
                if isinstance(made, Trouble):
                    failed[at] = turn, made
                else:
                    rows[at].append(made)
        self.tally.seconds["encode"] += between - began
        self.tally.seconds["core"] += time.perf_counter() - between
        ended = []
        for at, part in enumerate(parts):
            trouble = failed[at][1] if at in failed else part.trouble
            ended.append(part.ended or trouble is not None)
            if trouble:
                self.tally.quarantine.append(trouble._replace(step=part.first + len(rows[at])))
            if ended[-1]:
                self._policy.reset(str(part.episode))
                self._known.pop(part.episode, None)
        return rows, ended

    def _turn(
        self, parts: Sequence[Part], turn: int, encoded: Mapping[Place, Mapping[str, Known]], failed: Mapping[int, Stop]
    ) -> Iterator[tuple[int, Row | Trouble]]:
        """The same step, counted from the first of its part, of all episodes that get so far."""
        going = [at for at, part in enumerate(parts) if turn < min(len(part.steps), failed.get(at, NEVER)[0])]
        seeing = [at for at in going if parts[at].steps[turn].seen.observation]
        decided = dict(zip(seeing, self._act(parts, turn, seeing, encoded), strict=True))
        for at in going:
            part, decision = parts[at], decided.get(at, self._nothing)
            if isinstance(decision, Exception):
                yield at, self._trouble(part, "core", decision)
                continue
            self._count(decision)
            yield at, Row(self._ids[part.episode], part.first + turn, part.steps[turn].time_s, decision)

    def _count(self, decision: Decision) -> None:
        self.tally.rows += 1
        self.tally.held += decision.held
        for name, report in decision.inputs.items():
            if not report.present:
                self.tally.absent[name] += 1

    def _act(
        self,
        parts: Sequence[Part],
        turn: int,
        going: Sequence[int],
        encoded: Mapping[Place, Mapping[str, Known]],
    ) -> Sequence[Decision | Exception]:
        """What the policy decides for each of some episodes, or why it cannot."""

        def act(chosen: Sequence[int]) -> list[Decision]:
            seen = [parts[at].steps[turn].seen for at in chosen]
            return self._policy.act_batch(
                [one.observation for one in seen],
                ages_s=[one.ages_s for one in seen],
                sequences=[one.sequences for one in seen],
                known=[encoded[at, turn] for at in chosen],
                streams=[str(parts[at].episode) for at in chosen],
            )

        if not going:
            return []
        return _together_or_apart(act, going)

    def _encode(self, parts: Sequence[Part]) -> tuple[dict[Place, dict[str, Known]], dict[int, Stop]]:
        """What is known of every input in every step, and where an episode has to stop since it cannot be known."""
        known: dict[Place, dict[str, Known]] = {
            (at, turn): {} for at, part in enumerate(parts) for turn in range(len(part.steps))
        }
        failed: dict[int, Stop] = {}
        for name in self._policy.signature.names:
            news = list(self._news(name, parts))
            made = dict(zip([one.place for one in news], self._values(name, news), strict=True))
            for at, part in enumerate(parts):
                now: Known | Exception | None = self._known.get(part.episode, {}).get(name)
                for turn, step in enumerate(part.steps):
                    now = made.get((at, turn), now)
                    if isinstance(now, Exception):
                        failed[at] = min(failed.get(at, NEVER), (turn, self._trouble(part, "encode", now)))
                        break
                    if name in step.seen.observation and now is not None:
                        known[at, turn][name] = now
                if isinstance(now, Known):
                    self._known.setdefault(part.episode, {})[name] = now
        return known, failed

    def _news(self, name: str, parts: Sequence[Part]) -> Iterator["_New"]:
        """The values of an input that are not known yet."""
        for at, part in enumerate(parts):
            last = self._known.get(part.episode, {}).get(name)
            number = last.sequence if last else None
            for turn, step in enumerate(part.steps):
                if name in step.seen.observation and step.seen.sequences[name] != number:
                    number = step.seen.sequences[name]
                    yield _New((at, turn), step.seen.observation[name], number, last)

    def _values(self, name: str, news: Sequence["_New"]) -> list[Known | Exception]:
        """New values of an input, encoded; or why they cannot be."""
        modality = self._policy.signature.inputs[name]
        if isinstance(modality, Text):
            return self._words(name, news)

        def encode(chosen: Sequence[_New]) -> list[Known]:
            values, numbers = [one.value for one in chosen], [one.number for one in chosen]
            return self._policy.encode_batch(name, values, numbers, [one.last for one in chosen])

        film = isinstance(modality, Image) and modality.frames > 1
        size = len(news) if film else self._batch_size  # frames that several films share are found only together
        return [
            one
            for start in range(0, len(news), max(1, size))
            for one in _together_or_apart(encode, news[start : start + size])
        ]

    def _words(self, name: str, news: Sequence["_New"]) -> list[Known | Exception]:
        """Texts, which come again in other recordings."""

        def encode(texts: Sequence[str]) -> list[Known]:
            return self._policy.encode_batch(name, texts, [0] * len(texts))

        if len(self._texts) > TEXTS:
            self._texts.clear()
        fresh = list(dict.fromkeys(one.value for one in news if (name, one.value) not in self._texts))
        for start in range(0, len(fresh), self._batch_size):
            some = fresh[start : start + self._batch_size]
            self._texts.update(zip(((name, text) for text in some), _together_or_apart(encode, some), strict=True))
        known = [self._texts[name, one.value] for one in news]
        return [
            replace(before, sequence=one.number) if isinstance(before, Known) else before
            for one, before in zip(news, known, strict=True)
        ]

    def _trouble(self, part: Part, stage: str, error: Exception) -> Trouble:
        return Trouble(self._ids[part.episode], 0, stage, type(error).__name__, str(error))


class _New(NamedTuple):
    """A value that is not encoded yet: where it is seen first, what it is, and what its episode knew before."""

    place: Place
    value: Any
    number: int
    last: Known | None


def _together_or_apart(do: Callable[[Sequence[Any]], list[Any]], these: Sequence[Any]) -> list[Any]:
    """Do something with several at a time; where that fails for one of them, with each, and say which it fails for."""
    try:
        return do(these)
    except FAILED as error:
        if len(these) == 1:
            return [error]
    return [_together_or_apart(do, [one])[0] for one in these]
