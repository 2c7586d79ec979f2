"""A file that several projects read: an edit for one of them would change what the next `up` of another starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from updater_core.composefile import reached
from updater_core.models import Container, Edit, Hold, Plan, Reason
from updater_core.targets.compose import observe
from updater_core.targets.compose.plan import ComposePlan
from updater_core.targets.compose.reading import sources
from updater_core.targets.compose.reading.sources import FileCache


def hold_for(plan: Plan[ComposePlan], containers: Iterable[Container], memory: FileCache) -> Hold | None:
    """Return why a plan must not edit its files: another project on this host would be changed by it. None if there is
    no such project; one that has no container is not known."""
    edits = {os.path.realpath(edit.path): edit for edit in plan.detail.edits}
    if not edits:
        return None
    projects: dict[str, list[Container]] = {}
    for container in containers:
        projects.setdefault(container.project, []).append(container)
    for name in sorted(projects.keys() - {plan.detail.project.name}):
        found = _services(projects[name], edits, memory)
        if found:
            return _hold(plan, name, found)
    return None


def _services(containers: Sequence[Container], edits: Mapping[str, Edit], memory: FileCache) -> tuple[str, ...]:
    """The services of one project that the edits would change."""
    projects = map(observe.started_from, containers)
    project = next((each for each in projects if each.files), None)
    read = sources.read(project, memory) if project is not None else None
    if read is None or isinstance(read, Hold):
        return ()
    files, env_files = read
    paths = {file.path: os.path.realpath(file.path) for file in (*files, *env_files)}
    own = {path: edits[real] for path, real in paths.items() if real in edits}
    return reached.services(files, env_files, own) if own else ()


def _hold(plan: Plan[ComposePlan], project: str, services: Sequence[str]) -> Hold:
    paths = " and ".join(edit.path for edit in plan.detail.edits)
    keys = " and ".join(sorted({mark.key for edit in plan.detail.edits for mark in edit.marks}))
    detail = f"an edit of {keys} in {paths} would change project {project} too ({', '.join(services)})"
    remedy = f"give each of the two projects a file of its own for {keys}, or update both by hand"
    return Hold(Reason.NOT_EDITABLE, detail, remedy, available=plan.image)
