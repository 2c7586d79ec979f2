"""Text that a container, a registry or an image wrote, made safe to be looked at. Pure."""

from __future__ import annotations

import unicodedata

_LAYOUT = "\n\t"
# Controls, characters without width that reorder or hide what is around them, and halves of characters.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


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


def _seen(character: str) -> str:
    is_hidden = character not in _LAYOUT and unicodedata.category(character) in _INVISIBLE
    return "·" if is_hidden else character
