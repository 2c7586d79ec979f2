"""What the files of a dependent's project say of its ties, and whether they can be read at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core.host import permissions
from updater_core.models import Container, Project
from updater_core.targets.compose.dependents import ties
from updater_core.targets.compose.reading import origin

_LABEL = "com.docker.compose."
_NAMESPACES = ("network_mode", "ipc", "pid")
_BY_CONTAINER, _BY_SERVICE = "container:", "service:"


@dataclass(frozen=True, slots=True)
class Unrestartable:
    """Why containers cannot be recreated, and what to do about it."""

    who: str
    why: str
    remedy: str


def obstacle(containers: Sequence[Container], why: str, remedy: str) -> Unrestartable:
    """Return the obstacle of these containers, all of one project or of none."""
    project = containers[0].project
    names = ", ".join(each.name for each in containers)
    return Unrestartable(f"{names} (project {project})" if project else names, why, remedy)


def unreadable(project: Project, containers: Sequence[Container]) -> Unrestartable | None:
    """Return why the project's files cannot be found or read, or its folder entered; None if they can."""
    found = [*_unreadable(project, containers[0].labels)]
    if not found:
        return None
    why = "; ".join(why for why, _ in found)
    return obstacle(containers, why, "; ".join(dict.fromkeys(remedy for _, remedy in found)))


def _unreadable(project: Project, labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    text = labels.get(f"{_LABEL}project.config_files", "")
    # Without files that can be found, the label at least says which ones to look for.
    paths = [*project.files] or [path for path in text.split(",") if path.startswith("/")]
    closed = [path for path in (*paths, *project.env_files) if not os.access(path, os.R_OK)]
    for path in closed:
        yield (
            f"its file {path} is not there, or may not be read",
            permissions.reading_remedy(Path(path)),
        )
    if not project.files and not closed:
        yield (
            f"its files are not to be found: {text or 'its labels name none'}",
            "if a manager's container started it, write its folder in `path_map`",
        )
    # Compose reads `.env` and relative paths from there, even if the files are elsewhere.
    elif project.files and not os.access(project.directory, os.X_OK):
        yield (
            f"its folder {project.directory} is not there, or may not be entered",
            permissions.reading_remedy(Path(project.directory, ".")),
        )


def difference(
    container: Container, model: Mapping[str, Any], going: Sequence[Container], names_after: Mapping[str, str]
) -> Unrestartable | None:
    """Return why its service would not come back to what it is tied to now; None if it would.

    Its file says something else, names the container by an id, which goes with it, or by a name that it will
    not have any more. `names_after`: the name that each container which goes will have, by its id.
    """
    written = (model.get("services") or {}).get(container.service)
    if not isinstance(written, Mapping):
        return obstacle(
            [container], f"its file has no service {container.service} any more", _deploy(container)
        )
    named = [*_named(written)]
    for name in named:
        for other in going:
            found = _of_name(name, other, names_after.get(other.id, other.name))
            if found is not None:
                return obstacle([container], *found)
    # The container lives where the engine put it; its file may name something else by now.
    is_said = any(name == other.name for name in named for other in going)
    if is_said or _borrows_within_project(written):
        return None
    return obstacle([container], "its file does not say so (edited since its last `up`?)", _deploy(container))


def _of_name(name: str, other: Container, name_after: str) -> tuple[str, str] | None:
    if name == other.name:
        if name_after == name:
            return None
        keep = (
            f"write `container_name: {name}` for {other.service} of project {other.project}, and deploy that"
        )
        return f"its file names {name}, which Compose will call {name_after}", keep
    if ties.is_id_of(name, other):
        correct = f"write `{_BY_CONTAINER}{other.name}` in its place, and deploy that"
        return f"its file names {other.name} by its id, which goes with it", correct
    return None


def _deploy(container: Container) -> str:
    folder = container.labels.get(f"{_LABEL}project.working_dir", "its folder")
    command = origin.by_hand_of(container, f"up -d {container.service}")
    return f"see what `{command}` in {folder} would make of it, and run it"


def _named(written: Mapping[str, Any]) -> Iterator[str]:
    """Yield the containers that a service of a model names, for their namespaces or their volumes.

    >>> list(_named({"network_mode": "container:vpn", "volumes_from": ["container:data:ro", "own"]}))
    ['vpn', 'data']
    """
    for key in _NAMESPACES:
        mode = str(written.get(key) or "")
        if mode.startswith(_BY_CONTAINER):
            yield mode.removeprefix(_BY_CONTAINER)
    for one in written.get("volumes_from") or ():
        if str(one).startswith(_BY_CONTAINER):
            yield str(one).removeprefix(_BY_CONTAINER).partition(":")[0]


def _borrows_within_project(written: Mapping[str, Any]) -> bool:
    """Return whether it is tied to a service of its own project, whose container Compose finds by itself."""
    modes = [str(written.get(key) or "") for key in _NAMESPACES]
    lenders = [str(one) for one in written.get("volumes_from") or ()]
    by_service = any(mode.startswith(_BY_SERVICE) for mode in modes)
    # `volumes_from` means a service unless it says `container:`.
    return by_service or any(not one.startswith(_BY_CONTAINER) for one in lenders)


def name_after(container: Container, model: Mapping[str, Any], *, is_v1: bool) -> str:
    """Return the name that Compose gives to a container when it makes it anew.

    v1 and v2 put another sign between the parts.

    >>> one = Container("0f", "vpn_web_1", "vpn", "web", "", "", "running", "", 0,
    ...     labels={"com.docker.compose.container-number": "1"})
    >>> name_after(one, {}, is_v1=True), name_after(one, {}, is_v1=False)
    ('vpn_web_1', 'vpn-web-1')
    """
    written = (model.get("services") or {}).get(container.service) or {}
    if written.get("container_name"):
        return str(written["container_name"])
    parts = (container.project, container.service, container.labels.get(f"{_LABEL}container-number", "1"))
    return ("_" if is_v1 else "-").join(parts)
