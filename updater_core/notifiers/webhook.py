"""The webhook: one event as a signed JSON POST to an address of the operator's."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC
from typing import Any
from urllib.parse import urljoin, urlsplit

from updater_core import __version__
from updater_core.errors import Unreachable, UpdaterError
from updater_core.models import Event, Secret, Settings
from updater_core.net.http import REDIRECTS, Broken, Connections, Limits, Request

LIMITS = Limits(connect_seconds=10.0, read_seconds=10.0)
SIGNATURE = "X-Updater-Signature"
_REDIRECTS_FOLLOWED = 3
_REMEDY = "Check WEBHOOK_URL and its receiver; the event stays queued and is tried again."


def senders(settings: Settings) -> Sequence[tuple[str, Callable[[Event], None]]]:
    """Return what sends an event under these settings; nothing if WEBHOOK_URL is not set."""
    url, secret = settings.webhook_url, settings.webhook_secret
    return [("", lambda event: send(event, url, secret))] if url else []


def send(event: Event, url: Secret, secret: Secret | None = None) -> None:
    """POST the event; any 2xx is success, everything else an UpdaterError.

    With `secret` the header X-Updater-Signature holds `sha256=` and the hexadecimal HMAC-SHA256 (RFC 2104) of the body.
    The URL may hold a token: it is in no message, and a redirect that leaves its host (or its TLS) is not followed.
    """
    body = json.dumps(body_of(event)).encode("ascii")
    address = url.reveal()
    for _ in range(_REDIRECTS_FOLLOWED + 1):
        status, location = _post(address, body, _headers(body, secret))
        if 200 <= status < 300:
            return
        if location is None:
            raise UpdaterError(f"the webhook answered with HTTP status {status}", _REMEDY)
        address = _next_address(address, location)
    raise UpdaterError("the webhook redirects without end", _REMEDY)


def body_of(event: Event) -> dict[str, Any]:
    """What is posted, as JSON values; docs/webhook.schema.json is its shape.

    A receiver may get an event more than once (its `id` is the same), and gets the events of a service in their order.
    """
    return {
        "id": event.id,
        "event": event.kind,
        "service": event.service,
        "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "host": event.host,
        "from": {"reference": event.from_reference or None, "digest": event.from_digest},
        "to": {"reference": event.to_reference or None, "digest": event.to_digest},
        "reason": event.reason,
        "detail": event.detail,
        "remedy": event.remedy,
        "duration_seconds": event.duration_seconds,
        "test": event.is_test,
    }


def _headers(body: bytes, secret: Secret | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": f"docker-auto-updater/{__version__}"}
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret.reveal().encode(), body, "sha256").hexdigest()
    return headers


def _post(address: str, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
    """Return the status, and the target of a redirect.

    Only the beginning of why it failed is quoted: the address is not in it, but what a library puts in brackets may
    hold the host.
    """
    request = Request(address, "webhook", "webhook", "POST", headers, body=body, longest_bytes=0)
    try:
        with closing(Connections(LIMITS)) as connections:
            answer = connections.exchange(request)
    except Broken as broken:
        kind = Unreachable if broken.silent else UpdaterError
        raise kind(f"the webhook cannot be reached: {str(broken).partition(' (')[0]}", _REMEDY) from None
    return answer.status, answer.headers.get("location") if answer.status in REDIRECTS else None


def _next_address(address: str, location: str) -> str:
    """Return the target of a redirect that may be followed: the same host, and not from https to http."""
    following = urljoin(address, location)
    old, new = urlsplit(address), urlsplit(following)
    if new.hostname != old.hostname or new.scheme not in (old.scheme, "https"):
        raise UpdaterError("the webhook redirects to another host, which is not followed", _REMEDY)
    return following
