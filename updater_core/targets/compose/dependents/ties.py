"""Which container lives in a namespace of another, or has its volumes, whatever project the two are of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from updater_core.caching.cache import Cache
from updater_core.models import Container
from updater_core.protocols import Engine

Ties = Callable[[str], tuple[str, ...]]
SHORTEST_ID = 12  # of an id that is cut short; what is shorter is a name


@dataclass(slots=True)
class TieCache:
    """The ties of containers by id.

    They are set when a container is made and never change, so that each is inspected once. Any thread may
    ask.
    """

    engine: Engine
    _known: Cache[tuple[str, ...]] = field(default_factory=Cache)

    def of(self, container_id: str) -> tuple[str, ...]:
        """Return the containers that one is tied to, by id or name; none if it is gone.

        Raises EngineError if the engine refuses.
        """
        known = self._known.get(container_id)
        if known is None:
            return self._known.put(container_id, _inspected(container_id, self.engine))
        return known

    def forget_others(self, listed: Iterable[Container]) -> None:
        """Keep in memory only what is known of these containers."""
        ids = {each.id for each in listed}
        self._known.keep(lambda container_id: container_id in ids)


def _inspected(container_id: str, engine: Engine) -> tuple[str, ...]:
    container, settings = engine.container(container_id), engine.settings(container_id)
    joined = container.joined if container else ()
    return (*joined, *settings.volumes_from) if settings else joined


def is_one(name: str, containers: Iterable[Container]) -> bool:
    """Return whether a name or an id, shortened or not, is one of these containers'.

    >>> one = Container("0123456789abcdef", "vpn", "", "", "", "", "running", "", 0)
    >>> [is_one(name, [one]) for name in ("vpn", "0123456789ab", "0123456789abcdef", "vp", "")]
    [True, True, True, False, False]
    """
    return any(name == each.name or is_id_of(name, each) for each in containers)


def is_id_of(name: str, container: Container) -> bool:
    """Return whether a name is the container's id, shortened or not."""
    return len(name) >= SHORTEST_ID and container.id.startswith(name)


def tied(listed: Iterable[Container], to: Sequence[Container], ties: Ties) -> list[Container]:
    """Return those that live in a namespace of one of `to`, or have its volumes."""
    known = {each.id for each in to}
    others = [each for each in listed if each.id not in known]

    def is_tied(container: Container) -> bool:
        return any(is_one(name, to) for name in ties(container.id))

    return list(filter(is_tied, others))


def projects_in_reach(project: str, listed: Sequence[Container], ties: Ties) -> frozenset[str]:
    """Return the other projects of which a container may have to be restarted when one of `project` is.

    Those are the projects with a container that is tied to it, and in turn those that are tied to one of
    theirs.
    """
    reached = {project}
    while True:
        inside = [each for each in listed if each.project in reached]
        further = {each.project for each in tied(listed, inside, ties)} - reached - {""}
        if not further:
            return frozenset(reached - {project})
        reached |= further
