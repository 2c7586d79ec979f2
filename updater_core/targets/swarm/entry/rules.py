"""What is wrong with an entry for a service of a Swarm; Swarm's line in the table of targets. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from updater_core.targets.kind import DeployedService, EntryRules, TargetKind, needs
from updater_core.targets.swarm.entry.options import WHERE
from updater_core.targets.swarm.entry.settings import NAME
from updater_core.vocabulary.options.read_object import ReadObject, is_own, missing

_PLACES = frozenset({"stack", "swarm_service"})
_DRAINED = "it is for Compose; of a Swarm service the engine stops the old tasks, within `stop_grace_period`"
# What only others have, and what a swarm has in its place.
_INSTEAD: Mapping[str, str] = {
    "compose_project": "a stack has no Compose project",
    "group": "the services of a Swarm are updated one by one",
    "update_order": "a Swarm service has its order in its own `update_config` (`deploy` in the stack's file)",
    "drain_command": _DRAINED,
    "drain_seconds": _DRAINED,
    "start_stopped": "it is for Compose; a Swarm service is started by `docker service scale`",
    "allow_volume_change": "it is for Compose; every task of a Swarm service gets the volumes of its spec",
}
_OF_THE_FILE = ("allow_drift", "pin_digest")


def is_named_by(given: Collection[str]) -> bool:
    """Return whether an entry with these keys means a service of a Swarm."""
    return not _PLACES.isdisjoint(given)


def problems(service: ReadObject, top: ReadObject) -> Iterator[str]:
    """Yield what is wrong with an entry."""
    yield from _of_place(service)
    if "compose_file" not in service.given:
        yield from _without_file(service)
    yield from _of_engine(service, top.values["engines"] or {})


def _of_place(service: ReadObject) -> Iterator[str]:
    if "swarm_service" in service.given:
        for key in ("stack", "compose_file", "compose_service"):
            if key in service.given:
                yield (
                    f"{service.path(key)}: swarm_service is for a service without a stack; keep one of "
                    "the two"
                )
        return
    yield from missing(service, "compose_service")
    if len(service.values["compose_service"] or ()) > 1:
        wrong = "the services of a Swarm are updated one by one; write an entry for each"
        yield f"{service.path('compose_service')}: {wrong}"


def _without_file(service: ReadObject) -> Iterator[str]:
    has_stack = "swarm_service" not in service.given
    remedy = "write compose_file too, or take it out" if has_stack else "take it out"
    for key in _OF_THE_FILE:
        if is_own(service, key):
            yield f"{service.path(key)}: it is about the stack's file, and none is named; {remedy}"


def _of_engine(service: ReadObject, engines: Collection[str]) -> Iterator[str]:
    """Yield that an engine is meant which is not configured."""
    name = service.values["engine"]
    if name is not None and name not in engines:
        known = ", ".join(sorted(engines)) or "none is there"
        yield (
            f"{service.path('engine')}: {name} is none of engines ({known}); write one of them, or add it "
            "there"
        )


def deployed(service: ReadObject) -> Sequence[DeployedService]:
    """Return the service that an entry means, by its name in its swarm."""
    values = service.values
    swarm = f"the swarm of {values['engine']}" if values["engine"] else "the swarm"
    if values["swarm_service"]:
        return [DeployedService(swarm, values["swarm_service"], "swarm_service")]
    names = [f"{values['stack']}_{name}" for name in values["compose_service"] or ()]
    return [DeployedService(swarm, name, "compose_service") for name in names]


KIND = TargetKind(
    NAME,
    "updater_core.targets.swarm",
    "a Docker Swarm",
    is_named_by,
    EntryRules(
        problems,
        deployed,
        (needs("stack", "compose_service"), needs("swarm_service")),
        {
            "engine": {"anyOf": [needs("stack"), needs("swarm_service")]},
            "swarm_service": {
                "not": {"anyOf": [needs("stack"), needs("compose_file"), needs("compose_service")]}
            },
        },
    ),
    WHERE,
    shared=frozenset({"allow_drift"}),
    instead={key: f"{why}; take it out" for key, why in _INSTEAD.items()},
)
