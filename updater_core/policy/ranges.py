"""Version ranges in the dialect of node: `>=1.2 <2`, `~1.4`, `^2.1`, `1.x`, `1.2 - 2.3`, `||`. Pure.

The meaning of each form is that of https://github.com/npm/node-semver#ranges. Ours alone: a comma is an "and"
like a space, leading zeros are understood, and nothing at all is an error instead of "any version".
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from updater_core.semver_utils import Precedence, TagVersion, precedence, split_tail

Numbers = tuple[int, int, int]

_OPERATOR = r">=|<=|>|<|=|~>|~|\^"
_COMPARATOR = re.compile(
    rf"(?P<operator>{_OPERATOR})?=?v?(?P<major>[0-9]+|[xX*])"
    r"(?:\.(?P<minor>[0-9]+|[xX*])(?:\.(?P<patch>[0-9]+|[xX*])(?:-(?P<tail>[0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?)?)?"
)
_HYPHEN = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")
_LOWEST = ("0",)  # the lowest of all prereleases: `<2.0.0-0` keeps 2.0.0-rc.1 out


@dataclass(frozen=True, slots=True)
class Comparator:
    """One bound. `named` are its numbers if a prerelease was written, which lets prereleases of these in."""

    operator: str  # < <= > >= =
    bound: Precedence
    named: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """Alternatives, each of them bounds that all have to hold."""

    text: str
    alternatives: tuple[tuple[Comparator, ...], ...]


@dataclass(frozen=True, slots=True)
class _Partial:
    """A version of which the last numbers may be missing."""

    numbers: tuple[int, ...]
    prerelease: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return len(self.numbers) == 3


@functools.lru_cache(maxsize=256)
def parse_range(text: str) -> Range:
    """Return the range in `text`. Raises ValueError with a sentence if it is none."""
    return Range(text, tuple(_alternative(part, text) for part in text.replace(",", " ").split("||")))


def check_range(text: str) -> str | None:
    """Return a sentence on what is wrong with a range, None if nothing is."""
    try:
        wanted = parse_range(text)
    except ValueError as error:
        return str(error)
    if all(_is_impossible(bounds) for bounds in wanted.alternatives):
        return (
            f"no version is in the range {text!r}: its lower bound is above its upper one; write one such as "
            ">=1.4 <3"
        )
    return None


def _is_impossible(bounds: tuple[Comparator, ...]) -> bool:
    """Return whether no version can meet all the bounds, prereleases included."""
    low = _key((0, 0, 0), _LOWEST), 0  # with 1 or -1 behind it, the bound itself is outside
    high: tuple[Precedence, int] | None = None
    for bound in bounds:
        if bound.operator in (">", ">=", "="):
            low = max(low, (bound.bound, int(bound.operator == ">")))
        if bound.operator in ("<", "<=", "="):
            edge = bound.bound, -int(bound.operator == "<")
            high = edge if high is None else min(high, edge)
    if high is None or low[0] < high[0]:
        return False
    return low[0] > high[0] or (low[1], high[1]) != (0, 0)


def satisfies(wanted: Range, version: TagVersion, *, with_prereleases: bool = False) -> bool:
    """Return whether the version is in the range.

    A prerelease is only if a bound names one of the same three numbers, or if `with_prereleases` takes
    prereleases like every other version.

    >>> from updater_core.semver_utils import parse_tag
    >>> satisfies(parse_range(">=1.4 <3"), parse_tag("v2.9.0"))
    True
    >>> satisfies(parse_range("^1.2.3"), parse_tag("v2.0.0-rc.1"), with_prereleases=True)
    False
    """
    key = precedence(version)
    numbers = None if with_prereleases or not version.prerelease else version.numbers
    return any(_holds(bounds, key, numbers) for bounds in wanted.alternatives)


def names_prerelease(wanted: Range, numbers: Numbers) -> bool:
    """Return whether a bound of the range names a prerelease of these three numbers."""
    return any(c.named == numbers for bounds in wanted.alternatives for c in bounds)


def _holds(bounds: tuple[Comparator, ...], key: Precedence, prerelease_of: Numbers | None) -> bool:
    if prerelease_of is not None and all(bound.named != prerelease_of for bound in bounds):
        return False
    return all(_meets(bound, key) for bound in bounds)


def _meets(comparator: Comparator, key: Precedence) -> bool:
    bound = comparator.bound
    match comparator.operator:
        case "<":
            return key < bound
        case "<=":
            return key <= bound
        case ">":
            return key > bound
        case ">=":
            return key >= bound
    return key == bound


def _alternative(part: str, text: str) -> tuple[Comparator, ...]:
    hyphen = _HYPHEN.fullmatch(part)
    if hyphen:
        return _hyphen(_partial(_read(hyphen[1], text)), _partial(_read(hyphen[2], text)))
    words = re.sub(rf"({_OPERATOR})\s+", r"\1", part).split()
    if not words:
        raise ValueError(f"{text!r} is not a version range: a version is missing; * means any version")
    return tuple(c for word in words for c in _comparators(_read(word, text)))


def _read(word: str, text: str) -> re.Match[str]:
    found = _COMPARATOR.fullmatch(word)
    if found is None:
        raise ValueError(
            f"{text!r} is not a version range: {word!r} is not understood; write one such as >=1.4 <3"
        )
    tail = found["tail"]
    if tail and (split_tail(tail)[1] or "" in tail.split(".") or found["patch"] in "xX*"):
        raise ValueError(
            f"{text!r} is not a version range: {word!r} ends in {tail!r}, which is no prerelease; "
            "a range holds versions only, variants such as -alpine belong into the pattern"
        )
    return found


def _partial(found: re.Match[str]) -> _Partial:
    numbers: list[int] = []
    for name in ("major", "minor", "patch"):
        if found[name] is None or found[name] in "xX*":
            return _Partial(tuple(numbers))
        numbers.append(int(found[name]))
    return _Partial(tuple(numbers), tuple(found["tail"].split(".")) if found["tail"] else ())


def _hyphen(low: _Partial, high: _Partial) -> tuple[Comparator, ...]:
    upper = _compare("<=", high) if high.is_whole else _below_next(high, len(high.numbers))
    return (*_from(low), *upper)


def _comparators(found: re.Match[str]) -> tuple[Comparator, ...]:
    partial, operator = _partial(found), found["operator"] or "="
    if operator == "^":
        return (*_from(partial), *_below_next(partial, _leftmost_nonzero(partial)))
    if operator in ("~", "~>"):
        return (*_from(partial), *_below_next(partial, min(2, len(partial.numbers))))
    if partial.is_whole:
        return _compare(operator, partial)
    if _has_number_behind_x(found):  # npm refuses these too, but for ^, ~ and the ends of a hyphen range
        raise ValueError(
            f"{found.string!r} is not a version range: a number stands behind an x; write one such as "
            "1.x or 1.2.x"
        )
    return _loose(operator, partial)


def _has_number_behind_x(found: re.Match[str]) -> bool:
    parts = [found[name] for name in ("major", "minor", "patch") if found[name] is not None]
    wild = [part in "xX*" for part in parts]
    return wild != sorted(wild)


def _loose(operator: str, partial: _Partial) -> tuple[Comparator, ...]:
    """Return a comparison with a version whose last numbers are missing.

    `>1.2` is `>=1.3.0`, `1.2` is anything in 1.2.
    """
    size = len(partial.numbers)
    if size == 0 and operator in "<>":
        return (Comparator("<", _key((0, 0, 0), _LOWEST)),)  # nothing is above or below everything
    if operator == ">":
        return _from(_next(partial, size))
    if operator == "<":
        return (Comparator("<", _key(_filled(partial.numbers), _LOWEST)),)
    upper = _below_next(partial, size) if operator != ">=" else ()
    lower = _from(partial) if operator != "<=" else ()
    return (*lower, *upper)


def _compare(operator: str, whole: _Partial) -> tuple[Comparator, ...]:
    numbers = _filled(whole.numbers)
    return (Comparator(operator, _key(numbers, whole.prerelease), numbers if whole.prerelease else None),)


def _from(partial: _Partial) -> tuple[Comparator, ...]:
    """Return "at least this version"; if numbers are missing, prereleases of the first are not below it."""
    if partial.is_whole:
        return _compare(">=", partial)
    return (Comparator(">=", _key(_filled(partial.numbers), _LOWEST)),)


def _below_next(partial: _Partial, size: int) -> tuple[Comparator, ...]:
    """Return "below the next version" by the first `size` numbers; no bound if there are none."""
    if size == 0:
        return ()
    return (Comparator("<", _key(_filled(_next(partial, size).numbers), _LOWEST)),)


def _next(partial: _Partial, size: int) -> _Partial:
    kept = partial.numbers[:size]
    return _Partial((*kept[:-1], kept[-1] + 1))


def _leftmost_nonzero(partial: _Partial) -> int:
    """Return how many numbers a caret keeps: up to the first that is not zero, else all that were written."""
    for position, number in enumerate(partial.numbers, start=1):
        if number:
            return position
    return len(partial.numbers)


def _filled(numbers: tuple[int, ...]) -> Numbers:
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def _key(numbers: Numbers, prerelease: tuple[str, ...]) -> Precedence:
    return precedence(TagVersion(numbers, prerelease))
