"""The AWS API of ECR: one client for each region and principal, with its limits and its tokens.

botocore signs, finds credentials (keys, profiles, SSO, web identity, roles) and renews them, repeats what is
worth it, and knows every partition's endpoints; boto3 takes a while and some memory to load, so that is done
at the first question. Tokens for the registry's own protocol are good for twelve hours at any registry the
principal may read (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html);
half of that is used.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from updater_core.errors import AuthFailed, NotFound, RegistryError
from updater_core.logging_utils import protect_login
from updater_core.models import Credential, RegistrySettings, Secret
from updater_core.net import untrusted_json
from updater_core.registries.paging import pages
from updater_core.registries.session import Session
from updater_core.registries.vendors.ecr import errors
from updater_core.registries.vendors.ecr.aws_client import MOST_AT_ONCE, AwsClient, Endpoint, Principal
from updater_core.registries.vendors.ecr.errors import Asked, Fault
from updater_core.registries.vendors.ecr.settings import EcrSettings

_RULES = "DescribePullThroughCacheRules"
_KINDS = {"DescribeImages": "ecr_describe", "GetAuthorizationToken": "ecr_token", _RULES: "ecr_rules"}
_OUR_NAMES = (errors.MalformedCredentials, errors.MalformedAnswer)
# What botocore raises for malformed input (RecursionError is a RuntimeError).
_UNEXPECTED = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as a question is about it; without an account it is the principal's own."""

    domain: str
    account: str | None
    name: str


class ImageMissing(NotFound):
    """One of several images asked for is not there. `named` are those that AWS names: the first, or none."""

    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Token:
    credential: Credential
    renew_at: datetime
    expires_at: datetime
    fetched_by: AwsClient | None


def principal_of(settings: RegistrySettings) -> Principal:
    """Return the principal that a service's `registry_config` names."""
    own = settings.own(EcrSettings)
    return Principal(own.aws_access_key_id, own.aws_secret_access_key, own.aws_session_token, own.aws_profile)


def api_of(endpoint: Endpoint, session: Session) -> EcrApi:
    """Return the one client of the process for an endpoint; nothing is loaded or asked yet."""
    return session.lasting.get(("ecr api", endpoint), lambda: EcrApi(endpoint, session))


def next_token(page: Mapping[str, Any]) -> str | None:
    """Return the token that asks for the page after this one; None if it is the last."""
    token = page.get("nextToken")
    return token if isinstance(token, str) and token else None


class EcrApi:
    """Asks one endpoint. Safe to use from many threads."""

    def __init__(self, endpoint: Endpoint, session: Session) -> None:
        self._endpoint = endpoint
        self._session = session
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._lock = threading.Lock()
        self._token_lock = threading.Lock()
        self._client: AwsClient | None = None
        self._token: _Token | None = None
        self._failure: tuple[object, Fault] | None = None

    @property
    def region(self) -> str:
        """Return the region in words; boto3's own choice if none was named."""
        return self._endpoint.region or (
            str(self._client.botocore.meta.region_name) if self._client else "the default region"
        )

    @property
    def who(self) -> str:
        """Return in whose name this endpoint is asked, for a message."""
        return self._endpoint.principal.who

    def client(self) -> Any:
        """Return botocore's client, made when first needed; may raise what botocore raises."""
        return self._current_client().botocore

    def _current_client(self) -> AwsClient:
        """Return the client with what belongs to it, made anew if a file that it was made of is another."""
        with self._lock:
            if self._client is None or not self._client.is_current():
                self._client = AwsClient.of(self._endpoint)
                events = self._client.botocore.meta.events
                events.register(f"response-received.{self._endpoint.service}", self._count)
            return self._client

    def prepare(self, repository: Repository) -> None:
        """Have the client ready, so that the next question goes out at once.

        Raises AuthFailed if there are no credentials, RegistryError if the client cannot be made.
        """
        self._guarded(repository, "", {})

    def describe_images(self, repository: Repository, **arguments: Any) -> Mapping[str, Any]:
        """Return what DescribeImages answers.

        Raises ImageMissing or NotFound if an image or the repository is not there, AuthFailed or RateLimited
        if AWS refuses, RegistryError if there is no answer.
        """
        account = {"registryId": repository.account} if repository.account else {}
        return self._guarded(
            repository, "DescribeImages", {**account, "repositoryName": repository.name, **arguments}
        )

    def cache_prefixes(self, repository: Repository) -> frozenset[str]:
        """Return the names under which `repository`'s registry caches others; `ROOT` stands for all names.

        Raises AuthFailed or NotFound if AWS does not let us know; RegistryError if it does not answer, or not
        to the end.
        """
        domain, ask = repository.domain, lambda token: self._rules(repository, token)
        every = pages(domain, repository.name, "", ask, what="their list")
        return frozenset(str(rule.get("ecrRepositoryPrefix")) for rules in every for rule in rules)

    def _rules(self, repository: Repository, token: str) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        """Return the pull-through cache rules on the page behind a token, and the next page's token."""
        account = {"registryId": repository.account} if repository.account else {}
        following = {"nextToken": token} if token else {}
        page = self._guarded(repository, _RULES, {**account, **following})
        rules = page.get("pullThroughCacheRules")
        if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
            message = f"{repository.name}: the answer is no list of pull-through cache rules"
            raise RegistryError(repository.domain, message, untrusted_json.IN_THE_WAY)
        return rules, next_token(page)

    def credential(self, repository: Repository) -> tuple[Credential, bool]:
        """User name and password for the registry's own protocol, and whether they were fetched just now."""
        with self._token_lock:
            now, known = self._session.clock.now(), self._known_token()
            if known and now < known.renew_at:
                return known.credential, False
            try:
                self._token = self._fetch(repository, now)
            except AuthFailed:
                raise
            except RegistryError:
                if known is None or now >= known.expires_at:  # a token in its second half is better than none
                    raise
                return known.credential, False
            return self._token.credential, True

    def _known_token(self) -> _Token | None:
        """Return the token that we have; None if the files with our keys are others since it was fetched."""
        known = self._token
        client = known.fetched_by if known else None
        return known if client and client.is_current() else None

    def drop(self, credential: Credential) -> None:
        """Forget a token that the registry did not take, if it is still the one in use."""
        with self._token_lock:
            if self._token and self._token.credential == credential:
                self._token = None

    def _fetch(self, repository: Repository, now: datetime) -> _Token:
        self.prepare(repository)
        client = (
            self._client
        )  # before the question: a newer one by then costs one more question, no old token
        answer = self._guarded(repository, "GetAuthorizationToken", {})
        try:
            data = answer["authorizationData"]
            data = data[0] if isinstance(data, list) else data  # ecr-public has exactly one
            username, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
            expires_at = data["expiresAt"]
            renew_at = now + (expires_at - now) / 2
        except (LookupError, TypeError, ValueError):
            username = password = ""
        if not username or not password:
            message = f"{repository.name}: AWS answered without a token"
            raise RegistryError(repository.domain, message, untrusted_json.IN_THE_WAY)
        credential = Credential(username, Secret(password))
        protect_login(credential)
        return _Token(credential, renew_at, expires_at, client)

    def _guarded(
        self, repository: Repository, operation: str, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Ask, and put what goes wrong into our words.

        After a failure of the account nothing more is asked in this cycle; after throttling, until its
        backoff is over. An empty operation only makes the client.
        """
        self._refuse_after_failure(repository)
        from_botocore = _botocore_errors()
        try:
            client = self._ready_client(from_botocore)
            self._session.transport.refuse_if_backing_off(self._host())
            return self._call(client, operation, arguments, from_botocore) if operation else {}
        except RegistryError:
            raise
        except from_botocore as error:
            raise self._error(error, repository, operation) from None  # its traceback may hold what is signed

    def _ready_client(self, from_botocore: tuple[type[Exception], ...]) -> Any:
        """Return the client with credentials in hand.

        What gives those is asked here and not when a question is signed, so that its nonsense is not taken
        for the answer's.
        """
        try:
            client = self._current_client()
            credentials = client.credentials
            frozen: Any = credentials.get_frozen_credentials() if credentials else ()
            if not all(isinstance(part, str | None) for part in frozen):
                raise errors.MalformedCredentials("not a text")
            for secret in filter(None, frozen[1:]):  # the key's secret, and a session's token
                protect_login(Credential(frozen[0], Secret(secret)))
            return client.botocore
        except from_botocore:
            raise
        except _UNEXPECTED as error:
            raise errors.MalformedCredentials(type(error).__name__) from None

    def _call(
        self,
        client: Any,
        operation: str,
        arguments: Mapping[str, Any],
        from_botocore: tuple[type[Exception], ...],
    ) -> Mapping[str, Any]:
        try:
            with self._slots:
                answer: Mapping[str, Any] = getattr(client, _snake(operation))(**arguments)
            return answer
        except from_botocore:
            raise
        except _UNEXPECTED as error:
            raise errors.MalformedAnswer(type(error).__name__) from None

    def _error(self, error: Exception, repository: Repository, operation: str) -> RegistryError:
        if errors.is_image_missing(error):
            missing = ImageMissing(
                repository.domain, f"{repository.name}: an image is not there in {self.region}"
            )
            missing.named = errors.missing_images(error)
            return missing
        action = f"{self._endpoint.service}:{operation or 'DescribeImages'}"
        fault = errors.fault_of(error, Asked(action, self.region, self.who))
        with self._lock:
            if fault.is_everywhere:
                self._failure = (self._cycle(), fault)
            if fault.is_about_login:
                self._client = None
        now = self._session.clock.now()
        is_throttled = errors.result_of(errors.code_of(getattr(error, "response", None))) == "rate_limited"
        retry_at = self._session.transport.back_off(self._host()) if is_throttled else now
        return fault.error(repository.domain, repository.name, retry_at)

    def _refuse_after_failure(self, repository: Repository) -> None:
        failure = self._failure
        if failure and failure[0] is self._cycle():
            raise failure[1].error(repository.domain, repository.name, self._session.clock.now())

    def _cycle(self) -> object:
        """Return a value that is the same throughout a cycle, and another in the next one."""
        return self._session.cycle.get("ecr cycle", object)

    def _host(self) -> str:
        """Return the API's host: what is counted and backs off."""
        client = self._client
        return urlsplit(client.botocore.meta.endpoint_url).netloc if client else self._endpoint.service

    def _count(self, event_name: str, parsed_response: object = None, **_: object) -> None:
        """Count an exchange; botocore calls this for each, the repeated ones too."""
        operation = event_name.rpartition(".")[2]
        result = errors.result_of(errors.code_of(parsed_response))
        self._session.transport.count(self._host(), _KINDS.get(operation, "ecr_other"), result)


def _botocore_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of a call that we know.

    botocore raises OSError if a token file, or a program that should print credentials, is not there.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return ImportError, OSError, *_OUR_NAMES
    return BotoCoreError, ClientError, ImportError, OSError, *_OUR_NAMES


def _snake(operation: str) -> str:
    return {
        "DescribeImages": "describe_images",
        "GetAuthorizationToken": "get_authorization_token",
        _RULES: "describe_pull_through_cache_rules",
    }[operation]
