"""What `follow` does with the tags of popular images outside Docker's official library, in the forms they
have.
"""

from __future__ import annotations

import pytest

from tests.unit.test_selection import answer, choose, reasons, tags
from updater_core.models import Follow, Hold, ImageRef, Policy
from updater_core.policy.explain import family_text

NODE_RED = (
    "3.1.9-16 3.1.9-18 3.1.9-20 4.0.1-18 4.0.1-20 4.0.2-18 4.0.2-20 4.0.2-22 4.0.2 4.0.2-18-minimal latest-18"
)
LLAMA = "server server-b4321 server-b4400 server-b10000 server-cuda-b4500 b4600 full-b4700"
IMMICH = (
    "v1.118.0 v1.118.2 v1.119.0 v1.119.0-cuda v1.120.0-rc.1 v1.119.0-openvino release commit-0a1b2c3d "
    "pr-999 main"
)
HOME_ASSISTANT = (
    "2024.9.3 2024.10.1 2024.10.4 2025.1.0 2025.2.0b3 2025.2.0.dev202501050219 dev beta stable 2025.1"
)


@pytest.mark.parametrize(
    ("current", "follow", "names", "expected"),
    [
        # builds and revisions
        ("4.0.9.2244-ls250", "minor", "4.0.9.2244-ls250 4.0.9.2421-ls252 4.1.0.1-ls300 4.0.9.2421 develop",
         "4.1.0.1-ls300"),
        ("4.6.6_v1.2.19-r0-ls345", "major", "4.6.6_v1.2.19-r0-ls345 4.6.7_v1.2.20-r0-ls352 14.3.9 20.04.1",
         "4.6.7_v1.2.20-r0-ls352"),
        ("version-4.6.6-r0", "major", "version-4.6.6-r0 version-4.6.7-r1 4.6.7-r1-ls3", "version-4.6.7-r1"),
        ("1.40.4.8679-424562204", "major", "1.40.4.8679-424562204 1.41.0.8911-1bd569c5e plexpass",
         "1.41.0.8911-1bd569c5e"),
        ("17.3.1-ce.0", "minor", "17.3.1-ce.0 17.4.0-ce.0 17.5.0-rc42.ce.0 18.0.0-ce.0 17.4.0-ee.0",
         "17.4.0-ce.0"),
        ("17.3.1-ce.0", "patch", "17.3.1-ce.0 17.3.1-ce.1 17.4.0-ce.0", "17.3.1-ce.1"),
        ("16.4.0-debian-12-r3", "minor", "16.4.0-debian-12-r3 16.4.0-debian-12-r14 16.4.0-debian-11-r99",
         "16.4.0-debian-12-r14"),
        ("25.0.4-0", "minor", "25.0.4-0 25.0.4-1 25.0.6-0 26.0.0-0 25.0", "25.0.6-0"),
        ("8.0.35-27", "minor", "8.0.35-27 8.0.36-28 8.0.36-28.1 8.0.36 8.4.0-1", "8.4.0-1"),
        ("9.8p1", "major", "9.7p1 9.8p1 9.8p2", "9.8p2"),
        ("2022-CU14-ubuntu-22.04", "minor",
         "2022-CU14-ubuntu-22.04 2022-CU15-ubuntu-22.04 2025-CU1-ubuntu-22.04",
         "2022-CU15-ubuntu-22.04"),
        ("v4.0.9-2.9.1", "minor", "v4.0.9-2.9.1 v4.1.2-3.0.0 v4.1-3.0.0 snapshot-2.9.1", "v4.1.2-3.0.0"),
        # a bare number that says what the image is built on
        ("3.1.9-18", "major", NODE_RED, "4.0.2-18"),
        ("4.0.2-18-minimal", "major", NODE_RED, "same_digest"),
        ("1.2.3-1234", "major", "1.2.3-1234 1.2.3-1240 1.2.4-1301", "1.2.4-1301"),
        # variants
        ("v1.118.0", "major", IMMICH, "v1.119.0"),
        ("v1.119.0-cuda", "major", IMMICH, "same_digest"),
        ("1.32.0-alpine", "patch", "1.32.0-alpine 1.32.5-alpine 1.33.0-alpine 1.32.7 testing-alpine",
         "1.32.5-alpine"),
        ("0.7.0-pg16", "major", "0.7.0-pg16 0.7.4-pg16 0.8.0-pg17 pg16", "0.7.4-pg16"),
        ("2.15.2-pg16", "minor", "2.15.2-pg16 2.17.0-pg16 2.17.0-pg16-oss latest-pg16", "2.17.0-pg16"),
        ("12.5.1-cudnn-devel-ubuntu22.04", "major",
         "12.5.1-cudnn-devel-ubuntu22.04 12.6.2-cudnn-devel-ubuntu24.04 12.6.1-cudnn-devel-ubuntu22.04",
         "12.6.1-cudnn-devel-ubuntu22.04"),
        ("2.4.0-cuda12.4-cudnn9-runtime", "minor",
         "2.4.0-cuda12.4-cudnn9-runtime 2.5.1-cuda12.4-cudnn9-runtime 2.6.0-cuda12.6-cudnn9-runtime",
         "2.5.1-cuda12.4-cudnn9-runtime"),
        ("1.24-22.04_beta", "major", "1.24-22.04_beta 1.24-24.04_beta 1.24-22.04_edge", "same_digest"),
        ("0.3.9-rocm", "major", "0.3.9-rocm 0.3.10-rc1-rocm 0.3.10-rocm 0.3.11", "0.3.10-rocm"),
        # calendars, times, commits
        ("2024.9.3", "major", HOME_ASSISTANT, "2025.1.0"),
        ("2024.9.3", "minor", HOME_ASSISTANT, "2024.10.4"),
        ("2024-w40", "patch", "2024-w40 2024-w41 2025-w02 2025-w60", "2025-w02"),
        ("240711", "minor", "240711 240915 240915-armv7 241000-preview", "240915"),
        ("RELEASE.2024-10-02T17-50-41Z", "minor",
         "RELEASE.2024-10-02T17-50-41Z RELEASE.2025-01-20T14-49-07Z RELEASE.2025-01-20T14-49-07Z.fips",
         "RELEASE.2025-01-20T14-49-07Z"),
        ("7.0.14-ubi9-20240917T083521Z", "major",
         "7.0.14-ubi9-20240917T083521Z 7.0.15-ubi9-20241001T083521Z 7.0.15-ubi9",
         "7.0.15-ubi9-20241001T083521Z"),
        ("1.2.3-alpine-2024-10-01", "patch", "1.2.3-alpine-2024-10-01 1.2.3-alpine-2024-11-03",
         "1.2.3-alpine-2024-11-03"),
        ("2024.10.1-5e1a5c5d8", "minor", "2024.10.1-5e1a5c5d8 2024.11.3-1234567 2024.11.2-g0abcdef",
         "2024.11.3-1234567"),
        ("20240923-2e3e90c", "patch", "20240923-2e3e90c 20241014-c083b3b 2024101401", "20241014-c083b3b"),
        ("main-5a81b1e-1699999999", "patch",
         "main-5a81b1e-1699999999 main-0b81b1f-1700000000 main-9a81b1f-1600000000",
         "main-0b81b1f-1700000000"),
        ("1.2.3-4-gabcdefa", "patch", "1.2.3-4-gabcdefa 1.2.3-12-g1234567 1.2.3", "1.2.3-12-g1234567"),
        ("20241001", "major", "20241001 2024100205 1700000000 20241101", "20241101"),
        # numbers of builds
        ("server-b4321", "patch", LLAMA, "server-b10000"),
        ("b4321", "minor", LLAMA, "b4600"),
        ("full-b4700", "major", LLAMA, "same_digest"),
        ("stable-9646", "patch", "stable-9646 stable-9753 unstable-2024-10-01", "stable-9753"),
        # PEP 440
        ("v0.6.1", "minor", "v0.6.1 v0.6.1.post1 v0.6.1.post2 v0.7.0rc1", "v0.6.1.post2"),
        ("v0.6.1.post2", "minor", "v0.6.1 v0.6.1.post2 v0.6.2", "v0.6.2"),
        ("0.5.11", "minor", "0.5.11 0.5.12.dev5 0.5.12", "0.5.12"),
    ],
)  # fmt: skip
def test_the_tag_is_the_one_that_a_careful_operator_would_take(
    current: str, follow: str, names: str, expected: str
) -> None:
    assert answer(choose(Policy(follow=Follow(follow)), current, tags(*names.split()))) == expected


def test_a_number_that_names_a_platform_may_rise_if_that_is_allowed() -> None:
    policy = Policy(follow=Follow.MAJOR, follow_variant=True)
    assert answer(choose(policy, "3.1.9-18", tags(*NODE_RED.split()))) == "4.0.2-22"
    stays = choose(Policy(follow=Follow.MAJOR), "4.0.2-18", tags(*NODE_RED.split()))
    assert (answer(stays), reasons(stays)["4.0.2-20"]) == ("same_digest", "other_variant")


# ------------------------------------------------------------------------------------- tags without a version

PLATFORMS = (
    "latest-pg15 latest-pg16 latest-pg17 pg16 2.17.0-pg16 ubuntu-22.04 ubuntu-24.04 alpine3.9 alpine3.20"
)


@pytest.mark.parametrize(
    "tag", ["sha-5a81b1e", "5a81b1e6", "1234567-cuda", "main-5a81b1e", "pr-123", "feature-7-amd64"]
)
def test_the_tag_of_one_build_is_never_called_up_to_date(tag: str) -> None:
    held = choose(Policy(follow=Follow.MINOR), tag, tags(tag, "pr-124", "main-0a81b1e", "1.2.3"))
    assert isinstance(held, Hold)
    assert (held.reason.value, "names one build" in held.detail) == ("current_unparsable", True)
    assert answer(choose(Policy(follow=Follow.TAG), tag)) == "same_digest"  # the remedy that keeps the tag
    assert answer(choose(Policy(follow=Follow.MINOR), tag, digests={tag: "sha256:" + "f" * 64})) == tag


@pytest.mark.parametrize(
    "tag", ["latest", "lts", "alpine", "amd64-latest", "x86_64", "edge", "bookworm-slim"]
)
def test_a_word_is_followed_by_its_digest_and_that_is_said(tag: str) -> None:
    held = choose(Policy(follow=Follow.MAJOR), tag)
    assert isinstance(held, Hold)
    assert held.reason.value == "same_digest"
    assert held.detail.endswith(f"{tag} names no version, so the digest behind it is followed")


@pytest.mark.parametrize(
    ("current", "expected", "risen"),
    [("latest-pg16", "variant", "latest-pg17"), ("ubuntu-22.04", "variant", "ubuntu-24.04"),
     ("alpine3.9", "variant", "alpine3.20"), ("latest-pg17", "same_digest", "same_digest"),
     ("pg16", "same_digest", "same_digest")],
)  # fmt: skip
def test_a_word_with_a_number_is_not_up_to_date_beside_a_higher_number(
    current: str, expected: str, risen: str
) -> None:
    listed = tags(*PLATFORMS.split())
    held = choose(Policy(follow=Follow.MAJOR), current, listed)
    assert answer(held) == expected
    allowed = Policy(follow=Follow.MAJOR, follow_variant=True)
    assert answer(choose(allowed, current, listed)) == risen
    moved = choose(Policy(follow=Follow.MAJOR), current, listed, digests={current: "sha256:" + "f" * 64})
    assert answer(moved) == current  # its own digest is followed meanwhile
    assert family_text(allowed, ImageRef("docker.io", "acme/web", current)).endswith(
        f"{current} names no version"
    )


def test_each_number_of_another_platform_has_its_reason() -> None:
    outcome = choose(Policy(follow=Follow.MINOR), "latest-pg16", tags(*PLATFORMS.split(), "latest-pg16.1"))
    assert answer(outcome) == "same_digest"  # a higher one is further than the step allows
    found = reasons(outcome)
    assert [found[tag] for tag in ("latest-pg15", "latest-pg17", "latest-pg16.1", "pg16", "2.17.0-pg16")] == [
        "downgrade", "bump_too_big", "other_precision", "other_variant", "other_variant",
    ]  # fmt: skip
