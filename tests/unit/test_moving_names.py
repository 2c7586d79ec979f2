"""Tags that name no version, under a selector that compares versions: the variant is kept, or the service is
held with remedies that lead out.
"""

from __future__ import annotations

import itertools
import re

import pytest

from tests.unit.test_selection import answer, choose, tags
from updater_core.models import Follow, Hold, Policy, Reason, Tag, Update

WORDS = (
    "latest stable edge main nightly rolling testing lts current alpine alpine3.20 lts-alpine latest-alpine "
    "alpine-latest bookworm bookworm-slim jdk21 fpm fpm-alpine3.20 php8.3 php8.3-apache pg16 latest-pg16 "
    "alpine-7.0-latest arm32v7 amd64-latest latest-32bit noble tumbleweed management jre-headless ubi9 cuda12"
)
LISTS = {
    "three numbers": "1.2.3 1.3.0 1.3.0-alpine 1.3.0-alpine3.21 1.3.0-fpm 1.3.0-slim 1.4.0-rc.1",
    "fewer numbers": "16 17 16.3 17.0 17-alpine 17-bookworm 17.0-slim 9.6.24 noble-20241001 alpine-7.0.5",
    "other words": "devel unstable alpine3.21 pg17 php8.4 cuda13 ubi10 jdk23 trixie",
    "dates": "20240101 20241001 2024-10-01 noble-20241001 bookworm-20241001-slim",
}
FOLLOWED = {"follow": Policy(follow=Follow.MAJOR), "risen": Policy(follow=Follow.MAJOR, follow_variant=True)}
POLICIES = FOLLOWED | {
    "pattern": Policy(semver_pattern="*"),
    "expression": Policy(tag_regex="(?P<version>.+)"),
    "of the current form": Policy(semver_pattern="v*"),
}


@pytest.mark.parametrize("word", WORDS.split())
def test_a_moving_name_keeps_its_variant_or_is_held_with_remedies_that_lead_out(word: str) -> None:
    for policy, listed in itertools.product(POLICIES, LISTS.values()):
        names = tags(*dict.fromkeys([word, *listed.split()]))
        outcome = choose(POLICIES[policy], word, names)
        if isinstance(outcome, Update):
            assert _is_of_variant(word, str(outcome.target.tag)), (policy, listed)
        elif outcome.reason is not Reason.SAME_DIGEST:
            assert outcome.remedy
            _follow_each_remedy(word, names, outcome, POLICIES[policy])


def _is_of_variant(word: str, new: str) -> bool:
    """Whether a tag is the word itself with numbers of its own, or a version with it."""
    variant = re.sub("^latest-?", "", word)
    with_other_numbers = re.sub("[0-9]+", "#", new) == re.sub("[0-9]+", "#", word)
    with_version = re.fullmatch(rf"[0-9.]+{re.escape('-' + variant if variant else '')}", new)
    return with_other_numbers or with_version is not None


def _follow_each_remedy(word: str, names: tuple[Tag, ...], held: Hold, policy: Policy) -> None:
    if "follow to tag" in held.remedy:
        assert answer(choose(Policy(), word, names)) == "same_digest"
    if "follow_variant" in held.remedy:
        assert isinstance(choose(FOLLOWED["risen"], word, names), Update)
    example = re.search("such as ([^ ]+),", held.remedy)
    if example and policy.semver_pattern != "v*":  # which means none of these tags, whatever is written
        assert answer(choose(policy, example[1], names)) != "current_unparsable"


@pytest.mark.parametrize(
    ("word", "listed", "example"),
    [
        ("latest", "6.10 7.9 7.9-slim", "7.9"),
        ("noble", "24.04 jammy-20240901 noble-20240901 noble-20241001", "noble-20241001"),
        ("alpine-7.0-latest", "alpine-7.0.4 alpine-7.0.5 alpine-7.2.1 ubuntu-7.0.9", "alpine-7.0.5"),
        ("alpine-latest", "alpine-7.0.5 alpine-7.2.1 alpine-7.4.0rc1", "alpine-7.2.1"),
        ("slim", "16.3-slim 17.0 17.1-rc1-slim", "16.3-slim"),
    ],
)
def test_the_remedy_names_a_version_of_the_same_words(word: str, listed: str, example: str) -> None:
    held = choose(Policy(semver_pattern="*"), word, tags(word, *listed.split()))
    assert isinstance(held, Hold)
    assert held.reason is Reason.CURRENT_UNPARSABLE
    assert f"{word} names no version" in held.detail
    way_out = (
        "set follow to tag in place of the selector; to follow versions, write "
        f"a tag with a version, such as {example}, into"
    )
    assert way_out in held.remedy
