"""Version families: what a tag says about its kind, and that no service leaves the family of its current
tag.
"""

from __future__ import annotations

import pytest

from benchmarks.tag_history import compare_texts, is_newer, judge
from tests.unit.test_selection import answer, choose, image, reasons, tags
from updater_core.models import Bump, Follow, Hold, Policy, Reason, Update
from updater_core.policy.tags.reading import FamilyVersion, is_scheme_jump, read
from updater_core.policy.tags.variant import named_variant, split_variant


def version_of(tag: str) -> FamilyVersion:
    version = read(tag)
    assert version is not None, tag
    return version


@pytest.mark.parametrize(
    ("tag", "prefix", "form", "numbers", "shape", "prerelease", "counters"),
    [
        ("16", "", "#", (16,), "", (), ()),
        ("16.3", "", "#.#", (16, 3), "", (), ()),
        ("22.04", "", "#.#", (22, 4), "", (), ()),
        ("v1.2.3-arm64", "v", "#.#.#", (1, 2, 3), "-arm64", (), ()),
        ("3.12-slim-bookworm", "", "#.#", (3, 12), "-slim-bookworm", (), ()),
        ("1.30.0-windowsservercore-ltsc2022", "", "#.#.#", (1, 30, 0), "-windowsservercore-ltsc2022", (), ()),
        ("24.0.7-dind-rootless", "", "#.#.#", (24, 0, 7), "-dind-rootless", (), ()),
        ("3.9.6-eclipse-temurin-17-alpine", "", "#.#.#", (3, 9, 6), "-eclipse-temurin-17-alpine", (), ()),
        ("1.1.1w", "", "#.#.#", (1, 1, 1), "w", (), ()),
        # counters
        ("4.0.16.2944-ls299", "", "#.#.#.#", (4, 0, 16, 2944), "-ls#", (), (299,)),
        ("1.25.3-debian-12-r10", "", "#.#.#", (1, 25, 3), "-debian-12-r#", (), (10,)),
        ("26.0.1-0", "", "#.#.#", (26, 0, 1), "-#", (), (0,)),
        ("4.6.4_v2.0.10-r0-ls330", "", "#.#.#", (4, 6, 4), "_v#.#.#-r#-ls#", (), (2, 0, 10, 0, 330)),
        ("1.40.0.7998-c29d4c0c8-ls200", "", "#.#.#.#", (1, 40, 0, 7998), "-<commit>-ls#", (), (200,)),
        ("v1.28.2-k3s1", "v", "#.#.#", (1, 28, 2), "-k3s#", (), (1,)),
        ("17.0.10_7-jre", "", "#.#.#", (17, 0, 10), "_#-jre", (), (7,)),
        ("16-3.4-alpine", "", "#", (16,), "-#.#-alpine", (), (3, 4)),
        ("9-minimal-20231124", "", "#", (9,), "-minimal-#", (), (20231124,)),
        ("18.04-20231001", "", "#.#", (18, 4), "-#", (), (20231001,)),
        # Java
        ("jdk-17.0.2_8", "jdk-", "#.#.#", (17, 0, 2), "_#", (), (8,)),
        ("8u402-b06-jre", "", "#u#-b#", (8, 402, 6), "-jre", (), ()),
        ("8u504", "", "#u#", (8, 504), "", (), ()),
        # text in front
        ("ee-7.0.0.2_1", "ee-", "#.#.#.#", (7, 0, 0, 2), "_#", (), (1,)),
        ("temurin-17-tools-deps-1.11.1.1413-alpine", "temurin-17-tools-deps-", "#.#.#.#", (1, 11, 1, 1413),
         "-alpine",
         (), ()),
        ("arm64v8-16", "arm64v8-", "#", (16,), "", (), ()),
        ("x86_64-1.2.3", "x86_64-", "#.#.#", (1, 2, 3), "", (), ()),
        ("p10", "p", "#", (10,), "", (), ()),
        ("release12.1", "release", "#.#", (12, 1), "", (), ()),
        ("3-5.5.0-alpha-slim", "", "#", (3,), "-#.#.#-alpha-slim", (), (5, 5, 0)),
        ("centos7.9.2009", "centos", "#.#.#", (7, 9, 2009), "", (), ()),
        # prereleases
        ("19beta3", "", "#", (19,), "", ("beta", "3"), ()),
        ("3.14.0a1", "", "#.#.#", (3, 14, 0), "", ("a", "1"), ()),
        ("8.4.13RC1-cli-alpine3.22", "", "#.#.#", (8, 4, 13), "-cli-alpine3.22", ("rc", "1"), ()),
        ("1.0.0.RC1", "", "#.#.#", (1, 0, 0), "", ("rc", "1"), ()),
        ("10.0.0-M6-jdk8", "", "#.#.#", (10, 0, 0), "-jdk8", ("M6",), ()),
        ("22-ea-31-oraclelinux7", "", "#", (22,), "-oraclelinux7", ("ea-31",), ()),
        ("3.0.40-tp3", "", "#.#.#", (3, 0, 40), "", ("tp3",), ()),
        ("2.0.0-rc1-1", "", "#.#.#", (2, 0, 0), "-#", ("rc1",), (1,)),
        ("1.11.8-c1.11.8-data", "", "#.#.#", (1, 11, 8), "-c1.11.8-data", (), ()),  # influxdb's client
        ("1.11.8-b.2", "", "#.#.#", (1, 11, 8), "", ("b", "2"), ()),
        ("3.3.0-279.2.beta-sdk", "", "#.#.#", (3, 3, 0), "-sdk", ("279", "2", "beta"), ()),
        ("1.0.0-rc-alpine", "", "#.#.#", (1, 0, 0), "-alpine", ("rc",), ()),
        ("5.3-rc-alpine3.21", "", "#.#", (5, 3), "-rc-alpine3.21", (), ()),  # a floating channel
        ("3.12.1-dev", "", "#.#.#", (3, 12, 1), "-dev", (), ()),
        # dates
        ("20241001", "", "#", (20241001,), "", (), ()),
        ("2024-10-01", "", "#-#-#", (2024, 10, 1), "", (), ()),
        ("2024.10.1", "", "#.#.#", (2024, 10, 1), "", (), ()),
        ("noble-20241009", "noble-", "#", (20241009,), "", (), ()),
        ("bookworm-20240101-slim", "bookworm-", "#", (20240101,), "-slim", (), ()),
        ("RELEASE.2024-01-05T22-17-24Z", "RELEASE.", "#-#-#T#-#-#Z", (2024, 1, 5, 22, 17, 24), "", (), ()),
        ("base-20240101.0.204074", "base-", "#.#.#", (20240101, 0, 204074), "", (), ()),
    ],
)  # fmt: skip
def test_a_tag_is_read_as_a_member_of_its_family(
    tag: str,
    prefix: str,
    form: str,
    numbers: tuple[int, ...],
    shape: str,
    prerelease: tuple[str, ...],
    counters: tuple[int, ...],
) -> None:
    version = version_of(tag)
    assert (version.prefix, version.form, version.numbers) == (prefix, form, numbers)
    assert (version.tail.shape, version.tail.prerelease, version.tail.counters) == (
        shape,
        prerelease,
        counters,
    )


NO_VERSIONS = """
latest alpine bookworm lts lts-alpine3.20 alpine3.21 alpine-3.20 php8.3-fpm python3.12 pg16 jdk17-noble
temurin-17-alpine openjdk-11-slim jdk-21-and-23 webProfile8 windowsservercore-1809 5a81b1e6 sha-5a81b1e
main-5a81b1e 1234567 main-1234567 0a1b2c3
pr-123 github-pr-1234 feature-12-foo i386 x86_64 main-1234567-cuda 123456789012 v vnext nightly krypton-slim
"""


@pytest.mark.parametrize("tag", NO_VERSIONS.split())
def test_a_tag_that_names_a_variant_or_a_commit_names_no_version(tag: str) -> None:
    assert read(tag) is None


def test_a_word_without_a_number_marks_a_channel() -> None:
    tails = {
        tag: version_of(tag).tail for tag in ("5.3-rc", "17.12.0-ce-rc1", "2024.03-dev", "5.3", "5.3-slim")
    }
    marked = [tag for tag, tail in tails.items() if tail.prerelease or tail.is_channel]
    assert marked == ["5.3-rc", "17.12.0-ce-rc1", "2024.03-dev"]


@pytest.mark.parametrize(
    ("current", "other", "expected"),
    [
        ("19.3", "2024.1", True),
        ("16", "20241001", True),
        ("16", "2024", True),
        ("30", "4711", True),
        ("20241001", "16", True),
        ("16", "17", False),
        ("150", "1000", False),
        ("1999", "2000", False),
        ("2024.10", "2025.1", False),
        ("20241001", "20250101", False),
    ],
)
def test_another_way_of_counting_is_known(current: str, other: str, expected: bool) -> None:
    assert is_scheme_jump(version_of(current), version_of(other)) is expected


def test_a_variant_is_words_and_numbers() -> None:
    assert split_variant("-php8.3-fpm-alpine3.20") == ("-php#-fpm-alpine#", ((8, 3), (3, 20)))
    assert [named_variant(tag) for tag in ("latest", "alpine", "latest-alpine")] == ["", "-alpine", "-alpine"]


# ------------------------------------------------------------------------------------------------ the choice

POSTGRES = (
    "9.6.24 15.8 16.3 16.4 17.0 16.3-alpine 17.0-alpine 9.6.24-alpine 16-alpine 17-alpine 17beta1 "
    "17.1-rc1 latest"
)
NODE = "20-alpine 22-alpine 23-alpine 23.0.0 23.0.0-alpine 20.1-alpine alpine lts krypton lts-alpine"


@pytest.mark.parametrize(
    ("current", "names", "expected"),
    [
        ("16.3", POSTGRES, "17.0"),
        ("16-alpine", POSTGRES, "17-alpine"),
        ("20-alpine", NODE, "23-alpine"),
        ("3.12-slim", "3.12-slim 3.13-slim 3.13.1 3.14-rc-slim 3.14.0a1-slim 3.14", "3.13-slim"),
        ("1.2.3-0ubuntu1", "1.2.3-0ubuntu1 1.2.3-0ubuntu10 1.2.3-0ubuntu9 1.2.3 1.2.2-1ubuntu1",
         "1.2.3-0ubuntu10"),
        ("1.2.3-1ubuntu2.3", "1.2.3-1ubuntu2.3 1.2.3-2ubuntu1.1 1.2.3-2ubuntu1 1.2.4-ubuntu",
         "1.2.3-2ubuntu1.1"),
        ("4.0.16.2944-ls299", "4.0.16.2944-ls299 4.0.16.2944-ls1000 4.0.16.2944 3.0.10 5.0.0",
         "4.0.16.2944-ls1000"),
        ("4.0.16.2944-ls299", "4.0.16.2944-ls299 4.0.17.1-ls7 4.0.16.2944-ls301 4.0.17.2", "4.0.17.1-ls7"),
        ("22.04", "14.04.5 22.04 24.04 noble-20241009 20241009", "24.04"),
        ("2024.1", "2023.12.4 2024.1 2024.10 2024.9", "2024.10"),
        ("1.2.3.4", "1.2.2 1.2.3.4 1.2.3.10 1.2.4", "1.2.3.10"),
        ("19.2", "19.2 19.3 2024.1 20241001", "19.3"),
        ("16", "16 17 1234567 20241001 5a81b1e6", "17"),
        ("20241001", "20241001 20241101 99999999 12345678", "20241101"),
        ("noble-20241009", "noble-20241009 noble-20250101 plucky-20250201 25.04", "noble-20250101"),
        ("RELEASE.2024-01-05T22-17-24Z", "RELEASE.2024-01-05T22-17-24Z RELEASE.2024-10-02T17-50-41Z latest",
         "RELEASE.2024-10-02T17-50-41Z"),
        ("8u402-b06-jre", "8u402-b06-jre 8u412-b08-jre 8u412-b08-jdk 11.0.1_1-jre", "8u412-b08-jre"),
        ("1.0.2-alpine3.19", "1.0.2-alpine3.19 1.0.3-alpine3.20 1.0.4-alpine 1.0.3-alpine3.19",
         "1.0.3-alpine3.19"),
        ("v1.0.0", "v1.0.0 1.1.0 v1.0.1", "v1.0.1"),
        ("1.21rc2", "1.21rc2 1.21rc10 1.22rc1 1.20", "1.21rc10"),
        ("22-ea-9", "22-ea-9 22-ea-31 23-ea-1 21", "22-ea-31"),
        ("22-ea-31", "22-ea-31 23-ea-1 23-ea-2 21", "23-ea-2"),  # 22 ended without a release
        ("3.13.0a2", "3.13.0a2 3.13.0a10 3.13.0b1 3.14.0a1", "3.13.0b1"),
        ("1.1.0-rc10", "1.1.0-rc9 1.1.0-rc10", "same_digest"),  # SemVer ranks rc9 higher; nobody means that
        ("5.3-rc", "5.3-rc 5.3 5.4-rc 5.4", "5.4-rc"),
        # nothing of its form
        ("16.3", "9.6.24 15.8.1", "current_unparsable"),
        ("9.6.24", "16.3 17.0 9.6.24", "same_digest"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", [Policy(semver_pattern="*"), Policy(tag_regex="(?P<version>.+)")])
def test_candidates_come_from_the_family_of_the_current_tag(
    policy: Policy, current: str, names: str, expected: str
) -> None:
    assert answer(choose(policy, current, tags(*names.split()))) == expected


@pytest.mark.parametrize(
    ("policy", "current", "names", "expected"),
    [
        # the pattern does not mean the current tag
        (Policy(semver_pattern="v*"), "16.3", "16.3 v17.0 v17.0.0 v9.6.24", "current_unparsable"),
        (Policy(semver_pattern="v*"), "1.2.3", "1.2.3 v1.2.4", "current_unparsable"),
        (Policy(semver_pattern="v1.*"), "v0.9.0", "v0.9.0 v1.2.0", "v1.2.0"),
        (Policy(semver_pattern="v1.*"), "v2.0.0", "v2.0.0 v1.2.0", "downgrade"),
        (Policy(semver_pattern="*-alpine"), "16.3", "16.4-alpine 9.6.24-alpine", "16.4-alpine"),
        (Policy(semver_pattern="*-alpine"), "16.3", "16.2-alpine 9.6.24-alpine", "downgrade"),
        (Policy(semver_pattern="*-alpine"), "16.3", "9.6.24-alpine", "current_unparsable"),
        (Policy(tag_regex="(?P<version>[0-9.]+)"), "16.3", POSTGRES, "17.0"),
        (Policy(tag_regex="(?P<version>[0-9.]+)"), "16.3-alpine", POSTGRES, "current_unparsable"),
        (Policy(tag_regex="(?P<version>[0-9.]+)"), "alpine", "1.2.3 1.2.3-alpine", "current_unparsable"),
        (Policy(tag_regex="(?P<version>[0-9.]+)-alpine"), "bookworm", "1.2.3 1.2.3-alpine", "1.2.3-alpine"),
        (Policy(tag_regex="(?P<compare>[0-9.]+)"), "16-bookworm", "16 17 17-bookworm", "current_unparsable"),
        (Policy(tag_regex="(?P<compare>[0-9.]+)"), "bookworm", "16 17 17-bookworm", "current_unparsable"),
        (Policy(tag_regex="build-(?P<compare>[0-9]+)"), "main", "main build-9 build-10", "build-10"),
        (Policy(tag_regex="(?P<version>[0-9.]+)-alpine"), "16-alpine", POSTGRES, "17-alpine"),
        (Policy(tag_regex="v(?P<compare>.+)"), "16.3", "v9.6.24 v17.0", "current_unparsable"),
        (Policy(tag_regex="(?P<compare>[0-9.]+)"), "16.3", POSTGRES, "17.0"),
        (Policy(tag_regex=r"(?P<compare>\d+\.\d+)-slim"), "16.3", "9.6-slim 15.8-slim 16.2-slim",
         "downgrade"),
        (Policy(tag_regex=r"(?P<compare>\d+\.\d+)-slim"), "16.3", "9.6-slim 17.1-slim", "17.1-slim"),
        # a tag without a version
        (Policy(semver_pattern="*"), "alpine", "1.2.3 1.2.4 1.2.3-alpine 1.2.3-slim", "1.2.3-alpine"),
        (Policy(semver_pattern="*"), "bookworm", "1.2.3 1.2.4-alpine", "current_unparsable"),
        (Policy(semver_pattern="*"), "lts", "1.2.3 1.2.4-alpine", "current_unparsable"),
        (Policy(semver_pattern="*"), "latest", POSTGRES, "current_unparsable"),
        (Policy(semver_pattern="*"), "latest", "19.2.0 22.0.0 2024.10.1", "current_unparsable"),
        (Policy(semver_pattern="*"), "latest", "1 1.2 1.2.3 1.2.4", "1.2.4"),
        (Policy(semver_pattern="*"), "latest", "3 3.19 3.19.0 20240329", "3.19.0"),
        (Policy(semver_pattern="*"), "latest", "16.3 1.0.0-rc.1", "current_unparsable"),
        (Policy(follow=Follow.MAJOR), "alpine", "1.2.3-alpine", "same_digest"),
        # the limits, for every form
        (Policy(semver_pattern="*", max_bump=Bump.MINOR), "16.3", POSTGRES, "16.4"),
        (Policy(semver_pattern="*", max_bump=Bump.PATCH), "16.3", POSTGRES, "same_digest"),
        (Policy(semver_pattern="*", max_bump=Bump.PATCH), "4.0.16.1-ls1", "4.0.17.1-ls1 4.1.0.1-ls1",
         "4.0.17.1-ls1"),
        (Policy(semver_pattern="*", max_bump=Bump.PATCH), "4.0.16-ls1", "4.0.16-ls1 4.0.16-ls2",
         "4.0.16-ls2"),
        (Policy(semver_pattern="*", max_bump=Bump.MINOR), "20241001", "20241001 20250101", "20250101"),
        (Policy(semver_pattern="*", semver_range="<17"), "16.3", POSTGRES, "16.4"),
        (Policy(semver_pattern="*", allow_prerelease=True), "16", "16 17beta1 17beta10", "17beta10"),
        (Policy(semver_pattern="*", allow_downgrade=True), "16.3", "9.6.24 15.8", "15.8"),
        (Policy(semver_pattern="*", allow_scheme_jump=True), "19.2", "19.2 19.3 2024.1", "2024.1"),
        # a variant with a number of its own
        (Policy(semver_pattern="*", follow_variant=True), "1.0-alpine3.9",
         "1.0-alpine3.9 1.1-alpine3.10 1.2-alpine3.8 1.2-slim3.9 1.2-alpine4", "1.1-alpine3.10"),
        (Policy(semver_pattern="*", follow_variant=True), "1.0-php8.3-fpm-alpine3.20",
         "1.0-php8.3-fpm-alpine3.20 1.0-php8.4-fpm-alpine3.19 1.0-php8.4-fpm-alpine3.20",
         "1.0-php8.4-fpm-alpine3.20"),
    ],
)  # fmt: skip
def test_no_selector_leaves_the_family_or_goes_down(
    policy: Policy, current: str, names: str, expected: str
) -> None:
    assert answer(choose(policy, current, tags(*names.split()))) == expected


def test_each_tag_of_another_family_has_its_reason() -> None:
    names = "16.3 16.4 v16.4 16.4.1 16.4-alpine 2024.1 17.0rc1 18-rc 18.0-rc 1234567 16.2"
    outcome = choose(Policy(semver_pattern="*"), "16.3", tags(*names.split()))
    assert answer(outcome) == "16.4"
    assert reasons(outcome) == {
        "16.3": "older",
        "v16.4": "other_prefix",
        "16.4.1": "other_precision",
        "16.4-alpine": "other_variant",
        "2024.1": "scheme_jump",
        "17.0rc1": "prerelease",
        "18-rc": "other_precision",
        "18.0-rc": "prerelease",
        "1234567": "not_semver",
        "16.2": "downgrade",
    }


def test_if_the_pattern_does_not_mean_the_current_tag_the_hold_says_what_to_write() -> None:
    held = choose(Policy(semver_pattern="v*"), "16.3", tags("16.3", "v16.3", "v17.0"))
    assert isinstance(held, Hold)
    assert held.reason is Reason.CURRENT_UNPARSABLE
    assert "16.3" in held.detail
    assert "(such as v16.3), into the Compose file" in held.remedy
    other = choose(Policy(semver_pattern="v*"), "16.3", tags("16.3", "v17.0"))
    assert isinstance(other, Hold)
    assert "such as" not in other.remedy
    assert answer(choose(Policy(semver_pattern="v*"), "v16.3", tags("16.3", "v16.3", "v17.0"))) == "v17.0"


# ----------------------------------------------------------------------------------------- the replay's judge


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("16.3", "17.0", ""),
        ("16.3", "9.6.24", "other precision"),
        ("16.3", "15.8", "lower"),
        ("16-alpine", "17", "other variant"),
        ("1.2-alpine3.19", "1.3-alpine3.20", "other variant"),
        ("1.2.3-ls9", "1.2.4-ls1", ""),
        ("1.2", "1.3rc1", "prerelease"),
        ("1.3rc1", "1.3", ""),
        ("17.0.1_2-jre", "17.0.2_1-jre", ""),
        ("3.9.0-333.4.beta-sdk", "3.9.2-sdk", ""),
        ("3.9.0-333.4.beta", "3.10.0-75.1.beta", ""),
        ("3.9.0", "3.10.0-75.1.beta", "prerelease"),
    ],
)
def test_the_judge_of_the_replay_knows_a_wrong_choice(old: str, new: str, expected: str) -> None:
    assert compare_texts(old, new) == expected


def test_the_judge_of_the_replay_knows_when_a_word_is_left() -> None:
    contents = {"latest": "b", "1.2.4": "b", "1.2.3": "a", "alpine": "c"}
    assert judge("latest", Update(image("1.2.4")), contents) == ""
    assert judge("latest", Update(image("1.2.3")), contents) == "lower"
    assert judge("latest", Update(image("1.2.4-slim")), contents) == "other variant"
    assert judge("alpine", Update(image("1.2.4-alpine")), contents) == ""
    assert judge("alpine", Update(image("1.2.4")), contents) == "other variant"
    assert judge("latest-alpine", Update(image("1.2.4-alpine")), contents) == ""
    assert judge("alpine3.19", Update(image("alpine3.20")), contents) == ""
    assert judge("jdk8-slim", Update(image("10.0.0-jdk8-slim")), contents) == ""
    assert judge("alpine3.19", Update(image("1.2.3-alpine3.20")), contents) == "other variant"


def test_the_judge_of_the_replay_heeds_the_step() -> None:
    held = Hold(Reason.SAME_DIGEST, "")
    assert [judge("1.2.3", held, {"1.3.0": "b"}, kept) for kept in (0, 1, 2)] == ["stuck", "stuck", ""]
    assert judge("1.2.3", held, {"1.2.4": "b"}, 2) == "stuck"


def test_the_judge_of_the_replay_knows_what_is_newer() -> None:
    assert is_newer("16-alpine", "18-alpine")
    assert not any(
        is_newer("16-alpine", new) for new in ("18", "18-slim", "15-alpine", "18.1-alpine", "2024-alpine")
    )
