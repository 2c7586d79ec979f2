"""What the registry clients of one process share, and the one way in which they ask.

A question is asked once per cycle, also when several threads have it at once; the answer to it may be an error.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from updater_core import protocols
from updater_core.models import ImageRef, RegistrySettings, Secret
from updater_core.net.url_rules import is_loopback, same_origin
from updater_core.reference import HUB
from updater_core.registries.auth.tokens import Access, Tokens
from updater_core.registries.pull_limits import PullLimits
from updater_core.registries.transport import Answer, Request, Transport
from updater_core.registry_utils import Login, Logins

MOST_REMEMBERED, MOST_PAGES_REMEMBERED = 8192, 256

Page = tuple[list[str], str | None]  # names of tags, and where the next page is

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HubEndpoints:
    """Where Docker Hub answers: its registry, and the API that knows when a tag was pushed."""

    registry: str = "https://registry-1.docker.io"
    api: str = "https://hub.docker.com"


DOCKER_HUB = HubEndpoints()


class Once:
    """The answers of this cycle, each computed once for all who ask; errors are answers too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, Future[Any]] = {}

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer to `key`: by `ask`, here or in the thread that came first."""
        with self._lock:
            known = self._answers.get(key)
            mine: Future[Any] = known or self._answers.setdefault(key, Future())
        if known is None:
            _settle(mine, ask)
        return cast(T, mine.result())

    def known(self, key: Hashable) -> object | None:
        """The answer to `key` where it is there already and is no error; None otherwise."""
        with self._lock:
            answer = self._answers.get(key)
        return answer.result() if answer and answer.done() and not answer.exception() else None

    def new_cycle(self) -> None:
        """Forget them all."""
        with self._lock:
            self._answers = {}


class Pages:
    """Pages of tag lists with the validator that their registry gave them, so that one which has not changed is not
    sent again (RFC 9110, sections 8.8.3 and 13.1.2); the oldest leave when there are too many."""

    def __init__(self, most: int = MOST_PAGES_REMEMBERED) -> None:
        self._lock = threading.Lock()
        self._pages: dict[Hashable, tuple[str, Page]] = {}
        self._most = most

    def validator(self, key: Hashable) -> dict[str, str]:
        """The header that asks only for what has changed."""
        with self._lock:
            return {"If-None-Match": self._pages[key][0]} if key in self._pages else {}

    def unchanged(self, key: Hashable) -> Page | None:
        """The page that the registry says has not changed."""
        with self._lock:
            return self._pages[key][1] if key in self._pages else None

    def keep(self, key: Hashable, etag: str | None, page: Page) -> None:
        """Remember a page, where its registry gave it a validator."""
        with self._lock:
            self._pages.pop(key, None)
            if etag:
                self._pages[key] = (etag, page)
            while len(self._pages) > self._most:
                del self._pages[next(iter(self._pages))]


class TokenCache:
    """Tokens that say when they end, each kept until then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[Hashable, tuple[Secret, datetime]] = {}

    def get(self, key: Hashable, now: datetime) -> str | None:
        """The token behind `key` that is good at `now`; those that have ended are forgotten."""
        with self._lock:
            self._tokens = {each: kept for each, kept in self._tokens.items() if now < kept[1]}
            return self._tokens[key][0].reveal() if key in self._tokens else None

    def keep(self, key: Hashable, token: str, until: datetime) -> None:
        """Remember a token."""
        with self._lock:
            self._tokens[key] = Secret(token), until

    def drop(self, key: Hashable) -> bool:
        """Forget a token that is not taken; whether there was one."""
        with self._lock:
            return self._tokens.pop(key, None) is not None


class LruCache:
    """Texts that never change, by key; the oldest leave when there are too many."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._lock = threading.Lock()
        self._texts: dict[Hashable, str] = {}
        self._most = most

    def knows(self, key: Hashable) -> bool:
        """Whether there is a text for `key`."""
        with self._lock:
            return key in self._texts

    def get(self, key: Hashable, ask: Callable[[], str]) -> str:
        """The text behind `key`, by `ask` where it is not known; an error of `ask` is not kept."""
        with self._lock:
            known = self._texts.get(key)
        if known is not None:
            return known
        text = ask()
        with self._lock:
            self._texts[key] = text
            while len(self._texts) > self._most:
                del self._texts[next(iter(self._texts))]
        return text


@dataclass(frozen=True, slots=True)
class Site:
    """One registry as one service may use it: its domain in references, where it is asked, the service's settings."""

    domain: str
    base: str
    settings: RegistrySettings


@dataclass(frozen=True, slots=True)
class Session:
    """What is shared by all clients of a process."""

    clock: protocols.Clock
    transport: Transport
    tokens: Tokens
    logins: Logins
    hub: HubEndpoints = DOCKER_HUB
    once: Once = field(default_factory=Once)
    kept: LruCache = field(default_factory=LruCache)
    pages: Pages = field(default_factory=Pages)
    passes: TokenCache = field(default_factory=TokenCache)
    lasting: Once = field(default_factory=Once)  # what is made once for the process: vendors' credentials, clients
    limits: PullLimits = field(default_factory=PullLimits)

    def login(self, site: Site) -> Login:
        """Who we are at a site."""
        return self.logins.find(site.domain, site.settings)

    def access(self, site: Site, repository: str) -> Access:
        """Reading one repository of a site, as who we are there."""
        login = self.login(site)
        return Access(site.base, repository, login.credential, site.settings.token_realm_hosts, login.problem)

    def ask(self, access: Access, request: Request) -> Answer:
        """Send a request, answering a challenge once; raise AuthFailed where the answer to it is not taken.

        A status of 403 or 404 is left to the caller."""
        answer = self._ask(access, request)
        if access.base == self.hub.registry and answer.status == 200 and request.kind.startswith("manifest_"):
            self.limits.note(access.host, access.credential, answer.headers, self.clock.now())
        return answer

    def _ask(self, access: Access, request: Request) -> Answer:
        with self.tokens.turn(access):
            answer, sent = self._first_answer(access, request)
            if not _is_challenge(answer):
                return answer
            if not same_origin(answer.url, request.url):  # redirected: that host gets none of our credentials
                access, sent = Access(_origin(answer.url), access.repository, None), None
            granted = self.tokens.answer(access, answer, sent)
            answer = self.transport.send(replace(request, url=answer.url, authorization=granted))
            if answer.status == 401:
                raise self.tokens.rejected(access, granted)
            return answer

    def _first_answer(self, access: Access, request: Request) -> tuple[Answer, str | None]:
        """What the registry says to what we have for it, and what that was. Where it hides or denies what was asked
        with a token that was only foreseen, it is asked without one: its challenge may want another."""
        sent, is_foreseen = self.tokens.ready(access)
        answer = self.transport.send(replace(request, authorization=sent))
        if not is_foreseen or _is_challenge(answer):
            return answer, sent
        is_taken = answer.status not in (403, 404)
        self.tokens.judge(access, sent, is_taken=is_taken)
        return (answer, sent) if is_taken else (self.transport.send(request), None)


def base_url(domain: str, settings: RegistrySettings, hub: HubEndpoints) -> str:
    """Scheme and host at which a domain is asked. Plain http only on this machine or where the settings allow it.

    >>> base_url("docker.io", RegistrySettings(), HubEndpoints())
    'https://registry-1.docker.io'
    >>> base_url("localhost:5000", RegistrySettings(), HubEndpoints())
    'http://localhost:5000'
    """
    if domain == HUB:
        return hub.registry
    plain = settings.insecure_http or is_loopback(re.sub(r":\d+$", "", domain))
    return f"{'http' if plain else 'https'}://{domain}"


def site_of(reference: ImageRef, settings: RegistrySettings, hub: HubEndpoints) -> Site:
    """The site that serves a reference."""
    return Site(reference.domain, base_url(reference.domain, settings, hub), settings)


def _settle(future: Future[Any], ask: Callable[[], Any]) -> None:
    try:
        future.set_result(ask())
    except BaseException as error:  # whoever waits must not wait for ever
        future.set_exception(error)


def _is_challenge(answer: Answer) -> bool:
    wide = answer.status == 403 and "insufficient_scope" in answer.headers.get("www-authenticate", "")
    return answer.status == 401 or wide


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
