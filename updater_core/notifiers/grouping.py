"""Which events wait for others of their cycle, so that people get one message for all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from updater_core.models import Event

LONGEST_WAIT = timedelta(minutes=5)
MOST_TOGETHER = 100
_AT_ONCE = {"rollback", "failed", "approval"}  # somebody is needed, or may be


def may_wait(events: Sequence[Event], now: datetime) -> bool:
    """Return whether the events may wait for the end of the cycle.

    They may if none of them needs a person, and the first has not waited for `LONGEST_WAIT`. A clock that was
    set back lets them go.
    """
    waited = [now - event.time for event in events]
    is_short = all(timedelta(0) <= each < LONGEST_WAIT for each in waited)
    return is_short and not any(event.kind in _AT_ONCE for event in events)
