"""The one value that carries a service from observation to decision."""

from __future__ import annotations

from dataclasses import dataclass, field

from updater_core.deploy.target import Observed
from updater_core.models import Decision, Hold, Reason, ServiceConfig
from updater_core.state.records import ServiceState


@dataclass(frozen=True, slots=True)
class Candidate:
    """A service on its way from observation to decision.

    `observed`: None if it could not be seen. `digest`: of what runs, as the registry knows it. `before`: what
    was remembered of the service when the cycle began. `asked_by`: who wants it updated now; empty in a
    cycle.
    """

    service: ServiceConfig
    observed: Observed | None
    decision: Decision = field(default_factory=lambda: Hold(Reason.INTERNAL_ERROR, "nothing was decided"))
    digest: str | None = None
    before: ServiceState = field(default_factory=ServiceState)
    asked_by: str = ""
