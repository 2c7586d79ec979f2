"""Outcomes and checks as news: what the outside is told of, when, and in which words. Pure.

`update` and `rollback` come from outcomes, `available` from an image that waits. `failed` and `recovered` are edges: a
service's troubles that were told are kept in its state (`ServiceState.troubles`), so that each is told once, and its
end once, across restarts too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from updater_core.models import (
    ALWAYS_TOLD,
    Committed,
    Event,
    Hold,
    NotStarted,
    Outcome,
    Reason,
    RollbackFailed,
    RolledBack,
    Superseded,
    retry_command,
)
from updater_core.state.records import ServiceState, Status, is_unknown

_TROUBLES_KEPT = 20
_WELL = {Status.UP_TO_DATE, Status.UPDATED}
_NOTHING_WAITS_FOR_A_PERSON = {
    Reason.BACKING_OFF,
    Reason.FROZEN,
    Reason.QUARANTINED,
    Reason.BUSY,
    Reason.STOPPING,
}
_ROLLED_BACK = "nothing at once: the release that failed is not tried again, the next one is"


@dataclass(frozen=True, slots=True)
class Moment:
    """Where and when an event happens."""

    host: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """How a service's troubles differ from those told: the one that began, the told ones that ended, and all that
    stand now, with the time each was told."""

    begun: str | None
    ended: Mapping[str, datetime]
    open_incidents: Mapping[str, datetime]


def is_wanted(event: Event, kinds: Collection[str]) -> bool:
    """Whether an event is told where `kinds` (`notify_events`) were asked for. `mode` notify is a wish of its own."""
    is_asked_for = event.kind in ALWAYS_TOLD or event.kind in kinds
    return is_asked_for or (event.kind == "available" and event.reason == Reason.NOTIFY_ONLY)


# ------------------------------------------------------------------------------------------- an outcome, or a wait


def event_of(outcome: Outcome, host: str, started: datetime, now: datetime) -> Event | None:
    """The `update` or `rollback` event of an outcome; None where nothing has changed. Its id comes from the plan, so
    that an outcome told once more after a crash is the same news."""
    plan = outcome.plan
    match outcome:
        case Committed():
            kind, reason, detail, remedy = "update", plan.kind, plan.reason, ""
        case RolledBack(cause=cause):
            kind, reason, detail, remedy = "rollback", cause.reason.value, cause.message, cause.remedy or _ROLLED_BACK
        case RollbackFailed(cause=cause, rollback=rollback):
            kind, reason = "rollback", Reason.FROZEN.value
            detail = f"{cause.message}; the rollback failed too: {rollback.message}"
            remedy = f"see to the service by hand, then run {retry_command(plan.name)}"
        case NotStarted() | Superseded():
            return None
    event = Event(
        id=f"{plan.id}-{kind}",
        kind=kind,
        service=plan.name,
        time=now,
        host=host,
        from_reference=plan.moves[0].old_reference,
        from_digest=plan.old_digest,
        to_reference=plan.target.text,
        to_digest=plan.target.digest,
        reason=reason,
        detail=detail,
        duration_seconds=max((now - started).total_seconds(), 0.0),
        remedy=remedy,
    )
    return event if kind == "update" else _reversed(event)


def _reversed(event: Event) -> Event:
    return replace(
        event,
        from_reference=event.to_reference,
        from_digest=event.to_digest,
        to_reference=event.from_reference,
        to_digest=event.from_digest,
    )


def available_event(service: str, known: ServiceState, hold: Hold, moment: Moment) -> Event | None:
    """The news that an image waits, the same for the same image; None where none does, or where something else is
    told of what it waits for (`failed`, `rollback`)."""
    target, reason = hold.available, hold.reason
    if target is None or is_unknown(reason) or reason in _NOTHING_WAITS_FOR_A_PERSON:
        return None
    why = "" if reason is Reason.NOTIFY_ONLY else f": {hold.detail or reason.value}"
    return Event(
        id=f"{service}-available-{(target.digest or target.text)[-32:]}",
        kind="available",
        service=service,
        time=moment.now,
        host=moment.host,
        from_reference=known.reference,
        from_digest=known.digest,
        to_reference=target.text,
        to_digest=target.digest,
        reason=reason.value,
        detail=f"{target.text} is available and waits{why or ' for you'}",
        remedy=hold.remedy,
    )


# ---------------------------------------------------------------------------------------------- trouble, and its end


def turn_of(service: ServiceState, now: datetime) -> Turn:
    """What of a service's troubles is new since they were last told.

    A check that could not know ends with one that does; an update that failed, or was rolled back, with a service that
    is up to date or updated.
    """
    current = _trouble(service)
    open_incidents = {key: told for key, told in service.troubles.items() if _stands(key, service.status)}
    ended = {key: told for key, told in service.troubles.items() if key not in open_incidents}
    begun = current if current is not None and current not in open_incidents else None
    if begun is not None:
        open_incidents = dict([*open_incidents.items(), (begun, now)][-_TROUBLES_KEPT:])
    return Turn(begun, ended, open_incidents)


def turn_event(name: str, service: ServiceState, turn: Turn, moment: Moment) -> Event | None:
    """`failed` for a trouble that began (a rollback is told by its own event), `recovered` where none stands any more;
    None where neither is so."""
    if turn.begun is not None:
        return None if turn.begun.startswith("rollback:") else _failed(name, service, turn.begun, moment)
    return _recovered(name, service, turn.ended, moment) if turn.ended and not turn.open_incidents else None


def _trouble(service: ServiceState) -> str | None:
    """What is wrong, as `kind:reason` and, where it is one release's, which: the same text is the same news."""
    change = service.changes[0] if service.changes else None
    if service.status is Status.UNKNOWN and service.reason:
        return f"check:{service.reason}"
    if service.status is Status.FAILED and service.reason:
        return f"update:{service.reason}:{(change.to_digest or change.to_reference) if change else ''}"
    if service.status in (Status.ROLLED_BACK, Status.ROLLBACK_FAILED):
        return f"rollback:{service.reason or service.status}:{change.plan_id if change else ''}"
    return None


def _stands(trouble: str, status: Status) -> bool:
    return status is Status.UNKNOWN if trouble.startswith("check:") else status not in _WELL


def _failed(name: str, service: ServiceState, trouble: str, moment: Moment) -> Event:
    change = service.changes[0] if trouble.startswith("update:") and service.changes else None
    outage = f"{trouble} {service.last_success}"  # it ends with a success, so the next one has another id
    return Event(
        id=f"{change.plan_id}-failed" if change else _id(name, "failed", outage),
        kind="failed",
        service=name,
        time=moment.now,
        host=moment.host,
        from_reference=service.reference,
        from_digest=service.digest,
        to_reference=change.to_reference if change else "",
        to_digest=change.to_digest if change else None,
        reason=service.reason.value if service.reason else service.status.value,
        detail=service.detail,
        duration_seconds=change.duration_seconds if change else None,
        remedy=service.remedy,
    )


def _recovered(name: str, service: ServiceState, ended: Mapping[str, datetime], moment: Moment) -> Event:
    since = min(ended.values())
    change = service.changes[0] if service.status is Status.UPDATED and service.changes else None
    reason = [*ended][-1].split(":")[1]
    return Event(
        id=_id(name, "recovered", "\n".join(f"{key} {told.isoformat()}" for key, told in sorted(ended.items()))),
        kind="recovered",
        service=name,
        time=moment.now,
        host=moment.host,
        from_reference=change.from_reference if change else service.reference,
        from_digest=change.from_digest if change else service.digest,
        to_reference=service.reference,
        to_digest=service.digest,
        reason=reason,
        detail=f"well again ({service.status}) after {reason}",
        duration_seconds=max((moment.now - since).total_seconds(), 0.0),
    )


def _id(name: str, kind: str, mark: str) -> str:
    return f"{name}-{kind}-{sha256(mark.encode()).hexdigest()[:32]}"


# ------------------------------------------------------------------------------------------------------------- a test


def samples(moment: Moment) -> tuple[Event, ...]:
    """One event of each kind, marked as a test: nothing of it has happened."""
    return tuple(
        Event(
            id=f"test-{kind}-{moment.now:%Y%m%dT%H%M%S%f}",
            kind=kind,
            service="example",
            time=moment.now,
            host=moment.host,
            from_reference=start,
            from_digest=_SAMPLE_DIGESTS.get(start),
            to_reference=end,
            to_digest=_SAMPLE_DIGESTS.get(end),
            reason=reason,
            detail=f"this is a test of the notifications: {detail}",
            duration_seconds=seconds,
            remedy="nothing, this is a test",
            is_test=True,
        )
        for kind, start, end, reason, detail, seconds in _SAMPLES
    )


_OLD, _NEW = "registry.example.com/shop/api:v1.4.2", "registry.example.com/shop/api:v1.5.0"
_SAMPLE_DIGESTS = {_OLD: "sha256:" + "4" * 64, _NEW: "sha256:" + "5" * 64}
_SAMPLES: tuple[tuple[str, str, str, str, str, float | None], ...] = (
    ("update", _OLD, _NEW, "update", "v1.5.0 is newer", 12.5),
    ("rollback", _NEW, _OLD, Reason.UNHEALTHY.value, "the container was unhealthy", 31.4),
    ("available", _OLD, _NEW, Reason.NOTIFY_ONLY.value, "v1.5.0 waits for you", None),
    ("failed", _OLD, "", Reason.REGISTRY_ERROR.value, "the registry did not answer", None),
    ("recovered", _OLD, _OLD, Reason.REGISTRY_ERROR.value, "the registry answers again", 600.0),
)
