"""espeak-ng as a speaker, called in this process: many voices, 20 to 30 ms an utterance."""

import _ctypes
import ctypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.errors import MissingExtraError, SpeechError
from sensorimotor.pipelines.sound import resampled


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
        import av

        frame = av.AudioFrame.from_ndarray(np.concatenate(self._pieces)[None], format="s16", layout="mono")
        frame.sample_rate = self._sample_rate
        return resampled([frame])
