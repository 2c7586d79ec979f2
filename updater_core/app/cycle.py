"""One pass over all services: recover, check, apply, record, tell.

A failure of one service never stops the others.

Checking is for all services at once. Acting is for one service of a project at a time, and for projects side
by side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from updater_core import reference
from updater_core.app import hooks, recorder, report
from updater_core.app.candidate import Candidate
from updater_core.app.context import (
    LOG,
    AppContext,
    bug,
    claim_of,
    claim_of_update,
    deliver,
    exclusive,
    reporter,
    save,
    target_of,
)
from updater_core.app.evaluate import admitted, check, look_all, note_waiting, record_check
from updater_core.app.report import Report
from updater_core.app.retained import adopt_retained
from updater_core.deploy.journal import JournalRecord, UnreadableRecord
from updater_core.deploy.target import Observed, UpdateRequest
from updater_core.deploy.transaction import Transaction
from updater_core.deploy.workers import Claim, grouped
from updater_core.errors import LockHeld, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Committed, Hold, Mode, Outcome, Plan, Reason, ServiceConfig
from updater_core.state import records
from updater_core.state.records import State
from updater_core.targets import discovery


def run(context: AppContext, only: str | None = None) -> Report:
    """Run one cycle over every enabled service, or the one named, to the end of all that it begins."""
    current = Cycle(context, only)
    while current.goes_on():
        context.workers.await_end(context.clock)
    return current.end()


def finish(context: AppContext) -> None:
    """Return when all that is under way has ended, or left its journal because a stop is asked for."""
    if not context.workers.claims:
        return
    while context.workers.claims:
        context.workers.await_end(context.clock)
        context.workers.take_ended()
    save(context)
    deliver(context)


class Cycle:
    """One pass over all services: end what was interrupted, check all side by side, update those that may be.

    Recoveries and updates go on in `context.workers`, a project beside the others. A project that is being
    changed is not looked at; its services are as soon as that has ended, if it is before the end of the
    cycle. An update that outlives its cycle is counted in the one in which it ends.
    """

    def __init__(self, context: AppContext, only: str | None = None) -> None:
        self._context, self._only = context, only
        self._started = context.clock.monotonic()
        self._checked: dict[str, Candidate] = {}
        self._outcomes: list[Outcome] = []
        self._left_out: frozenset[str] | None = None

    def goes_on(self) -> bool:
        """Begin what can begin by now.

        Returns whether anything is under way: then call this again when some of it has ended. Events that
        have come of it are delivered here.
        """
        context = self._context
        # Asked before the ended ones are taken out, which empties what is asked.
        is_anything_new = context.workers.has_ended() or self._left_out is None
        self._outcomes += context.workers.take_ended()
        if self._left_out is None:
            self._begin()
        # Nothing that was in a service's way can have gone while nothing has ended.
        elif self._left_out and is_anything_new:
            self._look([service for service in self._wanted() if service.name in self._left_out])
        if is_anything_new:
            save(context)
            deliver(context, is_cycle_over=not context.workers.claims)
        return bool(context.workers.claims)

    def end(self) -> Report:
        """Put on record what it came to; a line in the log. What is under way goes on."""
        context = self._context
        result = self.report()
        seconds = context.clock.monotonic() - self._started
        context.metrics.cycle_ended(context.clock.now(), seconds)
        updated = sum(isinstance(outcome, Committed) for outcome in result.outcomes)
        counts = f"{len(result.checked)} checked, {updated} updated"
        text = f"{counts}, {report.came_to(context, result)} ({seconds:.1f} s)"
        checked, rounded = len(result.checked), round(seconds, 2)
        log_event(LOG, logging.INFO, LogEvent.CYCLE_ENDED, text, checked=checked, duration_seconds=rounded)
        return result

    def report(self) -> Report:
        """Return what it has come to by now."""
        return report.of_cycle(self._context, [*self._checked.values()], self._outcomes)

    def _begin(self) -> None:
        context = self._context
        # Before recoveries: a rollback looks for the old image under the name of today.
        adopt_retained(context)
        # Records of one project are recovered one after the other; they would wait for one lock anyway.
        records_by_project = grouped(
            [(_claim_of_record(context, entry), entry) for entry in _to_recover(context)]
        )
        for claim, entries in records_by_project:
            context.workers.begin(claim, partial(_recover_all, context, entries))
        context.config = discovery.take_up(context.config, context.host, context.state)
        self._look(self._wanted())

    def _wanted(self) -> list[ServiceConfig]:
        return [
            each for each in self._context.config.services if each.enabled and self._only in (None, each.name)
        ]

    def _look(self, services: Sequence[ServiceConfig]) -> None:
        """Check the services of projects that are free, and begin their updates."""
        context = self._context
        checked = check(context, services)
        self._checked |= {one.service.name: one for one in checked}
        self._left_out = frozenset(service.name for service in services) - self._checked.keys()
        for one in checked:
            if not _is_update(one):
                act(context, one)
                recorder.queue_transition(context, one.service.name)
        updates = [
            (claim_of_update(context, one.service, one.observed), one) for one in checked if _is_update(one)
        ]
        for claim, candidates in grouped(updates):
            if context.workers.in_the_way(claim) is None:
                context.workers.begin(claim, partial(_update_project, context, candidates))
            else:  # a project that it restarts containers of is being changed
                self._left_out |= {one.service.name for one in candidates}
        for service in services:
            if service.name in self._left_out:
                _hold_busy(context, service)


def _is_update(one: Candidate) -> bool:
    return one.observed is not None and not isinstance(one.decision, Hold)


def _update_project(context: AppContext, candidates: Sequence[Candidate]) -> list[Outcome]:
    """Update the services of one project, one after the other. In a thread of its own.

    One whose configuration was changed meanwhile is left to the next cycle, which the reload has begun."""
    outcomes: list[Outcome] = []
    for one in candidates:
        # The reload came after the check: what was decided belongs to a policy that is no longer the
        # operator's.
        if one.service not in context.config.services:
            continue
        with context.slots.held(one.service.name, context.clock):
            outcome = act(context, one)
        if not isinstance(outcome, Hold):
            outcomes.append(outcome)
        recorder.queue_transition(context, one.service.name)
        if one is not candidates[-1]:
            deliver(context)  # the next one may take hours
    return outcomes


def _hold_busy(context: AppContext, service: ServiceConfig) -> None:
    """Say of a service that its project is being changed; what was known of it stays.

    One that is changed itself says so with its steps.
    """
    # A stop leaves everything as it is known: `busy` would be in the state for the whole time that we are
    # down.
    if service.name in context.workers.names or context.clock.wait(0):
        return
    claim = context.workers.in_the_way(claim_of(context, service))
    names = claim.names if claim else context.workers.names
    known = records.service_of(context.state, service.name)
    detail = f"its project is being changed: {', '.join(sorted(names))} is at work"
    available = reference.parse(known.available) if known.available else None
    hold = Hold(
        Reason.BUSY, detail, "nothing to do: it is checked as soon as that has ended", available=available
    )
    record_check(context, Candidate(service, None, hold, before=known))


# -------------------------------------------------------------------------------------------------------- act


def planned(context: AppContext, one: Candidate) -> Plan[Any] | Hold:
    """Return the plan for a service that was checked, or why there is none. Changes nothing."""
    decision = admitted(context, one)
    if isinstance(decision, Hold):
        return decision
    if one.observed is None:
        return Hold(Reason.INTERNAL_ERROR, "nothing was observed")
    kept = remembered_images(context.state, one.service.name)
    detail = f"{decision.detail}{_consent(context, one)}"
    request = UpdateRequest(decision.target, detail, kept, others=decision.others)
    return plan_for(context, one.service, one.observed, request)


def _consent(context: AppContext, one: Candidate) -> str:
    """Return who asked for the update or approved it, as the end of a sentence; empty if nobody had to."""
    if one.asked_by:
        return f"; asked for by {one.asked_by}"
    approval = records.service_of(context.state, one.service.name).decisions.approval
    is_approved = one.service.policy.mode is Mode.APPROVE and approval is not None
    return f"; approved by {approval.who}" if approval and is_approved else ""


def plan_for(
    context: AppContext, service: ServiceConfig, observed: Observed, request: UpdateRequest
) -> Plan[Any] | Hold:
    """Return the plan that the service's target makes for a request that was admitted."""
    try:
        return target_of(context, service).plan(service, observed, request)
    except UpdaterError as error:
        return Hold(error.reason, str(error), error.remedy, available=request.image)


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
        found = Hold(error.reason, str(error), error.remedy, available=one.decision.target)
    # Whatever it is, it is this service's alone: the others of the cycle go on.
    except Exception as error:
        found = bug(one.service.name, error)
    if isinstance(found, Hold):
        one = replace(one, decision=found)
        record_check(context, one)
        note_waiting(context, [one])
        recorder.announce(context, one)
    return found


def _acted(context: AppContext, seen: Observed, one: Candidate) -> Outcome | Hold:
    # the lock may have to be waited for
    admission = admitted(context, one, is_stopping=context.clock.wait(0))
    if isinstance(admission, Hold):
        return admission
    with exclusive(context, target_of(context, one.service), seen, one.service.name):
        # Under the lock: from here on no other updater changes what is seen.
        observed = _observed_now(context, one)
        if isinstance(observed, Hold):
            return observed
        found = planned(context, replace(one, observed=observed))
        return found if isinstance(found, Hold) else carry_out(context, found)


def _observed_now(context: AppContext, one: Candidate) -> Observed | Hold:
    """Return the service once more: an update before its turn may have changed the same file.

    If the file names another image by now, the operator was at work, and the decision is made anew in the
    next cycle.
    """
    (again,) = look_all(context, [one.service])
    if again.observed is None:
        return again.decision if isinstance(again.decision, Hold) else Hold(Reason.INTERNAL_ERROR)
    if one.observed is None or again.observed.current == one.observed.current:
        return again.observed
    return Hold(
        Reason.CHANGED_ON_DISK, f"the file names {again.observed.current.text} by now", "nothing to do"
    )


def carry_out(context: AppContext, found: Plan[Any]) -> Outcome | Hold:
    """Apply a plan and put its outcome on record; a Hold if it had to go back and the host prevents that.

    Raises StateError if the state cannot be saved before: what cannot be remembered must not be done.
    """
    started = context.clock.now()
    # Saved before anything is done, so that a state that cannot be written is found while nothing has
    # changed.
    context.store.save(started)
    log_event(
        LOG, logging.INFO, LogEvent.UPDATE_STARTED, _summary(found), service=found.name, **recorder.way(found)
    )
    try:
        outcome = _transaction(context, found).apply()
    except UpdaterError as error:
        return recorder.postponed(context, found, error)
    recorder.record(context, outcome, started)
    recorder.measure(context, outcome)
    # Last: it may take long, and what the update came to is on the disk by now.
    hooks.run_after(context, outcome)
    return outcome


def recover_open(context: AppContext, asked: Claim | None = None) -> tuple[Outcome, ...]:
    """End, one after the other, what a former run left in the middle, and rollbacks that were prevented.

    The latter after a pause. With `asked`, what the operator has asked something of, only what is in its way,
    and at once; its caller holds that claim.
    """
    if asked is None:
        return _recover_all(context, _to_recover(context))
    entries = [entry for entry in _open_records(context) if _claim_of_record(context, entry).meets(asked)]
    return _recover_all(context, entries)


def _to_recover(context: AppContext) -> Iterator[JournalRecord]:
    """Yield the records of updates that nobody is at, but for rollbacks that are tried again later."""
    for entry in _open_records(context):
        prevented = context.prevented.get(entry.id)
        is_pausing = prevented is not None and context.clock.now() < prevented.retry_at
        if not is_pausing and context.workers.in_the_way(_claim_of_record(context, entry)) is None:
            yield entry


def _open_records(context: AppContext) -> Iterator[JournalRecord]:
    for entry in context.journal.read_all():
        if isinstance(entry, UnreadableRecord):
            recorder.say_unreadable(entry)
        else:
            yield entry


def _recover_all(context: AppContext, entries: Iterable[JournalRecord]) -> tuple[Outcome, ...]:
    # Lazily, one by one: each is over before the next one begins.
    found = (_recover_one(context, entry) for entry in entries)
    return tuple(outcome for outcome in found if outcome is not None)


def _claim_of_record(context: AppContext, entry: JournalRecord) -> Claim:
    return Claim(frozenset({entry.service}), context.targets[entry.plan.target].locked_by(entry.plan))


def _recover_one(context: AppContext, entry: JournalRecord) -> Outcome | None:
    interrupted = entry.plan
    started = context.clock.now()
    text = f"an update was interrupted ({entry.phase}): {_summary(interrupted)}"
    log_event(
        LOG, logging.WARNING, LogEvent.RECOVERED, text, service=interrupted.name, **recorder.way(interrupted)
    )
    try:
        with exclusive(context, context.targets[interrupted.target], interrupted, interrupted.name):
            outcome = _transaction(context, interrupted).recover(entry)
            recorder.record(context, outcome, started)
            hooks.run_after(context, outcome)
            return outcome
    # A Compose of the killed updater may still be at work, and holds the lock until it ends.
    except LockHeld as error:
        text = f"the interrupted update cannot be ended now: {error}; tried again in the next cycle"
        log_event(LOG, logging.WARNING, LogEvent.HELD, text, service=interrupted.name)
    except UpdaterError as error:
        recorder.postponed(context, interrupted, error)
    except Exception as error:
        bug(interrupted.name, error)
    return None


def remembered_images(state: State, name: str) -> tuple[str, ...]:
    """Return the images that a service remembers, those that run and those to go back to."""
    generations = records.service_of(state, name).generations
    return tuple(image.image_id for generation in generations for image in generation.images)


def _summary(found: Plan[Any]) -> str:
    moves = [(found.old_reference, found.image.text)]
    moves += [(other.old_reference, other.new_reference) for other in found.others]
    images = ", ".join(f"{old} -> {new}" for old, new in moves)
    return f"{images}; restarts {found.restarts}"


def _transaction(context: AppContext, found: Plan[Any]) -> Transaction:
    return Transaction(
        found,
        context.targets[found.target],
        context.journal,
        reporter(context, found.name),
        hooks.hooks_of(context, found.name),
    )
