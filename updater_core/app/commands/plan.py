"""`docker-updater --plan`: what would happen to each service and why, for people or for machines.

Changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from updater_core.app import cycle
from updater_core.app.candidate import Candidate
from updater_core.app.commands import newer_versions
from updater_core.app.context import AppContext, targets_in_use
from updater_core.app.evaluate import check_all, facts_asked, facts_of
from updater_core.deploy.target import UpdateRequest
from updater_core.models import Hold, Plan, Reason
from updater_core.policy import admission
from updater_core.policy.releases.size import waiting_step
from updater_core.state import records
from updater_core.status import plans
from updater_core.status.plans import PlannedService
from updater_core.vocabulary.dated import NO_FACTS, NO_STEP, ReleaseStep


def run(context: AppContext, only: str | None, *, as_json: bool) -> int:
    """Print the plan of every enabled service, or of the one that is named; return the exit status.

    Raises EngineError if a place where they are deployed does not answer."""
    for target, services in targets_in_use(context, only):
        target.check(services)
    planned = [_planned(context, one) for one in check_all(context, only)]
    disabled = [each for each in context.config.services if not each.enabled and only in (None, each.name)]
    if as_json:
        print(plans.as_json(planned, disabled))
        return 0
    for one in plans.worst_first(planned):
        print(plans.block(one, context.clock.now()), end="\n\n")
    for service in disabled:
        print(plans.disabled_block(service.name), end="\n\n")
    print(plans.summary(planned, len(disabled)))
    return 0


def _planned(context: AppContext, one: Candidate) -> PlannedService:
    found = cycle.planned(context, one)
    if isinstance(found, Hold):
        found = _with_every_hold(context, one, found)
    explained = () if isinstance(found, Hold) else context.targets[found.target].explain(found)
    current = one.observed.current if one.observed else None
    release = _release(context, one, found)
    made = PlannedService(one.service, found, one.decision.rejected, explained, current, release=release)
    if one.observed is None or (isinstance(found, Hold) and found.reason is not Reason.SAME_DIGEST):
        return made
    newest = newer_versions.newest(context, one.service, one.observed)
    if newest is None:
        return made
    return replace(made, newer=(newest, newer_versions.remedy(one.service)))


def _with_every_hold(context: AppContext, one: Candidate, held: Hold) -> Hold:
    """Return the hold with everything else that stands in the way of the image that waits.

    That is each rule of admission, and what its target has against it, which is not asked in a cycle before
    the rules let it through.
    """
    waiting = held.available
    if one.observed is None or waiting is None or records.is_unknown(held.reason):
        return held
    facts = facts_of(context, one.service, (waiting, *held.others), is_stopping=False)
    held = admission.with_every_hold(held, facts)
    if waiting.digest is None:
        return held
    request = UpdateRequest(waiting, held.detail, others=held.others)
    found = cycle.plan_for(context, one.service, one.observed, request)
    if isinstance(found, Plan) or found.reason in {held.reason, *(each.reason for each in held.also)}:
        return held
    return replace(held, also=(*held.also, found))


def _release(context: AppContext, one: Candidate, found: Plan[Any] | Hold) -> ReleaseStep:
    """Return the step to the image that would be taken, or waits, with what its registry says of it."""
    target = found.available if isinstance(found, Hold) else found.image
    if target is None:
        return NO_STEP
    known = records.service_of(context.state, one.service.name)
    if known.waiting_digest == target.digest:
        facts = known.waiting_facts
    else:
        facts = (facts_asked(context, one.service, target) if target.digest else None) or NO_FACTS
    return waiting_step(known.reference, known.facts, target.text, facts)
