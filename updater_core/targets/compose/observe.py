"""What stands on the host for one service: its project, its containers, what its file says, what really runs.

The containers' own Compose labels say how the project was started; the configuration only says which one is
meant.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from updater_core import reference
from updater_core.composefile import edit
from updater_core.composefile.edit import Located, NotEditable, SourceFile
from updater_core.host import permissions
from updater_core.models import Container, Hold, Image, Project, Reason, ServiceConfig
from updater_core.targets.compose import names
from updater_core.targets.compose.dependencies import has_ended
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.compose.reading import observed, origin, sources, stopped
from updater_core.targets.compose.reading.observed import ObservedService
from updater_core.targets.compose.reading.sources import FileCache

_PREFIX = "com.docker.compose.project."
ContainerIndex = Mapping[tuple[str, str], tuple[Container, ...]]
Inspect = Callable[[str], Container | None]
NO_FILES = ""
_OF_A_MANAGER = "if a manager's container (Portainer, Dockge) started it, write its folder in `path_map`"


def container_index(containers: Sequence[Container]) -> ContainerIndex:
    """Return every Compose container of the host, by the files it was started from and its service.

    Under `NO_FILES` if these are not there any more.
    """
    found: dict[tuple[str, str], tuple[Container, ...]] = {}
    for container in containers:
        # By real paths: Compose writes the path as it was given, which may lead through a link.
        for path in {os.path.realpath(path) for path in origin.listed_files(container) or ()} or {NO_FILES}:
            found[path, container.service] = (*found.get((path, container.service), ()), container)
    return found


def look(
    service: ServiceConfig,
    known: ContainerIndex,
    image: Callable[[str], Image | None],
    memory: FileCache,
    inspect: Inspect,
) -> ObservedService | Hold:
    """Return what stands for `service`, given every Compose container of the host.

    `image` looks at a local image, `inspect` at a container that has ended: a list does not have its restart
    policy.
    """
    # The order of these checks is that of what explains most: a missing file explains missing containers, and
    # a wrong name explains both.
    absent = _absent(service)
    if absent is not None:
        return absent
    mine = _own_containers(service, known, memory, inspect)
    if isinstance(mine, Hold):
        return _misnamed(service, known, memory) or mine
    project = project_of(service, mine)
    if isinstance(project, Hold):
        return project
    read = sources.read(project, memory)
    if isinstance(read, Hold):
        return read
    files, env_files = read
    # Only now are the files known that the project includes, to which the configured one may belong.
    stranger = _not_started_from(service, mine, project, files)
    if stranger is not None:
        return stranger
    located = _locate_all(service, files, env_files, memory)
    if isinstance(located, Hold):
        return located
    built = next((observed.built_here(one, mine, image) for one in located if one.is_built), None)
    if built is not None:
        return built
    found = observed.references(service, located, mine)
    if isinstance(found, Hold):
        return found
    own = next(each for each in found if each.key == service.image.key)
    seen = ObservedService(project, files, env_files, located, own, mine, frozenset())
    return observed.of_every_repository(seen, found, image)


def unless_own(found: ObservedService | Hold, own_container: str | None) -> ObservedService | Hold:
    """Return the service as it is, or a hold if this process runs in it: its restart would end us."""
    if isinstance(found, Hold) or own_container is None:
        return found
    if all(container.id != own_container for container in found.containers):
        return found
    return own_container_hold(found.project, [located.service for located in found.located])


def own_container_hold(project: Project, services: Sequence[str]) -> Hold:
    """Return the hold for services whose restart would end this process."""
    # A recreate would end this process between the old container's stop and the new one's start, and nobody
    # would be left to recover.
    command = f"docker compose -p {project.name} up -d --pull always {' '.join(services)}"
    remedy = f"update it by hand, in its folder on the host: `{command}`"
    return Hold(Reason.OWN_CONTAINER, "this is the container that the updater itself runs in", remedy)


def _absent(service: ServiceConfig) -> Hold | None:
    """Return the hold for a missing file, which would look like a service that never ran.

    Containers are found by their files, so this is said first.
    """
    found = [_absence(path) for path in service.compose_files if not os.path.isfile(path)]  # noqa: PTH113
    if not found:
        return None
    remedies = "; ".join(dict.fromkeys(remedy for _, remedy in found))
    return Hold(Reason.FILE_UNREADABLE, "; ".join(detail for detail, _ in found), remedies)


def _absence(path: str) -> tuple[str, str]:
    """Return why a configured path is no file, and what to do about it."""
    closed = permissions.closed_above(Path(path))
    if closed is not None:
        return f"{path} cannot be looked at: {closed} may not be entered", permissions.editing_remedy(
            Path(path)
        )
    is_something = os.path.exists(path)  # noqa: PTH110
    what = "is not a file" if is_something else "is not there"
    return f"{path} {what}", "put it back, or correct compose_file"


def _misnamed(service: ServiceConfig, known: ContainerIndex, memory: FileCache) -> Hold | None:
    """Return why there is no container, if the configuration has a wrong name or file; else None."""
    read = sources.read(_fresh_project(service), memory)
    if isinstance(read, Hold):
        return None
    files, env_files = read
    for name in service.compose_services:
        located = locate_in(files, env_files, name, memory)
        if isinstance(located, NotEditable) and located.reason is Reason.NOT_IN_FILE:
            return names.not_in_files(service, name, located.detail, edit.services(files), known)
        # It runs from this very file, so its name is right and something else is wrong with it.
        if any((os.path.realpath(path), name) in known for path in service.compose_files):
            continue
        elsewhere = names.started_elsewhere(service, name, known)
        if elsewhere is not None:
            return elsewhere
    return None


def containers_of(service: ServiceConfig, known: ContainerIndex, memory: FileCache) -> tuple[Container, ...]:
    """Return a service's containers in any state, whatever is wrong with it, of all projects of its files."""
    places = itertools.product(map(os.path.realpath, service.compose_files), service.compose_services)
    found = {container.id: container for place in places for container in known.get(place, ())}
    return tuple((found or _through_include(service, known, memory)).values())


def inspected(containers: Sequence[Container], inspect: Inspect) -> tuple[Container, ...]:
    """Return the containers, ended ones as an inspect shows them, with their labels as they were listed."""
    found: list[Container] = []
    for listed in containers:
        now = inspect(listed.id) if listed.status == "exited" else None
        # A manager's paths in the labels were mapped to the host's when they were listed; an inspect has them
        # unmapped.
        found.append(listed if now is None else replace(now, labels=listed.labels))
    return tuple(found)


def _own_containers(
    service: ServiceConfig, known: ContainerIndex, memory: FileCache, inspect: Inspect
) -> tuple[Container, ...] | Hold:
    found = containers_of(service, known, memory)
    project = service.own(ComposeSettings).compose_project
    mine = tuple(container for container in found if project in (None, container.project))
    projects = sorted({container.project for container in mine})
    if len(projects) > 1:
        detail = f"{service.compose_files[0]} runs as more than one project: {', '.join(projects)}"
        return Hold(Reason.AMBIGUOUS_PROJECT, detail, 'name the one that is meant with "compose_project"')
    other = None if mine else names.of_other_project(service, found)
    if other is not None:
        return other
    orphans = [c for name in service.compose_services for c in known.get((NO_FILES, name), ())]
    moved = next((c for c in orphans if not mine and _may_be_moved(service, c)), None)
    if moved is not None:
        return _moved(service, moved)
    return _unless_stopped(service, inspected(mine, inspect), memory)


def _through_include(
    service: ServiceConfig, known: ContainerIndex, memory: FileCache
) -> dict[str, Container]:
    """Return the containers of a service whose file is included by their project's own files.

    Compose writes only the latter on a container.
    """
    wanted = set(map(os.path.realpath, service.compose_files))
    # Only projects with a service of this name are read: to read all of them would cost a parse for each
    # project of the host.
    places = [(path, name) for path, name in known if path and name in service.compose_services]
    candidates = {container.id: container for place in places for container in known[place]}
    found: dict[str, Container] = {}
    for container in candidates.values():
        read = sources.read(origin.started_from(container), memory)
        if isinstance(read, Hold):
            continue
        files, _ = read
        if wanted <= {os.path.realpath(file.path) for file in files}:
            found[container.id] = container
    return found


def _may_be_moved(service: ServiceConfig, orphan: Container) -> bool:
    """Return whether a container whose files are gone may be the service's, from another folder."""
    try:
        key = reference.parse(orphan.reference).key
    except ValueError:
        return False
    # Labels that name no file say nothing of a folder that may have been moved.
    is_named = bool(orphan.labels.get(f"{_PREFIX}config_files"))
    project = service.own(ComposeSettings).compose_project
    return is_named and key == service.image.key and project in (None, orphan.project)


def _moved(service: ServiceConfig, orphan: Container) -> Hold:
    there = Project(orphan.project, str(Path(service.compose_files[0]).parent), service.compose_files)
    command = origin.by_hand(there, "up -d --force-recreate")
    return Hold(
        Reason.FILE_UNREADABLE,
        (
            f"{orphan.name} was started from files that are not to be found: "
            f"{orphan.labels.get(f'{_PREFIX}config_files')}"
        ),
        f"if its folder was moved, run `{command}` there once; {_OF_A_MANAGER}; else remove that container",
    )


def _unless_stopped(
    service: ServiceConfig, mine: tuple[Container, ...], memory: FileCache
) -> tuple[Container, ...] | Hold:
    if service.own(ComposeSettings).start_stopped:
        return mine
    for name in service.compose_services:
        states = [container for container in mine if container.service == name]
        is_one_shot = has_ended(states) and _is_declared_one_shot(states[0], memory)
        hold = stopped.hold_for(service, name, states, is_one_shot=is_one_shot)
        if hold is not None:
            return hold
    return mine


def _is_declared_one_shot(container: Container, memory: FileCache) -> bool:
    return container.service in sources.one_shots_of(origin.started_from(container), memory)


def project_of(service: ServiceConfig, mine: Sequence[Container]) -> Project | Hold:
    """Return the project as its newest container's labels tell it, or as a first `up` would make it."""
    if not mine:
        return _fresh_project(service)
    # All of them are of one project by now, and the list of the engine has the newest first.
    labels = mine[0].labels
    files = origin.listed_files(mine[0])
    if files is None:
        return Hold(
            Reason.FILE_UNREADABLE,
            (
                f"{mine[0].name} was started from files that are not there: "
                f"{labels.get(f'{_PREFIX}config_files')}"
            ),
            f"run `docker compose -p {mine[0].project} up -d --force-recreate` once, from files that stay; "
            f"{_OF_A_MANAGER}",
        )
    return origin.project_by_labels(mine[0], files)


def _not_started_from(
    service: ServiceConfig, mine: Sequence[Container], project: Project, files: Sequence[SourceFile]
) -> Hold | None:
    """Return why a configured file is not the service's: its project neither began with nor includes it."""
    read = {os.path.realpath(file.path) for file in files}
    absent = [path for path in service.compose_files if os.path.realpath(path) not in read]
    if not mine or not absent:
        return None
    return Hold(
        Reason.NOT_IN_FILE,
        f"{mine[0].name} was not started from {', '.join(absent)}",
        f"it was started from {', '.join(project.files)}: write those as compose_file",
    )


def _fresh_project(service: ServiceConfig) -> Project:
    first = service.compose_files[0]
    name = service.own(ComposeSettings).compose_project or origin.default_project_name(first)
    return Project(name, str(Path(first).parent), service.compose_files)


def files_started_with(container: Container, compose_files: Sequence[str]) -> tuple[str, ...]:
    """Return the files that a container's labels name, and its project's `.env`, whether seen or not.

    None if `compose_files` are none of them.
    """
    named = [path for path in container.labels.get(f"{_PREFIX}config_files", "").split(",") if path]
    directory = container.labels.get(f"{_PREFIX}working_dir", "/")
    paths = [os.path.normpath(os.path.join(directory, path)) for path in named]  # noqa: PTH118
    # Compared as texts: nothing of this may be readable from here, so that links cannot be followed.
    if not set(paths) & set(compose_files):
        return ()
    env_files = [path for path in container.labels.get(f"{_PREFIX}environment_file", "").split(",") if path]
    return (*paths, *(env_files or [os.path.join(directory, ".env")]))  # noqa: PTH118


def _locate_all(
    service: ServiceConfig, files: Sequence[SourceFile], env_files: Sequence[SourceFile], memory: FileCache
) -> tuple[Located, ...] | Hold:
    found: list[Located] = []
    for name in service.compose_services:
        located = locate_in(files, env_files, name, memory)
        problem = located if isinstance(located, NotEditable) else _never_pulled(located)
        if problem is not None:
            return Hold(problem.reason, problem.detail, problem.remedy)
        if isinstance(located, Located):
            found.append(located)
    return tuple(found)


def locate_in(
    files: Sequence[SourceFile], env_files: Sequence[SourceFile], service: str, memory: FileCache
) -> Located | NotEditable:
    """Return the place of a service's image; worked out again only if one of the files changed."""
    key = (service, *(file.path for file in (*files, *env_files)))
    found: Located | NotEditable = memory.places.made_of(
        key, (files, env_files), lambda: edit.locate(files, env_files, service)
    )
    return found


def _never_pulled(located: Located) -> NotEditable | None:
    obstacle = located.obstacle
    return obstacle if obstacle is not None and obstacle.reason is Reason.LOCALLY_BUILT else None
