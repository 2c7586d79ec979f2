"""What an `up` of the group needs of the host, and what it would not give the group again.

The first that is missing is named. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from updater_core.models import Container, Hold, Reason
from updater_core.targets.compose.dependents import ties
from updater_core.targets.compose.preflight import needs
from updater_core.targets.compose.preflight.facts import AT_WORK, HostFacts
from updater_core.targets.compose.reading import origin

_PLATFORM_VARIABLE = "DOCKER_DEFAULT_PLATFORM"
_JOINABLE = ("running", "paused")
_BRING_BACK = {
    "volumes": "bring it back with its data, or correct the compose file",
    "networks": "make it again as it was (`docker network create`), or correct the compose file",
}


def missing_path(facts: HostFacts) -> Hold | None:
    """Return a hold that names the first path which the host does not have.

    Docker would make a folder of root's in its place, or stop the service and fail.
    """
    for need in needs.of_group(facts.group):
        if need.path in facts.absent:
            detail = f"{need.path} is not on this host; {need.service} needs it: {need.what}"
            return Hold(Reason.MISSING_ON_HOST, detail, "put it back, or correct the compose file")
    return None


def missing_object(facts: HostFacts) -> Hold | None:
    """Return a hold that names an external volume or network which the engine does not have."""
    attached = frozenset(name for each in facts.own for name in each.settings.networks)
    for kind, known in (("volumes", facts.volumes), ("networks", facts.networks | attached)):
        for service, name in needs.external(facts.group, kind):
            if name not in known:
                one = kind.removesuffix("s")
                detail = f"the external {one} {name}, which {service} uses, is not on this engine"
                return Hold(Reason.MISSING_ON_HOST, detail, _BRING_BACK[kind])
    return None


def missing_ability(facts: HostFacts) -> Hold | None:
    """Return a hold that names a runtime, log driver or GPU that a service needs and the engine has not."""
    for service, kind, name in needs.abilities(facts.group):
        is_there = not facts.lacks_nvidia if kind == needs.GPU else (kind, name) in facts.abilities
        if not is_there:
            missing = "the kernel's driver of NVIDIA" if kind == needs.GPU else f"the {kind} {name}"
            detail = f"{missing}, which {service} needs, is not on this host"
            return Hold(Reason.MISSING_ON_HOST, detail, "install it again, or correct the compose file")
    return None


def other_platform(facts: HostFacts) -> Hold | None:
    """Return a hold if the project's env file makes Compose ask for another platform than that which runs."""
    wanted = facts.environment.values.get(_PLATFORM_VARIABLE) or ""
    for each in facts.own if wanted else ():
        service = each.container.service
        written = ((facts.group.model.get("services") or {}).get(service) or {}).get("platform")
        runs = facts.platforms.get(each.container.image_id, "")
        is_other = wanted.split("/")[:2] != runs.split("/")[:2]
        if is_other and runs and "/" in wanted and not written:
            detail = (
                f"the project's env file sets {_PLATFORM_VARIABLE} to {wanted}, and {service} runs {runs}"
            )
            remedy = f"take {_PLATFORM_VARIABLE} out of it, or set it to {runs}"
            return Hold(Reason.DRIFT, detail, remedy)
    return None


def taken_name(facts: HostFacts) -> Hold | None:
    """Return a hold that names a container which has the `container_name` of a service of the group."""
    services = facts.group.model.get("services") or {}
    for service in sorted(facts.group.services):
        name = (services.get(service) or {}).get("container_name")
        for each in facts.listed:
            is_own = (each.project, each.service) == (facts.group.project.name, service)
            if name and each.name == name and not is_own:
                of = f"project {each.project}" if each.project else "no project"
                detail = f"{service} is to be called {name}, and a container of {of} has that name"
                remedy = f"remove that one if {service} shall take its place, or correct the compose file"
                return Hold(Reason.SECOND_COPY, detail, remedy)
    return None


def missing_container(facts: HostFacts) -> Hold | None:
    """Return a hold that names a container which the group borrows from, and which is gone or stopped.

    The running container got what it has when that one was there; its successor could not start.
    """
    for lender in needs.lenders(facts.group):
        found = _lending(lender, facts)
        if _is_of_group(lender, found, facts):
            continue  # it is started before
        if not found:
            detail = f"{lender.service} {lender.what} {lender.name}, which has no container here"
            remedy = f"bring {lender.name} up again, or correct the compose file"
            return Hold(Reason.MISSING_ON_HOST, detail, remedy)
        if lender.has_to_run and not any(each.status in _JOINABLE for each in found):
            detail = f"{lender.service} {lender.what} {lender.name}, and {found[0].name} is {found[0].status}"
            return Hold(Reason.MISSING_ON_HOST, detail, _to_run(found[0]))
    return None


def _to_run(container: Container) -> str:
    if container.status == "restarting":
        return f"see `docker logs {container.name}`: the update goes on when it runs"
    return f"start it (`docker start {container.name}`), or correct the compose file"


def _is_of_group(lender: needs.Lender, found: Sequence[Container], facts: HostFacts) -> bool:
    if lender.is_service and lender.name in facts.group.services:
        return True
    services = facts.group.model.get("services") or {}
    given = {str((services.get(each) or {}).get("container_name")) for each in facts.group.services}
    ids = {each.container.id for each in facts.own}
    return lender.name in given or any(each.id in ids for each in found)


def _lending(lender: needs.Lender, facts: HostFacts) -> list[Container]:
    if not lender.is_service:
        return [each for each in facts.listed if ties.is_one(lender.name, [each])]
    own = facts.group.project.name
    return [each for each in facts.listed if (each.project, each.service) == (own, lender.name)]


def undeclared_network(facts: HostFacts) -> Hold | None:
    """Return a hold that names a network which a container is in and its files do not name.

    Somebody has connected it by hand, such as a proxy to another project: its successor would not be in it.
    """
    if facts.service.allow_drift:
        return None
    for each in facts.own:
        container, attached = each.container, each.settings.networks
        declared = needs.networks(facts.group, container.service)
        if declared and declared < attached:
            network = min(attached - declared)
            detail = (
                f"{container.name} is connected to the network {network}, which its files do not name; it "
                f"would no longer be in it after an update"
            )
            return Hold(Reason.DRIFT, detail, _to_declare(network, container, facts))
    return None


def _to_declare(network: str, container: Container, facts: HostFacts) -> str:
    command = origin.by_hand(facts.group.project, f"up -d {container.service}")
    return (
        f"name {network} in the compose file, as a network of {container.service} and at the top level with "
        f"`external: true`, and run `{command}`; if it is not needed, `docker network disconnect {network} "
        f'{container.name}`, or set "allow_drift" for {facts.service.name}'
    )


def taken_port(facts: HostFacts) -> Hold | None:
    """Return a hold that names a port which somebody else has by now.

    One that a container of the group holds is its own.
    """
    held = {each for one in facts.own if one.container.status in AT_WORK for each in one.settings.ports}
    for port in needs.ports(facts.group):
        each = [replace(port, number=number, last=number) for number in range(port.number, port.last + 1)]
        if any((str(one.number), one.target) in held for one in each):
            continue
        holder = _holder(each[0], facts) if each else None
        if holder and all(_holder(one, facts) for one in each):
            numbers = str(port.number) if len(each) == 1 else f"{port.number}-{port.last}"
            where = f"{port.address}:{numbers}" if port.address else numbers
            detail = f"{port.service} publishes port {where}/{port.protocol}, and {holder} has it"
            return Hold(
                Reason.PORT_TAKEN,
                detail,
                "stop what has the port, or publish another one in the compose file",
            )
    return None


def _holder(port: needs.Port, facts: HostFacts) -> str | None:
    names = [each.container.name for each in facts.others if _publishes(each.settings.ports, port)]
    for protocol, address, number in facts.listening:
        is_same_place = not address or not port.address or address == port.address
        if (protocol, number) == (port.protocol, port.number) and is_same_place:
            return f"the container {names[0]}" if names else "a process of this host"
    is_sure = not facts.listening and not port.address
    return f"the container {names[0]}" if names and is_sure else None


def _publishes(published: frozenset[tuple[str, str]], port: needs.Port) -> bool:
    return any(number == str(port.number) and own.endswith(f"/{port.protocol}") for number, own in published)
