"""What an outcome or check leaves behind, in an order that survives a crash: state, log, metrics, events."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from updater_core.app.candidate import Candidate
from updater_core.app.context import LOG, AppContext, PreventedRollback, queue, save
from updater_core.app.orders import approval_link
from updater_core.deploy import failure, transaction
from updater_core.deploy.journal import UnreadableRecord
from updater_core.errors import StateError, Stopped, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import (
    Committed,
    Event,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Reason,
    RollbackFailed,
    RolledBack,
    Step,
    Superseded,
)
from updater_core.notifiers import events
from updater_core.policy.operator import decisions
from updater_core.state import orders, records
from updater_core.state import outcomes as state_outcomes
from updater_core.state.orders import OperatorOrder, OrderAnswer
from updater_core.state.records import State

# The service may be down meanwhile, so this is much shorter than the pause after a failed update.
_FIRST_ROLLBACK_PAUSE_SECONDS = 15.0
_LONGEST_ROLLBACK_PAUSE_SECONDS = 300.0


def announce(context: AppContext, one: Candidate) -> None:
    """Say of each image that waits that it does, once; and ask for an approval, if it needs one."""
    # The question first: its answer is waited for.
    _ask_approval(context, one)
    name, hold = one.service.name, one.decision
    known = records.service_of(context.state, name)
    if not isinstance(hold, Hold) or hold.available is None or known.announced == hold.available.text:
        return
    event = events.available_event(name, known, hold, _moment(context))
    # Remembered as announced only once it is in every outbox: a full disk must not swallow the message.
    if event and events.is_wanted(event, context.config.settings.notify_events) and _queued(context, event):
        context.change(lambda state: records.announce(state, name))


def _ask_approval(context: AppContext, one: Candidate) -> None:
    """Ask the operator whether the image that waits may be taken, if that is so: once for each image."""
    hold, name, now = one.decision, one.service.name, context.clock.now()
    if not isinstance(hold, Hold) or hold.available is None or hold.available.digest is None:
        return
    # An approval that waits behind another hold is asked for now: the answer may come before the window
    # opens.
    if all(each.reason is not Reason.AWAITING_APPROVAL for each in (hold, *hold.also)):
        return
    known = records.service_of(context.state, name)
    asked = known.decisions.approval
    if asked is not None and asked.is_of(hold.available, hold.others):
        return
    question = decisions.question(
        hold.available, hold.others, now, one.service.policy.approval_expires_seconds
    )
    question, link = approval_link.with_link(question, context.config.settings)
    event = replace(events.approval_event(name, known, question, _moment(context)), approve_url=link)
    if _queued(context, event):
        context.change(lambda state: orders.asked(state, name, question))
        text = f"{question.reference} waits for an approval until {question.expires_at:%Y-%m-%d %H:%M} UTC"
        remedy = f"{decisions.command(orders.APPROVE, name)}, or {decisions.command(orders.SKIP, name)}"
        log_event(LOG, logging.INFO, LogEvent.APPROVAL_ASKED, f"{text}: {remedy}", service=name)


def order_taken(context: AppContext, order: OperatorOrder, answer: OrderAnswer) -> None:
    """Remember an order and what came of it, log it, and queue its event if it changed what may be done."""
    now, level = context.clock.now(), logging.INFO if answer.is_done else logging.WARNING
    known = records.service_of(context.state, order.service)
    event = events.order_event(known, order, answer, _moment(context))
    context.change(lambda state: orders.record(state, order, answer, now))
    text = f"{order.kind}, asked for by {order.who or 'nobody known'}: {answer.sentence}"
    kind = LogEvent.ORDER_DONE if answer.is_done else LogEvent.ORDER_REFUSED
    log_event(LOG, level, kind, text, service=order.service, order=order.kind, who=order.who)
    _queued(context, event)
    save(context)


def order_refused(context: AppContext, order: OperatorOrder, answer: OrderAnswer) -> None:
    """Remember and log an order that was refused before it was handed over.

    The same once in a minute, so that whoever repeats it fills neither history nor disk.
    """
    if not orders.is_repeated(context.state, order, answer):
        order_taken(context, order, answer)


def queue_transition(context: AppContext, name: str) -> bool:
    """Queue the event of an incident that began, or of the end of all.

    Returns whether the state is to be saved.
    """
    known = records.service_of(context.state, name)
    transition = events.transition_of(known, context.clock.now())
    is_changed = transition.open_incidents != known.incidents
    if is_changed and _queued(context, events.transition_event(name, known, transition, _moment(context))):
        context.change(lambda state: _with_incidents(state, name, transition.open_incidents))
        return True
    return False


def _with_incidents(state: State, name: str, incidents: Mapping[str, datetime]) -> State:
    return records.with_service(state, name, replace(records.service_of(state, name), incidents=incidents))


def _moment(context: AppContext) -> events.Moment:
    return events.Moment(socket.gethostname(), context.clock.now())


def record(context: AppContext, outcome: Outcome, started: datetime) -> None:
    """Remember an outcome, queue its event, close its journal.

    In this order: a crash between two of them repeats the later ones and loses nothing.
    """
    now = context.clock.now()
    steps = context.steps.taken(outcome.plan.name, now)
    # False after a crash between the steps below: then it was counted and logged before.
    is_new = context.change(lambda state: state_outcomes.record_outcome(state, outcome, started, now, steps))
    if is_new:
        _log_outcome(outcome, (now - started).total_seconds())
        _count(context.metrics, outcome)
    event = events.event_of(outcome, socket.gethostname(), started, now)
    # The journal is what brings the service back. It stays open until state and event are on the disk, and
    # the next start does the rest.
    if not (save(context) and _queued(context, event)):
        return
    if queue_transition(context, outcome.plan.name):
        save(context)
    # Closed last: from here on only the state knows of the update.
    context.journal.close(outcome.plan.id)
    context.prevented.pop(outcome.plan.id, None)


def _queued(context: AppContext, event: Event | None) -> bool:
    """Return whether the event is in every outbox.

    If not, it is not remembered as sent, a journal stays open, and the next cycle tries again.
    """
    try:
        if event is not None:
            queue(context, event)
    except StateError as error:
        log_event(LOG, logging.ERROR, LogEvent.NOTIFY_FAILED, f"an event is queued later: {error}")
        return False
    return True


def _log_outcome(outcome: Outcome, seconds: float) -> None:
    event, level = _LOG_EVENTS[type(outcome)]
    fields: dict[str, object] = {**way(outcome.plan), "duration_seconds": round(seconds, 1)}
    if not isinstance(outcome, Committed):
        fields["reason"] = outcome.cause.reason.value
    log_event(LOG, level, event, transaction.describe(outcome), service=outcome.plan.name, **fields)


def way(found: Plan[Any]) -> Mapping[str, str]:
    """Return which image a plan leads from and to, as fields of a log line."""
    return {"from": found.old_reference, "to": found.image.text}


_LOG_EVENTS: Mapping[type, tuple[LogEvent, int]] = {
    Committed: (LogEvent.UPDATED, logging.INFO),
    NotStarted: (LogEvent.NOT_STARTED, logging.WARNING),
    RolledBack: (LogEvent.ROLLED_BACK, logging.WARNING),
    RollbackFailed: (LogEvent.ROLLBACK_FAILED, logging.ERROR),
    Superseded: (LogEvent.TAKEN_OVER, logging.WARNING),
}


def _count(metrics: Metrics, outcome: Outcome) -> None:
    name = outcome.plan.name
    match outcome:
        case Committed():
            metrics.updated(name)
        case RolledBack(cause=cause):
            metrics.rolled_back(name, cause.reason.value)
        case NotStarted(cause=cause) | RollbackFailed(cause=cause):
            metrics.failed(name, cause.step.value)


def measure(context: AppContext, outcome: Outcome) -> None:
    """Measure how long the update took, and its gate if it came to one.

    What a former run began is not measured.
    """
    # The newest change comes first, and it is the one that was just recorded.
    change = records.service_of(context.state, outcome.plan.name).changes[0]
    context.metrics.update_ended(change.outcome, change.duration_seconds)
    step = Step.COMMIT if isinstance(outcome, Committed) else outcome.cause.step
    if step in (Step.GATE, Step.VERIFY, Step.COMMIT):
        context.metrics.gate_ended(
            "failed" if step is Step.GATE else "proven",
            context.steps.gate_seconds(outcome.plan.name, change.at),
        )


def say_unreadable(entry: UnreadableRecord) -> None:
    """Log a journal that cannot be read: its update cannot be ended by us."""
    of = entry.service or "the service it was for"
    text = (
        f"the open journal {entry.path} cannot be used: {entry.problem}; look at {of}, then remove that file"
    )
    log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=entry.service)


def postponed(context: AppContext, found: Plan[Any], error: UpdaterError) -> Hold:
    """Put on record that the host prevents a rollback, and when it is tried again.

    Soon at first, for the service may be down, and no more often than every few minutes in the end. The
    journal stays open.
    """
    # Nobody prevented anything: the stop was asked for, and the next start goes on at once.
    if isinstance(error, Stopped):
        log_event(LOG, logging.WARNING, LogEvent.HELD, f"{error} ({error.remedy})", service=found.name)
        return Hold(Reason.STOPPING, str(error), error.remedy, available=found.image)
    tries = context.prevented[found.id].tries + 1 if found.id in context.prevented else 1
    # The exponent is bounded, for a float overflows after some thousand tries.
    seconds = min(_FIRST_ROLLBACK_PAUSE_SECONDS * 2 ** min(tries - 1, 10), _LONGEST_ROLLBACK_PAUSE_SECONDS)
    retry_at = context.clock.now() + timedelta(seconds=seconds)
    context.prevented[found.id] = PreventedRollback(tries, retry_at)
    cause = failure.cause_of(error, Step.RESTART, found.name)
    context.change(lambda state: state_outcomes.rollback_prevented(state, found, cause))
    known = records.service_of(context.state, found.name)
    text = f"{known.detail} in {seconds:.0f} s ({cause.remedy})"
    log_event(
        LOG, logging.ERROR, LogEvent.ENGINE_UNAVAILABLE, text, service=found.name, reason=cause.reason.value
    )
    return Hold(Reason.BACKING_OFF, known.detail, known.remedy, available=found.image, until=retry_at)
