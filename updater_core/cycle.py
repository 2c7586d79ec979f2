"""One pass over all services: recover, check, apply, record, tell. One service's trouble never stops the others.

Checking is for all services at once; acting is for one service at a time.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from updater_core import journal, news, plan, state_outcomes, state_records, state_utils, update
from updater_core.check import Checked, check_all, look_all, permitted, record_check
from updater_core.errors import EngineUnavailable, LockHeld, StateError, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import (
    Committed,
    Event,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Project,
    Reason,
    RollbackFailed,
    RolledBack,
    ServiceConfig,
    Step,
    TakenOver,
)
from updater_core.observe import Standing
from updater_core.plan import Wish
from updater_core.state_records import State, Status
from updater_core.world import LOG, World, backup_dir, bug, deliver, project_lock, queue, registry_settings, save, tools

_LOST = {Status.UNKNOWN, Status.FAILED, Status.ROLLBACK_FAILED}


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle came to. `troubled` names the services that failed, were rolled back or are unknown."""

    checked: tuple[Checked, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    troubled: frozenset[str] = frozenset()
    is_engine_down: bool = False


def run(world: World, only: str | None = None) -> Report:
    """One cycle over every enabled service, or over the one that is named; a line in the log on what it came to."""
    started = world.clock.monotonic()
    result = _pass(world, only)
    seconds = world.clock.monotonic() - started
    world.metrics.cycle_ended(world.clock.now(), seconds)
    counts = f"{len(result.checked)} checked, {sum(isinstance(o, Committed) for o in result.outcomes)} updated"
    trouble = f", needs a look: {', '.join(sorted(result.troubled))}" if result.troubled else ", all well"
    text = f"{counts}{trouble} ({seconds:.1f} s)"
    log_event(
        LOG, logging.INFO, LogEvent.CYCLE_ENDED, text, checked=len(result.checked), duration_seconds=round(seconds, 2)
    )
    return result


def _pass(world: World, only: str | None) -> Report:
    recovered = recover_open(world)
    checked = check_all(world, only)
    outcomes: list[Outcome] = list(recovered)
    for one in checked:
        outcome = _act(world, one)
        if outcome is not None:
            outcomes.append(outcome)
        _tell_turn(world, one.service.name)
    save(world)
    deliver(world)
    return _report(world, checked, outcomes)


# ------------------------------------------------------------------------------------------------------------- act


def planned(world: World, one: Checked) -> Plan | Hold:
    """The plan for a service that was checked, or why there is none. Changes nothing."""
    decision = permitted(world, one)
    if isinstance(decision, Hold) or one.standing is None:
        return decision if isinstance(decision, Hold) else Hold(Reason.INTERNAL_ERROR, "nothing was observed")
    rest = world.registries.pull_rest(one.standing.current, one.service.registry)
    if rest is not None and rest > world.clock.now():
        detail = f"the pull limit of {one.standing.current.domain} is used up until {rest:%Y-%m-%d %H:%M} UTC"
        return Hold(Reason.PULL_LIMIT, detail, "log in for a higher limit, or wait", decision.target, until=rest)
    wish = Wish(decision.target, decision.detail, _kept_images(world.state, one.service.name))
    return plan_for(world, one.service, one.standing, wish)


def plan_for(world: World, service: ServiceConfig, standing: Standing, wish: Wish) -> Plan | Hold:
    """A plan, unless an earlier update of the service is not ended yet: its way back must not meet a newer one."""
    if any(_name_in(entry) == service.name and update.is_in_the_middle(entry) for entry in world.journal.read_all()):
        detail = f"an interrupted update of {service.name} is not ended yet"
        return Hold(Reason.BUSY, detail, "nothing to do: it is ended first, see the log", available=wish.target)
    try:
        return plan.make(service, standing, wish, world.engine, world.compose)
    except EngineUnavailable as error:
        return Hold(Reason.ENGINE_ERROR, str(error), error.remedy, available=wish.target)
    except UpdaterError as error:
        return Hold(Reason.COMPOSE_ERROR, str(error), error.remedy, available=wish.target)


def _act(world: World, one: Checked) -> Outcome | None:
    """Update one service if it may be; a failure of any kind stays its own."""
    if isinstance(one.decision, Hold) or one.standing is None:
        _announce(world, one)
        return None
    try:
        found = _acted(world, one.standing.project, one)
    except UpdaterError as error:
        found = Hold(_reason_not_begun(error), str(error), error.remedy, available=one.decision.target)
    except Exception as error:
        found = bug(one.service.name, error)
    if isinstance(found, Hold):
        one = replace(one, decision=found)
        record_check(world, one)
        _announce(world, one)
        return None
    return found


def _acted(world: World, project: Project, one: Checked) -> Outcome | Hold:
    if world.clock.wait(0):
        return Hold(Reason.STOPPING, "the updater is stopping", "nothing to do: the next start looks again")
    with project_lock(world, project):
        standing = _standing_now(world, one)
        if isinstance(standing, Hold):
            return standing
        found = planned(world, replace(one, standing=standing))
        return found if isinstance(found, Hold) else carry_out(world, found)


def _standing_now(world: World, one: Checked) -> Standing | Hold:
    """The service once more, now that it is its turn: an update before it may have changed the same file. Where the
    file names another image by now, the owner was at work, and the choice is made anew in the next cycle."""
    _, standing = look_all(world, [one.service])[0]
    if isinstance(standing, Hold) or one.standing is None or standing.current == one.standing.current:
        return standing
    return Hold(Reason.CHANGED_ON_DISK, f"the file names {standing.current.text} by now", "nothing to do")


def _reason_not_begun(error: UpdaterError) -> Reason:
    if isinstance(error, LockHeld):
        return Reason.BUSY
    return Reason.STATE_ERROR if isinstance(error, StateError) else Reason.ENGINE_ERROR


def _announce(world: World, one: Checked) -> None:
    """Tell of each image that waits, once."""
    name, hold = one.service.name, one.decision
    known = state_records.service_of(world.state, name)
    if not isinstance(hold, Hold) or hold.available is None or known.announced == hold.available.text:
        return
    event = news.available_event(name, known, hold, _moment(world))
    if event and news.is_wanted(event, world.config.settings.notify_events) and _queued(world, event):
        world.state = state_records.announce(world.state, name)


def _tell_turn(world: World, name: str) -> bool:
    """Tell of a trouble that has begun, or of the end of all; whether there is something to save: what was told."""
    known = state_records.service_of(world.state, name)
    turn = news.turn_of(known, world.clock.now())
    is_news = turn.standing != known.troubles
    if is_news and _queued(world, news.turn_event(name, known, turn, _moment(world))):
        world.state = state_records.with_service(world.state, name, replace(known, troubles=turn.standing))
        return True
    return False


def _moment(world: World) -> news.Moment:
    return news.Moment(socket.gethostname(), world.clock.now())


def carry_out(world: World, found: Plan) -> Outcome:
    """Apply a plan and put its outcome on record. StateError where the state cannot be saved before: then nothing is
    begun, for what cannot be remembered must not be done."""
    started = world.clock.now()
    state_utils.save(world.state, world.state_path, world.config.settings.state_backups, backup_dir(world), started)
    log_event(LOG, logging.INFO, LogEvent.UPDATE_STARTED, plan.describe(found), service=found.name, **_way(found))
    outcome = update.apply(found, tools(world, found.name))
    if isinstance(outcome, NotStarted) and outcome.cause.reason is Reason.PULL_LIMIT:
        settings = registry_settings(world, found)
        if settings is not None:
            world.registries.pull_refused(found.target, settings)
    record(world, outcome, started)
    _measure(world, outcome)
    return outcome


def record(world: World, outcome: Outcome, started: datetime) -> None:
    """Remember an outcome, queue its news, close its journal: in this order, so that a crash between two of them
    repeats the later ones and loses nothing."""
    now = world.clock.now()
    before = world.state
    world.state = state_outcomes.record_outcome(before, outcome, started, now, world.steps.taken(now))
    if world.state is not before:
        _log_outcome(outcome, (now - started).total_seconds())
        _count(world.metrics, outcome)
    event = news.event_of(outcome, socket.gethostname(), started, now)
    if not (save(world) and _queued(world, event)):
        return
    if _tell_turn(world, outcome.plan.name):
        save(world)
    world.journal.close(outcome.plan.id)


def _queued(world: World, event: Event | None) -> bool:
    """Whether the news is in every outbox; where it is not, it is not remembered as told, a journal stays open, and
    the next cycle tries again."""
    try:
        if event is not None:
            queue(world, event)
    except StateError as error:
        log_event(LOG, logging.ERROR, LogEvent.NOTIFY_FAILED, f"an event is to be told later: {error}")
        return False
    return True


def recover_open(world: World) -> tuple[Outcome, ...]:
    """End everything that a former run left in the middle."""
    outcomes: list[Outcome] = []
    for entry in world.journal.read_all():
        if "damaged" in entry:
            text = f"the journal {entry['damaged']} cannot be read; look at the service it was for, then remove it"
            log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text)
            continue
        outcome = _recover_one(world, entry)
        if outcome is not None:
            outcomes.append(outcome)
    return tuple(outcomes)


def _name_in(entry: Mapping[str, Any]) -> object:
    found = entry.get("plan")
    return found.get("name") if isinstance(found, Mapping) else None


def _recover_one(world: World, entry: Mapping[str, Any]) -> Outcome | None:
    try:
        interrupted = journal.plan_from_dict(entry["plan"])
    except (UpdaterError, KeyError, TypeError, ValueError) as error:
        text = f"the open journal {entry['id']} is not of this version ({error}); look at the service, then remove it"
        log_event(LOG, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=str(_name_in(entry) or ""))
        return None
    started = world.clock.now()
    text = f"an update was interrupted ({entry['phase']}): {plan.describe(interrupted)}"
    log_event(LOG, logging.WARNING, LogEvent.RECOVERED, text, service=interrupted.name, **_way(interrupted))
    try:
        with project_lock(world, interrupted.project):
            outcome = update.recover(entry, tools(world, interrupted.name))
            record(world, outcome, started)
            return outcome
    except UpdaterError as error:
        text = f"the interrupted update cannot be ended now: {error}; tried again in the next cycle"
        log_event(LOG, logging.ERROR, LogEvent.ENGINE_UNAVAILABLE, text, service=interrupted.name)
    except Exception as error:
        bug(interrupted.name, error)
    return None


def _kept_images(state: State, name: str) -> tuple[str, ...]:
    return tuple(generation.image_id for generation in state_records.service_of(state, name).generations)


# ----------------------------------------------------------------------------------------------------- small matters


def _log_outcome(outcome: Outcome, seconds: float) -> None:
    event, level = _NEWS[type(outcome)]
    fields: dict[str, object] = {**_way(outcome.plan), "duration_seconds": round(seconds, 1)}
    if not isinstance(outcome, Committed):
        fields["reason"] = outcome.cause.reason.value
    log_event(LOG, level, event, update.describe(outcome), service=outcome.plan.name, **fields)


def _way(found: Plan) -> Mapping[str, str]:
    return {"from": found.moves[0].old_reference, "to": found.target.text}


_NEWS: Mapping[type, tuple[LogEvent, int]] = {
    Committed: (LogEvent.UPDATED, logging.INFO),
    NotStarted: (LogEvent.NOT_STARTED, logging.WARNING),
    RolledBack: (LogEvent.ROLLED_BACK, logging.WARNING),
    RollbackFailed: (LogEvent.ROLLBACK_FAILED, logging.ERROR),
    TakenOver: (LogEvent.TAKEN_OVER, logging.WARNING),
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


def _measure(world: World, outcome: Outcome) -> None:
    """How long the update took, and its gate where it came to one. What a former run began is not measured."""
    change = state_records.service_of(world.state, outcome.plan.name).changes[0]
    world.metrics.update_ended(change.outcome, change.duration_seconds)
    step = Step.COMMIT if isinstance(outcome, Committed) else outcome.cause.step
    if step in (Step.GATE, Step.VERIFY, Step.COMMIT):
        world.metrics.gate_ended("failed" if step is Step.GATE else "proven", world.steps.gate_seconds(change.at))


def _report(world: World, checked: Sequence[Checked], outcomes: Sequence[Outcome]) -> Report:
    failed = {outcome.plan.name for outcome in outcomes if not isinstance(outcome, Committed | TakenOver)}
    lost = {
        one.service.name for one in checked if state_records.service_of(world.state, one.service.name).status in _LOST
    }
    is_down = any(isinstance(o.decision, Hold) and o.decision.reason is Reason.ENGINE_ERROR for o in checked)
    world.metrics.show(world.state.services)
    world.metrics.open_journal(len(world.journal.read_all()))
    with suppress(StateError):  # said by `deliver` already
        world.metrics.outbox_pending(sum(box.pending() for box in world.outboxes.values()))
    return Report(tuple(checked), tuple(outcomes), frozenset(failed | lost), is_down and not _answers(world))


def _answers(world: World) -> bool:
    try:
        world.engine.version()
    except UpdaterError:
        return False
    return True
