"""A real HTTP listener on the loopback that writes down what it is asked and answers as it is set up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Listener:
    """`answers` are used up one by one, each a status with its headers; after them every answer is 204.

    `before` is called before each answer.
    """

    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    before: Callable[[], object] = bool
    words: bytes = b""  # the body of every answer

    def fail(self, times: int, status: int = 500) -> None:
        """Answer the next requests with an error."""
        self.answers.extend([(status, {})] * times)

    def redirect(self, location: str, status: int = 307) -> None:
        """Answer the next request with a redirect."""
        self.answers.append((status, {"Location": location}))


@contextmanager
def listening() -> Iterator[Listener]:
    """Provide a listener on a free port, for as long as the block runs."""
    listener = Listener()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(listener))
    listener.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(listener: Listener) -> type[BaseHTTPRequestHandler]:
    class ListenerHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            listener.requests.append(ReceivedRequest(self.command, self.path, dict(self.headers), body))
            listener.before()
            status, headers = listener.answers.pop(0) if listener.answers else (204, {})
            self.send_response(status)
            for name, value in {"Content-Length": str(len(listener.words)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(listener.words)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            return

    return ListenerHandler
