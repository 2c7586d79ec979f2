"""The steps of the update that is under way: which one, since when, and how long the gate took. Reads no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from updater_core.models import Step


@dataclass(frozen=True, slots=True)
class StepAtHand:
    """What is done right now: the step of a service's update since `since`, and what it said last, at `heard_at`."""

    service: str
    step: Step
    text: str
    since: datetime
    heard_at: datetime


class StepTimes:
    """Hears of each step of one update at a time. One thread tells; any other may read `at_hand`, which is replaced
    as a whole."""

    def __init__(self) -> None:
        self.at_hand: StepAtHand | None = None
        self._begun: list[tuple[Step, datetime]] = []

    def heard(self, service: str, step: Step, text: str, now: datetime) -> None:
        """The update of `service` is at `step` and says `text`; a step may say many things."""
        if not self._begun or self._begun[-1][0] is not step:
            self._begun.append((step, now))
        self.at_hand = StepAtHand(service, step, text, self._begun[-1][1], now)

    def gate_seconds(self, now: datetime) -> float:
        """How long the gate of the new release took, or has taken so far; 0 where it had its verdict at once.

        Only the first gate counts: a second one is the old release's, on the way back."""
        for number, (step, begun) in enumerate(self._begun):
            if step is Step.GATE:
                ended = self._begun[number + 1][1] if number + 1 < len(self._begun) else now
                return max((ended - begun).total_seconds(), 0.0)
        return 0.0

    def end(self) -> None:
        """Nothing is under way any more."""
        self.at_hand = None
        self._begun = []
