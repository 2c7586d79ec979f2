"""A service that the configuration names and the host does not have: its right name, or its right file.

Pure.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from updater_core import reference
from updater_core.models import Container, Hold, Reason, ServiceConfig
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.vocabulary.similar import closest

Known = Mapping[tuple[str, str], tuple[Container, ...]]


def identity(service: ServiceConfig) -> str | None:
    """Return what identifies a service apart from its name: its Compose file, project and services.

    None if it has no such file.
    """
    if not service.compose_files:
        return None
    project = service.own(ComposeSettings).compose_project
    return "\n".join((service.compose_files[0], project or "", *sorted(service.compose_services)))


def members_of(group: str) -> tuple[str, frozenset[str]]:
    """Return the Compose file and the services in an `identity`; an empty file for another target's."""
    path, *names = group.split("\n")
    return (path, frozenset(names[1:])) if path.startswith("/") else ("", frozenset())


def not_in_files(
    service: ServiceConfig, missing: str, detail: str, names: tuple[str, ...], known: Known
) -> Hold:
    """Return the hold for a compose_service that stands in none of the files; its remedy says what to write.

    `names`: the services of these files. `detail`: what is wrong, with these names.
    """
    remedy = (
        # In the order of how sure each is: a name that `docker ps` shows, then a service that runs elsewhere,
        # then a likely typing error.
        _by_container_name(missing, known)
        or _by_other_file(service, missing, known)
        or _by_spelling(missing, names)
    )
    return Hold(Reason.NOT_IN_FILE, detail, remedy)


def started_elsewhere(service: ServiceConfig, name: str, known: Known) -> Hold | None:
    """Return a hold if nothing at all runs from the configured files, but this service does from others.

    The configured file may then be a copy: an update of it would be seen nowhere.
    """
    own = {os.path.realpath(path) for path in service.compose_files}
    # Something runs from the file, so it is in use, and only this service is missing.
    if any(path in own for path, _ in known):
        return None
    remedy = _by_other_file(service, name, known)
    if not remedy:
        return None
    files = ", ".join(service.compose_files)
    return Hold(
        Reason.NOT_IN_FILE,
        f"nothing runs from {files}, and a service {name} of the same image runs from another file",
        f'{remedy}; or start it from this one, or set "enabled": false for {service.name}',
    )


def of_other_project(service: ServiceConfig, found: Iterable[Container]) -> Hold | None:
    """Return a hold if a service runs from its very files, but as another project than the configured one.

    A start as that one would make a second copy.
    """
    running = next((each for each in found if each.status in ("running", "restarting")), None)
    if running is None:
        return None
    configured = service.own(ComposeSettings).compose_project
    detail = f"{running.name} runs from these files as project {running.project}, not as {configured}"
    return Hold(
        Reason.SECOND_COPY, detail, f'write "compose_project": "{running.project}" for {service.name}'
    )


def _by_container_name(missing: str, known: Known) -> str:
    found = next((each for each in _containers(known) if each.name == missing), None)
    if found is None:
        return ""
    return (
        f'{missing} is a container of the service {found.service}: write "compose_service": "{found.service}"'
    )


def _by_other_file(service: ServiceConfig, name: str, known: Known) -> str:
    paths = sorted(
        {path for (path, each), some in known.items() if each == name and _is_of_image(service, some)}
    )
    others = [path for path in paths if path and path not in service.compose_files]
    return f'{name} runs from {others[0]}: write "compose_file": "{others[0]}"' if others else ""


def _by_spelling(missing: str, names: tuple[str, ...]) -> str:
    close = closest(missing, names)
    if close:
        return f'write "compose_service": "{close}"'
    return "write the service as it is called in its file, or name the file that has it as compose_file"


def _is_of_image(service: ServiceConfig, containers: tuple[Container, ...]) -> bool:
    return any(_key(each.reference) == service.image.key for each in containers)


def _key(text: str) -> str | None:
    try:
        return reference.parse(text).key
    except ValueError:
        return None


def _containers(known: Known) -> Iterator[Container]:
    for some in known.values():
        yield from some
