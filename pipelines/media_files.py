"""Media files of a directory, a pattern or an address of `fsspec`: what there is, as bytes or as files at hand."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sensorimotor.errors import DataError
from sensorimotor.files import expanded
from sensorimotor.libraries import library
from sensorimotor.perception.extensions import CLIPS, IMAGES, SOUNDS
from sensorimotor.perception.image_directory import natural
from sensorimotor.pipelines.media import MAX_FILE_BYTES, bounded, extension, is_url, reached, read_bytes
from sensorimotor.redaction import redacted

MAX_COPIED_BYTES = 16 * 2**30
"""A file of another machine is copied to this one before it is played, unless it is larger than this, or never ends."""
_BLOCK_BYTES = 4 * 2**20

Content = Literal["pictures", "sound", "film"]
"""What a file has: one picture; sound; or pictures that may have sound."""


def content(name: str) -> Content | None:
    """What a file has in it, by its ending; None: no media.

    >>> content("door.MP4"), content("notes.txt")
    ('film', None)
    """
    ending = extension(name)
    if ending in IMAGES:
        return "pictures"
    if ending in SOUNDS:
        return "sound"
    return "film" if ending in CLIPS else None


class MediaFiles:
    """The media files under a place, with those in folders below it; files with a leading dot are not looked at.

    Args:
        where: A file, a directory, or a pattern such as `clips/**/*.mp4`; a path, or a URL of `fsspec`.
        names: The files, where they are known already; None: they are listed.

    Attributes:
        names: Paths of the files from the directory, or from the part of the pattern that has none; in the order of
            people, who count 9 before 10.
        others: How many files there are beside them.
        misnamed: How many media files have names that are not in UTF-8, which no table can hold.
        fingerprint: Of names, sizes and times of change of the media files; empty where nothing was listed.

    Raises:
        DataError: There is no such place, or it cannot be reached.
        MissingExtraError: `fsspec` is not installed.
    """

    def __init__(self, where: str, names: Sequence[str] | None = None):
        self._where, self._shown = where, redacted(where)
        fsspec = library("fsspec", "fsspec", "data", f"listing {self._shown}")
        with reached(where):
            place = where if is_url(where) else str(expanded(where).absolute())
            self._fs, self._path = fsspec.core.url_to_fs(place)
            self._local = isinstance(self._fs, fsspec.implementations.local.LocalFileSystem)
            self._base, pattern = self._split()
            if names is not None:
                self.names, self.others, self.misnamed, self.fingerprint = names, 0, 0, ""
                return
            found = self._listed(pattern)
        media = [name for name in found if content(name)]
        named = {name: found[name] for name in media if _in_utf8(name)}
        self.names = sorted(named, key=natural)
        self.others, self.misnamed = len(found) - len(media), len(media) - len(named)
        self.fingerprint = _fingerprint(named)

    def read(self, name: str) -> bytes:
        """The bytes of a file that is not too large to be in memory.

        Raises:
            DataError: It cannot be read, or is larger.
        """
        path = self._full(name)
        if self._local:
            return read_bytes(path, Path())
        with reached(self._where), self._fs.open(path, "rb") as file:
            return bounded(name, file.read(MAX_FILE_BYTES + 1))

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A file on this machine, for as long as the context lasts; one of another machine is copied for it.

        Raises:
            DataError: It cannot be had.
        """
        if self._local:
            yield Path(self._full(name))
            return
        with tempfile.TemporaryDirectory(prefix="sensorimotor-") as folder:
            copy = Path(folder) / PurePosixPath(name).name
            with reached(self._where):
                self._copy(name, copy)
            yield copy

    def _copy(self, name: str, to: Path) -> None:
        copied = 0
        with self._fs.open(self._full(name), "rb") as source, to.open("wb") as target:
            while block := source.read(_BLOCK_BYTES):
                copied += len(block)
                if copied > MAX_COPIED_BYTES:
                    limit = f"{MAX_COPIED_BYTES / 2**30:g} GiB"
                    raise DataError(f"{name} is larger than {limit}: cut it into shorter pieces")
                target.write(block)

    def _full(self, name: str) -> str:
        return f"{self._base.rstrip('/')}/{name}"

    def _split(self) -> tuple[str, str | None]:
        """The directory that names start from, and the pattern (None: all that is in it)."""
        path = self._path
        if has_magic(path) and not self._fs.exists(path):
            fixed = []
            for part in path.split("/"):
                if has_magic(part):
                    break
                fixed.append(part)
            return "/".join(fixed), path
        if content(path) and not self._fs.isdir(path):
            return path.rpartition("/")[0], path
        return path, None

    def _listed(self, pattern: str | None) -> dict[str, Mapping[str, Any]]:
        """Files by name, with what the file system says of them."""
        if pattern is None:
            if not self._fs.isdir(self._path):
                raise DataError(
                    f"{self._shown}: expected a table, a recording, or pictures, sound or videos, and there is no such "
                    "place"
                )
            found = self._fs.find(self._path, detail=True)
        elif has_magic(pattern) and not self._fs.exists(pattern):
            found = self._fs.glob(pattern, detail=True)
        else:
            if not self._fs.exists(pattern):
                raise DataError(f"{self._shown}: there is no such file")
            found = {pattern: self._fs.info(pattern)}
        start = len(self._base.rstrip("/")) + 1
        names = {path[start:]: about for path, about in found.items() if about.get("type") != "directory"}
        return {name: about for name, about in names.items() if not any(p.startswith(".") for p in name.split("/"))}


def _in_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fingerprint(found: Mapping[str, Mapping[str, Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(found):
        about = found[name]
        changed = next((about[key] for key in ("mtime", "LastModified", "ETag", "etag", "created") if key in about), "")
        digest.update(f"{name} {about.get('size')} {changed}\n".encode())
    return digest.hexdigest()
