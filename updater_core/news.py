"""Outcomes as news: what the outside is told of, and in which words. Pure."""

from __future__ import annotations

from datetime import datetime

from updater_core.models import Committed, Event, ImageRef, NotStarted, Outcome, RollbackFailed, RolledBack
from updater_core.state_records import ServiceState


def event_of(outcome: Outcome, host: str, started: datetime, now: datetime) -> Event | None:
    """The `update` or `rollback` event of an outcome; None where nothing has changed. Its id comes from the plan, so
    that an outcome told once more after a crash is the same news."""
    plan = outcome.plan
    match outcome:
        case Committed():
            kind, reason, detail = "update", plan.kind, plan.reason
        case RolledBack(cause=cause):
            kind, reason, detail = "rollback", cause.reason.value, cause.message
        case RollbackFailed(cause=cause, rollback=rollback):
            kind, reason = "rollback", "rollback_failed"
            detail = f"{cause.message}; the rollback failed too: {rollback.message}"
        case NotStarted():
            return None
    old = plan.moves[0].old_reference
    return Event(
        id=f"{plan.id}-{kind}",
        kind=kind,
        service=plan.name,
        time=now,
        host=host,
        from_reference=old if kind == "update" else plan.target.text,
        from_digest=plan.old_digest if kind == "update" else plan.target.digest,
        to_reference=plan.target.text if kind == "update" else old,
        to_digest=plan.target.digest if kind == "update" else plan.old_digest,
        reason=reason,
        detail=detail,
        duration_seconds=max((now - started).total_seconds(), 0.0),
    )


def available_event(service: str, known: ServiceState, target: ImageRef, host: str, now: datetime) -> Event:
    """The news that an image waits for a person (`mode` notify); the same for the same image."""
    return Event(
        id=f"{service}-available-{(target.digest or target.text)[-32:]}",
        kind="available",
        service=service,
        time=now,
        host=host,
        from_reference=known.reference,
        from_digest=known.digest,
        to_reference=target.text,
        to_digest=target.digest,
        reason="notify_only",
        detail=f"{target.text} is available and waits for you",
    )
