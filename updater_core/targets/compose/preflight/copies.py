"""A second copy of what runs already: an `up` would begin a new project on the same files, folder or data."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from updater_core import reference
from updater_core.models import Container, Hold, Reason
from updater_core.targets.compose.plan import Move
from updater_core.targets.compose.preflight import mounts, needs
from updater_core.targets.compose.preflight.facts import AT_WORK, Deployed, HostFacts

_PROJECT = "com.docker.compose.project."
# What many containers mount side by side without sharing any data.
_SYSTEM = ("/dev", "/proc", "/sys", "/run", "/var/run", "/etc/localtime", "/etc/timezone", "/lib/modules")


def second_copy(facts: HostFacts) -> Hold | None:
    """Return a hold if an `up` would make the group's first containers beside others of the same data.

    The others run from the same file or folder, under the same project's name from other files, or with the
    same path of the host or volume. Beside containers that are stopped, which may have shared their data when
    they ran, only such as run the same software count.
    """
    if facts.own:
        return _copy_of_stopped(facts)
    project = facts.group.project
    for other in facts.others:
        if other.container.project == project.name:
            same = _is_of_other_files(other.container, project.files, project.directory)
            why = f"is project {project.name} already, from other files" if same else None
        else:
            why = _relation(other, facts)
        if why:
            return _hold(facts, other.container, why)
    return None


def _copy_of_stopped(facts: HostFacts) -> Hold | None:
    """Return a hold if a stopped service would be started on the data of what runs in another project.

    What runs is recreated, which makes no second one.
    """
    at_work = {each.container.service for each in facts.own if each.container.status in AT_WORK}
    for move in facts.group.moves:
        for other in facts.others if move.service not in at_work else ():
            is_elsewhere = other.container.project != facts.group.project.name
            shared = _shared(other, facts, [move.service]) if is_elsewhere else None
            if shared and _is_same_software(other.container, move):
                return _hold_of_stopped(facts, move.service, other.container, shared)
    return None


def _is_same_software(other: Container, move: Move) -> bool:
    if other.image_id == move.old_image_id:
        return True
    try:
        return reference.parse(other.reference).key == reference.parse(move.old_reference).key
    except ValueError:
        return False


def _hold_of_stopped(facts: HostFacts, service: str, other: Container, why: str) -> Hold:
    of = f" of project {other.project}" if other.project else ""
    detail = f"{service} is stopped, and {other.name}{of} {why}: no second copy is started"
    remedy = (
        f"if {other.name} has taken its place, write its compose file for {facts.service.name}, or take "
        f"{facts.service.name} out; if not, stop {other.name}"
    )
    return Hold(Reason.SECOND_COPY, detail, remedy)


def _hold(facts: HostFacts, other: Container, why: str) -> Hold:
    """Return the hold; its remedy leads to what runs, and never to a start beside it."""
    name, files = facts.service.name, other.labels.get(f"{_PROJECT}config_files")
    if _real(facts.group.project.files) & _real(_files(other)):
        remedy = f'write "compose_project": "{other.project}" for {name}, for that is what runs'
    elif files:
        remedy = f'write "compose_file": "{files}" and its compose_service for {name}, for that is what runs'
    else:
        remedy = (
            f'stop {other.name} before, if {name} shall take its place; else set "enabled": false for {name}'
        )
    of = f" of project {other.project}" if other.project else ""
    detail = f"{name} has no container, and {other.name}{of} {why}: no second copy is started"
    return Hold(Reason.SECOND_COPY, detail, remedy)


def _real(paths: Iterable[str]) -> set[str]:
    return {os.path.realpath(path) for path in paths}


def is_from_same_place(other: Container, files: Iterable[str], directory: str) -> bool:
    """Return whether a container was started from one of these files, or from their folder."""
    own_files = _real(files)
    folders = {os.path.realpath(directory), *(os.path.dirname(path) for path in own_files)}  # noqa: PTH120
    theirs = _real(_files(other))
    their_folders = {os.path.dirname(path) for path in theirs}  # noqa: PTH120
    working = other.labels.get(f"{_PROJECT}working_dir")
    their_folders |= {os.path.realpath(working)} if working else set()
    return bool(own_files & theirs or folders & their_folders)


def _is_of_other_files(other: Container, files: Iterable[str], directory: str) -> bool:
    return bool(_files(other)) and not is_from_same_place(other, files, directory)


def _files(container: Container) -> list[str]:
    text = container.labels.get(f"{_PROJECT}config_files", "")
    return [path for path in text.split(",") if path.startswith("/")]


def _relation(other: Deployed, facts: HostFacts) -> str | None:
    project = facts.group.project
    if is_from_same_place(other.container, project.files, project.directory):
        return "was started from the same file or folder"
    return _shared(other, facts, facts.group.services)


def _shared(other: Deployed, facts: HostFacts, services: Iterable[str]) -> str | None:
    """Return in words which data of these services another container has mounted; None if it has none."""
    names = [*services]
    paths = set(_host_paths(facts, names))
    shared = sorted(path for path, _ in other.settings.binds if os.path.realpath(path) in paths)
    if shared:
        return f"mounts the same path {shared[0]}"
    wanted = {name for service in names for name in _volumes(facts, service)}
    both = sorted({name for name, _ in other.settings.volumes} & wanted)
    return f"mounts the same volume {both[0]}" if both else None


def _host_paths(facts: HostFacts, services: Iterable[str]) -> Iterator[str]:
    """Paths that hold data: what belongs to the system, a socket or a device is everybody's."""
    for service in services:
        for path in needs.data_paths(facts.group.model, service):
            real = os.path.realpath(path)
            if not _is_systems(path) and not _is_systems(real) and not _is_special(real):
                yield real


def _is_systems(path: str) -> bool:
    return any(f"{path}/".startswith(f"{each}/") for each in _SYSTEM)


def _is_special(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return False
    return not (stat.S_ISDIR(mode) or stat.S_ISREG(mode))


def _volumes(facts: HostFacts, service: str) -> Iterable[str]:
    return mounts.of_service(facts.group.model, service).volumes.values()
