"""The one value that carries a service from observation to decision, and the memory that many of them add to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from updater_core.deploy.target import Observed
from updater_core.models import Decision, Hold, Reason, ServiceConfig
from updater_core.state.records import ServiceState, State


@dataclass(frozen=True, slots=True)
class Candidate:
    """A service on its way from observation to decision.

    `observed`: None if it could not be seen. `digest`: of what runs, as the registry knows it. `before`: what was
    remembered of the service when the cycle began.
    """

    service: ServiceConfig
    observed: Observed | None
    decision: Decision = field(default_factory=lambda: Hold(Reason.INTERNAL_ERROR, "nothing was decided"))
    digest: str | None = None
    before: ServiceState = field(default_factory=ServiceState)


class SharedMemory:
    """What is remembered of services and repositories, while threads add what registries say. What one service's thread
    adds is there for the next that asks about the same repository."""

    def __init__(self, state: State) -> None:
        self._lock = threading.Lock()
        self._services, self._seen = dict(state.services), dict(state.seen)

    def part(self, name: str, key: str) -> State:
        """Return the state of one service and its repository (`ImageRef.key`) alone, so that many cost no more than
        their number."""
        with self._lock:
            return self._part(name, key)

    def fold(self, name: str, key: str, change: Callable[[State], State]) -> State:
        """Put a change of this part into the memory, and return the part as it is then."""
        with self._lock:
            part = change(self._part(name, key))
            self._services.update(part.services)
            self._seen.update(part.seen)
            return part

    def into(self, state: State) -> State:
        """Return the state with everything that was added."""
        with self._lock:
            return replace(state, services=dict(self._services), seen=dict(self._seen))

    def _part(self, name: str, key: str) -> State:
        services = {name: self._services[name]} if name in self._services else {}
        return State(services, {key: self._seen[key]} if key in self._seen else {})
