"""Text that a container, a registry or an image wrote, made safe to be looked at or sent. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import TypeGuard

_LAYOUT = "\n\t"
# Controls, characters without width that reorder or hide what is around them, and halves of characters.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_VISIBLE_ASCII = re.compile(r"[!-~]+")


def visible(text: str) -> str:
    """Return the text with a `·` for each character that is invisible but changes how others look.

    These are bidirectional overrides, terminal controls, and characters without width. Line ends and tabs
    stay.

    >>> visible("a\\u202eb\\x1b[31mc\\r\\nd")
    'a·b·[31mc\\nd'
    """
    whole_lines = text.replace("\r\n", "\n")
    if whole_lines.isascii() and whole_lines.isprintable():
        return whole_lines
    return "".join(map(_seen, whole_lines))


def escaped(line: str) -> str:
    """Return the line with its control characters as escapes; tabs stay.

    >>> escaped("a\\tb\\x1b[31m")
    'a\\tb\\\\x1b[31m'
    """
    return "".join(map(_written, line))


def on_one_line(text: str) -> str:
    """Return the text as one line fit for a message: what is not printable is a space, and no two in a row.

    >>> on_one_line(" <h1>Bad\\x00 Gateway</h1>\\r\\n ")
    '<h1>Bad Gateway</h1>'
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())


def is_token(value: object) -> TypeGuard[str]:
    """Return whether the value can stand as a token in a request's header: visible ASCII characters alone.

    RFC 6750 section 2.1 allows fewer; registries are known to send others.
    """
    return isinstance(value, str) and _VISIBLE_ASCII.fullmatch(value) is not None


def _written(character: str) -> str:
    is_plain = character.isprintable() or character == "\t"
    return character if is_plain else character.encode("unicode_escape").decode()


def _seen(character: str) -> str:
    is_hidden = character not in _LAYOUT and unicodedata.category(character) in _INVISIBLE
    return "·" if is_hidden else character
