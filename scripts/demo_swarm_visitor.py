"""The visitor of the swarm's demo, and the small proxy by which it reaches the tasks.

A swarm's own published ports want IPVS in the kernel, which not every machine has. So each task publishes its
port on its own node (`mode: host`), and the proxy asks the managers which tasks run and where, as
label-driven proxies do.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from demo_visitor import ask
from docker.errors import DockerException
from swarm_nodes import Cluster, NamespaceNode

_ASK_EVERY_SECONDS = 0.02
_LOOK_EVERY_SECONDS = 0.2
_ANSWER_SECONDS = 10  # of one task: a slow machine is no outage, and a task that is gone refuses at once
_TRIES = 3  # of all tasks that are known, each time with a fresh look
Place = tuple[str, int]


class TaskProxy:
    """Hands a request to the tasks of a service in turn, and to the next one if one refuses."""

    def __init__(self, cluster: Cluster, service: str) -> None:
        self._cluster, self._service = cluster, service
        self._nodes: Mapping[str, str] = {
            each["ID"]: each["ManagerStatus"]["Addr"].rpartition(":")[0]
            for each in cluster.manager.get("/nodes")
        }
        self._by_task: dict[str, tuple[Place, ...]] = {}
        self._places: tuple[Place, ...] = ()
        self._turn = itertools.count()

    def look(self) -> None:
        """Ask where tasks run; what is known stays while no manager answers.

        A new leader does not know the ports of tasks that it has taken over for some seconds, and they do not
        change.
        """
        for node in self._cluster.nodes:
            if node.is_started:
                with suppress(DockerException, OSError, ValueError):
                    self._by_task = {
                        task: ports or self._by_task.get(task, ()) for task, ports in self._running(node)
                    }
                    self._places = tuple(
                        sorted({place for ports in self._by_task.values() for place in ports})
                    )
                    return

    def answer(self) -> str | None:
        """Return the page, of whichever task gives it first; None if none does."""
        for _ in range(_TRIES):
            places, turn = self._places, next(self._turn)
            for number in range(len(places)):
                host, port = places[(turn + number) % len(places)]
                found = ask(port, "/", host, _ANSWER_SECONDS)
                if found is not None:
                    return found
            self.look()
        return None

    def _running(self, node: NamespaceNode) -> list[tuple[str, tuple[Place, ...]]]:
        tasks: Sequence[Any] = node.get("/tasks", filters=json.dumps({"service": [self._service]}))
        if not isinstance(tasks, list):
            raise ValueError("there is no leader")
        running = [task for task in tasks if task["Status"]["State"] == "running"]
        return [(task["ID"], self._ports(task)) for task in running]

    def _ports(self, task: Any) -> tuple[Place, ...]:
        published = (task["Status"].get("PortStatus") or {}).get("Ports") or ()
        return tuple((self._nodes[task["NodeID"]], int(port["PublishedPort"])) for port in published)


@dataclass(slots=True)
class VisitorReport:
    """What the visitor saw in a while.

    Answers by their text, requests that nobody answered, the longest time from one answer to the next.
    """

    answers: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    longest_gap: float = 0.0
    last: float = field(default_factory=time.monotonic)

    @property
    def requests(self) -> int:
        """Return how many requests were made."""
        return self.answers.total() + self.failures

    def words(self) -> str:
        """Return the report as one line of text."""
        by_text = ", ".join(f"{count} from {text}" for text, count in sorted(self.answers.items()))
        return (
            f"{self.requests} requests, {self.failures} failed ({by_text}); longest gap "
            f"{self.longest_gap:.2f} s"
        )


class SwarmVisitor:
    """Asks the proxy fifty times a second, in the background."""

    def __init__(self, proxy: TaskProxy) -> None:
        self._proxy = proxy
        self._seen = VisitorReport()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._visit, self._look)]

    def start(self) -> None:
        """Begin to ask, in threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(1)

    def begin_anew(self) -> None:
        """Forget what was seen; the next gap counts from the last answer."""
        with self._lock:
            self._seen = VisitorReport(last=self._seen.last)

    def seen(self) -> VisitorReport:
        """Return what was seen since `begin_anew`, the gap that is still open too."""
        with self._lock:
            gap = max(self._seen.longest_gap, time.monotonic() - self._seen.last)
            return VisitorReport(Counter(self._seen.answers), self._seen.failures, gap, self._seen.last)

    def _visit(self) -> None:
        while not self._stop.wait(_ASK_EVERY_SECONDS):
            answer, now = self._proxy.answer(), time.monotonic()
            with self._lock:
                if answer is None:
                    self._seen.failures += 1
                    continue
                self._seen.answers[answer] += 1
                self._seen.longest_gap = max(self._seen.longest_gap, now - self._seen.last)
                self._seen.last = now

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_SECONDS):
            self._proxy.look()
