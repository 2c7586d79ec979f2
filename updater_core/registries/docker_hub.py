"""Docker Hub: the distribution protocol, and the API of hub.docker.com, which knows when each tag was pushed.

The API is https://docs.docker.com/reference/api/hub/latest/ (`/v2/auth/token`, `.../repositories/{repo}/tags`). The
order of its list is not documented, so it is never trusted, only checked. Its tokens and the registry's are different
things; a repository that answers without one is asked without one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from updater_core.errors import RateLimited, RegistryError
from updater_core.models import Credential, ImageRef, RegistrySettings, Tag
from updater_core.reference import HUB, is_digest, is_tag
from updater_core.registries.auth import Access
from updater_core.registries.challenge import same_origin
from updater_core.registries.oci import OciRegistry, problem
from updater_core.registries.session import Session, site_of
from updater_core.registries.transport import ERROR_BYTES, Answer, Request

PAGE_SIZE = 100  # the API's most
MOST_PAGES = 1000


def open_registry(reference: ImageRef, settings: RegistrySettings, session: Session) -> HubRegistry:
    """Docker Hub, as a service with these settings may use it; raise RegistryError for images from elsewhere."""
    if reference.domain != HUB:
        message = f"{reference.key} does not live on Docker Hub, but its registry type says docker_hub"
        raise RegistryError(reference.domain, message, "leave registry_type out, or set it to generic")
    return HubRegistry(OciRegistry(site_of(reference, settings, session.hub), session), session)


@dataclass(frozen=True, slots=True)
class HubRegistry:
    """A `protocols.Registry` for Docker Hub. Safe to use from many threads."""

    oci: OciRegistry
    session: Session

    def digest(self, reference: ImageRef) -> str:
        """The digest behind the tag now: one HEAD, which is not counted as a pull."""
        return self.oci.digest(reference)

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Every tag, from the registry itself."""
        return self.oci.tags(reference)

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """The build time of the image for `platform`."""
        return self.oci.created(reference, platform)

    def credential(self) -> Credential | None:
        """What we have for Docker Hub."""
        return self.oci.credential()

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest; return who the registry took us for."""
        return self.oci.check(reference)

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """The tags that `wanted` accepts, newest push first, with their digests where the API tells them.

        Reading ends early only where nothing newer than the reference's own tag can follow: every page so far came
        newest first, and that tag, accepted too, has been among them. Without a tag in the reference there is no such
        end: who wants older tags as well asks for the repository. Raise RegistryError or one of its kinds where a page
        is missing.
        """
        found: dict[str, Tag] = {}
        for page in self._pages(reference):
            _merge(found, page.tags)
            own = found.get(reference.tag) if reference.tag else None
            if own and own.pushed_at and wanted(own.name) and page.is_newest_first:
                break
        chosen = [tag for tag in found.values() if wanted(tag.name)]
        return tuple(sorted(chosen, key=lambda tag: (tag.pushed_at or _NEVER, tag.name), reverse=True))

    def _pages(self, reference: ImageRef) -> Iterator[_Page]:
        """The pages of the tag list, each asked for once in a cycle; `is_newest_first` speaks of all up to it."""
        api = self._api_access(reference)
        url: str | None = _first_url(api)
        last, newest_first, seen = _LATEST, True, set[str]()
        while url:
            if url in seen or len(seen) >= MOST_PAGES:
                raise _incomplete(api, len(seen) + 1, "the pages do not come to an end")
            seen.add(url)
            page = self._page(api, url, len(seen))
            for tag in page.tags:
                newest_first = newest_first and tag.pushed_at is not None and tag.pushed_at <= last
                last = tag.pushed_at or last
            yield replace(page, is_newest_first=newest_first)
            url = page.next_url

    def _api_access(self, reference: ImageRef) -> Access:
        return replace(self.session.access(self.oci.site, reference.repository), base=self.session.hub.api)

    def _page(self, api: Access, url: str, number: int) -> _Page:
        try:
            return self.session.once.get(("hub tags", api, url), lambda: self._ask_page(api, url))
        except RegistryError as error:
            if number == 1 or isinstance(error, RateLimited):
                raise
            raise _incomplete(api, number, str(error)) from error

    def _ask_page(self, api: Access, url: str) -> _Page:
        answer = self._ask(api, Request(url, "hub_tags", f"{api.repository}: tags"))
        if answer.status != 200:
            raise problem(api, answer, "tags")
        try:
            body = json.loads(answer.body)
            rows = body["results"]
            following = body.get("next")
        except (ValueError, KeyError, TypeError, AttributeError):
            rows, following = None, None
        if not isinstance(rows, list):
            raise RegistryError(api.host, f"{api.repository}: it answered with something that is no list of tags")
        if following is not None and not isinstance(following, str):
            raise _incomplete(api, 1, "its next page has no address")
        return _Page(tuple(t for row in rows if (t := _tag(row))), _checked_next(api, url, following))

    def _ask(self, api: Access, request: Request) -> Answer:
        """Ask without a login while that is enough, then with one: Docker Hub hides private repositories as 404."""
        key = ("hub private", api.repository, self.session.clock.now().date())
        known = self.session.kept.knows(key)
        answer = None if known else self.session.transport.send(request)
        if answer and (answer.status not in (401, 403, 404) or not _can_log_in(api)):
            return answer
        token = self._token(api)
        answer = self.session.transport.send(replace(request, authorization=f"Bearer {token}"))
        if answer.status == 200:
            self.session.kept.get(key, lambda: "private")
        return answer

    def _token(self, api: Access) -> str:
        """A token of the API for this cycle."""
        credential = api.credential
        if credential is None or self.session.tokens.is_refused(api.host, credential):
            raise api.refusal("the login was refused a short while ago and is not tried again for some minutes")
        return self.session.once.get(("hub token", api.base, credential), lambda: self._log_in(api, credential))

    def _log_in(self, api: Access, credential: Credential) -> str:
        form = {"identifier": credential.username, "secret": credential.secret.reveal()}
        headers = {"Content-Type": "application/json"}
        body, what = json.dumps(form).encode(), f"{api.repository}: login"
        url = f"{api.base}/v2/auth/token"
        answer = self.session.transport.send(Request(url, "hub_token", what, "POST", headers, None, body, ERROR_BYTES))
        if answer.status in (401, 403):
            self.session.tokens.refuse(api.host, credential)
            remedy = "set DOCKER_HUB_PASSWORD to a personal access token that may read this repository"
            raise api.refusal(f"it refuses the login as {credential.username}", remedy)
        token = _field(answer.body, "access_token")
        if answer.status != 200 or not token or not token.isascii() or not token.isprintable():
            raise RegistryError(api.host, f"{api.repository}: it gives no token (status {answer.status})")
        return token


@dataclass(frozen=True, slots=True)
class _Page:
    tags: tuple[Tag, ...]
    next_url: str | None
    is_newest_first: bool = False


_NEVER = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


def _first_url(api: Access) -> str:
    namespace, _, repository = api.repository.partition("/")
    place = f"{quote(namespace, safe='')}/repositories/{quote(repository, safe='')}"
    return f"{api.base}/v2/namespaces/{place}/tags?page_size={PAGE_SIZE}&ordering=last_updated"


def _checked_next(api: Access, url: str, following: str | None) -> str | None:
    if not following:
        return None
    target = urljoin(url, following)
    if not same_origin(target, api.base):
        raise RegistryError(
            api.host, f"{api.repository}: the list of tags is incomplete: it goes on at {urlsplit(target).netloc}"
        )
    return target


def _tag(row: object) -> Tag | None:
    """A row of the list; None for what is no tag."""
    if not isinstance(row, dict) or not isinstance(row.get("name"), str) or not is_tag(row["name"]):
        return None
    digest = row.get("digest")
    return Tag(row["name"], digest if isinstance(digest, str) and is_digest(digest) else None, _moment(row))


def _moment(row: Mapping[str, Any]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(row.get("tag_last_pushed")))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _merge(found: dict[str, Tag], tags: tuple[Tag, ...]) -> None:
    """Pages shift while tags are pushed: of a tag that comes twice the newer one is right."""
    for tag in tags:
        known = found.get(tag.name)
        if known is None or (tag.pushed_at or _NEVER) > (known.pushed_at or _NEVER):
            found[tag.name] = tag


def _can_log_in(api: Access) -> bool:
    return api.credential is not None and not api.credential.is_identity_token


def _field(body: bytes, key: str) -> str:
    try:
        value = json.loads(body)[key]
    except (ValueError, KeyError, TypeError):
        return ""
    return value if isinstance(value, str) else ""


def _incomplete(api: Access, page: int, why: str) -> RegistryError:
    message = f"{api.repository}: the list of tags is incomplete: page {page}: {why}"
    return RegistryError(api.host, message, "nothing is decided on a part of the tags; it is asked again next time")
