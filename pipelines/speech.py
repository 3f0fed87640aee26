"""Speakers: something that says a text aloud, so that a simulated world can talk to a policy.

A speaker is named by a string: `espeak:en-us+f3` (optionally `espeak:en-us+f3?rate=160&pitch=40`) for espeak-ng inside
this process, or `command: TOOL -o {wav} {text}` for any program that writes a sound file.
"""

import _ctypes
import ctypes
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

import numpy as np

from sensorimotor.errors import MissingExtraError, SpeechError

SAMPLE_RATE = 16_000
COMMAND_TIMEOUT_S = 30.0


class Speaker(Protocol):
    """Anything that can say a text."""

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz.

        Raises:
            SpeechError: It cannot be said.
        """
        ...


def speaker(spec: str) -> Speaker:
    """The speaker that a string names.

    Raises:
        SpeechError: No such kind of speaker, no such voice, or no valid command; whether its program exists shows
            when it speaks.
        MissingExtraError: espeak-ng is asked for and not installed.
    """
    kind, _, rest = spec.partition(":")
    if kind == "espeak" and rest:
        voice, _, query = rest.strip().partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        unknown = set(options) - {"rate", "pitch"}
        if unknown or not all(value.isdecimal() for value in options.values()):
            raise SpeechError(f"speaker {spec!r}: the options are rate (80–450) and pitch (0–99), whole numbers")
        return Espeak(voice, **{name: int(value) for name, value in options.items()})
    if kind == "command" and rest:
        return Command(rest.strip())
    raise SpeechError(f"speaker {spec!r} is none: write 'espeak:VOICE' or 'command: TOOL -o {{wav}} {{text}}'")


class Espeak:
    """espeak-ng, called in this process.

    Args:
        voice: A language, with a variant behind `+`: `en-us`, `en-gb-scotland`, `en-us+f3`.
        rate: Words a minute, 80–450.
        pitch: 0–99.

    Raises:
        SpeechError: The voice does not exist, or rate or pitch is out of range.
        MissingExtraError: espeak-ng is not installed.
    """

    def __init__(self, voice: str, rate: int = 165, pitch: int = 50):
        if not 80 <= rate <= 450 or not 0 <= pitch <= 99:
            raise SpeechError(f"espeak speaks 80–450 words a minute at pitch 0–99, not {rate} at {pitch}")
        self.voice, self.rate, self.pitch = voice, rate, pitch
        _espeak().check_voice(voice)

    def say(self, text: str) -> np.ndarray:
        """The sound of `text`: float32 `(samples,)` in [-1, 1] at 16 kHz."""
        return _espeak().say(text, self.voice, self.rate, self.pitch)


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
            SpeechError: The program is missing, fails, takes over 30 s, or writes no sound.
        """
        with tempfile.TemporaryDirectory() as folder:
            wav = Path(folder) / "speech.wav"
            call = [word.replace("{wav}", str(wav)).replace("{text}", text) for word in self.words]
            try:
                done = subprocess.run(call, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
            except FileNotFoundError as error:
                raise SpeechError(f"speaker program {self.words[0]!r} is not installed or not on the PATH") from error
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:  # ValueError: a text no program can take
                raise SpeechError(f"speaker program {self.words[0]!r}: {error}") from error
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip()[-300:]
                raise SpeechError(f"speaker program {self.words[0]!r} failed with status {done.returncode}: {said}")
            if not wav.exists() or wav.stat().st_size == 0 or len(sound := read_sound(wav)) == 0:
                raise SpeechError(f"speaker program {self.words[0]!r} wrote no sound to {{wav}}")
            return sound


def read_sound(path: Path) -> np.ndarray:
    """A sound file as float32 `(samples,)`, mixed to one channel and resampled to 16 kHz.

    Raises:
        SpeechError: It is no sound file.
    """
    av = _av()
    try:
        with av.open(str(path)) as container:
            return _resampled(list(container.decode(audio=0)))
    except (av.FFmpegError, IndexError) as error:
        raise SpeechError(f"{path.name} cannot be read as sound: {error}") from error


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("PyAV", "sim", "resampling speech") from error
    return av


def _resampled(frames: list[Any]) -> np.ndarray:
    """PyAV audio frames as float32 `(samples,)` at 16 kHz, the mean of all channels."""
    # FFmpeg's own mix to one channel is 3 dB louder than its channels and clips what is near full scale.
    resampler = _av().AudioResampler(format="fltp", rate=SAMPLE_RATE)
    pieces = [out.to_ndarray().mean(0) for frame in [*frames, None] for out in resampler.resample(frame)]
    sound = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return np.clip(sound, -1.0, 1.0)


@lru_cache(maxsize=1)
def _espeak() -> "_EspeakLibrary":
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingExtraError("espeakng-loader", "sim", "speaking with espeak-ng") from error
    return _EspeakLibrary(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))


class _EspeakLibrary:
    """libespeak-ng through ctypes; constants and prototypes are those of its speak_lib.h."""

    SYNCHRONOUS, DONT_EXIT, CHARS_UTF8 = 2, 0x8000, 1
    RATE, PITCH = 1, 3
    OK = 0

    def __init__(self, library: Path, data: Path):
        self._library, self._data = library, data
        self._pieces: list[np.ndarray] = []
        prototype: Callable[..., Any] = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = prototype(self._collect)  # kept: the library holds only a pointer to it
        self._lib: Any = None
        self._load()

    def _load(self) -> None:
        """Load the library anew (0.7 ms): what it says depends on all it has said before, and on the second it began.

        The same text would never sound the same again, and no episode could be played again.
        """
        if self._lib is not None:
            self._lib.espeak_Terminate()
            _ctypes.dlclose(self._lib._handle)
        self._lib = ctypes.CDLL(str(self._library))
        self._sample_rate = self._lib.espeak_Initialize(self.SYNCHRONOUS, 0, str(self._data).encode(), self.DONT_EXIT)
        if self._sample_rate <= 0:
            raise SpeechError(f"espeak-ng did not start with its data in {self._data}")
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def check_voice(self, voice: str) -> None:
        # An unknown variant is silently ignored by the library, so look for its file; and a zero ends the name.
        _, plus, variant = voice.partition("+")
        known = voice.isprintable() and (not plus or (self._data / "voices" / "!v" / variant).is_file())
        if not known or "/" in variant or self._lib.espeak_SetVoiceByName(voice.encode()) != self.OK:
            raise SpeechError(f"espeak-ng has no voice {voice!r}; try en, en-us, en-gb-scotland or en-us+f3")

    def say(self, text: str, voice: str, rate: int, pitch: int) -> np.ndarray:
        try:
            words = text.encode() + b"\0"
        except UnicodeEncodeError as error:
            raise SpeechError(f"{text!r} cannot be said: it is not valid unicode ({error.reason})") from error
        if "\0" in text:
            raise SpeechError(f"{text!r} cannot be said: the library would stop at the zero")
        self._load()
        self.check_voice(voice)
        self._lib.espeak_SetParameter(self.RATE, rate, 0)
        self._lib.espeak_SetParameter(self.PITCH, pitch, 0)
        self._pieces.clear()
        status = self._lib.espeak_Synth(words, len(words), 0, 0, 0, self.CHARS_UTF8, None, None)
        if status != self.OK or not self._pieces:
            raise SpeechError(f"espeak-ng could not say {text!r} (status {status})")
        frame = _av().AudioFrame.from_ndarray(np.concatenate(self._pieces)[None], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate
        return _resampled([frame])
