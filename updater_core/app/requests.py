"""The orders of an operator, from the command line or handed to a daemon: each carried out and recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from updater_core import reference
from updater_core.app import cycle, recorder
from updater_core.app.context import LOG, AppContext, bug, claim_of, deliver, exclusive, target_of
from updater_core.app.evaluate import check_asked, facts_of, follow_names, record_check
from updater_core.app.orders import request_queue
from updater_core.app.retained import adopt_retained
from updater_core.deploy import transaction
from updater_core.deploy.target import Observed, UpdateRequest
from updater_core.errors import UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import (
    Committed,
    Hold,
    ImageRef,
    Outcome,
    Reason,
    ServiceConfig,
    Update,
    retry_command,
)
from updater_core.policy import admission
from updater_core.policy.operator.decisions import Pause, command
from updater_core.state import orders, outcomes, records
from updater_core.state.orders import ALL, OperatorOrder, OrderAnswer, refused
from updater_core.state.records import Generation, RetainedImage, State


def carry_out(context: AppContext, order: OperatorOrder) -> OrderAnswer:
    """Do what is asked, record it, and return how it ended.

    The service is one that is configured, or `ALL`.
    """
    # An order from the command line comes before any cycle of this process, which would have done both.
    adopt_retained(context)
    follow_names(context, order.service)
    service = next((each for each in context.config.services if each.name == order.service), None)
    answer = orders.objection(context.state, order, service, context.clock.now())
    if answer is None:
        answer = _CARRIED_OUT[order.kind](context, order, service)
    recorder.order_taken(context, order, answer)
    deliver(context)
    return answer


def take_requests(context: AppContext) -> None:
    """Carry out what was left for the daemon; an order that fails, is old, or names nobody stops no other.

    What changes a service goes on in a thread, beside other projects; while its project is being changed, it
    waits.
    """
    names = {service.name: service for service in context.config.services}
    for queued in request_queue.waiting_in(context.folder / request_queue.FOLDER):
        order = queued.order
        is_known = order.service in names or (order.service == ALL and order.kind in orders.OF_ALL)
        # A day later nobody who gave an order expects it to be carried out.
        if not is_known or request_queue.is_old(order, context.clock.now()):
            _drop(context, order, is_known=is_known)
            request_queue.done(queued)
        elif order.refusal:
            recorder.order_refused(context, order, refused(order.refusal))
            request_queue.done(queued)
        # What only changes the memory is done at once, whatever else is under way.
        elif order.kind not in _CHANGES_A_SERVICE:
            _taken(context, queued)
        else:
            claim = claim_of(context, names[order.service])
            if context.workers.in_the_way(claim) is None:
                context.workers.begin(claim, partial(_taken, context, queued))


def _taken(context: AppContext, queued: request_queue.QueuedOrder) -> tuple[Outcome, ...]:
    """Carry out an order, and then remove its file: one that is cut off is carried out again."""
    order = queued.order
    try:
        # else it was carried out, and then this process was killed
        if orders.find(context.state, order.id) is None:
            carry_out(context, order)
    except UpdaterError as error:
        text = f"{order.kind} could not be carried out: {error} ({error.remedy})"
        log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=order.service)
        recorder.order_taken(context, order, refused(f"it could not be carried out: {error}", error.remedy))
    # The file of the order is removed in any case: one that always fails would be tried for ever.
    except Exception as error:
        recorder.order_taken(context, order, refused(bug(order.service, error).detail, "see the log"))
    request_queue.done(queued)
    return ()


def _drop(context: AppContext, order: OperatorOrder, *, is_known: bool) -> None:
    """Say that an order is not carried out. One of no service has no history to be put into."""
    why = "more than 24 hours ago" if is_known else "of a service that is not configured"
    text = f"--{order.kind} {order.service} of {order.at:%Y-%m-%d %H:%M} UTC is dropped: it was asked {why}"
    remedy = "if you still want it, ask again" if is_known else "write the name as in the configuration"
    log_event(LOG, logging.WARNING, LogEvent.REQUEST_DROPPED, f"{text} ({remedy})", service=order.service)
    if is_known:
        answer, now = refused(f"it is dropped: it was asked {why}", remedy), context.clock.now()
        context.change(lambda state: orders.record(state, order, answer, now))


# ------------------------------------------------------------------------------------- what changes a service


def _update(context: AppContext, order: OperatorOrder, service: ServiceConfig | None) -> OrderAnswer:
    found = _updated_now(context, _named(service), order.who)
    if isinstance(found, Hold):
        is_settled = found.reason is Reason.SAME_DIGEST
        return OrderAnswer(is_settled, f"{found.reason}: {found.detail}", "" if is_settled else found.remedy)
    return _of_outcome(found)


def _updated_now(context: AppContext, service: ServiceConfig, who: str) -> Outcome | Hold:
    # What was interrupted is ended first, and at once: the operator waits, and a pause is there for the
    # unattended.
    cycle.recover_open(context, claim_of(context, service))
    one = check_asked(context, service, who or "the operator")
    record_check(context, one)
    return cycle.act(context, one)


def _roll_back(context: AppContext, order: OperatorOrder, service: ServiceConfig | None) -> OrderAnswer:
    outcome = roll_back(context, _named(service), order.who)
    if isinstance(outcome, Hold):
        return refused(f"{outcome.reason}: {outcome.detail}", outcome.remedy)
    return _of_outcome(outcome)


def _of_outcome(outcome: Outcome) -> OrderAnswer:
    if isinstance(outcome, Committed):
        return OrderAnswer(is_done=True, text=transaction.describe(outcome))
    return refused(transaction.describe(outcome), outcome.cause.remedy)


def roll_back(context: AppContext, service: ServiceConfig, who: str = "") -> Outcome | Hold:
    """Go back to the image before the current one, and stay there until one newer than that appears."""
    cycle.recover_open(context, claim_of(context, service))
    follow_names(context, service.name)
    nothing = nothing_to_go_back_to(context.state, service.name)
    if nothing is not None:
        return nothing
    previous = records.service_of(context.state, service.name).generations[1]
    target = target_of(context, service)
    # Looked at anew: the last check may be an hour old.
    observed = target.observe([service])[service.name]
    if isinstance(observed, Hold):
        return observed
    request = _request_for(previous, observed)
    if isinstance(request, Hold):
        return request
    kept = cycle.remembered_images(context.state, service.name)
    request = replace(request, reason=f"asked for by {who or 'the operator'}", earlier_retained=kept)
    with exclusive(context, target, observed, service.name):
        facts = facts_of(context, service, (request.image, *request.others), is_stopping=False)
        decision = admission.admit(Update(request.image, request.reason), facts, admission.OPERATOR_RULES)
        if isinstance(decision, Hold):
            return decision
        found = cycle.plan_for(context, service, observed, request)
        return found if isinstance(found, Hold) else cycle.carry_out(context, found)


def _request_for(previous: Generation, observed: Observed) -> UpdateRequest | Hold:
    """Return what to ask of the target to go back to a generation.

    It is the generation's image of each repository that the service has by now. One that it does not know is
    left out, and the target says what that means.
    """
    kept = {reference.parse(image.reference).key: image for image in previous.images}
    current = observed.current
    # By repository and not by place in the list: the operator may have moved to another one since.
    own = kept.get(current.key)
    if own is None:
        detail = f"the image before is {previous.reference}, which is none of {current.key}"
        return Hold(Reason.NO_CANDIDATE, detail, "write it into the file yourself, if it is meant")
    named = [other.current for other in observed.others if other.current.key in kept]
    return UpdateRequest(
        _image_of(own, current),
        "",
        retained=own.image_id,
        kind=outcomes.OWNER_ROLLBACK,
        others=tuple(_image_of(kept[image.key], image) for image in named),
        others_retained={image.key: kept[image.key].image_id for image in named},
    )


def _image_of(kept: RetainedImage, current: ImageRef) -> ImageRef:
    """Return the image that was kept, its repository spelled as the file does now."""
    earlier = reference.with_default_tag(reference.parse(kept.reference))
    return replace(earlier, name=current.name, digest=kept.digest)


def nothing_to_go_back_to(state: State, name: str) -> Hold | None:
    """Return why a service cannot be rolled back; None if an image before the current one is remembered."""
    if len(records.service_of(state, name).generations) >= 2:
        return None
    return Hold(Reason.NO_CANDIDATE, f"no earlier image of {name} is remembered", "set its tag in the file")


# ------------------------------------------------------------------------------------ what changes the memory


def _retry(context: AppContext, order: OperatorOrder, _: ServiceConfig | None) -> OrderAnswer:
    name = order.service
    context.change(lambda state: outcomes.lift_quarantine(state, name))
    left = records.service_of(context.state, name).quarantine
    text = "nothing is quarantined any more, the next cycle tries again"
    if left:
        once_more = f"until {retry_command(name)} is run once more"
        text = f"it is looked after again; {left[0].reference} stays in quarantine {once_more}"
    log_event(LOG, logging.INFO, LogEvent.QUARANTINE_LIFTED, text, service=name)
    return OrderAnswer(is_done=True, text=text)


def _pause(context: AppContext, order: OperatorOrder, _: ServiceConfig | None) -> OrderAnswer:
    context.change(lambda state: orders.paused(state, order))
    pause = _pause_of(context.state, order.service)
    end = f"until {pause.until:%Y-%m-%d %H:%M} UTC" if pause and pause.until else "until they are resumed"
    return OrderAnswer(is_done=True, text=f"updates of {_whose(order)} are paused {end}; checks go on")


def _pause_of(state: State, name: str) -> Pause | None:
    return state.pause if name == ALL else records.service_of(state, name).decisions.pause


def _resume(context: AppContext, order: OperatorOrder, service: ServiceConfig | None) -> OrderAnswer:
    context.change(lambda state: orders.resumed(state, order.service))
    settings = context.config.settings
    is_paused = settings.hours.paused or (service is not None and service.hours.paused)
    further = "; but pause_updates of the configuration still holds them" if is_paused else ""
    if service is not None and context.state.pause is not None:
        further += f"; but all are paused, until {command(orders.RESUME, ALL)}"
    return OrderAnswer(is_done=True, text=f"updates of {_whose(order)} go on{further}")


def _skip(context: AppContext, order: OperatorOrder, _: ServiceConfig | None) -> OrderAnswer:
    target = orders.waiting(records.service_of(context.state, order.service))
    context.change(lambda state: orders.skipped(state, order))
    what = target.text if target else "it"
    return OrderAnswer(is_done=True, text=f"{what} is not taken, under any tag; a newer one is")


def _approve(context: AppContext, order: OperatorOrder, service: ServiceConfig | None) -> OrderAnswer:
    now, seconds = context.clock.now(), _named(service).policy.approval_expires_seconds
    context.change(lambda state: orders.approved(state, order, now, seconds))
    given = records.service_of(context.state, order.service).decisions.approval
    if given is None:
        return refused("nothing waits any more", f"see docker-updater --status --service {order.service}")
    text = (
        f"{given.reference} may be taken, until {given.expires_at:%Y-%m-%d %H:%M} UTC; the next cycle "
        "looks at it"
    )
    return OrderAnswer(is_done=True, text=text)


def _check(_: AppContext, order: OperatorOrder, __: ServiceConfig | None) -> OrderAnswer:
    return OrderAnswer(is_done=True, text=f"{_whose(order)} are checked now".capitalize())


def _whose(order: OperatorOrder) -> str:
    return "all services" if order.service == ALL else order.service


def _named(service: ServiceConfig | None) -> ServiceConfig:
    if service is None:
        raise UpdaterError("this order is for one service", "name it")
    return service


_CARRIED_OUT: Mapping[str, Callable[[AppContext, OperatorOrder, ServiceConfig | None], OrderAnswer]] = {
    orders.UPDATE: _update,
    orders.APPROVE: _approve,
    orders.SKIP: _skip,
    orders.PAUSE: _pause,
    orders.RESUME: _resume,
    orders.RETRY: _retry,
    orders.ROLLBACK: _roll_back,
    orders.CHECK: _check,
}
_CHANGES_A_SERVICE = {orders.UPDATE, orders.ROLLBACK, orders.RETRY}
