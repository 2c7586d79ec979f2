"""Versions far above all others, which one tag alone does not prove: mistakes, tests, numbers of builds."""

from __future__ import annotations

import pytest

from tests.unit.test_selection import answer, choose, reasons, tags
from updater_core.models import Follow, Policy


@pytest.mark.parametrize(
    ("names", "expected", "held"),
    [
        ("2.1.0 2.2.0 2.9.1 14.3.9", "2.9.1", "14.3.9"),
        ("4.6.6 4.6.7 14.3.9 20.04.1", "4.6.7", "14.3.9 20.04.1"),
        ("2.1.0-ls5 2.1.0-ls6 14.3.9-ls6 14.3.9-ls7", "2.1.0-ls6", "14.3.9-ls6 14.3.9-ls7"),
        ("12.1.0 12.2.0 99.99.99", "12.2.0", "99.99.99"),
        ("v1.2.0 v1.3.0 v999.0.0", "v1.3.0", "v999.0.0"),
        ("1.2.0 1.3.0 1.99.99", "1.3.0", "1.99.99"),
        ("3 4 14 1234 9999 20190101", "4", "14 1234 9999 20190101"),
        ("2024.1 2024.2 2099.1", "2024.2", "2099.1"),
        ("20240101 20240301 20991231", "20240301", "20991231"),
        ("1.2.3 14.0.0", "same_digest", "14.0.0"),
        # that many releases, or the short tags of one, support it
        ("2.1.0 2.2.0 14.3.9 14.4.0 15.0.0", "15.0.0", ""),
        ("2.1.0 2.2.0 14.3.9 14.3 14", "14.3.9", ""),
        ("2.1.0-alpine 14.3.9-alpine 14.3-alpine 14-alpine", "14.3.9-alpine", ""),
        # steps that projects took
        ("0.12.7 4.0.0", "4.0.0", ""),
        ("2.4.6 5.0.0", "5.0.0", ""),
        ("5.5.40 10.0.10", "10.0.10", ""),
        ("10.7.0 24.12.0", "24.12.0", ""),
        ("91.0 102.0", "102.0", ""),
        ("5.97.0 5.98.1 5.99.0 5.100.0", "5.100.0", ""),
        ("97.0 98.0 99.0", "99.0", ""),
        ("2018.1 2023.1", "2023.1", ""),
        # nothing is known to be wrong with what the operator wrote themselves
        ("14.3.9 14.3.10 2.1.0", "14.3.10", ""),
        ("99.99.99 99.99.100 1.2.0", "99.99.100", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("policy", [Policy(follow=Follow.MAJOR), Policy(semver_pattern="*")])
def test_a_version_far_above_the_others_is_taken_with_support_only(
    policy: Policy, names: str, expected: str, held: str
) -> None:
    current, *_ = names.split()
    if policy.semver_pattern == "*" and current.startswith("v"):
        policy = Policy(semver_pattern="v*")
    outcome = choose(policy, current, tags(*names.split()))
    jumps = {tag for tag, reason in reasons(outcome).items() if reason == "scheme_jump"}
    assert (answer(outcome), jumps) == (expected, {*held.split()})


def test_a_prerelease_or_another_variant_supports_no_leap() -> None:
    names = tags("2.1.0", "2.2.0", "14.3.9", "14.4.0-rc1", "14.3.9-alpine", "v14.3", "14-slim")
    assert answer(choose(Policy(follow=Follow.MAJOR), "2.1.0", names)) == "2.2.0"


def test_the_key_that_the_docs_name_lets_a_leap_happen() -> None:
    names = tags("2.1.0", "2.2.0", "14.3.9")
    assert answer(choose(Policy(follow=Follow.MAJOR, allow_scheme_jump=True), "2.1.0", names)) == "14.3.9"


def test_a_leap_is_not_taken_for_what_a_name_without_a_version_stands_for() -> None:
    names = tags("latest", "1.2.3", "1.2.4", "14.3.9")
    assert answer(choose(Policy(semver_pattern="*"), "latest", names)) == "1.2.4"
