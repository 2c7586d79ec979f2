"""What the managers say of services, tasks and nodes, as values. Pure.

Field meanings are those of the Engine API (https://docs.docker.com/reference/api/engine/): `Service`, `Task`,
`Node`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UPDATING, COMPLETED, PAUSED = "updating", "completed", "paused"
ROLLING_BACK, ROLLED_BACK, ROLLBACK_PAUSED = "rollback_started", "rollback_completed", "rollback_paused"
WENT_BACK = (ROLLING_BACK, ROLLED_BACK, ROLLBACK_PAUSED)
RUNNING, FAILED, REJECTED, COMPLETE = "running", "failed", "rejected", "complete"
STACK_LABEL, IMAGE_LABEL = "com.docker.stack.namespace", "com.docker.stack.image"


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """How the engine's last update of a service stands.

    It is empty right after a write, and after each one that restarts no task. `started_at` is the managers'
    clock and tells one update from another.
    """

    state: str = ""
    started_at: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class SwarmService:
    """A service as a manager has it. `version` counts every write to it, those of the engine itself too."""

    id: str
    name: str
    version: int
    spec: Mapping[str, Any] = field(repr=False)  # its environment may hold secrets
    status: UpdateStatus = UpdateStatus()
    iteration: int = 0  # of a job: how often it was written to, and each write runs it

    @property
    def image(self) -> str:
        """Return the reference its tasks are made from as written, `repo:tag@sha256:…` if it is pinned."""
        return str(self.spec["TaskTemplate"]["ContainerSpec"]["Image"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels of the service itself, not of its containers."""
        return self.spec.get("Labels") or {}

    @property
    def stack(self) -> str:
        """Return the stack that it belongs to; empty if it was made by itself."""
        return self.labels.get(STACK_LABEL, "")

    @property
    def replicas(self) -> int | None:
        """Return how many tasks it wants; None if the nodes decide (global), or it is a job."""
        replicated = (self.spec.get("Mode") or {}).get("Replicated")
        return None if replicated is None else int(replicated.get("Replicas", 1))

    @property
    def is_job(self) -> bool:
        """Return whether its tasks are to end by themselves."""
        return is_job(self.spec)

    @property
    def completions(self) -> int | None:
        """Return how many tasks of a job have to complete; None if it is none, or is one on each node."""
        job = (self.spec.get("Mode") or {}).get("ReplicatedJob")
        if job is None:
            return None
        return int(job.get("TotalCompletions") or job.get("MaxConcurrent") or 1)

    @property
    def attempts(self) -> int:
        """Return how many failures of a task the engine tries again after; 0 if nothing bounds that."""
        policy = self.spec["TaskTemplate"].get("RestartPolicy") or {}
        return 0 if policy.get("Condition") == "none" else int(policy.get("MaxAttempts") or 0)

    @property
    def update_config(self) -> Mapping[str, Any]:
        """Return how the operator rolls updates out; empty if they say nothing."""
        return self.spec.get("UpdateConfig") or {}


@dataclass(frozen=True, slots=True)
class SwarmTask:
    """One task. Health is no field of it: with a healthcheck it is `running` only once it is healthy."""

    id: str
    image: str
    wanted: str  # the state that the orchestrator wants: running, ready, shutdown, remove
    state: str
    error: str = ""
    exit_code: int = 0
    container_id: str = ""
    node_id: str = ""
    slot: int = 0  # a job's first one is 0, and so is that of a task that is its node's
    iteration: int = 0  # of its job


@dataclass(frozen=True, slots=True)
class SwarmNode:
    """One node.

    `name`: its host name. `version` grows when it goes, comes back, or joins a network. `facts` are its
    values under the names that placement constraints use.
    """

    name: str
    architecture: str
    system: str
    is_ready: bool
    is_active: bool
    facts: Mapping[str, str]
    version: int = 0
    engine: str = ""  # the version of its engine

    @property
    def is_manager(self) -> bool:
        """Return whether the node is a manager."""
        return self.facts.get("node.role") == "manager"


def is_job(spec: Mapping[str, Any]) -> bool:
    """Return whether the tasks of a service are to end."""
    mode = spec.get("Mode") or {}
    return "ReplicatedJob" in mode or "GlobalJob" in mode


def service_of(raw: Mapping[str, Any]) -> SwarmService:
    """Return the service in the API's JSON. Raises KeyError if it is none that runs an image (a plugin's)."""
    status = raw.get("UpdateStatus") or {}
    found = UpdateStatus(status.get("State", ""), status.get("StartedAt", ""), status.get("Message", ""))
    version, iteration = int(raw["Version"]["Index"]), _iteration(_part(raw, "JobStatus"))
    service = SwarmService(raw["ID"], raw["Spec"]["Name"], version, raw["Spec"], found, iteration)
    if not service.image:
        raise KeyError("Image")
    return service


def task_of(raw: Mapping[str, Any]) -> SwarmTask:
    """Return the task in the API's JSON."""
    status = _part(raw, "Status")
    container = _part(status, "ContainerStatus")
    return SwarmTask(
        id=raw["ID"],
        image=str(_part(_part(raw, "Spec"), "ContainerSpec").get("Image", "")),
        wanted=raw.get("DesiredState", ""),
        state=status.get("State", ""),
        error=str(status.get("Err", "")),
        exit_code=int(container.get("ExitCode", 0)),
        container_id=str(container.get("ContainerID", "")),
        node_id=str(raw.get("NodeID", "")),
        slot=int(raw.get("Slot", 0)),
        iteration=_iteration(raw),
    )


def node_of(raw: Mapping[str, Any]) -> SwarmNode:
    """Return the node in the API's JSON."""
    spec, described = _part(raw, "Spec"), _part(raw, "Description")
    platform = _part(described, "Platform")
    name = str(described.get("Hostname") or raw["ID"])
    architecture, system = str(platform.get("Architecture", "")), str(platform.get("OS", ""))
    facts = {
        "node.id": raw["ID"],
        "node.hostname": name,
        "node.role": str(spec.get("Role", "")),
        "node.platform.os": system,
        "node.platform.arch": architecture,
        **{f"node.labels.{key}": value for key, value in _part(spec, "Labels").items()},
        **{
            f"engine.labels.{key}": value
            for key, value in _part(_part(described, "Engine"), "Labels").items()
        },
    }
    is_ready = _part(raw, "Status").get("State") == "ready"
    is_active = spec.get("Availability") == "active"
    version = int(_part(raw, "Version").get("Index", 0))
    engine = str(_part(described, "Engine").get("EngineVersion", ""))
    return SwarmNode(name, architecture, system, is_ready, is_active, facts, version, engine)


def _iteration(raw: Mapping[str, Any]) -> int:
    return int(_part(raw, "JobIteration").get("Index", 0))


def _part(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object within an object; the API leaves out what is empty."""
    return raw.get(key) or {}
