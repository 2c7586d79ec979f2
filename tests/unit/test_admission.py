"""Whether an update may go now: each rule, their order, and that none hides another."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from updater_core.models import (
    Hold,
    Hours,
    ImageRef,
    Mode,
    Policy,
    Reason,
    Rejected,
    ServiceConfig,
    Update,
)
from updater_core.policy import admission
from updater_core.policy.admission import Facts, admit
from updater_core.policy.operator.decisions import Approval, Decisions, Pause, Skip, question
from updater_core.policy.windows import parse_windows
from updater_core.reference import parse

DIGEST = "sha256:" + "a" * 64
UPDATE = Update(
    ImageRef("docker.io", "acme/web", "v1.3.0", DIGEST), rejected=(Rejected("v1.2.0", Reason.OLDER),)
)
SERVICE = ServiceConfig("web", parse("acme/web:v1.2.0"), ("/srv/c.yml",), ("web",))
NIGHT = Hours(parse_windows("02:00-04:00"), "UTC")
NOON, AT_THREE = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 3, tzinfo=UTC)
SOON = NOON + timedelta(minutes=5)
FREE = Facts(SERVICE, Hours(), NOON)

FAILURE: dict[str, Any] = {"failure": "no space left", "failure_remedy": "free some"}
PREVENTED: dict[str, Any] = {"is_rollback_prevented": True, **FAILURE}

HOLDING: dict[Reason, dict[str, Any]] = {
    Reason.FROZEN: {"rollback_failure": "neither runs"},
    Reason.BACKING_OFF: {"retry_at": SOON, **FAILURE},
    Reason.STOPPING: {"is_stopping": True},
    Reason.PAUSED: {"shared_hours": Hours(paused=True)},
    Reason.SKIPPED: {"decisions": Decisions(skips=(Skip(DIGEST, "acme/web:edge", NOON, "ann"),))},
    Reason.NOTIFY_ONLY: {"service": replace(SERVICE, policy=Policy(mode=Mode.NOTIFY))},
    Reason.WINDOW_CLOSED: {"shared_hours": NIGHT},
    Reason.AWAITING_APPROVAL: {"service": replace(SERVICE, policy=Policy(mode=Mode.APPROVE))},
    Reason.PULL_LIMIT: {"pull_allowed_at": SOON, "limited_by": "docker.io"},
    Reason.BUSY: {"has_unfinished_update": True},
}


def test_an_update_that_nothing_holds_goes() -> None:
    assert admit(UPDATE, FREE) is UPDATE
    assert admit(UPDATE, replace(FREE, shared_hours=NIGHT, now=AT_THREE)) is UPDATE
    assert admit(UPDATE, replace(FREE, pull_allowed_at=NOON)) is UPDATE


def test_every_rule_of_the_table_is_tried_here_in_its_order() -> None:
    one, *others = HOLDING.values()
    every = zip(admission.RULES, [one, PREVENTED, *others], strict=True)
    found = [rule(UPDATE, replace(FREE, **facts)) for rule, facts in every]
    reasons = [*HOLDING]
    assert [hold.reason if hold else None for hold in found] == [reasons[0], Reason.BACKING_OFF, *reasons[1:]]


@pytest.mark.parametrize("reason", HOLDING)
def test_a_held_update_says_why_what_waits_and_what_to_do(reason: Reason) -> None:
    held = admit(UPDATE, replace(FREE, **HOLDING[reason]))
    assert isinstance(held, Hold)
    assert (held.reason, held.available, held.rejected, held.also) == (
        reason,
        UPDATE.target,
        UPDATE.rejected,
        (),
    )
    assert held.detail
    assert held.remedy


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations(HOLDING, 2)])
def test_the_first_rule_names_the_reason_and_the_other_is_not_hidden(first: Reason, second: Reason) -> None:
    if second is Reason.AWAITING_APPROVAL and first in (Reason.NOTIFY_ONLY, Reason.SKIPPED):
        return  # a service has one mode, and a skip is an answer
    facts = {**HOLDING[first], **HOLDING[second]}
    if {first, second} == {Reason.PAUSED, Reason.WINDOW_CLOSED}:
        facts["shared_hours"] = replace(NIGHT, paused=True)
    held = admit(UPDATE, replace(FREE, **facts))
    assert isinstance(held, Hold)
    assert (held.reason, [each.reason for each in held.also]) == (first, [second])
    assert all(each.available == UPDATE.target for each in held.also)


def test_a_rollback_that_the_host_prevents_is_what_there_is_to_say_of_a_service() -> None:
    facts = replace(FREE, **{**PREVENTED, "retry_at": SOON, "has_unfinished_update": True})
    down = Hold(Reason.NOT_RUNNING, "web has no container", "start it")
    for decision, waiting in ((UPDATE, UPDATE.target), (down, None)):
        held = admit(decision, facts)
        assert isinstance(held, Hold)
        assert (held.reason, held.detail, held.available) == (Reason.BACKING_OFF, "no space left", waiting)
    assert admit(down, FREE) is down


def test_an_image_that_waits_for_another_reason_is_shown_with_every_rule_too() -> None:
    young = Hold(Reason.TOO_YOUNG, "it is young", "wait", available=UPDATE.target)
    facts = replace(FREE, shared_hours=replace(NIGHT, paused=True), pull_allowed_at=SOON)
    found = admission.with_every_hold(young, facts)
    assert (found.reason, found.detail) == (Reason.TOO_YOUNG, "it is young")
    assert [each.reason for each in found.also] == [Reason.PAUSED, Reason.WINDOW_CLOSED, Reason.PULL_LIMIT]
    assert admission.with_every_hold(found, facts) == found  # none twice
    nothing_waits = replace(young, available=None)
    assert admission.with_every_hold(nothing_waits, facts) is nothing_waits


@pytest.mark.parametrize("reason", HOLDING)
def test_what_the_operator_asks_for_waits_for_an_unfinished_update_only(reason: Reason) -> None:
    found = admit(UPDATE, replace(FREE, **HOLDING[reason]), admission.OPERATOR_RULES)
    assert isinstance(found, Hold) is (reason is Reason.BUSY)


@pytest.mark.parametrize("reason", HOLDING)
def test_an_update_that_is_asked_for_passes_time_and_mode_and_nothing_else(reason: Reason) -> None:
    found = admit(UPDATE, replace(FREE, **HOLDING[reason]), admission.UPDATE_NOW_RULES)
    passed = {Reason.BACKING_OFF, Reason.NOTIFY_ONLY, Reason.WINDOW_CLOSED, Reason.AWAITING_APPROVAL}
    assert isinstance(found, Update) is (reason in passed)


DAY = timedelta(days=1)
APPROVING = replace(FREE, service=replace(SERVICE, policy=Policy(mode=Mode.APPROVE)))
ASKED = question(UPDATE.target, (), NOON, 7 * DAY.total_seconds())
GIVEN = replace(ASKED, given_at=NOON, who="ann")


@pytest.mark.parametrize(
    ("approval", "after", "reason"),
    [
        (None, DAY, Reason.AWAITING_APPROVAL),
        (ASKED, DAY, Reason.AWAITING_APPROVAL),
        (ASKED, 7 * DAY, Reason.APPROVAL_EXPIRED),
        (GIVEN, DAY, None),
        (GIVEN, 7 * DAY - timedelta(seconds=1), None),
        (GIVEN, 7 * DAY, Reason.APPROVAL_EXPIRED),
        (replace(GIVEN, digest="sha256:" + "b" * 64), DAY, Reason.AWAITING_APPROVAL),
        (replace(GIVEN, others=("sha256:" + "c" * 64,)), DAY, Reason.AWAITING_APPROVAL),
    ],
)
def test_an_approval_is_for_exactly_these_images_and_for_a_time(
    approval: Approval | None, after: timedelta, reason: Reason | None
) -> None:
    found = admit(UPDATE, replace(APPROVING, decisions=Decisions(approval=approval), now=NOON + after))
    assert (found.reason if isinstance(found, Hold) else None) is reason


def test_a_skip_is_of_the_digest_under_any_tag_and_of_no_other() -> None:
    skipped = Decisions(skips=(Skip(DIGEST, "acme/web:v1.3.0", NOON, "ann"),))
    latest = replace(UPDATE, target=replace(UPDATE.target, tag="latest"))
    newer = replace(UPDATE, target=replace(UPDATE.target, digest="sha256:" + "b" * 64))
    found = admit(latest, replace(FREE, decisions=skipped))
    assert isinstance(found, Hold)
    assert (found.reason, "ann" in found.detail) == (Reason.SKIPPED, True)
    assert admit(newer, replace(FREE, decisions=skipped)) is newer


@pytest.mark.parametrize(
    ("own", "of_all", "until", "resumed"),
    [
        (Pause(NOON, "ann"), None, None, "--resume web"),
        (Pause(NOON, "ann", SOON), None, SOON, "--resume web"),
        (None, Pause(NOON, "bob", SOON), SOON, "--resume all"),
        (Pause(NOON, "ann", SOON), Pause(NOON, "bob", NOON + DAY), NOON + DAY, "--resume all"),
        (Pause(NOON, "ann"), Pause(NOON, "bob", NOON + DAY), None, "--resume web"),
    ],
)
def test_of_two_pauses_the_one_that_lasts_longer_is_named(
    own: Pause | None, of_all: Pause | None, until: datetime | None, resumed: str
) -> None:
    found = admit(UPDATE, replace(FREE, decisions=Decisions(pause=own), pause_of_all=of_all))
    assert isinstance(found, Hold)
    assert (found.reason, found.until, found.remedy.endswith(resumed)) == (Reason.PAUSED, until, True)
    assert admit(UPDATE, replace(FREE, decisions=Decisions(pause=Pause(NOON, "ann", NOON)))) is UPDATE


@pytest.mark.parametrize(
    ("policy", "hours", "shared", "reason", "until"),
    [
        (Policy(), Hours(), NIGHT, Reason.WINDOW_CLOSED, datetime(2026, 1, 2, 2, tzinfo=UTC)),
        (
            Policy(),
            Hours(parse_windows("13:00-14:00")),
            NIGHT,
            Reason.WINDOW_CLOSED,
            NOON + timedelta(hours=1),
        ),
        (Policy(), Hours(paused=True), Hours(), Reason.PAUSED, None),
        (Policy(), Hours(), Hours(paused=True), Reason.PAUSED, None),
        (Policy(mode=Mode.NOTIFY), Hours(), NIGHT, Reason.NOTIFY_ONLY, None),
        (Policy(mode=Mode.NOTIFY), Hours(paused=True), NIGHT, Reason.PAUSED, None),
    ],
)
def test_a_services_hours_and_mode_decide_until_when(
    policy: Policy, hours: Hours, shared: Hours, reason: Reason, until: datetime | None
) -> None:
    service = replace(SERVICE, policy=policy, hours=hours)
    held = admit(UPDATE, replace(FREE, service=service, shared_hours=shared))
    assert isinstance(held, Hold)
    assert (held.reason, held.until) == (reason, until)


# What no rule can know is said elsewhere: that nobody looked, what came of a try, what its target meets.
SAID_ELSEWHERE = {
    "app/cycle.py": {"BUSY"},  # what it is deployed with is being changed, so that it is not looked at
    "app/evaluate.py": {"STOPPING"},  # its registry was not asked any more
    "app/recorder.py": {"BACKING_OFF", "STOPPING"},  # a rollback that was tried and the host prevents
    "targets/compose/__init__.py": {"BUSY"},  # another project joined it between observation and lock
    "targets/swarm/jobs.py": {"BUSY"},  # the job runs just now
    "targets/swarm/observed.py": {
        "BUSY",
        "NOTIFY_ONLY",
    },  # it is rolled out just now; a job
}


def held_in(path: Path) -> Iterator[str]:
    """Every reason that a module makes a hold with."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        if ast.unparse(call.func) in ("Hold", "_waits"):
            given = re.findall(r"\bReason\.([A-Z_]+)", ast.unparse(call))
            yield from given


def test_only_the_table_says_that_an_update_may_not_go_now() -> None:
    core = Path(admission.__file__).parents[1]
    of_rules = {*held_in(Path(admission.__file__))}
    assert of_rules == {reason.name for reason in HOLDING} | {"APPROVAL_EXPIRED"}
    found = {str(path.relative_to(core)): of_rules & {*held_in(path)} for path in core.rglob("*.py")}
    del found["policy/admission.py"]
    assert {path: names for path, names in found.items() if names} == SAID_ELSEWHERE
