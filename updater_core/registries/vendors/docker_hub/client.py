"""Docker Hub: the distribution protocol, and the API of hub.docker.com, which knows when each tag was pushed.

The API is https://docs.docker.com/reference/api/hub/latest/ (`/v2/auth/token`,
`.../repositories/{repo}/tags`). The order of its list is not documented, so it is never trusted, only
checked. Its tokens and the registry's are different things; a repository that answers without one is asked
without one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from updater_core.errors import RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Secret, Tag
from updater_core.net import untrusted_json
from updater_core.reference import HUB
from updater_core.registries.auth.access import Access
from updater_core.registries.mirrors import MirroredHub
from updater_core.registries.oci import OciRegistry
from updater_core.registries.session import Session, site_of
from updater_core.registries.tag_api import Page, TagApi, TimedRegistry, moment, rows_of, tag_of
from updater_core.registries.transport import ERROR_BYTES, Answer, Request
from updater_core.vocabulary.untrusted import is_token

PAGE_SIZE = 100  # the API's most
_EARLY_SECONDS, _LONGEST_SECONDS = 60.0, 86400.0


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> MirroredHub:
    """Docker Hub, as a service with these settings may use it.

    Raises RegistryError if the image is from elsewhere.
    """
    if reference.domain != HUB:
        message = f"{reference.key} does not live on Docker Hub, but its registry type says docker_hub"
        raise RegistryError(reference.domain, message, "leave registry_type out, or set it to generic")
    hub = TimedRegistry(OciRegistry(site_of(reference, settings, session.hub), session), session, _API)
    return MirroredHub(hub, session)


def _place(session: Session, access: Access) -> Access:
    return replace(access, base=session.hub.api)


def _first_url(api: Access) -> str:
    namespace, _, repository = api.repository.partition("/")
    place = f"{quote(namespace, safe='')}/repositories/{quote(repository, safe='')}"
    return f"{api.base}/v2/namespaces/{place}/tags?page_size={PAGE_SIZE}&ordering=last_updated"


def _read(_: str, answer: Answer) -> Page:
    body = untrusted_json.read(answer.body)
    tags = tuple(tag for row in rows_of(body["results"]) for tag in _tag(row))
    return Page(tags, _next(body.get("next")))


def _tag(row: Mapping[str, Any]) -> Iterator[Tag]:
    return tag_of(row.get("name"), row.get("digest"), moment(row.get("tag_last_pushed")))


def _next(address: object) -> str | None:
    if address is not None and not isinstance(address, str):
        raise ValueError("its next page has no address")
    return address


def _ask(session: Session, api: Access, request: Request) -> Answer:
    """Ask without a login while that is enough: Docker Hub hides private repositories as 404."""
    key = ("hub private", api.repository, session.clock.now().date())
    known = key in session.texts
    answer = None if known else session.transport.send(request)
    if answer and (answer.status not in (401, 403, 404) or not _can_log_in(api)):
        return answer
    answer = session.transport.send(replace(request, authorization=f"Bearer {_token(session, api)}"))
    if answer.status == 401 and session.vendor_tokens.drop(_pass_key(api)):  # revoked before its end
        answer = session.transport.send(replace(request, authorization=f"Bearer {_token(session, api)}"))
    if answer.status == 200:
        session.texts.put(key, "private")
    return answer


def _token(session: Session, api: Access) -> str:
    """Return a token of the API: the one that was granted, until it ends, which may be after this cycle."""
    credential = api.credential
    if credential is None or session.tokens.is_refused(_login_url(api), credential):
        raise api.refusal("the login was refused a short while ago and is not tried again for some minutes")
    key = _pass_key(api)
    known = session.vendor_tokens.get(key)
    return known.reveal() if known else session.cycle.get(key, lambda: _log_in(session, api, credential))


def _pass_key(api: Access) -> Hashable:
    return "hub token", api.base, api.credential


def _login_url(api: Access) -> str:
    return f"{api.base}/v2/auth/token"


def _lifetime_seconds(token: str, now: datetime) -> float:
    """Return how long a token is sent: a minute less than it says itself, a day at most.

    It says so as `exp` (RFC 7519, 4.1.4); 0 if it says nothing.

    >>> _lifetime_seconds("not.a.token", datetime(2025, 1, 1))
    0.0
    """
    try:
        payload = token.split(".")[1]
        said = untrusted_json.read(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        seconds = float(said) - now.timestamp() - _EARLY_SECONDS
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_SECONDS)


def _log_in(session: Session, api: Access, credential: Credential) -> str:
    form = {"identifier": credential.username, "secret": credential.secret.reveal()}
    headers = {"Content-Type": "application/json"}
    body, what = json.dumps(form).encode(), f"{api.repository}: login"
    answer = session.transport.send(
        Request(_login_url(api), "hub_token", what, "POST", headers, None, body, ERROR_BYTES)
    )
    # what an organisation's access token gets here, though it is good for pulls
    if 400 <= answer.status < 500:
        session.tokens.refuse(_login_url(api), credential)
        remedy = "set DOCKER_HUB_PASSWORD to a personal access token that may read this repository"
        raise api.refusal(f"it refuses the login as {credential.username}", remedy)
    token = _field(answer.body, "access_token")
    if answer.status != 200 or not is_token(token):
        message = f"{api.repository}: it gives no token (status {answer.status})"
        raise RegistryError(api.host, message, untrusted_json.IN_THE_WAY)
    session.vendor_tokens.put(_pass_key(api), Secret(token), _lifetime_seconds(token, session.clock.now()))
    return token


def _can_log_in(api: Access) -> bool:
    return api.credential is not None and not api.credential.is_identity_token


def _field(body: bytes, key: str) -> str:
    try:
        value = untrusted_json.read(body)[key]
    except (ValueError, KeyError, TypeError):
        return ""
    return value if isinstance(value, str) else ""


_API = TagApi(_first_url, _ask, _read, place=_place, kind="hub_tags")
