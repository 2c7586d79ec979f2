"""A tag taken apart: literal text, a version's numbers, and a tail. Pure.

A tag is read as literal text in front of a version (`v`, `RELEASE.`, `temurin-17-tools-deps-`), the version's
numbers, perhaps a prerelease, and a tail (`-alpine3.20`, `-ls299`). Two tags are of one family if everything
but the numbers, the prerelease and the counters in the tail is the same; only within a family is one tag
newer than another.

The reading is ours; tags follow no standard.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from updater_core.policy.patterns import natural_key
from updater_core.policy.tags import words
from updater_core.policy.tags.tail import NO_TAIL, Numbers, Tail, read_tail, read_usual_tail
from updater_core.policy.tags.words import LONGEST_NUMBER, NUMBER
from updater_core.semver_utils import TagVersion, precedence

Place = tuple[int, int, str]  # start, end and form of a version in a text
SEMVER_FORM = "#.#.#"
_DATE_LENGTH = len("20240101")
# a version this large, and this many times the one before, is none after it
_FEWEST_LARGE, _LARGEST_FACTOR = 1000, 10
_LONGEST_PREFIX = 2  # letters glued in front of a release: `v`, `r`, `p`, `nd`


@dataclass(frozen=True, slots=True)
class FamilyVersion:
    """A tag read as a member of a family.

    `prefix`, `form` and `tail.shape` name the family, the rest orders within it. `prefix`: commit hashes in
    it as `<commit>`. `form`: how the numbers are written, every number as `#` (`#.#`, `#u#`, `#-#-#`).
    """

    prefix: str
    form: str
    numbers: Numbers
    is_date: bool
    tail: Tail

    @property
    def has_steps(self) -> bool:
        """Return whether the numbers tell a small step from a large one; those of a date or build do not."""
        if self.is_date or self.form != "#":
            return not self.is_date
        word = _LAST_WORD.fullmatch(self.prefix)
        is_build = word is not None and word[1].lower() in words.BUILD_WORDS
        is_large = self.numbers[0] >= _FEWEST_LARGE and self.numbers[0] not in words.YEARS
        return not is_build and not is_large

    @property
    def text(self) -> str:
        """Return the numbers as the tag writes them, leading zeros aside: `16.3`, `8u402`."""
        numbers = iter(self.numbers)
        return re.sub("#", lambda _: str(next(numbers)), self.form)


# No part of these is a hash, a date, or an update of Java, which `_place_of_version` looks for.
_USUAL = re.compile(r"([vV]?)([0-9]{1,6}(?:\.[0-9]+)*)((?:-(?!(?:[wW]?[0-9]{2}-|[wW][0-9]{2}$)).*)?)")
_JAVA_UPDATE = re.compile(r"[0-9]+u[0-9]+(?:-b[0-9]+(?:\.[0-9]+)?)?(?![0-9A-Za-z])")
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_FORMS = (words.DASHED_DATE, words.DATE_AND_TIME, words.WEEK, _JAVA_UPDATE, _DOTTED)
_VERSION = re.compile("|".join(form.pattern for form in _FORMS))  # the first that fits
_BEGINS_WITH_NUMBER = re.compile(r"[vV]?(?=[0-9])")
_START = re.compile(r"(?:^|(?<=[-_])|(?<=[^0-9]\.))[vV]?(?=[0-9])")
_GLUED_START = re.compile(r"([A-Za-z]+)(?=[0-9])")
_GLUED_PIECE = re.compile(rf"(?<=[-_])[A-Za-z]{{1,{_LONGEST_PREFIX}}}(?=[0-9])")
_GLUED_BUILD = re.compile(rf"(?<=[-_.])(?:{'|'.join(sorted(words.BUILD_WORDS))})(?=[0-9]+(?:$|[-_]))")
_LAST_WORD = re.compile(r"(?:.*[^A-Za-z])?([A-Za-z]+)[-_.]*")  # from the end, as text may be long
_PIECES = re.compile(r"[-_.]")
_MOST_SEPARATORS = 24  # a tag of more pieces names no version: twice as many as any that people publish


def read(text: str) -> FamilyVersion | None:
    """Return the family and version that a tag's text names, or None if it names no version.

    >>> read("v1.2.3-alpine3.20")
    FamilyVersion(prefix='v', form='#.#.#', numbers=(1, 2, 3), is_date=False, \
tail=Tail(shape='-alpine3.20', prerelease=(), counters=(), is_channel=False, post=0))
    >>> read("server-b4321").numbers, read("main-5a81b1e-20241001").prefix
    ((4321,), 'main-<commit>-')
    >>> read("latest"), read("5a81b1e6"), read("alpine3.20"), read("1234567"), read("pr-123")
    (None, None, None, None, None)
    """
    if len(text) > _MOST_SEPARATORS and sum(map(text.count, "-_.")) > _MOST_SEPARATORS:
        return None
    usual = _USUAL.fullmatch(text)
    if usual is not None:
        return _read_usual(*usual.groups())
    place = _place_of_version(text)
    if place is None:
        return None
    start, end, form = place
    numbers, is_date = _numbers(text[start:end])
    tail = read_tail(text[end:], is_three_part=form == SEMVER_FORM)
    return FamilyVersion(_without_commits(text[:start]), form, numbers, is_date, tail)


def _read_usual(prefix: str, version: str, rest: str) -> FamilyVersion:
    """Return the same for nine tags in ten, in a third of the time: a list may hold 20,000 of them."""
    numbers = tuple(map(int, version.split(".")))
    form = "#" + ".#" * (len(numbers) - 1)
    tail = read_usual_tail(rest, is_three_part=form == SEMVER_FORM) if rest else NO_TAIL
    return FamilyVersion(prefix, form, numbers, False, tail)


@functools.lru_cache(maxsize=4096)
def _without_commits(prefix: str) -> str:
    """Return the text in front of a version with each commit's hash as `<commit>`."""
    return words.COMMIT_PIECE.sub("<commit>", prefix)


def names_commit(piece: str) -> bool:
    """Return whether a piece of a tag between separators is a commit's hash."""
    return words.COMMIT_PIECE.fullmatch(piece) is not None


def names_build(tag: str) -> bool:
    """Return whether a tag without a version names one build: nothing newer will ever have this name.

    It names it by a commit's hash, a long number, or the change in it.

    >>> [names_build(tag) for tag in ("sha-5a81b1e", "1234567-cuda", "pr-123", "latest", "alpine3.20")]
    [True, True, True, False, False]
    """
    if any(map(names_commit, _PIECES.split(tag))):
        return True
    return any(_is_topic(tag, found.start()) for found in NUMBER.finditer(tag))


def is_scheme_jump(current: FamilyVersion, other: FamilyVersion) -> bool:
    """Return whether `other` counts in another way than `current`.

    That is: years or dates in place of releases, dates of another length, or so much further that it is no
    next version (`19` and `2024`, `16` and `20241001`, `30` and `4711`).
    """
    ours, theirs = current.numbers[0], other.numbers[0]
    if current.is_date or other.is_date:
        return current.is_date != other.is_date or len(str(ours)) != len(str(theirs))
    becomes_year = theirs in words.YEARS and ours < _FEWEST_LARGE
    return becomes_year or theirs >= max(_FEWEST_LARGE, _LARGEST_FACTOR * ours + 1)


def core_rank(version: FamilyVersion) -> Any:
    """Return what orders the versions of a family by numbers and prerelease alone (SemVer 2.0.0, §11)."""
    prerelease = version.tail.prerelease
    if not prerelease:
        return version.numbers, True, (version.tail.post,)
    if version.form == SEMVER_FORM:
        return precedence(as_semver(version))
    return version.numbers, False, natural_key(".".join(prerelease).lower())


def as_semver(version: FamilyVersion) -> TagVersion:
    """Return the version as three numbers: missing ones are 0, and those behind the third are left out."""
    major, minor, patch = (*version.numbers, 0, 0)[:3]
    return TagVersion((major, minor, patch), version.tail.prerelease)


# -------------------------------------------------------------------------------- the version's place


def _place_of_version(text: str) -> Place | None:
    """Return the text's version; None if no number in it is one."""
    found = _BEGINS_WITH_NUMBER.match(text)
    if found:  # a tag that begins with a number means that number
        place = _version_at(text, found.end())
        return place or _build_after(text)
    short = None
    for place in _places(text):
        if place[2] != "#":
            return place
        short = short or place
    return short or _glued_place(text) or _glued_behind_platform(text) or _build_after(text)


def _places(text: str) -> Iterator[Place]:
    """Yield every number that begins a piece of the text and may be a version, from left to right."""
    architecture = words.ARCHITECTURES.match(text)
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
        elif not (is_short and _is_topic(text, place[0])):
            yield place


def _glued_place(text: str) -> Place | None:
    """Return the version in `centos7.9.2009` or `p10`: a number glued to the first word.

    A short number behind a long word (`webProfile8`, `hadoop28`) names what the image is for.
    """
    found = _GLUED_START.match(text)
    if found is None or words.COMMIT.match(text) or words.MACHINES.match(text):
        return None
    place = _version_at(text, found.end())
    if place is None or _names_platform(text, place) or _is_topic(text, place[0]):
        return None
    is_short = place[2] in ("#", "#.#") and place[1] - place[0] < _DATE_LENGTH
    is_of_word = len(found[1]) > _LONGEST_PREFIX and found[1].lower() not in words.RELEASE_WORDS
    return None if is_short and is_of_word else place


def _glued_behind_platform(text: str) -> Place | None:
    """Return the version that is glued to a short word behind a platform, as in `pg16.4-ts2.16.1-all`."""
    first = _GLUED_START.match(text)
    if first is None or first[1].lower() not in words.PLATFORM_WORDS:
        return None
    for found in _GLUED_PIECE.finditer(text, first.end()):
        place = _version_at(text, found.end())
        is_dotted = place is not None and place[2] != "#"
        if place is not None and is_dotted and not _names_platform(text, place):
            return place
    return None


def _build_after(text: str) -> Place | None:
    """Return the number of a build behind another word, as in `server-b4321`."""
    found = _GLUED_BUILD.search(text)
    return _version_at(text, found.end()) if found else None


def _names_platform(text: str, place: Place) -> bool:
    """Return whether the number belongs to a word such as `alpine` or `php`.

    Such numbers have one or two parts; a date, or more parts (`jdk-17.0.2`), is a release.
    """
    start, end, form = place
    word = _LAST_WORD.fullmatch(text[:start])
    if word is None or word[1].lower() not in words.PLATFORM_WORDS:
        return False
    is_exact = form not in ("#", "#.#") or words.FIRST_COUNTER.match(text, end) is not None
    return not is_exact and end - start < _DATE_LENGTH


def _is_topic(text: str, start: int) -> bool:
    """Return whether the number at `start` says which change is in the image (`pr-123`)."""
    word = _LAST_WORD.fullmatch(text[:start])
    return word is not None and word[1].lower() in words.TOPIC_WORDS


def _version_at(text: str, start: int) -> Place | None:
    """Return the version that begins exactly at `start`."""
    if words.COMMIT.match(text, start):
        return None
    found = _VERSION.match(text, start)
    if found is None or not _is_plausible(found[0]):
        return None
    return start, found.end(), NUMBER.sub("#", found[0])


def _is_plausible(version: str) -> bool:
    """Return whether no number at its front is so long that only a commit's hash explains it."""
    first = NUMBER.match(version)
    assert first is not None
    return len(first[0]) <= LONGEST_NUMBER or words.DIGIT_DATE.fullmatch(first[0]) is not None


@functools.lru_cache(maxsize=4096)
def _numbers(version: str) -> tuple[Numbers, bool]:
    """Return the version's numbers, and whether they are a date."""
    numbers = NUMBER.findall(version)
    is_week = words.WEEK.fullmatch(version) is not None
    is_date = is_week or len(numbers[0]) > LONGEST_NUMBER or ("-" in version and "u" not in version)
    return tuple(map(int, numbers)), is_date
