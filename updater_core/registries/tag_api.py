"""A registry of the distribution protocol whose own API knows when each tag was pushed, if it lets us look.

If it refuses (401, 403, 404, 412 and the like), it is left alone for the rest of the day, and our own clock
counts: these APIs often want rights that a pull does not need, and no service shall need more rights than
that. Our own clock counts, too, while the API knows fewer tags than the registry lists: a proxy for another
registry has only what was pulled through it, and an index may be behind. The two are compared at the first
look at a repository, an hour later, and then at growing distances, a day at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from updater_core.errors import AuthFailed, ListIncomplete, NotFound, RegistryError
from updater_core.models import Credential, ImageRef, Tag
from updater_core.net import untrusted_json
from updater_core.protocols import RemoteImage
from updater_core.reference import is_digest, is_tag
from updater_core.registries.auth.access import Access
from updater_core.registries.oci import OciRegistry, is_generated, problem
from updater_core.registries.paging import incomplete, next_address, pages
from updater_core.registries.session import Session
from updater_core.registries.tag_list import LONGEST_PAGE_BYTES
from updater_core.registries.transport import Answer, Request
from updater_core.vocabulary.dated import ImageFacts, ListComparison

# A comparison costs a request for the protocol's list, and the API's further pages. While its result stays
# the same, the next one comes after twice the time, so that a usual cycle costs one request to the API.
LONGEST_BELIEVED_HOURS = 24
# Docker Hub's API takes some 180 requests a minute. Of a longer list, what it gains from then on is compared.
MOST_PAGES_COMPARED = 10
UNFIT_FOR = timedelta(days=1)  # an API that refuses its answers, or its tags
_NEVER = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of tags, and the address of the next one."""

    tags: tuple[Tag, ...]
    next_url: str | None = None


@dataclass(frozen=True, slots=True)
class TagApi:
    """A vendor's list of tags: where it begins, who asks for it, and how an answer reads.

    `applies`: whether the registry has it, by what is known of it without a further question. `read` takes
    the page's address and its answer, and raises ValueError if that is no such list. `place`: where the API
    lives, if not beside the registry. `kind` is for the metrics.
    """

    first_url: Callable[[Access], str]
    ask: Callable[[Session, Access, Request], Answer]
    read: Callable[[str, Answer], Page]
    applies: Callable[[OciRegistry, ImageRef], bool] = lambda _oci, _reference: True
    place: Callable[[Session, Access], Access] = lambda _session, access: access
    kind: str = "tags"


@dataclass(slots=True)
class _TagsRead:
    """What was read of an API's list so far.

    `lacking`: the tags that the registry lists and the API did not show yet. `found`: its tags by name, the
    later push of each. `is_newest_first`: in this order they came. `last`: the push of the last one.
    """

    lacking: set[str]
    found: dict[str, Tag] = field(default_factory=dict)
    is_newest_first: bool = True
    last: datetime = _LATEST

    def add(self, page: Page) -> None:
        """Take in the next page."""
        for tag in page.tags:
            is_in_order = tag.pushed_at is not None and tag.pushed_at <= self.last
            self.is_newest_first = self.is_newest_first and is_in_order
            self.last = tag.pushed_at or self.last
            before = self.found.get(tag.name)
            self.found[tag.name] = tag if before is None or _when(before) < _when(tag) else before
            self.lacking.discard(tag.name)


@dataclass(frozen=True, slots=True)
class TimedRegistry:
    """A `protocols.Registry` with a vendor's list of tags beside the protocol.

    Safe to use from many threads.
    """

    oci: OciRegistry
    session: Session
    api: TagApi

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the tag now: one HEAD."""
        return self.oci.digest(reference)

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag, from the registry itself."""
        return self.oci.tags(reference)

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time of the image for `platform`."""
        return self.oci.created(reference, platform)

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return what the reference's digest leads to on `platform`."""
        return self.oci.image(reference, platform, in_full=in_full)

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """Return what the image says of itself."""
        return self.oci.facts(reference, platform)

    def credential(self) -> Credential | None:
        """Return what we have for this registry."""
        return self.oci.credential()

    def check(self, reference: ImageRef) -> str:
        """Ask for the reference's digest; return who the registry took us for."""
        return self.oci.check(reference)

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """Return the tags that `wanted` accepts with digests and push times, newest first.

        None if the API refuses, or lacks tags.

        Reading ends early only if nothing newer than the reference's own tag can follow: every page so far
        came newest first, and that tag, accepted too, has been among them. Without a tag in the reference
        there is no such end: who wants older tags as well asks for the repository. Raises RegistryError or
        one of its kinds if a page is missing.
        """
        access = self.api.place(self.session, self.session.access(self.oci.site, reference.repository))
        unfit = ("no push times", access)
        if unfit in self.session.texts or not self.api.applies(self.oci, reference):
            return None
        compared = self.session.comparisons.get(reference.key)
        is_due = compared is None or compared.until <= self.session.clock.now()
        if compared is not None and not is_due and not compared.is_complete:
            return None
        listed = self._listed(reference) if is_due else None
        reading = self._read_tags(access, reference, wanted, listed or frozenset())
        if reading is None:
            self.session.texts.put(unfit, "refused", UNFIT_FOR.total_seconds())
            return None
        if is_due and not self._compare(reference, compared, is_complete=not reading.lacking):
            return None
        real = (tag for tag in reading.found.values() if is_tag(tag.name) and not is_generated(tag.name))
        chosen = [tag for tag in real if wanted(tag.name)]
        return tuple(sorted(chosen, key=lambda tag: (_when(tag), tag.name), reverse=True))

    def _listed(self, reference: ImageRef) -> frozenset[str]:
        """Return the names of the protocol's list, all of which the API has to know, too.

        There are none if the registry refuses to list them, or lists only a part: the API is all there is.
        """
        try:
            return frozenset(tag.name for tag in self.oci.tags(reference))
        except (AuthFailed, NotFound, ListIncomplete):
            return frozenset()

    def _compare(self, reference: ImageRef, before: ListComparison | None, *, is_complete: bool) -> bool:
        """Return whether the API knows every tag, and remember it: the longer the more often it was so."""
        is_as_before = before is not None and before.is_complete == is_complete
        hours = min(2 * before.hours, LONGEST_BELIEVED_HOURS) if before and is_as_before else 1
        until = self.session.clock.now() + timedelta(hours=hours)
        return self.session.comparisons.put(
            reference.key, ListComparison(is_complete, hours, until)
        ).is_complete

    def _read_tags(
        self, access: Access, reference: ImageRef, wanted: Callable[[str], bool], listed: frozenset[str]
    ) -> _TagsRead | None:
        """Return the API's tags that matter and what it lacks of `listed`; None if it refuses."""
        key = ("known to the API", access)
        reading = _TagsRead(lacking=set(listed - (self.session.known_names.get(key) or frozenset())))
        host, repository, first = access.host, access.repository, self.api.first_url(access)
        past_own = 0  # pages that are read for the comparison alone
        for number, page in enumerate(pages(host, repository, first, partial(self._page, access))):
            if page is None and past_own:  # further pages may want more rights than the first ones
                reading.lacking.clear()
                break
            if page is None and number:
                raise incomplete(host, repository, f"page {number + 1} is refused")
            if page is None:
                return None
            reading.add(page)
            if reading.is_newest_first and reference.tag in reading.found and wanted(reference.tag or ""):
                if past_own == MOST_PAGES_COMPARED:
                    reading.lacking.clear()
                if not reading.lacking:
                    break
                past_own += 1
        if listed:
            self.session.known_names.put(key, listed - reading.lacking)
        return reading

    def _page(self, access: Access, url: str) -> tuple[Page | None, str | None]:
        """Return a page, asked for once in a cycle, and the next one's address; no page if refused."""
        page = self.session.cycle.get(("push times", access, url), lambda: self._allowed_page(access, url))
        if page is None or page.next_url is None:
            return page, None
        names = [tag.name for tag in page.tags]
        return page, next_address(access.host, access.repository, url, page.next_url, names)

    def _allowed_page(self, access: Access, url: str) -> Page | None:
        try:
            return self._ask_page(access, url)
        except AuthFailed:
            return None

    def _ask_page(self, access: Access, url: str) -> Page | None:
        request = Request(url, self.api.kind, f"{access.repository}: tags", longest_bytes=LONGEST_PAGE_BYTES)
        answer = self.api.ask(self.session, access, request)
        if 400 <= answer.status < 500:  # a pause (429) was raised, and waited out if it is short
            return None
        if answer.status != 200:
            raise problem(access, answer, "tags")
        try:
            page = self.api.read(url, answer)
        except (ValueError, KeyError, TypeError, AttributeError):
            message = f"{access.repository}: its answer is no list of tags"
            raise RegistryError(access.host, message, untrusted_json.IN_THE_WAY) from None
        return page


def rows_of(answer: object) -> list[dict[str, Any]]:
    """Return the rows of a list that an API gave.

    Raises ValueError if it is no list, so that it never passes for an empty one.
    """
    if not isinstance(answer, list):
        raise ValueError("it is no list")
    return [row for row in answer if isinstance(row, dict)]


def tag_of(name: object, digest: object, pushed_at: datetime | None) -> Iterator[Tag]:
    """Return the tag, if what an API says of it is one; a digest that is none is left out."""
    if isinstance(name, str):
        yield Tag(name, digest if isinstance(digest, str) and is_digest(digest) else None, pushed_at)


def moment(text: object) -> datetime | None:
    """Return a time as APIs write it, in UTC; None for what is none, and for the year 1 that stands for none.

    >>> moment("2025-05-01T02:00:00.5+02:00")
    datetime.datetime(2025, 5, 1, 0, 0, 0, 500000, tzinfo=datetime.timezone.utc)
    """
    try:
        found = datetime.fromisoformat(str(text))
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year > 1 else None


def _when(tag: Tag) -> datetime:
    return tag.pushed_at or _NEVER
