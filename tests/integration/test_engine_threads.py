"""Many threads ask one engine: what takes long for one keeps none of the others waiting."""

from __future__ import annotations

import socketserver
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from updater_core.docker_utils import DockerEngine
from updater_core.host.engine_endpoint import EngineEndpoint

LIMIT_SECONDS = 120.0


class SlowEngine(socketserver.ThreadingUnixStreamServer):
    """An engine on a socket of its own.

    What changes anything lasts until `may_end` is set; `connections` counts those that are open.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: str) -> None:
        super().__init__(path, _Answers)
        self.was_asked, self.may_end = threading.Event(), threading.Event()
        self.connections = 0
        self.lock = threading.Lock()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowEngine

    def handle(self) -> None:
        with self.server.lock:
            self.server.connections += 1
        super().handle()
        with self.server.lock:
            self.server.connections -= 1

    def do_GET(self) -> None:
        body = b"[]" if "containers" in self.path else b'{"ApiVersion": "1.41", "Version": "20.10"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.was_asked.set()
        self.server.may_end.wait(LIMIT_SECONDS)
        self.send_response(204)
        self.end_headers()

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[SlowEngine]:
    with tempfile.TemporaryDirectory(prefix="slow-") as folder:
        server = SlowEngine(str(Path(folder) / "engine.sock"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.may_end.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def engine(slow: SlowEngine) -> DockerEngine:
    return DockerEngine(EngineEndpoint(f"unix://{slow.server_address}"))


def test_a_call_that_takes_long_keeps_no_other_waiting(slow: SlowEngine, engine: DockerEngine) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow_call = pool.submit(engine.rename_container, "a" * 64, "web")
        assert slow.was_asked.wait(LIMIT_SECONDS)
        try:
            others = pool.submit(
                lambda: (engine.compose_containers(), engine.version(), engine.compose_containers())
            )
            assert others.result(LIMIT_SECONDS) == ((), "20.10", ())
            assert not slow_call.done()
        finally:
            slow.may_end.set()
        slow_call.result(LIMIT_SECONDS)


def test_connections_are_used_again_and_do_not_pile_up(slow: SlowEngine, engine: DockerEngine) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: engine.compose_containers(), range(200)))
    assert slow.connections <= 10  # two that are kept; others may be about to be closed on the server's side
    engine.close()
