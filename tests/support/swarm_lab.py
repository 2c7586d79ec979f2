"""A Docker Swarm on this machine alone, a registry, and the updater for a stack in it.

The nodes are those of `scripts/swarm_nodes.py`.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm_nodes import Cluster, NamespaceNode

from tests.support import newer_docker
from tests.support.fake_registry import Build, FakeRegistry, Pushed
from tests.support.lab import Shop, until


class SwarmLab:
    """A swarm of managers, and a registry that all of them reach."""

    def __init__(self, managers: int = 1, certificates: Path | None = None) -> None:
        """`certificates`: a folder that is filled with those of the nodes, which listen with TLS then."""
        newer_docker.need()
        self._cluster = Cluster(f"dsw{uuid.uuid4().hex[:6]}", managers, certificates)
        self.nodes = self._cluster.nodes
        self._cluster.bridge.open()
        self.registry = FakeRegistry(address=self._cluster.bridge.own_address)
        self.registry.__enter__()

    def start(self) -> None:
        self._cluster.start()

    def close(self) -> None:
        self._cluster.close()
        self.registry.close()

    @property
    def manager(self) -> NamespaceNode:
        """The first that runs."""
        return self._cluster.manager

    def leader(self) -> NamespaceNode:
        return self._cluster.leader()


@contextlib.contextmanager
def swarm(managers: int = 1, certificates: Path | None = None) -> Iterator[SwarmLab]:
    """Run a swarm for the length of a block."""
    lab = SwarmLab(managers, certificates)
    try:
        lab.start()
        yield lab
    finally:
        lab.close()


@dataclass
class SwarmShop(Shop):
    """A stack with one service `web` in the lab's swarm, its file in a folder, and the updater beside it."""

    lab: SwarmLab = field(kw_only=True)
    # `deploy` of the service in the file
    deploy: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    has_file: bool = field(default=True, kw_only=True)
    # the name of another service, which the updater looks after
    of_no_stack: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        self.name = f"dau{uuid.uuid4().hex[:6]}"
        self.engine_host = self.lab.manager.host
        self.cert_path: Path | None = None  # of the managers' TLS, by which the updater is to ask them then

    @property
    def repository(self) -> str:
        """One of its own: the registry is that of several tests."""
        return f"{self.registry.host}/team/{self.name}"

    def push(self, tag: str, image: Build) -> Pushed:
        return self.registry.push(f"team/{self.name}", tag, self.own(image))

    @property
    def swarm_name(self) -> str:
        return f"{self.name}_web"

    def write(self, tag: str = "1.0", text: str | None = None) -> None:
        deploy = json.dumps({"update_config": {"order": "start-first"}, **(self.deploy or {"replicas": 2})})
        self.compose_file.write_text(
            text
            or (
                f"# the shop\nservices:\n  web:\n    image: {self.repository}:{tag}  # kept\n    deploy: "
                f"{deploy}\n"
            )
        )

    def up(self, *words: str) -> None:
        """Deploy the stack as its operator does, and wait until it runs."""
        self.lab.manager.docker("stack", "deploy", "-d", *words, "-c", str(self.compose_file), self.name)
        until(self.is_steady, 120, f"{self.swarm_name} runs")

    def down(self) -> None:
        self.lab.manager.docker("stack", "rm", self.name, check=False)

    def config(self) -> dict[str, Any]:
        made = super().config()
        service = made["services"][0]
        del service["compose_file"], service["compose_service"]
        of_stack = {"stack": self.name, "compose_service": "web"}
        file = {"compose_file": str(self.compose_file)} if self.has_file else {}
        if self.cert_path is not None:
            engine = {"hosts": [node.tcp for node in self.lab.nodes], "cert_path": str(self.cert_path)}
            made["engines"] = {"prod": engine}
            service["engine"] = "prod"
        place = {"swarm_service": self.of_no_stack} if self.of_no_stack else {**of_stack, **file}
        registry = {"insecure_http": True, **self.policy.get("registry_config", {})}
        service.update({"image": f"{self.repository}:1.0", "registry_config": registry, **place})
        return made

    # -------------------------------------------------------------------------------------- what there is now

    def spec(self) -> Any:
        return self.service()["Spec"]

    def service(self) -> Any:
        return self.lab.manager.get(f"/services/{self.swarm_name}")

    def image(self) -> str:
        return str(self.spec()["TaskTemplate"]["ContainerSpec"]["Image"])

    def tasks(self) -> list[Any]:
        filters = json.dumps({"service": [self.swarm_name]})
        return list(self.lab.manager.get("/tasks", filters=filters))

    def running(self) -> dict[str, str]:
        """Return the image of each task that runs and shall run, by the task's id."""
        wanted = [task for task in self.tasks() if task["DesiredState"] == "running"]
        return {
            task["ID"]: task["Spec"]["ContainerSpec"]["Image"]
            for task in wanted
            if task["Status"]["State"] == "running"
        }

    def is_steady(self) -> bool:
        """Whether all replicas run what the spec says, and nothing is at work."""
        found = self.service()
        state = (found.get("UpdateStatus") or {}).get("State")
        count = (found["Spec"]["Mode"].get("Replicated") or {}).get("Replicas", 1)
        image = found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        running = self.running()
        return (
            len(running) == count
            and set(running.values()) == {image}
            and state not in ("updating", "rollback_started")
        )

    def pinned(self, tag: str, pushed: Pushed) -> str:
        return f"{self.repository}:{tag}@{pushed.digest}"
