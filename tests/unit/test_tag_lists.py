"""What a choice among many tags costs, counted in calls, which no busy machine changes."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from benchmarks.tag_lists import KINDS, of_kind
from tests.unit.test_selection import answer, choose, tags
from updater_core.models import Follow, Policy
from updater_core.policy.tags.reading import read

_TAGS, _MOST_CALLS = 500, 140  # a call takes about 0.1 microseconds: 20,000 tags stay below 0.3 seconds
POLICIES = (
    Policy(follow=Follow.MAJOR),
    Policy(semver_pattern="*"),
    Policy(tag_regex="(?P<version>.+)"),
    Policy(tag_regex="(?P<compare>.+)"),
    Policy(tag_pattern="*"),
)


def calls_of(policy: Policy, current: str, names: list[str]) -> float:
    """How many functions a choice calls for each tag, those of the interpreter included."""
    listed, count = tags(*names), 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        choose(policy, current, listed)
    finally:
        sys.setprofile(before)
    return count / len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_list_costs_more_than_a_few_calls_for_each_tag(kind: str) -> None:
    current, names = of_kind(kind, _TAGS)
    assert len({*names}) == _TAGS
    costs = [calls_of(policy, current, names) for policy in POLICIES]
    assert max(costs) < _MOST_CALLS, costs


def test_a_list_that_nobody_would_write_hides_no_release() -> None:
    for kind in KINDS:
        _, names = of_kind(kind, _TAGS)
        long = [name for name in names if len(name) > 100]
        if long:
            assert (
                answer(choose(Policy(follow=Follow.MAJOR), "1.2.3", tags("1.2.3", "1.9.0", *long))) == "1.9.0"
            )


def test_the_letters_of_a_commit_are_no_words() -> None:
    """`ea` stands in this hash between digits, and named a channel."""
    versions = [read(f"20211021-{commit}") for commit in ("8ea169d", "1234abc")]
    assert [version and version.tail.is_channel for version in versions] == [False, False]
    names = tags("1.2.0-8ea169d", "1.2.1-77ea12b", "1.2.1", "1.3.0-rc-1234abc")
    assert answer(choose(Policy(semver_pattern="*"), "1.2.0-8ea169d", names)) == "1.2.1-77ea12b"
