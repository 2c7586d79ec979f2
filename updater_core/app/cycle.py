"""One pass over all services: recover, check, apply, record, tell. One service's trouble never stops the others.

Checking is for all services at once; acting is for one service at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from updater_core.app import hooks, recorder
from updater_core.app.candidate import Candidate
from updater_core.app.context import (
    LOG,
    AppContext,
    PreventedRollback,
    bug,
    deliver,
    exclusive,
    registry_settings,
    reporter,
    save,
    target_of,
)
from updater_core.app.evaluate import admitted, check_all, look_all, record_check
from updater_core.deploy import failure
from updater_core.deploy.journal import JournalRecord, UnreadableRecord
from updater_core.deploy.target import Observed, UpdateRequest
from updater_core.deploy.transaction import Transaction
from updater_core.errors import EngineUnavailable, LockHeld, StateError, Stopped, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import (
    Committed,
    Hold,
    Mode,
    NotStarted,
    Outcome,
    Plan,
    Reason,
    ServiceConfig,
    Step,
    Superseded,
)
from updater_core.state import outcomes as state_outcomes
from updater_core.state import records
from updater_core.state.records import State, Status
from updater_core.status import summary
from updater_core.targets import discovery

_FIRST_ROLLBACK_PAUSE_SECONDS = 15.0
_LONGEST_ROLLBACK_PAUSE_SECONDS = 300.0
_LOST = {Status.UNKNOWN, Status.FAILED, Status.ROLLBACK_FAILED}


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle came to. `troubled` names the services that failed, were rolled back or are unknown."""

    checked: tuple[Candidate, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    troubled: frozenset[str] = frozenset()
    is_engine_down: bool = False


def run(context: AppContext, only: str | None = None) -> Report:
    """One cycle over every enabled service, or over the one that is named; a line in the log on what it came to."""
    started = context.clock.monotonic()
    result = _pass(context, only)
    seconds = context.clock.monotonic() - started
    context.metrics.cycle_ended(context.clock.now(), seconds)
    counts = f"{len(result.checked)} checked, {sum(isinstance(o, Committed) for o in result.outcomes)} updated"
    text = f"{counts}, {came_to(context, result)} ({seconds:.1f} s)"
    log_event(
        LOG, logging.INFO, LogEvent.CYCLE_ENDED, text, checked=len(result.checked), duration_seconds=round(seconds, 2)
    )
    return result


def came_to(context: AppContext, result: Report) -> str:
    """Return what needs a look after a cycle, what waits and what is held, in a line; `all well` if nothing."""
    names = [one.service.name for one in result.checked]
    known = [(name, records.service_of(context.state, name)) for name in names]
    return summary.text(known, result.troubled, context.clock.now())


def _pass(context: AppContext, only: str | None) -> Report:
    recovered = recover_open(context)
    context.config = discovery.take_up(context.config, context.host.engine, context.state)
    checked = check_all(context, only)
    outcomes: list[Outcome] = list(recovered)
    for one in checked:
        outcome = act(context, one)
        if not isinstance(outcome, Hold):
            outcomes.append(outcome)
        recorder.tell_turn(context, one.service.name)
    save(context)
    deliver(context)
    return _report(context, checked, outcomes)


# ------------------------------------------------------------------------------------------------------------- act


def planned(context: AppContext, one: Candidate) -> Plan[Any] | Hold:
    """The plan for a service that was checked, or why there is none. Changes nothing."""
    decision = admitted(context, one)
    if isinstance(decision, Hold):
        return decision
    if one.observed is None:
        return Hold(Reason.INTERNAL_ERROR, "nothing was observed")
    kept = _kept_images(context.state, one.service.name)
    detail = f"{decision.detail}{_consent(context, one)}"
    request = UpdateRequest(decision.target, detail, kept, others=decision.others)
    return plan_for(context, one.service, one.observed, request)


def _consent(context: AppContext, one: Candidate) -> str:
    """Who asked for the update or approved it, as the end of a sentence; empty if nobody had to."""
    if one.asked_by:
        return f"; asked for by {one.asked_by}"
    approval = records.service_of(context.state, one.service.name).decisions.approval
    is_approved = one.service.policy.mode is Mode.APPROVE and approval is not None
    return f"; approved by {approval.who}" if approval and is_approved else ""


def plan_for(
    context: AppContext, service: ServiceConfig, observed: Observed, request: UpdateRequest
) -> Plan[Any] | Hold:
    """The plan that the service's target makes for a request that was admitted."""
    try:
        return target_of(context, service).plan(service, observed, request)
    except EngineUnavailable as error:
        return Hold(Reason.ENGINE_ERROR, str(error), error.remedy, available=request.image)
    except UpdaterError as error:
        return Hold(Reason.COMPOSE_ERROR, str(error), error.remedy, available=request.image)


def act(context: AppContext, one: Candidate) -> Outcome | Hold:
    """Update one service if it may be; a failure of any kind stays its own."""
    if isinstance(one.decision, Hold):
        recorder.announce(context, one)
        return one.decision
    if one.observed is None:
        return Hold(Reason.INTERNAL_ERROR, "nothing was observed")
    try:
        found = _acted(context, one.observed, one)
    except UpdaterError as error:
        found = Hold(_reason_not_begun(error), str(error), error.remedy, available=one.decision.target)
    except Exception as error:
        found = bug(one.service.name, error)
    if isinstance(found, Hold):
        one = replace(one, decision=found)
        record_check(context, one)
        recorder.announce(context, one)
    return found


def _acted(context: AppContext, seen: Observed, one: Candidate) -> Outcome | Hold:
    admission = admitted(context, one, is_stopping=context.clock.wait(0))  # the lock may have to be waited for
    if isinstance(admission, Hold):
        return admission
    with exclusive(context, target_of(context, one.service), seen, one.service.name):
        observed = _observed_now(context, one)
        if isinstance(observed, Hold):
            return observed
        found = planned(context, replace(one, observed=observed))
        return found if isinstance(found, Hold) else carry_out(context, found)


def _observed_now(context: AppContext, one: Candidate) -> Observed | Hold:
    """The service once more, now that it is its turn: an update before it may have changed the same file. If the file
    names another image by now, the operator was at work, and the decision is made anew in the next cycle."""
    (again,) = look_all(context, [one.service])
    if again.observed is None:
        return again.decision if isinstance(again.decision, Hold) else Hold(Reason.INTERNAL_ERROR)
    if one.observed is None or again.observed.current == one.observed.current:
        return again.observed
    return Hold(Reason.CHANGED_ON_DISK, f"the file names {again.observed.current.text} by now", "nothing to do")


def _reason_not_begun(error: UpdaterError) -> Reason:
    if isinstance(error, LockHeld):
        return Reason.BUSY
    return Reason.STATE_ERROR if isinstance(error, StateError) else Reason.ENGINE_ERROR


def carry_out(context: AppContext, found: Plan[Any]) -> Outcome | Hold:
    """Apply a plan and put its outcome on record; a Hold if it had to go back and the host prevents that.

    Raises StateError if the state cannot be saved before: what cannot be remembered must not be done.
    """
    started = context.clock.now()
    context.store.save(started)
    log_event(LOG, logging.INFO, LogEvent.UPDATE_STARTED, _summary(found), service=found.name, **recorder.way(found))
    try:
        outcome = _transaction(context, found).apply()
    except UpdaterError as error:
        return _postponed(context, found, error)
    if isinstance(outcome, NotStarted) and outcome.cause.reason is Reason.PULL_LIMIT:
        settings = registry_settings(context, found)
        if settings is not None:
            context.registries.pull_refused(found.image, settings)
    recorder.record(context, outcome, started)
    recorder.measure(context, outcome)
    hooks.run_after(context, outcome)
    return outcome


def recover_open(context: AppContext, *, is_asked: bool = False) -> tuple[Outcome, ...]:
    """End everything that a former run left in the middle, and rollbacks that the host had prevented: those after a
    pause, or at once if the operator has asked for something (`is_asked`)."""
    outcomes: list[Outcome] = []
    for entry in context.journal.read_all():
        if isinstance(entry, UnreadableRecord):
            _say_unreadable(entry)
            continue
        prevented = context.prevented.get(entry.id)
        if prevented is not None and context.clock.now() < prevented.retry_at and not is_asked:
            continue
        outcome = _recover_one(context, entry)
        if outcome is not None:
            outcomes.append(outcome)
    return tuple(outcomes)


def _say_unreadable(entry: UnreadableRecord) -> None:
    of = entry.service or "the service it was for"
    text = f"the open journal {entry.path} cannot be used: {entry.problem}; look at {of}, then remove that file"
    log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=entry.service)


def _recover_one(context: AppContext, entry: JournalRecord) -> Outcome | None:
    interrupted = entry.plan
    started = context.clock.now()
    text = f"an update was interrupted ({entry.phase}): {_summary(interrupted)}"
    log_event(LOG, logging.WARNING, LogEvent.RECOVERED, text, service=interrupted.name, **recorder.way(interrupted))
    try:
        with exclusive(context, context.targets[interrupted.target], interrupted, interrupted.name):
            outcome = _transaction(context, interrupted).recover(entry)
            recorder.record(context, outcome, started)
            hooks.run_after(context, outcome)
            return outcome
    except LockHeld as error:
        text = f"the interrupted update cannot be ended now: {error}; tried again in the next cycle"
        log_event(LOG, logging.WARNING, LogEvent.HELD, text, service=interrupted.name)
    except UpdaterError as error:
        _postponed(context, interrupted, error)
    except Exception as error:
        bug(interrupted.name, error)
    return None


def _postponed(context: AppContext, found: Plan[Any], error: UpdaterError) -> Hold:
    """Put on record that the host prevents a rollback, and when it is tried again: soon at first, for the service may
    be down, and no more often than every few minutes in the end. The journal stays open."""
    if isinstance(error, Stopped):
        log_event(LOG, logging.WARNING, LogEvent.HELD, f"{error} ({error.remedy})", service=found.name)
        return Hold(Reason.STOPPING, str(error), error.remedy, available=found.image)
    tries = context.prevented[found.id].tries + 1 if found.id in context.prevented else 1
    seconds = min(_FIRST_ROLLBACK_PAUSE_SECONDS * 2 ** min(tries - 1, 10), _LONGEST_ROLLBACK_PAUSE_SECONDS)
    retry_at = context.clock.now() + timedelta(seconds=seconds)
    context.prevented[found.id] = PreventedRollback(tries, retry_at)
    cause = failure.cause_of(error, Step.RESTART, found.name)
    context.change(lambda state: state_outcomes.rollback_prevented(state, found, cause))
    known = records.service_of(context.state, found.name)
    text = f"{known.detail} in {seconds:.0f} s ({cause.remedy})"
    log_event(LOG, logging.ERROR, LogEvent.ENGINE_UNAVAILABLE, text, service=found.name, reason=cause.reason.value)
    return Hold(Reason.BACKING_OFF, known.detail, known.remedy, available=found.image, until=retry_at)


def _kept_images(state: State, name: str) -> tuple[str, ...]:
    return tuple(generation.image_id for generation in records.service_of(state, name).generations)


def _summary(found: Plan[Any]) -> str:
    return f"{found.old_reference} -> {found.image.text}; restarts {found.restarts}"


def _transaction(context: AppContext, found: Plan[Any]) -> Transaction:
    return Transaction(
        found,
        context.targets[found.target],
        context.journal,
        reporter(context, found.name),
        hooks.hooks_of(context, found.name),
    )


def _report(context: AppContext, checked: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Report:
    failed = {outcome.plan.name for outcome in outcomes if not isinstance(outcome, Committed | Superseded)}
    lost = {one.service.name for one in checked if records.service_of(context.state, one.service.name).status in _LOST}
    is_down = any(isinstance(o.decision, Hold) and o.decision.reason is Reason.ENGINE_ERROR for o in checked)
    context.metrics.show(context.state.services)
    context.metrics.open_journal(len(context.journal.read_all()))
    with suppress(StateError):  # said by `deliver` already
        context.metrics.outbox_pending(sum(channel.outbox.pending() for channel in context.channels))
    return Report(tuple(checked), tuple(outcomes), frozenset(failed | lost), is_down and not _answers(context))


def _answers(context: AppContext) -> bool:
    try:
        for target in context.targets.values():
            target.check()
    except UpdaterError:
        return False
    return True
