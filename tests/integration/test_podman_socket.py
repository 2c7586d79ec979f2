"""What answers at the engine's socket is named: Podman's own answer to `GET /version`, over a real socket."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from updater_core.docker_utils import DockerEngine
from updater_core.host.engine_endpoint import EngineEndpoint

# As the API of Podman 5 answers; what is not read is left out.
PODMAN = {
    "Components": [
        {"Name": "Podman Engine", "Version": "5.8.6", "Details": {"APIVersion": "5.8.6", "MinAPIVersion": "4.0.0"}},
        {"Name": "Conmon", "Version": "conmon version 2.1.13"},
        {"Name": "OCI Runtime (crun)", "Version": "crun version 1.21"},
    ],
    "Version": "5.8.6", "ApiVersion": "1.44", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
}  # fmt: skip
DOCKER = {**PODMAN, "Components": [{"Name": "Engine", "Version": "28.5.2"}], "Version": "28.5.2"}
OLD = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    answer: Any = None


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        body = json.dumps(self.server.answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    with _Server(str(tmp_path / "engine.sock"), _Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.mark.parametrize(
    ("answer", "name"),
    [(PODMAN, "Podman 5.8.6"), (DOCKER, "Docker Engine 28.5.2"), (OLD, "Docker Engine 20.10.24")],
)
def test_the_engine_is_named_as_what_it_is(server: _Server, tmp_path: Path, answer: Any, name: str) -> None:
    server.answer = answer
    engine = DockerEngine(EngineEndpoint(f"unix://{tmp_path}/engine.sock", "DOCKER_HOST"))
    assert engine.product() == name
    engine.close()
