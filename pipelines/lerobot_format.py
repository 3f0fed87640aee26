"""What a LeRobotDataset v3.0 directory says of itself: its files, its features, its rate.

The format is that of `lerobot` 0.4.4 (https://github.com/huggingface/lerobot, `src/lerobot/datasets`).
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sensorimotor.errors import DataError, UsageError
from sensorimotor.pipelines.episodes import Feature
from sensorimotor.pipelines.video import pixel_format

VERSION = "v3.0"
INFO, STATS, TASKS = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
DATA_PATH = f"data/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
CHUNK = 1000
"""Files a directory."""

BOOKKEEPING = {
    name: {"dtype": dtype, "shape": [1], "names": None}
    for name, dtype in {
        "timestamp": "float32",
        "frame_index": "int64",
        "episode_index": "int64",
        "index": "int64",
        "task_index": "int64",
    }.items()
}
"""Columns of every data set that nobody senses or does."""

CAPTURE = "capture_time_s"
"""The column, added by our recorder, of the times that things really happened at."""

AUDIO = "audio."
"""What the name of a stream of sound begins with."""

TASK = "task"
"""The text that says what an episode is about."""

SEEN, CAPTURED = "seen.", "captured_ns."
"""What the names of columns begin with, added by our recordings of runs, that say which value of a feature a step saw
(-1: none) and when that was in hand (ns, on the clock of `capture_time_s`)."""

MAX_STATE = 4096
MAX_VALUES = 2**20
"""Values of one sample that are read: statistics of each are kept in memory."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""What can name a feature; LeRobot makes directories of them."""

_FIELD = re.compile(r"\{(\w+)(?::0?(\d)d)?\}")
_IN_COLUMNS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_CONVERT = "python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 --repo-id=OWNER/NAME"


def seen_column(feature: str) -> str:
    """The column that says which value of a feature each step saw.

    >>> seen_column("observation.images.front"), captured_column("observation.images.front")
    ('seen.front', 'captured_ns.front')
    """
    return SEEN + _short(feature)  # LeRobot takes what has "image" in its name for a picture


def captured_column(feature: str) -> str:
    """The column that says when the value that each step saw was in hand."""
    return CAPTURED + _short(feature)


def _short(feature: str) -> str:
    return feature.removeprefix("observation.").removeprefix("images.")


class Entry(BaseModel):
    """What `meta/info.json` says of one feature."""

    model_config = ConfigDict(extra="allow")

    dtype: str
    shape: tuple[Annotated[int, Field(ge=0)], ...]
    names: Any = None
    units: list[str] | None = None
    info: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """How many values one sample has."""
        return math.prod(self.shape)


class Info(BaseModel):
    """What `meta/info.json` says."""

    model_config = ConfigDict(extra="allow")

    codebase_version: str
    fps: float = Field(gt=0, le=10_000, allow_inf_nan=False)
    features: dict[str, Entry]
    total_episodes: int = Field(ge=0)
    total_frames: int = Field(ge=0)
    total_tasks: int | None = Field(default=None, ge=0)
    chunks_size: int = Field(default=CHUNK, gt=0)
    data_path: str = DATA_PATH
    video_path: str | None = VIDEO_PATH
    robot_type: str | None = None


def load_info(root: Path) -> Info:
    """What the data set in a directory says of itself.

    Raises:
        DataError: There is none, or one of an older or newer format, or its description is damaged.
    """
    path = root / INFO
    if not path.is_file():
        raise DataError(f"{root}: there is no LeRobot data set here; expected {path}")
    try:
        content = json.loads(path.read_bytes())
        version = str(content["codebase_version"])[:40]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"  # repr has all bytes of what is no text
        raise DataError(f"{path} is damaged ({reason}): copy the data set again") from error
    major = version.removeprefix("v").split(".")[0]
    if not major.isdecimal() or int(major) < 3:
        raise DataError(f"{path}: this is format {version}, expected {VERSION}; convert it: {_CONVERT}")
    if int(major) > 3:
        raise DataError(f"{path}: this is format {version}, newer than {VERSION}, the newest one that can be read")
    try:
        return Info.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{path}: {where}: {first['msg']}; copy the data set again") from error


def fill(template: str, **values: Any) -> str:
    """The path that a template of `meta/info.json` stands for, inside the data set.

    Raises:
        DataError: It names something else than what is given, or leads out of the data set.

    >>> fill(VIDEO_PATH, video_key="observation.images.front", chunk_index=0, file_index=12)
    'videos/observation.images.front/chunk-000/file-012.mp4'
    """

    def value(field: re.Match[str]) -> str:
        name, width = field.groups()
        if name not in values:
            raise DataError(f"{INFO}: the path {template!r} names {name!r}; expected {', '.join(values)}")
        return str(values[name]).zfill(int(width or 0))

    path = PurePosixPath(_FIELD.sub(value, template))
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{INFO}: the path {template!r} leads out of the data set")
    return str(path)


def file_of(index: int, chunk: int = CHUNK) -> dict[str, int]:
    """Where the `index`-th file of a kind lies."""
    return {"chunk_index": index // chunk, "file_index": index % chunk}


def entry_of(name: str, feature: Feature, rate_hz: int, crf: int) -> dict[str, Any]:
    """What `meta/info.json` is to say of a feature that is recorded.

    Raises:
        UsageError: LeRobot has no place for a feature like that, or of that name.
    """
    if not NAME.fullmatch(name) or name in BOOKKEEPING or name == CAPTURE:
        raise UsageError(f"{name!r} cannot name a recorded feature; an example: observation.state")
    match feature.kind:
        case "image":
            if (
                len(feature.shape) != 3
                or feature.shape[2] != 3
                or not 0 < min(feature.shape) <= max(feature.shape) <= 16384
            ):
                raise UsageError(f"{name}: expected pictures (height, width, 3), not {feature.shape}")
            height, width, _ = feature.shape
            info = {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": pixel_format(height, width, crf),
                "video.is_depth_map": False,
                "video.fps": rate_hz,
                "video.channels": 3,
                "has_audio": False,
            }
            names = ["height", "width", "channels"]
            return {"dtype": "video", "shape": list(feature.shape), "names": names, "info": info}
        case "vector":
            if "image" in name:
                raise UsageError(f"{name!r}: LeRobot takes a name with 'image' in it for a picture; choose another")
            if len(feature.shape) != 1 or not 1 <= feature.shape[0] <= MAX_STATE:
                raise UsageError(f"{name}: expected vectors (size,) of 1 to {MAX_STATE} values, not {feature.shape}")
            for what, given in (("names", feature.names), ("units", feature.units)):
                if given and len(given) != feature.shape[0]:
                    raise UsageError(f"{name}: {len(given)} {what} for {feature.shape[0]} values")
            entry = {"dtype": "float32", "shape": list(feature.shape), "names": list(feature.names) or None}
            return entry | ({"units": list(feature.units)} if feature.units else {})
        case "choice":
            return {"dtype": "int64", "shape": [1], "names": None}
        case "text":
            return {"dtype": "string", "shape": [1], "names": None}
    raise UsageError(f"{name}: a stream of sound is called {AUDIO}NAME and is one stream an episode")


def feature_of(path: Path, name: str, entry: Entry, rate_hz: float) -> Feature:
    """The feature that `meta/info.json` describes.

    Raises:
        DataError: It is of a kind that cannot be read.
    """
    depth = any((entry.info or {}).get(key) for key in ("is_depth_map", "video.is_depth_map"))
    if entry.dtype in ("video", "image") and len(entry.shape) == 3 and not depth:
        first = str(entry.names[0]) if isinstance(entry.names, list) and entry.names else ""
        # sets that were converted from older ones may have channels first
        planar = first.startswith("channel") or (not first and entry.shape[0] in (1, 3) and entry.shape[2] > 4)
        height, width, channels = (*entry.shape[1:], entry.shape[0]) if planar else entry.shape
        return Feature("image", (height, width, channels), rate_hz=rate_hz)
    if entry.dtype in _IN_COLUMNS and entry.size == 1:
        return Feature("choice", rate_hz=rate_hz)
    if entry.dtype in (*_IN_COLUMNS, "float16", "float32", "float64") and 0 < entry.size <= MAX_VALUES:
        names = _flat(entry.names)
        names = names if len(names) == entry.size else ()
        units = tuple(entry.units or ())
        return Feature("vector", (entry.size,), names, units if len(units) == entry.size else (), rate_hz)
    if entry.dtype == "string" and entry.size == 1:
        return Feature("text", rate_hz=rate_hz)
    what = "depth pictures" if depth else f"dtype {entry.dtype!r} of shape {entry.shape}"
    raise DataError(
        f"{path}: feature {name!r}: expected video, image, string or numbers, found {what}; "
        f"take it out of the data set (lerobot-edit-dataset, remove_feature)"
    )


def _flat(names: Any) -> tuple[str, ...]:
    """Names of values, which LeRobot keeps in lists or in lists by group.

    >>> _flat({"motors": ["pan", "lift"]})
    ('pan', 'lift')
    """
    if isinstance(names, Mapping):
        return tuple(name for group in names.values() for name in _flat(group))
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    return ()


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first difference between what a data set has and what is asked for, in words; None: there is none."""
    for key in [*here, *(key for key in there if key not in here)]:
        if key not in there:
            return f"it has no {key}"
        if key not in here:
            return f"it has {key}, which is not asked for"
        if there[key] != here[key]:
            return f"{key} is {json.dumps(there[key])} there, and {json.dumps(here[key])} is asked for"
    return None
