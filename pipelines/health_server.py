"""`/metrics` and `/healthz` over HTTP, for Prometheus and whatever restarts or watches a robot."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sensorimotor.errors import UsageError
from sensorimotor.pipelines.health import Health
from sensorimotor.pipelines.metrics import Metrics

REQUEST_TIMEOUT_S = 5.0
"""A client that is slower than this is cut off."""

MAX_CLIENTS = 16
"""Requests answered at a time; what comes beyond is turned away at once."""


class HealthServer:
    """Answers from threads of its own; use as a context manager.

    `/healthz` is 200 only while decisions are made and carried out. When they no longer are, it is 503 after the time
    that `health` takes for a stall; its body says the state and the reasons either way.

    Args:
        health: What `/healthz` says.
        metrics: What `/metrics` says.
        host: Where to listen. Beyond this machine nothing protects it: put it behind something that does.
        port: 0: any that is free.

    Attributes:
        url: Where it is.

    Raises:
        UsageError: It cannot listen there.
    """

    def __init__(self, health: Health, metrics: Metrics, *, host: str = "127.0.0.1", port: int = 0):
        try:
            self._server = _Server((host, port), health, metrics)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"cannot serve metrics on {host}:{port}: {reason}") from error
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        # It ends within the interval, which costs nothing: requests wake it at once.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> "HealthServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that is being cut off does not hold up the end

    def __init__(self, address: tuple[str, int], health: Health, metrics: Metrics):
        self.health, self.metrics = health, metrics
        self._clients = threading.BoundedSemaphore(MAX_CLIENTS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Listen, without looking up this machine's own name, which may take seconds."""
        import socketserver

        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._clients.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._clients.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_TIMEOUT_S
    server: _Server
    server_version, sys_version = "sensorimotor", ""

    def do_GET(self) -> None:  # noqa: N802 (the name that the base class calls)
        match self.path.partition("?")[0]:
            case "/healthz":
                report = self.server.health.report()
                body = json.dumps(report.to_json()).encode() + b"\n"
                self._answer(200 if report.healthy else 503, "application/json", body)
            case "/metrics":
                self._answer(200, self.server.metrics.content_type, self.server.metrics.render())
            case _:
                self._answer(404, "text/plain; charset=utf-8", b"there are /healthz and /metrics\n")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: standard error is for the person who runs the policy."""
