"""The steps of the updates that are under way: which one each is at, since when, and how long each took.

Reads no clock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime

from updater_core.models import CurrentStep, Step, StepTaken

STEPS_KEPT = 20  # of one update: an engine that comes and goes can make it restart and gate many times


@dataclass(slots=True)
class _Update:
    """The update of one service: its steps as they began, and the last of them with what it said."""

    current: CurrentStep
    begun: list[tuple[Step, datetime, bool]] = field(default_factory=list)


class StepTimes:
    """Hears of each step of each update. Every update has a thread of its own, and any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._updates: dict[str, _Update] = {}

    @property
    def under_way(self) -> tuple[CurrentStep, ...]:
        """Return the step of each update that is under way, the one that began first before the others."""
        with self._lock:
            return tuple(update.current for update in self._updates.values())

    def reached(self, service: str, step: Step, now: datetime, *, is_back: bool = False) -> None:
        """Note that the update of `service` begins with `step`."""
        current = CurrentStep(service, step, "", now, now)
        with self._lock:
            update = self._updates.setdefault(service, _Update(current))
            update.current = current
            update.begun.append((step, now, is_back))

    def heard(self, service: str, step: Step, text: str, now: datetime) -> None:
        """Note that the update of `service` says `text` of `step`; it may say many things at one step."""
        with self._lock:
            update = self._updates.get(service)
            since = update.begun[-1][1] if update and update.begun else now
            current = CurrentStep(service, step, text, since, now)
            self._updates.setdefault(service, _Update(current)).current = current

    def taken(self, service: str, now: datetime) -> tuple[StepTaken, ...]:
        """Return every step of a service's update so far, in order; the last one lasts until `now`.

        Only what was heard of: what a former run had begun is not in it.
        """
        with self._lock:
            update = self._updates.get(service)
            begun = list(update.begun) if update else []
        ends = [*(start for _, start, _ in begun[1:]), now]
        pairs = zip(begun, ends, strict=False)
        taken = (
            StepTaken(step, start, _seconds(start, end), is_back) for (step, start, is_back), end in pairs
        )
        return tuple(taken)[:STEPS_KEPT]

    def gate_seconds(self, service: str, now: datetime) -> float:
        """Return how long the gate of a new release has taken so far; 0 if it came to none."""
        gates = (
            each.seconds for each in self.taken(service, now) if each.step is Step.GATE and not each.is_back
        )
        return next(gates, 0.0)

    def end(self, service: str) -> None:
        """Forget the steps of a service: nothing is under way for it any more."""
        with self._lock:
            self._updates.pop(service, None)


def _seconds(begun: datetime, end: datetime) -> float:
    """Return the time between two moments in thousandths, as exact as anyone reads it; never negative.

    A clock may have been set back.
    """
    return max(round((end - begun).total_seconds(), 3), 0.0)
