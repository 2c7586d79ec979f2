"""`step_times`: what the update under way is doing, and how long its gate took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from updater_core.models import Step
from updater_core.step_times import StepTimes

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def heard(*steps: tuple[Step, float]) -> StepTimes:
    times = StepTimes()
    for step, seconds in steps:
        times.heard("web", step, f"{step} at {seconds}", at(seconds))
    return times


def test_the_step_at_hand_keeps_its_beginning_and_says_its_last_words() -> None:
    hand = heard((Step.PULL, 1), (Step.GATE, 5), (Step.GATE, 9)).at_hand
    assert hand is not None
    assert (hand.service, hand.step, hand.since, hand.heard_at, hand.text) == (
        "web", Step.GATE, at(5), at(9), "gate at 9",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        ([(Step.RESTART, 3), (Step.GATE, 5), (Step.GATE, 9), (Step.COMMIT, 15)], 10),
        ([(Step.RESTART, 3), (Step.GATE, 5)], 15),
        ([(Step.GATE, 5), (Step.RESTART, 7), (Step.GATE, 8), (Step.COMMIT, 18)], 2),
        ([(Step.RESTART, 3), (Step.COMMIT, 4)], 0),
        ([], 0),
    ],
    ids=["until the next step", "so far", "the first of two", "a verdict at once", "nothing"],
)
def test_the_gate_is_measured_once(steps: list[tuple[Step, float]], seconds: float) -> None:
    assert heard(*steps).gate_seconds(at(20)) == seconds


def test_after_the_end_nothing_is_at_hand_and_the_next_update_begins_anew() -> None:
    times = heard((Step.GATE, 5))
    times.end()
    assert times.at_hand is None
    times.heard("db", Step.GATE, "again", at(30))
    assert times.gate_seconds(at(31)) == 1
