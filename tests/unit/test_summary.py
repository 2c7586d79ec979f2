"""The line after a cycle says what needs a look and what waits, and never "all well" beside something that
waits.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from updater_core.models import Reason
from updater_core.state.records import ServiceState, Status
from updater_core.status import summary

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)


def said(needs_look: str = "", **services: ServiceState) -> str:
    return summary.text(list(services.items()), frozenset(needs_look.split()), NOW, UTC)


def waiting(**more: object) -> ServiceState:
    return ServiceState(status=Status.WAITING, available="app:2", **more)  # type: ignore[arg-type]


def test_nothing_that_waits_is_all_well() -> None:
    updated = ServiceState(status=Status.UPDATED)
    assert (
        said(web=ServiceState(status=Status.UP_TO_DATE, reason=Reason.SAME_DIGEST), db=updated) == "all well"
    )


def test_what_waits_is_counted_with_what_it_waits_for() -> None:
    soon = waiting(reason=Reason.BACKING_OFF, retry_at=NOW + timedelta(minutes=6))
    assert said(api=soon, web=ServiceState(status=Status.UPDATED)) == "1 waits: api (tried again at 09:06)"
    night = waiting(reason=Reason.WINDOW_CLOSED, opens_at=NOW + timedelta(hours=17))
    notify = waiting(reason=Reason.NOTIFY_ONLY)
    line = "3 wait: api (tried again at 09:06), db (notify_only), web (window opens at 2026-11-29 02:00)"
    assert said(web=night, db=notify, api=soon) == line


def test_a_release_that_was_rolled_back_in_an_earlier_cycle_is_not_all_well() -> None:
    back = ServiceState(status=Status.ROLLED_BACK, reason=Reason.UNHEALTHY)
    assert said(web=back) == "1 rolled back: web (unhealthy)"


def test_what_needs_a_look_comes_first_and_once() -> None:
    failed = ServiceState(
        status=Status.FAILED, reason=Reason.PULL_FAILED, retry_at=NOW + timedelta(minutes=1)
    )
    held = ServiceState(status=Status.HELD, reason=Reason.DRIFT)
    line = "needs a look: gone, web (tried again at 09:01); 1 held: db (drift)"
    assert said("web gone", web=failed, db=held) == line


@pytest.mark.parametrize(
    "past", [timedelta(minutes=-1), timedelta(days=3)], ids=["past", "a clock that ran ahead"]
)
def test_a_time_that_does_not_count_any_more_is_not_said(past: timedelta) -> None:
    assert said(web=waiting(reason=Reason.BUSY, retry_at=NOW + past)) == "1 waits: web (busy)"


def test_a_long_list_is_cut() -> None:
    many = {f"s{number}": waiting() for number in range(8)}
    assert summary.text(list(many.items()), frozenset(), NOW, UTC) == "8 wait: s0, s1, s2, s3, s4 and 3 more"
