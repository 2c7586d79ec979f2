"""What the host, or something that a service depends on, lacks now, so that no release could do well.

Asked when a container has failed: what it did for want of something is not held against its release.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from updater_core.errors import UpdaterError
from updater_core.host.engine.own_host import is_host_ours
from updater_core.host.engine.space import scarce
from updater_core.models import Container, ContainerSettings, Plan
from updater_core.protocols import Tools
from updater_core.targets.compose.dependencies import COMPLETED, HEALTHY, is_stopped_by_hand
from updater_core.targets.compose.plan import ComposePlan

_DEPENDS_ON = "com.docker.compose.depends_on"  # `db:service_healthy:false,cache:service_started:true`
_LOG_LINES = 50
# ENOSPC and EDQUOT, as the C library words them, and with it nearly every program
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded|ENOSPC|EDQUOT", re.IGNORECASE)
_KILLED = 137  # by SIGKILL, which no program sends itself
_OWN_NETWORKS = {"bridge", "host", "none"}  # of the engine: no names are found there
_TELLING = 2  # a name of fewer characters stands in too many values by chance


@dataclass(frozen=True, slots=True)
class _Watched:
    """A container that was judged, with what it was created with."""

    container: Container
    settings: ContainerSettings


def found(plan: Plan[ComposePlan], tools: Tools, *, is_back: bool) -> str:
    """Return what is lacking, in words; empty if nothing is seen to be.

    `is_back`: the old release was judged, which did well here before; then it is enough that something may be
    why, and a dependency need not be declared. Raises UpdaterError if the engine does not tell.
    """
    watched = tuple(_watched(plan, tools))
    lacking = [*_full_disks(watched, tools, is_back=is_back), *_lost_namespaces(plan, watched, tools)]
    lacking += _unready(plan, watched, tools, is_back=is_back)
    if is_back:
        lacking += [*_killed(watched), *_neighbours(plan, watched, tools)]
    return "; ".join(dict.fromkeys(lacking))


def _watched(plan: Plan[ComposePlan], tools: Tools) -> Iterator[_Watched]:
    pairs = [(plan.detail.project, move) for move in plan.detail.everyone]
    pairs += [(each.project, move) for each in plan.detail.dependent_projects for move in each.moves]
    for project, move in pairs:
        for container in tools.engine.containers(project.name, move.service):
            settings = tools.engine.settings(container.id)
            if settings is not None:
                yield _Watched(container, settings)


# ------------------------------------------------------------------------------------------------------ disks


def _full_disks(watched: Sequence[_Watched], tools: Tools, *, is_back: bool) -> Iterator[str]:
    """Yield each disk that is full: the engine's own, and those of mounted paths.

    A full disk of films keeps no release from starting, so of a new one its own words are wanted besides.
    """
    if not is_host_ours():
        return
    of_engine = scarce(tools.engine.data_root())
    if of_engine:
        yield of_engine
    for one in watched:
        full = [text for source, _ in sorted(one.settings.binds) if (text := scarce(source))]
        if full and (is_back or _says_no_space(one.container, tools)):
            yield full[0]


def _says_no_space(container: Container, tools: Tools) -> bool:
    said = f"{container.error} {container.health_log}"
    with suppress(UpdaterError):  # a log driver that gives nothing back
        said = f"{said} {tools.engine.log_tail(container.id, _LOG_LINES)}"
    return _NO_SPACE.search(said) is not None


# ----------------------------------------------------------------------------------------- other containers


def _lost_namespaces(plan: Plan[ComposePlan], watched: Sequence[_Watched], tools: Tools) -> Iterator[str]:
    """Yield each container of others whose namespace one of the group lives in, and which does not run.

    Dependents are left out: they live in those of the group, which is recreated.
    """
    group = {move.service for move in plan.detail.moves}
    own = {i for move in plan.detail.everyone for i in move.container_ids}
    own |= {name for one in watched for name in (one.container.id, one.container.name)}
    for one in watched:
        container = one.container
        if container.project != plan.detail.project.name or container.service not in group:
            continue
        for name in [name for name in container.joined if name not in own]:
            lender = tools.engine.container(name)
            if lender is None or lender.status != "running":
                state = "is gone" if lender is None else f"is {lender.status}"
                called = name if lender is None else lender.name
                yield f"{called}, whose namespace {container.name} lives in, {state}"


def _unready(
    plan: Plan[ComposePlan], watched: Sequence[_Watched], tools: Tools, *, is_back: bool
) -> Iterator[str]:
    """Yield each declared dependency of the project that is not ready."""
    own = {move.service for move in plan.detail.everyone}
    for one in watched:
        for text in filter(None, one.container.labels.get(_DEPENDS_ON, "").split(",")):
            name, condition = (*text.split(":"), "")[:2]
            containers = () if name in own else tools.engine.containers(one.container.project, name)
            state = "" if name in own else _state(condition, containers, is_back=is_back)
            if state:
                yield f"{name}, which {one.container.service} depends on, {state}"


def _state(condition: str, containers: Sequence[Container], *, is_back: bool) -> str:
    """Return how a dependency is, if it is not ready; empty if it is.

    One that somebody has stopped by hand, or that was never made, may have been so all along: then a new
    release has nothing to excuse it.
    """
    if not containers:
        return "is not there" if is_back or condition == HEALTHY else ""
    for container in containers:
        if condition == COMPLETED and container.status == "exited" and container.exit_code == 0:
            continue
        if container.status != "running" and (is_back or not is_stopped_by_hand(container)):
            return f"is {container.status}"
        if container.health == "unhealthy" or (condition == HEALTHY and container.health == "starting"):
            return f"is {container.health}"
    return ""


def _killed(watched: Sequence[_Watched]) -> Iterator[str]:
    """Yield each container that was killed without having reached a memory limit of its own.

    Somebody did it, or a host that ran out of memory.
    """
    for one in watched:
        is_of_own_making = one.container.oom_killed and one.settings.has_memory_limit
        if one.container.exit_code == _KILLED and not is_of_own_making:
            yield f"{one.container.name} was killed from outside (is the host short of memory?)"


def _neighbours(plan: Plan[ComposePlan], watched: Sequence[_Watched], tools: Tools) -> Iterator[str]:
    """Yield each container on a network of the group's that its environment names, and that does not do well.

    It may be of any project.
    """
    own_ids = {one.container.id for one in watched}
    others = [each for each in tools.engine.all_containers() if each.id not in own_ids]
    for one in watched:
        words = frozenset(re.findall(r"[\w][\w.-]*", " ".join(one.settings.environment.values())))
        for listed in others:
            if words.isdisjoint(_names(listed)) or _is_in(plan, listed):
                continue
            state = _state_of_neighbour(listed, one.settings.networks - _OWN_NETWORKS, tools)
            if state:
                yield f"{listed.name}, which {one.container.name} knows by its name, is {state}"


def _names(listed: Container) -> set[str]:
    return {name for name in (listed.name, listed.service) if len(name) > _TELLING}


def _is_in(plan: Plan[ComposePlan], listed: Container) -> bool:
    own = plan.detail.project.name == listed.project
    return own and listed.service in {move.service for move in plan.detail.everyone}


def _state_of_neighbour(listed: Container, networks: frozenset[str], tools: Tools) -> str:
    """Return how a container on one of these networks is, if it does not do well; empty if it does."""
    settings, container = tools.engine.settings(listed.id), tools.engine.container(listed.id)
    if settings is None or container is None or not settings.networks & networks:
        return ""
    has_ended_well = container.status == "exited" and container.exit_code == 0
    if container.status != "running" and not has_ended_well:
        return container.status
    return "unhealthy" if container.health == "unhealthy" else ""
