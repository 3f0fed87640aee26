"""An operator's guards as they are written: a TOML file that says what may be done here, whatever a policy wants."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensorimotor.errors import GuardError

Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
MOST_CHARACTERS = 1_000_000
"""What is longer is another file, or a device that never ends."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limit(_Table):
    """The least and the most that one dimension of an action may be, in its unit; one of them may be left out."""

    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("give low, high or both, as in { low = -0.5, high = 0.5 }")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}")
        return self


class GuardRules(_Table):
    """What an operator allows. Names are those of the policy's signature; what is left out is not restricted further.

    >>> parse_guard_rules('allow = ["wait"]').allow
    ('wait',)
    """

    confidence: float | None = Field(default=None, gt=0, le=1, strict=True)
    """Less sure than this, the policy holds. For choices and switches; vectors have no confidence."""
    allow: tuple[str, ...] | None = None
    """The choices that may be made, or the switches that may be on; anything else is denied."""
    stop_file: str | None = Field(default=None, min_length=1, pattern=r"^[^\x00]*$")
    """While this file is there, and after it until a reset, the policy is stopped; relative to the guards' folder."""
    missed_deadlines: int | None = Field(default=None, ge=1, le=1000, strict=True)
    """After so many deadlines without a decision, hold, once nothing is left of the last plan; without it, after 10."""
    limits: dict[str, Limit] = {}
    """Dimension of a vector → its limits, within those of the policy; what lies outside is clipped."""
    rate: dict[str, Positive] = {}
    """Dimension of a vector → its most change in one second, in its unit; switch → its most changes in one second."""
    max_age_s: dict[str, Positive] = {}
    """Input → the age (s), no more than the policy's own, at which it is too old; then, or without it, hold."""


def load_guard_rules(path: Path) -> GuardRules:
    """Read and check an operator's file.

    Raises:
        GuardError: No such file, no TOML, or a key that is unknown or wrong; all of them are named.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:  # some editors put a mark before the first key
            text = file.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise GuardError(f"cannot read the guards {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise GuardError(f"{path} is not valid TOML: {error}") from error
    if len(text) > MOST_CHARACTERS:
        raise GuardError(f"{path} has more than {MOST_CHARACTERS:,} characters: it is no file of guards")
    rules = parse_guard_rules(text, str(path))
    if rules.stop_file is None:
        return rules
    return rules.model_copy(update={"stop_file": str(path.absolute().parent / rules.stop_file)})


def parse_guard_rules(text: str, where: str = "guards") -> GuardRules:
    """Check the text of an operator's file.

    Raises:
        GuardError: It is no TOML, or a key is unknown or wrong; all of them are named.
    """
    try:
        return GuardRules.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise GuardError(f"{where} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise GuardError(f"{where} are no valid guards: they are nested too deep") from error
    except ValidationError as error:
        lines = "\n".join(f"  {_explained(problem)}" for problem in error.errors())
        raise GuardError(f"{where} are no valid guards:\n{lines}") from error


def _explained(problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        fields = Limit.model_fields if problem["loc"][0] == "limits" else GuardRules.model_fields
        return f"{key}: there is no such key{nearest(str(problem['loc'][-1]), fields)}"
    got = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}{got}"


def nearest(name: str, known: Any) -> str:
    """A continuation of "there is no NAME": what was probably meant, or else what there is."""
    known = list(known)
    close = get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"; there are {shown}" if known else "; there are none"
