"""Speakers that are other programs: flite, festival, or any that writes a sound file."""

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from sensorimotor.errors import SpeechError
from sensorimotor.pipelines.sound import read_sound

TIMEOUT_S = 30.0
NORMAL_RATE = 165
"""Words a minute that a voice of flite or festival speaks by itself, about."""


def recorded(call: list[str], text: str) -> np.ndarray:
    """Run a program that says `text` into the file that stands as `{wav}` in its arguments.

    Raises:
        SpeechError: The program is missing, fails, takes over 30 s, or writes no sound.
    """
    name = call[0]
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        words = [word.replace("{wav}", str(wav)).replace("{text}", text) for word in call]
        try:
            done = subprocess.run(words, capture_output=True, timeout=TIMEOUT_S, check=False)
        except FileNotFoundError as error:
            raise SpeechError(f"speaker program {name!r} is not installed or not on the PATH") from error
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:  # ValueError: a text no program can take
            raise SpeechError(f"speaker program {name!r}: {error}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise SpeechError(f"speaker program {name!r} failed with status {done.returncode}: {said}")
        try:
            return read_sound(wav)
        except SpeechError as error:
            raise SpeechError(f"speaker program {name!r} wrote no sound to {{wav}}: {error}") from error


class Command:
    """A program that writes a sound file. The template is split into words first, then filled in; no shell sees it.

    Args:
        template: The program and its arguments, with `{wav}` for the file to write and `{text}` for the words.

    Raises:
        SpeechError: The template cannot be split or lacks a placeholder.
    """

    def __init__(self, template: str):
        try:
            self.words = shlex.split(template)
        except ValueError as error:
            raise SpeechError(f"speaker command {template!r}: {error}") from error
        for placeholder in ("{wav}", "{text}"):
            if not any(placeholder in word for word in self.words):
                raise SpeechError(f"speaker command {template!r} has no {placeholder}")

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            SpeechError: See `recorded`.
        """
        return recorded(self.words, text)


FLITE_VOICES = ("kal", "kal16", "awb", "rms", "slt")
"""Those of Debian's package that can say any text."""


class Flite:
    """Flite (Debian: `flite`): small unit-selection and parametric voices.

    Args:
        voice: One of `FLITE_VOICES`.
        rate: Words a minute.
        pitch: 0-99; not every voice minds it.

    Raises:
        SpeechError: It has no such voice.
    """

    def __init__(self, voice: str, rate: int = NORMAL_RATE, pitch: int = 50):
        # Flite itself takes its first voice for a name it does not know, and fetches a file for an address.
        if voice not in FLITE_VOICES:
            raise SpeechError(f"flite has no voice {voice!r}; it has {', '.join(FLITE_VOICES)}")
        self.voice, self.rate, self.pitch = voice, rate, pitch

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            SpeechError: See `recorded`.
        """
        stretch, hertz = f"duration_stretch={NORMAL_RATE / self.rate:.3f}", f"int_f0_target_mean={_hertz(self.pitch)}"
        call = ["flite", "-voice", self.voice, "--setf", stretch, "--setf", hertz, "-t", "{text}", "-o", "{wav}"]
        return recorded(call, text)


class Festival:
    """Festival (Debian: `festival` and its `festvox-*` voices): diphones and hidden Markov models.

    Args:
        voice: `kal_diphone`, `ked_diphone`, `cmu_us_slt_arctic_hts`.
        rate: Words a minute.
        pitch: 0-99; the HTS voice does not mind it.

    Raises:
        SpeechError: No such name can be a voice.
    """

    def __init__(self, voice: str, rate: int = NORMAL_RATE, pitch: int = 50):
        if not re.fullmatch(r"[a-z0-9_]+", voice):
            raise SpeechError(f"festival has no voice {voice!r}; try kal_diphone")
        self.voice, self.rate, self.pitch = voice, rate, pitch

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            SpeechError: See `recorded`; or the text has something else than words in it.
        """
        # The text becomes part of a program in Scheme: nothing that could end a string may be in it.
        if not re.fullmatch(r"[\w ,.!?'-]+", text) or not re.search(r"[A-Za-z0-9]", text):
            raise SpeechError(f"festival is given plain words only, not {text!r}")
        scheme = (
            f"(voice_{self.voice}) (Parameter.set 'Duration_Stretch {NORMAL_RATE / self.rate:.3f}) "
            f"(set! int_lr_params '((target_f0_mean {_hertz(self.pitch)}) (target_f0_std 14) "
            "(model_f0_mean 170) (model_f0_std 34))) "
            '(utt.save.wave (utt.synth (Utterance Text "{text}")) "{wav}" \'riff)'
        )
        return recorded(["festival", "--batch", f"(begin {scheme})"], text)


def _hertz(pitch: int) -> int:
    """A fundamental frequency for a pitch of 0-99: 70 to 276 Hz, in equal steps of tone."""
    return round(70 * 2 ** (pitch / 50))
