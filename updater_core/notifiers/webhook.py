"""The webhook: one event as a signed JSON POST to an address of the operator's."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from updater_core import __version__
from updater_core.errors import Unanswered, Unreachable, UpdaterError
from updater_core.models import Event, Secret, Settings
from updater_core.net.http import REDIRECTS, Answer, Broken, Connections, Limits, Request
from updater_core.notifiers.chats import chat_at
from updater_core.notifiers.redaction import without_address
from updater_core.notifiers.sender import AddressSender
from updater_core.state.codec import encode
from updater_core.vocabulary.dated import ReleaseStep

# A receiver that does its work before it answers takes its time: who is cut off is sent the event again.
LIMITS = Limits(connect_seconds=10.0, read_seconds=45.0, whole_seconds=60.0)
SIGNATURE = "X-Updater-Signature"
_REDIRECTS_FOLLOWED = 3
_OF_A_CHAT = (
    "If a chat is behind this address (Slack, Discord, Teams and others), it takes only messages of its own "
    "form: put its address into NOTIFY_URLS in place of WEBHOOK_URL. "
)
_REMEDY = "Check WEBHOOK_URL and its receiver; the event stays queued and is tried again."


def senders(settings: Settings) -> Sequence[AddressSender]:
    """Return what sends an event under these settings; nothing if WEBHOOK_URL is not set."""
    url, secret = settings.webhook_url, settings.webhook_secret
    return [AddressSender("", lambda event: send(event, url, secret))] if url else []


def problems(settings: Settings) -> Sequence[str]:
    """Return whether the address is one that cannot take an event: a chat's."""
    chat = chat_at(settings.webhook_url.reveal()) if settings.webhook_url else None
    if chat is None:
        return ()
    name, scheme = chat
    return (
        f"WEBHOOK_URL: this is an address of {name}, which takes only messages of its own form; put it into "
        f"NOTIFY_URLS, as Apprise writes it ({scheme}…, see https://github.com/caronc/apprise/wiki)",
    )


def send(event: Event, url: Secret, secret: Secret | None = None) -> None:
    """POST the event; any 2xx is success, everything else an UpdaterError.

    With `secret` the header X-Updater-Signature holds `sha256=` and the hexadecimal HMAC-SHA256 (RFC 2104) of
    the body. The URL may hold a token: it is in no message, and a redirect that leaves its host (or its TLS)
    is not followed.
    """
    # Once, before any redirect: the signature is over these very bytes.
    body = json.dumps(body_of(event)).encode("ascii")
    address = url.reveal()
    # Receivers move behind a path or to https; more than a few in a row is a loop.
    for _ in range(_REDIRECTS_FOLLOWED + 1):
        answer = _post(address, body, _headers(body, secret))
        if 200 <= answer.status < 300:
            return
        location = answer.headers.get("location") if answer.status in REDIRECTS else None
        if location is None:
            raise _refusal(answer, url)
        address = _next_address(address, location)
    raise UpdaterError("the webhook redirects without end", _REMEDY)


def body_of(event: Event) -> dict[str, Any]:
    """Return what is posted, as JSON values; docs/webhook.schema.json is its shape.

    A receiver may get an event more than once (its `id` is the same), and gets the events of a service in
    their order.
    """
    return {
        "id": event.id,
        "event": event.kind,
        "service": event.service,
        "time": _time(event.time),
        "host": event.host,
        "from": {"reference": event.from_reference or None, "digest": event.from_digest},
        "to": {"reference": event.to_reference or None, "digest": event.to_digest},
        "reason": event.reason,
        "detail": event.detail,
        "remedy": event.remedy,
        "duration_seconds": event.duration_seconds,
        "release": _release(event.release),
        "evidence": encode(event.evidence),
        "by": _or_null(event.who),
        "approve_url": _or_null(event.approve_url),
        "test": event.is_test,
    }


def _or_null(text: str) -> str | None:
    return text or None


def _release(step: ReleaseStep) -> dict[str, Any]:
    return {
        "from_version": _or_null(step.from_version),
        "to_version": _or_null(step.to_version),
        "size": _or_null(step.size),
        "same_tag": step.is_same_tag,
        "built": _time(step.built_at) if step.built_at else None,
        "notes": _or_null(step.notes_url),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _headers(body: bytes, secret: Secret | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"docker-auto-updater/{__version__}"}
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret.reveal().encode(), body, "sha256").hexdigest()
    return headers


def _refusal(answer: Answer, url: Secret) -> UpdaterError:
    """Return the error for an answer that is no success, in the receiver's words but for the address."""
    said = without_address(answer.quoted(), url)
    words = f': "{said}"' if said else ""
    # A chat's address in WEBHOOK_URL is the usual mistake, and is answered so.
    is_about_the_form = 400 <= answer.status < 500 and answer.status != 429
    remedy = f"{_OF_A_CHAT if is_about_the_form else ''}{_REMEDY}"
    return UpdaterError(f"the webhook answered with HTTP status {answer.status}{words}", remedy)


def _post(address: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Return the answer, with the beginning of its body if it is an error.

    Only the beginning of why it failed is given: the address is not in it, but what a library puts in
    brackets may hold the host.
    """
    request = Request(address, "webhook", "webhook", "POST", headers, body=body, longest_bytes=0)
    try:
        with closing(Connections(LIMITS)) as connections:
            answer = connections.exchange(request)
    except Broken as broken:
        kind = Unreachable if broken.silent else UpdaterError
        # What a library puts in brackets may hold the address, and the address a token.
        why = str(broken).partition(" (")[0]
        # It may have the event: said, for the receiver will see the same id twice.
        if broken.silent and broken.connected:
            why = f"the webhook took the connection, and {why}: it may have the event, and gets it once more"
            raise Unanswered(why, _REMEDY) from None
        raise kind(f"the webhook cannot be reached: {why}", _REMEDY) from None
    return answer


def _next_address(address: str, location: str) -> str:
    """Return the target of a redirect that may be followed: the same host, and not from https to http."""
    following = urljoin(address, location)
    old, new = urlsplit(address), urlsplit(following)
    # The body and the signature were made for this host; the address may hold a token that another must not
    # see.
    if new.hostname != old.hostname or new.scheme not in (old.scheme, "https"):
        raise UpdaterError("the webhook redirects to another host, which is not followed", _REMEDY)
    return following
