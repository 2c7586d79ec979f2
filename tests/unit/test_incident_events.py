"""What is an event, and what is not: each incident once, its end once, each image that waits once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.plans import compose_plan
from updater_core import models
from updater_core.models import (
    Cause,
    Committed,
    Event,
    Hold,
    ImageRef,
    NotStarted,
    Outcome,
    Plan,
    Reason,
    RollbackFailed,
    RolledBack,
    Step,
    Update,
)
from updater_core.notifiers import events
from updater_core.notifiers.events import Moment, Transition
from updater_core.notifiers.message import message_of
from updater_core.state import outcomes, records
from updater_core.state.records import ServiceState, State, Status
from updater_core.targets import compose
from updater_core.vocabulary.dated import ReleaseStep

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
D1, D2, D3 = ("sha256:" + digit * 64 for digit in "123")


def image(digest: str = D2) -> ImageRef:
    return ImageRef("docker.io", "acme/web", "2", digest, "acme/web")


def plan(number: int = 1, new: str = D2, kind: str = "update") -> Plan[compose.ComposePlan]:
    return compose_plan(
        image(new),
        "acme/web:1",
        id=f"plan{number}",
        old_digest=D1,
        reason="2 is newer",
        new_retained="sha256:new",
        kind=kind,
    )


def cause(reason: Reason = Reason.UNHEALTHY, remedy: str = "") -> Cause:
    return Cause(Step.GATE, reason, "it is unwell", remedy)


class Incidents:
    """One service through cycles, an hour apart.

    `reported` are the events of the edges, with what was remembered.
    """

    def __init__(self) -> None:
        self.state, self.now, self.reported = State(), NOW, list[Event]()

    @property
    def service(self) -> ServiceState:
        return records.service_of(self.state, "web")

    def check(self, decision: Hold | Update, *, then: Outcome | None = None) -> Event | None:
        """One cycle; what it reported."""
        self.now += timedelta(hours=1)
        self.state = records.record_check(self.state, "web", "acme/web:1", D1, decision, now=self.now)
        if then is not None:
            self.state = outcomes.record_outcome(self.state, then, self.now, self.now + timedelta(seconds=9))
        return self.tell()

    def tell(self) -> Event | None:
        turn = events.transition_of(self.service, self.now)
        event = events.transition_event("web", self.service, turn, Moment("box", self.now))
        self.state = records.with_service(
            self.state, "web", replace(self.service, incidents=turn.open_incidents)
        )
        self.reported += [event] if event else []
        return event


UPDATE = Update(image())
WELL = Hold(Reason.SAME_DIGEST)
AWAY = Hold(Reason.REGISTRY_ERROR, "docker.io: no answer", "wait")
PULL_FAILED = NotStarted(plan(), Cause(Step.PULL, Reason.PULL_FAILED, "no space left", "free some"))


# --------------------------------------------------------------------------------------------------- outcomes


def test_an_update_goes_from_the_old_image_to_the_new_one() -> None:
    event = events.event_of(Committed(plan()), "box", NOW, NOW + timedelta(seconds=14))
    assert event == Event(
        "plan1-update", "update", "web", NOW + timedelta(seconds=14), "box", "acme/web:1", D1, image().text,
        D2,
        "update", "2 is newer", 14.0, release=ReleaseStep("1", "2", "major"),
    )  # fmt: skip


def test_a_rollback_goes_from_the_image_that_failed_to_the_one_that_runs_again() -> None:
    event = events.event_of(RolledBack(plan(), cause()), "box", NOW, NOW)
    assert event
    assert (event.kind, event.reason, event.detail) == ("rollback", "unhealthy", "it is unwell")
    assert (event.from_reference, event.from_digest) == (image().text, D2)
    assert (event.to_reference, event.to_digest) == ("acme/web:1", D1)
    assert "not tried again" in event.remedy


def test_a_rollback_to_one_that_was_not_well_either_says_so_and_what_to_see_to() -> None:
    event = events.event_of(RolledBack(replace(plan(), was_well=False), cause()), "box", NOW, NOW)
    assert event
    assert event.detail == "it is unwell; the old release was not well before either"
    assert "healthcheck" in event.remedy
    assert "--retry web" in event.remedy
    said = message_of(event).body
    assert "is back, as unwell as it was before" in said
    assert "seen well" not in said


def test_a_rollback_that_failed_asks_for_a_person() -> None:
    event = events.event_of(RollbackFailed(plan(), cause(), cause()), "box", NOW, NOW)
    assert event
    assert (event.kind, event.reason) == ("rollback", "rollback_failed")
    assert "--retry web" in event.remedy


def test_an_update_that_was_not_started_is_no_outcome_to_tell() -> None:
    assert events.event_of(PULL_FAILED, "box", NOW, NOW) is None


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    event = events.event_of(Committed(plan()), "box", NOW, NOW - timedelta(hours=1))
    assert event
    assert event.duration_seconds == 0


# -------------------------------------------------------------------------------------------------- who wants


def sample(kind: str, reason: str = "unhealthy") -> Event:
    return Event("i", kind, "web", NOW, "box", "a", None, "b", None, reason)


@pytest.mark.parametrize(
    ("event", "kinds", "wanted"),
    [
        (sample("update"), (), True),
        (sample("rollback"), ("failed",), True),
        (sample("available", "window_closed"), ("update",), False),
        (sample("available", "window_closed"), ("available",), True),
        (sample("available", "notify_only"), ("update",), True),
        (sample("failed"), ("update", "rollback", "recovered"), False),
        (sample("failed"), ("failed",), True),
        (sample("recovered"), ("failed",), False),
    ],
)
def test_updates_and_rollbacks_are_always_reported_and_the_rest_on_request(
    event: Event, kinds: tuple[str, ...], wanted: bool
) -> None:
    assert events.is_wanted(event, kinds) is wanted


# ------------------------------------------------------------------------------------------------- what waits


@pytest.mark.parametrize(
    "reason", [Reason.NOTIFY_ONLY, Reason.PAUSED, Reason.WINDOW_CLOSED, Reason.DRIFT, Reason.NOT_EDITABLE]
)
def test_an_image_that_waits_for_a_person_or_a_time_is_available(reason: Reason) -> None:
    known = ServiceState(reference="acme/web:1", digest=D1)
    event = events.available_event("web", known, Hold(reason, "so", "do", image()), Moment("box", NOW))
    assert event
    assert (event.kind, event.reason, event.remedy) == ("available", reason.value, "do")
    assert (event.from_digest, event.to_digest) == (D1, D2)
    assert event.id == f"web-available-{'2' * 32}"


@pytest.mark.parametrize(
    "hold",
    [
        Hold(Reason.SAME_DIGEST),
        Hold(Reason.NOTIFY_ONLY),
        *(
            Hold(reason, available=image())
            for reason in (Reason.BACKING_OFF, Reason.FROZEN, Reason.COMPOSE_ERROR, Reason.BUSY)
        ),
    ],
)
def test_what_another_event_tells_of_is_not_available(hold: Hold) -> None:
    assert events.available_event("web", ServiceState(), hold, Moment("box", NOW)) is None


# ------------------------------------------------------------------------------------------------------ edges


def test_a_service_that_is_well_is_no_event() -> None:
    incidents = Incidents()
    for decision in (WELL, WELL, Hold(Reason.PAUSED, available=image()), WELL):
        assert incidents.check(decision) is None


def test_a_check_that_fails_is_reported_once_and_its_end_once() -> None:
    incidents = Incidents()
    incidents.check(WELL)
    for _ in range(3):
        incidents.check(AWAY)
    for _ in range(2):
        incidents.check(WELL)
    failed, recovered = incidents.reported
    assert (failed.kind, failed.reason, failed.detail) == ("failed", "registry_error", "docker.io: no answer")
    assert (failed.remedy, failed.duration_seconds) == ("wait", None)
    assert (failed.from_reference, failed.from_digest, failed.to_reference) == ("acme/web:1", D1, "")
    assert (recovered.kind, recovered.reason) == ("recovered", "registry_error")
    assert recovered.duration_seconds == 3 * 3600
    assert recovered.to_digest == D1


def test_the_same_incident_after_its_end_is_an_event_again_under_another_id() -> None:
    incidents = Incidents()
    for decision in (WELL, AWAY, WELL, AWAY, WELL):
        incidents.check(decision)
    assert [event.kind for event in incidents.reported] == ["failed", "recovered", "failed", "recovered"]
    assert len({event.id for event in incidents.reported}) == 4


def test_another_incident_is_reported_and_two_that_take_turns_are_not_reported_again() -> None:
    incidents = Incidents()
    limited = Hold(Reason.RATE_LIMITED)
    for decision in (AWAY, limited, AWAY, limited, AWAY):
        incidents.check(decision)
    assert [event.reason for event in incidents.reported] == ["registry_error", "rate_limited"]


@pytest.mark.parametrize(
    "decision",
    [WELL, Hold(Reason.NOT_RUNNING), Hold(Reason.WINDOW_CLOSED, available=image()), Hold(Reason.PAUSED)],
)
def test_a_check_that_knows_again_ends_one_that_did_not(decision: Hold) -> None:
    incidents = Incidents()
    incidents.check(AWAY)
    event = incidents.check(decision)
    assert event
    assert event.kind == "recovered"


def test_an_update_that_cannot_be_started_is_reported_once_for_its_release() -> None:
    incidents = Incidents()
    incidents.check(UPDATE, then=PULL_FAILED)
    incidents.check(Hold(Reason.BACKING_OFF, available=image()))
    incidents.check(UPDATE, then=replace(PULL_FAILED, plan=plan(2)))
    (failed,) = incidents.reported
    assert (failed.id, failed.kind, failed.reason) == ("plan1-failed", "failed", "pull_failed")
    assert (failed.from_digest, failed.to_digest, failed.duration_seconds) == (D1, D2, 9.0)
    incidents.check(Update(image(D3)), then=replace(PULL_FAILED, plan=plan(3, D3)))
    assert [event.id for event in incidents.reported] == ["plan1-failed", "plan3-failed"]


def test_an_image_that_waits_is_no_end_of_an_update_that_failed() -> None:
    incidents = Incidents()
    incidents.check(UPDATE, then=PULL_FAILED)
    assert incidents.check(Hold(Reason.WINDOW_CLOSED, available=image())) is None
    event = incidents.check(UPDATE, then=Committed(plan(2)))
    assert event
    assert (event.kind, event.reason) == ("recovered", "pull_failed")
    assert (event.from_reference, event.from_digest) == ("acme/web:1", D1)
    assert (event.to_reference, event.to_digest) == (image().text, D2)


@pytest.mark.parametrize(
    "reason", [Reason.STOPPING, Reason.BUSY, Reason.CHANGED_ON_DISK], ids=lambda reason: str(reason)
)
def test_an_update_that_nobody_is_at_fault_for_is_no_failure(reason: Reason) -> None:
    incidents = Incidents()
    assert incidents.check(UPDATE, then=NotStarted(plan(), cause(reason))) is None


@pytest.mark.parametrize("outcome", [RolledBack(plan(), cause()), RollbackFailed(plan(), cause(), cause())])
def test_a_rollback_is_reported_by_its_own_event_and_its_end_as_recovered(outcome: Outcome) -> None:
    incidents = Incidents()
    assert incidents.check(UPDATE, then=outcome) is None
    incidents.check(Hold(Reason.QUARANTINED))
    incidents.state = outcomes.lift_quarantine(incidents.state, "web")
    assert incidents.tell() is None
    event = incidents.check(Update(image(D3)), then=Committed(plan(2, D3)))
    assert event
    assert (event.kind, event.reason) == ("recovered", "unhealthy")


def test_a_rollback_is_not_over_because_a_check_works_again() -> None:
    incidents = Incidents()
    incidents.check(UPDATE, then=RolledBack(plan(), cause()))
    for decision in (AWAY, Hold(Reason.QUARANTINED), AWAY, Hold(Reason.QUARANTINED)):
        incidents.check(decision)
    assert [event.kind for event in incidents.reported] == ["failed", "failed"]
    incidents.check(WELL)
    assert [event.kind for event in incidents.reported] == ["failed", "failed", "recovered"]


def test_an_incident_reported_but_not_yet_remembered_is_the_same_event() -> None:
    incidents = Incidents()
    incidents.check(WELL)
    incidents.now += timedelta(hours=1)
    incidents.state = records.record_check(incidents.state, "web", "acme/web:1", D1, AWAY, now=incidents.now)
    before = incidents.state
    first = incidents.tell()
    incidents.state = before
    incidents.now += timedelta(minutes=1)
    again = incidents.tell()
    assert first
    assert again
    assert first.id == again.id


def test_what_is_remembered_is_bounded() -> None:
    incidents = Incidents()
    for number in range(50):
        digest = f"sha256:{number:064d}"
        incidents.check(Update(image(digest)), then=replace(PULL_FAILED, plan=plan(number, digest)))
    assert len(incidents.reported) == 50
    assert len(incidents.service.incidents) == 20


def test_a_turn_without_anything_new_changes_nothing() -> None:
    known = {"check:registry_error": NOW}
    service = ServiceState(status=Status.UNKNOWN, reason=Reason.REGISTRY_ERROR, incidents=known)
    assert events.transition_of(service, NOW + timedelta(hours=1)) == Transition(None, {}, known)


# ----------------------------------------------------------------------------------------------------- a test


def test_there_is_a_sample_of_each_kind_and_each_says_that_it_is_one() -> None:
    samples = events.samples(Moment("box", NOW))
    assert [event.kind for event in samples] == list(models.KINDS)
    assert all(event.is_test and "test" in event.detail and event.host == "box" for event in samples)
    assert len({event.id for event in samples}) == len(samples)
