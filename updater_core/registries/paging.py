"""Lists that come in pages: read one page after the other, to the end or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from typing import TypeVar
from urllib.parse import parse_qs, urljoin, urlsplit

from updater_core.errors import AuthFailed, ListIncomplete, RateLimited, RegistryError
from updater_core.net.url_rules import is_internal

# A million tags at a thousand a page; nobody has them, and a server in a loop ends here.
MOST_PAGES = 1000

P = TypeVar("P")
C = TypeVar("C", bound=Hashable)


def pages(
    host: str,
    repository: str,
    first: C,
    ask: Callable[[C], tuple[P, C | None]],
    what: str = "the list of tags",
) -> Iterator[P]:
    """Yield every page of a repository's list; `what` it is, in messages.

    `ask` returns the page at a cursor (a URL, a token) and the next cursor.

    An error on the first page is raised as it is, and so are RateLimited and AuthFailed on any. Raises
    RegistryError if a later page fails, or if the pages do not end.
    """
    cursor: C | None = first
    seen: set[C] = set()
    while cursor is not None:
        # A registry that repeats a cursor would be read for ever.
        if cursor in seen or len(seen) >= MOST_PAGES:
            raise incomplete(host, repository, "its pages do not come to an end", what)
        seen.add(cursor)
        try:
            page, cursor = ask(cursor)
        # They say more than that a page is missing: when to come back, or which login.
        except (RateLimited, AuthFailed):
            raise
        except RegistryError as error:
            # Nothing was read yet, so nothing is incomplete: the error itself says what is wrong.
            if len(seen) == 1:
                raise
            raise incomplete(host, repository, f"page {len(seen)}: {error}", what) from error
        yield page


def incomplete(host: str, repository: str, why: str, what: str = "the list of tags") -> ListIncomplete:
    """Return the error for a list of which a part is missing."""
    message = f"{repository}: {what} is incomplete: {why}"
    return ListIncomplete(host, message, "nothing is decided on a part of it; it is asked again next time")


def next_address(host: str, repository: str, url: str, target: str, names: Collection[str]) -> str:
    """Return the address of the next page: this page's own, with the query that the registry gives.

    Scheme, host and path of `target` are not used. Registries behind a proxy write those by which they are
    known inside (`http://nexus:8081/…`), and virtual registries get their own path wrong. A target at another
    host must go on after one of this page's `names`, or be at a host that has only an internal name, so that
    it is this list that goes on. Raises RegistryError if it is not.

    >>> here = "https://r.example/v2/a/tags/list?n=2"
    >>> next_address("r.example", "a", here, "http://nexus:8081/v2/other/tags/list?n=2&last=b", ["a", "b"])
    'https://r.example/v2/a/tags/list?n=2&last=b'
    """
    try:
        parts = urlsplit(urljoin(url, target))
        is_own_host = parts.hostname == urlsplit(url).hostname
    except ValueError:
        raise incomplete(host, repository, "the address of its next page cannot be read") from None
    last = parse_qs(parts.query).get("last")
    goes_on = last[-1] in names if last else bool(parts.query) and is_internal(parts.hostname or "")
    if not is_own_host and not goes_on:
        raise incomplete(host, repository, f"it goes on at {parts.netloc}")
    return f"{url.partition('?')[0]}?{parts.query}"
