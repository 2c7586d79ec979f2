"""Services that name the same `group` become one update group. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from updater_core.config.options import BY_PLACE, REGISTRY, SERVICE, Option
from updater_core.models import ServiceConfig
from updater_core.targets.table import WHERE

_OF_ONE_MEMBER = ("name", "image", "compose_service", "group")
_PLACES = {option.key for option in WHERE if option.is_of_one}


def merged(services: Sequence[ServiceConfig]) -> tuple[ServiceConfig, ...]:
    """Return the services with one in place of those of each group.

    It is named as the group, at the place of its first member, with the images of all and the policy that
    they share. A disabled service moves with no group.
    """
    groups: dict[str, list[ServiceConfig]] = {}
    for service in services:
        if service.group and service.enabled:
            groups.setdefault(service.group, []).append(service)
    firsts = {id(members[0]): _one(members) for members in groups.values()}
    others = {id(member) for members in groups.values() for member in members[1:]}
    return tuple(firsts.get(id(service), service) for service in services if id(service) not in others)


def _one(members: Sequence[ServiceConfig]) -> ServiceConfig:
    names = tuple(dict.fromkeys(name for member in members for name in member.compose_services))
    problems = "; ".join(member.problem for member in members if member.problem)
    return replace(
        members[0], name=members[0].group or members[0].name, compose_services=names, problem=problems
    )


def problems(services: Sequence[ServiceConfig]) -> Iterator[tuple[int, str, str]]:
    """Yield what keeps services from being one group: the service's number, the key, what is wrong with it.

    All of a group are of one project and have one policy; no other service has the name of a group.
    """
    firsts: dict[str, int] = {}
    for number, service in enumerate(services):
        if not service.group or not service.enabled:
            continue
        first = firsts.setdefault(service.group, number)
        for key in _differences(services[first], service):
            yield number, key, _wrong(key, service.group, services[first].name)
    for number, service in enumerate(services):
        if service.name in firsts and service.group != service.name:
            yield number, "name", f"a group is called {service.name} too; write another name"


def _wrong(key: str, group: str, first: str) -> str:
    if key in _PLACES:
        remedy = f"write that of {first}, or another group"
        return f"group {group} is of one project, and {first} is of another; {remedy}"
    return f"group {group} is updated as one, and {first} says something else; write the same for both"


def _differences(first: ServiceConfig, other: ServiceConfig) -> Iterator[str]:
    options = [*BY_PLACE[SERVICE].values(), *BY_PLACE[REGISTRY].values()]
    found: list[str] = []
    for option in options:
        if option.key not in _OF_ONE_MEMBER and _value(first, option) != _value(other, option):
            found.append(f"registry_config.{option.key}" if option.place == REGISTRY else option.key)
    return iter(found or _further(first, other))


def _further(first: ServiceConfig, other: ServiceConfig) -> list[str]:
    """Return the key to name if services differ in what several keys make up, as signatures and hooks do."""
    own = {key: getattr(first, key) for key in ("name", "image", "compose_services", "group", "problem")}
    if replace(other, **own) == first:
        return []
    return ["signature" if first.policy.public_keys != other.policy.public_keys else "group"]


def _value(service: ServiceConfig, option: Option) -> Any:
    """Return what an option says for a service; None if it fills no field of its own."""
    if option.settings is not None:
        owned = service.registry if option.place == REGISTRY else service
        return getattr(owned.own(option.settings), option.key)
    value: Any = service
    for name in option.path.split(".") if option.path else ():
        value = getattr(value, name)
    return value if option.path else None
