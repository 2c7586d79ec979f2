"""The keys that say where a service is deployed, and those that only Compose or only a Docker Swarm has.

Pure. A key that would be read and then ignored is a mistake that somebody notices too late, so it is refused.
In `defaults` it counts for the services that it has a meaning for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from updater_core.config.read_object import ReadObject, is_own, is_set, missing

_OF_A_SWARM = frozenset({"stack", "swarm_service"})


def _needs(*keys: str) -> dict[str, Any]:
    return {"required": [*keys]}


# For the JSON Schema: what an entry of `services` has to say, and what does not go together.
PLACES_SCHEMA: Sequence[Mapping[str, Any]] = (
    _needs("compose_file", "compose_service"),
    _needs("stack", "compose_service"),
    _needs("swarm_service"),
)
PLACE_RELATIONS: Mapping[str, Mapping[str, Any]] = {
    "engine": {"anyOf": [_needs("stack"), _needs("swarm_service")]},
    "swarm_service": {"not": {"anyOf": [_needs("stack"), _needs("compose_file"), _needs("compose_service")]}},
}
_DRAINED = "the engine stops the old tasks, within `stop_grace_period`"
# What only Compose has, and what a swarm has in its place.
_COMPOSE_ONLY: Mapping[str, str] = {
    "compose_project": "a stack has no Compose project",
    "group": "the services of a Swarm are updated one by one",
    "update_order": "a Swarm service has its order in its own `update_config` (`deploy` in the stack's file)",
    "drain_command": f"it is for Compose; of a Swarm service {_DRAINED}",
    "drain_seconds": f"it is for Compose; of a Swarm service {_DRAINED}",
    "start_stopped": "it is for Compose; a Swarm service is started by `docker service scale`",
    "allow_volume_change": "it is for Compose; every task of a Swarm service gets the volumes of its spec",
}
_SWARM_ONLY: Mapping[str, str] = {"run_jobs": "it is for the jobs of a Docker Swarm"}
_OF_THE_FILE = ("allow_drift", "pin_digest")
_COMPOSE_ELSEWHERE = (
    "the files and bind mounts of a Compose service are on its engine's host; run an updater there, or set "
    "DOCKER_HOST for this one if the files are here"
)


def is_of_swarm(given: Collection[str]) -> bool:
    """Return whether an entry with these keys means a service of a Swarm."""
    return not _OF_A_SWARM.isdisjoint(given)


def without_meaning(given: Collection[str]) -> frozenset[str]:
    """Return the keys that `defaults` may set and that say nothing of an entry with these keys.

    >>> sorted(without_meaning({"stack"}) & {"update_order", "min_age"})
    ['update_order']
    """
    return frozenset(_COMPOSE_ONLY if is_of_swarm(given) else _SWARM_ONLY)


def place_problems(service: ReadObject) -> Iterator[str]:
    """Yield what is wrong with the keys of a service's place, and those that only the other place has."""
    if not service.is_object:
        return
    if is_of_swarm(service.given):
        yield from _swarm_problems(service)
        return
    yield from missing(service, "compose_file", "compose_service")
    if "engine" in service.given:
        yield f"{service.path('engine')}: {_COMPOSE_ELSEWHERE}"
    yield from _only_elsewhere(service, _SWARM_ONLY)


def _swarm_problems(service: ReadObject) -> Iterator[str]:
    given, names = service.given, service.values["compose_service"] or ()
    if "swarm_service" in given:
        for key in ("stack", "compose_file", "compose_service"):
            if key in given:
                yield (
                    f"{service.path(key)}: swarm_service is for a service without a stack; keep one of "
                    "the two"
                )
    else:
        yield from missing(service, "compose_service")
        if len(names) > 1:
            one_each = "write an entry for each"
            yield (
                f"{service.path('compose_service')}: the services of a Swarm are updated one by one; "
                f"{one_each}"
            )
    yield from _only_elsewhere(service, _COMPOSE_ONLY)
    if "compose_file" not in given:
        yield from _problems_without_file(service)


def _only_elsewhere(service: ReadObject, of_the_other: Mapping[str, str]) -> Iterator[str]:
    for key, instead in of_the_other.items():
        if is_set(service, key):
            yield f"{service.path(key)}: {instead}; take it out"


def _problems_without_file(service: ReadObject) -> Iterator[str]:
    for key in _OF_THE_FILE:
        if is_own(service, key):
            remedy = (
                "take it out"
                if "swarm_service" in service.given
                else "write compose_file too, or take it out"
            )
            yield f"{service.path(key)}: it is about the stack's file, and none is named; {remedy}"


def engine_problems(service: ReadObject, engines: Mapping[str, Any]) -> Iterator[str]:
    """Yield that an engine is meant which is not configured."""
    name = service.values["engine"]
    if name is not None and name not in engines:
        known = ", ".join(sorted(engines)) or "none is there"
        yield (
            f"{service.path('engine')}: {name} is none of engines ({known}); write one of them, or add it "
            "there"
        )


def twin_groups(entries: Sequence[tuple[ReadObject, ReadObject]]) -> Iterator[str]:
    """Yield a problem for each enabled entry that would update a Compose service of an earlier one.

    A copy with the name of the other as well is reported for its name alone.
    """
    taken: list[_Taken] = []
    for service, _ in entries:
        values = service.values
        own = _taken_by(service) if values["enabled"] else []
        pairs = [(each, next((one for one in taken if one.is_same(each)), None)) for each in own]
        known = [
            (each, one)
            for each, one in pairs
            if one is not None and one.entry.values["name"] != values["name"]
        ]
        for at in dict.fromkeys(one.entry.at for _, one in known):
            names = ", ".join(each.name for each, one in known if one.entry.at == at)
            belongs = f"{names} of {own[0].file} belong{'' if ', ' in names else 's'} to {at} already"
            key = "swarm_service" if values["swarm_service"] else "compose_service"
            yield f"{service.path(key)}: {belongs}; keep it in one of them"
        taken += own


def _taken_by(service: ReadObject) -> list[_Taken]:
    values = service.values
    names = values["compose_service"] or ()
    swarm = f"the swarm of {values['engine']}" if values["engine"] else "the swarm"
    if values["swarm_service"]:
        return [_Taken(service, swarm, values["swarm_service"], None)]
    if values["stack"]:
        return [_Taken(service, swarm, f"{values['stack']}_{name}", None) for name in names]
    if not values["compose_file"]:
        return []
    file = values["compose_file"][0]  # the first file is the project's own
    return [_Taken(service, file, name, values["compose_project"]) for name in names]


@dataclass(frozen=True, slots=True)
class _Taken:
    """A Compose service that an entry means, or one of a Swarm."""

    entry: ReadObject
    file: str
    name: str
    project: str | None

    def is_same(self, other: _Taken) -> bool:
        """Return whether both mean one service: an entry without a project may mean any of its file."""
        projects = {self.project, other.project} - {None}
        return (self.file, self.name) == (other.file, other.name) and len(projects) < 2
