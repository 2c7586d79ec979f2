"""Version order holds for any versions, and is SemVer's own if these are SemVer."""

from __future__ import annotations

import nodesemver
import semver
from hypothesis import assume, given
from hypothesis import strategies as st

from updater_core.policy.ranges import check_range, parse_range, satisfies
from updater_core.semver_utils import TagVersion, compare, parse_tag, precedence

numbers = st.tuples(*[st.integers(0, 3) | st.integers(0, 10**30)] * 3)
numeric = (st.integers(0, 20) | st.integers(0, 10**30)).map(str)
words = st.from_regex(r"[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True).filter(
    lambda text: len(text) < 8
)
prereleases = st.lists(numeric | words, max_size=4).map(tuple)
versions = st.builds(
    TagVersion, numbers, prereleases, st.sampled_from(["", "alpine", "r10"]), st.sampled_from(["", "v"])
)
close_versions = st.builds(TagVersion, st.tuples(*[st.integers(0, 1)] * 3), prereleases)
tag_like = st.from_regex(
    r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-[0-9A-Za-z_.-]{0,12})?", fullmatch=True
) | st.text(max_size=20)


def text_of(version: TagVersion) -> str:
    """The version as the standard writes it."""
    dotted = ".".join(map(str, version.numbers))
    return f"{dotted}-{'.'.join(version.prerelease)}" if version.prerelease else dotted


@given(close_versions, close_versions)
def test_precedence_is_that_of_the_semver_library(left: TagVersion, right: TagVersion) -> None:
    theirs = semver.Version.parse(text_of(left)).compare(text_of(right))
    ours = (precedence(left) > precedence(right)) - (precedence(left) < precedence(right))
    assert compare(left, right) == ours == theirs


@given(versions, versions, versions)
def test_the_order_is_total(a: TagVersion, b: TagVersion, c: TagVersion) -> None:
    assert compare(a, b) == -compare(b, a)
    assert (compare(a, b) == 0) == ((a.numbers, a.prerelease) == (b.numbers, b.prerelease))
    low, middle, high = sorted((a, b, c), key=precedence)
    assert compare(low, middle) <= 0
    assert compare(middle, high) <= 0
    assert compare(low, high) <= 0


@given(numbers, st.lists(numeric, max_size=2), st.sampled_from(["alpha", "beta", "rc", "dev"]))
def test_a_strict_version_is_read_as_the_library_reads_it(
    three: tuple[int, int, int], more: list[str], word: str
) -> None:
    text = f"{'.'.join(map(str, three))}-{'.'.join([word, *more])}"
    theirs, ours = semver.Version.parse(text), parse_tag(text)
    assert ours is not None
    assert (ours.numbers, ".".join(ours.prerelease)) == (
        (theirs.major, theirs.minor, theirs.patch),
        theirs.prerelease,
    )


@given(tag_like)
def test_nothing_that_is_a_tag_breaks_the_reader_and_what_is_read_is_all_there(text: str) -> None:
    version = parse_tag(text)
    if version is None:
        return
    tail = text.partition("-")[2]
    assert "-".join(part for part in (".".join(version.prerelease), version.variant) if part) == tail
    assert text.startswith(version.prefix)


@given(close_versions, close_versions)
def test_a_comparator_agrees_with_the_order(left: TagVersion, right: TagVersion) -> None:
    left, right = TagVersion(left.numbers), TagVersion(right.numbers)
    for operator, holds in ((">", compare(left, right) > 0), ("<=", compare(left, right) <= 0)):
        assert satisfies(parse_range(operator + text_of(right)), left) is holds


# ------------------------------------------------------------ ranges, beside the reading that npm has of them

few = st.integers(0, 3).map(str)
part = st.lists(few, min_size=1, max_size=3).map(".".join) | st.sampled_from(
    ["1.x", "x", "*", "1.2.x", "2.*"]
)
labelled = st.builds("{}.{}.{}-{}.{}".format, few, few, few, st.sampled_from(["alpha", "rc"]), few)
bound = st.builds(
    "{}{}".format, st.sampled_from(["", "=", ">", ">=", "<", "<=", "~", "^", "~>"]), part | labelled
)
hyphen = st.builds("{} - {}".format, part | labelled, part | labelled)
ranges = st.lists(
    st.lists(bound, min_size=1, max_size=3).map(" ".join) | hyphen, min_size=1, max_size=3
).map(" || ".join)  # fmt: skip
released = st.builds("{}.{}.{}".format, few, few, few)


@given(ranges, released | labelled)
def test_a_range_admits_what_npm_admits(text: str, version: str) -> None:
    ours = parse_tag(version)
    assert ours is not None
    assert satisfies(parse_range(text), ours) is nodesemver.satisfies(version, text, loose=False)


@given(ranges, released | labelled)
def test_no_version_is_in_a_range_that_is_refused_as_impossible(text: str, version: str) -> None:
    assume(check_range(text) is not None)
    assert not nodesemver.satisfies(version, text, loose=False)
