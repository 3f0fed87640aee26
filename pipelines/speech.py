"""Speakers: something that says a text aloud, so that a simulated world can talk to a policy.

A speaker is named by a string: `espeak:en-us+f3`, `flite:slt` or `festival:kal_diphone`, with `?rate=160&pitch=40`
behind if it is to speak so; `command: TOOL -o {wav} {text}` for any program that writes a sound file; or
`recordings: DIR` for sound files that are there already, a person's own voice for example.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl

import numpy as np

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines.espeak import Espeak
from sensorimotor.pipelines.programs import Command, Festival, Flite
from sensorimotor.pipelines.recordings import Recordings


class Speaker(Protocol):
    """Anything that can say a text."""

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            SpeechError: It cannot be said.
        """
        ...


VOICED: dict[str, Callable[..., Speaker]] = {"espeak": Espeak, "flite": Flite, "festival": Festival}
"""Synthesisers with voices, a rate and a pitch."""


def speaker(spec: str) -> Speaker:
    """The speaker that a string names.

    Raises:
        SpeechError: No such kind of speaker, no such voice, or no valid command; whether a program exists and knows the
            voice shows when it speaks.
        MissingExtraError: espeak-ng is asked for and not installed.
    """
    kind, _, rest = spec.partition(":")
    if kind in VOICED and rest:
        voice, _, query = rest.strip().partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        unknown = set(options) - {"rate", "pitch"}
        if unknown or not all(value.isdecimal() for value in options.values()):
            raise SpeechError(f"speaker {spec!r}: the options are rate (80–450) and pitch (0–99), whole numbers")
        numbers = {name: int(value) if len(value) < 9 else 10**9 for name, value in options.items()}
        if not 80 <= numbers.get("rate", 80) <= 450 or not 0 <= numbers.get("pitch", 0) <= 99:
            raise SpeechError(f"speaker {spec!r}: voices speak 80–450 words a minute at pitch 0–99")
        return VOICED[kind](voice, **numbers)
    if kind == "recordings" and rest:
        return Recordings(Path(rest.strip()))
    if kind == "command" and rest:
        return Command(rest.strip())
    raise SpeechError(
        f"speaker {spec!r} is none: write 'espeak:VOICE', 'flite:VOICE', 'festival:VOICE', 'recordings: DIR' "
        "or 'command: TOOL -o {wav} {text}'"
    )
