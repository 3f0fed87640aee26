"""A loopback MJPEG camera that writes its clock into its pixels and can be told to misbehave.

In a test: `with MjpegCamera() as camera: ... camera.url ...`. As a process of its own, to be stopped, continued and
killed: `python mjpeg_camera.py --port 8090`; it takes lines like `mode torn`, `rate 5` and `size 640x480`.
"""

import argparse
import contextlib
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

BLOCK = (10, 20)
"""Height and width of the block that shows one bit; 64 of them, in rows, from the top left."""


def stamp(frame: np.ndarray, value: int) -> None:
    """Write a 64-bit number into a picture of at least 320 x 40."""
    per_row = frame.shape[1] // BLOCK[1]
    for bit in range(64):
        row, column = divmod(bit, per_row)
        y, x = row * BLOCK[0], column * BLOCK[1]
        frame[y : y + BLOCK[0], x : x + BLOCK[1]] = 255 if value >> bit & 1 else 0


def read_stamp(frame: np.ndarray) -> int:
    """The number that `stamp` wrote, from a picture of the same size."""
    per_row = frame.shape[1] // BLOCK[1]
    value = 0
    for bit in range(64):
        row, column = divmod(bit, per_row)
        y, x = row * BLOCK[0], column * BLOCK[1]
        value |= int(frame[y + 2 : y + BLOCK[0] - 2, x + 4 : x + BLOCK[1] - 4].mean() > 127) << bit
    return value


class MjpegCamera:
    """A camera on 127.0.0.1; its attributes may be changed while it runs.

    Attributes:
        rate_hz: Frames a second.
        size: Height and width of its frames.
        mode: `live`; `frozen`: the connection stays and nothing comes; `repeat`: the last frame again and again;
            `black`; `covered`: black but for a sensor's noise; `torn`: every second frame has garbage in its middle;
            `truncated`: every second frame ends halfway.
        paths: What clients asked for, with their queries.
    """

    def __init__(self, rate_hz: float = 30.0, size: tuple[int, int] = (240, 320), port: int = 0):
        self.rate_hz, self.size, self.mode = rate_hz, size, "live"
        self.port = port
        self.paths: list[str] = []
        self._server: ThreadingHTTPServer | None = None
        self._clients: list[socket.socket] = []
        self._last = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video"

    def __enter__(self) -> "MjpegCamera":
        self.come_back()
        return self

    def __exit__(self, *_) -> None:
        self.go_away()

    def come_back(self) -> None:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):  # noqa: N802 (the name is given)
                camera.paths.append(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera._clients.append(self.connection)
                with contextlib.suppress(OSError):
                    camera._film(self.wfile, threading.current_thread())

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go_away(self) -> None:
        """Close the port and every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._clients.clear()

    def _film(self, out, _thread) -> None:
        server, number, due = self._server, 0, time.monotonic()
        while self._server is server and server is not None:
            due = max(due + 1 / self.rate_hz, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            if self.mode == "frozen":
                continue
            number += 1
            jpeg = self._picture(number)
            out.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n")
            out.flush()

    def _picture(self, number: int) -> bytes:
        if self.mode == "repeat" and self._last:
            return self._last
        frame = np.full((*self.size, 3), 90, np.uint8)
        if self.mode == "black":
            frame[:] = 0
        elif self.mode == "covered":
            frame = np.random.default_rng(number).normal(6, 4, frame.shape).clip(0, 255).astype(np.uint8)
        else:
            frame[60:, :, 0] = number % 200
            stamp(frame, time.monotonic_ns())
        jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        if self.mode == "torn" and number % 2:
            middle = len(jpeg) // 2
            jpeg = jpeg[:middle] + b"\xff\xd7\x00\x13" * 40 + jpeg[middle + 160 :]
        elif self.mode == "truncated" and number % 2:
            jpeg = jpeg[: len(jpeg) // 2]
        self._last = jpeg
        return jpeg


def size_of(text: str) -> tuple[int, int]:
    """Height and width of WIDTHxHEIGHT."""
    width, height = text.split("x")
    return int(height), int(width)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--size", type=size_of, default=(240, 320), help="width x height")
    arguments = parser.parse_args()
    with MjpegCamera(arguments.rate, arguments.size, arguments.port) as running:
        print(running.url, flush=True)
        for line in sys.stdin:
            match line.split():
                case ["mode", mode]:
                    running.mode = mode
                case ["rate", rate]:
                    running.rate_hz = float(rate)
                case ["size", size]:
                    running.size = size_of(size)
        threading.Event().wait()
