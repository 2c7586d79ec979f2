"""A Compose service as its containers stand, as a plan has it."""

from __future__ import annotations

from collections.abc import Sequence

from updater_core.deploy import health
from updater_core.models import Container, GatePolicy
from updater_core.targets.compose import dependencies
from updater_core.targets.compose.plan import Move


def move_of(name: str, old: str, new: str, containers: Sequence[Container]) -> Move:
    """Return the move of service `name` between two references; `containers` are its own, newest first."""
    newest = containers[0] if containers else None
    is_well = bool(containers) and all(health.may_be_well(c) for c in containers)
    stop_grace_seconds = max((c.stop_grace_seconds for c in containers), default=10.0)
    return Move(
        service=name,
        old_reference=old,
        new_reference=new,
        old_image_id=newest.image_id if newest else "",
        replicas=max(len(containers), 1),
        container_ids=tuple(c.id for c in containers),
        was_well=is_well,
        is_one_shot=dependencies.has_ended_well(containers),
        may_end=_may_end(containers),
        stop_grace_seconds=stop_grace_seconds,
        healthcheck_seconds=health.deadline_seconds(containers, GatePolicy(timeout_seconds=0.0)),
    )


def _may_end(containers: Sequence[Container]) -> bool:
    """Return whether an end with 0 is no failure: the service has no container, or one ended by itself."""
    if any(map(dependencies.is_stopped_by_hand, containers)):
        return False
    return not containers or dependencies.has_ended(containers)
