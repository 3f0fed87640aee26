"""Stands in for the sounddevice library, where a test says what its one microphone hears."""

import threading
from types import SimpleNamespace


class PortAudioError(Exception):
    pass


class PortAudio:
    """Stands in for sounddevice: one device, whose callback a test calls."""

    PortAudioError = PortAudioError

    def __init__(self, rate=16_000, channels=1):
        self.rate, self.channels, self.there, self.started = rate, channels, True, 0
        self.stream = None
        self.hangs = threading.Event()
        self.hangs.set()

    def _terminate(self):
        self.started -= 1

    def _initialize(self):
        self.started += 1
        self.there = True

    def query_devices(self, device=None, kind=None):
        found = {"name": "USB mic", "max_input_channels": self.channels, "default_samplerate": float(self.rate)}
        if kind is None:
            return [found, {"name": "speaker", "max_input_channels": 0}]
        if not self.there or device not in (None, 0, "USB"):
            raise ValueError(f"No input device matching {device!r}")
        return found

    def check_input_settings(self, device, channels, dtype, samplerate):
        if samplerate != self.rate:
            raise PortAudioError("Invalid sample rate")

    def InputStream(self, **settings):  # noqa: N802 (the name is given)
        hangs = self.hangs

        class Stream(SimpleNamespace):
            def start(self):
                self.active = True

            def abort(self):
                hangs.wait()
                self.active = False

            def close(self):
                self.finished_callback()

        self.stream = Stream(**settings, active=False)
        return self.stream

    def hear(self, sound, adc_s=0.0, overflow=False):
        time = SimpleNamespace(inputBufferAdcTime=adc_s)
        self.stream.callback(sound, len(sound), time, SimpleNamespace(input_overflow=overflow))
