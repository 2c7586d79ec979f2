"""`state_records` and `state_utils`: what an event changes, what never grows, and that no damage is fatal."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from tests.support.plans import compose_plan
from updater_core import state_utils, targets
from updater_core.errors import StateError
from updater_core.models import (
    AwareTime,
    Cause,
    Committed,
    Config,
    Decision,
    Discover,
    Discovery,
    Event,
    Hold,
    ImageRef,
    NotStarted,
    Outcome,
    Plan,
    Quarantined,
    Reason,
    RollbackFailed,
    RolledBack,
    Settings,
    Step,
    StepTaken,
    Update,
)
from updater_core.state import observed_tags, orders, records
from updater_core.state import outcomes as state_outcomes
from updater_core.state.codec import decode, encode
from updater_core.state.outcomes import STEPS_KEPT_OF, record_outcome
from updater_core.state.records import (
    ServiceState,
    State,
    Status,
    record_check,
    service_of,
)
from updater_core.targets import compose
from updater_core.targets.compose.plan import ComposePlan
from updater_core.vocabulary.dated import ImageFacts, LeftRelease, ListComparison, Seen
from updater_core.vocabulary.image_ref import ImageChange

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
HUB = "docker.io/library/app"
D1, D2, D3, D4 = ("sha256:" + digit * 64 for digit in "1234")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def image(tag: str = "latest", digest: str | None = None) -> ImageRef:
    return ImageRef("docker.io", "library/app", tag, digest, "app")


def plan(
    number: int, old: str = D1, new: str = D2, tag: str = "latest", kind: str = "update"
) -> Plan[compose.ComposePlan]:
    return compose_plan(
        image(tag, new),
        "app:latest",
        f"app:{tag}",
        id=f"plan-{number}",
        old_retained=f"id-{old[-1]}",
        old_digest=old,
        reason="a new digest",
        new_retained=f"id-{new[-1]}",
        kind=kind,
    )


def cause(reason: Reason = Reason.UNHEALTHY) -> Cause:
    return Cause(Step.GATE, reason, "it said no", "look at it")


def after(*outcomes: Outcome, start: State | None = None) -> State:
    state = start or State()
    for minute, outcome in enumerate(outcomes):
        now = NOW + timedelta(minutes=minute)
        state = record_outcome(state, outcome, now - timedelta(seconds=7), now)
    return state


def quarantined(state: State) -> list[str]:
    return [entry.digest for entry in service_of(state, "web").quarantine]


# ----------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (Hold(Reason.SAME_DIGEST), Status.UP_TO_DATE),
        (Hold(Reason.NO_CANDIDATE), Status.HELD),
        (Hold(Reason.NOT_RUNNING), Status.HELD),
        (Hold(Reason.WINDOW_CLOSED, available=image(digest=D2)), Status.WAITING),
        (Hold(Reason.NOTIFY_ONLY, available=image(digest=D2)), Status.WAITING),
        (Hold(Reason.QUARANTINED, available=image(digest=D2)), Status.WAITING),
        (Update(image(digest=D2)), Status.WAITING),
        (Hold(Reason.REGISTRY_ERROR), Status.UNKNOWN),
        (Hold(Reason.RATE_LIMITED), Status.UNKNOWN),
        (Hold(Reason.AUTH_ERROR), Status.UNKNOWN),
        (Hold(Reason.NOT_FOUND), Status.UNKNOWN),
        (Hold(Reason.ENGINE_ERROR), Status.UNKNOWN),
    ],
)
def test_a_check_gives_the_status_of_its_decision(decision: Decision, status: Status) -> None:
    assert (
        service_of(record_check(State(), "web", "app:latest", D1, decision, now=NOW), "web").status is status
    )


def test_a_check_that_could_not_know_keeps_what_waits_and_the_last_success() -> None:
    state = record_check(State(), "web", "app:latest", D1, Update(image(digest=D2)), now=NOW)
    state = record_check(state, "web", "", None, Hold(Reason.REGISTRY_ERROR), now=NOW + timedelta(hours=1))
    service = service_of(state, "web")
    assert (service.available, service.reference, service.digest) == (image(digest=D2).text, "app:latest", D1)
    assert (service.last_success, service.last_check) == (NOW, NOW + timedelta(hours=1))


def test_what_waits_is_announced_once_until_it_is_another() -> None:
    waits = Hold(Reason.NOTIFY_ONLY, available=image(digest=D2))
    state = records.announce(record_check(State(), "web", "app", D1, waits, now=NOW), "web")
    assert (
        service_of(record_check(state, "web", "app", D1, waits, now=NOW), "web").announced
        == image(digest=D2).text
    )
    state = record_check(state, "web", "app", D1, Hold(Reason.SAME_DIGEST), now=NOW)
    assert service_of(state, "web").announced is None


@pytest.mark.parametrize(
    "outcome", [RolledBack(plan(1), cause()), NotStarted(plan(1), cause(), quarantine=True)]
)
@pytest.mark.parametrize("reason", [Reason.QUARANTINED, Reason.BACKING_OFF])
def test_a_service_whose_failed_release_is_all_there_is_keeps_saying_so(
    outcome: Outcome, reason: Reason
) -> None:
    state = after(outcome)
    before = service_of(state, "web")
    later = service_of(record_check(state, "web", "app", D1, Hold(reason), now=NOW), "web")
    assert (later.status, later.reason, later.detail) == (before.status, before.reason, "it said no")


def test_a_frozen_service_stays_frozen_whatever_a_check_finds() -> None:
    state = after(RollbackFailed(plan(1), cause(), cause(Reason.EXITED)))
    state = record_check(state, "web", "app", D1, Hold(Reason.SAME_DIGEST), now=NOW)
    assert service_of(state, "web").is_frozen
    assert not service_of(state_outcomes.lift_quarantine(state, "web"), "web").is_frozen


# --------------------------------------------------------------------------------------------------- outcomes


@pytest.mark.parametrize(
    "outcome",
    [
        Committed(plan(1)),
        RolledBack(plan(1), cause()),
        RolledBack(plan(1), cause(), quarantine=False),
        NotStarted(plan(1), cause()),
        RollbackFailed(plan(1), cause(), cause()),
    ],
    ids=["committed", "rolled back", "host at fault", "not started", "rollback failed"],
)
def test_an_outcome_is_recorded_once(outcome: Outcome) -> None:
    once = after(outcome)
    assert once != State()
    assert record_outcome(once, outcome, NOW, NOW + timedelta(hours=9)) is once


def test_a_commit_moves_the_generations_on_and_keeps_two() -> None:
    state = after(Committed(plan(1, D1, D2)), Committed(plan(2, D2, D3)), Committed(plan(3, D3, D4)))
    generations = service_of(state, "web").generations
    assert [(each.image_id, each.digest, each.plan_id) for each in generations] == [
        ("id-4", D4, "plan-3"),
        ("id-3", D3, "plan-2"),
    ]


def test_the_first_commit_knows_what_was_there_before() -> None:
    current, previous = service_of(after(Committed(plan(1))), "web").generations
    assert (current.digest, previous.digest, previous.image_id, previous.reference) == (
        D2,
        D1,
        "id-1",
        "app:latest",
    )


def moved_with(made: Plan[compose.ComposePlan], old: str, new: str) -> Plan[compose.ComposePlan]:
    """The plan with an image of another repository that goes along."""
    other = ImageChange("ml:latest", old, f"id-{old[-1]}", "ml:latest", new, f"id-{new[-1]}")
    return replace(made, others=(other,))


def test_a_generation_has_the_images_of_every_repository() -> None:
    state = after(Committed(moved_with(plan(1, D1, D2), D3, D4)))
    current, previous = service_of(state, "web").generations
    assert [(each.reference, each.image_id, each.digest) for each in current.images] == [
        ("app:latest", "id-2", D2), ("ml:latest", "id-4", D4),
    ]  # fmt: skip
    assert [(each.reference, each.image_id, each.digest) for each in previous.images] == [
        ("app:latest", "id-1", D1), ("ml:latest", "id-3", D3),
    ]  # fmt: skip
    assert decode(State, encode(state)) == state


def test_a_generation_of_before_there_were_other_images_is_read() -> None:
    record = encode(after(Committed(plan(1, D1, D2))))
    for generation in record["services"]["web"]["generations"]:
        assert not generation.pop("others")
    current, _ = service_of(decode(State, record), "web").generations
    assert [each.image_id for each in current.images] == ["id-2"]


def test_a_rollback_that_was_asked_for_knows_what_was_left_of_every_repository() -> None:
    left = service_of(
        after(Committed(moved_with(plan(1, D2, D1, kind="owner_rollback"), D4, D3))), "web"
    ).left
    assert left is not None
    assert left.others == {"docker.io/library/ml": (D4, "id-4")}


def test_what_failed_is_remembered_by_what_was_new_in_it() -> None:
    both = RolledBack(moved_with(plan(1, D1, D2), D3, D4), cause())
    only_the_other = RolledBack(moved_with(plan(1, D1, D1), D3, D4), cause())
    assert quarantined(after(both)) == [D2]
    assert quarantined(after(only_the_other)) == [D4]


def test_a_commit_forgets_failures_and_what_waited() -> None:
    state = record_check(State(), "web", "app:latest", D1, Update(image(digest=D2)), now=NOW)
    state = after(NotStarted(plan(1), cause(Reason.PULL_FAILED)), Committed(plan(2)), start=state)
    service = service_of(state, "web")
    assert (service.failures, service.retry_at, service.available, service.status) == (
        0,
        None,
        None,
        Status.UPDATED,
    )
    assert (service.digest, service.last_change) == (D2, NOW + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (RolledBack(plan(1), cause()), [D2]),
        (NotStarted(plan(1), cause(Reason.PLATFORM_MISSING), quarantine=True), [D2]),
        (RolledBack(plan(1), cause(Reason.INTERRUPTED), quarantine=False), []),
        (NotStarted(plan(1), cause(Reason.PULL_FAILED)), []),
    ],
)
def test_only_a_release_at_fault_is_quarantined(outcome: Outcome, expected: list[str]) -> None:
    state = after(outcome)
    service = service_of(state, "web")
    assert quarantined(state) == expected
    assert (service.failures, service.retry_at is None) == ((0, True) if expected else (1, False))


def test_a_quarantine_says_why_and_since_when() -> None:
    history = observed_tags.history_of(after(RolledBack(plan(1), cause())), "web", HUB)
    assert history.service == "web"
    assert history.quarantine[D2] == Quarantined(
        D2, image(digest=D2).text, Reason.UNHEALTHY, NOW, "it said no"
    )


def test_a_newer_digest_of_the_same_tag_clears_the_quarantine() -> None:
    assert quarantined(after(RolledBack(plan(1, new=D2), cause()), Committed(plan(2, new=D3)))) == []


def test_a_commit_of_another_tag_keeps_the_quarantine() -> None:
    """1.4.0 failed, then 1.3.5 is taken: 1.4.0 is still the one that just failed."""
    state = after(RolledBack(plan(1, new=D2, tag="1.4.0"), cause()), Committed(plan(2, new=D3, tag="1.3.5")))
    assert quarantined(state) == [D2]


def test_an_operators_rollback_quarantines_what_was_left_and_has_nothing_to_go_back_to() -> None:
    state = after(Committed(plan(1, D1, D2)), Committed(plan(2, D2, D1, kind="owner_rollback")))
    service = service_of(state, "web")
    assert [(entry.digest, entry.reason) for entry in service.quarantine] == [(D2, Reason.OWNER_ROLLBACK)]
    assert [each.digest for each in service.generations] == [D1]
    assert service.left is not None
    assert (service.left.known_as[0], service.left.kept_as[0]) == (D2, D1)
    assert service_of(state_outcomes.lift_quarantine(state, "web"), "web").left is None
    assert service_of(after(Committed(plan(3, D1, D3)), start=state), "web").left is None


def test_an_operators_rollback_to_a_quarantined_digest_frees_it() -> None:
    state = after(
        RolledBack(plan(1, new=D2, tag="2"), cause()), Committed(plan(2, D3, D2, kind="owner_rollback"))
    )
    assert quarantined(state) == [D3]


def test_the_pause_after_failures_doubles_from_a_minute_to_six_hours() -> None:
    state, pauses = State(), []
    for number in range(12):
        state = record_outcome(state, NotStarted(plan(number), cause(Reason.PULL_FAILED)), NOW, NOW)
        retry_at = service_of(state, "web").retry_at
        assert retry_at
        pauses.append((retry_at - NOW).total_seconds() / 60)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]


@pytest.mark.parametrize("reason", [Reason.STOPPING, Reason.BUSY, Reason.CHANGED_ON_DISK])
def test_what_is_nobodys_fault_is_no_failure(reason: Reason) -> None:
    service = service_of(after(NotStarted(plan(1), cause(reason))), "web")
    assert (service.status, service.failures, service.retry_at) == (Status.HELD, 0, None)


def test_a_pause_that_a_clock_years_ahead_has_set_is_none() -> None:
    service = service_of(after(NotStarted(plan(1), cause(Reason.PULL_FAILED))), "web")
    assert state_outcomes.is_pausing(service, NOW)
    assert not state_outcomes.is_pausing(service, NOW - timedelta(days=1500))
    assert not state_outcomes.is_pausing(service, NOW + timedelta(hours=7))


def test_a_failed_rollback_says_both_causes() -> None:
    service = service_of(after(RollbackFailed(plan(1), cause(), replace(cause(), message="gone"))), "web")
    assert service.status is Status.ROLLBACK_FAILED
    assert "it said no" in service.detail
    assert "gone" in service.detail


def test_a_retry_lifts_quarantine_freeze_and_pause() -> None:
    state = after(RolledBack(plan(1), cause()), NotStarted(plan(2, new=D3), cause(Reason.PULL_FAILED)))
    service = service_of(state_outcomes.lift_quarantine(state, "web"), "web")
    assert (service.quarantine, service.failures, service.retry_at, service.status) == (
        (),
        0,
        None,
        Status.UNKNOWN,
    )


def test_a_retry_of_a_frozen_service_thaws_it_and_a_second_one_lifts_the_quarantine() -> None:
    frozen = after(RollbackFailed(plan(1), cause(), cause(Reason.EXITED)))
    thawed = state_outcomes.lift_quarantine(frozen, "web")
    service = service_of(thawed, "web")
    assert (service.is_frozen, [entry.digest for entry in service.quarantine]) == (False, [D2])
    assert service_of(state_outcomes.lift_quarantine(thawed, "web"), "web").quarantine == ()


def test_a_release_is_not_blamed_for_a_rollback_that_failed_after_the_hosts_fault() -> None:
    state = after(RollbackFailed(plan(1), cause(Reason.ENGINE_ERROR), cause(Reason.EXITED), quarantine=False))
    assert service_of(state, "web").is_frozen
    assert service_of(state, "web").quarantine == ()


def test_a_change_tells_from_where_to_where_and_how_long() -> None:
    change = service_of(after(RolledBack(plan(1), cause())), "web").changes[0]
    assert (change.from_reference, change.from_digest, change.to_digest) == ("app:latest", D1, D2)
    assert (change.outcome, change.reason, change.duration_seconds) == ("rolled_back", "unhealthy", 7.0)


def test_the_latest_changes_keep_their_steps_and_older_ones_their_duration() -> None:
    steps = (StepTaken(Step.PULL, NOW, 3.2), StepTaken(Step.GATE, NOW, 9.0, is_back=True))
    state = State()
    for number in range(7):
        now = NOW + timedelta(minutes=number)
        state = record_outcome(state, Committed(plan(number)), now - timedelta(seconds=13), now, steps)
    changes = service_of(state, "web").changes
    assert [change.plan_id for change in changes[:2]] == ["plan-6", "plan-5"]
    assert [change.steps for change in changes] == [steps] * STEPS_KEPT_OF + [()] * 2
    assert {change.duration_seconds for change in changes} == {13.0}


def test_outcomes_are_counted_for_the_metrics() -> None:
    state = after(
        Committed(plan(1)),
        RolledBack(plan(2), cause()),
        RolledBack(plan(3), cause()),
        NotStarted(plan(4), cause()),
        RollbackFailed(plan(5), cause(), cause()),
    )
    assert state.counters == {"updates:web": 1, "rollbacks:unhealthy:web": 2, "failures:gate:web": 2}


def test_nothing_grows_with_time() -> None:
    state = State()
    for number in range(100):
        digest = f"sha256:{number:064}"
        found = plan(number, new=digest, tag=str(number))
        state = record_outcome(state, RolledBack(found, cause()), NOW, NOW)
        state = observed_tags.note_digest(state, "web", digest, NOW)
        state = observed_tags.note_tags(
            state, HUB, [str(number)], {str(number): digest}, NOW + timedelta(days=number)
        )
    service = service_of(state, "web")
    assert (len(service.changes), len(service.quarantine), len(service.digest_seen)) == (20, 100, 10)
    assert service.quarantine[0].digest == f"sha256:{99:064}"
    assert sorted(state.seen[HUB]) == [str(number) for number in range(69, 100)]


# ------------------------------------------------------------------------------------------- tags and digests


def test_the_first_listing_is_the_baseline_and_later_tags_are_newer() -> None:
    state = observed_tags.note_tags(State(), HUB, ["1", "2"], {"1": D1}, NOW)
    later = NOW + timedelta(days=1)
    seen = observed_tags.note_tags(state, HUB, ["1", "2", "3"], {"1": D1, "2": D2, "3": D3}, later).seen[HUB]
    assert seen == {
        "1": Seen(D1, NOW, baseline=True),
        "2": Seen(D2, NOW, baseline=True),
        "3": Seen(D3, later),
    }


def test_an_empty_first_listing_is_a_baseline_too() -> None:
    state = observed_tags.note_tags(State(), HUB, [], {}, NOW)
    assert not observed_tags.note_tags(state, HUB, ["1"], {}, NOW).seen[HUB]["1"].baseline


def test_a_tag_that_was_pushed_again_is_new() -> None:
    state = observed_tags.note_tags(State(), HUB, ["1"], {"1": D1}, NOW)
    later = NOW + timedelta(days=1)
    assert observed_tags.note_tags(state, HUB, ["1"], {"1": D2}, later).seen[HUB]["1"] == Seen(D2, later)


def test_a_tag_that_vanished_and_comes_back_within_a_month_is_not_new() -> None:
    state = observed_tags.note_tags(State(), HUB, ["1", "2"], {"1": D1}, NOW)
    known = state.seen[HUB]
    state = observed_tags.note_tags(state, HUB, ["2"], {}, NOW + timedelta(days=1))
    assert state.seen[HUB]["1"].gone_since == NOW + timedelta(days=1)
    assert observed_tags.note_tags(state, HUB, ["2"], {}, NOW + timedelta(days=2)) is state
    back = observed_tags.note_tags(state, HUB, ["1", "2"], {}, NOW + timedelta(days=30))
    assert back.seen[HUB] == known
    pushed = observed_tags.note_tags(state, HUB, ["1", "2"], {"1": D2}, NOW + timedelta(days=30))
    assert pushed.seen[HUB]["1"] == Seen(D2, NOW + timedelta(days=30))


def test_a_tag_that_vanished_is_forgotten_after_a_month_or_behind_a_thousand_others() -> None:
    state = observed_tags.note_tags(State(), HUB, ["1", "2"], {}, NOW)
    state = observed_tags.note_tags(state, HUB, ["2"], {}, NOW)
    later = NOW + timedelta(days=30)
    assert list(observed_tags.note_tags(state, HUB, ["2"], {}, later).seen[HUB]) == ["2"]
    many = [str(number) for number in range(2, 3000)]
    state = observed_tags.note_tags(state, HUB, many, {}, NOW + timedelta(days=1))
    state = observed_tags.note_tags(state, HUB, ["2"], {}, NOW + timedelta(days=2))
    assert len(state.seen[HUB]) == 1001
    assert "1" not in state.seen[HUB]


def test_build_times_are_kept_for_known_tags_only() -> None:
    state = observed_tags.note_tags(State(), HUB, ["1", "2"], {}, NOW)
    state = observed_tags.note_created(state, HUB, {"1": NOW, "2": None, "9": NOW})
    seen = observed_tags.history_of(state, "web", HUB).seen
    assert (seen["1"].created_at, seen["2"].created_at, "9" in seen) == (NOW, None, False)
    assert observed_tags.without_time(state, HUB) == ("2",)


def test_a_digest_keeps_its_first_time_and_the_ones_not_met_go_first() -> None:
    state = observed_tags.note_digest(State(), "web", D1, NOW)
    for number in range(20):
        later = NOW + timedelta(hours=number + 1)
        state = observed_tags.note_digest(state, "web", f"sha256:{number:064}", later)
        state = observed_tags.note_digest(state, "web", D1, later)
    assert service_of(state, "web").digest_seen[D1] == NOW
    assert f"sha256:{0:064}" not in service_of(state, "web").digest_seen


def test_a_registry_rests_until_the_latest_time_it_asked_for() -> None:
    state = observed_tags.note_backoff(State(), "docker.io", NOW + timedelta(hours=2))
    state = observed_tags.note_backoff(state, "docker.io", NOW + timedelta(hours=1))
    assert state.backoffs == {"docker.io": NOW + timedelta(hours=2)}


def test_what_left_the_configuration_is_forgotten() -> None:
    state = observed_tags.note_tags(after(Committed(plan(1))), HUB, ["1"], {}, NOW)
    state = observed_tags.note_backoff(records.count(state, "state_restores"), "docker.io", NOW)
    state = record_check(state, "db", "db:1", D1, Hold(Reason.SAME_DIGEST), now=NOW)
    kept = observed_tags.forget_unknown(state, ["db"], [], NOW)
    assert (list(kept.services), kept.seen, kept.backoffs, kept.counters) == (
        ["db"],
        {},
        {},
        {"state_restores": 1},
    )


def groups(**named: str) -> dict[str, str]:
    """What identifies the update group of each name."""
    return {name: f"/srv/{group}.yml" for name, group in named.items()}


def remembered(**named: str) -> State:
    """A state that remembers each name with its group; `reference` distinguishes the memories."""
    known = {name: ServiceState(reference=name) for name in named}
    return observed_tags.follow_names(State(known), groups(**named))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"web": "a"}, {"shop": "a"}, {"shop": "web"}),  # renamed
        ({"web": "a", "db": "b"}, {"db": "a", "web": "b"}, {"db": "web", "web": "db"}),  # swapped
        # renamed, and the name given to a new one
        ({"web": "a"}, {"shop": "a", "web": "c"}, {"shop": "web"}),
        ({"web": "a"}, {"web": "moved"}, {"web": "web"}),  # its file moved
        ({"web": "a"}, {"web": "a", "twin": "a"}, {"web": "web"}),  # one of them is switched off
        ({"web": "a", "old": "z"}, {"web": "a"}, {"web": "web", "old": "old"}),  # left to `forget_unknown`
    ],
)
def test_a_memory_follows_its_group_to_another_name(
    before: dict[str, str], now: dict[str, str], expected: dict[str, str]
) -> None:
    state = observed_tags.follow_names(remembered(**before), groups(**now))
    assert {name: each.reference for name, each in state.services.items()} == expected


def test_a_renamed_service_keeps_its_quarantine_and_its_way_back() -> None:
    state = after(Committed(plan(1)), RolledBack(plan(2, D2, D3), cause()))
    state = observed_tags.follow_names(state, groups(web="a"))  # of a version that knew no groups
    state = observed_tags.follow_names(state, groups(shop="a"))
    state = observed_tags.forget_unknown(state, ["shop"], [], NOW)
    assert list(observed_tags.history_of(state, "shop", HUB).quarantine) == [D3]
    assert len(service_of(state, "shop").generations) == 2


def test_a_state_with_the_names_of_an_earlier_version_keeps_its_memories(tmp_path: Path) -> None:
    """As 0b6c6e2 has written it."""
    path = tmp_path / "state.json"
    state = observed_tags.follow_names(
        after(Committed(plan(1)), RolledBack(plan(2, D2, D3), cause())), groups(web="a")
    )
    state_utils.save(state, path, 1, None, NOW)
    raw = json.loads(path.read_text())
    former = {"update_group": "unit", "incidents": "troubles"}
    web = {former.get(key, key): value for key, value in raw["services"]["web"].items()}
    raw["services"]["web"] = {**web, "troubles": {"check:registry_error": NOW.isoformat()}}
    path.write_text(json.dumps(raw))
    loaded = state_utils.load(path, None, NOW)
    known = replace(service_of(state, "web"), incidents={"check:registry_error": NOW})
    assert (loaded.problem, loaded.state.services) == (None, {"web": known})
    assert list(observed_tags.follow_names(loaded.state, groups(shop="a")).services) == ["shop"]


def test_a_service_that_is_known_by_its_name_alone_keeps_its_memory() -> None:
    """One that `discover` found in another life: an order for it is looked at before it is found again."""
    config = targets.with_remembered(
        Config(Settings(discover=Discovery(Discover.ALL)), ()),
        records.with_service(State(), "web", ServiceState()),
    )
    named = targets.identities(config.services)
    assert ([each.name for each in config.services], named) == (["web"], {})
    state = remembered(web="a")
    assert observed_tags.follow_names(state, named) == state


def test_an_approval_is_used_up_by_the_update_that_it_was_for_and_not_by_a_failure() -> None:
    """After a rollback the same image needs another yes."""
    waits = records.with_service(State(), "web", ServiceState(available=f"app:2@{D2}"))
    approved = orders.approved(waits, orders.OperatorOrder(orders.APPROVE, "web", NOW), NOW, 3600.0)
    for outcome, is_kept in ((Committed(plan(1)), False), (NotStarted(plan(1), cause()), True)):
        state = record_outcome(approved, outcome, NOW, NOW)
        assert (service_of(state, "web").decisions.approval is not None) is is_kept


# --------------------------------------------------------------------------------------------------- the file


def full_state() -> State:
    """A state with a value in every field."""
    state = after(Committed(plan(1)), RolledBack(plan(2, D2, D3), cause()))
    steps = (StepTaken(Step.HOLD, NOW, 0.2), StepTaken(Step.PULL, NOW, 1.0, is_back=True))
    state = record_outcome(
        state, NotStarted(plan(3, D2, D4), cause()), NOW, NOW + timedelta(minutes=2), steps
    )
    state = record_check(
        state,
        "web",
        "app:latest",
        D2,
        Hold(Reason.WINDOW_CLOSED, "d", "r", image(digest=D4), until=NOW),
        now=NOW,
    )
    state = records.note_facts(state, "web", ImageFacts("1.5.0", "https://github.com/acme/app", built_at=NOW))
    state = records.note_waiting_facts(state, "web", D4, ImageFacts("1.6.0"))
    state = records.announce(observed_tags.note_digest(state, "web", D4, NOW), "web")
    state = observed_tags.note_push(state, "web", "latest", NOW)
    state = observed_tags.follow_names(state, groups(web="a"))
    state = observed_tags.note_created(
        observed_tags.note_tags(state, HUB, ["1"], {"1": D1}, NOW), HUB, {"1": NOW}
    )
    left = LeftRelease("app:2", (D2,), "app:1", (D1,), NOW, NOW)
    reported = replace(service_of(state, "web"), incidents={"check:registry_error": NOW}, left=left)
    known = replace(
        state,
        retained_by="5f0c9a31d2e4",
        outages={"ghcr.io": NOW},
        refused_logins={"ghcr.io salt hash": NOW},
        comparisons={"quay.io/a/b": ListComparison(is_complete=True, hours=2, until=NOW)},
    )
    state = records.with_service(known, "web", reported)
    for kind in (orders.SKIP, orders.APPROVE, orders.PAUSE):
        order = orders.OperatorOrder(kind, "web", NOW, "1" * 32, "ann", seconds=60.0)
        state = orders.record(
            _decided(state, order), order, orders.OrderAnswer(is_done=True, text="done"), NOW
        )
    of_all = orders.OperatorOrder(orders.PAUSE, orders.ALL, NOW, "2" * 32, "bob")
    state = orders.record(orders.paused(state, of_all), of_all, orders.refused("no", "do this"), NOW)
    return observed_tags.note_backoff(state, "docker.io", NOW)


def _decided(state: State, order: orders.OperatorOrder) -> State:
    if order.kind == orders.PAUSE:
        return orders.paused(state, order)
    return (
        orders.skipped(state, order)
        if order.kind == orders.SKIP
        else orders.approved(state, order, NOW, 60.0)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "updater_state.json"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_full_state_has_every_field_set() -> None:
    """Guards the round trip below: a field that is not set there is not tested there."""
    state = replace(full_state(), saved_at=NOW)
    empty = ServiceState()
    unset = [
        name
        for name in ServiceState.__slots__
        if getattr(service_of(state, "web"), name) == getattr(empty, name)
    ]
    assert unset == []
    assert all(getattr(state, name) for name in State.__slots__)


def test_a_state_comes_back_as_it_was_saved(path: Path) -> None:
    state_utils.save(full_state(), path, 5, None, NOW)
    loaded = state_utils.load(path, None, NOW)
    assert loaded == state_utils.Loaded(replace(full_state(), saved_at=NOW))
    assert path.stat().st_mode & 0o777 == 0o600


def test_backups_of_a_clock_that_ran_ahead_do_not_pass_for_the_newest(path: Path) -> None:
    for number in range(3):
        state_utils.save(
            after(Committed(plan(number))), path, 3, None, NOW + timedelta(days=1500, hours=number)
        )
    state_utils.save(after(RolledBack(plan(9), cause())), path, 3, None, NOW)
    path.write_bytes(b"")
    assert quarantined(state_utils.load(path, None, NOW).state) == [D2]


def test_a_state_from_before_steps_were_kept_is_taken_as_it_is(path: Path) -> None:
    record = encode(full_state())
    for change in record["services"]["web"]["changes"]:
        del change["steps"]
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, **record}))
    loaded = state_utils.load(path, None, NOW)
    changes = service_of(full_state(), "web").changes
    assert loaded.problem is None
    assert service_of(loaded.state, "web").changes == tuple(replace(change, steps=()) for change in changes)


def test_a_first_start_has_an_empty_state_and_no_problem(path: Path) -> None:
    assert state_utils.load(path, None, NOW) == state_utils.Loaded(State())


def damaged(change: Callable[[dict[str, object]], object]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        record = json.loads(data)
        change(record)
        return json.dumps(record).encode()

    return apply


DAMAGES = {
    "truncated": lambda data: data[: len(data) // 2],
    "zeroed": lambda data: b"\0" * len(data),
    "empty": lambda data: b"",
    "no UTF-8": lambda data: b"\xff" + data,
    "another format": lambda data: b"[1, 2]",
    "too deep": lambda data: b"[" * 100_000,
    "no version": damaged(lambda record: record.pop("version")),
    "a newer version": damaged(lambda record: record.update(version=2)),
    "version zero": damaged(lambda record: record.update(version=0)),
    "a wrong type": damaged(lambda record: record.update(services=[])),
    "a wrong number": damaged(lambda record: record["services"]["web"].update(failures="many")),  # type: ignore[index]
    "a wrong time": damaged(lambda record: record.update(saved_at="yesterday")),
    "a naive time": damaged(lambda record: record.update(saved_at="2026-11-23T08:00:00")),
    "no number": damaged(
        lambda record: record["services"]["web"]["changes"][0].update(duration_seconds=float("nan"))  # type: ignore[index]
    ),
    "a wrong status": damaged(lambda record: record["services"]["web"].update(status="fine")),  # type: ignore[index]
    "a missing part": damaged(lambda record: record["services"]["web"]["quarantine"][0].pop("digest")),  # type: ignore[index]
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_state_is_replaced_by_its_newest_backup(
    path: Path, damage: Callable[[bytes], bytes]
) -> None:
    state_utils.save(State(), path, 5, None, NOW - timedelta(hours=1))
    state_utils.save(full_state(), path, 5, None, NOW)
    path.write_bytes(damage(path.read_bytes()))
    loaded = state_utils.load(path, None, NOW)
    backup = path.with_name("updater_state.json.20261123T080000000000Z.bak")
    assert f"the state {path} is damaged" in (loaded.problem or "")
    assert f"the backup {backup} is used" in (loaded.problem or "")
    assert loaded.state.services == full_state().services
    assert loaded.state.counters["state_restores"] == 1
    assert not path.exists()
    assert path.with_name("updater_state.json.corrupt-20261123T080000000000Z").exists()


def test_a_damaged_backup_is_passed_over(path: Path) -> None:
    for hours in (2, 1):
        state_utils.save(records.count(State(), "n", hours), path, 5, None, NOW - timedelta(hours=hours))
    newest = max(path.parent.glob("*.bak"))
    newest.write_bytes(b"")
    path.write_bytes(b"")
    assert state_utils.load(path, None, NOW).state.counters["n"] == 2


def test_without_a_good_backup_the_memory_starts_afresh_and_says_so(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\0\0")
    loaded = state_utils.load(path, None, NOW)
    assert loaded.state == records.count(State(), "state_restores")
    assert "afresh" in (loaded.problem or "")


def test_a_state_that_is_missing_beside_its_backups_is_restored(path: Path) -> None:
    state_utils.save(full_state(), path, 5, None, NOW)
    path.unlink()
    assert state_utils.load(path, None, NOW).state.services == full_state().services


def test_looking_only_leaves_the_damaged_file_where_it_is(path: Path) -> None:
    state_utils.save(full_state(), path, 5, None, NOW)
    path.write_bytes(b"")
    before = names(path.parent)
    assert "is used instead" in (state_utils.peek(path, None).problem or "")
    assert names(path.parent) == before


def test_at_most_three_damaged_files_are_kept(path: Path) -> None:
    path.parent.mkdir()
    for hour in range(6):
        path.write_bytes(b"")
        state_utils.load(path, None, NOW + timedelta(hours=hour))
    kept = names(path.parent)
    assert len(kept) == 3
    assert kept[0].endswith("corrupt-20261123T110000000000Z")


def test_backups_rotate_and_strangers_files_stay(path: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    (backups / "updater_state.json.mine.bak").write_bytes(b"")
    for number in range(9):
        now = NOW + timedelta(hours=number)
        assert state_utils.save(records.count(State(), "n", number), path, 3, backups, now) is None
    kept = [name for name in names(backups) if "mine" not in name]
    assert [name.split(".")[2][:11] for name in kept] == ["20261123T14", "20261123T15", "20261123T16"]
    assert (backups / "updater_state.json.mine.bak").exists()
    assert all((backups / name).stat().st_mode & 0o777 == 0o600 for name in kept)
    assert names(path.parent) == ["updater_state.json"]


def test_the_times_of_checks_alone_are_saved_and_make_no_backup(path: Path) -> None:
    state = record_check(State(), "web", "app", D1, Hold(Reason.SAME_DIGEST), now=NOW)
    state_utils.save(state, path, 5, None, NOW)
    later = NOW + timedelta(hours=1)
    state = record_check(state, "web", "app", D1, Hold(Reason.SAME_DIGEST), now=later)
    state_utils.save(state, path, 5, None, later)
    assert len(list(path.parent.glob("*.bak"))) == 1
    assert service_of(state_utils.load(path, None, NOW).state, "web").last_check == later


def test_no_backups_are_kept_if_none_are_wanted(path: Path) -> None:
    state_utils.save(State(), path, 2, None, NOW)
    state_utils.save(full_state(), path, 0, None, NOW)
    assert names(path.parent) == ["updater_state.json"]


def test_a_backup_that_cannot_be_written_is_said_and_the_state_is_saved(path: Path, tmp_path: Path) -> None:
    (tmp_path / "in the way").write_bytes(b"")
    note = state_utils.save(full_state(), path, 5, tmp_path / "in the way", NOW)
    assert "backup is not" in (note or "")
    assert state_utils.load(path, None, NOW).state.services == full_state().services


@needs_root
def test_a_full_disk_keeps_the_old_state_whole(tiny_disk: Path) -> None:
    path = tiny_disk / "updater_state.json"
    state_utils.save(full_state(), path, 0, None, NOW)
    large = observed_tags.note_tags(full_state(), HUB, map(str, range(2000)), {}, NOW)
    with pytest.raises(StateError, match="disk full") as caught:
        state_utils.save(large, path, 0, None, NOW)
    assert caught.value.remedy
    assert state_utils.load(path, None, NOW) == state_utils.Loaded(replace(full_state(), saved_at=NOW))


def test_the_state_is_kept_here_if_its_place_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    place, note = state_utils.resolve_state_path(tmp_path / "file" / "state.json")
    assert place == tmp_path / "updater_state.json"
    assert "STATE_FILE" in (note or "")
    assert state_utils.resolve_state_path(tmp_path / "new" / "state.json") == (
        tmp_path / "new" / "state.json",
        None,
    )


def test_a_state_that_may_not_be_written_is_looked_at_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there, here = tmp_path / "own" / "state.json", tmp_path / "updater_state.json"
    for path in (there, here):
        path.parent.mkdir(exist_ok=True)
        state_utils.save(full_state(), path, 0, None, NOW)
    assert state_utils.look(there, None) == (there, state_utils.Loaded(replace(full_state(), saved_at=NOW)))
    (tmp_path / "file").write_bytes(b"")  # in which no state can be written, so it is kept here
    assert state_utils.look(tmp_path / "file" / "state.json", None)[0] == here
    assert state_utils.look(tmp_path / "none" / "state.json", None) == (
        tmp_path / "none" / "state.json",
        state_utils.Loaded(State()),
    )


def test_a_state_that_cannot_be_read_is_no_empty_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state_utils.save(full_state(), tmp_path / "updater_state.json", 0, None, NOW)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError, match=f"STATE_FILE: .*{tmp_path / 'folder'} cannot be read") as caught:
        state_utils.look(tmp_path / "folder", None)  # a folder stands there: no user can read it as a file
    assert "sudo" in caught.value.remedy


def test_scalars_are_written_as_what_they_are() -> None:
    assert encode({"one": 1, "yes": True, "none": None}) == {"one": 1, "yes": True, "none": None}
    assert [type(item) for item in encode({"one": 1, "yes": True}).values()] == [int, bool]


def times_in(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """Every annotation of a time in a type and in all that it is made of."""
    if kind is datetime or datetime in get_args(kind)[:1]:
        yield kind
    elif kind not in seen:
        seen.add(kind)
        hints = get_type_hints(kind, include_extras=True) if is_dataclass(kind) else {}
        for part in (*hints.values(), *get_args(kind)):
            yield from times_in(part, seen)


@pytest.mark.parametrize("kind", [State, Plan, ComposePlan, Event], ids=lambda kind: str(kind.__name__))
def test_no_time_that_is_written_may_lack_its_zone(kind: type) -> None:
    found = list(times_in(kind, set()))
    assert all(time is AwareTime or time == AwareTime for time in found)
    assert found or kind in (Plan, ComposePlan)


def test_times_as_earlier_versions_wrote_them_are_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"version": 1, "rests": {"ghcr.io": "2026-11-23T09:00:00+01:00"}, "unknown": 1}')
    assert state_utils.load(path, None, NOW).state == State(backoffs={"ghcr.io": NOW})


def test_a_name_of_today_counts_before_one_of_an_earlier_version() -> None:
    both = {"rests": {"old": 1}, "backoffs": {"new": 2}}
    assert records.renewed(both)["backoffs"] == {"new": 2}


def test_text_that_is_no_unicode_comes_back(path: Path) -> None:
    # a path of bytes in Latin-1
    state = State(services={"web": ServiceState(detail="/opt/caf\udce9/compose.yml")})
    state_utils.save(state, path, 5, None, NOW)
    assert state_utils.load(path, None, NOW).state.services == state.services


def test_codec_round_trips_the_whole_state() -> None:
    state = replace(full_state(), saved_at=NOW)
    assert decode(State, json.loads(json.dumps(encode(state)))) == state
