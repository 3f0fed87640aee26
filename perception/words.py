"""Texts as sensors: one that stays, lines of standard input, and a file that somebody may change."""

import threading
from pathlib import Path

from sensorimotor.clock import Clock
from sensorimotor.errors import ObservationError, SensorError
from sensorimotor.perception.lines import Lines
from sensorimotor.perception.modality import MAX_TEXT_CHARACTERS, Text
from sensorimotor.perception.pace import Wait
from sensorimotor.perception.sensor import Losses, Sample

POLL_S = 0.1
"""So often (s) a file is looked at."""


class FixedWords:
    """One text, given once.

    Args:
        text: The words.
        modality: The input.
        clock: Stamps it.

    Raises:
        ObservationError: It is too long, or not valid unicode.
    """

    paced, noisy, reopens = True, False, False
    interval_s: float | None = None

    def __init__(self, text: str, modality: Text, *, clock: Clock):
        self._text, self._clock = modality.check("text", text), clock
        self.source = "words"
        self.losses = Losses()
        self._given, self._closed = False, threading.Event()

    def open(self) -> str | None:
        """Have it given again."""
        self._given = False
        self._closed.clear()
        return None

    def read(self, timeout_s: float) -> Sample | None:
        """The text, the first time."""
        if self._given:
            self._closed.wait(timeout_s)
            return None
        self._given = True
        return Sample(self._text, self._clock.now_ns(), 0)

    def close(self) -> None:
        """Wake up a `read` that waits."""
        self._closed.set()


class LinesOfWords:
    """Every line of standard input is a text; empty ones are passed over.

    Args:
        descriptor: Of standard input.
        modality: The input.
        clock: Stamps them.
    """

    paced, noisy, reopens = True, False, False
    interval_s: float | None = None

    def __init__(self, descriptor: int, modality: Text, *, clock: Clock):
        self._modality, self._clock, self._descriptor = modality, clock, descriptor
        self.source = "lines of standard input"
        self.losses = Losses()
        self._lines: Lines | None = None

    def open(self) -> str | None:
        """Begin to read."""
        self._lines = Lines(self._descriptor, 4 * MAX_TEXT_CHARACTERS, self.losses)
        self._sequence = -1
        return None

    def read(self, timeout_s: float) -> Sample | None:
        """The next line.

        Raises:
            StreamEnded: There are no more; the last text stays valid.
        """
        if self._lines is None:
            raise SensorError(f"{self.source}: closed")
        line = self._lines.next(timeout_s)
        if line is None or not line.strip():
            return None
        self._sequence += 1
        try:
            text = self._modality.check("text", line.strip())
        except ObservationError:
            self.losses.count("too long")
            self.losses.tell(f"{self.source}: longer than {MAX_TEXT_CHARACTERS} characters; the text before it stays")
            return None
        return Sample(text, self._clock.now_ns(), self._sequence)

    def close(self) -> None:
        """Have a `read` in another thread come back; standard input itself stays open."""
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()


class FileOfWords:
    """The text in a file, again whenever its content changes.

    A file that is just being written is empty, cut within a character, or still changing: a text counts when it is
    found unchanged at two looks. While it is missing, the last text stays.

    Args:
        path: The file.
        modality: The input.
        clock: Stamps texts.
        wait: How to wait between looks; for tests.
    """

    paced, noisy, reopens = True, False, False
    interval_s: float | None = None

    def __init__(self, path: Path, modality: Text, *, clock: Clock, wait: Wait | None = None):
        self._path, self._modality, self._clock = path, modality, clock
        self.source = f"file {path}"
        self.losses = Losses()
        self._closed = threading.Event()
        self._wait: Wait = wait or self._closed.wait

    def open(self) -> str | None:
        """Look at the file for the first time.

        Raises:
            SensorError: There is none.
        """
        if not self._path.is_file():
            raise SensorError(f"{self.source}: expected a file with a text, there is none")
        self._closed.clear()
        self._seen: bytes | None = None
        self._given: bytes | None = None
        self._sequence = -1
        return None

    def read(self, timeout_s: float) -> Sample | None:
        """The text, if it is another one than before.

        Raises:
            SensorError: The file cannot be read any more, though it is there.
        """
        until_ns = self._clock.now_ns() + round(timeout_s * 1e9)
        while not self._closed.is_set():
            content = self._content()
            if content is not None and content == self._seen != self._given:
                self._given = content
                text = self._text(content)
                if text is not None:
                    self._sequence += 1
                    return Sample(text, self._clock.now_ns(), self._sequence)
            self._seen = content
            left_s = (until_ns - self._clock.now_ns()) / 1e9
            if left_s <= 0:
                return None
            self._wait(min(POLL_S, left_s))
        return None

    def _content(self) -> bytes | None:
        """What is in the file; None: nothing (yet)."""
        try:
            with self._path.open("rb") as file:
                return file.read(4 * MAX_TEXT_CHARACTERS + 2).strip() or None
        except FileNotFoundError:  # it is being replaced
            return None
        except OSError as error:
            raise SensorError(f"{self.source}: cannot be read: {error.strerror}") from error

    def _text(self, content: bytes) -> str | None:
        try:
            return self._modality.check("text", content.decode())
        except UnicodeDecodeError:
            self.losses.count("not unicode")
            self.losses.tell(f"{self.source}: expected text in UTF-8; the text before it stays")
        except ObservationError:
            self.losses.count("too long")
            self.losses.tell(f"{self.source}: longer than {MAX_TEXT_CHARACTERS} characters; the text before it stays")
        return None

    def close(self) -> None:
        """Wake up a `read` that waits."""
        self._closed.set()
