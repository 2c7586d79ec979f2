"""A file that several projects read: an edit for one would change what the next `up` of another starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from updater_core.composefile import edit
from updater_core.composefile.splice import VARIABLE
from updater_core.models import Container, Edit, Hold, Plan, Project, Reason
from updater_core.targets.compose.plan import ComposePlan
from updater_core.targets.compose.reading import origin, sources
from updater_core.targets.compose.reading.observed import ObservedService
from updater_core.targets.compose.reading.sources import FileCache


def hold_for(plan: Plan[ComposePlan], containers: Iterable[Container], memory: FileCache) -> Hold | None:
    """Return why a plan must not edit its files: another project on this host would be changed by it.

    None if there is no such project; one that has no container is not known.
    """
    found = _reached_by(plan.detail.edits, plan.detail.project, containers, memory)
    return None if found is None else replace(found, available=plan.image)


def foreseen(observed: ObservedService, containers: Iterable[Container], memory: FileCache) -> Iterator[Hold]:
    """Yield what any edit for a service would be held for, as `hold_for` does for one that is planned."""
    changes = edit.trial_edits((*observed.files, *observed.env_files), observed.located)
    found = _reached_by(changes, observed.project, containers, memory)
    if found is not None:
        yield found


def _reached_by(
    changes: Sequence[Edit], own: Project, containers: Iterable[Container], memory: FileCache
) -> Hold | None:
    """Return why edits for project `own` must not be made: another one would be changed.

    None as in `hold_for`.
    """
    edits = {os.path.realpath(each.path): each for each in changes}
    if not edits:
        return None
    for project in _others(own, containers):
        found = _services(project, edits, memory)
        if found:
            return _hold(changes, project.name, found)
    return None


def _others(own: Project, containers: Iterable[Container]) -> list[Project]:
    """Return every other project, once for each set of files that its containers were started from.

    Two folders of one name give two projects of one name.
    """
    found: dict[tuple[str, str, tuple[str, ...]], Project] = {}
    for project in map(origin.started_from, containers):
        folder = os.path.realpath(project.directory)
        is_own = project.name == own.name and folder == os.path.realpath(own.directory)
        if project.files and not is_own:
            found.setdefault((project.name, folder, tuple(project.files)), project)
    return [found[key] for key in sorted(found)]


def _services(project: Project, edits: Mapping[str, Edit], memory: FileCache) -> tuple[str, ...]:
    """Return the services of one project that the edits would change."""
    read = sources.read(project, memory)
    if isinstance(read, Hold):
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
    exact = f" ({_written_apart(changes[0], project)})" if is_variable and len(marks) == 1 else ""
    remedy = f"give each of the two projects {own} for {keys}{exact}, or update both by hand"
    return Hold(Reason.NOT_EDITABLE, detail, remedy)


def _written_apart(change: Edit, project: str) -> str:
    """Return the exact text of a variable that only the other project takes."""
    (mark,) = change.marks
    name = f"{mark.key}_{re.sub('[^A-Za-z0-9]', '_', project).upper()}"
    return (
        f"`{name}={mark.old}` in {change.path}, and `${{{name}}}` in place of {mark.key} in {project}'s files"
    )
