"""Quay: the distribution protocol, and the API of quay.io, which knows since when each tag names its image.

`GET /api/v1/repository/{repository}/tag/` answers without a login for public repositories
(https://docs.quay.io/api/; quay/quay, endpoints/api/tag.py). Private ones want an OAuth token that no pull
needs; a robot's password is none, so nothing is sent there but the question.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from updater_core.models import ImageRef, RegistrySettings
from updater_core.net import untrusted_json
from updater_core.registries.auth.access import Access
from updater_core.registries.oci import OciRegistry
from updater_core.registries.session import Session, site_of
from updater_core.registries.tag_api import Page, TagApi, TimedRegistry, rows_of, tag_of
from updater_core.registries.transport import Answer, Request


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> TimedRegistry:
    """Quay, as a service with these settings may use it."""
    return TimedRegistry(OciRegistry(site_of(reference, settings, session.hub), session), session, _API)


def _first_url(access: Access) -> str:
    repository = f"{access.base}/api/v1/repository/{quote(access.repository)}"
    return f"{repository}/tag/?onlyActiveTags=true&limit=100&page=1"


def _ask(session: Session, _: Access, request: Request) -> Answer:
    return session.transport.send(request)


def _read(url: str, answer: Answer) -> Page:
    body = untrusted_json.read(answer.body)
    rows = rows_of(body["tags"])
    tags = tuple(
        tag for row in rows for tag in tag_of(row.get("name"), row.get("manifest_digest"), _since(row))
    )
    page, number = url.rpartition("=")[::2]
    return Page(tags, f"{page}={int(number) + 1}" if body.get("has_additional") is True else None)


def _since(row: dict[str, Any]) -> datetime | None:
    since = str(row.get("start_ts"))
    return datetime.fromtimestamp(int(since), UTC) if re.fullmatch(r"[1-9]\d{0,10}", since) else None


_API = TagApi(_first_url, _ask, _read)
