"""Versions in tags: take one apart, and which of two is higher. Pure.

Precedence is SemVer 2.0.0 §11 (https://semver.org/#spec-item-11). Reading is wider and narrower than the
standard, on purpose, because tags are not SemVer strings:

- wider: one `v` in front, and leading zeros (`2024.10.01`), are understood;
- narrower than §9: a hyphen tail is a prerelease only if it says so (`-rc.1`, `-beta2`, `-4`); every other
  tail (`-alpine3.19`, `-slim`, `-r10`, `-ls132`) is a variant of the image, and variants have no order among
  each other.

Three numbers are required. Nothing is coerced: `1.2`, `1.2.3.4`, `20241001`, `5a81b1e6` and `1.2.3rc1` are no
SemVer versions; `policy.tags.reading` reads those. Build metadata cannot occur, as `+` is outside the tag
grammar.

The `semver` library reads the version and compares two of them. It has no sort key (sorting 20,000
prereleases of one version by pairs takes 0.9 s), so `precedence` is a key of our own; a property test holds
it to the library.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import semver

Precedence = tuple[tuple[int, int, int], bool, tuple[tuple[int, int, str], ...]]

# Without a number (`5.3-rc`, `3.12-dev`) these name a floating channel as often as one prerelease.
_STAGES = (
    "alpha beta rc cr pre preview prerelease candidate milestone dev snapshot nightly canary insider "
    "insiders next ea eap tp dmr unstable"
)
# These are none with a number behind them: on which side of a release or another word it lies is not known.
_FLOATING = (
    "edge experimental testing trunk main master head develop development devel daily weekly bleeding wip "
    "techpreview"
)
CHANNEL_WORDS = frozenset(f"{_STAGES} {_FLOATING}".split())
PRERELEASE_WORDS = frozenset(f"{_STAGES} a b c m".split())
_VERSION = re.compile(r"(v?)([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([0-9A-Za-z_.-]+))?")


@dataclass(frozen=True, slots=True)
class TagVersion:
    """A tag read as a version: `prefix` is `v` or empty, `prerelease` its identifiers, `variant` the rest."""

    numbers: tuple[int, int, int]
    prerelease: tuple[str, ...] = ()
    variant: str = ""
    prefix: str = ""


def parse_tag(text: str) -> TagVersion | None:
    """Return `text` read as a version, or None if it is none.

    >>> parse_tag("v1.2.3-rc.1-alpine")
    TagVersion(numbers=(1, 2, 3), prerelease=('rc', '1'), variant='alpine', prefix='v')
    >>> parse_tag("1.2") is None
    True
    """
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    prefix, major, minor, patch, tail = found.groups()
    numbers = (int(major), int(minor), int(patch))
    if tail is None:
        return TagVersion(numbers, (), "", prefix)
    prerelease, variant = split_tail(tail)
    identifiers = _identifiers(numbers, prerelease) if prerelease else ()
    return None if "" in identifiers else TagVersion(numbers, identifiers, variant, prefix)


def _identifiers(numbers: tuple[int, int, int], prerelease: str) -> tuple[str, ...]:
    """Return the prerelease's identifiers.

    What the library refuses and tags have (`-09`, `-rc_1`) is kept as it is spelt.
    """
    try:
        version = semver.Version.parse("{}.{}.{}-{}".format(*numbers, prerelease))
    except ValueError:
        return tuple(prerelease.split("."))
    return tuple((version.prerelease or "").split("."))


@functools.lru_cache(maxsize=1024)  # the tags of a repository share a few tails
def split_tail(tail: str) -> tuple[str, str]:
    """Part what follows the numbers and their hyphen into prerelease and variant, either of them empty.

    >>> split_tail("rc.1-alpine"), split_tail("alpine3.19"), split_tail("beta2"), split_tail("r10")
    (('rc.1', 'alpine'), ('', 'alpine3.19'), ('beta2', ''), ('', 'r10'))
    """
    parts = tail.split("-")
    count = 0
    while count < len(parts) and _is_prerelease(parts[count]) and not _is_counted("-".join(parts[:count])):
        count += 1
    return "-".join(parts[:count]), "-".join(parts[count:])


def precedence(version: TagVersion) -> Precedence:
    """Return a key that sorts versions by SemVer 2.0.0 §11, lowest first; prefix and variant do not count."""
    return version.numbers, not version.prerelease, tuple(_identifier_key(i) for i in version.prerelease)


def compare(left: TagVersion, right: TagVersion) -> int:
    """Return -1, 0 or 1 if `left` is lower than, equal to or higher than `right`.

    As the `semver` library compares them.
    """
    return _library_version(left).compare(_library_version(right))


def _library_version(version: TagVersion) -> semver.Version:
    return semver.Version(*version.numbers, ".".join(version.prerelease) or None)


def _is_counted(prerelease: str) -> bool:
    """Return whether a prerelease has its number already: `rc1` has, `rc` has not.

    Nothing that follows is a part of it then.
    """
    return prerelease[-1:].isdigit() and any(map(str.isalpha, prerelease))


def _is_prerelease(part: str) -> bool:
    """Return whether the first identifier that is no number is one of the words, its digits aside.

    A letter with a whole version behind it (`c1.11.8`) names a component.
    """
    for identifier in part.split("."):
        word = identifier.rstrip("0123456789")
        if word:
            is_component = len(word) == 1 and part.count(".") > 1
            return word.lower() in PRERELEASE_WORDS and not is_component
    return part != ""


def _identifier_key(identifier: str) -> tuple[int, int, str]:
    if identifier.isascii() and identifier.isdigit():  # numbers are lower than words, and compared as numbers
        return 0, int(identifier), ""
    return 1, 0, identifier
