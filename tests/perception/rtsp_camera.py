"""A loopback RTSP camera: MPEG-2 video in a transport stream, in RTP (RFC 2250), within the connection (RFC 2326).

In a test: `with RtspCamera(user="ann", password="secret") as camera: ... camera.url ...`.
"""

import base64
import contextlib
import io
import socketserver
import struct
import threading
import time

import av
import numpy as np

PACKETS = 7
"""Packets of a transport stream, of 188 bytes, that fit into one of RTP."""
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"


class RtspCamera:
    """A camera on 127.0.0.1.

    Attributes:
        clients: How many have been shown pictures so far.
    """

    def __init__(self, rate_hz: int = 25, size: tuple[int, int] = (120, 160), user: str = "", password: str = ""):
        self.rate_hz, self.size, self.port, self.clients = rate_hz, size, 0, 0
        self._secret = f"{user}:{password}" if user else ""
        self._server: socketserver.ThreadingTCPServer | None = None

    @property
    def url(self) -> str:
        return f"rtsp://{self._secret + '@' if self._secret else ''}127.0.0.1:{self.port}/live"

    def __enter__(self) -> "RtspCamera":
        self.come_back()
        return self

    def __exit__(self, *_) -> None:
        self.go_away()

    def come_back(self) -> None:
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    camera._serve(self.rfile, self.wfile)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address = True, True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go_away(self) -> None:
        """Close the port and, with the next frame, every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _serve(self, requests, answers) -> None:
        """Answer one client until it has asked for pictures, and show them then."""
        wanted = "Basic " + base64.b64encode(self._secret.encode()).decode()
        while line := requests.readline().decode():
            method, url = line.split()[:2]
            headers = {}
            while (header := requests.readline().decode().strip()) != "":
                name, _, value = header.partition(":")
                headers[name.lower()] = value.strip()
            if self._secret and method != "OPTIONS" and headers.get("authorization") != wanted:
                status, more, body = "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'], ""
            else:
                status, (more, body) = "200 OK", self._answer(method, url)
            lines = [f"RTSP/1.0 {status}", f"CSeq: {headers['cseq']}", *more, f"Content-Length: {len(body)}", "", body]
            answers.write("\r\n".join(lines).encode())
            if method == "PLAY" and status == "200 OK":
                self.clients += 1
                self._film(answers)
                return

    def _answer(self, method: str, url: str) -> tuple[list[str], str]:
        match method:
            case "OPTIONS":
                return ["Public: DESCRIBE, SETUP, PLAY"], ""
            case "DESCRIBE":
                return ["Content-Type: application/sdp", f"Content-Base: {url}/"], SDP
            case "SETUP":
                return ["Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1"], ""
        return ["Session: 1"], ""

    def _film(self, out) -> None:
        server, written, sequence, due = self._server, io.BytesIO(), 0, time.monotonic()
        height, width = self.size
        with av.open(written, "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=self.rate_hz)
            stream.height, stream.width, stream.pix_fmt, stream.gop_size = height, width, "yuv420p", 5
            number = 0
            while self._server is server and server is not None:
                due += 1 / self.rate_hz
                time.sleep(max(0.0, due - time.monotonic()))
                number += 1
                pixels = np.full((height, width, 3), 40 + number % 100, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
                data = written.getvalue()
                written.seek(0)
                written.truncate()
                for start in range(0, len(data), PACKETS * 188):
                    payload = data[start : start + PACKETS * 188]
                    clock = number * 90_000 // self.rate_hz
                    header = struct.pack(">BBHII", 0x80, 33, sequence % 2**16, clock % 2**32, 1)
                    out.write(struct.pack(">cBH", b"$", 0, len(header) + len(payload)) + header + payload)
                    sequence += 1
