"""Tag names: which of them a policy means, which part of a name is compared, and the natural order of names.

Pure.

A selector takes a tag's name and returns the text to compare, or None if the tag is not meant:

- `semver_pattern`: literal text around one `*`; the text is what the `*` stands for;
- `tag_regex` with a group `version` or `compare`: what the group caught;
- `tag_pattern`, and `tag_regex` without such a group: the whole name (it is the time of the push that is
  compared).
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from updater_core.policy import bounded_regex
from updater_core.policy.bounded_regex import MatchBudget
from updater_core.vocabulary.policy import Policy

Matcher = Callable[[str], bool]
Extract = Callable[[str], str | None]
NaturalKey = tuple[str | int, ...]  # text, number, text, number ... text

_REGEX_ENTRY = "regexp:"
# What signing and scanning tools store beside an image in the same repository, under tags of their own.
_ARTEFACT_PREFIX = "sha256-"
_ARTEFACT_SUFFIXES = (".sig", ".att", ".sbom")

_TAG_CHARACTERS = re.compile(r"[0-9A-Za-z_.-]*")
_GLOB_PIECE = re.compile(
    r"\[!?+\]?+[^\]]*+\]|[0-9A-Za-z_.*?-]"
)  # a set in brackets as fnmatch reads it, or a character
_LONGEST_TAG = 128
_ALL_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-"
_DIGITS = re.compile(r"([0-9]+)")


class Order(Enum):
    """What makes one tag newer than another."""

    VERSION = "version"
    KEY = "key"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which tags are meant, and how they are compared.

    `keeps_variant`: tags stay with the current tag's variant even if the current tag itself is not meant.
    """

    extract: Extract
    order: Order
    keeps_variant: bool = False


def pattern_of(policy: Policy, budget: MatchBudget | None = None) -> Selector | None:
    """Return the selector of the policy's pattern, None if it has none.

    The selector of an expression raises TooSlow if `budget` is used up.
    """
    if policy.semver_pattern is not None:
        return semver_selector(policy.semver_pattern)
    if policy.tag_regex is not None:
        return _regex_selector(policy.tag_regex, budget or MatchBudget())
    if policy.tag_pattern is not None:
        return _glob_selector(policy.tag_pattern)
    return None


def excluder(entries: tuple[str, ...], budget: MatchBudget | None = None) -> Matcher:
    """Return a test for tags that are never chosen: artefacts of signing tools, and what the entries name.

    The test raises TooSlow if expressions among the entries use up `budget`.
    """
    budget = budget or MatchBudget()
    own = tuple(_entry_matcher(entry, budget) for entry in entries)

    def excluded(tag: str) -> bool:
        if tag.startswith(_ARTEFACT_PREFIX) or tag.endswith(_ARTEFACT_SUFFIXES):
            return True
        return bool(own) and any(matches(tag) for matches in own)

    return excluded


def natural_key(text: str) -> NaturalKey:
    """Return a key that sorts runs of digits as numbers of any size, and everything else as text.

    >>> sorted(["build-10", "build-9", "build-9b"], key=natural_key)
    ['build-9', 'build-9b', 'build-10']
    """
    parts: list[str | int] = [*_DIGITS.split(text)]  # every second one is a run of digits
    parts[1::2] = map(int, parts[1::2])
    return tuple(parts)


# ---------------------------------------------------------------------------------------- the parser's checks


def check_semver_pattern(text: str) -> str | None:
    """Return a sentence on what is wrong with a `semver_pattern`, or None."""
    if text.count("*") != 1:
        return (
            f"{text!r} holds {text.count('*')} '*'; write literal text around exactly one, such as v* or "
            "v*-alpine"
        )
    if not _TAG_CHARACTERS.fullmatch(text.replace("*", "")):
        return f"{text!r} matches no tag; beside the '*' only letters, digits, '_', '.' and '-' may stand"
    return None


def check_tag_pattern(text: str) -> str | None:
    """Return a sentence on what is wrong with a `tag_pattern`, or None."""
    if not text:
        return "an empty pattern matches no tag; write a glob such as staging-*"
    pieces = _GLOB_PIECE.findall(text)
    if "".join(pieces) != text:
        return f"{text!r} matches no tag; write a glob on the tag alone, such as staging-* or build-[0-9]*"
    empty = next((piece for piece in pieces if piece[0] == "[" and not _means_something(piece)), None)
    if empty:
        return (
            f"{text!r} matches no tag, for nothing is in {empty}; write the lower end of a range first, "
            "as in [0-9]"
        )
    shortest = sum(piece != "*" for piece in pieces)
    if pieces[0] in ".-" or shortest > _LONGEST_TAG:
        return (
            f"{text!r} matches no tag; a tag has at most {_LONGEST_TAG} characters, '.' and '-' not in front"
        )
    return None


def _means_something(piece: str) -> bool:
    """Return whether a set in brackets takes any character that a tag can hold."""
    return re.search(fnmatch.translate(f"*{piece}*"), _ALL_CHARACTERS) is not None


def check_tag_regex(text: str) -> str | None:
    """Return a sentence on what is wrong with a `tag_regex`, or None."""
    problem = bounded_regex.problem(text)
    if problem:
        return problem
    groups = bounded_regex.compiled("", text).groups
    if "version" in groups and "compare" in groups:
        return f"{text!r} has both groups, 'version' and 'compare'; keep the one that orders the tags"
    return None


def check_exclude(text: str) -> str | None:
    """Return a sentence on what is wrong with one entry of `tag_exclude`, or None."""
    if text.startswith(_REGEX_ENTRY):
        return check_tag_regex(text.removeprefix(_REGEX_ENTRY))
    return check_tag_pattern(text)


# ----------------------------------------------------------------------------------------------- the matchers


@functools.lru_cache(maxsize=256)
def semver_selector(pattern: str) -> Selector:
    """Digits and dots next to the `*` (`v1.*`) are asked for, and still part of the version."""
    prefix, _, suffix = pattern.partition("*")
    start = len(prefix.rstrip("0123456789."))
    end = len(suffix.lstrip("0123456789."))
    shortest = len(prefix) + len(suffix)

    def extract(tag: str) -> str | None:
        if len(tag) < shortest or not tag.startswith(prefix) or not tag.endswith(suffix):
            return None
        return tag[start : len(tag) - end]

    return Selector(extract, Order.VERSION, keeps_variant=end == 0)


def _regex_selector(text: str, budget: MatchBudget) -> Selector:
    expression = bounded_regex.compiled("tag_regex", text)
    group = next((name for name in ("version", "compare") if name in expression.groups), None)

    def extract(tag: str) -> str | None:
        found = expression.match(tag, budget)
        return found[group or 0] if found else None

    order = {"version": Order.VERSION, "compare": Order.KEY, None: Order.PUSH}[group]
    return Selector(extract, order)


@functools.lru_cache(maxsize=256)
def _glob_selector(pattern: str) -> Selector:
    matches = _glob_matcher(pattern)
    return Selector(lambda tag: tag if matches(tag) else None, Order.PUSH)


def _entry_matcher(entry: str, budget: MatchBudget) -> Matcher:
    if not entry.startswith(_REGEX_ENTRY):
        return _glob_matcher(entry)
    expression = bounded_regex.compiled("tag_exclude", entry.removeprefix(_REGEX_ENTRY))
    return lambda tag: expression.match(tag, budget) is not None


@functools.lru_cache(maxsize=256)
def _glob_matcher(pattern: str) -> Matcher:
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    if pattern == literal + "*":
        return lambda tag: tag.startswith(literal)
    compiled = re.compile(fnmatch.translate(pattern))
    return lambda tag: tag.startswith(literal) and compiled.match(tag) is not None
