"""What is in a source of episodes, and what is wrong with it: counts, rates, statistics, gaps, missing and equal ones.

Numbers and texts are all looked at. Of pictures and sounds some are, spread evenly, and the report says how many.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sensorimotor.errors import DataError
from sensorimotor.perception.modality import FULL_SCALE
from sensorimotor.pipelines.data_samples import DEFAULT_SAMPLE_RATE, pictures, stretches
from sensorimotor.pipelines.data_statistics import LATE, Tally
from sensorimotor.pipelines.episodes import Source

LOOKS = 64
"""Pictures or pieces of sound of a feature that are decoded."""
STRETCH_S = 10.0
COMPARED = 256
"""Episodes that are told apart by their pictures and sounds, where numbers and texts do not do it."""
SILENT_DBFS, BLOCK_S = -60.0, 0.02
"""Sound is judged in pieces of `BLOCK_S`; those with a lower level are silent."""
EXAMPLES = 5


def inspect_data(source: Source, progress: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """A JSON-able description of a source.

    What cannot be decoded is listed under `problems`, not raised.

    Args:
        source: What to look at.
        progress: Told how many episodes more have been looked at.
    """
    steps: list[int] = []
    seconds = 0.0
    gaps: list[tuple[float, str, float]] = []
    problems: list[str] = []
    tallies = {name: Tally(feature) for name, feature in source.features.items()}
    alike: dict[bytes, list[int]] = defaultdict(list)  # digest of times, numbers and texts → episodes that have it
    for index in range(len(source)):
        episode = source.episode(index)
        times_s = np.asarray(episode.times_s, float)
        steps.append(len(times_s))
        if source.rate_hz and len(times_s):
            seconds += float(np.ptp(times_s)) + 1 / source.rate_hz
            between_s = np.diff(times_s)
            for at in np.flatnonzero(between_s > LATE / source.rate_hz):
                gaps.append((float(between_s[at]), episode.name, float(times_s[at] - times_s[0])))
        digest = hashlib.sha256((times_s - times_s[:1]).round(6).tobytes())
        for name, tally in tallies.items():
            try:
                digest.update(hashlib.sha256(tally.add(name, episode, times_s)).digest())
            except DataError as error:
                problems.append(str(error))
        alike[digest.digest()].append(index)
        progress(1)
    features = {name: _feature(source, name, tally, problems) for name, tally in tallies.items()}
    identical = _identical(source, list(alike.values()), problems)
    return {
        "fingerprint": source.fingerprint,
        "rate_hz": source.rate_hz,
        "episodes": len(source),
        "steps": sum(steps),
        "steps_per_episode": {"min": min(steps), "mean": sum(steps) / len(steps), "max": max(steps)} if steps else None,
        "seconds": seconds if source.rate_hz else None,
        "features": features,
        "gaps": {
            "count": len(gaps),
            "longest": [
                {"episode": name, "after_s": after_s, "gap_s": gap_s}
                for gap_s, name, after_s in sorted(gaps, key=lambda gap: -gap[0])[:EXAMPLES]
            ],
        },
        "identical_episodes": identical,
        "problems": {"count": len(problems), "first": list(dict.fromkeys(problems))[:EXAMPLES]},
    }


def _feature(source: Source, name: str, tally: Tally, problems: list[str]) -> dict[str, Any]:
    feature = tally.feature
    form: dict[str, Any] = {
        "kind": feature.kind,
        "shape": list(feature.shape),
        "names": list(feature.names),
        "units": list(feature.units),
        "rate_hz": feature.rate_hz,
        "stream": feature.stream,
        "samples": tally.samples,
        "missing": tally.missing,
    }
    match feature.kind:
        case "vector":
            form["statistics"] = tally.statistics()
        case "text" | "choice":
            form["values"] = tally.common()
        case "image":
            form["pictures"] = _pictures(source, name, problems)
        case "audio":
            form["sound"] = _sound(source, name, problems)
    return form


def _pictures(source: Source, name: str, problems: list[str]) -> dict[str, Any]:
    """Of some pictures and their neighbours: equal ones, and brightness from 0 to 1."""
    pairs = equal = 0
    brightness: list[float] = []
    known: Counter[bytes] = Counter()
    for found in pictures(source, name, LOOKS, lambda error: problems.append(str(error)), following=True):
        brightness.append(float(found.image.mean()) / 255)
        known[_digest([found.image])] += 1
        if found.following is not None:
            pairs += 1
            equal += np.array_equal(found.image, found.following)
    return {
        "looked_at": len(brightness),
        "identical": sum(known.values()) - len(known),
        "neighbours": pairs,
        "equal_neighbours": equal,
        "brightness": _spread(brightness),
    }


def _sound(source: Source, name: str, problems: list[str]) -> dict[str, Any]:
    """Of some pieces of sound: levels (dB of full scale), and which parts are clipped and silent."""
    seconds, peak, squares, clipped, silent = 0.0, 0.0, 0.0, 0, 0
    values = blocks = 0
    known: Counter[bytes] = Counter()
    for found in stretches(source, name, LOOKS, STRETCH_S, lambda error: problems.append(str(error))):
        samples = found.samples
        seconds += len(samples) / found.sample_rate
        loudness = np.abs(samples)
        peak = max(peak, float(loudness.max(initial=0.0)))
        squares += float(np.square(samples, dtype=np.float64).sum())
        values += samples.size
        clipped += int(np.count_nonzero(loudness >= FULL_SCALE))
        levels = block_levels_dbfs(samples, max(1, round(BLOCK_S * found.sample_rate)))
        blocks += len(levels)
        silent += int(np.count_nonzero(levels < SILENT_DBFS))
        known[_digest([samples])] += 1
    return {
        "looked_at": sum(known.values()),
        "looked_at_s": seconds,
        "identical": sum(known.values()) - len(known),
        "peak_dbfs": dbfs(peak),
        "rms_dbfs": dbfs((squares / max(1, values)) ** 0.5),
        "clipped": clipped / max(1, values),
        "silent": silent / max(1, blocks),
    }


def dbfs(amplitude: float) -> float | None:
    """An amplitude from 0 to 1 in decibels of full scale; None: nothing at all.

    >>> dbfs(0.5)
    -6.020599913279624
    """
    return float(20 * np.log10(amplitude)) if amplitude > 0 else None


def block_levels_dbfs(samples: np.ndarray, block: int) -> np.ndarray:
    """The RMS of each `block` samples over all channels (dBFS); what is left at the end is one too."""
    if not len(samples):
        return np.zeros(0)
    starts = np.arange(0, len(samples), block)
    squares = np.add.reduceat(np.square(samples, dtype=np.float64).mean(1), starts)
    means = squares / np.diff(np.append(starts, len(samples)))
    return np.asarray(10 * np.log10(np.maximum(means, 1e-20)))


def _identical(source: Source, groups: Sequence[Sequence[int]], problems: list[str]) -> dict[str, Any]:
    """Episodes that repeat others. Those of the smallest groups first: two that are alike are more than chance."""
    media = [name for name, feature in source.features.items() if feature.kind in ("image", "audio")]
    suspects = sorted((group for group in groups if len(group) > 1), key=len)
    same: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    looked = 0
    for number, group in enumerate(suspects):
        for index in group:
            if media and looked == COMPARED:
                break
            looked += 1
            try:
                same[number, _media_digest(source, index, media)].append(index)
            except DataError as error:
                problems.append(str(error))
    copies = [group for group in same.values() if len(group) > 1]
    return {
        "count": sum(len(group) - 1 for group in copies),
        "alike_but_for_media": sum(len(group) for group in suspects) if media else 0,
        "media_looked_at": looked if media else 0,
        "examples": [[source.episode(index).name for index in group[:EXAMPLES]] for group in copies[:EXAMPLES]],
    }


def _media_digest(source: Source, index: int, names: Sequence[str]) -> bytes:
    """Of the first and the last sample of each feature, and the first second of a stream."""
    episode = source.episode(index)
    samples: list[np.ndarray] = []
    for name in names:
        feature = source.features[name]
        if feature.stream:
            rate = round(feature.rate_hz or DEFAULT_SAMPLE_RATE)
            stream = episode.sound(name, rate)
            samples.append(stream.read(0, min(rate, int(stream.ends[-1]))) if len(stream.ends) else np.zeros(0))
            continue
        track = episode.track(name)
        last = len(track.times_s) - 1
        samples.extend(track.read(sorted({0, last}) if last >= 0 else []))
    return _digest(samples)


def _digest(samples: Sequence[np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.shape} {sample.dtype}".encode())
        digest.update(np.ascontiguousarray(sample).tobytes())
    return digest.digest()


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    return {"min": min(values), "mean": sum(values) / len(values), "max": max(values)} if values else None
