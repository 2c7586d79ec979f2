"""A Swarm service as it is deployed now, or why it is not updated as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from updater_core import reference
from updater_core.deploy.target import OtherImage
from updater_core.models import Hold, ImageRef, Reason, ServiceConfig
from updater_core.targets.swarm import facts
from updater_core.targets.swarm.entry.settings import SwarmSettings
from updater_core.targets.swarm.facts import SwarmService
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts

NOT_A_MANAGER_REMEDY = "run the updater on a manager of the swarm (`docker node ls` answers there)"


@dataclass(frozen=True, slots=True)
class ObservedSwarmService:
    """`deploy.target.Observed` for a Swarm service.

    What runs is what its spec names: its digest is pinned there.
    """

    service: str  # its name in our configuration
    found: SwarmService
    current: ImageRef
    running_digests: frozenset[str]
    image_ids: frozenset[str] = frozenset()
    unproven_digests: frozenset[str] = frozenset()
    others: tuple[OtherImage, ...] = ()
    image_facts: ImageFacts = NO_FACTS  # its tasks may run on other hosts

    @property
    def lock_name(self) -> str:
        """Return what is locked for a change of it."""
        return lock_name(self.found)


def lock_name(found: SwarmService) -> str:
    """Return what is locked for a change of a service: its stack, which shares a file, else itself."""
    return f"swarm-{found.stack or found.name}"


def name_of(service: ServiceConfig) -> str:
    """Return the name that a service of the configuration has in its swarm.

    >>> of_stack = (SwarmSettings(stack="shop"),)
    >>> name_of(ServiceConfig("web", reference.parse("nginx"), (), ("web",), target=of_stack))
    'shop_web'
    """
    own = service.own(SwarmSettings)
    return own.swarm_service or f"{own.stack}_{service.compose_services[0]}"


def is_of_swarm(service: ServiceConfig) -> bool:
    """Return whether a service of the configuration is one of a swarm."""
    own = service.own(SwarmSettings)
    return bool(own.stack or own.swarm_service)


def identity(service: ServiceConfig) -> str | None:
    """Return what identifies a service apart from its name: its name in its swarm; None if in no swarm."""
    if not is_of_swarm(service):
        return None
    own = service.own(SwarmSettings)
    names = (own.stack or "", own.swarm_service or "", *service.compose_services)
    return "\n".join(("swarm", own.engine or "", *names))


def by_name(services: Sequence[Mapping[str, Any]]) -> dict[str, SwarmService]:
    """Return the services that run an image, by their names; a plugin's has none."""
    found = {}
    for raw in services:
        try:
            service = facts.service_of(raw)
        except (KeyError, TypeError):
            continue
        found[service.name] = service
    return found


def observe(service: ServiceConfig, known: Mapping[str, SwarmService]) -> ObservedSwarmService | Hold:
    """Return a service as one of the swarm's has it, or why that cannot be said."""
    name = name_of(service)
    found = known.get(name)
    if found is None:
        near = ", ".join(sorted(known)[:8]) or "none"
        detail = f"the swarm has no service {name}; it has {near}"
        return Hold(
            Reason.NOT_RUNNING,
            detail,
            "write `stack` and `compose_service`, or `swarm_service`, as it is there",
        )
    try:
        image = reference.with_default_tag(reference.parse(found.image))
    except ValueError as error:
        return Hold(Reason.IMAGE_MISMATCH, f"{name}: {error}", "deploy it with an image that is a reference")
    if image.key != service.image.key:
        detail = f"{name} runs {image.key}, and the configuration says {service.image.key}"
        return Hold(Reason.IMAGE_MISMATCH, detail, "correct `image` in the configuration")
    digests = frozenset({image.digest} if image.digest else ())
    current = replace(image, digest=None) if image.tag else image
    return ObservedSwarmService(service.name, found, current, digests)


def hold_of(service: ServiceConfig, found: SwarmService) -> Hold | None:
    """Return why a service is not to be changed as it stands; None if it may be."""
    if found.is_job:
        return None if service.own(SwarmSettings).run_jobs else _hold_of_job(found)
    return _hold_of_update(found) or _hold_of_mode(found)


def _hold_of_job(found: SwarmService) -> Hold:
    detail = f"{found.name} is a job: another image would run it at once"
    remedy = (
        f'allow that by "run_jobs": true, or do it yourself: `docker service update --image … {found.name}`'
    )
    return Hold(Reason.NOTIFY_ONLY, detail, remedy)


def _hold_of_update(found: SwarmService) -> Hold | None:
    state, since = found.status.state, found.status.started_at[:19]
    if state in (facts.UPDATING, facts.ROLLING_BACK):
        what = (
            f"{found.name} is {'being updated' if state == facts.UPDATING else 'going back'} since "
            f"{since} UTC"
        )
        return Hold(
            Reason.BUSY,
            f"{what}, and not by this updater",
            "nothing to do: it is looked at in the next cycle",
        )
    if state in (facts.PAUSED, facts.ROLLBACK_PAUSED):
        detail = f"the engine paused its last update of {found.name}: {found.status.message}"
        remedy = f"end it: `docker service rollback {found.name}`, or deploy what you want"
        return Hold(Reason.UPDATE_PAUSED, detail, remedy)
    return None


def _hold_of_mode(found: SwarmService) -> Hold | None:
    if found.replicas == 0:
        return Hold(
            Reason.NOT_RUNNING, f"{found.name} is scaled to 0", f"`docker service scale {found.name}=1`"
        )
    if found.update_config.get("FailureAction") == "continue":
        detail = f"{found.name} says `failure_action: continue`: roll a release out even if its tasks fail"
        remedy = (
            "write `failure_action: rollback` (or pause) under `deploy.update_config`, and deploy the stack"
        )
        return Hold(Reason.FAILURE_ACTION, detail, remedy)
    return None
