"""What `--plan` and `--status` print, as a person reads it and as a machine does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.support.plans import compose_plan
from updater_core.models import (
    Edit,
    Follow,
    GatePolicy,
    Hold,
    Mark,
    Plan,
    Policy,
    Project,
    Quarantined,
    Reason,
    RegistrySettings,
    Rejected,
    Secret,
    ServiceConfig,
)
from updater_core.policy.operator.decisions import Decisions, Pause
from updater_core.reference import parse
from updater_core.state.codec import decode
from updater_core.state.records import ServiceState, State, Status
from updater_core.status import decided, plans
from updater_core.status import text as report
from updater_core.status.plans import PlannedService
from updater_core.targets import diff
from updater_core.targets.compose import ComposePlan
from updater_core.targets.compose import report as compose_report
from updater_core.targets.compose.plan import Move

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
OLD_DIGEST, NEW_DIGEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def service(name: str = "web", **changes: Any) -> ServiceConfig:
    return ServiceConfig(name, parse("app:1.0"), ("/srv/compose.yml",), ("web",), **changes)


BEFORE = "services:\n  db:\n    image: db:1\n  web:\n    image: app:1.0  # kept\n    restart: always\n"
MARK = Mark("service", "web", "app:1.0", "app:1.1")
EDIT = Edit("/srv/compose.yml", BEFORE, BEFORE.replace("app:1.0", "app:1.1"), (MARK,))
WEB = Move("web", "app:1.0", "app:1.1", "sha256:1", 1)
DETAIL = ComposePlan(Project("shop", "/srv", ("/srv/compose.yml",)), (WEB,), (EDIT,))
PLAN = compose_plan(
    parse(f"app:1.1@{NEW_DIGEST}"),
    "app:1.0",
    "app:1.1",
    old_digest=OLD_DIGEST,
    detail=DETAIL,
    gate=GatePolicy(timeout_seconds=180, stable_seconds=10),
    reason="1.1 is the highest of 3 matching tags",
)

HOLD = Hold(
    Reason.WINDOW_CLOSED,
    "the window is closed",
    "wait for the window",
    available=parse(f"app:1.1@{NEW_DIGEST}"),
    until=NOW,
)


def printed(plan: Plan[ComposePlan], rejected: Sequence[Rejected] = ()) -> str:
    return report.plan_text(service(), plan, rejected, compose_report.plan_lines(plan))


# ------------------------------------------------------------------------------------------------------- plan


def test_a_plan_is_printed_with_its_reason_its_gate_and_the_exact_diff() -> None:
    assert printed(PLAN).splitlines() == [
        "web",
        "  update:    app:1.0 -> app:1.1",
        f"  digest:    {OLD_DIGEST[:19]} -> {NEW_DIGEST[:19]}",
        "  because:   1.1 is the highest of 3 matching tags",
        "  restarts:  web",
        "  gate:      healthy within 180 s, stable for 10 s",
        "  --- /srv/compose.yml",
        "  +++ /srv/compose.yml",
        "  @@ -4,3 +4,3 @@",
        "     web:",
        "  -    image: app:1.0  # kept",
        "  +    image: app:1.1  # kept",
        "       restart: always",
    ]


def test_the_gate_of_a_plan_says_what_the_services_own_healthcheck_may_take() -> None:
    assert "healthy within 242 min (so long its own healthcheck" in printed(
        replace(PLAN, healthcheck_seconds=14_520)
    )
    assert "healthy within 180 s, stable" in printed(replace(PLAN, healthcheck_seconds=179))


def test_the_lines_of_a_plan_fit_a_terminal_and_keep_every_word() -> None:
    reason = "the tag names " + "a long sentence of many words " * 9
    held = replace(HOLD, detail=reason, also=(replace(HOLD, detail=reason),))
    for found in (held, replace(PLAN, reason=reason)):
        text = report.plan_text(service(), found, ())
        assert max(map(len, text.splitlines())) <= 100
        assert " ".join(reason.split()) in " ".join(text.split())


def planned(name: str, found: Plan[ComposePlan] | Hold, **more: Any) -> PlannedService:
    return PlannedService(service(name), found, **more)


UP_TO_DATE = Hold(Reason.SAME_DIGEST, "app:1.0 is up to date")
ALL = [
    planned("z", UP_TO_DATE),
    planned(
        "a", UP_TO_DATE, current=parse("app:1.0"), newer=(parse("app:1.1"), 'write "follow": "minor" for a')
    ),
    planned(
        "new", PLAN, rejected=(Rejected("rc", Reason.PRERELEASE, "an rc"),), explained=("file: unchanged",)
    ),
    planned("held", Hold(Reason.DRIFT, "edited", "run up")),
    planned("waits", HOLD),
    planned("lost", Hold(Reason.REGISTRY_ERROR, "no answer", until=NOW)),
]


def test_a_plan_shows_the_worst_first_and_ends_with_a_summary() -> None:
    assert [one.service.name for one in plans.worst_first(ALL)] == ["lost", "held", "waits", "new", "a", "z"]
    line = "8 services: 1 unknown, 1 held, 1 waiting, 1 to be updated, 2 up to date, 2 disabled"
    assert plans.summary(ALL, 2) == line
    assert plans.summary([], 0) == "no services"
    assert plans.summary([], 1) == "1 service: 1 disabled"


def test_a_plan_says_which_newer_version_nothing_follows() -> None:
    said = plans.block(ALL[1])
    assert said.endswith(
        'newer:     app:1.1 is there, and nothing follows versions; write "follow": "minor" for a'
    )
    assert "newer" not in plans.block(ALL[0])


def test_a_disabled_service_says_so_in_a_plan() -> None:
    assert plans.disabled_block("off") == "off\n  disabled:  it is neither checked nor updated"


PLAN_KEYS = {
    "name", "enabled", "current", "action", "reason", "detail", "remedy", "until", "available", "also",
    "update",
    "family", "newer", "release", "rejected",
}  # fmt: skip


def test_a_plan_for_machines_has_every_key_in_every_service() -> None:
    found = json.loads(plans.as_json(ALL, [service("off", enabled=False)]))
    assert found.keys() == {"services", "summary"}
    assert all(each.keys() == PLAN_KEYS for each in found["services"])
    assert [each["name"] for each in found["services"]] == [*(one.service.name for one in ALL), "off"]
    kinds = {"unknown": 1, "held": 1, "waiting": 1, "updates": 1, "up_to_date": 2, "disabled": 1}
    assert found["summary"] == {"services": 7, **kinds}
    _, pinned, new, held, waits, lost, off = found["services"]
    assert [each["enabled"] for each in found["services"]] == [True] * 6 + [False]
    assert (off["action"], off["reason"], off["detail"]) == ("none", None, "")
    assert (pinned["newer"], pinned["current"], pinned["action"]) == ("app:1.1", "app:1.0", "none")
    assert new["action"] == "update"
    assert new["update"] == {
        "from": "app:1.0",
        "from_digest": OLD_DIGEST,
        "to": f"app:1.1@{NEW_DIGEST}",
        "to_digest": NEW_DIGEST,
        "others": [],
        "because": "1.1 is the highest of 3 matching tags",
        "restarts": "web",
        "strategy": "recreate",
        "gate": {"timeout_seconds": 180, "stable_seconds": 10, "healthcheck_seconds": 0.0},
        "changes": ["file: unchanged"],
    }
    assert new["rejected"] == [{"tag": "rc", "reason": "prerelease", "detail": "an rc"}]
    assert (held["reason"], held["detail"], held["remedy"], held["update"]) == (
        "drift",
        "edited",
        "run up",
        None,
    )
    assert (waits["available"], waits["until"]) == (f"app:1.1@{NEW_DIGEST}", "2026-11-23T08:30:00Z")
    assert (lost["reason"], lost["until"]) == ("registry_error", "2026-11-23T08:30:00Z")


def test_a_plan_without_an_edit_says_that_the_file_stays() -> None:
    text = printed(replace(PLAN, detail=replace(DETAIL, edits=())))
    assert "file:      unchanged" in text
    assert "---" not in text


def test_a_plan_names_what_is_restarted_with_it() -> None:
    text = printed(replace(PLAN, restarts="web, worker, and with it agent"))
    assert "restarts:  web, worker, and with it agent" in text


def test_a_plan_from_an_unknown_digest_says_so() -> None:
    text = printed(replace(PLAN, old_digest=None))
    assert f"digest:    unknown -> {NEW_DIGEST[:19]}" in text


def test_a_file_with_other_line_ends_differs_only_where_it_is_edited() -> None:
    before = BEFORE.replace("\n", "\r\n")
    edit = replace(EDIT, before=before, after=before.replace("app:1.0", "app:1.1"))
    changed = [line for line in diff.lines_of(edit) if re.match(r"[-+] ", line)]
    assert changed == ["-    image: app:1.0  # kept", "+    image: app:1.1  # kept"]


def test_a_hold_says_why_what_waits_until_when_and_what_to_do() -> None:
    assert report.plan_text(service(), HOLD, ()).splitlines() == [
        "web",
        "  no update: window_closed - the window is closed",
        f"  waiting:   app:1.1@{NEW_DIGEST[:19]}",
        f"  until:     {NOW.astimezone():%Y-%m-%d %H:%M %Z}",
        "  to do:     wait for the window",
    ]


def test_every_further_rule_that_holds_a_service_is_named() -> None:
    held = replace(
        HOLD, also=(Hold(Reason.PULL_LIMIT, "no pull is left"), Hold(Reason.BUSY, "not ended yet"))
    )
    assert report.plan_text(service(), held, ()).splitlines()[-2:] == [
        "  also held: pull_limit - no pull is left",
        "  also held: busy - not ended yet",
    ]


def test_what_a_hold_does_not_know_is_left_out() -> None:
    text = report.plan_text(service(), Hold(Reason.SAME_DIGEST, "app:1.0 is up to date"), ())
    assert text.splitlines() == ["web", "  no update: same_digest - app:1.0 is up to date"]


def test_an_image_that_waits_without_a_known_digest_is_named_by_its_tag_alone() -> None:
    text = report.plan_text(service(), replace(HOLD, available=parse("app:1.1")), ())
    assert "  waiting:   app:1.1\n" in text
    assert "None" not in text


def test_every_tag_turned_down_has_its_reason() -> None:
    rejected = (
        Rejected("0.9", Reason.DOWNGRADE, "lower than the current 1.0"),
        Rejected("nightly", Reason.NOT_SEMVER),
        Rejected("latest", Reason.NOT_SEMVER),
    )
    lines = printed(PLAN, rejected).splitlines()
    assert lines[-4:] == [
        "  rejected:  2 not_semver, 1 downgrade",
        "    0.9: downgrade - lower than the current 1.0",
        "    nightly: not_semver",
        "    latest: not_semver",
    ]


def test_a_long_list_of_tags_is_summed_up() -> None:
    rejected = [Rejected(f"0.{number}", Reason.OLDER) for number in range(500)]
    lines = printed(PLAN, rejected).splitlines()
    assert "  rejected:  500 older" in lines
    assert len(lines) < 100
    shown = sum(re.match(r"    0\.\d+: older", line) is not None for line in lines)
    assert lines[-1] == f"    and {500 - shown} more"


def test_of_a_long_list_the_tags_nearest_to_the_current_one_are_shown() -> None:
    rejected = [Rejected(f"1.{number}", Reason.OLDER) for number in range(500)]
    rejected += [Rejected(f"1.{number}-slim", Reason.OTHER_VARIANT) for number in range(500)]
    rejected += [Rejected(f"word-{number}", Reason.NOT_SEMVER) for number in range(500)]
    lines = report.plan_text(service(), PLAN, rejected, (), parse("app:1.250")).splitlines()
    shown = [int(found[1]) for line in lines if (found := re.match(r"    1\.(\d+): older", line))]
    assert len(shown) == 20
    assert set(range(244, 257)) <= set(shown) <= set(range(235, 265))
    assert lines[-1] == "    and 1480 more"


@pytest.mark.parametrize(
    ("policy", "current", "expected"),
    [
        (Policy(follow=Follow.MINOR), "app:16.3-alpine",
         "#.#-alpine, each # a number; 16.3-alpine is at 16.3"),
        (Policy(semver_pattern="v*"), "app:v1.2.3-rc.1",
         "v#.#.#, each # a number; v1.2.3-rc.1 is at 1.2.3, prerelease rc.1"),
        (Policy(follow=Follow.MAJOR), "app:4.0.1.2-ls9",
         "#.#.#.#-ls#, each # a number; 4.0.1.2-ls9 is at 4.0.1.2, build 9"),
        (Policy(follow=Follow.MAJOR), "app",
         "none, latest names no version; the digest behind it is followed"),
        (Policy(semver_pattern="*"), "app:latest", "#.#.#, for latest names no version"),
        (Policy(semver_pattern="v*"), "app:16.3", "none, the selector does not mean 16.3"),
        (Policy(), "app:16.3", None),
        (Policy(tag_pattern="1*"), "app:16.3", None),
    ],
)  # fmt: skip
def test_a_plan_shows_the_family_of_the_current_tag(
    policy: Policy, current: str, expected: str | None
) -> None:
    lines = report.plan_text(service(policy=policy), PLAN, (), (), parse(current)).splitlines()
    found = [line.removeprefix("  family:    ") for line in lines if "family:" in line]
    assert found == ([expected] if expected else [])


# ----------------------------------------------------------------------------------------------------- status

WAITING = ServiceState(
    reference="app:1.0",
    digest=OLD_DIGEST,
    status=Status.WAITING,
    reason=Reason.PAUSED,
    detail="updates are paused",
    remedy="set pause_updates to false",
    available=f"app:1.1@{NEW_DIGEST}",
    last_check=NOW,
    quarantine=(Quarantined(NEW_DIGEST, "app:1.1", Reason.UNHEALTHY, NOW, "it was sick"),),
)
STATE = State(services={"web": WAITING, "gone": WAITING})


def test_status_is_an_aligned_table_with_a_line_for_each_service() -> None:
    lines = report.status_table([service("web"), service("a-service-never-met")], STATE, UTC).splitlines()
    head, never, web = lines[:3]
    columns = ["SERVICE", "STATE", "CURRENT", "AVAILABLE", "REASON", "CHECKED", "CHANGED"]
    assert re.split(r"\s{2,}", head) == columns
    assert re.split(r"\s{2,}", web) == [
        "web",
        "waiting",
        "app:1.0",
        "1.1",
        "paused",
        "11-23 08:30",
        "never",
    ]
    assert re.split(r"\s{2,}", never) == ["a-service-never-met", "unknown", "-", "-", "-", "never", "never"]
    starts = [[line.index(cell) for cell in re.split(r"\s{2,}", line)[:2]] for line in (head, web, never)]
    assert starts[0] == starts[1] == starts[2]
    assert all(line == line.rstrip() for line in lines)


def test_what_needs_a_person_stands_below_with_what_to_do() -> None:
    text = report.status_table([service("web")], STATE, UTC)
    assert "\nweb: updates are paused\n  to do: set pause_updates to false\n" in text
    assert "to do" not in report.status_table([service("another")], STATE)


def test_a_service_that_left_the_configuration_is_not_shown() -> None:
    assert "gone" not in report.status_table([service("web")], STATE)
    assert list(json.loads(report.status_json([service("web")], STATE))) == ["web"]


def test_no_services_are_a_head_and_a_summary() -> None:
    lines = report.status_table([], State()).splitlines()
    assert (len(lines), lines[-1]) == (3, "no services")
    assert json.loads(report.status_json([], State())) == {}


def test_the_worst_comes_first_the_disabled_last_and_a_line_of_summary_ends_it() -> None:
    names = {
        "b": Status.UP_TO_DATE,
        "a": Status.UP_TO_DATE,
        "z": Status.FAILED,
        "u": Status.UNKNOWN,
        "off": Status.FAILED,
    }
    state = State({name: replace(WAITING, status=status) for name, status in names.items()})
    services = [service(name, enabled=name != "off") for name in names]
    lines = report.status_table(services, state, UTC).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["z", "u", "a", "b", "off"]
    assert lines[5].split()[1] == "disabled"
    assert lines[-1] == "5 services: 1 failed, 1 unknown, 2 up to date, 1 disabled (times are UTC)"


def test_times_are_those_of_the_zone_that_is_asked_for() -> None:
    zone = timezone(timedelta(hours=1), "CET")
    text = report.status_table([service("web")], STATE, zone)
    assert "11-23 09:30" in text
    assert text.endswith("(times are CET)")


@pytest.mark.parametrize("status", [Status.WAITING, Status.ROLLBACK_FAILED])
@pytest.mark.parametrize("reason", [None, *Reason])
def test_the_table_fits_a_terminal_however_long_the_names_are(status: Status, reason: Reason | None) -> None:
    image = "registry.example.com/a/" + "b" * 90
    long = replace(
        WAITING, reference=f"{image}:1@{OLD_DIGEST}", status=status, reason=reason, remedy="x " * 90
    )
    lines = report.status_table([service("w" * 63)], State({"w" * 63: long}), UTC).splitlines()
    assert max(map(len, lines)) <= 100
    table = lines[: lines.index("")]
    assert all("11-23 08:30" in line for line in table[1:]), "what does not give way is whole"


def test_what_the_operator_decided_and_the_history_stand_before_the_summary() -> None:
    pause = Pause(NOW, "ann", NOW + timedelta(hours=2))
    known = replace(WAITING, decisions=Decisions(pause))
    state = State({"web": known})
    lines = report.status_table(
        [service("web")], state, UTC, [decided.text_of(state, ["web"], NOW, UTC), ""]
    ).splitlines()
    said = "web: paused by ann on 2026-11-23 08:30 UTC, until 2026-11-23 10:30 UTC"
    assert lines[-4:] == ["", said, "", "1 service: 1 waiting (times are UTC)"]


def test_a_pause_of_all_is_in_the_json_of_each_service() -> None:
    state = replace(STATE, pause=Pause(NOW, "ann"))
    assert json.loads(report.status_json([service("web")], state))["web"]["pause_of_all"]["who"] == "ann"
    assert json.loads(report.status_json([service("web")], STATE))["web"]["pause_of_all"] is None


def test_status_for_machines_is_the_whole_state_of_each_service() -> None:
    found = json.loads(report.status_json([service("web"), service("never")], STATE))
    assert decode(ServiceState, found["web"]) == WAITING
    assert found["web"]["enabled"] is True
    disabled = json.loads(report.status_json([service("web", enabled=False)], STATE))
    assert disabled["web"]["enabled"] is False
    assert found["web"]["status"] == "waiting"
    assert found["never"]["status"] == "unknown"


@pytest.mark.parametrize("show", [report.status_table, report.status_json])
def test_no_secret_is_in_a_status(show: Any) -> None:
    secret = service("web", registry=RegistrySettings(username="jane", password=Secret("hunter2")))
    assert "hunter2" not in show([secret], STATE)


def test_the_lines_around_an_edit_of_an_env_file_are_not_shown() -> None:
    before, after = "PASSWORD=hunter2\nTAG=1.0\nTOKEN=t0k3n\n", "PASSWORD=hunter2\nTAG=1.1\nTOKEN=t0k3n\n"
    shown = diff.lines_of(Edit("/srv/shop/.env", before, after, (Mark("variable", "TAG", "1.0", "1.1"),)))
    assert [line for line in shown if "TAG" in line] == ["-TAG=1.0", "+TAG=1.1"]
    assert not any("hunter2" in line or "t0k3n" in line for line in shown)
