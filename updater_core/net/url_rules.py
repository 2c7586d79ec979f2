"""Which URL and which host may be trusted: loopback, private networks, origins, redirects. Pure."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

# RFC 6762, RFC 8375, ICANN's name for private use, and what clusters and home routers give
_INTERNAL_NAMES = (
    ".local",
    ".internal",
    ".svc",
    ".lan",
    ".home",
    ".home.arpa",
    ".localdomain",
    ".intranet",
    ".corp",
)


def redirect_problem(source: str, target: str, dialled: str = "") -> str | None:
    """Return why a redirect is not followed, None if it is.

    Not from https to http, not from the public net into a private one. A registry of the own network may keep
    its blobs on another machine of it: `registry.lan` on `192.168.1.9`. `dialled`: the address that `source`
    was reached at, which tells its network better than its name: `registry.example.com` may be a machine of
    the own network. It is empty if a proxy knows it alone; then the name tells.
    """
    to, origin = split_url(target), split_url(source)
    if to is None or origin is None or to.scheme not in ("http", "https"):
        return "it is not a usable http(s) URL"
    host, home = to.hostname or "", origin.hostname or ""
    if origin.scheme == "https" and to.scheme == "http":
        return "it leads from https to http"
    address = literal_address(bare_host(host))
    # where clouds keep the credentials of a machine
    if host != home and address is not None and address.is_link_local:
        return f"{host} is an address of this link alone"
    is_from_inside = is_private(dialled) if dialled else is_internal(home)
    if host != home and is_private(host) and not is_from_inside:
        return f"{host} is an address of a private network"
    return None


def dialled_problem(url: str, address: str, dialled: str) -> str | None:
    """Return why a redirect is not followed to the address that its host's name stands for, None if it is.

    `dialled`: the address of the host that redirects, empty if it is not known. Never to one of this link
    alone. From the public net to a private one only over https, where a certificate proves that the host
    means to have that name: some networks keep the stores of public registries inside.
    """
    found = literal_address(address.partition("%")[0])
    if found is None:
        return None
    if found.is_link_local:
        return f"{address} is an address of this link alone"
    is_from_outside = bool(dialled) and not is_private(dialled)
    if is_from_outside and is_private(address) and not url.startswith("https:"):
        return f"{address} is an address of a private network"
    return None


def same_origin(left: str, right: str) -> bool:
    """Return whether two URLs share scheme, host and port."""
    return _origin(left) is not None and _origin(left) == _origin(right)


def is_loopback(host: str) -> bool:
    """Return whether a host, as a name or an address and with or without a port, means this machine.

    >>> is_loopback("localhost")
    True
    >>> is_loopback("127.8.8.8")
    True
    >>> is_loopback("[::1]:5000")
    True
    >>> is_loopback("nginx.org")
    False
    >>> is_loopback("127.1:5000"), is_loopback("LOCALHOST:5000"), is_loopback("[::ffff:127.0.0.1]:5000")
    (True, True, True)
    """
    name = bare_host(host)
    address = literal_address(name)
    if address is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


def bare_host(host: str) -> str:
    """Return a host in lower case, without its port, its brackets and the dot of a fully qualified name.

    >>> bare_host("[::1]:5000"), bare_host("Registry.Example.:443"), bare_host("::1")
    ('::1', 'registry.example', '::1')
    """
    name = split_port(host.strip().lower())[0]
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    return name.removesuffix(".")


def split_port(text: str) -> tuple[str, str]:
    """Return a host as it is written, and its port or an empty text.

    A port may be empty (RFC 3986, section 3.2). An IPv6 address has a port only behind its brackets.

    >>> split_port("r.example:443"), split_port("r.example:"), split_port("r.example")
    (('r.example', '443'), ('r.example', ''), ('r.example', ''))
    >>> split_port("[::1]:5000"), split_port("[::1]"), split_port("::1")
    (('[::1]', '5000'), ('[::1]', ''), ('::1', ''))
    """
    name, colon, port = text.rpartition(":")
    is_in_brackets = name.startswith("[") and name.endswith("]")
    is_whole_host = bool(name) and (":" not in name or is_in_brackets)
    if colon and is_whole_host and not port.strip("0123456789"):
        return name, port
    return text, ""


def is_private(host: str) -> bool:
    """Return whether a host is written as an address (or `localhost`) that the public net cannot reach."""
    address = literal_address(bare_host(host))
    return is_loopback(host) if address is None else not address.is_global or address.is_multicast


def is_internal(host: str) -> bool:
    """Return whether the public net does not know a host: a private address, or a name such as `harbor-core`.

    >>> is_internal("192.168.1.9"), is_internal("registry.lan"), is_internal("nas"), is_internal("ghcr.io")
    (True, True, True, False)
    """
    name = bare_host(host)
    if literal_address(name) is not None:
        return is_private(name)
    return "." not in name or name.endswith(_INTERNAL_NAMES)


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, or None if it has no host or an impossible port."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


def _origin(url: str) -> tuple[str, str, int] | None:
    parts = split_url(url)
    if parts is None:
        return None
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def literal_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as, or None if it is a name.

    The short forms of IPv4 that `inet_aton` takes (`127.1`) count as addresses: that is what a connect makes
    of them.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _short_ipv4(host)
    return getattr(address, "ipv4_mapped", None) or address


def _short_ipv4(host: str) -> ipaddress.IPv4Address | None:
    if not host or host.strip("0123456789.abcdefx"):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
