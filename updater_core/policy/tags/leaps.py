"""Leaps in the versions of a family that nothing supports: `14.3.9` alone above `4.6`, `99.99.99`. Pure.

Such a tag was pushed by mistake or for a test more often than it is a release. A release has others beside
it: the short tags that move with it (`14`, `14.3`), or the next releases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from updater_core.policy.tags import words
from updater_core.policy.tags.tail import Numbers

_ENOUGH = 3  # versions that support a leap
_SHORTEST_LEAP, _LEAP_FACTOR = 8, 3  # `2` to `5` and `5` to `10` are steps that projects took
_LONGEST_PAUSE = 5  # years
_NINES = frozenset({99, 999, 9999, 99999, 999999})


def unsupported(
    start: Numbers, releases: Iterable[Numbers], known: Collection[tuple[str, Numbers]]
) -> frozenset[Numbers]:
    """Return the first numbers of versions to which only a leap without support leads from `start`.

    `releases`: those of the family; `known`: these and those with more or fewer numbers, each with its form.

    >>> family = [(4, 6, 5), (4, 6, 6), (4, 99, 99), (14, 3, 9), (20, 4, 1)]
    >>> known = {("#.#.#", numbers) for numbers in family}
    >>> sorted(unsupported((4, 6, 5), family, known))
    [(4, 99), (14,), (20,)]
    >>> sorted(unsupported((4, 6, 5), family, known | {("#", (14,))}))
    [(4, 99)]
    """
    above_start = {numbers[0] for numbers in releases if numbers[0] > start[0]}
    firsts = sorted(above_start | {start[0]})
    leaps = [high for low, high in pairwise(firsts) if _is_leap(low, high)]
    lone = (leap for leap in leaps if _count_from(leap, known) < _ENOUGH)
    lowest = next(lone, None)
    above = {(first,) for first in firsts if lowest is not None and first >= lowest}
    return frozenset(above | _lone_nines(start, [numbers for _, numbers in known]))


def _count_from(first: int, known: Iterable[tuple[str, Numbers]]) -> int:
    return sum(numbers[0] >= first for _, numbers in known)


def leads_to(numbers: Numbers, firsts: Collection[Numbers]) -> bool:
    """Return whether a version begins with one of these first numbers."""
    return bool(firsts) and (numbers[:1] in firsts or numbers[:2] in firsts)


def _is_leap(low: int, high: int) -> bool:
    """Return whether it takes more than one version to believe that `high` comes after `low`."""
    if high in _NINES:
        return high > low + 2
    years = _year(low), _year(high)
    if years[0] in words.YEARS and years[1] in words.YEARS:
        return years[1] > years[0] + _LONGEST_PAUSE
    return high >= max(low + _SHORTEST_LEAP, low * _LEAP_FACTOR)


def _year(number: int) -> int:
    """Return the year that a number is or begins with as a date; the number itself if it is neither."""
    return int(str(number)[:4]) if words.DIGIT_DATE.fullmatch(str(number)) else number


def _lone_nines(start: Numbers, known: Sequence[Numbers]) -> set[Numbers]:
    """Return the first two numbers of versions such as `4.99.99`, if 98 did not come before them."""
    pairs = {numbers[:2] for numbers in known if len(numbers) > 1}
    nines = {pair for pair in pairs if pair[1] in _NINES and pair > start[:2]}
    return {pair for pair in nines if not _is_reached(pair, pairs) and _count(pair, known) < _ENOUGH}


def _is_reached(pair: Numbers, pairs: Iterable[Numbers]) -> bool:
    return any(other[0] == pair[0] and pair[1] - 2 <= other[1] < pair[1] for other in pairs)


def _count(pair: Numbers, known: Iterable[Numbers]) -> int:
    return sum(numbers[:2] == pair for numbers in known)
