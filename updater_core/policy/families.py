"""Version families: what the text of a tag says about the kind of image it names. Pure.

A tag is read as literal text in front of a version (`v`, `RELEASE.`, `temurin-17-tools-deps-`), the version's numbers,
perhaps a prerelease, and a tail (`-alpine3.20`, `-ls299`). Two tags are of one family if everything but the numbers,
the prerelease and the counters in the tail is the same; only within a family is one tag newer than another.

The reading is ours; tags follow no standard. A hyphen tail's prerelease words are those of `semver_utils`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

from updater_core.models import Bump, Follow, ImageRef, Policy
from updater_core.policy.bounded_regex import MatchBudget
from updater_core.policy.patterns import Selector, natural_key, pattern_of, semver_selector
from updater_core.semver_utils import CHANNEL_WORDS, PRERELEASE_WORDS, TagVersion, precedence, split_tail

Numbers = tuple[int, ...]
SEMVER_FORM = "#.#.#"


@dataclass(frozen=True, slots=True)
class Tail:
    """What follows the numbers of a tag.

    `shape`: the tail without its prerelease, every counter as `#` and every commit hash as `<commit>`; equal shapes are
    one variant. `counters`: the counters' numbers in order. `is_channel`: a floating prerelease such as `5.3-rc`.
    """

    shape: str = ""
    prerelease: tuple[str, ...] = ()
    counters: Numbers = ()
    is_channel: bool = False


@dataclass(frozen=True, slots=True)
class FamilyVersion:
    """A tag read as a member of a family: `prefix`, `form` and `tail.shape` name the family, the rest orders within it.

    `form`: how the numbers are written, every number as `#` (`#.#`, `#u#`, `#-#-#`).
    """

    prefix: str
    form: str
    numbers: Numbers
    is_date: bool
    tail: Tail

    @property
    def text(self) -> str:
        """The numbers as the tag writes them, leading zeros aside: `16.3`, `8u402`."""
        numbers = iter(self.numbers)
        return re.sub("#", lambda _: str(next(numbers)), self.form)


# Words with a number of their own that name what an image is built on or for, never the release in it.
_SYSTEMS = (
    "al alma almalinux alpine amazonlinux bookworm bullseye centos debian fedora ltsc nanoserver ol "
    "oraclelinux rhel rocky rockylinux trixie ubi ubuntu windows windowsservercore"
)
_RUNTIMES = (
    "adoptopenjdk amazoncorretto corretto cu cuda cudnn dotnet erlang go golang graalvm hadoop java "
    "javaee jdk jre jsc llvm microprofile mysql node nodejs openj openjdk otp perl pg php postgres "
    "postgresql py pypy python ruby sapmachine scala semeru spark springboot temurin"
)
_PLATFORM_WORDS = frozenset(f"{_SYSTEMS} {_RUNTIMES}".split())
_ARCHITECTURES = re.compile(r"x86_64|(?:linux|windows)[-_]?(?:386|64)|arm(?:32|64)?v[5-8]")

_DATE_FORM = r"(?:19|20)[0-9]{2}{0}(?:0[1-9]|1[0-2]){0}(?:0[1-9]|[12][0-9]|3[01])"
_DASHED_DATE = re.compile(_DATE_FORM.replace("{0}", "-") + r"(?:T[0-9]{2}-[0-9]{2}-[0-9]{2}Z)?(?![0-9])")
_DIGIT_DATE = re.compile(_DATE_FORM.replace("{0}", "") + r"(?:[0-9]{2}|[0-9]{4}|[0-9]{6})?")
_JAVA_UPDATE = re.compile(r"[0-9]+u[0-9]+(?:-b[0-9]+(?:\.[0-9]+)?)?(?![0-9A-Za-z])")
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_START = re.compile(r"(?:^|(?<=[-_])|(?<=[^0-9]\.))[vV]?(?=[0-9])")
_GLUED_START = re.compile(r"([A-Za-z]+)(?=[0-9])")
_COMMIT = re.compile(r"g?(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}(?![0-9A-Za-z])")
_RELEASE_WORDS = frozenset({"release", "rel", "version", "ver", "build", "rev", "revision", "snapshot"})
_LONGEST_PREFIX = 2  # letters glued in front of a release: `v`, `r`, `p`, `nd`
_LAST_WORD = re.compile(r"([A-Za-z]+)[-_.]*$")
_DATE_LENGTH = len("20240101")
_LONGEST_NUMBER = 6  # digits; a longer number is a date, or a commit's hash that happens to have no letter
_YEARS = range(1990, 2100)
_FEWEST_LARGE, _LARGEST_FACTOR = 1000, 10  # a version this large, and this many times the one before, is none after it

_GLUED_WORDS = "|".join(sorted(PRERELEASE_WORDS - {"next"}, key=len, reverse=True))
_GLUED_PRERELEASE = re.compile(rf"[._]?({_GLUED_WORDS})[._]?([0-9]+)(?=$|[-_.])", re.IGNORECASE)
_DOTTED_PRERELEASE = re.compile(r"[._]?(alpha|beta|rc|milestone|preview|pre)(?=$|[-_])", re.IGNORECASE)
_BEGINS_WITH_WORD = re.compile(rf"-(?:[0-9]+\.)*(?:{'|'.join(sorted(PRERELEASE_WORDS))})", re.IGNORECASE)
_BARE_PRERELEASES = frozenset({"alpha", "beta", "rc", "pre", "preview", "milestone"})
_COUNTER_WORDS = (
    "r|ls|rev|revision|build|bld|p|pl|patch|hotfix|sp|post|update|k3s|rke2r|eksbuild|gke|CU"  # CU: SQL Server
)
_COUNTER = re.compile(rf"[-_.](?:{_COUNTER_WORDS})\.?([0-9]+)(?=$|[-_])")
# Debian's revision and Ubuntu's of it: `-0ubuntu1`, `-1ubuntu2.3` (deb-version(7), Ubuntu's version strings).
_DISTRIBUTION_REVISION = re.compile(r"-([0-9]{1,3})(?:ubuntu|build)([0-9]{1,3}(?:\.[0-9]{1,3})*)(?=$|[-_])")
_FIRST_COUNTER = re.compile(r"[-_]v?([0-9]+(?:\.[0-9]+)*)(?=$|[-_])")
_NUMBER, _LAST_NUMBER, _LAST_DOTTED = map(re.compile, ("[0-9]+", "[0-9]+$", r"[0-9]+(?:\.[0-9]+)*$"))
_PIECE = re.compile(".[^-_]*")
_WORD = re.compile("[A-Za-z]+")


def read(text: str) -> FamilyVersion | None:
    """The family and version that a tag's text names, or None if it names no version.

    >>> read("v1.2.3-alpine3.20")
    FamilyVersion(prefix='v', form='#.#.#', numbers=(1, 2, 3), is_date=False, \
tail=Tail(shape='-alpine3.20', prerelease=(), counters=(), is_channel=False))
    >>> read("latest"), read("5a81b1e6"), read("alpine3.20"), read("1234567")
    (None, None, None, None)
    """
    usual = _USUAL.fullmatch(text)
    if usual is not None:
        return _read_usual(*usual.groups())
    place = _place_of_version(text)
    if place is None:
        return None
    start, end, form = place
    numbers, is_date = _numbers(text[start:end])
    tail = read_tail(text[end:], is_three_part=form == "#.#.#")
    return FamilyVersion(text[:start], form, numbers, is_date, tail)


def _read_usual(prefix: str, version: str, rest: str) -> FamilyVersion:
    """The same for nine tags in ten, in a third of the time: a list may hold 20,000 of them."""
    numbers = tuple(map(int, version.split(".")))
    form = "#" + ".#" * (len(numbers) - 1)
    return FamilyVersion(prefix, form, numbers, False, _NO_TAIL if not rest else _usual_tail(rest, form == "#.#.#"))


def _usual_tail(rest: str, is_three_part: bool) -> Tail:
    counter = _ONE_COUNTER.fullmatch(rest)
    if counter is not None:
        return Tail(counter[1] + "#", (), (int(counter[2]),))
    prerelease = _ONE_PRERELEASE.fullmatch(rest)
    return Tail("", tuple(prerelease[1].split("."))) if prerelease else read_tail(rest, is_three_part=is_three_part)


def is_scheme_jump(current: FamilyVersion, other: FamilyVersion) -> bool:
    """Whether `other` counts in another way than `current`: years or dates in place of releases, or so much further
    that it is no next version (`19` and `2024`, `16` and `20241001`, `30` and `4711`)."""
    if current.is_date or other.is_date:
        return current.is_date != other.is_date
    ours, theirs = current.numbers[0], other.numbers[0]
    becomes_year = theirs in _YEARS and ours < _FEWEST_LARGE
    return becomes_year or theirs >= max(_FEWEST_LARGE, _LARGEST_FACTOR * ours + 1)


_NO_TAIL = Tail()
# No part of these is a hash, a date, or an update of Java, which `_place_of_version` looks for.
_USUAL = re.compile(r"([vV]?)([0-9]{1,6}(?:\.[0-9]+)*)((?:-(?![0-9]{2}-).*)?)")
_ONE_PRERELEASE = re.compile(r"-((?:alpha|beta|rc)\.?[0-9]+)")
_ONE_COUNTER = re.compile(rf"(-(?:{_COUNTER_WORDS}))([0-9]+)")


# -------------------------------------------------------------------------------- the version's place


def _place_of_version(text: str) -> tuple[int, int, str] | None:
    """Start, end and form of the text's version; None if no number in it is one."""
    found = re.match(r"[vV]?(?=[0-9])", text)
    if found:  # a tag that begins with a number means that number
        return _version_at(text, found.end())
    places = _places(text)
    exact = (place for place in places if place[2] != "#")
    first = next(exact, None) or next(iter(places), None)
    return first or _glued_place(text)


def _places(text: str) -> list[tuple[int, int, str]]:
    """Every number that begins a piece of the text and may be a version, from left to right."""
    places: list[tuple[int, int, str]] = []
    architecture = _ARCHITECTURES.match(text)
    end = architecture.end() if architecture else 0
    after_platform = False  # `17` of `temurin-17-boot` names a platform, and `23` of `jdk-21-and-23` does too
    for found in _START.finditer(text):
        place = _version_at(text, found.end()) if found.end() >= end else None
        if place is None:
            continue
        end = place[1]
        is_short = place[2] == "#" and end - place[0] < _DATE_LENGTH
        if _names_platform(text, place) or (after_platform and is_short):
            after_platform = True
        else:
            places.append(place)
    return places


def _glued_place(text: str) -> tuple[int, int, str] | None:
    """The version in `centos7.9.2009` or `p10`: a number glued to the first word. A short number behind a long word
    (`webProfile8`, `hadoop28`) names what the image is for."""
    found = _GLUED_START.match(text)
    if found is None or _COMMIT.match(text):
        return None
    place = _version_at(text, found.end())
    if place is None or _names_platform(text, place):
        return None
    is_short = place[2] in ("#", "#.#") and place[1] - place[0] < _DATE_LENGTH
    is_of_word = len(found[1]) > _LONGEST_PREFIX and found[1].lower() not in _RELEASE_WORDS
    return None if is_short and is_of_word else place


def _names_platform(text: str, place: tuple[int, int, str]) -> bool:
    """Whether the number belongs to a word such as `alpine` or `php`. Such numbers have one or two parts; a date, or
    more parts (`jdk-17.0.2`), is a release."""
    start, end, form = place
    word = _LAST_WORD.search(text[:start])
    if word is None or word[1].lower() not in _PLATFORM_WORDS:
        return False
    is_exact = form not in ("#", "#.#") or _FIRST_COUNTER.match(text, end) is not None
    return not is_exact and end - start < _DATE_LENGTH


def _version_at(text: str, start: int) -> tuple[int, int, str] | None:
    """The version that begins exactly at `start`."""
    if _COMMIT.match(text, start):
        return None
    for form in (_DASHED_DATE, _JAVA_UPDATE, _DOTTED):
        found = form.match(text, start)
        if found:
            break
    if found is None or not _is_plausible(found[0]):
        return None
    return start, found.end(), _NUMBER.sub("#", found[0])


def _is_plausible(version: str) -> bool:
    """Whether no number at its front is so long that only a commit's hash explains it."""
    first = _NUMBER.match(version)
    assert first is not None
    return len(first[0]) <= _LONGEST_NUMBER or _DIGIT_DATE.fullmatch(first[0]) is not None


@functools.lru_cache(maxsize=4096)
def _numbers(version: str) -> tuple[Numbers, bool]:
    """The version's numbers, and whether they are a date."""
    numbers = _NUMBER.findall(version)
    is_date = len(numbers[0]) > _LONGEST_NUMBER or ("-" in version and "u" not in version)
    return tuple(map(int, numbers)), is_date


# -------------------------------------------------------------------------------------------- the tail


@functools.lru_cache(maxsize=4096)  # the tags of a repository share their tails
def read_tail(text: str, *, is_three_part: bool) -> Tail:
    """Take apart what follows a version's numbers. `is_three_part`: a bare word (`-rc`) is a prerelease as SemVer has
    it; elsewhere it names a floating channel.

    >>> read_tail("-rc.1-alpine", is_three_part=True).prerelease, read_tail("RC1-fpm", is_three_part=True).shape
    (('rc', '1'), '-fpm')
    >>> read_tail("-debian-12-r10", is_three_part=True)
    Tail(shape='-debian-12-r#', prerelease=(), counters=(10,), is_channel=False)
    >>> read_tail("-0ubuntu2.1", is_three_part=True)
    Tail(shape='-#ubuntu#.#', prerelease=(), counters=(0, 2, 1), is_channel=False)
    """
    if not text:
        return Tail()
    prerelease, rest = _prerelease(text, is_three_part=is_three_part)
    shape, counters = _counters(rest)
    is_channel = any(word.lower() in CHANNEL_WORDS for word in _WORD.findall(rest))
    return Tail(shape, prerelease, counters, is_channel)


def _prerelease(text: str, *, is_three_part: bool) -> tuple[tuple[str, ...], str]:
    """The identifiers of the prerelease at the front of a tail, and what is left of it."""
    glued = _GLUED_PRERELEASE.match(text)
    if glued:  # 19beta3, 3.14.0a1, 1.0.0.RC1
        return (glued[1].lower(), glued[2]), text[glued.end() :]
    dotted = _DOTTED_PRERELEASE.match(text)
    if dotted and is_three_part:
        return (dotted[1].lower(),), text[dotted.end() :]
    if not _BEGINS_WITH_WORD.match(text):
        return (), text
    prerelease, variant = split_tail(text[1:])
    if not any(map(str.isalpha, prerelease)) or _is_channel(prerelease, is_three_part=is_three_part):
        return (), text
    return tuple(prerelease.split(".")), f"-{variant}" if variant else ""


def _is_channel(prerelease: str, *, is_three_part: bool) -> bool:
    """Whether a prerelease without a number is a floating channel. SemVer's own words are none in three-part tags."""
    word = prerelease.lower()
    return word in CHANNEL_WORDS and not (is_three_part and word in _BARE_PRERELEASES)


def _counters(text: str) -> tuple[str, Numbers]:
    """The tail with its counters as `#` and commit hashes as `<commit>`, and the counters' numbers."""
    shape, counters, position = "", list[int](), 0
    is_first = True  # numbers count releases only directly behind the version; later they belong to a word
    while position < len(text):
        found = _counter_at(text, position, is_first=is_first)
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
    """The shape of a counter (`_v2.0.10` is `_v#.#.#`, `-k3s1` is `-k3s#`) or of a commit hash."""
    if not values:
        return piece[0] + "<commit>"
    if len(values) == len(_NUMBER.findall(piece)):
        return _NUMBER.sub("#", piece)
    number = (_LAST_DOTTED if len(values) > 1 else _LAST_NUMBER).search(piece)
    assert number is not None
    return piece[: number.start()] + ".".join("#" * len(values))


def _piece_at(text: str, position: int) -> str:
    found = _PIECE.match(text, position)
    assert found is not None
    return found[0]


def _counter_at(text: str, position: int, *, is_first: bool) -> tuple[str, list[int]] | None:
    """A counter or a commit hash at this position with the separator in front: its text and its numbers."""
    commit = _COMMIT.match(text, position + 1) if text[position] in "-_." else None
    if commit:
        return text[position : commit.end()], []
    date = _DIGIT_DATE.fullmatch(_piece_at(text, position)[1:])
    if date and text[position] in "-_":
        return text[position : position + 1 + len(date[0])], [int(date[0])]
    revision = _DISTRIBUTION_REVISION.match(text, position) if is_first else None
    if revision:
        return revision[0], [int(digits) for digits in _NUMBER.findall(revision[0])]
    word = _COUNTER.match(text, position)
    if word:
        return word[0], [int(word[1])]
    number = _FIRST_COUNTER.match(text, position) if is_first else None
    if number is None or not _is_plausible(number[1]):
        return None
    return number[0], [int(digits) for digits in number[1].split(".")]


# ---------------------------------------------------------------------------------------- what `follow` is short for


def selector_of(policy: Policy, current: ImageRef, budget: MatchBudget | None = None) -> Selector | None:
    """Return the policy's selector, None if the digest behind the current tag is followed.

    A current tag that names no version (`latest`) has no versions to follow, so its digest is followed then too.
    """
    pattern = pattern_of(policy, budget)
    if pattern is not None or policy.follow is Follow.TAG or read(current.tag or "") is None:
        return pattern
    return semver_selector("*")


def largest_step(policy: Policy) -> Bump:
    """Return the largest step between versions that the policy takes.

    >>> largest_step(Policy(follow=Follow.MINOR)).value, largest_step(Policy(max_bump=Bump.PATCH)).value
    ('minor', 'patch')
    """
    has_pattern = pattern_of(policy) is not None
    return policy.max_bump if has_pattern or policy.follow is Follow.TAG else Bump(policy.follow.value)


def core_rank(version: FamilyVersion) -> Any:
    """What orders the versions of a family by numbers and prerelease alone: of three numbers SemVer 2.0.0, §11."""
    prerelease = version.tail.prerelease
    if not prerelease:
        return version.numbers, True, ()
    if version.form == SEMVER_FORM:
        return precedence(as_semver(version))
    return version.numbers, False, natural_key(".".join(prerelease).lower())


def as_semver(version: FamilyVersion) -> TagVersion:
    """The version as three numbers: missing ones are 0, and those behind the third are left out."""
    major, minor, patch = (*version.numbers, 0, 0)[:3]
    return TagVersion((major, minor, patch), version.tail.prerelease)
