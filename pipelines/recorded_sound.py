"""Sound beside a LeRobot data set: lossless, with the times at which it really came.

LeRobot has no place for sound yet, so it lies in a folder of its own, which stock LeRobot does not look at:

    audio/info.json                             the streams: sample rate and channels of each
    audio/NAME/chunk-000/file-000.flac          one file an episode
    audio/NAME/chunk-000/file-000.parquet       its chunks: first sample, samples, when they were in hand

FLAC keeps integers: sound that came from a converter of 16 or 24 bits is kept bit by bit; any other is rounded to 24
bits, which changes a sample by at most 2^-24, 144 dB below full scale.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from sensorimotor.errors import DataError, OutputPathError, UsageError
from sensorimotor.libraries import library
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.lerobot_format import AUDIO, NAME, fill

INFO = "audio/info.json"
FLAC_PATH = "audio/{stream}/chunk-{chunk_index:03d}/file-{file_index:03d}.flac"
INDEX_PATH = "audio/{stream}/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_FULL = 2**23
"""One at full scale, in steps of 24 bits."""


class _Stream(BaseModel):
    sample_rate: int = Field(ge=4_000, le=192_000)
    channels: int = Field(ge=1, le=8)  # as many as FLAC holds


_STREAMS = TypeAdapter(dict[str, _Stream])


def _soundfile() -> Any:
    return library("soundfile", "soundfile", "data", "reading and writing FLAC")


def describe(features: Mapping[str, Feature]) -> str:
    """The content of `audio/info.json` for these streams.

    Raises:
        UsageError: A name, a sample rate or a number of channels that cannot be recorded.
    """
    streams = {}
    for name, feature in features.items():
        if not NAME.fullmatch(name) or name == AUDIO:
            raise UsageError(f"{name!r} cannot name a stream of sound; an example: {AUDIO}mic")
        try:
            channels = feature.shape[0] if feature.shape else None
            streams[name] = _Stream.model_validate({"sample_rate": feature.rate_hz, "channels": channels})
        except ValidationError as error:
            raise UsageError(
                f"{name}: sound is recorded at 4000 to 192000 Hz and of 1 to 8 channels, "
                f"not at {feature.rate_hz} Hz and of {channels}"
            ) from error
    return json.dumps({"version": 1, "streams": {name: one.model_dump() for name, one in streams.items()}}, indent=2)


def load_streams(root: Path) -> dict[str, Feature]:
    """The streams of sound of the data set in a directory; often none.

    Raises:
        DataError: Their description is damaged or newer.
    """
    path = root / INFO
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != 1:
            raise DataError(f"{path}: this is version {content['version']}, expected 1; it needs a newer sensorimotor")
        streams = _STREAMS.validate_python(content["streams"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise DataError(f"{path} is damaged ({error}): copy the data set again") from error
    return {
        name: Feature("audio", (stream.channels,), rate_hz=stream.sample_rate, stream=True)
        for name, stream in streams.items()
    }


def as_recorded(sound: np.ndarray) -> np.ndarray:
    """Sound as it will be read again, float32: what a policy hears so is exactly what a recording keeps.

    >>> as_recorded(np.array([0.1, 1.0, -1.0], np.float32)).tolist()
    [0.10000002384185791, 0.9999998807907104, -1.0]
    """
    return (_steps(sound) / np.float32(_FULL)).astype(np.float32)


def _steps(sound: np.ndarray) -> np.ndarray:
    """In steps of 24 bits, int32."""
    return np.clip(np.rint(sound.astype(np.float64) * _FULL), -_FULL, _FULL - 1).astype(np.int32)


class SoundWriter:
    """Writes one stream of one episode; there is no file before there is sound, for FLAC cannot be empty.

    Args:
        flac: The file for the sound.
        feature: Its sample rate and channels.
    """

    def __init__(self, flac: Path, feature: Feature):
        self._flac, self._feature = flac, feature
        self._samples: list[int] = []
        self._times_s: list[float] = []
        self._file: Any = None

    @property
    def newest_s(self) -> float:
        """When the last chunk was in hand (s)."""
        return self._times_s[-1] if self._times_s else -np.inf

    def write(self, chunk: np.ndarray, time_s: float) -> None:
        """Append samples, float32 `(n, channels)` in [-1, 1], that were in hand at a moment.

        Raises:
            OutputPathError: The disk is full, or the file cannot be written for another reason.
        """
        # libsndfile scales floats by 2^23 - 1 when it writes and by 2^-23 when it reads: so scale them here
        steps = _steps(chunk)
        with self._explained():
            if self._file is None:
                rate, channels = int(self._feature.rate_hz or 0), self._feature.shape[0]
                self._file = _soundfile().SoundFile(self._flac, "w", rate, channels, "PCM_24", format="FLAC")
            self._file.write(steps << 8)
        self._samples.append(len(chunk))
        self._times_s.append(time_s)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputPathError: The disk is full, or the file cannot be written for another reason.
        """
        if self._file is not None:
            with self._explained():
                self._file.close()
                # libsndfile says nothing where a file ends early: what is read at its end says it
                _soundfile().read(self._flac, start=sum(self._samples) - 1, dtype="int32")

    def abandon(self) -> None:
        """Let go of the file, which is of no use then."""
        if self._file is not None:
            with suppress(_soundfile().SoundFileError, OSError):
                self._file.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        soundfile = _soundfile()
        try:
            yield
        except (soundfile.SoundFileError, OSError, AssertionError) as error:  # it asserts that all has been written
            reason = getattr(error, "error_string", "") or getattr(error, "strerror", "") or "is the disk full?"
            raise OutputPathError(f"cannot write {self._flac}: {reason}") from error

    def index(self, episode: int) -> dict[str, np.ndarray]:
        """The columns of the table of its chunks."""
        samples = np.array(self._samples, np.int64)
        return {
            "episode_index": np.full(len(samples), episode, np.int64),
            "chunk": np.arange(len(samples)),
            "first_sample": samples.cumsum() - samples,
            "samples": samples,
            "capture_time_s": np.array(self._times_s, np.float64),
        }


class RecordedSound:
    """One stream of one episode, at the rate it was recorded with; a `SoundTrack`.

    Raises:
        DataError: A file of it is missing or damaged, or does not belong to this episode.
    """

    def __init__(self, root: Path, name: str, feature: Feature, place: Mapping[str, int], episode: int):
        pq = library("pyarrow.parquet", "pyarrow", "data", "reading recordings")
        pa = library("pyarrow", "pyarrow", "data", "reading recordings")
        stream = name.removeprefix(AUDIO)
        self.flac = root / fill(FLAC_PATH, stream=stream, **place)
        index = root / fill(INDEX_PATH, stream=stream, **place)
        self.sample_rate, self.channels = int(feature.rate_hz or 0), feature.shape[0]
        if not index.is_file():
            raise DataError(f"{index}: the sound of episode {episode} is missing; copy it there")
        try:
            table = pq.read_table(index)
            self.times_s = table["capture_time_s"].to_numpy().astype(np.float64)
            self.ends = table["samples"].to_numpy().astype(np.int64).cumsum()
            episodes = set(table["episode_index"].to_pylist())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DataError(f"{index} is damaged ({error}); copy the recording again") from error
        if self.times_s.size:
            self._check(min(episodes - {episode}, default=episode), episode)

    def _check(self, found: int, episode: int) -> None:
        if not self.flac.is_file():
            raise DataError(f"{self.flac}: the sound of episode {episode} is missing; copy it there")
        try:
            there = _soundfile().info(self.flac)
        except (_soundfile().SoundFileError, OSError) as error:
            raise DataError(f"{self.flac} is damaged ({error}); copy the recording again") from error
        if found != episode or there.frames != self.ends[-1]:
            raise DataError(
                f"{self.flac}: expected {self.ends[-1]} samples of episode {episode}, found {there.frames} and an "
                f"index of episode {found}; copy the sound and its index again, together"
            )
        if (there.samplerate, there.channels) != (self.sample_rate, self.channels):
            raise DataError(
                f"{self.flac}: expected {self.sample_rate} Hz x {self.channels}, as {INFO} says, found "
                f"{there.samplerate} Hz x {there.channels}; correct one of them"
            )

    def read(self, start: int, stop: int) -> np.ndarray:
        """The samples from `start` to `stop`, float32 `(stop - start, channels)`.

        Raises:
            DataError: The file is damaged.
        """
        if not 0 <= start <= stop <= (self.ends[-1] if len(self.ends) else 0):
            raise IndexError(f"samples {start} to {stop} of {self.flac}")
        if start == stop:
            return np.zeros((0, self.channels), np.float32)
        try:
            steps, _ = _soundfile().read(self.flac, stop - start, start, dtype="int32", always_2d=True)
        except (_soundfile().SoundFileError, OSError) as error:
            raise DataError(f"{self.flac} is damaged ({error}); copy the recording again") from error
        if len(steps) != stop - start:
            raise DataError(f"{self.flac} ends after {start + len(steps)} samples; copy the recording again")
        return ((steps >> 8) / np.float32(_FULL)).astype(np.float32)


class ResampledSound:
    """A recorded stream at another rate; a `SoundTrack`.

    It is resampled once, as a whole: any stretch of it is a slice of the same sound. A resampler that runs live would
    give the same samples later, by half the length of its filter.
    """

    def __init__(self, sound: RecordedSound, sample_rate: int):
        soxr = library("soxr", "soxr", "data", "resampling sound")
        total = int(sound.ends[-1]) if len(sound.ends) else 0
        self._samples = soxr.resample(sound.read(0, total), sound.sample_rate, sample_rate, quality="HQ")
        self.times_s = sound.times_s
        self.ends = np.minimum(sound.ends * sample_rate // sound.sample_rate, len(self._samples))

    def read(self, start: int, stop: int) -> np.ndarray:
        """The samples from `start` to `stop`, float32 `(stop - start, channels)`."""
        if not 0 <= start <= stop <= (self.ends[-1] if len(self.ends) else 0):
            raise IndexError(f"samples {start} to {stop} of a sound of {len(self._samples)}")
        return self._samples[start:stop].copy()
