"""Who we are at Google: access tokens of a key file, of the environment's, or of the machine's own account.

google-auth gets and renews the tokens (https://googleapis.dev/python/google-auth/latest/); it is imported
when first used, and asks through our transport. The order of application default credentials is Google's
(https://cloud.google.com/docs/authentication/application-default-credentials), but its library's own search
is not used: that may run `gcloud`, and probes the metadata server for ten seconds on any machine that is not
Google's.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core import protocols
from updater_core.errors import AuthFailed
from updater_core.host.stamp import stamp_of
from updater_core.logging_utils import protect_login
from updater_core.models import Credential, Secret
from updater_core.net import untrusted_json
from updater_core.net.http import Broken, Connections, Limits
from updater_core.registries.auth.access import Access
from updater_core.registries.session import Session
from updater_core.registries.transport import ERROR_BYTES, Request, Transport
from updater_core.vocabulary.untrusted import is_token, on_one_line

USERNAME = "oauth2accesstoken"
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
FROM_ENVIRONMENT = "GOOGLE_APPLICATION_CREDENTIALS"
YOUNG_SECONDS, REFUSED_SECONDS = 60.0, 600.0
PROBED_EVERY_SECONDS = 86400.0
LONGEST_FILE_BYTES = 1 << 20
PROBE_LIMITS = Limits(connect_seconds=1.0, read_seconds=1.0, whole_seconds=2.0)

_METADATA_SERVER = "google metadata server"
_SECRET_LIKE = re.compile(r"[A-Za-z0-9_+/=.-]{60,}")
_CLOCK = re.compile(r"reasonable timeframe|\biat\b|\bexp\b|clock", re.IGNORECASE)

# RecursionError is a RuntimeError, OverflowError an ArithmeticError.
_UNEXPECTED = (OSError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError)

Load = Callable[[Callable[..., Any]], Any]


class _Unusable(Exception):
    """Credentials that cannot be used, and what a person can do about it."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer in the shape that google-auth reads (google.auth.transport.Response)."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Identity:
    """One account and its access token, renewed when it runs out. Kept for the process; safe in many threads.

    After a refusal by the token server it is not asked again for ten minutes."""

    def __init__(self, source: str, load: Load, transport: Transport, clock: protocols.Clock) -> None:
        self.source = source
        self._load = load
        self._ask = _request_function(transport)
        self._clock = clock
        self._lock = threading.Lock()
        self._credentials: Any = None
        self._renewed_at = 0.0
        self._refusal: tuple[str, str, float] | None = None

    @property
    def name(self) -> str:
        """Return the account's address if it has one that is known by now."""
        address = getattr(self._credentials, "service_account_email", None)
        return address if isinstance(address, str) and "@" in address else f"the account of {self.source}"

    def credential(self, access: Access) -> Credential:
        """Return what `access` is asked with: a token that is good for some minutes more.

        Raises AuthFailed if these credentials cannot be used, RegistryError if there is no answer.
        """
        with self._lock:
            self._refuse_if_refused(access)
            try:
                if self._credentials is None:
                    self._credentials = self._load(self._ask)
                if not self._credentials.valid:
                    self._renew()
            except _Unusable as error:
                raise self._failure(access, str(error), error.remedy) from None
            return self._current()

    def renewed(self, access: Access, refused: Credential) -> Credential | None:
        """Return a token newer than the refused one; None if that was fresh: age is not the reason."""
        with self._lock:
            if self._current() != refused:  # another thread was faster
                return self._current()
            if self._clock.monotonic() - self._renewed_at < YOUNG_SECONDS:
                return None
            try:
                self._renew()
            except _Unusable as error:
                raise self._failure(access, str(error), error.remedy) from None
            return self._current()

    def _current(self) -> Credential:
        return Credential(USERNAME, Secret(self._credentials.token))

    def _renew(self) -> None:
        from google.auth.exceptions import GoogleAuthError

        try:
            self._credentials.refresh(self._ask)
        except GoogleAuthError as error:
            why, remedy = _refusal(error, self.name, self.source)
            self._refusal = (why, remedy, self._clock.monotonic() + REFUSED_SECONDS)
            raise _Unusable(why, remedy) from None
        except _UNEXPECTED as error:
            raise _unexpected(error, self.source) from None
        token = self._credentials.token
        if not is_token(token):
            raise _Unusable("Google's token server answered without a token", "is there a proxy in the way?")
        self._renewed_at = self._clock.monotonic()
        protect_login(self._current())

    def _refuse_if_refused(self, access: Access) -> None:
        if self._refusal and self._clock.monotonic() < self._refusal[2]:
            raise self._failure(
                access, f"{self._refusal[0]}; not tried again for some minutes", self._refusal[1]
            )

    def _failure(self, access: Access, why: str, remedy: str) -> AuthFailed:
        return AuthFailed(access.host, f"{access.repository}: {why}", remedy)


# ----------------------------------------------------------------------------------------------- finding them


def of_key_file(path: str, session: Session) -> Identity:
    """Return the account whose JSON key lies at `path`; a file that is replaced is another identity."""
    return _kept(session, path, f"the key file {path}", lambda _: _service_account(path, _read(path)))


def of_environment(session: Session) -> Identity | None:
    """Return the account in GOOGLE_APPLICATION_CREDENTIALS: a key, or a workload federation's file."""
    path = os.environ.get(FROM_ENVIRONMENT)
    return (
        _kept(session, path, f"{FROM_ENVIRONMENT} ({path})", lambda ask: _any_kind(str(path), ask))
        if path
        else None
    )


def of_machine(session: Session) -> Identity | None:
    """Return the account that is there without the operator's doing, or None.

    It is that of gcloud's application default credentials, or of the metadata server (Compute Engine's, GKE's
    workload identity).
    """
    path = _gcloud_path()
    if path and path.is_file():
        return _kept(session, str(path), f"gcloud ({path})", lambda ask: _any_kind(str(path), ask))
    return _of_metadata(session) if _has_metadata_server(session) else None


def _of_metadata(session: Session) -> Identity:
    def load(_: Callable[..., Any]) -> Any:
        from google.auth import compute_engine

        return compute_engine.Credentials()  # type: ignore[no-untyped-call]

    make = lambda: Identity("the metadata server", load, session.transport, session.clock)  # noqa: E731
    return session.lasting.get(("google identity", "metadata"), make)


def _kept(session: Session, path: str, source: str, load: Load) -> Identity:
    """Return the account that a file is for.

    A file that is replaced is of another account, and the old one is forgotten.
    """
    key, stamp = ("google identity", source), stamp_of(Path(path))

    def kept() -> Identity:
        make = lambda: Identity(source, load, session.transport, session.clock)  # noqa: E731
        found: Identity = session.accounts.made_of(key, stamp, make)
        return found

    return session.lasting.share((*key, stamp), kept)


def _gcloud_path() -> Path | None:
    folder = os.environ.get("CLOUDSDK_CONFIG")
    try:
        return (
            Path(folder) if folder else Path.home() / ".config" / "gcloud"
        ) / "application_default_credentials.json"
    except RuntimeError:  # a service without a home
        return None


def _has_metadata_server(session: Session) -> bool:
    """Return whether Google's metadata server answers, by one short question.

    It is put at most once a day if there is no answer.
    """
    if os.environ.get("NO_GCE_CHECK", "").lower() == "true":
        return False
    return session.lasting.share(_METADATA_SERVER, lambda: _metadata_server(session)) == "there"


def _metadata_server(session: Session) -> str:
    known = session.texts.get(_METADATA_SERVER)
    if known is not None:
        return known
    if _probe():
        return session.texts.put(_METADATA_SERVER, "there")
    return session.texts.put(_METADATA_SERVER, "none", PROBED_EVERY_SECONDS)


def _probe() -> bool:
    address = os.environ.get("GCE_METADATA_IP") or "169.254.169.254"
    flavor = {"Metadata-Flavor": "Google"}
    request = Request(
        f"http://{address}", "token", "Google's metadata server", headers=flavor, longest_bytes=0
    )
    connections = Connections(PROBE_LIMITS)
    try:
        answer = connections.exchange(request)
    except Broken:
        return False
    finally:
        connections.close()
    return answer.status == 200 and answer.headers.get("metadata-flavor") == "Google"


# ---------------------------------------------------------------------------------------------- what is there


def _read(path: str) -> Mapping[str, Any]:
    remedy = f"put the service account's JSON key at {path}, readable for the updater, or correct the path"
    try:
        with Path(path).open("rb") as file:
            text = file.read(LONGEST_FILE_BYTES)
    except OSError as error:
        raise _Unusable(f"the key file {path} cannot be read: {error.strerror}", remedy) from None
    try:
        info = untrusted_json.read(text)
    except ValueError as error:
        raise _Unusable(f"the key file {path} cannot be used: {error}", remedy) from None
    if not isinstance(info, dict):
        raise _Unusable(f"the key file {path} holds no JSON object", remedy)
    return info


def _service_account(path: str, info: Mapping[str, Any]) -> Any:
    kind = str(info.get("type"))[:40]
    if kind != "service_account":
        remedy = f"write a service account's key there, or name this file in {FROM_ENVIRONMENT} instead"
        raise _Unusable(f"the key file {path} is of another type ({kind}) than service_account", remedy)
    from google.oauth2 import service_account

    make = service_account.Credentials.from_service_account_info
    return _made(path, lambda: make(info, scopes=SCOPES))  # type: ignore[no-untyped-call]


def _any_kind(path: str, ask: Callable[..., Any]) -> Any:
    info = _read(path)
    if info.get("type") == "service_account":
        return _service_account(path, info)
    import google.auth
    from google.auth.credentials import with_scopes_if_required

    def make() -> Any:
        with warnings.catch_warnings():
            # its concern is files from strangers; this is ours
            warnings.simplefilter("ignore", DeprecationWarning)
            load: Any = google.auth.load_credentials_from_dict
            credentials, _ = load(info, request=ask)
        return with_scopes_if_required(credentials, SCOPES)  # type: ignore[no-untyped-call]

    return _made(path, make)


def _made(path: str, make: Callable[[], Any]) -> Any:
    from google.auth.exceptions import GoogleAuthError

    try:
        return make()
    except (GoogleAuthError, *_UNEXPECTED):  # their texts may quote the file
        remedy = "create a new key in Google Cloud and put it there whole"
        raise _Unusable(f"the key file {path} lacks a field, or its key is damaged", remedy) from None


def _unexpected(error: Exception, source: str) -> _Unusable:
    """Return the error for what google-auth raises for a malformed file or answer, by its name alone."""
    if isinstance(error, OSError):
        why = f"{source} names {error.filename}, which cannot be read: {error.strerror}"
        return _Unusable(why, "correct its credential_source, or put a readable file there")
    why = (
        f"with {source} no token is to be had: something on the way is not what it should be "
        f"({type(error).__name__})"
    )
    return _Unusable(
        why, f"check the credential_source and the addresses of {source}; {untrusted_json.IN_THE_WAY}"
    )


def _refusal(error: Exception, name: str, source: str) -> tuple[str, str]:
    """Return why no token was given, in words without secrets, and what to do."""
    said = (
        error.args[0] if error.args and isinstance(error.args[0], str | Exception) else type(error).__name__
    )
    text = on_one_line(str(said))
    why = f"Google's token server refuses {name}: {_SECRET_LIKE.sub('***', text)[:200]}"
    if _CLOCK.search(text):
        return why, "set this machine's clock: Google does not take what is signed at another time"
    return why, f"check that the account still exists, and its key or settings in {source}"


def _request_function(transport: Transport) -> Callable[..., Any]:
    """Return how google-auth asks (google.auth.transport.Request): by our transport, with its limits.

    What the transport raises goes through google-auth as it is.
    """

    def ask(
        url: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> Any:
        data = body.encode() if isinstance(body, str) else body
        request = Request(
            url, "token", "Google's token", method, dict(headers or {}), None, data, ERROR_BYTES
        )
        answer = transport.send(request)
        return _Reply(answer.status, answer.headers, answer.body)

    return ask
