"""Files and addresses opened with PyAV: with time-outs, little delay, and errors that name no password."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from sensorimotor.clock import Clock
from sensorimotor.errors import SensorError
from sensorimotor.libraries import library
from sensorimotor.perception.sensor import Losses
from sensorimotor.redaction import redacted, without_secrets

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 2.0
"""A connection that is silent for this long (s) is opened again."""

MAX_PIXELS = 2**26
"""Twice those of an 8K camera: a frame of a few bytes can say that it is far larger, and would fill the memory."""

_NETWORK = "http,https,tcp,tls,crypto,httpproxy,udp,rtp,srtp,rtsp,rtsps,rtmp,rtmps"
"""What an address may lead to: never to a file of this machine."""

_LOW_DELAY = {
    "probesize": "500000",  # bytes, and microseconds below: as much as it takes to find the size of an H.264 stream
    "analyzeduration": "500000",
    "protocol_whitelist": _NETWORK,
}

Kind = Literal["video", "audio"]


def is_url(what: str) -> bool:
    """Whether it is an address on a network, and no file."""
    return "://" in what and not what.startswith("file:")


class Source:
    """An opened file or address and the one stream of it that is read.

    Args:
        location: A path or an address.
        kind: Which stream.
        open_timeout_s: Of an address (s).
        read_timeout_s: Of an address (s).
        strict: Whether a frame with any damage is refused; decoders rather hide damage.

    Attributes:
        stream: The stream, of PyAV.
        interval_s: Between two frames as the file says (s); None: it says nothing, or nothing that can be believed.

    Raises:
        SensorError: It is not there, or has no such stream.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(
        self,
        location: str,
        kind: Kind,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        strict: bool = True,
    ):
        self._av = av = library("av", "av", "live", "reading video and sound")
        self._location = location
        live = is_url(location)
        path = location.removeprefix("file://").removeprefix("file:")
        if not live and not Path(path).is_file():
            raise SensorError(f"{path}: expected a {kind} file, there is none")
        options = {"protocol_whitelist": "file"}
        if live:
            options = dict(_LOW_DELAY)
            if kind == "video":
                # frames that came while connecting are old by now; of sound nothing may be left out
                options["fflags"] = "nobuffer"
            if location.startswith(("rtsp:", "rtsps:")):
                options["rtsp_transport"] = "tcp"  # by UDP frames come torn
        with self._explained():
            name = location if live else str(Path(path).absolute())
            timeouts: Any = (open_timeout_s, read_timeout_s) if live else None
            if location.startswith(("http:", "https:")):
                # PyAV looks at its time-out with the GIL held, dozens of times a frame: each can cost 5 ms beside a
                # thread that computes in Python. FFmpeg's own costs nothing, but not every protocol has it (UDP).
                options["rw_timeout"] = str(round(read_timeout_s * 1e6))
                timeouts = open_timeout_s, None
            self._container = av.open(name, options=options, timeout=timeouts)
        try:
            streams = getattr(self._container.streams, kind)
            if not streams or streams[0].codec_context is None:
                found = ", ".join(stream.type for stream in self._container.streams) or "nothing"
                raise SensorError(f"{redacted(location)}: expected {kind} that can be decoded, found {found}")
            self.stream = streams[0]
            self.interval_s = self._interval_s(kind)
            codec = self.stream.codec_context
            options = {"max_pixels": str(MAX_PIXELS)} if kind == "video" else {}
            codec.thread_count = 1  # several decode frames side by side and hand each out later
            if live:
                codec.flags |= av.codec.context.Flags.low_delay
                if strict and kind == "video":
                    options["err_detect"] = "explode"
            codec.options = options
        except BaseException:
            self.close()
            raise

    def _interval_s(self, kind: Kind) -> float | None:
        rate = self.stream.average_rate if kind == "video" else None
        return float(1 / rate) if rate else None

    def frames(self, losses: Losses, clock: Clock) -> Iterator[tuple[int, Any]]:
        """The frames as they come, each with the time when its data were in hand, before it was decoded (ns).

        A damaged one is counted as `torn`, and None stands in its place.

        Raises:
            SensorError: The connection is gone.
        """
        with self._explained():
            for packet in self._container.demux(self.stream):
                captured_ns = clock.now_ns()
                try:
                    decoded = packet.decode()
                except (self._av.error.InvalidDataError, self._av.error.ArgumentError):  # the second: too many pixels
                    losses.count("torn")
                    yield captured_ns, None
                    continue
                for frame in decoded:
                    damaged = packet.is_corrupt or getattr(frame, "is_corrupt", False)
                    if damaged:
                        losses.count("torn")
                    yield captured_ns, None if damaged else frame

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (self._av.FFmpegError, OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            if isinstance(error, self._av.error.ExitError | TimeoutError):
                reason = "it did not answer in time"
            # from None: the library's own error has the address in it, and a traceback would print it
            raise SensorError(f"{redacted(self._location)}: {without_secrets(reason, self._location)}") from None

    def close(self) -> None:
        """Let go of it; not while another thread is inside."""
        with suppress(self._av.FFmpegError, OSError):
            self._container.close()
