"""Services that take the edited variable through an env file of their own: `APP=at-${TAG}` in `app.env`.

Compose resolves variables in a service's `env_file`
(https://docs.docker.com/reference/compose-file/services/#env_file), so that such a service would change with
the edit and be recreated by the operator's next `up`. The text of these files is no part of the project's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from updater_core.composefile import env_values, interpolation
from updater_core.composefile.locate import NotEditable
from updater_core.composefile.readers import Readers
from updater_core.composefile.splice import VARIABLE, Place
from updater_core.host.files import objection
from updater_core.models import Edit, Reason
from updater_core.targets.compose.preflight.written import ProjectText
from updater_core.targets.compose.reading.observed import ObservedService


def obstacle_to(changes: Sequence[Edit], observed: ObservedService) -> NotEditable | None:
    """Return why a file cannot, or must not, be replaced; seen before anything is pulled for it.

    It cannot for a hard link, a read-only mode or mount, and must not if another service would change with
    it.
    """
    if not changes:
        return None
    objections = [objection(Path(edit.path)) for edit in changes]
    refused = [NotEditable(Reason.NOT_EDITABLE, *found) for found in objections if found]
    return _together([*refused, *obstacles(observed)])


def _together(obstacles: Sequence[NotEditable]) -> NotEditable | None:
    """Return all obstacles as one; None if there are none."""
    if not obstacles:
        return None
    details = "; ".join(dict.fromkeys(each.detail for each in obstacles))
    remedies = "; ".join(dict.fromkeys(each.remedy for each in obstacles))
    return NotEditable(obstacles[0].reason, details, remedies)


def obstacles(observed: ObservedService) -> Iterator[NotEditable]:
    """Yield why a variable of the group's images cannot be edited, for each other service that takes it.

    It takes it through its env file. One that takes its image from the same place is no other: it moves with
    the group, or what locates the image says that it has to.
    """
    own = frozenset[str]().union(*(one.takers for one in observed.located))
    for found in _readings(observed):
        if found.service not in own:
            yield _obstacle(found)


def notes(observed: ObservedService) -> tuple[str, ...]:
    """Return what else of the group's own services changes with the edit of a variable, in words."""
    own = {one.service for one in observed.located}
    in_files = [note for one in observed.located for note in one.notes]
    read = [found.what for found in _readings(observed) if found.service in own]
    return tuple(dict.fromkeys((*in_files, *read)))


@dataclass(frozen=True, slots=True)
class _FileReader:
    """An env file of a service that takes the variable of a place."""

    place: Place
    path: str
    service: str

    @property
    def what(self) -> str:
        place = self.place
        return f"{place.key} of {place.path} is also used in {self.path}, an env_file of {self.service}"


def _readings(observed: ObservedService) -> Iterator[_FileReader]:
    places = {one.place for one in observed.located if one.place and one.place.kind == VARIABLE}
    project = ProjectText.of(observed.files, observed.env_files)
    if not places or project.model is None:
        return
    readers = Readers(project.model, None)
    carriers = {}
    for one in places:
        carriers[one] = {name for _, name in readers.carriers(one.path, one.key)}
    # who reads one of these whole is found where the image is located
    known = {os.path.realpath(file.path) for file in observed.env_files}
    for service in sorted(project.services):
        for file in project.env_files(service):
            if file.is_raw or os.path.realpath(file.path) in known:
                continue
            for place in sorted(places, key=lambda each: each.spot):
                if not carriers[place].isdisjoint(_taken_in(file.path)):
                    yield _FileReader(place, file.path, service)


def _taken_in(path: str) -> frozenset[str]:
    """Return the variables in the values of an env file; one that cannot be read is Compose's to refuse."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return frozenset()
    templates = (text[each.start : each.end] for each in env_values.assignments(text) if each.value is None)
    return frozenset[str]().union(*map(interpolation.variables, templates))


def _obstacle(found: _FileReader) -> NotEditable:
    key = found.place.key
    return NotEditable(
        Reason.NOT_EDITABLE,
        found.what,
        f"Give this image a variable that nothing else uses, or write the image out in place of {key}.",
    )
