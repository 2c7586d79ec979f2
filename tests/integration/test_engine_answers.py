"""What answers at a socket is named: Podman, Docker, a node of a swarm that is no manager.

Over a real socket.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.support.simulator import SimClock, SimCompose, SimEngine, SimHost
from updater_core import reference
from updater_core.deploy.target import Host
from updater_core.docker_utils import DockerEngine
from updater_core.host import files
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.models import Hold, Reason, ServiceConfig
from updater_core.swarm_utils import SwarmManagers
from updater_core.targets.swarm import SwarmTarget
from updater_core.targets.swarm.entry.settings import SwarmSettings

# As the API of Podman 5 answers; what is not read is left out.
PODMAN = {
    "Components": [
        {"Name": "Podman Engine", "Version": "5.8.6",
         "Details": {"APIVersion": "5.8.6", "MinAPIVersion": "4.0.0"}},
        {"Name": "Conmon", "Version": "conmon version 2.1.13"},
        {"Name": "OCI Runtime (crun)", "Version": "crun version 1.21"},
    ],
    "Version": "5.8.6", "ApiVersion": "1.44", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
}  # fmt: skip
DOCKER = {**PODMAN, "Components": [{"Name": "Engine", "Version": "28.5.2"}], "Version": "28.5.2"}
OLD = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    answers: Mapping[str, tuple[int, Any]] = MappingProxyType({})  # status and JSON by the end of a path


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        status, answer = self.server.answers[self.path.rpartition("/")[2]]
        body = json.dumps(answer).encode()
        self.send_response(status)
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
    server.answers = {"version": (200, answer)}
    engine = DockerEngine(EngineEndpoint(f"unix://{tmp_path}/engine.sock", "DOCKER_HOST"))
    assert engine.product() == name
    engine.close()


WORKER = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state."
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node'
)


@pytest.mark.parametrize(
    ("state", "status", "said", "role"),
    [
        ("active", 503, WORKER, "worker"),
        ("inactive", 503, NO_SWARM, "inactive"),
        ("locked", 503, "Swarm is encrypted and needs to be unlocked before it can be used.", "locked"),
        ("inactive", 404, "Not Found", "inactive"),  # Podman's
    ],
)
def test_a_node_that_is_no_manager_is_said_to_be_none(
    server: _Server, tmp_path: Path, state: str, status: int, said: str, role: str
) -> None:
    info = {"Swarm": {"LocalNodeState": state, "ControlAvailable": False}}
    server.answers = {"version": (200, DOCKER), "info": (200, info), "services": (status, {"message": said})}
    managers = SwarmManagers([EngineEndpoint(f"unix://{tmp_path}/engine.sock", "engines.prod")])
    parts = (SimEngine(SimHost()), SimCompose(SimHost()), files, SimClock())
    host = Host(*parts, tmp_path / "locks", 1.0, swarm=lambda engine: managers)
    target = SwarmTarget(host, lambda _, error: error)  # type: ignore[arg-type, return-value]
    web = ServiceConfig(
        "web", reference.parse("nginx:1"), (), ("web",), target=(SwarmSettings(stack="shop"),)
    )
    hold = target.observe([web])["web"]
    assert isinstance(hold, Hold)
    assert (hold.reason, role in hold.detail) == (Reason.NOT_A_MANAGER, True), hold
    assert "run the updater on a manager" in hold.remedy
