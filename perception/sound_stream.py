"""Sound files, the sound of videos, and the sound of network streams as microphones."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.libraries import library
from sensorimotor.perception.held import Held
from sensorimotor.perception.media_source import OPEN_TIMEOUT_S, READ_TIMEOUT_S, Source, is_url
from sensorimotor.perception.modality import Audio
from sensorimotor.perception.pace import Pace, Wait
from sensorimotor.perception.resampled import Resampled
from sensorimotor.perception.sensor import Losses, Sample, StreamBroken, StreamEnded
from sensorimotor.redaction import redacted

CHUNK_S = 0.02
"""How much sound a sample of a file has (s), as a microphone would give it."""


class SoundStream:
    """The sound of a file or an address, resampled and mixed for an input.

    Args:
        location: A path or an address; credentials in it are never shown.
        modality: What the sound is made into.
        clock: Paces and stamps it.
        real_time: Whether the sound of a file comes as it would be heard; that of an address always does.
        open_timeout_s: For connecting (s).
        read_timeout_s: An address silent for this long (s) is lost. `read` may take as long whatever it was asked.
        wait: How to wait for what is due; for tests.

    Raises:
        MissingExtraError: PyAV or soxr is not installed.
    """

    noisy = False

    def __init__(
        self,
        location: str,
        modality: Audio,
        *,
        clock: Clock,
        real_time: bool = True,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        wait: Wait | None = None,
    ):
        self._av = library("av", "av", "live", "reading sound")
        self.source = redacted(location)
        self._live = self.reopens = is_url(location)
        self.paced = real_time or self._live
        self.interval_s: float | None = None if self._live else CHUNK_S
        self.losses = Losses()
        self._location, self._modality, self._clock = location, modality, clock
        self._timeouts = open_timeout_s, read_timeout_s
        self._pace = Pace(clock, wait)
        self._held: Held[Source] | None = None

    def open(self) -> str | None:
        """Begin at the first sample, or connect.

        Raises:
            SensorError: It is not there, or has no sound.
        """
        self.close()
        source = Source(self._location, "audio", *self._timeouts)
        self._chunks = self._cut(source)
        self._next: np.ndarray | None = None
        self._given = 0
        self._sequence = -1
        self._held = Held(source, Source.close, self.source)
        self._pace.begin()
        own, wanted = source.stream.codec_context, self._modality
        if (own.sample_rate, own.channels) == (wanted.sample_rate, wanted.channels):
            return None
        return (
            f"{self.source}: {own.sample_rate} Hz x {own.channels} is made into "
            f"{wanted.sample_rate} Hz x {wanted.channels}"
        )

    def read(self, timeout_s: float) -> Sample | None:
        """The next stretch of sound, when its end is due.

        Raises:
            StreamEnded: There is no more.
            SensorError: The file is damaged, the connection is gone or silent, or it was closed.
        """
        held = self._held
        if held is None:
            raise SensorError(f"{self.source} is closed")
        if self._next is None:
            with held.use():
                self._next = self._decode()
            if self._next is None:
                if self._live:
                    raise SensorError(f"{self.source}: the stream was ended by its sender")
                raise StreamEnded(f"{self.source} has been played to its end")
        end_s = (self._given + len(self._next)) / self._modality.sample_rate
        if self.paced and not self._live and not self._pace.reached(end_s, timeout_s):
            return None
        sound, self._next = self._next, None
        self._given += len(sound)
        self._sequence += 1
        return Sample(sound, self._clock.now_ns(), self._sequence, end_s)

    def _decode(self) -> np.ndarray | None:
        try:
            return next(self._chunks, None)
        except SensorError as error:
            if self._live:
                raise
            raise StreamBroken(f"{error}; what comes after that is lost") from error  # not to be played from the start

    def _cut(self, source: Source) -> Iterator[np.ndarray]:
        """Chunks of a file, all but the last equally long; of an address, what has come."""
        size = 1 if self._live else round(CHUNK_S * self._modality.sample_rate)
        rest = np.zeros((0, self._modality.channels), np.float32)
        for sound in self._converted(source):
            rest = np.concatenate([rest, sound]) if len(rest) else sound
            while len(rest) >= size:
                taken = len(rest) if self._live else size
                yield rest[:taken]
                rest = rest[taken:]
        if len(rest):
            yield rest

    def _converted(self, source: Source) -> Iterator[np.ndarray]:
        planes: Any = None
        convert: Resampled | None = None
        for _, frame in source.frames(self.losses, self._clock):
            if frame is None:
                continue
            form = frame.format.name, frame.sample_rate, frame.layout.name
            if planes is None or convert is None or form != planes[0]:  # a stream may change in the middle
                if convert is not None:
                    yield convert(np.zeros((0, 1), np.float32), last=True)
                planes = form, self._av.AudioResampler(format="fltp")  # the sample format only
                convert = Resampled(self._modality, frame.sample_rate, self.losses)
            for part in planes[1].resample(frame):
                yield convert(part.to_ndarray().T)
        if convert is not None:
            yield convert(np.zeros((0, 1), np.float32), last=True)

    def close(self) -> None:
        """Let go of the file or address, as soon as nobody is reading."""
        self._pace.end()
        held, self._held = self._held, None
        if held is not None:
            held.let_go()
