"""The shop of the swarm's demo: three nodes, a registry, a stack of one service, its visitor and the updater.

The machine's own engine is not touched. Everything bears the demo's name, and `close` takes all of it away
again; so does the next demo if one was killed before it could.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from demo_shop import Children, Run, claim, shop_image
from demo_stage import DemoFailed
from demo_swarm_visitor import SwarmVisitor, TaskProxy
from demo_visitor import until
from docker.errors import DockerException
from swarm_nodes import NEWER_DOCKER, Cluster, NamespaceNode, remove_left_over
from tiny_image import TinyImage, push

STABLE_SECONDS = 3
SERVICE, STACK_SERVICE, REPOSITORY = "shop-web", "shop_web", "shop/web"
_NAME = "dau-demo"  # of the namespaces, and what the nodes' folders begin with
_FOLDER_PREFIX = "docker-updater-swarm-demo-"
_OLDEST_ENGINE = 23
_MANAGERS = 3
# Healthy at first, and dead some seconds later: what an engine left to its defaults replaces every task by.
_DIE = "until [ -f /probed ]; do sleep 0.2; done; sleep 2; exit 3; "
# How a release is bad, by what the demo says of it.
DIES, UNHEALTHY, CANNOT_START, ENDS = "dies", "is never healthy", "cannot start", "ends after a second"
_STACK = """\
# The stack of the demo. What is written by hand in here is kept, to the byte.
services:
  web:
    image: {image}   # follows minor versions
    stop_grace_period: 1s
    ports:
      - target: 8080
        mode: host   # each task on a port of its own node
    deploy:
      replicas: 2
      update_config:
        order: start-first
"""


@dataclass
class DemoSwarmShop:
    """All that the demo makes. `open` makes it, `close` takes it away, whatever happened in between."""

    folder: Path = field(default_factory=Path)
    registry: str = ""
    _cluster: Cluster | None = None
    _visitor: SwarmVisitor | None = None
    _claim: socket.socket | None = None
    _children: Children = field(default_factory=Children)

    # ------------------------------------------------------------------------------------------ begin and end

    def open(self) -> None:
        """Start three managers and a registry, write the files; remove first what a killed demo left."""
        os.environ["PATH"] = f"{NEWER_DOCKER / 'bin'}:{os.environ['PATH']}"
        _check_programs()
        self._claim = claim(_FOLDER_PREFIX)
        self._sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
        self._cluster = Cluster(_NAME, _MANAGERS)
        bridge = self._cluster.bridge
        bridge.open()
        self.registry = f"{bridge.own_address}:{_free_port(bridge.own_address)}"
        self._children.start_registry(self.folder, self.registry)
        self._cluster.start()
        self._spare_the_leader()
        self.stack_file.write_text(_STACK.format(image=f"{self.registry}/{REPOSITORY}:1.0"))
        (self.folder / "updater_config.json").write_text(json.dumps(self._config(), indent=2))

    def close(self) -> bool:
        """Take away every process, mount, namespace and file of the demo; False if nothing was begun."""
        if self._claim is None:
            return False
        if self._visitor is not None:
            self._visitor.stop()
        self._children.end_all()
        try:
            if self._cluster is not None:
                self._cluster.close()
        finally:
            self._sweep()
            self._claim.close()
        return True

    def _sweep(self) -> None:
        remove_left_over(_NAME)
        for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)

    def _spare_the_leader(self) -> None:
        """Let the first leader be a manager and no more.

        The tasks of a machine that dies are missing for most of a minute, until they are given to another
        one, and the demo would be about that.
        """
        (leader,) = [each for each in self.nodes[0].get("/nodes") if each["ManagerStatus"].get("Leader")]
        self.nodes[0].docker("node", "update", "--availability", "drain", leader["ID"])

    # ---------------------------------------------------------------------------------------------- the swarm

    @property
    def cluster(self) -> Cluster:
        """Return the nodes and their network; they are there after `open`."""
        assert self._cluster is not None
        return self._cluster

    @property
    def nodes(self) -> Sequence[NamespaceNode]:
        return self.cluster.nodes

    @property
    def visitor(self) -> SwarmVisitor:
        """Return the visitor; it is there after `receive`."""
        assert self._visitor is not None
        return self._visitor

    @property
    def stack_file(self) -> Path:
        """Return the file that the operator deploys."""
        return self.folder / "stack.yml"

    def release(self, version: str, fault: str = "") -> str:
        """Push a release, and return its digest. One that `dies` is healthy before."""
        return push(self.registry, REPOSITORY, [version], _image(version, fault))

    def deploy(self) -> None:
        """Do what the operator does: `docker stack deploy`."""
        self.cluster.manager.docker("stack", "deploy", "-d", "-c", str(self.stack_file), "shop")

    def receive(self) -> None:
        """From now on the visitor comes."""
        proxy = TaskProxy(self.cluster, STACK_SERVICE)
        proxy.look()
        self._visitor = SwarmVisitor(proxy)
        self._visitor.start()

    def image(self) -> str:
        """Return the image that the service's spec names."""
        return str(
            self._asked(f"/services/{STACK_SERVICE}")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        )

    def tasks(self) -> dict[str, str]:
        """Return the version of each task that runs and is to run, by the task's id."""
        found = self._asked("/tasks", filters=json.dumps({"service": [STACK_SERVICE]}))
        running = [t for t in found if t["DesiredState"] == "running" and t["Status"]["State"] == "running"]
        return {task["ID"]: version_of(task["Spec"]["ContainerSpec"]["Image"]) for task in running}

    def is_whole(self, version: str) -> bool:
        """Return whether both tasks run a version, and the engine is not at work on the service."""
        try:
            service, versions = self._asked(f"/services/{STACK_SERVICE}"), [*self.tasks().values()]
        except (DockerException, OSError):
            return False
        state = (service.get("UpdateStatus") or {}).get("State")
        return versions == [version] * 2 and state not in ("updating", "rollback_started")

    def leader(self) -> NamespaceNode | None:
        """Return the node that leads now; None if none does."""
        with suppress(DockerException, OSError, ValueError):
            return self.cluster.leader()
        return None

    def kill(self, node: NamespaceNode) -> None:
        """Do to a node what a power failure does."""
        node.end(signal.SIGKILL)

    def _asked(self, path: str, **params: str) -> Any:
        """Return a manager's answer, waiting while there is no leader and therefore no answer."""
        answers: list[Any] = []

        def has_answered() -> bool:
            with suppress(DockerException, OSError, ValueError):
                answer = self.cluster.manager.get(path, **params)
                if not isinstance(answer, dict) or "message" not in answer:
                    answers.append(answer)
            return bool(answers)

        if not until(has_answered, 300):
            raise DemoFailed("the managers do not answer")
        return answers[0]

    # -------------------------------------------------------------------------------------------- the updater

    def start_updater(self, words: Sequence[str], say: Callable[[str], None]) -> Run:
        """Start the real updater. The engine of its own host is that of the second node."""
        return self._children.start_updater(self.folder, words, say, DOCKER_HOST=self.nodes[1].host)

    def state(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads((self.folder / "state" / "state.json").read_text())["services"][
            SERVICE
        ]
        return found

    def _config(self) -> dict[str, Any]:
        return {
            "health_timeout": 600,
            "health_stable": STABLE_SECONDS,
            "compose_timeout": 600,
            "state_file": str(self.folder / "state" / "state.json"),
            "log_file": str(self.folder / "updater.log"),
            "engines": {"prod": {"hosts": [node.host for node in self.nodes]}},
            "services": [
                {
                    "name": SERVICE,
                    "image": f"{self.registry}/{REPOSITORY}:1.0",
                    "stack": "shop",
                    "compose_service": "web",
                    "compose_file": str(self.stack_file),
                    "engine": "prod",
                    "follow": "minor",
                    "registry_config": {"insecure_http": True},
                }
            ],
        }


def _image(version: str, fault: str) -> TinyImage:
    """Return a release with one of the four faults, or a good one."""
    good = shop_image(f"web {version}", _DIE if fault == DIES else "")
    unprobed = {name: value for name, value in good.config.items() if name != "Healthcheck"}
    if fault == UNHEALTHY:
        probe = {
            "Test": ["CMD-SHELL", "exit 1"],
            "Interval": 500_000_000,
            "Timeout": 60_000_000_000,
            "Retries": 1,
        }
        return replace(good, config={**unprobed, "Healthcheck": probe})
    if fault == CANNOT_START:
        return replace(good, config={**unprobed, "Entrypoint": ["/not-there"]})
    if fault == ENDS:
        return replace(good, script="sleep 1; exit 3", config=unprobed)
    return good


def version_of(image: str) -> str:
    """Return the tag of a pinned image."""
    return image.partition("@")[0].rpartition(":")[2]


def _check_programs() -> None:
    if os.geteuid() != 0:
        raise DemoFailed(
            "network namespaces and engines of its own need root; run: sudo scripts/demo --swarm"
        )
    said = subprocess.run(["dockerd", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)", said)
    if found is None or int(found[1]) < _OLDEST_ENGINE:
        what = f"a swarm wants Docker {_OLDEST_ENGINE} or newer, and dockerd here says: {said.strip()}"
        raise DemoFailed(
            f"{what}; on Debian `scripts/setup --with-newer-docker` brings one, else install one"
        )


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
