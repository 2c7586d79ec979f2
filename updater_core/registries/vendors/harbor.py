"""Any registry of the distribution protocol; some turn out to be a Harbor, whose API knows when tags came.

A Harbor has any name, but its challenge says `service="harbor-registry"` (goharbor/harbor,
src/core/service/token), so that whoever lists its tags knows it without a further question. `GET
/api/v2.0/projects/{project}/repositories/ {repository}/artifacts` (api/v2.0/swagger.yaml) takes the password
of a pull, if that account may list artifacts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from updater_core.models import ImageRef, RegistrySettings, Tag
from updater_core.net import untrusted_json
from updater_core.registries.auth.access import Access
from updater_core.registries.auth.tokens import basic_header
from updater_core.registries.oci import OciRegistry
from updater_core.registries.session import Session, site_of
from updater_core.registries.tag_api import Page, TagApi, TimedRegistry, moment, rows_of, tag_of
from updater_core.registries.tag_list import next_link
from updater_core.registries.transport import Answer, Request

PAGE_SIZE = 100  # the API's most
SERVICE = "harbor-registry"


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> TimedRegistry:
    """Return the registry that serves `reference`, as a service with these settings may use it."""
    return TimedRegistry(OciRegistry(site_of(reference, settings, session.hub), session), session, _API)


def _is_harbor(oci: OciRegistry, reference: ImageRef) -> bool:
    session, access = oci.session, oci.session.access(oci.site, reference.repository)
    key = ("harbor", access.base)
    if key in session.texts:
        return True
    oci.tags(reference)  # no question more: without push times, this list is what is asked for next
    if session.tokens.service(access) != SERVICE or "/" not in access.repository:
        return False
    session.texts.put(key, "known")
    return True


def _first_url(access: Access) -> str:
    """Return the first page's address; slashes are encoded twice, for the API's own proxy decodes once."""
    project, _, repository = access.repository.partition("/")
    place = f"projects/{quote(project)}/repositories/{quote(quote(repository, safe=''), safe='')}"
    return f"{access.base}/api/v2.0/{place}/artifacts?with_tag=true&page_size={PAGE_SIZE}&page=1"


def _ask(session: Session, access: Access, request: Request) -> Answer:
    credential = access.credential
    if credential is None or credential.is_identity_token:
        return session.transport.send(request)
    return session.transport.send(replace(request, authorization=basic_header(credential)))


def _read(_: str, answer: Answer) -> Page:
    tags = tuple(tag for row in rows_of(untrusted_json.read(answer.body)) for tag in _tags(row))
    return Page(tags, next_link(answer.headers.get("link", "")))


def _tags(artifact: dict[str, Any]) -> Iterator[Tag]:
    for tag in artifact.get("tags") or ():
        if isinstance(tag, dict):
            yield from tag_of(tag.get("name"), artifact.get("digest"), moment(tag.get("push_time")))


_API = TagApi(_first_url, _ask, _read, _is_harbor)
