"""A number in a variant, before the version or behind it, rises only if it is followed, and never falls."""

from __future__ import annotations

import pytest

from tests.unit.test_selection import answer, choose, tags
from updater_core.models import Follow, ImageRef, Policy
from updater_core.policy.explain import family_text

FOLLOWED = {"follow": Policy(follow=Follow.MAJOR), "risen": Policy(follow=Follow.MAJOR, follow_variant=True)}


@pytest.mark.parametrize(
    ("current", "others"),
    [
        ("1.2.3-arm32v6", "1.3.0-arm64v8 1.3.0-arm32v7"),
        ("arm32v7-1.2.3", "arm64v8-1.3.0"),
        ("arm32v7", "arm64v8 arm32v8"),
        ("1.2.3-i386", "1.3.0-i686"),
        ("1.2.3-win32-ltsc2022", "1.3.0-win64-ltsc2022"),
        ("16.3-32bit", "17.0-64bit"),
        ("v1.2.3-ipv4", "v1.3.0-ipv6"),
        ("1.2.3-h264", "1.3.0-h265"),
    ],
)
@pytest.mark.parametrize("policy", FOLLOWED)
def test_the_digits_of_a_machine_or_a_name_are_no_number_that_rises(
    current: str, others: str, policy: str
) -> None:
    assert answer(choose(FOLLOWED[policy], current, tags(current, *others.split()))) == "same_digest"


TIMESCALE = (
    "pg16.4-ts2.16.1-all pg16.4-ts2.17.0-all pg16.4-ts2.17.0-oss pg16.5-ts2.17.1-all pg15.9-ts2.18.0-all "
    "pg17.0-ts2.18.0-all pg16-ts2.17-all latest-pg16 pg16-all"
)


@pytest.mark.parametrize(
    ("current", "listed", "kept", "risen"),
    [
        ("pg16.4-ts2.16.1-all", TIMESCALE, "pg16.4-ts2.17.0-all", "pg17.0-ts2.18.0-all"),
        ("pg16.4-ts2.17.0-all", TIMESCALE, "variant", "pg17.0-ts2.18.0-all"),
        ("pg17.0-ts2.18.0-all", TIMESCALE, "same_digest", "same_digest"),
        ("temurin-17-deps-1.11", "temurin-17-deps-1.12 temurin-21-deps-1.12 temurin-11-deps-1.13",
         "temurin-17-deps-1.12", "temurin-21-deps-1.12"),
        ("alpine3.19-1.2.3", "alpine3.20-1.3.0 alpine3.18-1.4.0", "variant", "alpine3.20-1.3.0"),
        ("arm32v7-alpine3.19-1.2.3", "arm64v8-alpine3.20-1.3.0", "same_digest", "same_digest"),
    ],
)  # fmt: skip
def test_the_number_of_a_variant_in_front_of_the_version_rises_only_if_it_is_followed(
    current: str, listed: str, kept: str, risen: str
) -> None:
    names = tags(*dict.fromkeys([current, *listed.split()]))
    assert answer(choose(FOLLOWED["follow"], current, names)) == kept
    assert answer(choose(FOLLOWED["risen"], current, names)) == risen


def test_the_family_of_a_variant_in_front_is_shown() -> None:
    current = ImageRef("docker.io", "timescale/timescaledb-ha", "pg16.4-ts2.16.1-all")
    assert family_text(FOLLOWED["follow"], current) == (
        "pg16.4-ts#.#.#-all, each # a number; pg16.4-ts2.16.1-all is at 2.16.1"
    )
