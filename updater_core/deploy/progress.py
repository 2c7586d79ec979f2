"""The steps of the update that is under way: which one it is at, since when, and how long each took. Reads no clock."""

from __future__ import annotations

from datetime import datetime

from updater_core.models import CurrentStep, Step, StepTaken

STEPS_KEPT = 20  # of one update: an engine that comes and goes can make it restart and gate many times


class StepTimes:
    """Hears of each step of one update at a time. One thread tells; any other may read `at_hand`, which is replaced
    as a whole."""

    def __init__(self) -> None:
        self.at_hand: CurrentStep | None = None
        self._begun: list[tuple[Step, datetime, bool]] = []

    def reached(self, service: str, step: Step, now: datetime, *, is_back: bool = False) -> None:
        """The update of `service` begins with `step`."""
        self._begun.append((step, now, is_back))
        self.at_hand = CurrentStep(service, step, "", now, now)

    def heard(self, service: str, step: Step, text: str, now: datetime) -> None:
        """The update of `service` says `text` of `step`; it may say many things at one step."""
        since = self._begun[-1][1] if self._begun else now
        self.at_hand = CurrentStep(service, step, text, since, now)

    def taken(self, now: datetime) -> tuple[StepTaken, ...]:
        """Every step so far, in the order in which they began; the last one lasts until `now`. Only what was heard
        of: what a former run had begun is not in it."""
        ends = [*(begun for _, begun, _ in self._begun[1:]), now]
        pairs = zip(self._begun, ends, strict=False)
        taken = (StepTaken(step, begun, _seconds(begun, end), is_back) for (step, begun, is_back), end in pairs)
        return tuple(taken)[:STEPS_KEPT]

    def gate_seconds(self, now: datetime) -> float:
        """How long the gate of the new release took, or has taken so far; 0 if it came to none."""
        gates = (each.seconds for each in self.taken(now) if each.step is Step.GATE and not each.is_back)
        return next(gates, 0.0)

    def end(self) -> None:
        """Nothing is under way any more."""
        self.at_hand = None
        self._begun = []


def _seconds(begun: datetime, end: datetime) -> float:
    """A clock that was set back makes no negative time; a thousandth is as exact as anyone reads it."""
    return max(round((end - begun).total_seconds(), 3), 0.0)
