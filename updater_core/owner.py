"""What an owner asks for, at the command line or of a daemon that runs: lift a quarantine, go back one image."""

from __future__ import annotations

import logging
from dataclasses import replace

from updater_core import cycle, mailbox, reference, state_notes, state_outcomes, state_records
from updater_core.causes import retry_command
from updater_core.check import look_all
from updater_core.errors import UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Committed, Hold, Outcome, Reason, ServiceConfig
from updater_core.plan import Wish
from updater_core.world import LOG, World, deliver, project_lock, save

RETRY, ROLLBACK = "retry", "rollback"


def carry_out(world: World, service: ServiceConfig, kind: str) -> bool:
    """Do what is asked, `RETRY` or `ROLLBACK`, and say how it ended; whether it was done."""
    if kind == RETRY:
        return _retry(world, service)
    outcome = roll_back(world, service)
    deliver(world)
    if isinstance(outcome, Hold):
        text = f"{outcome.reason}: {outcome.detail} ({outcome.remedy})"
        log_event(LOG, logging.WARNING, LogEvent.HELD, text, service=service.name)
    return isinstance(outcome, Committed)


def roll_back(world: World, service: ServiceConfig) -> Outcome | Hold:
    """Go back to the image before the current one, and stay there until a newer one than the one left appears."""
    cycle.recover_open(world)
    world.state = state_notes.follow_names(world.state, world.config.services)
    generations = state_records.service_of(world.state, service.name).generations
    if len(generations) < 2:
        return Hold(Reason.NO_CANDIDATE, f"no earlier image of {service.name} is remembered", "set its tag in the file")
    previous = generations[1]
    _, standing = look_all(world, [service])[0]
    if isinstance(standing, Hold):
        return standing
    earlier = reference.with_default_tag(reference.parse(previous.reference))
    target = replace(earlier, name=standing.current.name, digest=previous.digest)
    wish = Wish(target, "asked for by the owner", image_id=previous.image_id, kind=state_outcomes.OWNER_ROLLBACK)
    with project_lock(world, standing.project):
        found = cycle.plan_for(world, service, standing, wish)
        return found if isinstance(found, Hold) else cycle.carry_out(world, found)


def take_requests(world: World) -> None:
    """Carry out what was left for the daemon; a request that fails, is old, or names nobody is said and stops no
    other."""
    for request in mailbox.take(world.folder / mailbox.FOLDER):
        service = next((s for s in world.config.services if s.name == request.service), None)
        if service is None or request.is_old(world.clock.now()):
            _drop(request, is_known=service is not None)
            continue
        try:
            carry_out(world, service, request.kind)
        except UpdaterError as error:
            text = f"{request.kind} could not be carried out: {error} ({error.remedy})"
            log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=service.name)


def _drop(request: mailbox.Request, *, is_known: bool) -> None:
    why = "more than 24 hours ago" if is_known else "of a service that is not configured"
    text = f"--{request.kind} {request.service} of {request.at:%Y-%m-%d %H:%M} UTC is dropped: it was asked {why}"
    remedy = "if you still want it, ask again" if is_known else "write the name as in the configuration"
    log_event(LOG, logging.WARNING, LogEvent.REQUEST_DROPPED, f"{text} ({remedy})", service=request.service)


def _retry(world: World, service: ServiceConfig) -> bool:
    world.state = state_notes.follow_names(world.state, world.config.services)
    world.state = state_outcomes.lift_quarantine(world.state, service.name)
    save(world)
    left = state_records.service_of(world.state, service.name).quarantine
    text = "nothing is quarantined any more, the next cycle tries again"
    if left:
        once_more = f"until {retry_command(service.name)} is run once more"
        text = f"it is looked after again; {left[0].reference} stays in quarantine {once_more}"
    log_event(LOG, logging.INFO, LogEvent.QUARANTINE_LIFTED, text, service=service.name)
    return True
