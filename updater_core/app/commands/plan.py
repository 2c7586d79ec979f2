"""`docker-updater --plan`: what would happen to each service and why, for people or for machines. Changes nothing."""

from __future__ import annotations

from updater_core.app import cycle
from updater_core.app.candidate import Candidate
from updater_core.app.commands import newer_versions
from updater_core.app.context import AppContext
from updater_core.app.evaluate import check_all
from updater_core.models import Hold, Reason
from updater_core.status import plans
from updater_core.status.plans import PlannedService


def run(context: AppContext, only: str | None, *, as_json: bool) -> int:
    """Print the plan of every enabled service, or of the one that is named; return the exit status.

    Raises EngineError if the engine does not answer."""
    context.host.engine.version()
    planned = [_planned(context, one) for one in check_all(context, only)]
    disabled = [each for each in context.config.services if not each.enabled and only in (None, each.name)]
    if as_json:
        print(plans.as_json(planned, disabled))
        return 0
    for one in plans.worst_first(planned):
        print(plans.block(one), end="\n\n")
    for service in disabled:
        print(plans.disabled_block(service.name), end="\n\n")
    print(plans.summary(planned, len(disabled)))
    return 0


def _planned(context: AppContext, one: Candidate) -> PlannedService:
    found = cycle.planned(context, one)
    explained = () if isinstance(found, Hold) else context.targets[found.target].explain(found)
    current = one.observed.current if one.observed else None
    made = PlannedService(one.service, found, one.decision.rejected, explained, current)
    if one.observed is None or (isinstance(found, Hold) and found.reason is not Reason.SAME_DIGEST):
        return made
    newest = newer_versions.newest(context, one.service, one.observed)
    if newest is None:
        return made
    return PlannedService(
        one.service, found, made.rejected, explained, current, (newest, newer_versions.remedy(one.service))
    )
