"""Outcomes and checks as events: which there are, when, and with which text. Pure.

`update` and `rollback` come from outcomes, `available` from an image that waits. `failed` and `recovered` are
edges: the incidents of a service that had an event are kept in its state (`ServiceState.incidents`), so that
each incident has one event, and its end one, across restarts too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from updater_core.models import (
    ALWAYS_SENT,
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
from updater_core.policy.operator.decisions import Approval, command
from updater_core.policy.releases.size import step_between, waiting_step
from updater_core.state import orders
from updater_core.state.orders import OperatorOrder, OrderAnswer
from updater_core.state.records import ServiceState, Status, is_unknown, waiting_facts_of
from updater_core.vocabulary.dated import NO_STEP, ReleaseStep
from updater_core.vocabulary.evidence import Evidence

_INCIDENTS_KEPT = 20
_WELL = {Status.UP_TO_DATE, Status.UPDATED}
_NOT_FOR_A_PERSON = {
    Reason.BACKING_OFF,
    Reason.FROZEN,
    Reason.QUARANTINED,
    Reason.BUSY,
    Reason.STOPPING,
    Reason.AWAITING_APPROVAL,
    Reason.APPROVAL_EXPIRED,
    Reason.SKIPPED,
}
_ASKED_FOR = ("approval", "order")  # by the mode approve, and by the operator: nobody has to name them
# An image that waits for a person, by what the operator configured, or that somebody may have pushed by
# theft.
_ALWAYS_ANNOUNCED = (Reason.NOTIFY_ONLY, Reason.NOT_SIGNED, Reason.BAD_SIGNATURE)
_WITH_OWN_EVENT = {orders.UPDATE, orders.ROLLBACK, orders.CHECK}
_SAMPLE_RELEASE = ReleaseStep("v1.4.2", "v1.5.0", "minor")
_ROLLED_BACK = "nothing at once: the release that failed is not tried again, the next one is"
_UNWELL_BEFORE = "see what keeps the old release unwell (its healthcheck, its settings, what it depends on)"


@dataclass(frozen=True, slots=True)
class Moment:
    """The host and the time of an event."""

    host: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Transition:
    """How the incidents of a service changed: which one began, which ended, and which are open now.

    Each is given with the time of its event.
    """

    begun: str | None
    ended: Mapping[str, datetime]
    open_incidents: Mapping[str, datetime]


def is_wanted(event: Event, kinds: Collection[str]) -> bool:
    """Return whether an event is sent if `kinds` (`notify_events`) are configured.

    `mode` notify and a signature policy ask for their own.
    """
    is_asked_for = event.kind in (*ALWAYS_SENT, *_ASKED_FOR) or event.kind in kinds
    return is_asked_for or (event.kind == "available" and event.reason in _ALWAYS_ANNOUNCED)


# ----------------------------------------------------------------------------- an outcome, an available image


def event_of(outcome: Outcome, host: str, started: datetime, now: datetime) -> Event | None:
    """Return the `update` or `rollback` event of an outcome; None if nothing has changed.

    Its id comes from the plan: a second event for the same outcome, after a crash, is the same event.
    """
    plan = outcome.plan
    seen: tuple[Evidence, ...] = ()
    match outcome:
        case Committed():
            kind, reason, detail, remedy = "update", plan.kind, plan.reason, ""
        case RolledBack(cause=cause):
            kind, reason, detail = "rollback", cause.reason.value, _why_rolled_back(outcome)
            remedy = cause.remedy or _after_rollback(outcome)
            seen = cause.evidence
        case RollbackFailed(cause=cause, rollback=rollback):
            kind, reason = "rollback", Reason.FROZEN.value
            detail = f"{cause.message}; the rollback failed too: {rollback.message}"
            remedy = f"see to the service by hand, then run {retry_command(plan.name)}"
            seen = (*cause.evidence, *rollback.evidence)
        case NotStarted() | Superseded():
            return None
    event = Event(
        id=f"{plan.id}-{kind}",
        kind=kind,
        service=plan.name,
        time=now,
        host=host,
        from_reference=plan.old_reference,
        from_digest=plan.old_digest,
        to_reference=plan.image.text,
        to_digest=plan.image.digest,
        reason=reason,
        detail=detail,
        duration_seconds=max((now - started).total_seconds(), 0.0),
        remedy=remedy,
        release=step_between(plan.old_reference, plan.old_facts, plan.image.text, plan.new_facts),
        evidence=seen,
        was_well=plan.was_well,
    )
    return event if kind == "update" else _reversed(event)


def _why_rolled_back(outcome: RolledBack) -> str:
    why = outcome.cause.message
    return why if outcome.plan.was_well else f"{why}; the old release was not well before either"


def _after_rollback(outcome: RolledBack) -> str:
    """Return what is left to do; a release is hardly to blame for what the one before it fails by too."""
    if outcome.plan.was_well:
        return _ROLLED_BACK
    return f"{_UNWELL_BEFORE}, then run {retry_command(outcome.plan.name)}"


def _reversed(event: Event) -> Event:
    return replace(
        event,
        from_reference=event.to_reference,
        from_digest=event.to_digest,
        to_reference=event.from_reference,
        to_digest=event.from_digest,
    )


def available_event(service: str, known: ServiceState, hold: Hold, moment: Moment) -> Event | None:
    """Return the event that an image is available, with the same id for the same image.

    None if none is, or if there is another event about what it waits for (`failed`, `rollback`).
    """
    target, reason = hold.available, hold.reason
    if target is None or is_unknown(reason) or reason in _NOT_FOR_A_PERSON:
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
        release=_waiting_step(known, target.text),
    )


def approval_event(service: str, known: ServiceState, question: Approval, moment: Moment) -> Event:
    """Return the event that asks for an approval, with the same id for the same question."""
    mark = f"{question.digest} {question.others} {question.asked_at.isoformat()}"
    end = f"{question.expires_at:%Y-%m-%d %H:%M} UTC"
    return Event(
        id=_id(service, "approval", mark),
        kind="approval",
        service=service,
        time=moment.now,
        host=moment.host,
        from_reference=known.reference,
        from_digest=known.digest,
        to_reference=question.reference,
        to_digest=question.digest,
        reason=Reason.AWAITING_APPROVAL.value,
        detail=f"{question.reference} waits for your approval, until {end}",
        remedy=f"{command(orders.APPROVE, service)}, or {command(orders.SKIP, service)}",
        release=_waiting_step(known, question.reference),
    )


def _waiting_step(known: ServiceState, target: str) -> ReleaseStep:
    return waiting_step(known.reference, known.facts, target, waiting_facts_of(known, target))


def order_event(
    known: ServiceState, order: OperatorOrder, answer: OrderAnswer, moment: Moment
) -> Event | None:
    """Return the event of an order that was done; None if it was refused, or has an event of its own."""
    if not answer.is_done or order.kind in _WITH_OWN_EVENT:
        return None
    target = orders.waiting(known) if order.kind in (orders.APPROVE, orders.SKIP) else None
    return Event(
        id=_id(order.service, "order", f"{order.kind} {order.id} {order.at.isoformat()}"),
        kind="order",
        service=order.service,
        time=moment.now,
        host=moment.host,
        from_reference=known.reference,
        from_digest=known.digest,
        to_reference=target.text if target else "",
        to_digest=target.digest if target else None,
        reason=order.kind,
        detail=answer.text,
        who=order.who,
    )


# ----------------------------------------------------------------------------------- an incident, and its end


def transition_of(service: ServiceState, now: datetime) -> Transition:
    """Return what of a service's incidents began or ended since the last event.

    A check that could not know ends with one that does; an update that failed, or was rolled back, with a
    service that is up to date or updated.
    """
    current = _incident(service)
    open_incidents = {key: since for key, since in service.incidents.items() if _is_open(key, service.status)}
    ended = {key: since for key, since in service.incidents.items() if key not in open_incidents}
    begun = current if current is not None and current not in open_incidents else None
    if begun is not None:
        open_incidents = dict([*open_incidents.items(), (begun, now)][-_INCIDENTS_KEPT:])
    return Transition(begun, ended, open_incidents)


def transition_event(name: str, service: ServiceState, change: Transition, moment: Moment) -> Event | None:
    """Return `failed` for an incident that began, `recovered` if none is open any more, else None.

    A rollback has its own event.
    """
    if change.begun is not None:
        return None if change.begun.startswith("rollback:") else _failed(name, service, change.begun, moment)
    return (
        _recovered(name, service, change.ended, moment)
        if change.ended and not change.open_incidents
        else None
    )


def _incident(service: ServiceState) -> str | None:
    """Return what is wrong, as `kind:reason` and the release if it is one's; equal texts are one incident."""
    change = service.changes[0] if service.changes else None
    if service.status is Status.UNKNOWN and service.reason:
        return f"check:{service.reason}"
    if service.status is Status.FAILED and service.reason:
        return f"update:{service.reason}:{(change.to_digest or change.to_reference) if change else ''}"
    if service.status in (Status.ROLLED_BACK, Status.ROLLBACK_FAILED):
        return f"rollback:{service.reason or service.status}:{change.plan_id if change else ''}"
    return None


def _is_open(incident: str, status: Status) -> bool:
    return status is Status.UNKNOWN if incident.startswith("check:") else status not in _WELL


def _failed(name: str, service: ServiceState, incident: str, moment: Moment) -> Event:
    outage = f"{incident} {service.last_success}"  # it ends with a success, so the next one has another id
    failed = Event(
        id=_id(name, "failed", outage),
        kind="failed",
        service=name,
        time=moment.now,
        host=moment.host,
        from_reference=service.reference,
        from_digest=service.digest,
        to_reference="",
        to_digest=None,
        reason=(service.reason or service.status).value,
        detail=service.detail,
        remedy=service.remedy,
    )
    if not (incident.startswith("update:") and service.changes):
        return failed
    change = service.changes[0]
    return replace(
        failed,
        id=f"{change.plan_id}-failed",
        to_reference=change.to_reference,
        to_digest=change.to_digest,
        duration_seconds=change.duration_seconds,
        release=change.release,
    )


def _recovered(name: str, service: ServiceState, ended: Mapping[str, datetime], moment: Moment) -> Event:
    begun = min(ended.values())
    change = service.changes[0] if service.status is Status.UPDATED and service.changes else None
    reason = [*ended][-1].split(":")[1]
    return Event(
        id=_id(
            name, "recovered", "\n".join(f"{key} {since.isoformat()}" for key, since in sorted(ended.items()))
        ),
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
        duration_seconds=max((moment.now - begun).total_seconds(), 0.0),
    )


def _id(name: str, kind: str, mark: str) -> str:
    return f"{name}-{kind}-{sha256(mark.encode()).hexdigest()[:32]}"


# ----------------------------------------------------------------------------------------------------- a test


def samples(moment: Moment) -> tuple[Event, ...]:
    """Return one event of each kind, marked as a test: nothing of it has happened."""
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
            release=_SAMPLE_RELEASE if end and end != start else NO_STEP,
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
    ("approval", _OLD, _NEW, Reason.AWAITING_APPROVAL.value, "v1.5.0 waits for your approval", None),
    ("order", _OLD, "", orders.PAUSE, "updates of example are paused", None),
)
