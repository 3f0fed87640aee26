"""Guards: the operator's last word between what a policy selected and what is executed.

They come in a fixed order: finite, limits, rate, staleness, confidence, allow, stop. Each gives a verdict, and all of
them are recorded; where one of them holds, denies or stops, the safe action takes the place of the selected one.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from sensorimotor.actions.decision import GuardVerdict
from sensorimotor.actions.guard_rules import GuardRules, load_guard_rules, nearest
from sensorimotor.actions.motion import RateLimit
from sensorimotor.actions.range import Range, as_action
from sensorimotor.actions.space import ActionSpace
from sensorimotor.actions.stop import LatchedStop
from sensorimotor.errors import GuardError

SafeAction = Callable[[Mapping[str, Any]], tuple[Any, str]]
"""From the values of the inputs to the safe action and its name; None: the device holds by itself."""

NO_RULES = GuardRules()
HOLDING = ("hold", "deny", "stop")
MISSED_DEADLINES = 10
"""Where no rule says how many are too many."""


class Guarded(NamedTuple):
    """What the guards made of a selected action; the fields are those of a `Decision`."""

    verdicts: tuple[GuardVerdict, ...]
    executed: Any
    label: str


class Guards:
    """Checks actions one after another, and remembers what was executed last.

    Whatever is selected, what is executed is an action within the limits and within the rate of change, or the safe
    action, which is never blocked.

    Args:
        rules: What the operator allows.
        action_space: What the policy can do.
        safe: What it does instead.
        max_age_s: Input → the age that the policy's signature allows it (s).
        period_s: Time between two decisions (s).
        where: What the rules are called in messages, such as their file.

    Attributes:
        stop: The latched stop, for a key or a signal to press; kept in `rules.stop_file` where there is one.

    Raises:
        GuardError: A rule names something that the policy does not have, or allows more than the policy promises.
        OutputPathError: The folder of the stop file is not there.

    >>> from sensorimotor.actions.guard_rules import parse_guard_rules
    >>> from sensorimotor.actions.space import Box
    >>> rules = parse_guard_rules("limits.lift = { high = 0.5 }")
    >>> guards = Guards(rules, Box([0], [1], ("lift",), ("m",)), lambda _: (None, "hold"), max_age_s={}, period_s=0.1)
    >>> guarded = guards.check(np.array([0.9], np.float32), "lift 0.9 m", None, {}, {}, now_ns=0)
    >>> guarded.label, guarded.verdicts[1].reason
    ('lift 0.5 m', 'lift 0.9 > 0.5')
    """

    def __init__(
        self,
        rules: GuardRules,
        action_space: ActionSpace,
        safe: SafeAction,
        *,
        max_age_s: Mapping[str, float],
        period_s: float,
        where: str = "guards",
    ):
        _check_names(rules, action_space, max_age_s, where)
        self._rules, self._space, self._safe = rules, action_space, safe
        self._range = Range(rules.limits, action_space, where)
        constant, _ = safe({})
        if constant is not None and (beyond := self._range.outside(constant)):
            raise GuardError(f"{where}: limits: the safe action of the policy lies outside: {beyond}")
        self._rate = RateLimit(rules.rate, action_space, period_s) if rules.rate else None
        self._allowed = None if rules.allow is None else frozenset(rules.allow)
        self.stop = LatchedStop(Path(rules.stop_file) if rules.stop_file else None)

    @property
    def missed_deadlines(self) -> int:
        """After so many in a row without a decision the safe action is executed."""
        return self._rules.missed_deadlines or MISSED_DEADLINES

    @classmethod
    def load(
        cls,
        path: Path,
        action_space: ActionSpace,
        safe: SafeAction,
        *,
        max_age_s: Mapping[str, float],
        period_s: float,
    ) -> "Guards":
        """Guards as an operator's TOML file has them.

        Raises:
            GuardError: The file cannot be read, has a wrong key, or does not fit the policy.
            OutputPathError: The folder of the stop file is not there.
        """
        rules = load_guard_rules(path)
        return cls(rules, action_space, safe, max_age_s=max_age_s, period_s=period_s, where=str(path))

    def check(
        self,
        selected: Any,
        label: str,
        confidence: float | None,
        present: Mapping[str, Any],
        ages_s: Mapping[str, float],
        now_ns: int,
        earlier: Sequence[GuardVerdict] = (),
    ) -> Guarded:
        """Judge one action, which is then taken to be executed.

        Args:
            selected: What the policy wants.
            label: Its name.
            confidence: How sure the policy is of it; None where it cannot tell.
            present: Input name → value, of the inputs that were there.
            ages_s: Input name → age of its value (s); what is not named is new.
            now_ns: The moment of the decision, on the injected clock (ns).
            earlier: Verdicts already given, by the policy itself; where one of them holds, so it stays.
        """
        verdicts = list(earlier)
        executed = as_action(self._space, selected)
        if executed is None:
            verdicts.append(GuardVerdict("finite", "hold", f"{selected!r:.200} is no finite {self._space.space}"))
        else:
            verdicts.append(GuardVerdict("finite", "pass"))
            beyond = self._range.outside(executed)
            verdicts.append(GuardVerdict("limits", "clip" if beyond else "pass", beyond))
            executed = self._range.clip(executed)
        if executed is not None and self._rate:
            verdict, executed = self._slowed(self._rate, executed, present, now_ns)
            verdicts.append(verdict)
        verdicts += self._conditions(confidence, present, ages_s)
        if executed is not None and self._allowed is not None:
            verdicts.append(self._permission(executed, self._allowed))
        stopped = self.stop.reason()
        verdicts.append(GuardVerdict("stop", "stop" if stopped else "pass", stopped or ""))
        if executed is None or any(verdict.verdict in HOLDING for verdict in verdicts):
            return self._hold(verdicts, present, now_ns)
        if any(verdict.verdict == "clip" for verdict in verdicts):
            label = self._space.describe(executed)
        self.remember(executed, now_ns)
        return Guarded(tuple(verdicts), executed, label)

    def hold(self, guard: str, reason: str, present: Mapping[str, Any], now_ns: int) -> Guarded:
        """The safe action, because somebody else found that nothing may be decided: `guard` says who."""
        verdicts = [GuardVerdict(guard, "hold", reason)]
        if stopped := self.stop.reason():
            verdicts.append(GuardVerdict("stop", "stop", stopped))
        return self._hold(verdicts, present, now_ns)

    def remember(self, executed: Any, now_ns: int) -> None:
        """Take an action to have been executed that was not judged here."""
        if self._rate:
            self._rate.remember(executed, now_ns)

    def reset(self) -> None:
        """Forget what was executed: the actuator may stand elsewhere now. The stop stays as it is."""
        if self._rate:
            self._rate.forget()

    def _conditions(
        self, confidence: float | None, present: Mapping[str, Any], ages_s: Mapping[str, float]
    ) -> list[GuardVerdict]:
        """Whether the policy knew enough to decide."""
        verdicts = []
        if self._rules.max_age_s:
            stale = []
            for name, limit_s in self._rules.max_age_s.items():
                age_s = ages_s.get(name, 0.0)
                if present.get(name) is None:
                    stale.append(f"{name} is missing")
                elif not 0 <= age_s <= limit_s:  # NaN is not
                    stale.append(f"{name} is {age_s:.3g} s old, {limit_s:g} s are allowed")
            verdicts.append(GuardVerdict("staleness", "hold" if stale else "pass", "; ".join(stale)))
        floor = self._rules.confidence
        if floor is not None:
            sure = confidence is not None and confidence >= floor
            given = "unknown" if confidence is None else f"{confidence:.3g}"
            reason = "" if sure else f"confidence {given}, at least {floor:g} is asked for"
            verdicts.append(GuardVerdict("confidence", "pass" if sure else "hold", reason))
        return verdicts

    def _slowed(
        self, rate: RateLimit, wanted: Any, present: Mapping[str, Any], now_ns: int
    ) -> tuple[GuardVerdict, Any]:
        """A verdict on how fast the wanted action comes, and one that is slow enough; None where there is none."""
        if rate.reference is None:  # before anything was executed, the device is taken to be where its safe action is
            rate.start(self._safely(present)[0])
        if rate.reference is None:
            return GuardVerdict("rate", "pass", "where it stands is not known"), wanted
        slowed, cut = rate.slow(wanted, now_ns)
        if beyond := self._range.outside(slowed):
            return GuardVerdict("rate", "hold", f"the limits cannot be reached at this rate: {beyond}"), None
        return GuardVerdict("rate", "clip" if cut else "pass", cut), slowed

    def _permission(self, action: Any, allowed: frozenset[str]) -> GuardVerdict:
        wanted = np.flatnonzero(action) if isinstance(self._space.space, spaces.MultiBinary) else [action]
        denied = [name for i in wanted if (name := self._space.label(int(i))) not in allowed]
        reason = f"{', '.join(denied)} {'is' if len(denied) == 1 else 'are'} not allowed" if denied else ""
        return GuardVerdict("allow", "deny" if denied else "pass", reason)

    def _safely(self, present: Mapping[str, Any]) -> tuple[Any, str]:
        """The safe action for the inputs that are there, and its name; never NaN, nor of another shape."""
        action, label = self._safe(present)
        if action is None:
            return None, label
        if isinstance(self._space.space, spaces.Box) and np.size(action) == self._space.size:
            action = np.reshape(action, self._space.space.shape)  # a measured position is always a plain vector
        return as_action(self._space, action), label

    def _hold(self, verdicts: Sequence[GuardVerdict], present: Mapping[str, Any], now_ns: int) -> Guarded:
        executed, label = self._safely(present)
        self.remember(executed, now_ns)
        return Guarded(tuple(verdicts), executed, label)


def _check_names(rules: GuardRules, space: ActionSpace, max_age_s: Mapping[str, float], where: str) -> None:
    """Refuse rules on what the policy does not have, or that make no sense for its kind of action."""
    names = [space.label(i) for i in range(space.size)]
    vector, switches = isinstance(space.space, spaces.Box), isinstance(space.space, spaces.MultiBinary)
    if rules.limits and not vector:
        raise GuardError(f"{where}: limits: the actions of this policy are no vectors: restrict them with `allow`")
    if rules.rate and not vector and not switches:
        raise GuardError(f"{where}: rate: the actions of this policy are choices, which have no rate of change")
    if rules.allow is not None and vector:
        raise GuardError(f"{where}: allow: the actions of this policy are vectors: restrict them with `limits`")
    if rules.confidence is not None and vector:
        raise GuardError(f"{where}: confidence: this policy decides on vectors, of which no confidence is known")
    kind = "dimension" if vector else "switch" if switches else "action"
    for key, given in (("limits", rules.limits), ("rate", rules.rate), ("allow", rules.allow or ())):
        for name in given:
            if name not in names:
                raise GuardError(f"{where}: {key}: there is no {kind} {name!r}{nearest(name, names)}")
    for name, age_s in rules.max_age_s.items():
        if name not in max_age_s:
            raise GuardError(f"{where}: max_age_s: there is no input {name!r}{nearest(name, max_age_s)}")
        if age_s > max_age_s[name]:
            raise GuardError(
                f"{where}: max_age_s.{name}: {age_s:g} s is more than the {max_age_s[name]:g} s of the policy, which "
                "can only be tightened"
            )
