"""The proxy for a URL, by the variables of the environment and in the forms that Docker reads them.

Docker is written in Go, whose rules are those of golang.org/x/net/http/httpproxy: `NO_PROXY` has host names
(which mean their subdomains too), `.example.com` and `*.example.com` (subdomains only), addresses, networks
in CIDR notation, each host or address also with a port, or `*`. Python's own rules know less, so that the
engine would go one way and the updater another.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from updater_core.net.url_rules import bare_host, is_loopback, literal_address, split_port

# a cloud's own, on this machine's link only
_METADATA_SERVERS = {"169.254.169.254", "metadata.google.internal"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Destination:
    """Where a request goes: the host in lower case, its address if it is written as one, and the port."""

    host: str
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    port: int


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment names for a URL, or None.

    There is none for this machine itself, as in Docker, and none by ALL_PROXY, which Docker does not read
    either.

    >>> proxy_for("https://ghcr.io/v2/", {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": "*.corp.example"})
    'http://proxy:3128'
    >>> proxy_for("https://r.corp.example/v2/", {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": "*.corp.example"})
    """
    parts = urlsplit(url)
    named = _variable(environment, f"{parts.scheme}_proxy")
    if not named or not parts.hostname or _is_direct(parts, _variable(environment, "no_proxy")):
        return None
    return named if "://" in named else f"http://{named}"


def _variable(environment: Mapping[str, str], name: str) -> str:
    """Return the value of a variable, the spelling in capitals first, as in Go."""
    return environment.get(name.upper()) or environment.get(name) or ""


def _is_direct(parts: SplitResult, exceptions: str) -> bool:
    host = (parts.hostname or "").lower().rstrip(".")
    if is_loopback(host) or host in _METADATA_SERVERS:
        return True
    to = _Destination(host, literal_address(host), parts.port or _PORTS.get(parts.scheme, 0))
    return any(_is_excepted(entry, to) for entry in re.split(r"[,\s]+", exceptions.lower()) if entry)


def _is_excepted(entry: str, to: _Destination) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return _is_in_network(entry, to)
    name, port = _split(entry)
    if port and port != str(to.port):
        return False
    address = literal_address(name)
    if address is not None:
        return address == to.address
    if name.startswith(("*.", ".")):
        return to.host.endswith(name.removeprefix("*"))
    return bool(name) and (to.host == name or to.host.endswith(f".{name}"))


def _is_in_network(entry: str, to: _Destination) -> bool:
    try:
        return to.address is not None and to.address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _split(entry: str) -> tuple[str, str]:
    """Return a host or an address, and its port or an empty text.

    >>> _split("[2001:db8::1]:5000"), _split("2001:db8::1"), _split("r.example:443")
    (('2001:db8::1', '5000'), ('2001:db8::1', ''), ('r.example', '443'))
    """
    name, port = split_port(entry)
    return bare_host(name), port
