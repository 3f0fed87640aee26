"""What a video or sound file has in it, and whether all of it is there, before anything is decoded."""

import mmap
from collections.abc import Set
from pathlib import Path
from typing import Any

from sensorimotor.errors import DataError
from sensorimotor.libraries import library
from sensorimotor.pipelines.cut_short import require_whole_film, require_whole_sound
from sensorimotor.pipelines.media import require_file
from sensorimotor.pipelines.picture_size import MAX_PIXELS


def inside(path: Path, wanted: Set[str]) -> set[str]:
    """Which of what is wanted a file has.

    Args:
        path: The file.
        wanted: `pictures`, `sound` or both; what else is in it may be anything.

    Raises:
        DataError: It is no regular file, empty, cut short, in a format that cannot be decoded, or its frames are too
            large.
    """
    av = library("av", "av", "data", "reading compressed sound and video")
    require_file(path)
    if not path.stat().st_size:
        raise DataError("it is empty: replace it")
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            # A file must not be able to name others, or addresses, that are opened in its stead.
            av.open(str(path), options={"protocol_whitelist": "file"}) as container,
        ):
            streams = {"pictures": container.streams.video, "sound": container.streams.audio}
            there = {what for what in wanted if streams[what]}
            for what in there:
                if streams[what][0].codec_context is None:
                    raise DataError(f"its {what} are in a format that FFmpeg cannot decode: convert it")
            if "pictures" in there:
                _require_modest(streams["pictures"][0])
            require_whole_sound(data, path.name)
            require_whole_film(container, data, path.name)
            return there
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"it cannot be read as video or sound ({error}): replace it") from error


def _require_modest(stream: Any) -> None:
    if stream.width * stream.height > MAX_PIXELS:
        raise DataError(
            f"its frames are {stream.width} x {stream.height} pixels, more than {MAX_PIXELS}: make it smaller"
        )
