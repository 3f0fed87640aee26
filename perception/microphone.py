"""Microphones, through PortAudio."""

import threading
from typing import Any

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.portaudio import portaudio
from sensorimotor.perception.resampled import Resampled
from sensorimotor.perception.sensor import Losses, Sample
from sensorimotor.perception.sound_ring import SoundRing

BLOCK_S = 0.02
LIMIT_MS = 500.0
"""So much sound waits for a reader that is slow."""

MUTED_S = 5.0
"""Nothing but zeros for this long (s) is told: a real microphone has noise, a muted one has none."""

CLOSE_S = 1.0
"""A driver that takes longer to close its stream (s) is left to it."""

_opening = threading.Lock()
_open_streams: set[int] = set()
"""PortAudio learns of new devices only when it is started anew, which ends all streams: never while one is open."""


class Microphone:
    """A microphone of this machine.

    Args:
        device: Its index or (a part of) its name as `sensorimotor sensors` lists it; None: the default one.
        modality: What its sound is made into.
        clock: Stamps samples.
        limit_ms: How much sound waits for a slow reader (ms); what is older is dropped and counted as `overflow`.
            `driver overflow` counts how often PortAudio said that it lost some itself.

    Raises:
        MissingExtraError: sounddevice or soxr is not installed.
        SensorError: PortAudio is not installed.
    """

    paced = True
    noisy = False
    reopens = True

    def __init__(self, device: int | str | None, modality: Audio, *, clock: Clock, limit_ms: float = LIMIT_MS):
        self._portaudio = portaudio("a microphone")
        self.source = "microphone " + ("default" if device is None else str(device))
        self.interval_s: float | None = BLOCK_S
        self.losses = Losses()
        self._device, self._modality, self._clock, self._limit_ms = device, modality, clock, limit_ms
        self._stream: Any = None

    def open(self) -> str | None:
        """Begin to listen; a line says where the device has another rate or other channels.

        Raises:
            SensorError: There is no such microphone, or it is in use.
        """
        self.close()
        portaudio, wanted = self._portaudio, self._modality
        with _opening:
            try:
                stream, rate, channels = self._start()
            except (portaudio.PortAudioError, ValueError):
                if not _open_streams:  # it may have been plugged in since
                    portaudio._terminate()
                    portaudio._initialize()
                try:
                    stream, rate, channels = self._start()
                except (portaudio.PortAudioError, ValueError) as error:  # ValueError: none or many of that name
                    known = ", ".join(repr(name) for name in _names(portaudio)) or "none"
                    raise SensorError(f"{self.source}: {error}. Microphones of this machine: {known}") from error
            _open_streams.add(id(stream))
        self._stream, self._convert, self._zeros = stream, Resampled(wanted, rate, self.losses), 0
        if (rate, channels) == (wanted.sample_rate, wanted.channels):
            return None
        return (
            f"{self.source}: asked for {wanted.sample_rate} Hz x {wanted.channels}, got {rate} Hz x {channels}; "
            "it is converted"
        )

    def _start(self) -> tuple[Any, int, int]:
        found = self._portaudio.query_devices(self._device, "input")
        channels = min(self._modality.channels, found["max_input_channels"])
        rate = self._rate(found, channels)
        self._ring = ring = SoundRing(rate, self._limit_ms)
        stream = self._portaudio.InputStream(
            samplerate=rate,
            blocksize=round(BLOCK_S * rate),
            device=self._device,
            channels=channels,
            dtype="float32",
            latency="low",
            callback=self._callback(ring, rate),
            finished_callback=ring.close,
        )
        stream.start()
        return stream, rate, channels

    def _rate(self, found: dict[str, Any], channels: int) -> int:
        try:
            self._portaudio.check_input_settings(
                self._device, channels=channels, dtype="float32", samplerate=self._modality.sample_rate
            )
        except self._portaudio.PortAudioError:
            return round(found["default_samplerate"])
        return self._modality.sample_rate

    def _callback(self, ring: SoundRing, rate: int) -> Any:
        def heard(sound: np.ndarray, frames: int, time: Any, status: Any) -> None:
            captured_ns = self._clock.now_ns()
            if status.input_overflow:
                self.losses.count("driver overflow")
            taken_s = time.inputBufferAdcTime
            dropped = ring.put(sound.copy(), captured_ns, taken_s + frames / rate if taken_s else None)
            self.losses.count("overflow", dropped)

        return heard

    def read(self, timeout_s: float) -> Sample | None:
        """The next block of sound.

        Raises:
            SensorError: The microphone is gone, or was closed.
        """
        stream = self._stream
        if stream is None:
            raise SensorError(f"{self.source} is closed")
        block = self._ring.take(timeout_s)
        if block is None:
            if not stream.active:
                raise SensorError(f"{self.source} was unplugged, or its driver stopped")
            return None
        self._notice_silence(block.sound)
        sound = self._convert(block.sound)
        if not len(sound):  # the filter is still being filled
            return None
        return Sample(sound, block.captured_ns, block.sequence, block.device_s)

    def _notice_silence(self, sound: np.ndarray) -> None:
        if sound.any():
            self._zeros = 0
            return
        before, self._zeros = self._zeros, self._zeros + len(sound)
        limit = MUTED_S * self._convert.sample_rate
        if before < limit <= self._zeros:
            self.losses.tell(f"{self.source}: only zeros for {MUTED_S:g} s; it is muted, or nothing is plugged in")

    def close(self) -> None:
        """Stop listening; a driver that hangs is left behind."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        self._ring.close()

        def end() -> None:
            try:
                stream.abort()
                stream.close()
            except self._portaudio.PortAudioError:  # a device that is gone cannot be stopped
                pass
            with _opening:
                _open_streams.discard(id(stream))

        ending = threading.Thread(target=end, name=f"close {self.source}", daemon=True)
        ending.start()
        ending.join(CLOSE_S)


def _names(portaudio: Any) -> list[str]:
    return [found["name"] for found in portaudio.query_devices() if found["max_input_channels"] > 0]
