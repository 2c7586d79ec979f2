"""What a receiver says, without any piece of its address: that is a password or a token. Pure."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from updater_core.models import Secret

_SHORTEST_PIECE = 4  # of an address, that is hidden: `to` or `443` would blank out half of every sentence
_LONGEST_WORDS = 200


def without_address(text: str, url: Secret) -> str:
    """Return the text without any piece of the address, its host too: in many addresses that is a token."""
    address = url.reveal()
    pieces = re.split(r"[^\w.~%+-]+", address.partition("://")[2]) + re.split(r"\W+", unquote(address))
    with_host = {*pieces, *map(unquote, pieces), _host(address)} - {address.partition("://")[0].lower(), ""}
    for piece in sorted(with_host, key=len, reverse=True):
        if len(piece) >= _SHORTEST_PIECE:
            text = re.sub(re.escape(piece), "***", text, flags=re.IGNORECASE)
    return " ".join(text.split())[:_LONGEST_WORDS]


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
