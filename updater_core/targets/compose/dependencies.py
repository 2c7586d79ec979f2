"""What the services of a project wait for (`depends_on`), and whether that is ready now.

`config` writes implicit dependencies out (namespaces, links, `volumes_from`), so that `depends_on` of a
resolved model is all there is (https://docs.docker.com/reference/compose-file/services/#depends_on).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from updater_core.models import Container

_LEFT_ENDED = ("", "no", "on-failure")
_STOPPED_BY_HAND = {0, 130, 137, 143}  # ended well, or by SIGINT, SIGKILL, SIGTERM: nobody's crash
_IS_NONE = (0, "0")
_NAMESPACES = ("network_mode", "ipc", "pid")
STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
_READY = {HEALTHY: "healthy", COMPLETED: "completed"}
_UNDECIDED = {"starting", "running", "restarting", "created", "paused"}


@dataclass(frozen=True, slots=True)
class Dependency:
    """`service` starts after `on` has come to `condition`; `restart`: it is restarted with that one."""

    service: str
    on: str
    condition: str = STARTED
    is_required: bool = True
    restart: bool = False


def of_service(model: Mapping[str, Any], service: str) -> tuple[Dependency, ...]:
    """Return what one service of a resolved model depends on itself.

    >>> of_service({"services": {"web": {"depends_on": {"db": {"condition": "service_healthy"}}}}}, "web")
    (Dependency(service='web', on='db', condition='service_healthy', is_required=True, restart=False),)
    """
    written = _facts(model, service).get("depends_on") or {}
    if not isinstance(written, Mapping):  # the short form, a list, which `config` of v1 keeps
        written = {str(name): {} for name in written}
    return tuple(_dependency(service, str(name), facts or {}) for name, facts in written.items())


def behind(model: Mapping[str, Any], services: Iterable[str]) -> tuple[Dependency, ...]:
    """Return every dependency that an `up` of `services` heeds: theirs, and those of what they depend on."""
    found: list[Dependency] = []
    seen = set[str]()
    waiting = list(services)
    while waiting:
        service = waiting.pop()
        if service in seen:
            continue
        seen.add(service)
        own = [each for each in of_service(model, service) if _has_containers(_facts(model, each.on))]
        found.extend(own)
        waiting.extend(dependency.on for dependency in own)
    return tuple(found)


def one_shots_before(model: Mapping[str, Any], services: Iterable[str]) -> tuple[str, ...]:
    """Return the services that have to end with 0 before one of `services` starts, in their order.

    >>> done = {"condition": "service_completed_successfully"}
    >>> seed = {"depends_on": {"migrate": done}}
    >>> services = {"web": {"depends_on": {"seed": done}}, "seed": seed, "migrate": {}}
    >>> one_shots_before({"services": services}, ["web"])
    ('migrate', 'seed')
    """
    found: list[str] = []

    def follow(service: str, trail: frozenset[str]) -> None:
        for dependency in of_service(model, service):
            is_one_shot = dependency.condition == COMPLETED and _has_containers(_facts(model, dependency.on))
            if is_one_shot and dependency.on not in trail:
                follow(dependency.on, trail | {dependency.on})
                if dependency.on not in found:
                    found.append(dependency.on)

    for service in services:
        follow(service, frozenset({service}))
    return tuple(found)


def restarted_with(model: Mapping[str, Any], services: Iterable[str]) -> frozenset[str]:
    """Return the services that are declared to restart with one of `services` (`restart: true`)."""
    recreated = frozenset(services)
    names = [str(name) for name in model.get("services") or {}]
    every = [each for name in names for each in of_service(model, name)]
    return frozenset(each.service for each in every if each.restart and each.on in recreated) - recreated


def has_ended(containers: Sequence[Container]) -> bool:
    """Return whether all of a service's containers have ended, and nobody restarts them."""
    is_left = all(each.status == "exited" and each.restart_policy in _LEFT_ENDED for each in containers)
    return bool(containers) and is_left


def has_ended_well(containers: Sequence[Container]) -> bool:
    """Return whether all of a service's containers have ended with 0, and nobody restarts them.

    It is a one-shot that has done its work, or a service that was stopped.
    """
    return has_ended(containers) and all(each.exit_code == 0 for each in containers)


def is_stopped_by_hand(container: Container) -> bool:
    """Return whether a container was stopped, paused or never started by somebody.

    A crash that has ended may get its fix, but these are meant.
    """
    if container.status == "exited":
        return container.exit_code in _STOPPED_BY_HAND
    return container.status in ("created", "paused")


def waiting_for(
    found: Iterable[Dependency], containers: Mapping[str, Sequence[Container]]
) -> Iterator[tuple[Dependency, str]]:
    """Return each dependency that keeps an `up` waiting, or makes it fail, with how it is now: `starting`.

    `containers`: those of each service that is waited for, now.
    """
    for dependency in found:
        state = _unready(dependency, containers.get(dependency.on, ()))
        if state is not None:
            yield dependency, state


def _unready(dependency: Dependency, containers: Sequence[Container]) -> str | None:
    """Return why a dependency is not ready; None if it is, or is a one-shot that has yet to run.

    A dependency that may be missing does not while it has failed.
    """
    if dependency.condition == HEALTHY:
        states = [_health(container) for container in containers] or ["absent"]
    elif dependency.condition == COMPLETED:
        states = [_progress(container) for container in containers]
    else:
        return None
    unready = [state for state in states if state != _READY[dependency.condition]]
    heeded = unready if dependency.is_required else [state for state in unready if state in _UNDECIDED]
    return heeded[0] if heeded else None


def _facts(model: Mapping[str, Any], service: str) -> Mapping[str, Any]:
    found = (model.get("services") or {}).get(service)
    return found if isinstance(found, Mapping) else {}


def _has_containers(facts: Mapping[str, Any]) -> bool:
    """Compose waits for no service that is scaled to none, or that is provided from elsewhere."""
    replicas = (facts.get("deploy") or {}).get("replicas")
    return not facts.get("provider") and facts.get("scale") not in _IS_NONE and replicas not in _IS_NONE


def _dependency(service: str, name: str, facts: Mapping[str, Any]) -> Dependency:
    condition = str(facts.get("condition") or STARTED)
    return Dependency(
        service, name, condition, bool(facts.get("required", True)), bool(facts.get("restart", False))
    )


def _health(container: Container) -> str:
    """Return the container's health as `service_healthy` sees it.

    It is empty without a healthcheck, for which no `service_healthy` ever comes true.
    """
    if container.status != "running":
        return container.status
    return container.health or "running without a healthcheck"


def _progress(container: Container) -> str:
    if container.status != "exited":
        return container.status
    return f"exited with {container.exit_code}" if container.exit_code else "completed"


def sharing_namespaces(
    group: set[str], model: Mapping[str, Mapping[str, Any]], running: Mapping[str, Sequence[Container]]
) -> set[str]:
    """Return the group and the services that live in a namespace of one of its own, at any remove."""
    together, before = set(group), set[str]()
    while together != before:
        before = set(together)
        names = {f"container:{each.name}" for service in before for each in running.get(service, ())}
        together |= {
            name for name, facts in model.items() if running[name] and _stands_on(facts, before, names)
        }
    return together


def _stands_on(facts: Mapping[str, Any], services: set[str], names: set[str]) -> bool:
    """Return whether a service lives in a namespace of these services, or of containers with these names."""
    return bool(services & _lenders(facts) or names & {str(facts.get(key)) for key in _NAMESPACES})


def _lenders(facts: Mapping[str, Any]) -> set[str]:
    """Return the services whose namespaces or volumes a service of the model borrows.

    >>> sorted(_lenders({"network_mode": "service:vpn", "volumes_from": ["data:ro"]}))
    ['data', 'vpn']
    """
    modes = (str(facts.get(key) or "") for key in _NAMESPACES)
    lenders = {mode.removeprefix("service:") for mode in modes if mode.startswith("service:")}
    return lenders | {str(one).partition(":")[0] for one in facts.get("volumes_from") or ()}
