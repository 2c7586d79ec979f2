"""Many services of a swarm for the bench: a manager's answers on a socket.

Each service is as engine 28.5.2 gave one. All else is the real updater, its HTTP and JSON too.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from benchmarks.crowd import TAG, NoCompose
from benchmarks.slow_registry import digest_of
from updater_core import config_utils
from updater_core.app.context import AppContext
from updater_core.app.wiring import wire
from updater_core.host.clock import SystemClock
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.swarm_utils import Swarms


class RecordedManager:
    """A manager of `services` services on `references` repositories of the registry at `host`.

    `counts`: what it was asked, by the last word of the path.
    """

    def __init__(self, host: str, services: int, references: int) -> None:
        self.host, self.services, self.references = host, services, references
        self.counts: Counter[str] = Counter()
        listed = json.dumps([_service(number, self.image(number)) for number in range(services)]).encode()
        self._answers = {
            "version": b'{"Version": "28.5.2", "ApiVersion": "1.51"}',
            "services": listed,
            "json": b"[]",
        }

    def repository(self, number: int) -> str:
        """Return the repository of the service with this number."""
        return f"team/app{number % self.references}"

    def image(self, number: int) -> str:
        repository = self.repository(number)
        return f"{self.host}/{repository}:{TAG}@{digest_of(repository, TAG)}"

    def answer(self, path: str) -> bytes:
        """Return the body of the answer to a request, and count the request."""
        what = path.partition("?")[0].rpartition("/")[2]
        self.counts[what] += 1
        return self._answers[what]

    def entry(self, number: int) -> dict[str, Any]:
        """Return the entry of the service with this number, as the configuration has it."""
        image = self.image(number).partition("@")[0]
        place = {"stack": f"stack{number}", "compose_service": "web"}
        return {"name": f"service{number}", "image": image, **place}


@contextmanager
def managed(folder: Path, manager: RecordedManager) -> Iterator[AppContext]:
    """Provide the updater with all services of the manager, up to date, for the length of a block."""
    path = folder / "engine.sock"
    with _UnixServer(str(path), _handler(manager)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        raw = {
            "services": [manager.entry(number) for number in range(manager.services)],
            "state_file": str(folder / "state" / "state.json"),
            "log_file": str(folder / "updater.log"),
        }
        context = wire(config_utils.parse(raw, {}, str(folder / "config.json")), SystemClock())
        context.host.compose = NoCompose()
        context.host.swarm = Swarms(EngineEndpoint(f"unix://{path}"), ())
        yield context
        server.shutdown()


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def _handler(manager: RecordedManager) -> type[BaseHTTPRequestHandler]:
    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = manager.answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "the bench"

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Answers


def _service(number: int, image: str) -> Mapping[str, Any]:
    """Return a service as the list of engine 28.5.2 has it, with an update behind it."""
    stack = f"stack{number}"
    at = "2026-11-28T15:57:09.063543433Z"
    template = {
        "ContainerSpec": {
            "Image": image,
            "Labels": {"com.docker.stack.namespace": stack},
            "Env": [f"KEY{each}=a value of some length, as they are" for each in range(8)],
            "Privileges": {"CredentialSpec": None, "SELinuxContext": None, "NoNewPrivileges": False},
            "Isolation": "default",
        },
        "Resources": {},
        "Placement": {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        "Networks": [{"Target": "g6mzduqpejskzkhc5y4v2qbh4", "Aliases": ["web"]}],
        "ForceUpdate": 0,
        "Runtime": "container",
    }
    spec = {
        "Name": f"{stack}_web",
        "Labels": {"com.docker.stack.image": image.partition("@")[0], "com.docker.stack.namespace": stack},
        "TaskTemplate": template,
        "Mode": {"Replicated": {"Replicas": 2}},
        "UpdateConfig": {
            "Parallelism": 1,
            "FailureAction": "pause",
            "MaxFailureRatio": 0,
            "Order": "start-first",
        },
        "EndpointSpec": {"Mode": "vip"},
    }
    return {
        "ID": f"{number:025x}",
        "Version": {"Index": 43 + number},
        "CreatedAt": at,
        "UpdatedAt": at,
        "Spec": spec,
        "PreviousSpec": spec,
        "Endpoint": {"Spec": {"Mode": "vip"}, "VirtualIPs": [{"NetworkID": "g6mzduqpejskzkhc5y4v2qbh4"}]},
        "UpdateStatus": {
            "State": "completed",
            "StartedAt": at,
            "CompletedAt": at,
            "Message": "update completed",
        },
    }
