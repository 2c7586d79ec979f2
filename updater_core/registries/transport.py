"""What a registry's host is asked, and when: backoff, retries, at most eight exchanges at a time, redirects.

Backoff is per host and shared by all. A 429 whose hint is a few seconds at most is waited out, and from then
on the host is asked one question after the other until the cycle ends; one with a longer hint, or without
any, stops every question to that host. Two do not: one to a question that is optional, and one that says that
an account's pulls are used up, for most questions are no pulls. A host that does not answer is not asked for
the remainder of the cycle; in the next ones a single question goes ahead of the others until one is answered.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urljoin, urlsplit

from updater_core import protocols
from updater_core.caching.single_flight import SingleFlight
from updater_core.errors import RateLimited, RegistryError
from updater_core.net import pause_hint, untrusted_json
from updater_core.net.failures import REDIRECT_REMEDY
from updater_core.net.http import (
    ERROR_BYTES,
    MOST_AT_ONCE,
    REDIRECTS,
    USUAL_LIMITS,
    Answer,
    Broken,
    Connections,
    Limits,
    Request,
)
from updater_core.net.url_rules import redirect_problem, same_origin
from updater_core.registries.pull_limits import COUNTED_KIND, is_used_up

__all__ = ["ERROR_BYTES", "Answer", "Limits", "OnRequest", "Request", "Transport"]

TRIES, FIRST_PAUSE_SECONDS, RETRY_BUDGET_SECONDS = 3, 0.2, 45.0
MOST_REDIRECTS = 10
FAILURES_UNTIL_DOWN = 3
FIRST_BACKOFF, LONGEST_GUESSED_BACKOFF = timedelta(seconds=60), timedelta(hours=1)
SHORTEST_BACKOFF, LONGEST_BACKOFF = (
    timedelta(seconds=1),
    timedelta(hours=6),
)  # Docker Hub counts in windows of six hours

LONGEST_WAITED = timedelta(seconds=10)  # a hint up to this is waited out within the cycle
# GHCR says it in the body, which the answer to a HEAD does not have
GUESSED_PAUSE = timedelta(seconds=1)
WAITS_OF_A_QUESTION, WAITS_OF_AN_OPTIONAL_QUESTION, FIRST_WAIT_SECONDS = 6, 2, 0.2
_STOPPED = "the registry asked for a pause, and the updater is stopping"

OnRequest = Callable[[str, str, str], None]


@dataclass(slots=True)
class _Host:
    """What we know of one host."""

    slots: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(MOST_AT_ONCE)
    )
    retry_at: datetime | None = None
    backoffs_in_a_row: int = 0
    failures_in_a_row: int = 0
    down: str = ""  # why nothing more is asked in this cycle
    out_since: datetime | None = None  # when it was first down, until it answers again
    is_asked: bool = False  # in this cycle
    is_one_by_one: bool = False  # until the cycle ends: it has asked for a short pause
    is_for_necessary: bool = False  # until the cycle ends: optional questions were answered by pauses alone
    pause_until: datetime | None = None
    # then one question after the other, each its own
    queue: threading.Lock = field(default_factory=threading.Lock)

    def is_out(self) -> bool:
        """Return whether it did not answer when it was last asked."""
        return self.out_since is not None


class _Busy(Exception):
    """The host asks for a pause that is short enough to be waited out."""


class Transport:
    """Sends requests. One per process; safe to use from many threads."""

    def __init__(
        self,
        clock: protocols.Clock,
        on_request: OnRequest,
        backoffs: Mapping[str, datetime],
        limits: Limits = USUAL_LIMITS,
        outages: Mapping[str, datetime] | None = None,
    ) -> None:
        self._clock = clock
        self._on_request = on_request
        self._lock = threading.Lock()
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)
        self._connections = Connections(limits)
        self._ahead = SingleFlight()  # of a host that is out
        for host, until in backoffs.items():
            self._hosts[host].retry_at = min(until, clock.now() + LONGEST_BACKOFF)
        for host, since in (outages or {}).items():
            self._hosts[host].out_since = min(since, clock.now())

    def backoffs(self) -> Mapping[str, datetime]:
        """Return the hosts that asked for a pause which is not over yet, and until when."""
        now = self._clock.now()
        with self._lock:
            known = {name: host.retry_at for name, host in self._hosts.items()}
        return {name: until for name, until in known.items() if until and until > now}

    def outages(self) -> Mapping[str, datetime]:
        """Return the hosts that did not answer in this cycle, and since when.

        One that nobody asks any more is not among them: it may be well.
        """
        with self._lock:
            known = {name: host.out_since for name, host in self._hosts.items() if host.is_asked}
        return {name: since for name, since in known.items() if since}

    def new_cycle(self) -> None:
        """Give hosts that did not answer in the last cycle another chance."""
        with self._lock:
            for host in self._hosts.values():
                host.failures_in_a_row, host.down = 0, ""
                host.is_asked = host.is_one_by_one = host.is_for_necessary = False

    def send(self, request: Request) -> Answer:
        """Ask, and retry.

        Every status is an answer but those of a busy or broken host (429, 408, 499, 5xx), which are raised as
        RateLimited or, after some tries, as RegistryError. To a GET of a manifest, a 429 is an
        answer if it says that pulls are used up (`pull_limits.is_used_up`).
        """
        host = self._host(request.host)
        host.is_asked = True
        with host.slots:
            if not host.is_out():
                self._refuse_if_backing_off(request.host, host)
                return self._waiting(request, host)
            # if it is not answered, the others need not wait for that themselves
            with self._ahead.first(request.host):
                self._refuse_if_backing_off(request.host, host)
                return self._waiting(request, host)

    def _waiting(self, request: Request, host: _Host) -> Answer:
        """Ask, and wait out a pause that is short; from then on one question goes after the other."""
        if not host.is_one_by_one:
            try:
                return self._try(request, host)
            except _Busy:
                host.is_one_by_one = True
        with host.queue:
            return self._one_by_one(request, host)

    def _one_by_one(self, request: Request, host: _Host) -> Answer:
        """Ask when the host's pause is over, again and again; each pause is at least twice as long."""
        most = WAITS_OF_AN_OPTIONAL_QUESTION if request.is_optional else WAITS_OF_A_QUESTION
        for attempt in range(most):
            self._refuse_if_backing_off(request.host, host)
            if request.is_optional and host.is_for_necessary:
                break
            shortest = FIRST_WAIT_SECONDS * 2**attempt if attempt else 0.0
            left = (host.pause_until - self._clock.now()).total_seconds() if host.pause_until else 0.0
            pause = min(max(left, shortest), LONGEST_WAITED.total_seconds())
            if pause > 0 and self._clock.wait(pause):
                raise RateLimited(request.host, f"{request.what}: {_STOPPED}", self._clock.now())
            try:
                return self._try(request, host)
            except _Busy:
                continue
        host.is_for_necessary = host.is_for_necessary or request.is_optional
        raise self._rate_limited(request, host, None)

    def refuse_if_backing_off(self, name: str) -> None:
        """For a client that speaks to a host by other means.

        Raises RateLimited or RegistryError if `send` would.
        """
        self._refuse_if_backing_off(name, self._host(name))

    def back_off(self, name: str) -> datetime:
        """Ask nothing of a host that throttled such a client; return until when."""
        return self._begin_backoff(self._host(name), None)

    def count(self, name: str, kind: str, result: str) -> None:
        """Count an exchange of such a client; `result` is one of those of our own exchanges."""
        self._on_request(name, kind, result)
        if result == "ok":
            self._host(name).backoffs_in_a_row = 0

    def _host(self, name: str) -> _Host:
        with self._lock:
            return self._hosts[name]

    def _refuse_if_backing_off(self, name: str, host: _Host) -> None:
        if host.retry_at and host.retry_at > self._clock.now():
            text = f"too many requests a short while ago; not asked until {_clock_time(host.retry_at)} UTC"
            raise RateLimited(name, text, host.retry_at)
        if host.down:
            raise RegistryError(name, host.down)

    def _try(self, request: Request, host: _Host) -> Answer:
        started, pause, broken = self._clock.monotonic(), FIRST_PAUSE_SECONDS, Broken("")
        for attempt in range(TRIES):
            try:
                answer = self._follow(request)
                host.out_since = None
                self._back_off_if_asked(request, host, answer)
                host.failures_in_a_row = host.backoffs_in_a_row = 0
                return answer
            except Broken as error:
                broken = error
            spent = self._clock.monotonic() - started > RETRY_BUDGET_SECONDS
            is_vain = broken.lasting or (broken.silent and host.is_out())
            if is_vain or spent or attempt + 1 == TRIES or self._clock.wait(pause):
                break
            pause *= 2
        raise self._given_up(request, host, broken)

    def _given_up(self, request: Request, host: _Host, broken: Broken) -> RegistryError:
        with self._lock:
            host.failures_in_a_row += 0 if broken.lasting else 1  # a lasting one concerns this question alone
            is_everyones = not broken.connected if broken.silent else host.is_out()
            if not broken.lasting and (is_everyones or host.failures_in_a_row >= FAILURES_UNTIL_DOWN):
                host.out_since = host.out_since or self._clock.now()
                host.down = (
                    f"{broken} (out since {host.out_since:%Y-%m-%d %H:%M} UTC; not asked again in this cycle)"
                )
        remedy = broken.remedy or f"check that {request.host} can be reached from this machine"
        return RegistryError(request.host, f"{request.what}: {broken}", remedy)

    def _follow(self, request: Request) -> Answer:
        """Return one try: the request and the redirects it leads to, each judged."""
        host = request.host
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._exchange(request, host)
            target = answer.headers.get("location")
            if answer.status not in REDIRECTS or not target or request.method not in ("GET", "HEAD"):
                break
            url = urljoin(request.url, target)
            problem = redirect_problem(request.url, url, answer.address)
            if problem:
                why = f"it redirects to a place we do not follow to: {problem}"
                raise Broken(why, REDIRECT_REMEDY, lasting=True)
            keep = request.authorization if same_origin(request.url, url) else None
            by = None if urlsplit(url).hostname == urlsplit(request.url).hostname else answer.address
            request = replace(request, url=url, authorization=keep, redirected_by=by)
        else:
            raise Broken(f"it redirects more than {MOST_REDIRECTS} times", lasting=True)
        if _is_worth_a_retry(answer.status) and not _asks_for_backoff(request, answer):
            raise Broken(f"it answered with status {answer.status}")
        return answer

    def _exchange(self, request: Request, host: str) -> Answer:
        result = "unreachable"
        try:
            answer = self._connections.exchange(request)
            result = _result(answer.status)
            return answer
        except Broken as broken:
            if request.host != host:  # a store or a login page that it leads to
                raise _broken_elsewhere(request.host, broken) from broken
            raise
        finally:
            self._on_request(host, request.kind, result)

    def _back_off_if_asked(self, request: Request, host: _Host, answer: Answer) -> None:
        if not _asks_for_backoff(request, answer):
            return
        now = self._clock.now()
        hint = pause_hint.asked_for(answer.headers, answer.body[:ERROR_BYTES], now)
        if hint is None and request.method == "HEAD" and not host.is_one_by_one:
            hint = GUESSED_PAUSE
        if hint is None or hint > LONGEST_WAITED:
            raise self._rate_limited(request, host, hint)
        pause = max(hint, timedelta(seconds=FIRST_WAIT_SECONDS))
        with self._lock:
            host.pause_until = max(host.pause_until or now, now + pause)
        raise _Busy

    def _rate_limited(self, request: Request, host: _Host, hint: timedelta | None) -> RateLimited:
        if request.is_optional:
            retry_at = self._clock.now() + (hint or timedelta(0))
            return RateLimited(request.host, f"{request.what}: too many requests", retry_at)
        until = self._begin_backoff(host, hint)
        message = f"{request.what}: too many requests; not asked until {_clock_time(until)} UTC"
        return RateLimited(request.host, message, until)

    def _begin_backoff(self, host: _Host, asked: timedelta | None) -> datetime:
        """Leave a host alone as long as it asked for, or as long as we guess; return until when."""
        now = self._clock.now()
        with self._lock:
            if not (host.retry_at and host.retry_at > now):  # not one of many that were on their way together
                host.backoffs_in_a_row += 1
            guessed = min(FIRST_BACKOFF * 2 ** min(host.backoffs_in_a_row - 1, 10), LONGEST_GUESSED_BACKOFF)
            backoff = min(max(guessed if asked is None else asked, SHORTEST_BACKOFF), LONGEST_BACKOFF)
            host.retry_at = until = max(host.retry_at or now, now + backoff)
        return until


def _broken_elsewhere(host: str, broken: Broken) -> Broken:
    """Return the same of a host that another one leads to: which says nothing of that one."""
    remedy = (
        broken.remedy or f"check that {host} can be reached from this machine; {untrusted_json.IN_THE_WAY}"
    )
    found = Broken(f"it leads to {host}, and there: {broken}", remedy, lasting=broken.lasting)
    found.connected = broken.connected
    return found


def _clock_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _asks_for_backoff(request: Request, answer: Answer) -> bool:
    if answer.status == 429:
        is_counted = request.kind == COUNTED_KIND
        return not (is_counted and is_used_up(answer.headers, answer.body))
    return answer.status == 503 and "retry-after" in answer.headers


def _is_worth_a_retry(status: int) -> bool:
    return status >= 500 or status in (408, 499)


def _result(status: int) -> str:
    if status < 400:
        return "ok"
    words = {401: "unauthorized", 403: "denied", 404: "not_found", 429: "rate_limited"}
    return words.get(status, "error")
