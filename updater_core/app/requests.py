"""What an operator asks for, at the command line or of a running daemon: lift a quarantine, go back one image."""

from __future__ import annotations

import logging
from dataclasses import replace

from updater_core import reference
from updater_core.app import cycle, request_queue
from updater_core.app.context import LOG, AppContext, deliver, exclusive, save, target_of
from updater_core.app.evaluate import facts_of
from updater_core.deploy.target import UpdateRequest
from updater_core.errors import UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Committed, Hold, Outcome, Reason, ServiceConfig, Update, retry_command
from updater_core.policy import admission
from updater_core.state import observed_tags, outcomes, records
from updater_core.state.records import State

RETRY, ROLLBACK = "retry", "rollback"


def carry_out(context: AppContext, service: ServiceConfig, kind: str) -> bool:
    """Do what is asked, `RETRY` or `ROLLBACK`, and say how it ended; whether it was done."""
    if kind == RETRY:
        return _retry(context, service)
    outcome = roll_back(context, service)
    deliver(context)
    if isinstance(outcome, Hold):
        text = f"{outcome.reason}: {outcome.detail} ({outcome.remedy})"
        log_event(LOG, logging.WARNING, LogEvent.HELD, text, service=service.name)
    return isinstance(outcome, Committed)


def roll_back(context: AppContext, service: ServiceConfig) -> Outcome | Hold:
    """Go back to the image before the current one, and stay there until a newer one than the one left appears."""
    cycle.recover_open(context, is_asked=True)
    context.change(lambda state: observed_tags.follow_names(state, context.config.services))
    nothing = nothing_to_go_back_to(context.state, service.name)
    if nothing is not None:
        return nothing
    previous = records.service_of(context.state, service.name).generations[1]
    target = target_of(context, service)
    observed = target.observe([service])[service.name]
    if isinstance(observed, Hold):
        return observed
    earlier = reference.with_default_tag(reference.parse(previous.reference))
    image = replace(earlier, name=observed.current.name, digest=previous.digest)
    request = UpdateRequest(
        image, "asked for by the operator", retained=previous.image_id, kind=outcomes.OWNER_ROLLBACK
    )
    with exclusive(context, target, observed, service.name):
        facts = facts_of(context, service, observed, is_stopping=False)
        decision = admission.admit(Update(image, request.reason), facts, admission.OPERATOR_RULES)
        if isinstance(decision, Hold):
            return decision
        found = cycle.plan_for(context, service, observed, request)
        return found if isinstance(found, Hold) else cycle.carry_out(context, found)


def nothing_to_go_back_to(state: State, name: str) -> Hold | None:
    """Why a service cannot be rolled back; None if an image before the current one is remembered."""
    if len(records.service_of(state, name).generations) >= 2:
        return None
    return Hold(Reason.NO_CANDIDATE, f"no earlier image of {name} is remembered", "set its tag in the file")


def take_requests(context: AppContext) -> None:
    """Carry out what was left for the daemon; a request that fails, is old, or names nobody is said and stops no
    other."""
    for request in request_queue.take(context.folder / request_queue.FOLDER):
        service = next((s for s in context.config.services if s.name == request.service), None)
        if service is None or request.is_old(context.clock.now()):
            _drop(request, is_known=service is not None)
            continue
        try:
            carry_out(context, service, request.kind)
        except UpdaterError as error:
            text = f"{request.kind} could not be carried out: {error} ({error.remedy})"
            log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=service.name)


def _drop(request: request_queue.OperatorRequest, *, is_known: bool) -> None:
    why = "more than 24 hours ago" if is_known else "of a service that is not configured"
    text = f"--{request.kind} {request.service} of {request.at:%Y-%m-%d %H:%M} UTC is dropped: it was asked {why}"
    remedy = "if you still want it, ask again" if is_known else "write the name as in the configuration"
    log_event(LOG, logging.WARNING, LogEvent.REQUEST_DROPPED, f"{text} ({remedy})", service=request.service)


def _retry(context: AppContext, service: ServiceConfig) -> bool:
    context.change(lambda state: observed_tags.follow_names(state, context.config.services))
    context.change(lambda state: outcomes.lift_quarantine(state, service.name))
    save(context)
    left = records.service_of(context.state, service.name).quarantine
    text = "nothing is quarantined any more, the next cycle tries again"
    if left:
        once_more = f"until {retry_command(service.name)} is run once more"
        text = f"it is looked after again; {left[0].reference} stays in quarantine {once_more}"
    log_event(LOG, logging.INFO, LogEvent.QUARANTINE_LIFTED, text, service=service.name)
    return True
