"""How many pulls Docker Hub still allows, as it says itself with every manifest.

`ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 20;w=21600` come with a manifest's HEAD, which is not
counted, and do not come if there is no limit (https://docs.docker.com/docker-hub/usage/pulls/). What counts
is each GET of a manifest, so the pull of an image with an index counts twice. A pull too many is refused with
429, which says nothing of the requests that are not counted.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

from updater_core.caching.cache import Cache
from updater_core.models import Credential

COUNTED_KIND = "manifest_get"  # of request
ONE_PULL = 2  # the index and the platform's manifest
LONGEST_WINDOW_SECONDS, REFUSED_WINDOW_SECONDS = 86400, 3600
_VALUE = re.compile(r"(\d{1,9})\s*;\s*w=(\d{1,6})")
_SAID_IN_WORDS = b"pull rate limit"  # "You have reached your (unauthenticated) pull rate limit."


def is_used_up(headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a 429 says that an account's pulls are used up, rather than that we ask too often.

    `headers` have their names in lower case.

    >>> is_used_up({"ratelimit-remaining": "0;w=21600"}, b""), is_used_up({"ratelimit-remaining": "0"}, b"")
    (True, False)
    """
    remaining = _VALUE.match(headers.get("ratelimit-remaining", ""))
    is_counted_out = remaining is not None and int(remaining[1]) == 0
    return is_counted_out or _SAID_IN_WORDS in body.lower()


@dataclass(frozen=True, slots=True)
class PullLimit:
    """What a host allows one account: so many of `limit` in `window_seconds` were left at `seen_at`."""

    limit: int
    remaining: int
    window_seconds: int
    seen_at: datetime

    def waits_until(self, now: datetime) -> datetime | None:
        """Return until when a pull has to wait at the latest; None if one can begin.

        The window's start is not known, so the end is a whole window away, unless the next check hears of
        more before.

        >>> from datetime import UTC
        >>> seen = datetime(2025, 1, 1, 12, tzinfo=UTC)
        >>> PullLimit(100, 0, 3600, seen).waits_until(seen).hour
        13
        >>> PullLimit(100, 2, 3600, seen).waits_until(seen)
        """
        return self.end if self.remaining < ONE_PULL and now < self.end else None

    def used_up_until(self, now: datetime) -> datetime | None:
        """Return until when not a single manifest can be read, at the latest; None if one can."""
        return self.end if self.remaining == 0 and now < self.end else None

    @property
    def end(self) -> datetime:
        """Return when the window is over at the latest."""
        return self.seen_at + timedelta(seconds=self.window_seconds)


class PullLimits:
    """The limits of a process, the latest of each host and account. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of a limit that is changed
        self._known: Cache[PullLimit] = Cache()

    def note(
        self, host: str, credential: Credential | None, headers: Mapping[str, str], now: datetime
    ) -> None:
        """Note what a manifest's answer to `credential` says; one that says nothing means no limit."""
        limit, remaining = (
            _VALUE.match(headers.get(f"ratelimit-{name}", "")) for name in ("limit", "remaining")
        )
        with self._lock:
            self._known.drop((host, _name(credential)))
            if limit and remaining:
                window = min(int(remaining[2]), LONGEST_WINDOW_SECONDS)
                found = PullLimit(int(limit[1]), int(remaining[1]), window, now)
                self._known.put((host, _name(credential)), found)

    def spend(self, host: str, credential: Credential | None) -> None:
        """Count a pull that begins, until the next answer of the host says what is left."""
        with self._lock:
            known = self._known.get((host, _name(credential)))
            if known is not None:
                left = max(known.remaining - ONE_PULL, 0)
                self._known.put((host, _name(credential)), replace(known, remaining=left))

    def refuse(
        self,
        host: str,
        credential: Credential | None,
        now: datetime,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Note a refused pull: none is left until the host says otherwise or its window has passed.

        The window is what `headers` say, or was known before, or an hour.
        """
        said = _VALUE.match((headers or {}).get("ratelimit-remaining", ""))
        with self._lock:
            known = self._known.get((host, _name(credential)))
            known = known or PullLimit(0, 0, REFUSED_WINDOW_SECONDS, now)
            window = min(int(said[2]), LONGEST_WINDOW_SECONDS) if said else known.window_seconds
            refused = replace(known, remaining=0, window_seconds=window, seen_at=now)
            self._known.put((host, _name(credential)), refused)

    def of(self, host: str, credential: Credential | None) -> PullLimit | None:
        """Return what a host last said to an account; None if it named no limit."""
        return self._known.get((host, _name(credential)))

    def tightest(self) -> Mapping[str, PullLimit]:
        """For each host the limit of the account that has least left."""
        found: dict[str, PullLimit] = {}
        for key, limit in self._known.items():
            host, _ = cast(tuple[str, str], key)
            known = found.get(host)
            found[host] = limit if known is None or limit.remaining < known.remaining else known
        return found


def _name(credential: Credential | None) -> str:
    return credential.username if credential else ""
