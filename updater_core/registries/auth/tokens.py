"""Tokens and passwords for registries: answer a challenge, keep what was granted, stop after a refusal.

The token exchange is https://distribution.github.io/distribution/spec/auth/token/ and its OAuth2 form for
identity tokens (…/auth/oauth/). A token is kept for (registry, realm, service, scopes, credential), never
more widely. After a token server refused a credential it is not offered again for ten minutes: Docker Hub
locks accounts over failed logins.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from updater_core import protocols
from updater_core.caching.cache import Cache
from updater_core.caching.single_flight import SingleFlight
from updater_core.errors import AuthFailed, RegistryError
from updater_core.models import Credential, Secret
from updater_core.net import untrusted_json
from updater_core.net.http import ERROR_BYTES, Answer, Request
from updater_core.registries.auth import challenge
from updater_core.registries.auth.access import Access
from updater_core.registries.auth.challenge import Challenge
from updater_core.registries.auth.learned import ChallengeCache, LearnedChallenge
from updater_core.registries.auth.refused import REFUSED_FOR, RefusedLogins
from updater_core.vocabulary.untrusted import is_token

CLIENT_ID = "docker-auto-updater"
# The specification's default lifetime, which is also the least that is believed; renewed early, so that no
# token runs out on its way.
SHORTEST_TOKEN_SECONDS, EARLY_SECONDS = 60.0, 5.0
# Long enough for all repositories of a cycle to follow the first, short enough that a password revoked
# between cycles is offered once.
PROVEN_FOR = timedelta(seconds=60)


class Sender(Protocol):
    """What sends a request and returns the answer; raises RegistryError."""

    def send(self, request: Request) -> Answer:
        """Return the answer to a request. Raises RegistryError if there is none."""


@dataclass(frozen=True, slots=True)
class _Grant:
    """An Authorization header, its end on the monotonic clock, and how it was got (`ask`), for the next."""

    header: Secret
    until: float | None
    realm: str = ""
    service: str | None = None
    scopes: tuple[str, ...] = ()
    # from what another repository's challenge taught, and not taken by the registry yet
    is_foreseen: bool = False


class Tokens:
    """The Authorization headers of a process.

    Safe to use from many threads; one question to a token server at a time for each access.
    """

    def __init__(
        self, transport: Sender, clock: protocols.Clock, refused: RefusedLogins | None = None
    ) -> None:
        self._transport = transport
        self._refused = refused or RefusedLogins(clock.now, {})
        self._clock = clock
        self._lock = threading.Lock()
        # Two hundred services behind one token server would ask it two hundred times at once without this.
        self._flights = SingleFlight()
        self._grants: Cache[_Grant] = Cache()
        self._challenges = ChallengeCache()
        self._addresses: Cache[str] = Cache()  # at which registries were reached when they challenged us
        self._proven: Cache[bool] = Cache(clock.monotonic)  # passwords, by token server

    def first_alone(self, access: Access) -> AbstractContextManager[None]:
        """Hold from `ready` until the answer to the challenge is taken (`ChallengeCache.first_alone`)."""
        return self._challenges.first_alone(access.asker, has_password=access.credential is not None)

    def ready(self, access: Access) -> tuple[str | None, bool]:
        """Return the header to send, and whether it is only foreseen that the host wants it.

        It is the one that was taken last time, renewed if it has run out; None before the host's first
        challenge.

        Raises AuthFailed if the credential was refused a short while ago.
        """
        self._refuse_if_refused(access)
        grant = self._grants.get(access)
        if grant is None or not self._is_good(grant):
            # Under a key of its own: a renewal and an answer to a challenge may be under way side by side.
            grant = self._flights.share(("ready", access), lambda: self._renewed_or_foreseen(access))
        return (grant.header.reveal(), grant.is_foreseen) if grant else (None, False)

    def judge(self, access: Access, sent: str | None, *, is_taken: bool) -> None:
        """Say what became of a predicted header: it is kept like any other, or forgotten."""
        with self._lock:
            grant = self._grants.get(access)
            # Another thread has got a newer one meanwhile, of which this answer says nothing.
            if grant is None or grant.header.reveal() != sent:
                return
            if is_taken:
                self._grants.put(access, replace(grant, is_foreseen=False))
            else:
                self._grants.drop(access)

    def answer(self, access: Access, challenged: Answer, sent: str | None) -> str:
        """Return the header that answers a 401 (or insufficient_scope); `sent` was not enough.

        Raises AuthFailed if there is nothing more to offer.
        """

        def granted() -> _Grant:
            grant = self._grants.get(access)
            if grant and grant.header.reveal() != sent:  # another thread was faster
                return grant
            self._refuse_if_refused(access)
            return self._granted(access, challenged, sent)

        return self._flights.share(("granted", access, sent), granted).header.reveal()

    def rejected(self, access: Access, sent: str | None) -> AuthFailed:
        """Return the error for a registry that rejects a fresh grant; a password is not sent again."""
        self._grants.drop(access)
        # Only a password that was sent itself is refused by this; a rejected token says nothing of the login
        # behind it.
        if access.credential and sent == basic_header(access.credential):
            self.refuse(access.host, access.credential)
            return access.login_refusal("it")
        return access.refusal("unauthorised, or it does not exist")

    def new_cycle(self) -> None:
        """Forget what the last cycle had no use for: rotated credentials must not pile up."""
        self._grants.forget_unused()
        self._refused.forget_old()
        self._challenges.new_cycle()

    def uses_credential(self, access: Access) -> bool:
        """Return whether the registry asked who we are and took the answer."""
        return access.credential is not None and access in self._grants

    def service(self, access: Access) -> str | None:
        """Return the service that the registry's challenge named; None if it asked for no token."""
        grant = self._grants.get(access)
        return grant.service if grant else None

    def refuse(self, host: str, credential: Credential) -> None:
        """Remember that a host does not take a credential."""
        self._refused.add(host, credential)
        self._challenges.let_next_go_alone(lambda asker: isinstance(asker, tuple) and credential in asker)

    def is_refused(self, host: str, credential: Credential | None) -> bool:
        """Return whether a host rejected the credential a short while ago."""
        return self._refused.has(host, credential)

    def _renewed_or_foreseen(self, access: Access) -> _Grant | None:
        """Return a grant that is good; None if only the host itself can say how to get one."""
        with self._lock:
            grant = self._grants.get(access)
            if grant is not None and not self._is_good(grant):
                # should the renewal fail, the next question starts from the challenge
                self._grants.drop(access)
        if grant is None:
            return self._foreseen(access)
        if self._is_good(grant):  # another thread was faster
            return grant
        return replace(self._renew(access, grant), is_foreseen=grant.is_foreseen)

    def _is_good(self, grant: _Grant) -> bool:
        return grant.until is None or self._clock.monotonic() < grant.until

    def _refuse_if_refused(self, access: Access) -> None:
        if self.is_refused(access.host, access.credential):
            name = access.credential.username if access.credential else ""
            raise access.refusal(
                f"the login as {name} was refused a short while ago and is not tried again for "
                f"{REFUSED_FOR.total_seconds() / 60:.0f} minutes; a corrected one is tried at once",
            )

    def _granted(self, access: Access, challenged: Answer, sent: str | None) -> _Grant:
        chosen = self._chosen(access, challenged)
        # A Basic header costs no request, so nothing has to be remembered of a realm or scopes.
        if chosen.scheme == "basic":
            grant, learned = self._basic(access, sent), LearnedChallenge()
            self._grants.put(access, grant)
        else:
            realm, service = challenge.realm_url(chosen, challenged.url), chosen.parameters.get("service")
            learned = LearnedChallenge(realm, service, challenge.scopes(chosen, access.scope))
            self._addresses.put(access.base, challenged.address)
            grant = self._renew(access, _asking(learned))
        if challenged.status == 401:  # a scope that did not suffice is one repository's matter
            self._challenges.remember(access.asker, access.repository, learned)
        return grant

    def _foreseen(self, access: Access) -> _Grant | None:
        """Return what the host will most likely want.

        A token that cannot be obtained so is no failure yet: without one the host says itself what it wants.
        """
        learned = self._challenges.of(access.asker, access.repository)
        if learned is None:
            return None
        try:
            grant = self._renew(access, _asking(learned)) if learned.realm else self._basic(access, None)
        # The prediction failed, not the registry: its own challenge says what to do.
        except RegistryError:
            return None
        return self._grants.put(access, replace(grant, is_foreseen=True))

    def _chosen(self, access: Access, challenged: Answer) -> Challenge:
        header = challenged.headers.get("www-authenticate", "")
        try:
            offered = challenge.parse(header)
        except ValueError as error:
            message = f"{access.repository}: its challenge cannot be read: {error}"
            remedy = (
                "see WWW-Authenticate in its answer: a proxy in front of the registry may spoil that header"
            )
            raise RegistryError(access.host, message, remedy) from None
        # An identity token is no password: it can be exchanged for a token, and nothing else.
        password = access.credential is not None and not access.credential.is_identity_token
        chosen = challenge.choose(offered, password)
        if chosen is None:
            names = ", ".join(c.scheme for c in offered) or "none"
            raise access.refusal(
                f"it asks for a login of a kind we do not know ({names})",
                "let the registry ask for Bearer or Basic, as an engine needs it; if something in front of "
                "it asks for this one, let it pass /v2/",
            )
        return chosen

    def _basic(self, access: Access, sent: str | None) -> _Grant:
        if access.credential is None:
            raise access.refusal("it asks for a user name and a password")
        header = basic_header(access.credential)
        if header == sent:
            raise self.rejected(access, sent)
        return _Grant(Secret(header), None)

    def _renew(self, access: Access, grant: _Grant) -> _Grant:
        dialled = self._addresses.get(access.base) or ""
        has_secret = access.credential is not None
        problem = challenge.realm_problem(grant.realm, access.base, access.realm_hosts, has_secret, dialled)
        if problem:
            host = urlsplit(grant.realm).hostname or "its realm"
            raise access.refusal(
                f"it sends us to {host} for a token, which gets nothing from us: {problem}",
                challenge.realm_remedy(grant.realm, access.base),
            )
        answer = self._ask(access, grant)
        token, until = self._read(access, answer)
        renewed = _Grant(Secret(f"Bearer {token}"), until, grant.realm, grant.service, grant.scopes)
        return self._grants.put(access, renewed)

    def _ask(self, access: Access, grant: _Grant) -> Answer:
        with self._proving(access, grant.realm):
            credential = access.credential
            if credential and credential.is_identity_token:
                answer = self._send(access, grant, _oauth_request(access, grant, credential))
                if answer.status not in (404, 405):
                    return self._judged(access, answer)
            return self._judged(access, self._send(access, grant, _token_request(access, grant)))

    def _send(self, access: Access, grant: _Grant, request: Request) -> Answer:
        """Ask the realm, whose name may stand for an address that nobody is sent to by a registry."""
        if not challenge.is_known_realm(grant.realm, access.base, access.realm_hosts):
            request = replace(request, redirected_by=self._addresses.get(access.base) or "")
        return self._transport.send(request)

    @contextmanager
    def _proving(self, access: Access, realm: str) -> Iterator[None]:
        """Let a password go alone to a token server that has not taken it lately.

        One that was revoked is offered once then, however many repositories want a token.
        """
        key = (urlsplit(realm).netloc, access.credential)
        if access.credential is None or key in self._proven:
            yield
            return
        # Docker Hub locks an account after a few failed logins ("too many failed login attempts"), so a wrong
        # one must not go out in parallel.
        with self._flights.first(("proof", key)):
            self._refuse_if_refused(access)
            yield
            self._proven.put(key, True, PROVEN_FOR.total_seconds())

    def _judged(self, access: Access, answer: Answer) -> Answer:
        if answer.status == 200:
            return answer
        host = urlsplit(answer.url).netloc
        # A 403 may be about the repository; only a 401 of the token server is about the login.
        if answer.status == 401 and access.credential:
            self.refuse(access.host, access.credential)
            raise access.login_refusal(host)
        if answer.status in (401, 403):
            raise access.refusal(f"{host} gives no token (status {answer.status})")
        raise RegistryError(
            access.host, f"{access.repository}: {host} gives no token (status {answer.status})"
        )

    def _read(self, access: Access, answer: Answer) -> tuple[str, float]:
        host = urlsplit(answer.url).netloc
        try:
            body = untrusted_json.read(answer.body)
            # The specification allows either name, and both.
            token = body.get("token") or body.get("access_token")
        except (ValueError, AttributeError):
            body, token = {}, None
        # It goes into a header: a line break in it would be a second header.
        if not is_token(token):
            message = f"{access.repository}: the token server {host} answered without a token"
            raise RegistryError(access.host, message, untrusted_json.IN_THE_WAY)
        return token, self._clock.monotonic() + lifetime_seconds(body, self._clock.now()) - EARLY_SECONDS


def _asking(learned: LearnedChallenge) -> _Grant:
    """Return a grant with all that it takes to get it, and nothing of it yet."""
    return _Grant(Secret(""), None, learned.realm, learned.service, learned.scopes)


def lifetime_seconds(body: Mapping[str, Any], now: datetime) -> float:
    """Return how long a fresh token lives from now.

    Without `expires_in` 60 s, and never less is believed; an `issued_at` that lies in the future, or makes
    the new token old already, is another clock's and not believed.

    >>> now = datetime(2025, 1, 1, 0, 1, tzinfo=UTC)
    >>> lifetime_seconds({"expires_in": 300, "issued_at": "2025-01-01T00:00:00Z"}, now)
    240.0
    >>> lifetime_seconds({"expires_in": 10}, now)
    60.0
    """
    given = body.get("expires_in")
    # `true` is an int in Python, and a year in seconds would never be renewed.
    number = min(given, 86400) if isinstance(given, int | float) and not isinstance(given, bool) else 0
    whole = (
        min(max(float(number), SHORTEST_TOKEN_SECONDS), 86400.0)
        if number == number
        else SHORTEST_TOKEN_SECONDS
    )
    try:
        issued = datetime.fromisoformat(str(body.get("issued_at")))
        age = (now - (issued if issued.tzinfo else issued.replace(tzinfo=UTC))).total_seconds()
    except (ValueError, OverflowError):
        age = 0.0
    return whole - age if 0 <= age < whole else whole


def _token_request(access: Access, grant: _Grant) -> Request:
    # A challenge without a service is asked without one (pkg.dev, OpenShift).
    query = [("service", grant.service)] if grant.service else []
    query += [("scope", scope) for scope in grant.scopes]
    authorization = None
    if access.credential:
        query.append(("account", access.credential.username))
        authorization = basic_header(access.credential)
    query.append(("client_id", CLIENT_ID))
    parts = urlsplit(grant.realm)
    # A realm may carry parameters of its own, which have to come back.
    own = parse_qsl(parts.query, keep_blank_values=True)
    url = urlunsplit(parts._replace(query=urlencode(own + query)))
    return Request(
        url, "token", f"{access.repository}: token", authorization=authorization, longest_bytes=ERROR_BYTES
    )


def _oauth_request(access: Access, grant: _Grant, credential: Credential) -> Request:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": credential.secret.reveal(),
        "service": grant.service or "",
        "client_id": CLIENT_ID,
        "scope": " ".join(grant.scopes),
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode(form).encode()
    what = f"{access.repository}: token"
    return Request(grant.realm, "token", what, "POST", headers, None, body, ERROR_BYTES)


def basic_header(credential: Credential) -> str:
    """Return the Authorization header of a user name with a password (RFC 7617)."""
    pair = f"{credential.username}:{credential.secret.reveal()}".encode()
    return "Basic " + base64.b64encode(pair).decode()
