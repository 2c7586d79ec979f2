"""The gate's judgement, rule by rule: one look at a time, and looks that follow each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from updater_core.deploy import health
from updater_core.deploy.health import Expectation, Failed, Proven, Track, Verdict, Waiting, judge
from updater_core.models import Container, GatePolicy, Healthcheck, Reason

POLICY = GatePolicy(timeout_seconds=60, stable_seconds=10)
WANTED = Expectation("web", 1, POLICY)
ONE_SHOT = replace(WANTED, is_one_shot=True)
PLAIN = Container(
    id="c1",
    name="shop-web-1",
    project="shop",
    service="web",
    image_id="sha256:1",
    reference="app:1",
    status="running",
    started_at="t1",
    restart_count=0,
)
CHECKED = replace(
    PLAIN, health="healthy", healthcheck=Healthcheck(interval_seconds=5, timeout_seconds=1, retries=3)
)
STARTING = replace(CHECKED, health="starting")

Look = tuple[float, Container | Sequence[Container]]


def watch(*looks: Look, wanted: Expectation = WANTED) -> list[Verdict]:
    """The verdict of each look, each a time in seconds and what was seen then; it ends with the first that
    decides.
    """
    track, verdicts = Track(begun_seconds=0.0), list[Verdict]()
    for seconds, seen in looks:
        containers = (seen,) if isinstance(seen, Container) else tuple(seen)
        track, verdict = judge(track, containers, wanted, seconds)
        verdicts.append(verdict)
        if not isinstance(verdict, Waiting):
            break
    return verdicts


def last(*looks: Look, wanted: Expectation = WANTED) -> Verdict:
    verdicts = watch(*looks, wanted=wanted)
    assert len(verdicts) == len(looks), f"decided too early: {verdicts}"
    return verdicts[-1]


def reason(verdict: Verdict) -> Reason:
    assert isinstance(verdict, Failed), verdict
    return verdict.reason


# -------------------------------------------------------------------------------- 1: as many as the plan says


@pytest.mark.parametrize(("count", "seen"), [(1, 0), (3, 2)])
def test_a_container_that_is_missing_fails_at_once(count: int, seen: int) -> None:
    containers = [replace(PLAIN, id=f"c{number}") for number in range(seen)]
    verdict = last((0, containers), wanted=replace(WANTED, count=count))
    assert reason(verdict) is Reason.NOT_RUNNING
    assert isinstance(verdict, Failed)
    assert f"{seen} of {count}" in verdict.message


def test_every_replica_counts() -> None:
    good, bad = PLAIN, replace(PLAIN, id="c2", name="shop-web-2", status="exited", exit_code=1)
    wanted = replace(WANTED, count=2)
    verdict = last((0, [good, bad]), wanted=wanted)
    assert isinstance(verdict, Failed)
    assert "shop-web-2" in verdict.message
    slow = replace(STARTING, id="c2")
    assert isinstance(last((0, [good, slow]), (50, [good, slow]), wanted=wanted), Waiting)


# -------------------------------------------------------------------------------------- 2: what fails at once


@pytest.mark.parametrize(
    ("seen", "wanted_reason", "words"),
    [
        (replace(PLAIN, status="exited", exit_code=3), Reason.EXITED, ["shop-web-1", "exited with 3"]),
        (replace(PLAIN, status="exited", exit_code=0), Reason.EXITED, ["exited with 0"]),
        (
            replace(PLAIN, status="exited", exit_code=137, oom_killed=True),
            Reason.EXITED,
            ["137", "out of memory"],
        ),
        (replace(PLAIN, status="dead", exit_code=1, error="device busy"), Reason.EXITED, ["device busy"]),
        (replace(PLAIN, status="removing"), Reason.EXITED, []),
        (replace(PLAIN, status="restarting", exit_code=7), Reason.RESTARTING, ["exited with 7"]),
        (replace(PLAIN, restart_count=1), Reason.RESTARTING, ["shop-web-1 ended and was restarted"]),
        (replace(CHECKED, health="unhealthy"), Reason.UNHEALTHY, ["unhealthy"]),
        (replace(CHECKED, health="unhealthy", health_log="no database"), Reason.UNHEALTHY, ["no database"]),
        (
            replace(PLAIN, status="created", error="port taken", exit_code=128),
            Reason.ENGINE_ERROR,
            ["port taken"],
        ),
        (
            replace(PLAIN, status="exited", error="port taken", exit_code=128),
            Reason.ENGINE_ERROR,
            ["port taken"],
        ),
        (replace(PLAIN, status="created", error="no device"), Reason.ENGINE_ERROR, ["no device"]),
        (
            replace(PLAIN, status="created", error="no such file", exit_code=127),
            Reason.UP_FAILED,
            ["no such file"],
        ),
        (
            replace(PLAIN, status="created", error="may not be run", exit_code=126),
            Reason.UP_FAILED,
            ["may not be run"],
        ),
        (replace(STARTING, status="exited", exit_code=1), Reason.EXITED, []),
    ],
)
def test_what_cannot_become_good_any_more_fails_at_the_first_look(
    seen: Container, wanted_reason: Reason, words: list[str]
) -> None:
    verdict = last((0, seen))
    assert reason(verdict) is wanted_reason
    assert isinstance(verdict, Failed)
    assert all(word in verdict.message for word in words), verdict.message


def test_a_crash_loop_is_seen_though_it_runs_at_every_look() -> None:
    again = replace(PLAIN, started_at="t2", restart_count=1, exit_code=7)
    assert reason(last((0, PLAIN), (2, again))) is Reason.RESTARTING


def test_a_death_inside_the_stability_window_fails() -> None:
    assert reason(last((0, PLAIN), (9.9, replace(PLAIN, status="exited", exit_code=1)))) is Reason.EXITED


def test_an_unhealthy_turn_inside_the_stability_window_fails() -> None:
    assert reason(last((0, CHECKED), (5, replace(CHECKED, health="unhealthy")))) is Reason.UNHEALTHY


def test_restarts_of_a_container_that_was_there_before_are_history() -> None:
    old = replace(PLAIN, restart_count=4)
    known = replace(WANTED, old_ids=frozenset({"c1"}))
    assert isinstance(last((0, old), (10, old), wanted=known), Proven)
    once_more = replace(old, restart_count=5, started_at="t2")
    assert reason(last((0, old), (5, once_more), wanted=known)) is Reason.RESTARTING
    assert reason(last((0, old))) is Reason.RESTARTING, "on a new container every restart counts"


# ------------------------------------------------------------------------------- 10: what a healed host left

LEFT = replace(WANTED, old_ids=frozenset({"c1"}), ailing_before=frozenset({"c1"}))
SICK = replace(CHECKED, health="unhealthy")
LOOPING = replace(PLAIN, status="restarting", restart_count=3, exit_code=1)


@pytest.mark.parametrize(("ailing", "well"), [(SICK, CHECKED), (LOOPING, replace(PLAIN, restart_count=3))])
def test_what_was_ailing_before_is_given_another_try(ailing: Container, well: Container) -> None:
    verdicts = watch((0, ailing), (5, ailing), (6, well), (16, well), wanted=LEFT)
    assert [type(verdict) for verdict in verdicts] == [Waiting] * 3 + [Proven]
    again = replace(ailing, restart_count=ailing.restart_count + 1)
    assert isinstance(last((0, ailing), (6, well), (8, again), wanted=LEFT), Failed), "that is new"


@pytest.mark.parametrize("ailing", [SICK, LOOPING])
def test_what_stays_ailing_fails_when_its_time_is_over(ailing: Container) -> None:
    seconds = health.deadline_seconds([ailing], LEFT.policy)
    verdict = last((0, ailing), (seconds, ailing), (seconds + 1, ailing), wanted=LEFT)
    assert reason(verdict) is reason(last((0, ailing), wanted=replace(LEFT, ailing_before=frozenset())))


def test_what_ended_before_is_no_such_thing() -> None:
    ended = replace(PLAIN, status="exited", exit_code=1)
    assert reason(last((0, ended), wanted=LEFT)) is Reason.EXITED


# ---------------------------------------------------------------------------------- 3: the healthcheck's time


def test_a_healthcheck_has_to_become_healthy_first() -> None:
    verdicts = watch((0, STARTING), (5, STARTING), (6, CHECKED), (15.9, CHECKED), (16, CHECKED))
    assert [type(verdict) for verdict in verdicts] == [Waiting] * 4 + [Proven]


@pytest.mark.parametrize(
    ("check", "seconds"),
    [
        # 3 * 6 + 5 = 23: the policy is longer
        (Healthcheck(interval_seconds=5, timeout_seconds=1, retries=3), 60),
        (Healthcheck(interval_seconds=30, timeout_seconds=30, retries=3), 210),
        (Healthcheck(interval_seconds=10, timeout_seconds=5, start_period_seconds=300, retries=2), 340),
    ],
)
def test_a_container_still_allowed_to_be_starting_is_never_failed(check: Healthcheck, seconds: float) -> None:
    slow = replace(STARTING, healthcheck=check)
    assert health.deadline_seconds([slow], POLICY) == seconds
    verdict = last((0, slow), (seconds, slow))
    assert isinstance(verdict, Waiting)
    assert "starting" in verdict.what
    late = last((0, slow), (seconds + 0.1, slow))
    assert reason(late) is Reason.GATE_TIMEOUT
    assert isinstance(late, Failed)
    assert "starting" in late.message
    assert f"{seconds:.0f} s" in late.message


def test_the_slowest_replica_sets_the_deadline() -> None:
    quick = STARTING
    slow = replace(STARTING, id="c2", healthcheck=Healthcheck())
    assert health.deadline_seconds([quick, slow], POLICY) == health.deadline_seconds([slow], POLICY) > 60


def test_a_healthcheck_that_is_switched_off_asks_for_no_time() -> None:
    assert health.deadline_seconds([replace(PLAIN, health=None, healthcheck=Healthcheck())], POLICY) == 60


def test_a_container_that_is_created_and_never_starts_runs_out_of_time() -> None:
    created = replace(PLAIN, status="created", started_at="")
    assert isinstance(last((0, created), (60, created)), Waiting)
    assert reason(last((0, created), (60.1, created))) is Reason.GATE_TIMEOUT


# -------------------------------------------------------------------------------------------- 4: and stays so


def test_without_a_healthcheck_running_is_good_and_has_to_last() -> None:
    verdicts = watch((0, PLAIN), (9.9, PLAIN), (10, PLAIN))
    assert [type(verdict) for verdict in verdicts] == [Waiting, Waiting, Proven]
    assert isinstance(verdicts[0], Waiting)
    assert "10 s more" in verdicts[0].what


def test_stability_counts_from_when_it_became_good_even_past_the_deadline() -> None:
    verdicts = watch((0, STARTING), (59, CHECKED), (68, CHECKED), (69, CHECKED))
    assert [type(verdict) for verdict in verdicts] == [Waiting, Waiting, Waiting, Proven]


def test_no_stability_asked_for_means_the_first_good_look_proves() -> None:
    at_once = replace(WANTED, policy=replace(POLICY, stable_seconds=0))
    assert isinstance(last((0, STARTING), (1, CHECKED), wanted=at_once), Proven)


# -------------------------------------------------------------------------- 5: what proves nothing either way


@pytest.mark.parametrize(
    "change",
    [
        {"started_at": "t2"},  # the engine came back, or a person restarted it
        {"id": "c9", "started_at": "t2"},  # a person recreated it
        {"id": "c9"},
    ],
)
def test_another_start_begins_the_stability_window_anew(change: dict[str, str]) -> None:
    other = replace(PLAIN, **change)  # type: ignore[arg-type]
    verdicts = watch((0, PLAIN), (9, other), (10, other), (18.9, other), (19, other))
    assert [type(verdict) for verdict in verdicts] == [Waiting] * 4 + [Proven]


def test_a_pause_by_hand_proves_nothing_and_begins_the_window_anew() -> None:
    paused = replace(PLAIN, status="paused")
    verdicts = watch((0, PLAIN), (5, paused), (12, paused), (13, PLAIN), (22.9, PLAIN), (23, PLAIN))
    assert [type(verdict) for verdict in verdicts] == [Waiting] * 5 + [Proven]


def test_a_pause_that_never_ends_runs_out_of_time() -> None:
    paused = replace(PLAIN, status="paused")
    assert reason(last((0, PLAIN), (5, paused), (60.1, paused))) is Reason.GATE_TIMEOUT


def test_health_that_wavers_begins_the_window_anew() -> None:
    verdicts = watch((0, CHECKED), (5, STARTING), (6, CHECKED), (10, CHECKED), (15.9, CHECKED), (16, CHECKED))
    assert [type(verdict) for verdict in verdicts] == [Waiting] * 5 + [Proven]


# ----------------------------------------------------------------------------------------------- 6: one-shots


def test_a_one_shot_is_proven_by_an_exit_with_0() -> None:
    done = replace(PLAIN, status="exited", exit_code=0)
    verdicts = watch((0, PLAIN), (30, PLAIN), (31, done), wanted=ONE_SHOT)
    assert [type(verdict) for verdict in verdicts] == [Waiting, Waiting, Proven]


def test_a_one_shot_that_fails_is_no_proof() -> None:
    failed = replace(PLAIN, status="exited", exit_code=2)
    assert reason(last((0, PLAIN), (1, failed), wanted=ONE_SHOT)) is Reason.EXITED


def test_what_was_taken_for_a_one_shot_and_runs_on_is_proven_when_its_time_is_over() -> None:
    assert isinstance(last((0, PLAIN), (59.9, PLAIN), wanted=ONE_SHOT), Waiting)
    assert isinstance(last((0, PLAIN), (60.1, PLAIN), wanted=ONE_SHOT), Proven)
    created = replace(PLAIN, status="created")
    assert reason(last((0, created), (60.1, created), wanted=ONE_SHOT)) is Reason.GATE_TIMEOUT


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_what_the_engine_would_restart_was_stopped_by_somebody(policy: str) -> None:
    ended = replace(PLAIN, status="exited", exit_code=0, restart_policy=policy)
    assert reason(last((0, PLAIN), (1, ended))) is Reason.NOT_RUNNING
    assert reason(last((0, PLAIN), (1, replace(ended, error="no file", exit_code=127)))) is Reason.UP_FAILED
    assert reason(last((0, PLAIN), (1, replace(ended, restart_policy="no")))) is Reason.EXITED


def test_what_did_not_run_before_may_run_or_end_with_0() -> None:
    wanted = replace(WANTED, may_end=True)
    done = replace(PLAIN, status="exited", exit_code=0)
    assert isinstance(last((0, PLAIN), (1, done), (9.9, done), wanted=wanted), Waiting)
    assert isinstance(last((0, PLAIN), (1, done), (10, done), wanted=wanted), Proven)
    assert isinstance(last((0, PLAIN), (10, PLAIN), wanted=wanted), Proven)
    assert reason(last((0, PLAIN), (1, replace(done, exit_code=1)), wanted=wanted)) is Reason.EXITED
    assert (
        reason(last((0, PLAIN), (1, replace(done, restart_policy="always")), wanted=wanted))
        is Reason.NOT_RUNNING
    )


def test_every_replica_of_a_one_shot_has_to_end() -> None:
    done = replace(PLAIN, status="exited", exit_code=0)
    wanted = replace(ONE_SHOT, count=2)
    assert isinstance(last((0, [done, replace(PLAIN, id="c2")]), wanted=wanted), Waiting)
    assert isinstance(last((0, [done, replace(done, id="c2")]), wanted=wanted), Proven)


# ---------------------------------------------------------------------------------------------- small matters


@pytest.mark.parametrize(
    ("container", "well"),
    [
        (PLAIN, True),
        (CHECKED, True),
        (STARTING, False),
        (replace(CHECKED, health="unhealthy"), False),
        (replace(PLAIN, status="restarting"), False),
        (replace(PLAIN, status="paused"), False),
        (replace(PLAIN, status="exited"), False),
    ],
)
def test_well_is_running_and_not_known_to_be_sick(container: Container, well: bool) -> None:
    assert health.is_well(container) is well


def test_a_look_is_a_value_and_changes_nothing_it_was_given() -> None:
    track = Track(begun_seconds=0.0)
    after, _ = judge(track, [PLAIN], WANTED, 0)
    assert track == Track(begun_seconds=0.0) != after
    assert judge(track, [PLAIN], WANTED, 0) == judge(track, [PLAIN], WANTED, 0)
