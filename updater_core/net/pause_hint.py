"""How long a busy host asks to be left alone: in each form that hosts write it. Pure.

`Retry-After` (RFC 9110, 10.2.3) has seconds or a date; hosts write fractions, units, and Go's durations
(`1m2.5s`), too, Docker Hub a moment in seconds since 1970, and GHCR the words of the header into the body;
Azure counts milliseconds. If there is none of these, the headers count that say when a limit is fresh again:
`RateLimit` of the IETF's draft (`r=0;t=5`, earlier `reset=5`), `RateLimit-Reset`, and their older relatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_HEADERS = ("retry-after", "x-retry-after")
_IN_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")  # Azure's, also without its prefix
_RESETS = (
    "ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "ratelimit-resettime",
)
_IN_RATE_LIMIT = re.compile(r"\b(?:t|reset)=([0-9.]{1,20})")
_IN_BODY = re.compile(
    r"(?:retry[-_ ]?after[-_ ]?(ms|milliseconds|seconds)?|(?:try again|retry) in)\"?\s*[:=]?\s*\"?"
    r"([0-9][^\",;\n\r}]{0,40})",
    re.IGNORECASE,
)
_PART = r"([0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})\s*(ns|[^\x00-\x7f]{1,2}s|us|ms|s|m|h|[a-z]{3,12}|)"
_NEXT_PART = re.compile(_PART, re.IGNORECASE)
_SPAN = re.compile(rf"(?:{_PART}\s*){{1,4}}", re.IGNORECASE)
_LONGEST_TEXT = 64
_RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0, "sec": 1.0, "secs": 1.0,
    "second": 1.0, "seconds": 1.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0, "hour": 3600.0,
    "hours": 3600.0, "milliseconds": 1e-3, "microseconds": 1e-6,
}  # fmt: skip
_FIRST_MOMENT = 1e9  # in 2001; nobody asks for thirty years
_FIRST_MOMENT_IN_MS = 1e12


def asked_for(headers: Mapping[str, str], body: bytes, now: datetime) -> timedelta | None:
    """Return the pause that an answer asks for, None if it names none that can be read.

    It may be over already.

    `headers` have their names in lower case.

    >>> now = datetime(2025, 1, 1, tzinfo=UTC)
    >>> asked_for({"retry-after": "331.2ms"}, b"", now), asked_for({"ratelimit": '"pulls";r=0;t=7'}, b"", now)
    (datetime.timedelta(microseconds=331200), datetime.timedelta(seconds=7))
    """
    return next((found for text in _texts(headers, body) if (found := _read(text, now)) is not None), None)


def _texts(headers: Mapping[str, str], body: bytes) -> Iterator[str]:
    """Return what may say it, in the order in which it counts."""
    yield from (headers[name].strip() for name in _HEADERS if name in headers)
    yield from (f"{headers[name].strip()}ms" for name in _IN_MILLISECONDS if name in headers)
    in_body = _IN_BODY.search(body.decode("utf-8", "replace"))
    if in_body:
        unit, text = in_body[1] or "", in_body[2].strip().rstrip(".")
        is_bare = text.replace(".", "", 1).isdigit()
        yield f"{text} {unit}" if is_bare else text
    for found in _IN_RATE_LIMIT.finditer(headers.get("ratelimit", "")):
        yield found[1]
    yield from (headers[name].strip() for name in _RESETS if name in headers)


def _read(text: str, now: datetime) -> timedelta | None:
    """Return a span, a moment, or several of them with commas, of which the longest counts."""
    found = _span(text, now)
    if found is None:
        found = _until(text, now)
    if found is None and "," in text:
        several = [one for part in text.split(",") if (one := _span(part.strip(), now)) is not None]
        found = max(several, default=None)
    return found


def _span(text: str, now: datetime) -> timedelta | None:
    """Numbers with or without units: `7`, `0.5`, `250ms`, `1m2.5s`, `2 minutes`; a large one is a moment."""
    if len(text) > _LONGEST_TEXT or not _SPAN.fullmatch(text):
        return None
    try:
        found = _NEXT_PART.findall(text)
        parts = [(float(number), _UNITS[_unit(unit)]) for number, unit in found]
        seconds = sum(number * unit for number, unit in parts)
        if seconds >= _FIRST_MOMENT:
            moment = seconds / 1000 if seconds >= _FIRST_MOMENT_IN_MS else seconds
            seconds = moment - now.timestamp()
        return timedelta(seconds=seconds) if len(parts) == 1 or all(unit for _, unit in found) else None
    except (KeyError, ValueError, OverflowError):
        return None


def _unit(text: str) -> str:
    """Return a unit in ASCII.

    The µ of a header has been read as Latin-1, in which it is two characters or another one.
    """
    plain = "".join(c for c in text.lower() if c.isascii())
    return plain if plain == text.lower() or plain != "s" else "us"


def _until(text: str, now: datetime) -> timedelta | None:
    """Return a date of HTTP, or one of RFC 3339."""
    read = datetime.fromisoformat if _RFC_3339.match(text) else parsedate_to_datetime
    try:
        moment = read(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError, TypeError):
        return None
