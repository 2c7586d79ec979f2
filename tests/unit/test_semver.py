"""Versions in tags and version ranges."""

from __future__ import annotations

import itertools

import pytest

from updater_core.policy.ranges import check_range, parse_range, satisfies
from updater_core.semver_utils import TagVersion, compare, parse_tag, split_tail


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("1.2.3", TagVersion((1, 2, 3))),
        ("v1.2.3", TagVersion((1, 2, 3), prefix="v")),
        ("2024.10.1", TagVersion((2024, 10, 1))),
        ("2024.10.01", TagVersion((2024, 10, 1))),
        ("1.2.3-09", TagVersion((1, 2, 3), ("09",))),
        ("1.2.3-0.3.7", TagVersion((1, 2, 3), ("0", "3", "7"))),
        ("1.2.3-0.beta.1", TagVersion((1, 2, 3), ("0", "beta", "1"))),
        ("1.2.3-rc.1", TagVersion((1, 2, 3), ("rc", "1"))),
        ("1.2.3-RC1", TagVersion((1, 2, 3), ("RC1",))),
        ("1.2.3-beta-2", TagVersion((1, 2, 3), ("beta-2",))),
        ("1.2.3-rc.1-alpine", TagVersion((1, 2, 3), ("rc", "1"), "alpine")),
        ("1.2.3-alpine3.19", TagVersion((1, 2, 3), (), "alpine3.19")),
        ("1.2.3-debian-11-r10", TagVersion((1, 2, 3), (), "debian-11-r10")),
        ("1.2.3-r10", TagVersion((1, 2, 3), (), "r10")),
        ("1.2.3-ls132", TagVersion((1, 2, 3), (), "ls132")),
        ("1" * 60 + ".0.0", TagVersion((int("1" * 60), 0, 0))),
    ],
)
def test_a_tag_is_read_as_a_version(tag: str, expected: TagVersion) -> None:
    assert parse_tag(tag) == expected


@pytest.mark.parametrize(
    "tag",
    [
        "1",
        "1.2",
        "20241001",
        "1234567",
        "2024-10-01",
        "1.2.3.4",
        "1.2.3rc1",
        "V1.2.3",
        "5a81b1e6",
        "0a1b2c3",
        "latest",
        "vv1.2.3",
        "1.2.3-",
        "1.2.3_12",
        "1.2.3+build",
        "v11",
        "vnext",
        "",
        " 1.2.3",
        "1.2.3\n",
        "1.2.3-rc..1",
        "١.٢.٣",
    ],
)
def test_nothing_is_coerced_into_a_version(tag: str) -> None:
    assert parse_tag(tag) is None


@pytest.mark.parametrize(
    "word", ["alpine", "bookworm", "musl", "slim", "amd64", "r9", "rcx", "mariner", "betamax"]
)
def test_a_tail_is_a_prerelease_only_if_the_whole_word_says_so(word: str) -> None:
    assert split_tail(word) == ("", word)


@pytest.mark.parametrize(
    "word", ["alpha", "b2", "c", "rc1", "pre", "dev.5", "nightly.20240101", "m3", "milestone", "ea"]
)
def test_a_word_for_a_prerelease_is_known(word: str) -> None:
    assert split_tail(f"{word}-slim") == (word, "slim")


def test_precedence_is_the_example_of_the_standard() -> None:
    rising = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    versions = [TagVersion((1, 0, 0), tuple(text.split("."))) for text in rising] + [TagVersion((1, 0, 0))]
    for low, high in itertools.combinations(versions, 2):
        assert (compare(low, high), compare(high, low)) == (-1, 1)


def test_prefix_and_variant_have_no_say_in_precedence() -> None:
    assert compare(TagVersion((1, 2, 3), prefix="v"), TagVersion((1, 2, 3), variant="alpine")) == 0


# The meanings are those of https://github.com/npm/node-semver#ranges, each form with its bounds from both
# sides.
@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (">=1.4 <3", "1.4.0 2.99.0", "1.3.9 3.0.0 3.0.0-rc.1 1.4.0-rc.1 2.0.0-rc.1"),
        (">= 1.4, <3", "1.4.0", "3.0.0"),
        (">1.2", "1.3.0", "1.2.9 1.3.0-rc.1"),
        ("<=1.2", "1.2.9", "1.3.0 1.3.0-rc.1"),
        ("<1.2", "1.1.9", "1.2.0 1.2.0-rc.1"),
        ("<1.2.3", "1.2.2", "1.2.3 1.2.3-rc.1"),
        ("=1.2.3", "1.2.3", "1.2.4 1.2.3-rc.1"),
        ("v1.2.3", "1.2.3", "1.2.2"),
        ("1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
        ("1.x", "1.0.0 1.9.9", "2.0.0 0.9.0"),
        ("1.2.*", "1.2.7", "1.3.0"),
        ("*", "0.0.0 99.0.0", "1.0.0-rc.1"),
        (">=*", "0.0.0", "1.0.0-rc.1"),
        ("<*", "", "0.0.0 1.0.0"),
        (">*", "", "0.0.0 1.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2 1.2.4-rc.1"),
        ("~>1.2", "1.2.0 1.2.9", "1.3.0"),
        ("~1", "1.9.9", "2.0.0 0.9.9"),
        ("^1.2.3", "1.2.3 1.9.0", "2.0.0 1.2.2 2.0.0-rc.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.9", "0.1.0"),
        ("^0", "0.9.9", "1.0.0"),
        ("^x", "7.0.0", "7.0.0-rc.1"),
        ("^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-rc.1 1.2.3 1.9.0", "1.2.3-beta.1 1.3.0-alpha.1 2.0.0"),
        ("1.2 - 2.3", "1.2.0 2.3.9", "2.4.0 1.1.9"),
        ("1.2.3 - 2.3.4", "1.2.3 2.3.4", "2.3.5 1.2.2"),
        ("x - 1", "0.0.1 1.9.9", "2.0.0"),
        ("<1 || >=2 <3 || 5.0.0", "0.9.0 2.5.0 5.0.0", "1.0.0 3.0.0 5.0.1"),
        (">=2024.01.05 <2025", "2024.01.5 2024.12.31", "2024.1.4 2025.1.1"),
    ],
)
def test_a_range_admits_what_node_admits(wanted: str, inside: str, outside: str) -> None:
    for expected, texts in ((True, inside), (False, outside)):
        for text in texts.split():
            version = parse_tag(text)
            assert version is not None
            assert satisfies(parse_range(wanted), version) is expected, text


@pytest.mark.parametrize(
    ("wanted", "version", "expected"),
    [
        (">=1.4 <3", "2.0.0-rc.1", True),
        (">=1.4 <3", "3.0.0-rc.1", False),
        (">=1.4 <3", "1.4.0-rc.1", True),
        ("^1.2.3", "1.2.3-rc.1", False),
        ("2.x", "2.0.0-pre.0", True),
        ("<=2", "3.0.0-rc.1", False),
    ],
)
def test_prereleases_are_ordinary_versions_if_they_are_asked_for(
    wanted: str, version: str, expected: bool
) -> None:
    parsed = parse_tag(version)
    assert parsed is not None
    assert satisfies(parse_range(wanted), parsed, with_prereleases=True) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "||",
        "1.2 ||",
        "one",
        "1.2-1.4.5",
        "1.2.3.4",
        ">=",
        "=>1.2",
        "~1.25.3-alpine",
        "1.2.3-rc..1",
        "1.2.x-rc.1",
        "> > 1",
        "1.2.3 -",
        "<>1",
        "x.0",
        "1.x.2",
        "*.1.0",
        ">=1.x.3",
        ">2 <1",
        ">1.2.3 <=1.2.3",
        "<0",
        ">*",
        "=1.2.3 =1.2.4",
        "^1.2 <1 || >2 <1",
    ],
)
def test_what_is_no_range_is_refused_in_a_sentence(text: str) -> None:
    problem = check_range(text)
    assert problem is not None
    assert repr(text) in problem


def test_a_good_range_has_no_problem() -> None:
    good = [
        ">=1.4 <3 || ^5",
        "1.x.x",
        "^1.x.2",
        ">=1.2.3 <=1.2.3",
        ">2 <1 || 5",
        ">1.2.3 <1.2.4",
        ">=1.0.0-rc.1 <1.0.0",
        "*",
    ]
    assert [text for text in good if check_range(text) is not None] == []
