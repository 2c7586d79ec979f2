"""Maintenance windows and pause: may an update happen now, and if not, when. Pure.

A window is wall-clock time: `now` is taken to the zone and its clock face is compared. So a time that
daylight saving skips never comes (a window wholly inside the gap does not open that day), and a time that is
repeated counts twice. An empty zone is the host's own; the system's local time rules answer for it, nothing
here asks what time it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from updater_core.models import Hours, Window

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_MINUTES = 24 * 60
_WINDOW = re.compile(
    r"(?:(?P<days>[A-Za-z][A-Za-z +-]*?)\s+)?(?P<start>\d{1,2}:\d\d)\s*-\s*(?P<end>\d{1,2}:\d\d)"
)
_EXAMPLE = "write one such as 02:00-04:00, or sat 23:00-02:30"
# A weekly window may fall into the gap of daylight saving once; three weeks always hold an opening.
_HORIZON_DAYS = 22


def parse_windows(text: str) -> tuple[Window, ...]:
    """Return the windows in a text, with commas between them.

    Raises ValueError with a sentence if one is malformed.

    >>> parse_windows("02:00-04:00")
    (Window(start_minute=120, end_minute=240, days=frozenset()),)
    >>> parse_windows("sat 23:00-02:30")[0].days
    frozenset({5})
    """
    if not text.strip():
        return ()
    return tuple(_window(part.strip()) for part in text.split(","))


def merge_hours(own: Hours, shared: Hours) -> Hours:
    """Return a service's hours over the global ones: its windows and zone if it has them; either's pause."""
    return Hours(own.windows or shared.windows, own.zone or shared.zone, own.paused or shared.paused)


def is_open(hours: Hours, now: datetime) -> bool:
    """Return whether updates may happen at `now`: not paused, and within a window if there are windows."""
    if hours.paused:
        return False
    return not hours.windows or _within(hours.windows, _local(now, hours.zone))


def next_open(hours: Hours, now: datetime) -> datetime | None:
    """Return the first moment from `now` on (itself included) when updates may happen; None while paused."""
    return _next(hours, now, wanted=True)


def next_close(hours: Hours, now: datetime) -> datetime | None:
    """Return the first moment from `now` on (itself included) when updates may not happen.

    None if none is in sight.
    """
    return _next(hours, now, wanted=False)


# ---------------------------------------------------------------------------------------------------- reading


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a maintenance window; {_EXAMPLE}")
    start, end = _minute(found["start"], text), _minute(found["end"], text, is_end=True)
    if start == end:
        raise ValueError(f"{text!r} starts and ends at the same time; for the whole day write 00:00-24:00")
    return Window(start, end, _days(found["days"], text) if found["days"] else frozenset())


def _minute(clock: str, text: str, *, is_end: bool = False) -> int:
    hour, minute = map(int, clock.split(":"))
    if minute > 59 or hour * 60 + minute > _DAY_MINUTES - (not is_end):
        last = "24:00" if is_end else "23:59"
        raise ValueError(
            f"{text!r} holds the time {clock!r}, which is not between 00:00 and {last}; {_EXAMPLE}"
        )
    return hour * 60 + minute


def _days(names: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in names.split("+"):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        start = _day(first, text)
        end = _day(last, text) if dash else start
        days.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(days)


def _day(name: str, text: str) -> int:
    for number, day in enumerate(_DAYS):
        if len(name) >= 3 and day.startswith(name.lower()):
            return number
    raise ValueError(f"{text!r} names the day {name!r}; write mon to sun, several as mon-fri or sat+sun")


# ----------------------------------------------------------------------------------------------- on the clock


@functools.lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(_zone(zone)) if zone else moment.astimezone()


def _within(windows: tuple[Window, ...], local: datetime) -> bool:
    minute, today = local.hour * 60 + local.minute, local.weekday()
    return any(_covers(window, minute, today) for window in windows)


def _covers(window: Window, minute: int, today: int) -> bool:
    """Half-open. The part after midnight belongs to the day on which the window started."""
    starts_today = not window.days or today in window.days
    if window.start_minute < window.end_minute:
        return starts_today and window.start_minute <= minute < window.end_minute
    started_yesterday = not window.days or (today - 1) % 7 in window.days
    return (starts_today and minute >= window.start_minute) or (
        started_yesterday and minute < window.end_minute
    )


def _next(hours: Hours, now: datetime, *, wanted: bool) -> datetime | None:
    """Return the next moment of that kind.

    Open and closed can only change at an edge, so only edges are tried.
    """
    if is_open(hours, now) is wanted:
        return now
    if hours.paused or not hours.windows:
        return None
    return next((edge for edge in _edges(hours, now) if is_open(hours, edge) is wanted), None)


def _edges(hours: Hours, now: datetime) -> Iterator[datetime]:
    """Yield every moment after `now`, in order, at which a window may open or close.

    These are its two times on each day (both moments if the clock repeats one), midnight, and the moments
    when the zone moves its clock.
    """
    minutes = {0, *(m % _DAY_MINUTES for w in hours.windows for m in (w.start_minute, w.end_minute))}
    today = _local(now, hours.zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    pending: set[datetime] = set()
    for count in range(-1, _HORIZON_DAYS):
        day = today + timedelta(days=count)
        pending |= _day_edges(day, minutes, hours.zone)
        # when the clock jumps, edges of two days may overlap: what is before this day is complete
        start = _moment(day, 0, hours.zone)
        yield from sorted(edge for edge in pending if now < edge < start)
        pending = {edge for edge in pending if edge >= start}
    yield from sorted(pending)


def _day_edges(day: datetime, minutes: set[int], zone: str) -> set[datetime]:
    edges = {_moment(day + timedelta(minutes=m), fold, zone) for m in minutes for fold in (0, 1)}
    return edges | _clock_change(day, zone)


def _clock_change(day: datetime, zone: str) -> set[datetime]:
    """Return the moment in or next to this day, if any, when the zone moves its clock."""
    middle = _moment(day + timedelta(hours=12), 0, zone)
    low, high = middle - timedelta(hours=15), middle + timedelta(hours=15)
    before = _local(low, zone).utcoffset()
    if _local(high, zone).utcoffset() == before:
        return set()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _local(middle, zone).utcoffset() == before else (low, middle)
    return {high}


def _moment(wall: datetime, fold: int, zone: str) -> datetime:
    tzinfo = _zone(zone) if zone else None
    return wall.replace(tzinfo=tzinfo, fold=fold).astimezone(UTC)
