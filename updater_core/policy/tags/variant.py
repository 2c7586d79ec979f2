"""A variant of an image as words and numbers: `-php8.3-fpm-alpine3.20`. Pure."""

from __future__ import annotations

import functools
import re

from updater_core.policy.tags.tail import Numbers
from updater_core.policy.tags.words import FIXED_WORDS, NUMBER

_PIECE = re.compile(rf"({FIXED_WORDS.pattern})|([0-9]+(?:\.[0-9]+)*)", re.IGNORECASE)


@functools.lru_cache(maxsize=4096)
def split_variant(shape: str) -> tuple[str, tuple[Numbers, ...]]:
    """Return a variant's words with every dotted number as `#`, and these numbers.

    The digits of a machine (`arm32v7`) or of another name (`32bit`) are part of the word: `arm64v8` is no
    later `arm32v7`.

    >>> split_variant("-php8.3-fpm-alpine3.20")
    ('-php#-fpm-alpine#', ((8, 3), (3, 20)))
    >>> split_variant("-arm32v7-alpine3.20")
    ('-arm32v7-alpine#', ((3, 20),))
    """
    if NUMBER.search(shape) is None:
        return shape, ()
    found = [number for _, number in _PIECE.findall(shape) if number]
    words = _PIECE.sub(lambda piece: piece[1] or "#", shape)
    return words, tuple(tuple(map(int, number.split("."))) for number in found)


def is_risen(theirs: str, ours: str) -> bool:
    """Return whether a variant is ours with numbers that have risen, and none that has fallen."""
    words, numbers = split_variant(theirs)
    own_words, own_numbers = split_variant(ours)
    if words != own_words:
        return False
    pairs = list(zip(numbers, own_numbers, strict=True))
    return all(len(new) == len(old) and new >= old for new, old in pairs)


def named_form(tag: str) -> str:
    """Return a tag with every number that may rise as `#`.

    >>> named_form("latest-pg16"), named_form("arm64v8-fpm-alpine3.20")
    ('latest-pg#', 'arm64v8-fpm-alpine#.#')
    """
    return _PIECE.sub(lambda piece: piece[1] or NUMBER.sub("#", piece[2]), tag)


def named_variant(tag: str) -> str:
    """Return the variant that a tag without a version names; empty if it names none.

    >>> named_variant("latest"), named_variant("latest-alpine"), named_variant("bookworm")
    ('', '-alpine', '-bookworm')
    """
    rest = re.sub(r"^latest(?=$|-)", "", tag).removeprefix("-")
    return f"-{rest}" if rest else ""
