"""The names of a repository's tags by the distribution protocol: all of them, or an error.

`GET /v2/<name>/tags/list?n=<count>&last=<tag>` is the specification's "Listing Tags"
(https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags). Registries that cut a
list without a `Link` to the next page exist (Nexus), so a page that is just as long as what was asked for is
never believed to be the last one: what comes after it is asked for, with `last`. Neither is one with a `Link`
that says nothing clear, nor a first one of a round length, which may be the registry's own most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from updater_core.caching.cache import Cache
from updater_core.errors import RegistryError
from updater_core.net import untrusted_json
from updater_core.registries.auth.access import Access
from updater_core.registries.paging import incomplete, next_address, pages
from updater_core.registries.transport import Answer, Request

PAGE_SIZE = 1000  # Amazon answers 405 to more
LONGEST_PAGE_BYTES = 32 << 20  # Google lists everything on one page

_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)')
_NEXT = re.compile(
    r""";\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|'next'|next(?=[\s;]|$))""", re.IGNORECASE
)
_RELATION = re.compile(r";\s*rel\s*=\s*[^\s;]", re.IGNORECASE)

Problem = Callable[[Access, Answer, str], RegistryError]


@dataclass(frozen=True, slots=True)
class NamePage:
    """The names on one page, and how the list goes on.

    `length`: how many entries it has (some may be no names). `link`: what its `Link` calls the next page.
    `is_unclear`: it has a `Link` of which nobody knows what it means.
    """

    names: tuple[str, ...]
    length: int
    link: str | None = None
    is_unclear: bool = False


@dataclass(slots=True)
class TagNames:
    """One reading of a tag list.

    `ask` puts a question, `problem` makes the error of an answer without success, `memory` keeps pages with
    their ETags.
    """

    access: Access
    ask: Callable[[Request], Answer]
    problem: Problem
    memory: Cache[tuple[str, object]]
    found: dict[str, None] = field(default_factory=dict)
    own_most: int = 0  # of the registry, if that is what the first page's length may be

    def read(self) -> tuple[str, ...]:
        """Return the names in the order in which they came. Raises RegistryError or one of its kinds."""
        first = f"{self.access.base}/v2/{self.access.repository}/tags/list?n={PAGE_SIZE}"
        for names in pages(self.access.host, self.access.repository, first, self._page):
            self.found.update(dict.fromkeys(names))
        return tuple(self.found)

    def _page(self, url: str) -> tuple[tuple[str, ...], str | None]:
        page, access = self._answered(url), self.access
        if page.link is not None:
            return page.names, next_address(access.host, access.repository, url, page.link, page.names)
        return page.names, self._continuation(url, page)

    def _continuation(self, url: str, page: NamePage) -> str | None:
        """Return what to ask after a page without a `Link`: nothing, unless it may have been cut."""
        count = parse_qs(urlsplit(url).query).get("n", [""])[-1]
        asked = int(count) if re.fullmatch(r"[0-9]{1,9}", count) else PAGE_SIZE
        if not self.found and page.length < asked and _is_round(page.length):
            self.own_most = page.length
        is_cut = page.length == asked or page.is_unclear
        if not page.names or not (is_cut or page.length == self.own_most):
            return None
        if all(name in self.found for name in page.names):  # it does not know `last`
            if not is_cut:
                return None
            why = f"it ends after {len(self.found)} tags, but seems to go on, and shows none after those"
            raise incomplete(self.access.host, self.access.repository, why)
        return f"{url.partition('?')[0]}?{urlencode({'n': asked, 'last': page.names[-1]})}"

    def _answered(self, url: str) -> NamePage:
        key, what = ("tag names", self.access, url), f"{self.access.repository}: tags"
        known = self.memory.get(key)
        headers = {"If-None-Match": known[0]} if known else {}
        request = Request(url, "tags", what, headers=headers, longest_bytes=LONGEST_PAGE_BYTES)
        answer = self.ask(request)
        if answer.status == 304 and known and isinstance(known[1], NamePage):
            return known[1]
        if answer.status != 200:
            raise self.problem(self.access, answer, "tags")
        listed = self._listed_in(answer)
        names = tuple(name for name in listed if isinstance(name, str))
        header = answer.headers.get("link", "")
        following = next_link(header)
        page = NamePage(names, len(listed), following, following is None and is_unclear(header))
        etag = answer.headers.get("etag")
        if etag:
            self.memory.put(key, (etag, page))
        return page

    def _listed_in(self, answer: Answer) -> Sequence[object]:
        try:
            listed = untrusted_json.read(answer.body)["tags"]
        except (ValueError, KeyError, TypeError):
            listed = False
        if listed is not None and not isinstance(listed, list):
            message = f"{self.access.repository}: it answered with something that is no list of tags"
            raise RegistryError(self.access.host, message, untrusted_json.IN_THE_WAY)
        return listed or ()


def next_link(header: str) -> str | None:
    """Return the target of `rel="next"` in a Link header (RFC 8288), or None.

    >>> next_link('</v2/a/tags/list?last=x>; rel="next", </b>; rel=prev')
    '/v2/a/tags/list?last=x'
    >>> next_link('</b>; rel=prev') is None
    True
    """
    return next((found[1] for found in _LINK.finditer(header) if _NEXT.search(found[2])), None)


def is_unclear(header: str) -> bool:
    """Return whether a Link header without a `rel="next"` may mean the next page all the same.

    It does not if each of its links says that it is something else.

    >>> is_unclear("</b>; rel=prev"), is_unclear("</b>"), is_unclear("/v2/a/tags/list?last=x; rel=next")
    (False, True, True)
    """
    links = list(_LINK.finditer(header))
    return bool(header.strip()) and not (links and all(_RELATION.search(found[2]) for found in links))


def _is_round(length: int) -> bool:
    """Return whether so many are what a registry may give at most, whatever it is asked for."""
    return length == 50 or (length > 0 and length % 100 == 0)
