"""The tail of a tag, which is what follows its version's numbers: prerelease, variant, counters. Pure.

A hyphen tail's prerelease words are those of `semver_utils`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from updater_core.policy.tags import words
from updater_core.policy.tags.words import FIRST_COUNTER, LONGEST_NUMBER, NUMBER
from updater_core.semver_utils import CHANNEL_WORDS, PRERELEASE_WORDS, split_tail

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the numbers of a tag.

    `shape`: the tail without its prerelease, every counter as `#` and every commit hash as `<commit>`; equal
    shapes are one variant. `counters`: the counters' numbers in order. `is_channel`: a floating prerelease
    such as `5.3-rc`. `post`: the number of a post-release (`.post1`), 0 if it is none.
    """

    shape: str = ""
    prerelease: tuple[str, ...] = ()
    counters: Numbers = ()
    is_channel: bool = False
    post: int = 0


NO_TAIL = Tail()
_ONE_PRERELEASE = re.compile(r"-((?:alpha|beta|rc)\.?[0-9]+)")
_ONE_COUNTER = re.compile(rf"(-(?:{words.COUNTER_WORDS}))([0-9]+)")
_GLUED_WORDS = "|".join(sorted(PRERELEASE_WORDS - {"next"}, key=len, reverse=True))
_GLUED_PRERELEASE = re.compile(rf"[._]?({_GLUED_WORDS})[._]?([0-9]+)(?=$|[-_.])", re.IGNORECASE)
_BEGINS_WITH_PRERELEASE = re.compile(
    rf"-(?:[0-9]+\.)*(?:{'|'.join(sorted(PRERELEASE_WORDS))})", re.IGNORECASE
)
_LAST_NUMBER, _LAST_DOTTED = re.compile("[0-9]+$"), re.compile(r"[0-9]+(?:\.[0-9]+)*$")
# No part of these is a date, a commit's hash or a word's number: 60 of them are read at once.
_SHORT_NUMBERS = re.compile(r"(?:-[0-9]{1,3}(?![0-9A-Za-z._]))+")
_PIECE = re.compile(".[^-_]*")
# Pieces that are no commit, date or counter: letters, perhaps digits behind them that count nothing.
_WITHOUT_COUNTER = re.compile(r"(?:[-_](?!g[0-9a-f]{7})[A-Za-z]+(?![0-9A-Za-z.]))+")
_CHANNEL = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(sorted(CHANNEL_WORDS))})(?![A-Za-z])", re.IGNORECASE)
_SOME_COMMIT = "abcdef0"


def read_usual_tail(rest: str, *, is_three_part: bool) -> Tail:
    """Return the same as `read_tail`, faster for a tail that is one counter or one prerelease."""
    counter = _ONE_COUNTER.fullmatch(rest)
    if counter is not None:
        return Tail(counter[1] + "#", (), (int(counter[2]),))
    prerelease = _ONE_PRERELEASE.fullmatch(rest)
    if prerelease is not None:
        return Tail("", tuple(prerelease[1].split(".")))
    return read_tail(rest, is_three_part=is_three_part)


@functools.lru_cache(maxsize=4096)  # the tags of a repository share their tails
def read_tail(text: str, *, is_three_part: bool) -> Tail:
    """Take apart what follows a version's numbers.

    `is_three_part`: a bare word (`-rc`) is a prerelease as SemVer has it; elsewhere it names a floating
    channel.

    >>> read_tail("-rc.1-alpine", is_three_part=True).prerelease
    ('rc', '1')
    >>> read_tail("RC1-fpm", is_three_part=True).shape
    '-fpm'
    >>> read_tail("-debian-12-r10", is_three_part=True)
    Tail(shape='-debian-12-r#', prerelease=(), counters=(10,), is_channel=False, post=0)
    >>> read_tail("-0ubuntu2.1", is_three_part=True)
    Tail(shape='-#ubuntu#.#', prerelease=(), counters=(0, 2, 1), is_channel=False, post=0)
    """
    if not text:
        return NO_TAIL
    post = words.POST_RELEASE.match(text) if text[0] == "." else None
    prerelease, rest = ((), text[post.end() :]) if post else _prerelease(text, is_three_part=is_three_part)
    # Tails of one build after the other differ in the commit alone, so the cache below knows them.
    shape, counters, is_channel = (
        _variant(words.ANY_COMMIT.sub(_SOME_COMMIT, rest)) if rest else ("", (), False)
    )
    return Tail(shape, prerelease, counters, is_channel, int(post[1]) if post else 0)


@functools.lru_cache(maxsize=4096)
def _variant(text: str) -> tuple[str, Numbers, bool]:
    """Return the shape of a tail without prerelease, its counters, and whether it names a channel."""
    return *_counters(text), _CHANNEL.search(text) is not None


def _prerelease(text: str, *, is_three_part: bool) -> tuple[tuple[str, ...], str]:
    """Return the identifiers of the prerelease at the front of a tail, and what is left of it."""
    is_parted = text[0] == "-"
    glued = None if is_parted else _GLUED_PRERELEASE.match(text)
    if glued:  # 19beta3, 3.14.0a1, 1.0.0.RC1
        return (glued[1].lower(), glued[2]), text[glued.end() :]
    dotted = None if is_parted or not is_three_part else words.DOTTED_PRERELEASE.match(text)
    if dotted:
        return (dotted[1].lower(),), text[dotted.end() :]
    if not is_parted or not _BEGINS_WITH_PRERELEASE.match(text):
        return (), text
    edition = words.EDITION.search(text)
    if edition:  # `-rc42.ce.0` is a prerelease of `-ce.0`
        return tuple(text[1 : edition.start()].split(".")), f"-{text[edition.start() + 1 :]}"
    prerelease, variant = split_tail(text[1:])
    if not any(map(str.isalpha, prerelease)) or _is_channel(prerelease, is_three_part=is_three_part):
        return (), text
    return tuple(prerelease.split(".")), f"-{variant}" if variant else ""


def _is_channel(prerelease: str, *, is_three_part: bool) -> bool:
    """Return whether a prerelease without a number is a floating channel.

    SemVer's own words are none in three-part tags.
    """
    word = prerelease.lower()
    return word in CHANNEL_WORDS and not (is_three_part and word in words.BARE_PRERELEASES)


def _counters(text: str) -> tuple[str, Numbers]:
    """Return the tail with its counters as `#` and commit hashes as `<commit>`, and the counters' numbers."""
    shape, counters, position = "", list[int](), 0
    is_first = True  # numbers count releases only directly behind the version; later they belong to a word
    while position < len(text):
        plain = _WITHOUT_COUNTER.match(text, position)
        if plain is not None:
            shape, position, is_first = shape + plain[0], plain.end(), False
            continue
        run = _SHORT_NUMBERS.match(text, position) if is_first else None
        found = (run[0], _values(run[0])) if run else _counter_at(text, position, is_first=is_first)
        if found is not None:
            piece, values = found
            shape += _mask(piece, values)
            counters += values
        else:
            piece = _piece_at(text, position)
            shape += piece
            is_first = False
        position += len(piece)
    return shape, tuple(counters)


def _mask(piece: str, values: list[int]) -> str:
    """Return the shape of a counter (`_v2.0.10` is `_v#.#.#`, `-k3s1` is `-k3s#`) or of a commit hash."""
    if not values:
        return piece[0] + "<commit>"
    if len(values) == len(NUMBER.findall(piece)):
        return NUMBER.sub("#", piece)
    number = (_LAST_DOTTED if len(values) > 1 else _LAST_NUMBER).search(piece)
    assert number is not None
    return piece[: number.start()] + ".".join("#" * len(values))


def _piece_at(text: str, position: int) -> str:
    found = _PIECE.match(text, position)
    assert found is not None
    return found[0]


def _counter_at(text: str, position: int, *, is_first: bool) -> tuple[str, list[int]] | None:
    """Return the text and numbers of a counter or commit hash here, with the separator in front; or None."""
    is_parted = text[position] in "-_."
    commit = words.commit_end(text, position + 1) if is_parted else None
    if commit is not None:
        return text[position:commit], []
    date = _date_end(text, position + 1) if is_parted else None
    if date is not None:
        return text[position:date], _values(text[position:date])
    revision = words.DISTRIBUTION_REVISION.match(text, position) if is_first else None
    if revision:
        return revision[0], _values(revision[0])
    word = words.COUNTER.match(text, position) or (
        words.GLUED_PATCH.match(text, position) if is_first else None
    )
    if word:
        return word[0], [int(word[1])]
    return _bare_number(text, position) if is_first else None


def _date_end(text: str, start: int) -> int | None:
    """Return the end of the date that is all of the piece beginning at `start`; None if it is no date."""
    if not text[start : start + 1].isdigit():
        return None
    for form in (words.DASHED_DATE, words.DATE_AND_TIME, words.DIGIT_DATE):
        found = form.match(text, start)
        if found and (found.end() == len(text) or text[found.end()] in "-_"):
            return found.end()
    return None


def _bare_number(text: str, position: int) -> tuple[str, list[int]] | None:
    """Return a number that nothing names, directly behind the version.

    The year and month of an Ubuntu release are none.
    """
    number = FIRST_COUNTER.match(text, position)
    if number is None or words.UBUNTU_RELEASE.fullmatch(number[1]):
        return None
    first = number[1].partition(".")[0]
    return (number[0], _values(number[1])) if len(first) <= LONGEST_NUMBER else None


def _values(text: str) -> list[int]:
    return [int(digits) for digits in NUMBER.findall(text)]
