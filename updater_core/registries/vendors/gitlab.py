"""GitLab: the distribution protocol, and its registry's metadata API, which knows when tags were published.

`GET /gitlab/v1/repositories/{path}/tags/list/` is at the registry's own host and takes the registry's own
token for a pull (gitlab-org/container-registry, docs/spec/gitlab/api.md). A tag is published when it is
created or moved.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from updater_core.models import ImageRef, RegistrySettings
from updater_core.net import untrusted_json
from updater_core.registries.auth.access import Access
from updater_core.registries.oci import OciRegistry
from updater_core.registries.session import Session, site_of
from updater_core.registries.tag_api import Page, TagApi, TimedRegistry, moment, rows_of, tag_of
from updater_core.registries.tag_list import next_link
from updater_core.registries.transport import Answer, Request

PAGE_SIZE = 1000  # the API's most


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> TimedRegistry:
    """GitLab's registry, as a service with these settings may use it."""
    return TimedRegistry(OciRegistry(site_of(reference, settings, session.hub), session), session, _API)


def _first_url(access: Access) -> str:
    return f"{access.base}/gitlab/v1/repositories/{access.repository}/tags/list/?n={PAGE_SIZE}"


def _ask(session: Session, access: Access, request: Request) -> Answer:
    return session.ask(access, request)


def _read(_: str, answer: Answer) -> Page:
    rows = rows_of(untrusted_json.read(answer.body))
    tags = tuple(tag for row in rows for tag in tag_of(row.get("name"), row.get("digest"), _published(row)))
    return Page(tags, next_link(answer.headers.get("link", "")))


def _published(row: dict[str, Any]) -> datetime | None:
    """Return the later of creation and last move.

    That is what `published_at` is; older registries do not send it.
    """
    moments = [moment(row.get(key)) for key in ("published_at", "updated_at", "created_at")]
    return max((each for each in moments if each), default=None)


_API = TagApi(_first_url, _ask, _read)
