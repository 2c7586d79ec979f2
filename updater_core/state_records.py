"""What is remembered between cycles, and how each piece of news changes it. Pure.

Nothing here grows with time: every list has a bound, and what left the configuration or the registry is forgotten.
The state is memory, never the baseline: what runs is read from the engine, what is wanted from the owner's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from updater_core.causes import retry_command
from updater_core.models import (
    Cause,
    Committed,
    Decision,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Quarantined,
    Reason,
    RollbackFailed,
    RolledBack,
    Seen,
    Update,
)
from updater_core.reference import parse
from updater_core.step_times import StepTaken

GENERATIONS_KEPT = 2
CHANGES_KEPT = 20
STEPS_KEPT_OF = 5  # a service's latest changes; of older ones the whole duration tells enough
QUARANTINE_KEPT = 200  # more than a registry has releases newer than the current one
DIGESTS_KEPT = 10
OWNER_ROLLBACK = "owner_rollback"  # a plan's kind
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # stands for a build time that was asked for and not to be believed
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 6 * 3600.0


class Status(StrEnum):
    """How a service stands, as `--status` and the metrics show it."""

    UP_TO_DATE = "up_to_date"
    HELD = "held"
    WAITING = "waiting"  # an image is available and waits
    UPDATED = "updated"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Generation:
    """An image that a service ran, or runs; held locally so that `--rollback` can go there."""

    reference: str
    image_id: str
    digest: str | None
    at: datetime
    plan_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """One update or rollback that was tried, and how it ended."""

    plan_id: str
    at: datetime
    kind: str
    from_reference: str
    from_digest: str | None
    to_reference: str
    to_digest: str | None
    outcome: str  # committed | not_started | rolled_back | rollback_failed
    reason: str
    detail: str = ""
    duration_seconds: float = 0.0
    steps: tuple[StepTaken, ...] = ()  # of the run that ended it; none of a change that is old


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The memory of one service.

    `reference` and `digest`: what ran at the last look. `available`: the image that waits, `announced`: the one that
    was last told about. `generations` are newest first, current and previous. `failures` counts the transient ones in
    a row, no update is tried before `retry_at`.
    """

    reference: str = ""
    digest: str | None = None
    status: Status = Status.UNKNOWN
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    available: str | None = None
    announced: str | None = None
    last_check: datetime | None = None
    last_success: datetime | None = None
    last_change: datetime | None = None
    quarantine: tuple[Quarantined, ...] = ()
    generations: tuple[Generation, ...] = ()
    failures: int = 0
    retry_at: datetime | None = None
    opens_at: datetime | None = None  # when the window opens that an available image waits for
    changes: tuple[Change, ...] = ()
    digest_seen: Mapping[str, datetime] = field(default_factory=dict)
    pushed: Mapping[str, datetime] = field(default_factory=dict)  # the current tag, by its registry's clock
    troubles: Mapping[str, datetime] = field(default_factory=dict)  # those told about, and when; see `news.turn_of`
    unit: str = ""  # what it is besides its name; see `state_notes.unit_of`

    @property
    def is_frozen(self) -> bool:
        """Neither release could be proven: nothing is done until a person says `--retry`."""
        return self.status is Status.ROLLBACK_FAILED


@dataclass(frozen=True, slots=True)
class State:
    """The memory of all. `seen`: repository key, then tag; a repository that is there has had its first listing.

    `rests`: registry host, and until when nothing is asked of it. `counters`: see `count`.
    """

    services: Mapping[str, ServiceState] = field(default_factory=dict)
    seen: Mapping[str, Mapping[str, Seen]] = field(default_factory=dict)
    rests: Mapping[str, datetime] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    saved_at: datetime | None = None


def service_of(state: State, name: str) -> ServiceState:
    """The memory of a service, empty where there is none."""
    return state.services.get(name, ServiceState())


# ------------------------------------------------------------------------------------------------------ a check

_NOT_KNOWN = {
    Reason.REGISTRY_ERROR,
    Reason.RATE_LIMITED,
    Reason.AUTH_ERROR,
    Reason.NOT_FOUND,
    Reason.LISTING_INCOMPLETE,
    Reason.PATTERN_TOO_SLOW,
    Reason.ENGINE_ERROR,
    Reason.COMPOSE_ERROR,
    Reason.STATE_ERROR,
    Reason.FILE_UNREADABLE,
    Reason.INTERNAL_ERROR,
}
_AFTERMATH = {Reason.QUARANTINED, Reason.BACKING_OFF}
_TROUBLED = {Status.ROLLED_BACK, Status.FAILED}


def is_unknown(reason: Reason) -> bool:
    """Whether a hold for this reason means that nobody knows if there is an update."""
    return reason in _NOT_KNOWN


def record_check(  # noqa: PLR0913 - what was seen, and what was decided of it, belong together
    state: State, name: str, reference: str, digest: str | None, decision: Decision, *, now: datetime
) -> State:
    """The state after a look at a service: what it runs, and what was decided.

    A check that could not know leaves what waits as it was, and what runs where `reference` is empty. A service that
    is frozen, or whose failed release is all there is, keeps saying so.
    """
    old = service_of(state, name)
    seen = replace(old, reference=reference, digest=digest) if reference else old
    return with_service(state, name, _decided(replace(seen, last_check=now), decision, now))


def _decided(service: ServiceState, decision: Decision, now: datetime) -> ServiceState:
    if isinstance(decision, Update):
        waiting = replace(service, last_success=now, available=decision.target.text)
        return _told(waiting, Status.WAITING, None, decision.detail)
    if decision.reason in _NOT_KNOWN:
        return _told(service, Status.UNKNOWN, decision.reason, decision.detail, decision.remedy)
    return _held(replace(service, last_success=now), decision)


def _held(service: ServiceState, hold: Hold) -> ServiceState:
    available = hold.available.text if hold.available else None
    opens_at = hold.until if hold.reason is Reason.WINDOW_CLOSED else None
    service = replace(service, available=available, opens_at=opens_at)
    if hold.reason is Reason.SAME_DIGEST:
        service = replace(_rested(service), announced=None)
        return _told(service, Status.UP_TO_DATE, hold.reason, hold.detail, hold.remedy)
    if hold.reason in _AFTERMATH and service.status in _TROUBLED:
        return replace(service, remedy=service.remedy or hold.remedy)  # its own may name a file of the owner's
    return _told(service, Status.WAITING if available else Status.HELD, hold.reason, hold.detail, hold.remedy)


def _told(
    service: ServiceState, status: Status, reason: Reason | None, detail: str = "", remedy: str = ""
) -> ServiceState:
    if service.is_frozen:
        return service
    return replace(service, status=status, reason=reason, detail=detail, remedy=remedy)


def announce(state: State, name: str) -> State:
    """Remember that what waits for this service was told about, so that it is told once."""
    service = service_of(state, name)
    return with_service(state, name, replace(service, announced=service.available))


# ---------------------------------------------------------------------------------------------------- an outcome

_NOBODYS_FAULT = {Reason.STOPPING, Reason.BUSY, Reason.CHANGED_ON_DISK}


def record_outcome(
    state: State, outcome: Outcome, started: datetime, now: datetime, steps: tuple[StepTaken, ...] = ()
) -> State:
    """The state after an update that was tried; the same state where this plan's outcome is recorded already.

    Committed: the generations move on, failures are forgotten, and so is the quarantine of older digests under the
    same tag. An owner's rollback quarantines the digest that was left. A release at fault is quarantined; a host at
    fault makes the service wait, longer each time. A failed rollback freezes it.
    """
    plan = outcome.plan
    service = service_of(state, plan.name)
    if any(change.plan_id == plan.id for change in service.changes):
        return state
    service = _settled(service, outcome, now)
    change = replace(_change(outcome, started, now), steps=steps)
    service = replace(service, changes=_history((change, *service.changes)))
    return count(with_service(state, plan.name, service), _counter(outcome))


def _history(newest: tuple[Change, ...]) -> tuple[Change, ...]:
    return newest[:STEPS_KEPT_OF] + tuple(replace(each, steps=()) for each in newest[STEPS_KEPT_OF:CHANGES_KEPT])


def _settled(service: ServiceState, outcome: Outcome, now: datetime) -> ServiceState:
    if isinstance(outcome, Committed):
        return _committed(service, outcome.plan, now)
    cause = outcome.cause
    if isinstance(outcome, RollbackFailed):
        detail = f"{cause.message}; the rollback failed too: {outcome.rollback.message}"
        remedy = f"see to the service by hand, then run {retry_command(outcome.plan.name)}"
        frozen = replace(_told(service, Status.ROLLBACK_FAILED, cause.reason, detail, remedy), last_change=now)
        return _blamed(frozen, outcome, now) if outcome.quarantine else frozen
    if isinstance(outcome, RolledBack):
        service = replace(_told(service, Status.ROLLED_BACK, *_words(cause)), last_change=now)
    elif cause.reason in _NOBODYS_FAULT:
        return _told(service, Status.HELD, *_words(cause))
    else:
        service = _told(service, Status.FAILED, *_words(cause))
    return _blamed(service, outcome, now) if outcome.quarantine else _paused(service, now)


def _committed(service: ServiceState, plan: Plan, now: datetime) -> ServiceState:
    service = replace(
        _rested(service),
        status=Status.UPDATED,
        reason=None,
        detail=plan.reason,
        remedy="",
        reference=plan.moves[0].new_reference if plan.moves else plan.target.text,
        digest=plan.target.digest,
        available=None,
        announced=None,
        opens_at=None,
        last_change=now,
        generations=_generations(service, plan, now),
    )
    return replace(service, quarantine=_quarantine_after(service, plan, now))


def _generations(service: ServiceState, plan: Plan, now: datetime) -> tuple[Generation, ...]:
    """After an owner's rollback there is no previous one: going back once more would go forward again."""
    reference = plan.moves[0].new_reference if plan.moves else plan.target.text
    current = Generation(reference, plan.image_id or "", plan.target.digest, now, plan.id)
    if plan.kind == OWNER_ROLLBACK or not plan.moves:
        return (current,)
    move = plan.moves[0]
    known = next((each for each in service.generations if each.image_id == move.old_image_id), None)
    at, plan_id = (known.at, known.plan_id) if known else (now, plan.id)
    return (current, Generation(move.old_reference, move.old_image_id, plan.old_digest, at, plan_id))


def _quarantine_after(service: ServiceState, plan: Plan, now: datetime) -> tuple[Quarantined, ...]:
    """A newer digest under the same tag clears the older ones. Another tag's stay: a commit of 1.3.5 says nothing
    about the 1.4.0 that failed, and forgetting it would try it again at once."""
    kept = tuple(entry for entry in service.quarantine if entry.digest != plan.target.digest)
    if plan.kind != OWNER_ROLLBACK:
        return tuple(entry for entry in kept if _tag(entry.reference) != plan.target.tag)
    if plan.old_digest is None or plan.old_digest == plan.target.digest:
        return kept
    left = plan.moves[0].old_reference if plan.moves else ""
    entry = Quarantined(plan.old_digest, left, Reason.OWNER_ROLLBACK, now, "left by the owner's rollback")
    return _add(kept, entry)


def _blamed(service: ServiceState, outcome: RolledBack | NotStarted | RollbackFailed, now: datetime) -> ServiceState:
    target, cause = outcome.plan.target, outcome.cause
    if target.digest is None:
        return service
    entry = Quarantined(target.digest, target.text, cause.reason, now, cause.message)
    return replace(_rested(service), quarantine=_add(service.quarantine, entry))


def _add(quarantine: tuple[Quarantined, ...], entry: Quarantined) -> tuple[Quarantined, ...]:
    others = tuple(each for each in quarantine if each.digest != entry.digest)
    return (entry, *others)[:QUARANTINE_KEPT]


def _paused(service: ServiceState, now: datetime) -> ServiceState:
    """One minute after the first failure, twice as long after each further one, six hours at most."""
    failures = service.failures + 1
    seconds = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 20), _LONGEST_PAUSE_SECONDS)
    return replace(service, failures=failures, retry_at=now + timedelta(seconds=seconds))


def is_pausing(service: ServiceState, now: datetime) -> bool:
    """Whether an update waits for `retry_at`. One further ahead than any pause was set by a clock that ran ahead."""
    ahead = (service.retry_at - now).total_seconds() if service.retry_at else 0.0
    return 0.0 < ahead <= _LONGEST_PAUSE_SECONDS


def _rested(service: ServiceState) -> ServiceState:
    return replace(service, failures=0, retry_at=None)


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
        from_reference=plan.moves[0].old_reference if plan.moves else "",
        from_digest=plan.old_digest,
        to_reference=plan.target.text,
        to_digest=plan.target.digest,
        outcome=_OUTCOMES[type(outcome)],
        reason=cause.reason.value if cause else plan.kind,
        detail=cause.message if cause else plan.reason,
        duration_seconds=max((now - started).total_seconds(), 0.0),
    )


_OUTCOMES: Mapping[type, str] = {
    Committed: "committed",
    NotStarted: "not_started",
    RolledBack: "rolled_back",
    RollbackFailed: "rollback_failed",
}


def lift_quarantine(state: State, name: str) -> State:
    """What `--retry` does: nothing is quarantined or waiting for this service any more. One that is frozen thaws, and
    no more: what froze it is not to be tried again by the word that it was seen to."""
    service = service_of(state, name)
    service = _rested(service if service.is_frozen else replace(service, quarantine=()))
    if service.status in (Status.ROLLBACK_FAILED, Status.ROLLED_BACK, Status.FAILED):
        service = replace(service, status=Status.UNKNOWN, reason=None, detail="", remedy="")
    return with_service(state, name, service)


# --------------------------------------------------------------------------------------------------------- keeping


def count(state: State, counter: str, by: int = 1) -> State:
    """Raise a counter that outlives restarts: `state_restores`, `updates:NAME`, `rollbacks:REASON:NAME`,
    `failures:STAGE:NAME`. `split_counter` takes the names apart."""
    return replace(state, counters={**state.counters, counter: state.counters.get(counter, 0) + by})


def _counter(outcome: Outcome) -> str:
    if isinstance(outcome, Committed):
        return f"updates:{outcome.plan.name}"
    if isinstance(outcome, RolledBack):
        return f"rollbacks:{outcome.cause.reason}:{outcome.plan.name}"
    return f"failures:{outcome.cause.step}:{outcome.plan.name}"


def with_service(state: State, name: str, service: ServiceState) -> State:
    """The state with this memory of a service."""
    return replace(state, services={**state.services, name: service})
