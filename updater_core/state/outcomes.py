"""What an update that was tried leaves in memory: history, quarantine, pauses, generations. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from updater_core.models import (
    Cause,
    Committed,
    NotStarted,
    Outcome,
    Plan,
    Quarantined,
    Reason,
    RollbackFailed,
    RolledBack,
    StepTaken,
    Superseded,
    retry_command,
)
from updater_core.policy.releases.size import step_between
from updater_core.reference import parse
from updater_core.state.records import (
    Change,
    Generation,
    RetainedImage,
    ServiceState,
    State,
    Status,
    count,
    service_of,
    with_service,
    with_status,
    without_failures,
)
from updater_core.vocabulary.dated import HookRun, LeftRelease
from updater_core.vocabulary.evidence import Evidence

CHANGES_KEPT = 20
STEPS_KEPT_OF = 5  # a service's latest changes; of older ones the whole duration tells enough
EVIDENCE_KEPT_OF = 3  # the latest changes that failed
QUARANTINE_KEPT = 200  # more than a registry has releases that are newer than the current one
OWNER_ROLLBACK = "owner_rollback"  # a plan's kind
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 6 * 3600.0

# Nothing was tried, or the operator was at work: no pause follows.
_NO_FAILURE = {
    Reason.STOPPING,
    Reason.BUSY,
    Reason.CHANGED_ON_DISK,
    Reason.VOLUME_MOVED,
    Reason.CANNOT_START_FIRST,
}


def record_outcome(
    state: State, outcome: Outcome, started: datetime, now: datetime, steps: tuple[StepTaken, ...] = ()
) -> State:
    """Return the state after an update that was tried; unchanged if this plan's outcome is in it.

    Committed: the generations move on, failures are forgotten, and so is the quarantine of older digests
    under the same tag. A rollback that the operator asked for quarantines the digest that was left. A release
    at fault is quarantined; a host at fault makes the service wait, longer each time. A failed rollback
    freezes it. A superseded update is left to the next check.
    """
    plan = outcome.plan
    service = service_of(state, plan.name)
    # After a crash between the state and the journal the same outcome comes once more.
    if any(change.plan_id == plan.id for change in service.changes):
        return state
    service = _settled(service, outcome, now)
    change = replace(_change(outcome, started, now), steps=steps)
    service = replace(service, changes=_history((change, *service.changes)))
    after = with_service(state, plan.name, service)
    # Neither an update nor a failure of ours: no counter is for it.
    return after if isinstance(outcome, Superseded) else count(after, _counter(outcome))


def hook_runs(state: State, plan: Plan[Any]) -> tuple[HookRun, ...]:
    """Return the hooks of an update that are remembered; none if the update is not."""
    changes = service_of(state, plan.name).changes
    return next((change.hooks for change in changes if change.plan_id == plan.id), ())


def note_hook(state: State, plan: Plan[Any], run: HookRun) -> State:
    """Return the state with this run in the update's own record; a later one of a hook counts."""
    service = service_of(state, plan.name)
    others = tuple(each for each in hook_runs(state, plan) if each.kind is not run.kind)
    changes = (
        replace(each, hooks=(*others, run)) if each.plan_id == plan.id else each for each in service.changes
    )
    return with_service(state, plan.name, replace(service, changes=tuple(changes)))


def rollback_prevented(state: State, plan: Plan[Any], cause: Cause) -> State:
    """Return the state while the host prevents a rollback.

    The journal is open, and it is tried again until the rollback is proven.
    """
    is_undecided = cause.reason in (Reason.NOT_RUNNING, Reason.GATE_TIMEOUT)
    how = "is not proven yet" if is_undecided else "is prevented by the host"
    detail = f"going back to {plan.old_reference} {how}: {cause.message}; it is tried again"
    service = with_status(service_of(state, plan.name), Status.FAILED, cause.reason, detail, cause.remedy)
    return with_service(state, plan.name, service)


def _history(newest: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the changes, the old ones without details, so that memory does not grow with what was said."""
    brief = (replace(each, steps=(), hooks=()) for each in newest[STEPS_KEPT_OF:CHANGES_KEPT])
    # By number of failures and not by age: the last one may be twenty updates ago, and is what somebody looks
    # for.
    failed = [each.plan_id for each in newest if each.evidence][:EVIDENCE_KEPT_OF]
    return tuple(
        each if each.plan_id in failed else replace(each, evidence=())
        for each in (*newest[:STEPS_KEPT_OF], *brief)
    )


def _settled(service: ServiceState, outcome: Outcome, now: datetime) -> ServiceState:
    if isinstance(outcome, Committed):
        return _committed(service, outcome.plan, now)
    cause = outcome.cause
    if isinstance(outcome, RollbackFailed):
        detail = f"{cause.message}; the rollback failed too: {outcome.rollback.message}"
        remedy = f"see to the service by hand, then run {retry_command(outcome.plan.name)}"
        frozen = replace(
            with_status(service, Status.ROLLBACK_FAILED, cause.reason, detail, remedy), last_change=now
        )
        # Frozen, and the release is remembered too: once a person has repaired the service, it must not be
        # tried again.
        return _blamed(frozen, outcome, now) if outcome.quarantine else frozen
    if isinstance(outcome, RolledBack):
        service = replace(with_status(service, Status.ROLLED_BACK, *_words(cause)), last_change=now)
    elif isinstance(outcome, Superseded) or cause.reason in _NO_FAILURE:
        return with_status(service, Status.HELD, *_words(cause))
    else:
        service = with_status(service, Status.FAILED, *_words(cause))
    return _blamed(service, outcome, now) if outcome.quarantine else _paused(service, now)


def _committed(service: ServiceState, plan: Plan[Any], now: datetime) -> ServiceState:
    service = replace(
        without_failures(service),
        status=Status.UPDATED,
        reason=None,
        detail=plan.reason,
        remedy="",
        reference=plan.new_reference,
        digest=plan.image.digest,
        facts=plan.new_facts,
        available=None,
        announced=None,
        opens_at=None,
        last_change=now,
        generations=_generations(service, plan, now),
        left=_left_by(service, plan, now),
        decisions=replace(service.decisions, approval=None),
    )
    return replace(service, quarantine=_quarantine_after(service, plan, now))


def _generations(service: ServiceState, plan: Plan[Any], now: datetime) -> tuple[Generation, ...]:
    """Return the current and the previous image after an update.

    After a rollback that was asked for there is no previous one: going back once more would go forward again.
    """
    new = tuple(RetainedImage(each.new_reference, each.new_retained, each.new_digest) for each in plan.others)
    current = Generation(plan.new_reference, plan.new_retained or "", plan.image.digest, now, plan.id, new)
    if plan.kind == OWNER_ROLLBACK or not plan.old_retained:
        return (current,)
    known = next((each for each in service.generations if each.image_id == plan.old_retained), None)
    at, plan_id = (known.at, known.plan_id) if known else (now, plan.id)
    old = tuple(RetainedImage(each.old_reference, each.old_retained, each.old_digest) for each in plan.others)
    return (current, Generation(plan.old_reference, plan.old_retained, plan.old_digest, at, plan_id, old))


def _left_by(service: ServiceState, plan: Plan[Any], now: datetime) -> LeftRelease | None:
    """Return what the operator's rollback has left; None after any other change."""
    if plan.kind != OWNER_ROLLBACK:
        return None
    known_as = _names(plan.old_digest, plan.old_retained)
    kept_as = _names(plan.image.digest, plan.new_retained)
    pushed_at = service.pushed.get(_tag(plan.old_reference) or "")
    others = {
        parse(each.old_reference).key: _names(each.old_digest, each.old_retained) for each in plan.others
    }
    return LeftRelease(plan.old_reference, known_as, plan.new_reference, kept_as, now, pushed_at, others)


def _names(*known: str | None) -> tuple[str, ...]:
    return tuple(name for name in known if name)


def _quarantine_after(service: ServiceState, plan: Plan[Any], now: datetime) -> tuple[Quarantined, ...]:
    """Return the quarantine after a commit, which clears the older digests under the same tag.

    Those of other tags stay: a commit of 1.3.5 says nothing about the 1.4.0 that failed, and forgetting it
    would try it again at once.
    """
    kept = tuple(entry for entry in service.quarantine if entry.digest != plan.image.digest)
    if plan.kind != OWNER_ROLLBACK:
        return tuple(entry for entry in kept if _tag(entry.reference) != plan.image.tag)
    if plan.old_digest is None or plan.old_digest == plan.image.digest:
        return kept
    left = plan.old_reference
    entry = Quarantined(
        plan.old_digest, left, Reason.OWNER_ROLLBACK, now, "left by a rollback that was asked for"
    )
    return _add(kept, entry)


def _blamed(
    service: ServiceState, outcome: RolledBack | NotStarted | RollbackFailed, now: datetime
) -> ServiceState:
    cause, quarantine = outcome.cause, service.quarantine
    for digest, text in _what_was_new(outcome.plan):
        # An image that was built here has no digest to be remembered by.
        if digest is None:
            return service
        quarantine = _add(quarantine, Quarantined(digest, text, cause.reason, now, cause.message))
    return replace(without_failures(service), quarantine=quarantine)


def _what_was_new(plan: Plan[Any]) -> list[tuple[str | None, str]]:
    """Return the digests that a failure is remembered by, with their references.

    They are the service's own, or if that image stayed as it is those of the other repositories that did not.
    """
    own = plan.image.digest
    # Two digests may lead to one local image, as when only an attestation was added: then the own image is
    # not what was new.
    if own != plan.old_digest and plan.new_retained != plan.old_retained:
        return [(own, plan.image.text)]
    others = [each for each in plan.others if each.new_digest != each.old_digest]
    return [(each.new_digest, each.new_reference) for each in others] or [(own, plan.image.text)]


def _add(quarantine: tuple[Quarantined, ...], entry: Quarantined) -> tuple[Quarantined, ...]:
    others = tuple(each for each in quarantine if each.digest != entry.digest)
    return (entry, *others)[:QUARANTINE_KEPT]


def _paused(service: ServiceState, now: datetime) -> ServiceState:
    """Return one minute after the first failure, twice as long after each further one, six hours at most."""
    failures = service.failures + 1
    # The exponent is bounded, for failures may be counted for years.
    seconds = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 20), _LONGEST_PAUSE_SECONDS)
    return replace(service, failures=failures, retry_at=now + timedelta(seconds=seconds))


def is_pausing(service: ServiceState, now: datetime) -> bool:
    """Return whether an update waits for `retry_at`.

    One beyond the longest pause was set by a clock that ran ahead.
    """
    ahead = (service.retry_at - now).total_seconds() if service.retry_at else 0.0
    return 0.0 < ahead <= _LONGEST_PAUSE_SECONDS


def _words(cause: Cause) -> tuple[Reason, str, str]:
    return cause.reason, cause.message, cause.remedy


def _tag(text: str) -> str | None:
    try:
        return parse(text).tag
    except ValueError:
        return None


def _change(outcome: Outcome, started: datetime, now: datetime) -> Change:
    plan = outcome.plan
    cause = None if isinstance(outcome, Committed) else outcome.cause
    return Change(
        plan_id=plan.id,
        at=now,
        kind=plan.kind,
        from_reference=plan.old_reference,
        from_digest=plan.old_digest,
        to_reference=plan.image.text,
        to_digest=plan.image.digest,
        outcome=OUTCOME_CODES[type(outcome)],
        reason=cause.reason.value if cause else plan.kind,
        detail=cause.message if cause else plan.reason,
        # The clock may have been set back meanwhile.
        duration_seconds=max((now - started).total_seconds(), 0.0),
        evidence=_evidence(outcome),
        hooks=outcome.hooks,
        release=step_between(plan.old_reference, plan.old_facts, plan.image.text, plan.new_facts),
    )


def _evidence(outcome: Outcome) -> tuple[Evidence, ...]:
    """Return what was seen of the new release, and of the old one if that could not be proven."""
    if isinstance(outcome, Committed):
        return ()
    of_old = outcome.rollback.evidence if isinstance(outcome, RollbackFailed) else ()
    return (*outcome.cause.evidence, *of_old)


OUTCOME_CODES: Mapping[type, str] = {
    Committed: "committed",
    NotStarted: "not_started",
    RolledBack: "rolled_back",
    RollbackFailed: "rollback_failed",
    Superseded: "taken_over",
}


def lift_quarantine(state: State, name: str) -> State:
    """Return the state after `--retry`: nothing is quarantined for this service, and nothing waits.

    A frozen service is only unfrozen. Its quarantine stays: the operator has repaired the service, which says
    nothing of the release that broke it.
    """
    service = service_of(state, name)
    service = without_failures(service if service.is_frozen else replace(service, quarantine=(), left=None))
    if service.status in (Status.ROLLBACK_FAILED, Status.ROLLED_BACK, Status.FAILED):
        service = replace(service, status=Status.UNKNOWN, reason=None, detail="", remedy="")
    return with_service(state, name, service)


def _counter(outcome: Outcome) -> str:
    if isinstance(outcome, Committed):
        return f"updates:{outcome.plan.name}"
    if isinstance(outcome, RolledBack):
        return f"rollbacks:{outcome.cause.reason}:{outcome.plan.name}"
    return f"failures:{outcome.cause.step}:{outcome.plan.name}"
