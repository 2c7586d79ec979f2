"""`step_times`: what the update under way is doing, and how long each of its steps took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from updater_core.deploy.progress import STEPS_KEPT, StepTimes
from updater_core.models import Step, StepTaken

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def reached(*steps: tuple[Step, float], back: tuple[tuple[Step, float], ...] = ()) -> StepTimes:
    times = StepTimes()
    for step, seconds in steps:
        times.reached("web", step, at(seconds))
    for step, seconds in back:
        times.reached("web", step, at(seconds), is_back=True)
    return times


def test_the_step_at_hand_keeps_its_beginning_and_says_its_last_words() -> None:
    times = reached((Step.PULL, 1), (Step.GATE, 5))
    (hand,) = times.under_way
    assert (hand.step, hand.text) == (Step.GATE, "")
    times.heard("web", Step.GATE, "starting", at(7))
    times.heard("web", Step.GATE, "stable for 2 s", at(9))
    (hand,) = times.under_way
    assert (hand.service, hand.step, hand.since, hand.heard_at, hand.text) == (
        "web", Step.GATE, at(5), at(9), "stable for 2 s",
    )  # fmt: skip


def test_each_step_lasts_until_the_next_and_the_last_one_until_now() -> None:
    times = reached(
        (Step.PULL, 1), (Step.RESTART, 3.5), (Step.GATE, 4), back=((Step.EDIT, 9), (Step.GATE, 9.0004))
    )
    assert times.taken("web", at(20)) == (
        StepTaken(Step.PULL, at(1), 2.5),
        StepTaken(Step.RESTART, at(3.5), 0.5),
        StepTaken(Step.GATE, at(4), 5.0),
        StepTaken(Step.EDIT, at(9), 0.0, is_back=True),
        StepTaken(Step.GATE, at(9.0004), 11.0, is_back=True),
    )
    assert reached().taken("web", at(20)) == ()
    assert reached((Step.PULL, 5)).taken("web", at(3))[0].seconds == 0.0, "a clock that was set back"


def test_an_engine_that_comes_and_goes_does_not_make_the_list_grow() -> None:
    again = tuple((step, float(number)) for number in range(40) for step in (Step.RESTART, Step.GATE))
    taken = reached((Step.PULL, 0), back=again).taken("web", at(99))
    assert len(taken) == STEPS_KEPT
    assert taken[0].step is Step.PULL


@pytest.mark.parametrize(
    ("steps", "back", "seconds"),
    [
        ([(Step.RESTART, 3), (Step.GATE, 5), (Step.COMMIT, 15)], (), 10),
        ([(Step.RESTART, 3), (Step.GATE, 5)], (), 15),
        ([(Step.GATE, 5)], ((Step.RESTART, 7), (Step.GATE, 8), (Step.VERIFY, 18)), 2),
        ([(Step.RESTART, 3)], ((Step.GATE, 8), (Step.VERIFY, 18)), 0),
        ([], (), 0),
    ],
    ids=["until the next step", "so far", "the first of two", "only the old release's", "nothing"],
)
def test_the_gate_of_the_new_release_is_measured(
    steps: list[tuple[Step, float]], back: tuple[tuple[Step, float], ...], seconds: float
) -> None:
    assert reached(*steps, back=back).gate_seconds("web", at(20)) == seconds


def test_after_the_end_nothing_is_at_hand_and_the_next_update_begins_anew() -> None:
    times = reached((Step.GATE, 5))
    times.end("web")
    assert (times.under_way, times.taken("web", at(6))) == ((), ())
    times.reached("db", Step.GATE, at(30))
    assert times.gate_seconds("db", at(31)) == 1


def test_two_updates_at_the_same_time_have_their_own_steps() -> None:
    times = reached((Step.PULL, 1), (Step.GATE, 5))
    times.reached("db", Step.PULL, at(6))
    times.heard("db", Step.PULL, "pulling", at(7))
    assert [(each.service, each.step) for each in times.under_way] == [("web", Step.GATE), ("db", Step.PULL)]
    assert times.gate_seconds("web", at(9)) == 4
    assert [each.step for each in times.taken("db", at(9))] == [Step.PULL]
    times.end("web")
    assert [each.service for each in times.under_way] == ["db"]
