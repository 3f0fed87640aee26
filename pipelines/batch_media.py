"""Videos with their sound, pictures and sound files as the steps that a policy would have lived through.

A video is played as `run --as-fast-as-possible` plays it: by the same sensors, through the same buffers, with decisions
at the same moments. Every picture stands alone, and so does a sound that is no longer than what the policy hears at a
time; a longer sound is played like a video.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sensorimotor.clock import ManualClock
from sensorimotor.errors import DataError, UsageError
from sensorimotor.models.signature import Signature
from sensorimotor.perception.buffers import Sensed
from sensorimotor.perception.fit import Fit
from sensorimotor.perception.modality import Audio, Image
from sensorimotor.perception.sensor import Losses, Sensor, StreamBroken, StreamEnded
from sensorimotor.perception.sound_stream import SoundStream
from sensorimotor.pipelines.batch_binding import Feeding
from sensorimotor.pipelines.batch_film import Film, played
from sensorimotor.pipelines.batch_input import InputSpec, Step, Unreadable, of_episode
from sensorimotor.pipelines.media import decode_image
from sensorimotor.pipelines.media_files import MediaFiles, content
from sensorimotor.pipelines.media_inside import inside
from sensorimotor.pipelines.observed import fitted
from sensorimotor.pipelines.reel import Reel
from sensorimotor.redaction import redacted

STREAMS = {"image": "pictures", "audio": "sound"}
"""Kind of an input → what of a media file can feed it."""
_HAS = {"pictures": {"pictures"}, "sound": {"sound"}, "film": {"pictures", "sound"}}


def open_media(spec: InputSpec, signature: Signature, ids: Sequence[str] | None = None) -> "MediaInput":
    """The media files of a place.

    Raises:
        DataError: There are none that feed the policy, or a critical input is none that media files can feed.
        UsageError: It is not said which input pictures or sound are for.
    """
    fed = _feeding(spec, signature)
    return MediaInput(spec, signature, MediaFiles(spec.where, ids), fed)


def _feeding(spec: InputSpec, signature: Signature) -> Feeding:
    by: dict[str, str] = {}
    absent = []
    for name, modality in signature.inputs.items():
        stream, asked = STREAMS.get(modality.kind), spec.bind.get(name)
        if name in spec.constants:
            continue
        if asked is not None and asked != stream:
            expected = f"{stream!r}" if stream else "a table or a recording, which media files are not"
            raise UsageError(f"input {name!r} is {modality}: expected {expected} to feed it, not {asked!r}")
        alike = [other for other, one in signature.inputs.items() if one.kind == modality.kind]
        if stream is not None and (asked or len(alike) == 1):
            by[name] = stream
        elif stream is not None and not any(other in spec.bind for other in alike):
            raise UsageError(
                f"{stream} could be for {' or '.join(alike)}: say for which, for example --bind {alike[0]}={stream}"
            )
        elif modality.critical:
            raise DataError(
                f"{redacted(spec.where)}: the policy does nothing without {name} ({modality}), which media files do "
                "not have: name a table or a recording"
            )
        else:
            absent.append(name)
    if not by:
        raise DataError(f"{redacted(spec.where)}: the policy neither sees nor hears: name a table or a recording")
    return Feeding(by, tuple(absent))


class MediaInput:
    """The media files of a place, each an episode; a `BatchInput`.

    Args:
        spec: What it was opened with.
        signature: Of the policy.
        files: Where they are.
        fed: What feeds the inputs.

    Raises:
        DataError: No file has what feeds any input.
    """

    def __init__(self, spec: InputSpec, signature: Signature, files: MediaFiles, fed: Feeding):
        useful = [name for name in files.names if _HAS[str(content(name))] & set(fed.by.values())]
        if not useful:
            raise DataError(
                f"{redacted(spec.where)}: expected files with {' or '.join(set(fed.by.values()))}, there are none"
            )
        self.spec, self.fingerprint = spec, files.fingerprint
        self.ids: Sequence[str] = useful
        self.fed: Mapping[str, str] = fed.by
        self.absent, self.losses = fed.absent, Losses()
        self.alone = all(content(name) == "pictures" for name in useful)
        self._files = files
        self._inputs = {name: signature.inputs[name] for name in fed.by}
        self._rate_hz = spec.rate_hz or signature.rate_hz
        self._fits = {name: Fit(one, spec.fit) for name, one in self._inputs.items() if isinstance(one, Image)}
        self._frames = {name: one.frames for name, one in self._inputs.items() if isinstance(one, Image)}
        for name in fed.absent:
            self.losses.tell(f"{redacted(spec.where)} has nothing for {name}, which is absent in every step")
        if files.misnamed:
            self.losses.tell(
                f"{redacted(spec.where)}: {files.misnamed} files are left out, whose names are not UTF-8: rename them"
            )
        if others := files.others + len(files.names) - len(useful):
            self.losses.tell(f"{redacted(spec.where)}: {others} files are left out, which have nothing for the policy")

    def __len__(self) -> int:
        """How many files there are."""
        return len(self.ids)

    def samples(self, indices: Sequence[int]) -> list[Step | Unreadable]:
        """Pictures; see `BatchInput`.

        Raises:
            ValueError: There is more than pictures.
        """
        if not self.alone:
            raise ValueError("not all of these files are pictures, which stand alone")
        found: list[Step | Unreadable] = []
        for index in indices:
            try:
                found.append(self._picture(self.ids[index]))
            except Unreadable as error:
                found.append(error)
        return found

    def lived(self, index: int) -> Iterator[Step]:
        """The steps of one file, in order; see `BatchInput`.

        Raises:
            Unreadable: It cannot be read, or not to its end.
        """
        name = self.ids[index]
        if content(name) == "pictures":
            yield self._picture(name)
            return
        with ExitStack() as stack:
            with of_episode(name, "open"):
                path = stack.enter_context(self._files.local(name))
                sensors = self._sensors(inside(path, self._wanted(name)), path)
            with of_episode(name, "decode"):
                if content(name) == "sound" and (step := self._short(sensors)):
                    yield step
                    return
                reels = self._reels(sensors, stack)
                for step in played(reels, self._inputs, self._rate_hz, self.losses):
                    yield step._replace(seen=self._with_constants(step.seen))

    def _with_constants(self, seen: Sensed) -> Sensed:
        told = self.spec.constants
        return Sensed(
            {**told, **seen.observation},
            dict.fromkeys(told, 0.0) | seen.ages_s,
            dict.fromkeys(told, 0) | seen.sequences,
        )

    def _picture(self, name: str) -> Step:
        with of_episode(name, "open"):
            data = self._files.read(name)
            for to in self.fed.keys() - self._fits.keys():
                self._lacks(to)
        with of_episode(name, "decode"):
            if not data:
                raise DataError("it is empty: replace it")
            picture = decode_image(data, name)
            values = {to: fit(picture) for to, fit in self._fits.items()}
            for to, frame in values.items():
                count = self._frames[to]
                values[to] = frame if count == 1 else np.repeat(frame[None], count, 0)  # as the first frame of a film
            return self._step(0.0, values)

    def _wanted(self, name: str) -> set[str]:
        """What of a file feeds the policy."""
        return _HAS[str(content(name))] & set(self.fed.values())

    def _sensors(self, there: Set[str], path: Path) -> dict[str, Sensor]:
        """A sensor for each input that the file can feed; the others are counted as absent."""
        sensors: dict[str, Sensor] = {}
        for to, modality in self._inputs.items():
            if self.fed[to] in there and isinstance(modality, Image):
                sensors[to] = Film(path, modality, clock=ManualClock(), fit=self.spec.fit, real_time=False)
            elif self.fed[to] in there and isinstance(modality, Audio):
                sensors[to] = SoundStream(str(path), modality, clock=ManualClock(), real_time=False)
            else:
                self._lacks(to)
        if not sensors:
            raise DataError(f"it has no {' and no '.join(sorted(set(self.fed.values())))}: replace it")
        return sensors

    def _lacks(self, to: str) -> None:
        """The file does not have what feeds an input."""
        if self._inputs[to].critical:
            raise DataError(f"it has no {self.fed[to]}, and the policy does nothing without {to}")
        self.losses.count(f"{to}: no {self.fed[to]}")

    def _short(self, sensors: Mapping[str, Sensor]) -> Step | None:
        """The one step of a sound that is heard at once, all of it; None where it is longer than that."""
        values: dict[str, Any] = {}
        time_s = 0.0
        for to, sensor in sensors.items():
            modality = self._inputs[to]
            assert isinstance(modality, Audio)
            sound = _whole(sensor, modality)
            if sound is None:
                return None
            self._count(to, sensor)
            values[to] = modality.check(to, fitted(sound, modality))
            time_s = max(time_s, len(sound) / modality.sample_rate)
        return self._step(time_s, values)

    def _reels(self, sensors: Mapping[str, Sensor], stack: ExitStack) -> dict[str, Reel]:
        """Each sensor from its beginning; those that turn out to have nothing are counted as absent."""
        reels: dict[str, Reel] = {}
        for to, sensor in sensors.items():
            stack.callback(sensor.close)
            sensor.losses = Losses()  # what was tried before is played again
            sensor.open()
            stack.callback(self._count, to, sensor)
            reel = Reel(sensor)
            if reel.broken:
                raise reel.broken
            if reel.next_ns is None and sensor.losses.totals():
                raise DataError(f"none of its {self.fed[to]} can be decoded: replace it")
            if reel.next_ns is None:
                self._lacks(to)
            else:
                reels[to] = reel
        if not reels:
            raise DataError("there is nothing in it: replace it")
        return reels

    def _count(self, to: str, sensor: Sensor) -> None:
        for cause, number in sensor.losses.totals().items():
            self.losses.count(f"{to}: {cause}", number)

    def _step(self, time_s: float, values: dict[str, Any]) -> Step:
        """A step that stands alone: all that it sees is new."""
        return Step(time_s, self._with_constants(Sensed(values, dict.fromkeys(values, 0.0), dict.fromkeys(values, 0))))


def _whole(sensor: Sensor, modality: Audio) -> np.ndarray | None:
    """All of a sound, float32 `(samples, channels)`; None where the policy does not hear so much at a time."""
    pieces, length = [np.zeros((0, modality.channels), np.float32)], 0
    sensor.open()
    try:
        while length <= modality.samples:
            if (sample := sensor.read(0.0)) is not None:
                pieces.append(sample.value)
                length += len(sample.value)
        return None
    except StreamBroken:
        raise
    except StreamEnded:
        if not length:
            raise DataError("there is no sound in it: replace it") from None
        return np.concatenate(pieces)
    finally:
        sensor.close()
