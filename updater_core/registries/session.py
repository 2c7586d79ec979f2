"""What the registry clients of one process share, and the one way in which they ask.

A question is asked once per cycle, also if several threads have it at once; the answer to it may be an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from updater_core import protocols
from updater_core.caching.cache import Cache
from updater_core.caching.single_flight import SingleFlight
from updater_core.errors import RateLimited
from updater_core.models import ImageRef, RegistrySettings, Secret
from updater_core.net.url_rules import is_loopback, same_origin
from updater_core.protocols import RemoteImage
from updater_core.reference import HUB
from updater_core.registries.auth.access import Access
from updater_core.registries.auth.tokens import Tokens
from updater_core.registries.pull_limits import COUNTED_KIND, PullLimits
from updater_core.registries.transport import Answer, Request, Transport
from updater_core.registry_utils import Login, Logins
from updater_core.vocabulary.dated import ListComparison
from updater_core.vocabulary.own_settings import OwnSettings, S, own_settings

MOST_PAGES_REMEMBERED = 256
MOST_COMPARISONS = 512


@dataclass(frozen=True, slots=True)
class HubEndpoints:
    """The addresses of Docker Hub: its registry, and the API that knows when a tag was pushed."""

    registry: str = "https://registry-1.docker.io"
    api: str = "https://hub.docker.com"


DOCKER_HUB = HubEndpoints()


@dataclass(frozen=True, slots=True)
class RegistryEndpoint:
    """One registry as a service may use it: its domain in references, its address, the service's settings."""

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
    hub: HubEndpoints
    cycle: SingleFlight  # this cycle's answers
    lasting: SingleFlight  # what is made once for the process: vendors' credentials, clients
    # what was found out and stays true: build times by digest, how a host wants to be asked
    texts: Cache[str]
    images: Cache[RemoteImage]  # what digests lead to
    pages: Cache[tuple[str, object]]  # pages of lists with the ETag that their registry gave them
    known_names: Cache[frozenset[str]]  # of a repository's tags, those that its vendor's API knows
    comparisons: Cache[ListComparison]  # by `ImageRef.key`
    vendor_tokens: Cache[Secret]  # tokens of vendors' own APIs
    accounts: Cache[Any]  # vendors' own, each with the stamp of the file that it was read from
    signatures: Cache[Any]  # `SeenSignatures` of images; their module is loaded only for whoever has a policy
    limits: PullLimits
    hub_mirrors: Callable[[], Sequence[str]] = tuple  # the engine's mirrors of Docker Hub; may ask the engine
    vendors: OwnSettings = ()  # for all services

    def own(self, kind: type[S]) -> S:
        """Return a vendor's settings for all services, of its class `kind`; defaults if none are set."""
        return own_settings(self.vendors, kind)

    def login(self, site: RegistryEndpoint) -> Login:
        """Return who we are at a site."""
        return self.logins.find(site.domain, site.settings)

    def access(self, site: RegistryEndpoint, repository: str) -> Access:
        """Return what it takes to read one repository of a site, as who we are there."""
        login = self.login(site)
        realm_hosts = site.settings.token_realm_hosts
        return Access(site.base, repository, login.credential, realm_hosts, login.problem, login.source)

    def ask(self, access: Access, request: Request) -> Answer:
        """Send a request, answering a challenge once. Raises AuthFailed if the answer to it is not taken.

        A status of 403 or 404 is left to the caller. A manifest is not read while the account's pulls are
        used up, which is raised as RateLimited."""
        is_counted = access.base == self.hub.registry and request.kind == COUNTED_KIND
        if is_counted:
            self._refuse_if_used_up(access, request)
        try:
            answer = self._ask(access, request)
        except RateLimited as error:
            error.remedy = access.remedy_of_pause()
            raise
        if access.base == self.hub.registry and answer.status == 200 and request.kind.startswith("manifest_"):
            self.limits.note(access.host, access.credential, answer.headers, self.clock.now())
        if answer.status == 429:
            raise self._used_up(access, request, answer)
        return answer

    def _refuse_if_used_up(self, access: Access, request: Request) -> None:
        known = self.limits.of(access.host, access.credential)
        until = known.used_up_until(self.clock.now()) if known else None
        if until is not None:
            raise _used_up_error(access, request, until)

    def _used_up(self, access: Access, request: Request, answer: Answer) -> RateLimited:
        """Return the error for a manifest that is one too many; no other question is kept back by it."""
        now = self.clock.now()
        if access.base == self.hub.registry:
            self.limits.refuse(access.host, access.credential, now, answer.headers)
        known = self.limits.of(access.host, access.credential)
        until = known.used_up_until(now) if known else None
        return _used_up_error(access, request, until or now)

    def _ask(self, access: Access, request: Request) -> Answer:
        with self.tokens.first_alone(access):
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
        """Return what the registry says to what we have for it, and what that was.

        If it hides or denies what was asked with a token that was only foreseen, it is asked without one: its
        challenge may want another.
        """
        sent, is_foreseen = self.tokens.ready(access)
        answer = self.transport.send(replace(request, authorization=sent))
        if not is_foreseen or _is_challenge(answer):
            return answer, sent
        is_taken = answer.status not in (403, 404)
        self.tokens.judge(access, sent, is_taken=is_taken)
        return (answer, sent) if is_taken else (self.transport.send(request), None)


def new_session(
    clock: protocols.Clock,
    transport: Transport,
    tokens: Tokens,
    logins: Logins,
    hub: HubEndpoints = DOCKER_HUB,
) -> Session:
    """Return a session that remembers nothing yet."""
    return Session(
        clock,
        transport,
        tokens,
        logins,
        hub,
        cycle=SingleFlight(),
        lasting=SingleFlight(),
        texts=Cache(clock.monotonic),
        images=Cache(clock.monotonic),
        pages=Cache(clock.monotonic, MOST_PAGES_REMEMBERED),
        known_names=Cache(clock.monotonic, MOST_PAGES_REMEMBERED),
        comparisons=Cache(most=MOST_COMPARISONS),
        vendor_tokens=Cache(clock.monotonic),
        accounts=Cache(),
        signatures=Cache(clock.monotonic),
        limits=PullLimits(),
    )


def base_url(domain: str, settings: RegistrySettings, hub: HubEndpoints) -> str:
    """Scheme and host at which a domain is asked.

    Plain http only on this machine or if the settings allow it.

    >>> base_url("docker.io", RegistrySettings(), HubEndpoints())
    'https://registry-1.docker.io'
    >>> base_url("localhost:5000", RegistrySettings(), HubEndpoints())
    'http://localhost:5000'
    """
    if domain == HUB:
        return hub.registry
    plain = settings.insecure_http or is_loopback(domain)
    return f"{'http' if plain else 'https'}://{domain}"


def site_of(reference: ImageRef, settings: RegistrySettings, hub: HubEndpoints) -> RegistryEndpoint:
    """Return the site that serves a reference."""
    return RegistryEndpoint(reference.domain, base_url(reference.domain, settings, hub), settings)


def _used_up_error(access: Access, request: Request, until: datetime) -> RateLimited:
    message = f"{request.what}: the pull limit is used up, until {until:%Y-%m-%d %H:%M} UTC at the latest"
    return RateLimited(access.host, message, until, access.remedy_of_pull_limit())


def _is_challenge(answer: Answer) -> bool:
    wide = answer.status == 403 and "insufficient_scope" in answer.headers.get("www-authenticate", "")
    return answer.status == 401 or wide


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
