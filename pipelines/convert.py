"""Turning data into a recording: what comes out is a LeRobotDataset v3 with its sound beside it."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from sensorimotor.errors import DataError, UsageError
from sensorimotor.pipelines.episodes import Episode, Feature, Source
from sensorimotor.pipelines.interrupts import interruptible
from sensorimotor.pipelines.lerobot_format import AUDIO, TASK
from sensorimotor.pipelines.observed import SIMULTANEOUS_S
from sensorimotor.pipelines.recorder import Recorder

STANDING_ALONE_HZ = 1
"""Steps a second of data whose samples stand alone: each is an episode of one step."""


class _Origin(BaseModel):
    """What a recording remembers of data that were converted into it, under their fingerprint.

    Attributes:
        place: The SHA-256 of where they lie; None: nowhere.
        episodes: How many of their episodes are in the recording.
    """

    place: str | None
    episodes: int = Field(ge=0)


_ORIGINS = TypeAdapter(dict[str, _Origin])


def convert(source: Source, out: Path, progress: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """Write the episodes of a source as a recording.

    A step has what was newest when it was decided. Single sounds become a stream that begins with their step. A text
    named `task` or `instruction` says what its episode is about; without one, its name does. Of several in an
    episode the first one does. Episodes of the same
    source that are there already, of a conversion that was cut off, are not written again.

    Args:
        source: What to convert.
        out: A new directory, or one of the same recording, which is continued.
        progress: Told how many episodes have been written since the last call.

    Returns:
        `path`, `converted`, how many were there `already`, `episodes` in all, `features` (old name → new one) and
        `left_out`, in words.

    Raises:
        DataError: The data cannot be read, a picture is missing, two features would have the same name, or the data
            have changed since some of their episodes were converted to the same directory.
        OutputPathError: The directory cannot be written to.
        UsageError: The source is the output.
    """
    path: Path | None = getattr(source, "path", None)
    if path is not None and path.resolve() == out.expanduser().resolve():
        raise UsageError(f"{out} is both the source and the output: convert it to another directory")
    place = None if path is None else hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    names = {name: _new_name(name, feature) for name, feature in source.features.items()}
    told = next((name for name in (TASK, "instruction") if name in source.features), None)
    kept = {name: new for name, new in names.items() if new is not None and name != told}
    _require_different(kept)
    features = {new: _stored(source.features[name]) for name, new in kept.items()}
    rate_hz = float(round(source.rate_hz or STANDING_ALONE_HZ)) or 1.0
    with interruptible() as check, Recorder(out, features, rate_hz) as recorder:
        already = min(_already(source, place, recorder, out), len(source))
        progress(already)
        changing = 0
        for index in range(already, len(source)):
            episode = source.episode(index)
            _copy(source, episode, kept, recorder, check)
            texts = _texts(episode, told)
            changing += len(texts) > 1
            task = texts[0] if texts else episode.name
            recorder.commit(task, {source.fingerprint: _Origin(place=place, episodes=index + 1).model_dump()})
            progress(1)
        return {
            "path": str(out),
            "converted": len(source) - already,
            "already": already,
            "episodes": recorder.episodes,
            "features": kept,
            "left_out": [f"{name}: clips of several pictures" for name, new in names.items() if new is None]
            + [f"{told}: all but the first text of an episode, in {changing} episodes"] * (changing > 0),
        }


def _texts(episode: Episode, told: str | None) -> list[str]:
    """What is said in an episode of what it is about, without what is said again."""
    texts = episode.track(told) if told else None
    return [] if texts is None else list(dict.fromkeys(map(str, texts.read(range(len(texts.times_s))))))


def _already(source: Source, place: str | None, recorder: Recorder, out: Path) -> int:
    """How many episodes of a source are in a recording."""
    try:
        origins = _ORIGINS.validate_python(recorder.origins)
    except ValidationError as error:
        raise DataError(f"{out} does not say what was converted to it: convert to another directory") from error
    if source.fingerprint in origins:
        return origins[source.fingerprint].episodes
    for origin in origins.values():
        if place is not None and origin.place == place:
            raise DataError(
                f"the source has changed since {origin.episodes} of its episodes were converted to {out}: convert it "
                "to another directory"
            )
    return 0


def _new_name(name: str, feature: Feature) -> str | None:
    """What LeRobot would call a feature; None: it has no place for such."""
    if feature.kind == "image":
        if len(feature.shape) != 3:
            return None
        return name if name.startswith("observation.") else f"observation.images.{name}"
    if feature.kind == "audio":
        return name if name.startswith(AUDIO) else f"{AUDIO}{name}"
    return name if name.startswith(("observation.", "action")) or name == TASK else f"observation.{name}"


def _require_different(names: Mapping[str, str]) -> None:
    first: dict[str, str] = {}
    for name, new in names.items():
        if new in first:
            raise DataError(f"{first[new]!r} and {name!r} would both be called {new!r} in the recording: rename one")
        first[new] = name


def _stored(feature: Feature) -> Feature:
    """A feature as it is recorded: all sound is a stream."""
    if feature.kind != "audio":
        return feature
    if not feature.rate_hz:
        raise DataError("a sound whose sample rate is not known cannot be recorded")
    return Feature("audio", feature.shape, rate_hz=feature.rate_hz, stream=True)


def _copy(
    source: Source, episode: Episode, kept: Mapping[str, str], recorder: Recorder, check: Callable[[], None]
) -> None:
    """Record one episode, up to its end."""
    sounds = [name for name in kept if source.features[name].kind == "audio"]
    tracks = {name: episode.track(name) for name in kept if name not in sounds}
    newest = {
        name: np.searchsorted(track.times_s, episode.times_s + SIMULTANEOUS_S, side="right") - 1
        for name, track in tracks.items()
    }
    pending = [(name, *chunk) for name in sounds for chunk in _chunks(source.features[name], episode, name)]
    pending.sort(key=lambda one: one[1])
    for step, time_s in enumerate(episode.times_s):
        check()
        while pending and pending[0][1] <= time_s + SIMULTANEOUS_S:
            name, at_s, sound = pending.pop(0)
            recorder.add_sound(kept[name], sound, at_s)
        values: dict[str, Any] = {}
        for name, track in tracks.items():
            at = int(newest[name][step])
            if at < 0 and source.features[name].kind != "vector":
                raise DataError(f"{episode.name}: step {step} has no {name}, which a recording needs at every step")
            values[kept[name]] = track.read([at])[0] if at >= 0 else None
        recorder.add(values, float(time_s))
    for name, at_s, sound in pending:
        recorder.add_sound(kept[name], sound, at_s)


def _chunks(feature: Feature, episode: Episode, name: str) -> list[tuple[float, np.ndarray]]:
    """The sound of an episode, in pieces, and when each was in hand."""
    if not feature.stream:
        track = episode.track(name)
        return list(zip(map(float, track.times_s), track.read(range(len(track.times_s))), strict=True))
    sound = episode.sound(name, int(feature.rate_hz or 0))
    starts = [0, *(int(end) for end in sound.ends[:-1])]
    return [
        (float(time_s), sound.read(start, int(end)))
        for time_s, start, end in zip(sound.times_s, starts, sound.ends, strict=True)
    ]
