"""Which services of a project take their image from one place in its files, and so can only move together.

Such a place is a variable or an anchor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from updater_core.composefile.edit import NotEditable
from updater_core.models import Container, Hold
from updater_core.targets.compose import observe
from updater_core.targets.compose.reading import origin, sources
from updater_core.targets.compose.reading.sources import FileCache

Key = tuple[str, str]  # project and service


@dataclass(slots=True)
class SharedPlaces:
    """Finds such services.

    What was read of the files is kept until they change: it is asked at each cycle.
    """

    memory: FileCache = field(default_factory=FileCache)

    def groups(self, containers: Sequence[Container]) -> Iterator[frozenset[Key]]:
        """Yield the services that can only move together, two or more each.

        `containers`: one of each service that may be in a group. A place that also a service beside these
        takes its image from makes no group, unless that is a one-shot, which goes with whoever waits for it.
        """
        projects: dict[str, list[Container]] = {}
        for container in containers:
            projects.setdefault(container.project, []).append(container)
        for project, members in projects.items():
            for services in self._of_project(members) if len(members) > 1 else ():
                yield frozenset((project, service) for service in services)

    def _of_project(self, members: Sequence[Container]) -> Iterator[frozenset[str]]:
        services = frozenset(each.service for each in members)
        grouped: set[str] = set()
        for container in members:
            takers = frozenset[str]() if container.service in grouped else self._takers(container, services)
            if len(takers) > 1:
                grouped |= takers
                yield takers

    def _takers(self, container: Container, services: frozenset[str]) -> frozenset[str]:
        """Return which of `services` share the place with this one; none if others share it, too."""
        read = sources.read(origin.started_from(container), self.memory)
        if isinstance(read, Hold):
            return frozenset()
        files, env_files = read
        located = observe.locate_in(files, env_files, container.service, self.memory)
        if isinstance(located, NotEditable):
            return frozenset()
        outside = located.takers - services - self.memory.one_shots(files)
        return frozenset() if outside else located.takers & services
