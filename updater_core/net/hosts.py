"""Hosts, ports and web addresses as an operator writes them: whether there can be one of that name. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from updater_core.net.url_rules import split_port

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}")


def is_host(text: str) -> bool:
    """Return whether `text` is a host's name, an IPv4 address, or an IPv6 address (brackets or not).

    >>> is_host("db-1.example"), is_host("[::1]"), is_host("::"), is_host("256.1.1.1"), is_host("::::")
    (True, True, True, False, False)
    """
    if ":" in text or text.startswith("["):
        inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        return "%" not in inner and _is_address(inner, 6)
    if not text.strip("0123456789."):  # what is all numbers is an address, never a name
        return _is_address(text, 4)
    return _NAME.fullmatch(text) is not None and ".." not in text


def is_host_with_port(text: str) -> bool:
    """Return whether `text` is `host` or `host:port`; an IPv6 address needs its brackets.

    >>> is_host_with_port("a.example:443")
    True
    >>> is_host_with_port("a.example:65536")
    False
    >>> is_host_with_port("[::1]:80")
    True
    """
    head, port = split_port(text)
    has_usable_port = is_port(port) if port else head == text
    return has_usable_port and is_host(head) and (":" not in head or head.startswith("["))


def is_port(text: str) -> bool:
    """Return whether `text` is a number from 1 to 65535."""
    return _PORT.fullmatch(text) is not None and 1 <= int(text) <= 65535


def is_web_address(text: str) -> bool:
    """Return whether `text` is an http or https address with a host that can be.

    >>> is_web_address("https://example.com/hook")
    True
    >>> is_web_address("http://a:0/")
    False
    >>> is_web_address("http://a:65536")
    False
    """
    try:
        parts = urlsplit(text)
        port = parts.port  # ValueError beyond 65535
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text and port != 0


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
