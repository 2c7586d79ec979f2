"""A file that several projects read: an edit for one would change what the next `up` of another starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from updater_core.composefile import edit
from updater_core.composefile.splice import VARIABLE
from updater_core.models import Container, Edit, Hold, Plan, Reason
from updater_core.targets.compose import observe
from updater_core.targets.compose.plan import ComposePlan
from updater_core.targets.compose.reading import sources
from updater_core.targets.compose.reading.observed import ObservedService
from updater_core.targets.compose.reading.sources import FileCache


def hold_for(plan: Plan[ComposePlan], containers: Iterable[Container], memory: FileCache) -> Hold | None:
    """Return why a plan must not edit its files: another project on this host would be changed by it.

    None if there is no such project; one that has no container is not known.
    """
    found = _reached_by(plan.detail.edits, plan.detail.project.name, containers, memory)
    return None if found is None else replace(found, available=plan.image)


def foreseen(observed: ObservedService, containers: Iterable[Container], memory: FileCache) -> Iterator[Hold]:
    """Yield what any edit for a service would be held for, as `hold_for` does for one that is planned."""
    changes = edit.trial_edits((*observed.files, *observed.env_files), observed.located)
    found = _reached_by(changes, observed.project.name, containers, memory)
    if found is not None:
        yield found


def _reached_by(
    changes: Sequence[Edit], own: str, containers: Iterable[Container], memory: FileCache
) -> Hold | None:
    """Return why edits for project `own` must not be made: another one would be changed.

    None as in `hold_for`.
    """
    edits = {os.path.realpath(each.path): each for each in changes}
    if not edits:
        return None
    projects: dict[str, list[Container]] = {}
    for container in containers:
        projects.setdefault(container.project, []).append(container)
    for name in sorted(projects.keys() - {own}):
        found = _services(projects[name], edits, memory)
        if found:
            return _hold(changes, name, found)
    return None


def _services(
    containers: Sequence[Container], edits: Mapping[str, Edit], memory: FileCache
) -> tuple[str, ...]:
    """Return the services of one project that the edits would change."""
    projects = map(observe.started_from, containers)
    project = next((each for each in projects if each.files), None)
    read = sources.read(project, memory) if project is not None else None
    if read is None or isinstance(read, Hold):
        return ()
    files, env_files = read
    paths = {file.path: os.path.realpath(file.path) for file in (*files, *env_files)}
    own = {path: edits[real] for path, real in paths.items() if real in edits}
    return edit.services_reached(files, env_files, own) if own else ()


def _hold(changes: Sequence[Edit], project: str, services: Sequence[str]) -> Hold:
    paths = " and ".join(each.path for each in changes)
    marks = [mark for each in changes for mark in each.marks]
    keys = " and ".join(sorted({mark.key for mark in marks}))
    detail = f"an edit of {keys} in {paths} would change project {project} too ({', '.join(services)})"
    is_variable = all(mark.kind == VARIABLE for mark in marks)
    own = "a variable of its own in it, or a file of its own" if is_variable else "a file of its own"
    remedy = f"give each of the two projects {own} for {keys}, or update both by hand"
    return Hold(Reason.NOT_EDITABLE, detail, remedy)
