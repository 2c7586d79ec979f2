"""How times and durations are written for people. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86400, "day"), (3600, "h"), (60, "min"))


def utc(moment: datetime, *, seconds: bool = False) -> str:
    """Return a time to the minute, or to the second.

    >>> utc(datetime(2026, 11, 23, 8, 5, 9, tzinfo=UTC))
    '2026-11-23 08:05 UTC'
    >>> utc(datetime(2026, 11, 23, 8, 5, 9, tzinfo=UTC), seconds=True)
    '2026-11-23 08:05:09 UTC'
    """
    here = moment.astimezone(UTC)
    return f"{here:%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{here:%Y-%m-%d %H:%M} UTC"


def rfc3339(moment: datetime) -> str:
    """Return a time for machines, in UTC.

    >>> rfc3339(datetime(2026, 11, 23, 8, 5, tzinfo=UTC))
    '2026-11-23T08:05:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(moment: datetime, now: datetime) -> str:
    """Return how far a time is from now: `3 min ago`, `in 2 h`, `just now`."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def span(seconds: float) -> str:
    """Return a duration in its largest unit that fits.

    >>> span(0.25), span(12.3), span(150), span(3600), span(200000)
    ('0.2 s', '12 s', '2 min', '1 h', '2 days')
    """
    for size, unit in _UNITS:
        if seconds >= size:
            return _counted(int(seconds // size), unit)
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"


def took(seconds: float) -> str:
    """Return how long something took, exact enough to compare.

    >>> took(0.04), took(3.21), took(12.3), took(59.6), took(150), took(3700), took(90061)
    ('0.0 s', '3.2 s', '12 s', '1 min 0 s', '2 min 30 s', '1 h 1 min', '1 day 1 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    smaller = {"day": (3600, "h"), "h": (60, "min"), "min": (1, "s")}
    size, unit = next((size, unit) for size, unit in _UNITS if whole >= size)
    rest_size, rest_unit = smaller[unit]
    return f"{_counted(whole // size, unit)} {whole % size // rest_size} {rest_unit}"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}s" if unit == "day" and number > 1 else f"{number} {unit}"
