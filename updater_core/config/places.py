"""What the kinds of target say of the entries of `services`: which is meant, and what only others have.

Pure. A key that would be read and then ignored is a mistake that somebody notices too late, so it is refused.
In `defaults` it counts for the services that it has a meaning for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from updater_core.targets.kind import DeployedService, TargetKind
from updater_core.targets.table import TABLE, elsewhere, kind_of
from updater_core.vocabulary.options.read_object import ReadObject, is_set

# For the JSON Schema: what an entry of `services` has to say, the usual one first, and what does not go
# together.
PLACES_SCHEMA: Sequence[Mapping[str, Any]] = [
    schema for kind in reversed(TABLE) for schema in kind.rules.needed
]
PLACE_RELATIONS: Mapping[str, Mapping[str, Any]] = {
    key: schema for kind in TABLE for key, schema in kind.rules.relations.items()
}


def without_meaning(given: Collection[str]) -> frozenset[str]:
    """Return the keys that `defaults` may set and that say nothing of an entry with these keys.

    >>> sorted(without_meaning({"stack"}) & {"update_order", "min_age"})
    ['update_order']
    """
    return frozenset(elsewhere(kind_of(given)))


def place_problems(service: ReadObject, top: ReadObject) -> Iterator[str]:
    """Yield what is wrong with the keys of a service's target, and those that only another kind has."""
    if service.is_object:
        kind = kind_of(service.given)
        yield from kind.rules.problems(service, top)
        yield from _only_elsewhere(service, kind)


def _only_elsewhere(service: ReadObject, kind: TargetKind) -> Iterator[str]:
    for key, why in elsewhere(kind).items():
        if is_set(service, key):
            yield f"{service.path(key)}: {why}"


def twin_groups(entries: Sequence[tuple[ReadObject, ReadObject]]) -> Iterator[str]:
    """Yield a problem for each enabled entry that would update a service of an earlier one.

    A copy with the name of the other as well is reported for its name alone.
    """
    taken: list[tuple[DeployedService, ReadObject]] = []
    for service, _ in entries:
        own = _deployed(service)
        known = [(each, entry) for each in own if (entry := _first(taken, each)) is not None]
        others = [(each, entry) for each, entry in known if entry.values["name"] != service.values["name"]]
        for at in dict.fromkeys(entry.at for _, entry in others):
            names = ", ".join(each.name for each, entry in others if entry.at == at)
            belongs = f"{names} of {own[0].place} belong{'' if ', ' in names else 's'} to {at} already"
            yield f"{service.path(own[0].key)}: {belongs}; keep it in one of them"
        taken += [(each, service) for each in own]


def _deployed(service: ReadObject) -> Sequence[DeployedService]:
    """Return the services that an enabled entry means."""
    return kind_of(service.given).rules.deployed(service) if service.values["enabled"] else ()


def _first(taken: Sequence[tuple[DeployedService, ReadObject]], one: DeployedService) -> ReadObject | None:
    return next((entry for each, entry in taken if each.is_same(one)), None)
