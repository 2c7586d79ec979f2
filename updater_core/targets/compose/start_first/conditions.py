"""Start-first for a group, and what does not allow it: looked at before anything is touched.

What Compose refuses or breaks with two generations of containers side by side was tried with 2.26, 2.40 and
5.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from updater_core.errors import GateFailed
from updater_core.models import Hold, Plan, Reason, ServiceConfig
from updater_core.protocols import Tools
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.compose.plan import ComposePlan, DependentProject, Group, Move
from updater_core.targets.compose.preflight import mounts
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts
from updater_core.vocabulary.handover import UpdateOrder

START_FIRST, RECREATE = "start-first", "recreate"  # a plan's strategy
_REMEDY = 'change that, or set "update_order": "stop-first" for {name}'
_NO_HEALTHCHECK = "has no healthcheck, so nobody can tell when the new container may take over"


def strategy_of(service: ServiceConfig, group: Group) -> str:
    """Return how the group is updated: as the service says, else as `deploy.update_config.order` does.

    The latter of any of its services in the compose file. Nothing runs beside a group without any container,
    so that one is just started.
    """
    # There is nothing that a start would have to go before.
    if not any(move.container_ids for move in group.moves):
        return RECREATE
    order = service.own(ComposeSettings).update_order or _order_in_file(group)
    return START_FIRST if order is UpdateOrder.START_FIRST else RECREATE


def with_strategy(plan: Plan[ComposePlan], strategy: str) -> Plan[ComposePlan]:
    """Return the plan with its strategy, also in the words on what it restarts if it is not the usual one."""
    if strategy == RECREATE:
        return replace(plan, strategy=strategy)
    return replace(plan, strategy=strategy, restarts=f"{plan.restarts} ({strategy})")


def _order_in_file(group: Group) -> UpdateOrder | None:
    written = [_update_config(_facts(group, move.service)).get("order") for move in group.moves]
    return UpdateOrder.START_FIRST if UpdateOrder.START_FIRST in written else None


def _update_config(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    deploy: Mapping[str, Any] = facts.get("deploy") or {}
    return deploy.get("update_config") or {}


def obstacle(facts: HostFacts) -> Hold | None:
    """Return a hold that names everything which does not allow start-first, if the group is to be updated so.

    It is never updated stop-first in its place: whoever asks for start-first does not expect an interruption.
    """
    if strategy_of(facts.service, facts.group) == RECREATE:
        return None
    found = [*_of_the_group(facts.group)]
    for move in facts.group.moves:
        own = [each for each in facts.own if each.container.service == move.service]
        found += [
            f"{move.service} {what}" for what in (*_of_the_file(facts.group, move), *_of_containers(own))
        ]
    return None if not found else _hold(facts.service.name, "; ".join(found))


def check_new_image(plan: Plan[ComposePlan], model: Mapping[str, Any], tools: Tools) -> None:
    """Raise GateFailed if neither the pulled image nor the compose file has a healthcheck."""
    image = tools.engine.image(plan.new_retained) if plan.new_retained else None
    if plan.strategy != START_FIRST or image is None:
        return
    services = [move.service for move in plan.detail.moves]
    without = [
        name for name in services if not _has_healthcheck(_service(model, name), image.has_healthcheck)
    ]
    if without:
        hold = _hold(plan.name, f"the new image of {', '.join(without)} {_NO_HEALTHCHECK}")
        raise GateFailed(hold.reason, hold.detail, hold.remedy)


def hold_for_dependents(name: str, dependents: Sequence[DependentProject]) -> Hold:
    """Return the hold for a service whose restart takes containers of other projects along."""
    pairs = [f"{move.service} of project {each.project.name}" for each in dependents for move in each.moves]
    return _hold(name, f"{', '.join(pairs)} is restarted with it, and cannot be in two places")


def _hold(name: str, what: str) -> Hold:
    return Hold(
        Reason.CANNOT_START_FIRST, f"it cannot be updated start-first: {what}", _REMEDY.format(name=name)
    )


def _of_the_group(group: Group) -> Iterator[str]:
    if group.dependents:
        names = ", ".join(move.service for move in group.dependents)
        yield f"{names} is restarted with it, and cannot be in two places"
    for move in group.moves:
        if move.is_one_shot or move.runs_first:
            yield f"{move.service} ends by itself, so there is nothing to hand over"


def _of_the_file(group: Group, move: Move) -> Iterator[str]:
    facts = _facts(group, move.service)
    if facts.get("container_name"):
        yield f"has the container_name {facts['container_name']}, which two containers cannot share"
    # Port 0 or none lets the engine choose, for each container another.
    ports = [str(one["published"]) for one in _long_ports(facts) if str(one.get("published") or "0") != "0"]
    if ports:
        yield f"publishes port {', '.join(ports)} of the host, which two containers cannot share"
    mode = str(facts.get("network_mode") or "")
    if mode == "host" or mode.startswith(("service:", "container:")):
        yield (
            f"lives in the network of another (network_mode {mode}), where two containers would meet on "
            "one port"
        )
    yield from (f"has the fixed address {one} in its network" for one in _fixed_addresses(facts))
    # Compose runs them only if it starts the first or stops a container
    for hook in ("pre_start", "pre_stop"):
        if facts.get(hook):
            yield f"has {hook} hooks, which Compose would not run"
    if (facts.get("healthcheck") or {}).get("disable"):
        yield "has its healthcheck disabled, so nobody can tell when the new container may take over"


def _long_ports(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the ports in their long form; Compose v1 keeps the short one, `127.0.0.1:8080:80/tcp`.

    >>> _long_ports({"ports": ["80", "8080:80", {"target": 80}]})
    [{'published': ''}, {'published': '8080'}, {'target': 80}]
    """
    found: list[Mapping[str, Any]] = []
    for one in facts.get("ports") or ():
        if isinstance(one, Mapping):
            found.append(one)
        else:
            before = str(one).rpartition(":")[0]
            found.append({"published": before.rpartition(":")[2]})
    return found


def _fixed_addresses(facts: Mapping[str, Any]) -> list[str]:
    networks = facts.get("networks") or {}
    attached = networks.values() if isinstance(networks, Mapping) else ()
    found = [facts.get("mac_address")]
    for one in attached:
        found += [(one or {}).get(key) for key in ("ipv4_address", "ipv6_address", "mac_address")]
    return [str(each) for each in found if each]


def _of_containers(own: list[Deployed]) -> Iterator[str]:
    # `up` with twice the number would start it again.
    resting = [f"{each.container.name} is {each.container.status}" for each in own if not _runs(each)]
    if resting:
        yield f"does not run ({', '.join(resting)}), and would be started beside the new one"
    if any(each.container.healthcheck is None for each in own):
        yield _NO_HEALTHCHECK
    anonymous = sorted(
        {place for each in own for name, place in each.settings.volumes if mounts.is_anonymous(name)}
    )
    # Compose hands such a volume to a container that replaces the old one, and not to one beside it.
    if anonymous:
        yield (
            f"keeps data in a volume without a name at {', '.join(anonymous)}, which stays with the old "
            "container"
        )


def _runs(deployed: Deployed) -> bool:
    return deployed.container.status == "running"


def _facts(group: Group, service: str) -> Mapping[str, Any]:
    return _service(group.model, service)


def _service(model: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    services: Mapping[str, Any] = model.get("services") or {}
    return services.get(name) or {}


def _has_healthcheck(facts: Mapping[str, Any], is_in_image: bool) -> bool:
    written = facts.get("healthcheck") or {}
    test = written.get("test")
    if written.get("disable") or test in ("NONE", ["NONE"]):
        return False
    return bool(test) or is_in_image
