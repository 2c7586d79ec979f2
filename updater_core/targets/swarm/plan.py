"""What a plan holds for Swarm besides the neutral facts: the service, its old spec, its file's change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from updater_core.models import Edit, Plan
from updater_core.targets.swarm import facts
from updater_core.targets.swarm.spec import NANOSECONDS, SpecChange, delay_seconds


@dataclass(frozen=True, slots=True)
class SwarmPlan:
    """The part of a plan that only Swarm's own modules read.

    `old_spec`: the whole spec that was proven last; an operator's secrets may stand in its environment.
    `former_update`: when the engine's update before ours began; `known_tasks`: the tasks that were there
    before.
    """

    service_id: str
    swarm_service: str
    engine: str | None
    locked_as: str
    old_spec: Mapping[str, Any] = field(repr=False)
    former_update: str
    old_image: str
    new_image: str
    label: str | None = None  # the text of the image in the stack file after the update
    platforms: tuple[tuple[str, str], ...] | None = None
    known_tasks: tuple[str, ...] = ()
    former_run: int = 0  # of a job: the iteration before ours
    nodes: Mapping[str, int] = field(default_factory=dict)  # each with its version, before the update
    compose_service: str = ""
    # of the stack's files, as they were read
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    changes: tuple[Edit, ...] = ()

    @property
    def is_job(self) -> bool:
        """Return whether the service's tasks are to end by themselves."""
        return facts.is_job(self.old_spec)

    def change(self, stable_seconds: float) -> SpecChange:
        """Return what the update writes into the spec."""
        return SpecChange(self.new_image, self.label, self.platforms, stable_seconds)


def pause_seconds(plan: Plan[SwarmPlan]) -> float:
    """Return how long a good rollout may stand still: the engine's pause, a stop, a healthcheck's verdict."""
    container = plan.detail.old_spec["TaskTemplate"]["ContainerSpec"]
    grace = float(container.get("StopGracePeriod") or 10 * NANOSECONDS) / NANOSECONDS
    return delay_seconds(plan.detail.old_spec, plan.gate.stable_seconds) + grace + plan.healthcheck_seconds
