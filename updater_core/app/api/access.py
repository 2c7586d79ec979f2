"""Who may use the API: by the host that is asked, the page that sends the request, the token and its rights.

A browser can be made to send a request by any page that a person visits, and by a name that its owner lets
lead to 127.0.0.1 (DNS rebinding). So a request has to be for a name of ours, may not come from another
origin, and nothing that a browser adds by itself (a cookie, a login) opens anything: only a token in a header
does.
"""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from updater_core.caching.cache import Cache
from updater_core.models import ApiToken
from updater_core.net.url_rules import bare_host, is_loopback, literal_address

MOST_FAILURES = 10  # of one address, within the span; then it is refused for as long
SPAN_SECONDS = 60.0
MOST_ADDRESSES = 1000
_OWN_PAGES = ("same-origin", "none")  # https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header


def is_own_host(host: str, names: Sequence[str]) -> bool:
    """Return whether a `Host` header names this server: an address, this machine, or one of its names.

    An address cannot be rebound, a name of somebody else's can.

    >>> is_own_host("127.0.0.1:9100", ()), is_own_host("[::1]:9100", ()), is_own_host("localhost", ())
    (True, True, True)
    >>> is_own_host("evil.example:9100", ("shop-1",))
    False
    >>> is_own_host("Shop-1:9100", ("shop-1",))
    True
    >>> is_own_host("", ())
    False
    """
    name = bare_host(host)
    is_an_address = literal_address(name) is not None
    return is_an_address or is_loopback(name) or name in {bare_host(each) for each in names}


def is_foreign(headers: Mapping[str, str], public_url: str | None) -> bool:
    """Return whether a browser says that another origin than ours has caused the request.

    >>> is_foreign({}, None), is_foreign({"sec-fetch-site": "cross-site"}, None)
    (False, True)
    >>> is_foreign({"host": "a:1", "origin": "http://a:1"}, None)
    False
    >>> is_foreign({"host": "a", "origin": "http://b"}, None)
    True
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in _OWN_PAGES:
        return True
    if origin is None:
        return False
    own = {f"http://{headers.get('host', '')}", f"https://{headers.get('host', '')}", public_url}
    return origin not in own


def token_of(headers: Mapping[str, str], tokens: Sequence[ApiToken]) -> ApiToken | None:
    """Return the token of ours that a request carries (`Authorization: Bearer …`, RFC 6750), or None.

    Each comparison takes as long whatever is right of it, and all are made.
    """
    scheme, _, given = headers.get("authorization", "").partition(" ")
    digest = sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
    matching = [
        token
        for token in tokens
        if hmac.compare_digest(sha256(token.secret.reveal().encode()).digest(), digest)
    ]
    return matching[0] if matching and scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    since: float


class FailureLimit:
    """Counts what failed for each address, and says when one has to wait. Any thread; bounded memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of a count that is changed
        self._failures: Cache[_Failures] = Cache(most=MOST_ADDRESSES)

    def wait_seconds(self, peer: str, now: float) -> int:
        """Return how long the address is refused yet; 0 if it is not. `now`: of a monotonic clock."""
        found = self._failures.get(_network(peer))
        if found is None or found.count < MOST_FAILURES:
            return 0
        return max(int(found.since + SPAN_SECONDS - now) + 1, 0) if now < found.since + SPAN_SECONDS else 0

    def failed(self, peer: str, now: float) -> None:
        """Count a failure. The span begins with the first one, and once more with the one that fills it."""
        key = _network(peer)
        with self._lock:
            found = self._failures.get(key)
            if found is None or now >= found.since + SPAN_SECONDS:
                found = _Failures(0, now)
            count = found.count + 1
            self._failures.put(key, _Failures(count, now if count >= MOST_FAILURES else found.since))


def _network(peer: str) -> str:
    """Return an address; of IPv6 the network of 64 bits, all of which one host may have.

    >>> _network("192.0.2.7"), _network("2001:db8::1:2"), _network("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8::/64', '192.0.2.7')
    """
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
