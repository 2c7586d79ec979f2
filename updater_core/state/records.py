"""What is remembered between cycles, and what a check leaves in it (an update: `state.outcomes`). Pure.

Nothing here grows with time: every list has a bound, and what left the configuration or the registry is
forgotten. The state is memory, never the baseline: what runs is read from the engine, what is wanted from the
operator's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from updater_core.models import AwareTime, Decision, Hold, Quarantined, Reason, StepTaken, Update
from updater_core.policy.operator.decisions import Decisions, Pause
from updater_core.vocabulary.dated import (
    NO_FACTS,
    NO_STEP,
    HookRun,
    ImageFacts,
    LeftRelease,
    ListComparison,
    ReleaseStep,
    Seen,
)
from updater_core.vocabulary.evidence import Evidence
from updater_core.vocabulary.reasons import ENDINGS, Ending

DIGESTS_KEPT = 10
# of an image that was asked for its build time and gave none to believe
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


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
class RetainedImage:
    """An image that is kept locally; `image_id` is what its target keeps it by."""

    reference: str
    image_id: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Generation:
    """An image that a service ran, or runs; retained locally so that `--rollback` can go there.

    `others`: the images of other repositories that ran with it; none in a record of before there was this.
    """

    reference: str
    image_id: str
    digest: str | None
    at: AwareTime
    plan_id: str
    others: tuple[RetainedImage, ...] = ()

    @property
    def images(self) -> tuple[RetainedImage, ...]:
        """Return every image of it, the service's own first."""
        return (RetainedImage(self.reference, self.image_id, self.digest), *self.others)


@dataclass(frozen=True, slots=True)
class Change:
    """One update or rollback that was tried, and how it ended."""

    plan_id: str
    at: AwareTime
    kind: str
    from_reference: str
    from_digest: str | None
    to_reference: str
    to_digest: str | None
    outcome: str  # committed | not_started | rolled_back | rollback_failed | taken_over
    reason: str
    detail: str = ""
    duration_seconds: float = 0.0
    steps: tuple[StepTaken, ...] = ()  # of the run that ended it; empty for an old change
    hooks: tuple[HookRun, ...] = ()  # as `steps`
    evidence: tuple[Evidence, ...] = ()  # of the containers that failed; empty for an old change
    release: ReleaseStep = NO_STEP  # empty for a change of before there was this


@dataclass(frozen=True, slots=True)
class OrderTaken:
    """An operator's order that was taken up, and what came of it. `service` is `all` if it was for all."""

    id: str
    kind: str  # update | approve | skip | pause | resume | retry | rollback | check
    service: str
    asked_at: AwareTime
    who: str
    done_at: AwareTime
    is_done: bool
    detail: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The memory of one service.

    `reference` and `digest`: what ran at the last check. `available`: the image that waits, `announced`: the
    one of which the last event was. `generations` are newest first, current and previous. `failures` counts
    the transient ones in a row, no update is tried before `retry_at`.
    """

    reference: str = ""
    digest: str | None = None
    facts: ImageFacts = NO_FACTS  # of the image that ran at the last check
    status: Status = Status.UNKNOWN
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    available: str | None = None
    # of the image that waits, or waited last, as its registry was asked for `waiting_facts`
    waiting_digest: str = ""
    waiting_facts: ImageFacts = NO_FACTS
    announced: str | None = None
    last_check: AwareTime | None = None
    last_success: AwareTime | None = None
    last_change: AwareTime | None = None
    quarantine: tuple[Quarantined, ...] = ()
    generations: tuple[Generation, ...] = ()
    failures: int = 0
    retry_at: AwareTime | None = None
    # when the window opens, or the pause ends, that an available image waits for
    opens_at: AwareTime | None = None
    left: LeftRelease | None = None  # by the last change, if that was a rollback that the operator asked for
    changes: tuple[Change, ...] = ()
    digest_seen: Mapping[str, AwareTime] = field(default_factory=dict)
    pushed: Mapping[str, AwareTime] = field(default_factory=dict)  # the current tag, by its registry's clock
    # those of which there was an event, and when
    incidents: Mapping[str, AwareTime] = field(default_factory=dict)
    update_group: str = ""  # what identifies it besides its name; see `observed_tags.follow_names`
    decisions: Decisions = field(default_factory=Decisions)  # of the operator
    orders: tuple[OrderTaken, ...] = ()  # newest first

    @property
    def is_frozen(self) -> bool:
        """Neither release could be proven: nothing is done until a person says `--retry`."""
        return self.status is Status.ROLLBACK_FAILED


@dataclass(frozen=True, slots=True)
class State:
    """The memory of all.

    `seen`: repository key, then tag; a repository that is there has had its first listing.

    `backoffs`: registry host, and until when it is not asked; `outages`: since when it does not answer;
    `refused_logins`: a hash of each login that was refused, and until when it is not offered again;
    `comparisons`: repository key, and whether its vendor's API knows every tag.

    `counters`: see `count`.
    """

    services: Mapping[str, ServiceState] = field(default_factory=dict)
    seen: Mapping[str, Mapping[str, Seen]] = field(default_factory=dict)
    backoffs: Mapping[str, AwareTime] = field(default_factory=dict)
    outages: Mapping[str, AwareTime] = field(default_factory=dict)
    refused_logins: Mapping[str, AwareTime] = field(default_factory=dict)
    comparisons: Mapping[str, ListComparison] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    pause: Pause | None = None  # of all services, by an order
    orders: tuple[OrderTaken, ...] = ()  # those that were for all, newest first
    retained_by: str = ""  # the updater's id that all that is retained has in its name
    saved_at: AwareTime | None = None


def service_of(state: State, name: str) -> ServiceState:
    """Return the memory of a service, an empty one if there is none."""
    return state.services.get(name, ServiceState())


# By earlier versions: of the state itself, and of a service's record.
_FORMER_NAMES = {"rests": "backoffs"}
_FORMER_NAMES_OF_SERVICES = {"unit": "update_group", "troubles": "incidents"}


def renewed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON values of a state that an earlier version has written with the names of today.

    >>> renewed({"rests": {}, "services": {"web": {"unit": "/srv/c.yml"}}})
    {'backoffs': {}, 'services': {'web': {'update_group': '/srv/c.yml'}}}
    """
    state = _renamed(record, _FORMER_NAMES)
    services = state.get("services")
    if not isinstance(services, dict):
        return state
    renamed = {
        name: _renamed(each, _FORMER_NAMES_OF_SERVICES) if isinstance(each, dict) else each
        for name, each in services.items()
    }
    return {**state, "services": renamed}


def _renamed(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the record with new names for old ones; if both stand there, the new one counts."""
    former = {old: new for old, new in names.items() if new not in record}
    return {former.get(key, key): value for key, value in record.items()}


# ---------------------------------------------------------------------------------------------------- a check

# The configuration means a service that is not there: what it says can never come true.
_WRONG = {Reason.NOT_IN_FILE, Reason.LABEL_INVALID}
_ENDS_AT_A_TIME = {Reason.WINDOW_CLOSED, Reason.PAUSED}  # at the time that the hold names
_AFTERMATH = {Reason.QUARANTINED, Reason.BACKING_OFF, Reason.BUSY}
_FAILED_LAST = {Status.ROLLED_BACK, Status.FAILED}


def is_unknown(reason: Reason) -> bool:
    """Return whether a hold for this reason means that nobody knows if there is an update."""
    return ENDINGS[reason] is Ending.BY_AN_ANSWER


def needs_operator(service: ServiceState) -> bool:
    """Return whether nothing will happen to a service until a person acts: it failed, or is held for good."""
    if service.status in (Status.FAILED, Status.ROLLBACK_FAILED):
        return service.retry_at is None
    return service.reason is not None and ENDINGS[service.reason] is Ending.BY_OPERATOR


def record_check(  # noqa: PLR0913 - what was seen, and what was decided of it, belong together
    state: State, name: str, reference: str, digest: str | None, decision: Decision, *, now: datetime
) -> State:
    """Return the state after a check of a service: what it runs, and what was decided.

    A check that could not know leaves what waits as it was, and what runs too if `reference` is empty. A
    service that is frozen, or whose failed release is all there is, keeps its status.
    """
    old = service_of(state, name)
    seen = replace(old, reference=reference, digest=digest) if reference else old
    return with_service(state, name, _decided(replace(seen, last_check=now), decision, now))


def _decided(service: ServiceState, decision: Decision, now: datetime) -> ServiceState:
    if isinstance(decision, Update):
        waiting = replace(service, last_success=now, available=decision.target.text)
        return with_status(waiting, Status.WAITING, None, decision.detail)
    if is_unknown(decision.reason):
        return with_status(service, Status.UNKNOWN, decision.reason, decision.detail, decision.remedy)
    if decision.reason in _WRONG:
        return with_status(service, Status.FAILED, decision.reason, decision.detail, decision.remedy)
    return _held(replace(service, last_success=now), decision)


def _held(service: ServiceState, hold: Hold) -> ServiceState:
    available = hold.available.text if hold.available else None
    opens_at = hold.until if hold.reason in _ENDS_AT_A_TIME else None
    service = replace(service, available=available, opens_at=opens_at)
    if hold.reason is Reason.SAME_DIGEST:
        service = replace(without_failures(service), announced=None)
        return with_status(service, Status.UP_TO_DATE, hold.reason, hold.detail, hold.remedy)
    if hold.reason in _AFTERMATH and service.status in _FAILED_LAST:
        # the service's own remedy may name a file
        return replace(service, remedy=service.remedy or hold.remedy)
    return with_status(
        service, Status.WAITING if available else Status.HELD, hold.reason, hold.detail, hold.remedy
    )


def with_status(
    service: ServiceState, status: Status, reason: Reason | None, detail: str = "", remedy: str = ""
) -> ServiceState:
    """Return the service with another status and its reason; a frozen service keeps its own."""
    if service.is_frozen:
        return service
    return replace(service, status=status, reason=reason, detail=detail, remedy=remedy)


def note_facts(state: State, name: str, facts: ImageFacts) -> State:
    """Return the state with what the image that runs says of itself."""
    return with_service(state, name, replace(service_of(state, name), facts=facts))


def note_waiting_facts(state: State, name: str, digest: str, facts: ImageFacts) -> State:
    """Return the state with what the image that waits says of itself."""
    service = service_of(state, name)
    return with_service(state, name, replace(service, waiting_digest=digest, waiting_facts=facts))


def waiting_facts_of(service: ServiceState, reference: str) -> ImageFacts:
    """Return what the image behind `repository:tag@digest` says of itself, if that is the one that waits."""
    is_it = bool(service.waiting_digest) and reference.endswith(f"@{service.waiting_digest}")
    return service.waiting_facts if is_it else NO_FACTS


def announce(state: State, name: str) -> State:
    """Return the state that remembers the event about what waits for this service, so that it comes once."""
    service = service_of(state, name)
    return with_service(state, name, replace(service, announced=service.available))


def without_failures(service: ServiceState) -> ServiceState:
    """Return the service without its failures in a row, and so without a time to wait for."""
    return replace(service, failures=0, retry_at=None)


# ---------------------------------------------------------------------------------------------------- keeping


def count(state: State, counter: str, by: int = 1) -> State:
    """Return the state with a counter raised that outlives restarts.

    Its name is `state_restores`, `updates:NAME`, `rollbacks:REASON:NAME` or `failures:STAGE:NAME`;
    `split_counter` takes the names apart.
    """
    return replace(state, counters={**state.counters, counter: state.counters.get(counter, 0) + by})


def with_service(state: State, name: str, service: ServiceState) -> State:
    """Return the state with this memory of a service."""
    return replace(state, services={**state.services, name: service})
