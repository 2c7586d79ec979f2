"""A swarm in memory: `protocols.Swarm`, whose orchestrator does one step at each look at its tasks.

The e2e tests hold what it does to the real one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.simulator import Killer
from updater_core.errors import EngineError, EngineUnavailable
from updater_core.models import Credential

_SECOND = 1_000_000_000


@dataclass
class SimSwarm:
    """One service on nodes of one platform.

    `fates`: what becomes of a task, by the digest of its image: well | unhealthy | exits | cannot_start |
    rejected | stuck | dies (some looks after it ran). `happenings` come one by one, each before one of the
    next looks at the tasks.
    """

    spec: dict[str, Any]
    killer: Killer = field(default_factory=Killer)
    fates: dict[str, str] = field(default_factory=dict)
    platforms: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    is_away: bool = False
    is_node_away: bool = False
    node_version: int = 7
    engine_version: str = "28.5.2"
    role_of_node: str = "manager"
    index: int = 10
    status: dict[str, str] = field(default_factory=dict)
    all_tasks: list[dict[str, Any]] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)
    logins: list[Credential | None] = field(default_factory=list)
    happenings: list[Callable[[], object]] = field(default_factory=list)
    previous: dict[str, Any] | None = None
    updates: int = 0
    goes_back: bool = True  # the engine itself, if the spec says so

    def __post_init__(self) -> None:
        for slot in range(1, self._replicas() + 1):
            self._add(slot, "running")

    # ---------------------------------------------------------------------------------------- protocols.Swarm

    def version(self) -> str:
        self._up()
        return "sim"

    def role(self) -> str:
        return "manager"

    def services(self) -> tuple[Mapping[str, Any], ...]:
        self._up()
        return (self._shown(),)

    def service(self, service_id: str) -> Mapping[str, Any] | None:
        self._up()
        return self._shown() if service_id in ("s1", self.spec["Name"]) else None

    def tasks(self, service_id: str) -> tuple[Mapping[str, Any], ...]:
        self._up()
        if self.happenings:
            self.happenings.pop(0)()
        self._step()
        return tuple(copy.deepcopy(self.all_tasks))

    def nodes(self) -> tuple[Mapping[str, Any], ...]:
        self._up()
        node = {"Architecture": "x86_64", "OS": "linux"}
        return (
            {
                "ID": "n1",
                "Version": {"Index": self.node_version},
                "Spec": {"Role": self.role_of_node, "Availability": "active"},
                "Status": {"State": "down" if self.is_node_away else "ready"},
                "Description": {
                    "Hostname": "one",
                    "Platform": node,
                    "Engine": {"EngineVersion": self.engine_version},
                },
            },
        )

    def image_platforms(self, reference: str, credential: Credential | None) -> tuple[tuple[str, str], ...]:
        self._up()
        return tuple(self.platforms.get(reference.partition("@")[2], [("amd64", "linux")]))

    def update(
        self, service_id: str, version: int, spec: Mapping[str, Any], credential: Credential | None
    ) -> bool:
        self._up()
        if version != self.index:
            return False
        self.killer.effect("write spec", lambda: self.write(spec))
        self.logins.append(credential)
        return True

    # ------------------------------------------------------------------------------------- what happens there

    def write(self, spec: Mapping[str, Any]) -> None:
        """Do what a manager does with a new spec.

        One that changes no task ends nothing and begins nothing.
        """
        before = self._template(self.spec)
        self.previous, self.spec = self.spec, copy.deepcopy(dict(spec))
        self.writes.append(self.spec)
        self.index += 3
        self.status = {}
        if self._template(self.spec) != before:
            self.updates += 1
            self.status = {
                "State": "updating",
                "StartedAt": f"2026-01-01T00:00:{self.updates:02}Z",
                "Message": "",
            }

    def image(self) -> str:
        return str(self.spec["TaskTemplate"]["ContainerSpec"]["Image"])

    def running(self) -> list[str]:
        """Return the images of the tasks that run."""
        return [
            each["Spec"]["ContainerSpec"]["Image"]
            for each in self.all_tasks
            if each["Status"]["State"] == "running"
        ]

    def _step(self) -> None:
        if self.status.get("State") == "updating":
            self._roll_on(self._fate())
        elif self.status.get("State") == "rollback_started":
            self._roll_on("well", ending="rollback_completed")
        elif self._fate() == "dies":
            self._die()

    def _roll_on(self, fate: str, ending: str = "completed") -> None:
        """Replace the task of the next slot, or end the update."""
        old = next(
            (
                t
                for t in self.all_tasks
                if self._is_wanted(t) and t["Spec"]["ContainerSpec"]["Image"] != self.image()
            ),
            None,
        )
        self.index += 1
        if old is None:
            self.status = {**self.status, "State": ending}
        elif fate in ("well", "dies"):
            old["DesiredState"], old["Status"]["State"] = "shutdown", "shutdown"
            self._add(old["Slot"], "running")
        elif fate == "stuck":
            if not any(t["Status"]["State"] == "starting" for t in self.all_tasks):
                self._add(old["Slot"], "starting")
        else:
            self._fail(old["Slot"], fate)

    def _fail(self, slot: int, fate: str) -> None:
        state, error, code = {
            "unhealthy": ("failed", "task: non-zero exit (143): dockerexec: unhealthy container", 143),
            "exits": ("failed", "task: non-zero exit (3)", 3),
            "lost": ("failed", "task: non-zero exit (255)", 255),
            "cannot_start": (
                "failed",
                'starting container failed: exec: "/x": no such file or directory',
                127,
            ),
            "rejected": ("rejected", "No such image: app@sha256:0", 0),
        }[fate]
        task = self._add(slot, state)
        task["DesiredState"], task["Status"]["Err"] = "shutdown", error
        task["Status"]["ContainerStatus"]["ExitCode"] = code
        is_asked = self.spec.get("UpdateConfig", {}).get("FailureAction") == "rollback"
        if is_asked and self.previous and self.goes_back:
            self.spec, self.previous = self.previous, None
            message = f"update rolled back due to failure or early termination of task {task['ID']}"
            self.status = {**self.status, "State": "rollback_started", "Message": message}

    def _die(self) -> None:
        task = next(t for t in self.all_tasks if self._is_wanted(t))
        task["DesiredState"], task["Status"]["State"], task["Status"]["Err"] = (
            "shutdown",
            "failed",
            "task: non-zero exit (7)",
        )
        self._add(task["Slot"], "starting")

    def _add(self, slot: int, state: str) -> dict[str, Any]:
        task = {
            "ID": f"t{len(self.all_tasks) + 1}",
            "NodeID": "n1",
            "Slot": slot,
            "DesiredState": "running",
            "Status": {"State": state, "ContainerStatus": {"ExitCode": 0}},
            "Spec": {"ContainerSpec": {"Image": self.image()}},
        }
        self.all_tasks.append(task)
        return task

    def _fate(self) -> str:
        return self.fates.get(self.image().partition("@")[2], "well")

    def _is_wanted(self, task: Mapping[str, Any]) -> bool:
        return bool(task["DesiredState"] == "running")

    def _replicas(self) -> int:
        return int(self.spec["Mode"]["Replicated"]["Replicas"])

    def _template(self, spec: Mapping[str, Any]) -> Any:
        return spec["TaskTemplate"]["ContainerSpec"]

    def _shown(self) -> dict[str, Any]:
        shown = {"ID": "s1", "Version": {"Index": self.index}, "Spec": copy.deepcopy(self.spec)}
        return {**shown, "UpdateStatus": dict(self.status)} if self.status else shown

    def _up(self) -> None:
        if self.is_away:
            raise EngineUnavailable("the swarm did not answer")


@dataclass
class SimJob(SimSwarm):
    """A job of two tasks. Every write runs it; a task that fails is tried again, for ever."""

    iteration: int = 0

    def __post_init__(self) -> None:
        for slot in range(2):
            self._add(slot, "complete")

    def write(self, spec: Mapping[str, Any]) -> None:
        if "UpdateConfig" in spec:
            raise EngineError("Jobs may not have an update config")
        super().write(spec)
        self.status = {}
        self.iteration += 1
        for task in self.all_tasks:
            if task["Status"]["State"] == "running":
                task["Status"]["State"] = task["DesiredState"] = "shutdown"
        for slot in range(2):
            self._add(slot, "running")

    def runs(self) -> list[str]:
        """Return the image of each run that was begun, the first left out."""
        first = {each["JobIteration"]["Index"]: each for each in self.all_tasks}
        return [first[number]["Spec"]["ContainerSpec"]["Image"] for number in sorted(first) if number]

    def _step(self) -> None:
        now = [task for task in self.all_tasks if task["Status"]["State"] == "running"]
        if not now or self._fate() == "stuck":
            return
        if self._fate() == "well":
            now[0]["Status"]["State"] = "complete"
            return
        now[0]["Status"].update(
            State="failed", Err="task: non-zero exit (3)", ContainerStatus={"ExitCode": 3}
        )
        now[0]["DesiredState"] = "shutdown"
        self._add(now[0]["Slot"], "running")

    def _add(self, slot: int, state: str) -> dict[str, Any]:
        task = {
            **super()._add(slot, state),
            "DesiredState": "complete",
            "JobIteration": {"Index": self.iteration},
        }
        self.all_tasks[-1] = task
        return task

    def _shown(self) -> dict[str, Any]:
        return {**super()._shown(), "JobStatus": {"JobIteration": {"Index": self.iteration}}}


def job_spec(image: str, **template: Any) -> dict[str, Any]:
    """Return the spec of a job `shop_web` of two tasks, as `docker stack deploy` writes it."""
    spec = web_spec(image, Mode={"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}})
    del spec["UpdateConfig"]
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], **template}}


def web_spec(image: str, **more: Any) -> dict[str, Any]:
    """Return the spec of a stack's service `shop_web` with two tasks, as `docker stack deploy` does."""
    return {
        "Name": "shop_web",
        "Labels": {"com.docker.stack.namespace": "shop", "com.docker.stack.image": image.partition("@")[0]},
        "TaskTemplate": {
            "ContainerSpec": {"Image": image, "Env": ["PASSWORD=hunter2"]},
            "Placement": {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "UpdateConfig": {
            "Parallelism": 1,
            "FailureAction": "pause",
            "Delay": 2 * _SECOND,
            "Order": "start-first",
        },
        **more,
    }
