"""The one small HTTP server, read-only: metrics, status page, its JSON twin, and a probe.

It runs beside the updater in threads of its own and asks its `Endpoints` for every answer; it never waits for
a cycle.
"""

from __future__ import annotations

import gzip
import http.client
import io
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any, ClassVar

from updater_core.errors import UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.status.markup import STYLE_HASH

MOST_CONNECTIONS = 8
LONGEST_CONNECTION_SECONDS = 15.0
LONGEST_HEAD_BYTES, LONGEST_BODY_BYTES = 32_768, 16_384
API_PATHS = ("/api/", "/approve/", "/orders.js")
_PAUSE_SECONDS = 5.0  # of a client, between two bytes
_COMPRESSED_FROM_BYTES = 1024
_log = logging.getLogger("updater")

_POLICY = (
    f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# Of a page with buttons: its script, and what that asks of this server
WITH_SCRIPT = {"Content-Security-Policy": f"{_POLICY}; script-src 'self'; connect-src 'self'"}

# Nothing may be loaded, framed, sent or kept: https://owasp.org/www-project-secure-headers/
_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    text: str | bytes
    kind: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to the API.

    `headers` have lower-case names, each once; `peer` is the address that it came from.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What makes the answers; each is called in a thread of the server.

    `metrics` takes the Accept header, `html` whether the page shall fetch itself anew.
    """

    metrics: Callable[[str], Response]
    html: Callable[[bool], Response]
    json: Callable[[], Response]
    health: Callable[[], Response]
    api: Callable[[ApiRequest], Response] | None = None  # None: there is none


class StatusServer:
    """Answers on one address until it is closed. `port` is the one it really listens on."""

    def __init__(self, host: str, port: int, pages: Endpoints) -> None:
        """Listen at once. Raises UpdaterError if the address cannot be taken."""
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(family, address, pages)
        except OSError as error:
            message = f"METRICS_PORT: {host}:{port} cannot be listened on: {error.strerror or error}"
            raise UpdaterError(
                message, "Choose another METRICS_PORT or METRICS_HOST, or free this one."
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="status", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """Derived because `socketserver` is used so. Bounds how many are served at once, and for how long."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, family: int, address: Any, pages: Endpoints) -> None:
        self.address_family = family
        self.pages = pages
        self._lock = threading.Lock()
        self._begun: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, *_: Any) -> bool:
        """Return whether one more connection is served."""
        with self._lock:
            if len(self._begun) >= MOST_CONNECTIONS:
                return False
            self._begun[request] = time.monotonic()
            return True

    def service_actions(self) -> None:
        """Between two looks for a new client: end those that take too long."""
        latest = time.monotonic() - LONGEST_CONNECTION_SECONDS
        with self._lock:
            for request in [request for request, begun in self._begun.items() if begun < latest]:
                _hang_up(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._begun.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """Log nothing: a client that went away is not worth a line."""
        _log.debug("a reader of the status page went away", exc_info=True)


class _Bounded(io.BufferedIOBase):
    """A reader of lines, no more than so many bytes of them in all: the head of a request.

    Derived as `http.server` wants a file.
    """

    def __init__(self, source: Any, most_bytes: int) -> None:
        self._source, self._left = source, most_bytes

    def readline(self, size: int | None = -1) -> bytes:
        """Return a line.

        Raises LineTooLong, which `http.server` answers with 431, if the head is too long.
        """
        line: bytes = self._source.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("head")
        return line

    def read(self, size: int | None = -1) -> bytes:
        return bytes(self._source.read(size))

    def close(self) -> None:
        self._source.close()


class _Handler(BaseHTTPRequestHandler):
    """One request, one answer, one connection. Derived because `http.server` takes nothing else."""

    server: _Server
    timeout = _PAUSE_SECONDS
    _own_headers: Mapping[str, str] = MappingProxyType({})  # of the answer, over those of every answer

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile, LONGEST_HEAD_BYTES)

    _ways: ClassVar[Mapping[str, str]] = {
        "/": "_html",
        "/metrics": "_metrics",
        "/status.json": "_json",
        "/healthz": "_health",
    }

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Return the one way for `do_GET`, `do_POST` and whatever else a client may think of."""
        if name.startswith("do_"):
            is_reading = name in ("do_GET", "do_HEAD")
            if self.server.pages.api is not None and self.path.startswith(API_PATHS):
                return self._ask_api
            return self._serve if is_reading else self._refuse
        raise AttributeError(name)

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        way = self._ways.get(path)
        if way is None:
            self._answer(
                Response("there is /, /status.json, /healthz and /metrics\n", status=HTTPStatus.NOT_FOUND)
            )
            return
        try:
            page: Response = getattr(self, way)(query)
        except Exception as error:  # a mistake of ours must not end the thread unsaid
            text = f"{path} could not be made: {type(error).__name__}: {error}"
            log_event(_log, logging.ERROR, LogEvent.INTERNAL_ERROR, text)
            page = Response(
                "this page could not be made; see the log\n", status=HTTPStatus.INTERNAL_SERVER_ERROR
            )
        self._answer(page)

    def _ask_api(self) -> None:
        """Read a request to the API as a whole, within its bounds, and answer it."""
        try:
            request = self._api_request()
        except ValueError as error:
            status = int(str(error))
            self._answer(Response(f"{HTTPStatus(status).phrase}\n", status=status))
            return
        api = self.server.pages.api
        try:
            page = api(request) if api is not None else Response("", status=HTTPStatus.NOT_FOUND)
        except Exception as error:
            # a mistake of ours must not end the thread unsaid; a path may hold a token
            text = f"a request to the API could not be answered: {type(error).__name__}: {error}"
            log_event(_log, logging.ERROR, LogEvent.INTERNAL_ERROR, text)
            page = Response(
                "this could not be answered; see the log\n", status=HTTPStatus.INTERNAL_SERVER_ERROR
            )
        self._answer(page)

    def _api_request(self) -> ApiRequest:
        """Return the request. Raises ValueError with the status of a refusal if it is beyond what is read."""
        names = [name.lower() for name in self.headers]
        # two of one name: which one would count?
        if len(set(names)) < len(names) or "transfer-encoding" in names:
            raise ValueError(HTTPStatus.BAD_REQUEST.value)
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise ValueError(HTTPStatus.BAD_REQUEST.value)
        if len(length) > 9 or int(length) > LONGEST_BODY_BYTES:
            raise ValueError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE.value)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ValueError(HTTPStatus.BAD_REQUEST.value)
        path = self.path.partition("?")[0]
        return ApiRequest(self.command, path, headers, body, str(self.client_address[0]))

    def _html(self, query: str) -> Response:
        return self.server.pages.html(query == "refresh")

    def _metrics(self, _query: str) -> Response:
        return self.server.pages.metrics(self.headers.get("Accept", ""))

    def _json(self, _query: str) -> Response:
        return self.server.pages.json()

    def _health(self, _query: str) -> Response:
        return self.server.pages.health()

    def _refuse(self) -> None:
        text = "this server can only be read: GET and HEAD\n"
        self._answer(Response(text, status=HTTPStatus.METHOD_NOT_ALLOWED), Allow="GET, HEAD")

    def _answer(self, page: Response, **further: str) -> None:
        body = page.text.encode() if isinstance(page.text, str) else page.text
        if len(body) >= _COMPRESSED_FROM_BYTES and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, further = gzip.compress(body, 5), {**further, "Content-Encoding": "gzip"}
        self._own_headers = page.headers
        self.send_response(page.status)
        for name, value in {"Content-Type": page.kind, "Content-Length": str(len(body)), **further}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def end_headers(self) -> None:
        """Add the headers that every answer carries, also those to requests that are no HTTP."""
        always = {**_HEADERS, "Vary": "Accept, Accept-Encoding", "Connection": "close"}
        for name, value in {**always, **self._own_headers}.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Return whose server this is; which Python runs it is nobody's business."""
        return "docker-updater"

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a request is not worth a line."""


def _hang_up(request: socket.socket) -> None:
    try:
        request.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
