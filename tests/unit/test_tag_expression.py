"""The operator's expressions: Python's grammar, and an end to the time they take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from updater_core.models import Hold, ImageRef, Policy, Reason, Tag
from updater_core.policy.bounded_regex import MatchBudget, TooSlow, compiled, problem
from updater_core.policy.observation import History, Memo, Observation
from updater_core.policy.select import decide

ENDLESS = r"(a|aa)+"  # on `aaa…b` it tries more ways than there are atoms
TRAP = "a" * 127 + "b"
TAGS = (
    "1.2.3",
    "v1.2.3-rc.1",
    "latest",
    "staging-abc1234",
    "aa",
    "abab",
    "a-b",
    "x-1-x",
    "",
    "A_b.c",
    "sha256-00.sig",
)


def ticking(*seconds: float) -> Callable[[], float]:
    times: Iterator[float] = iter(seconds)
    return lambda: next(times)


@pytest.mark.parametrize(
    "policy", [Policy(tag_regex=ENDLESS), Policy(tag_pattern="*", tag_exclude=(f"regexp:{ENDLESS}",))]
)
def test_an_expression_without_end_is_stopped_and_the_hold_names_key_tag_and_remedy(policy: Policy) -> None:
    observation = Observation(
        ImageRef("docker.io", "acme/web", "aa"), frozenset(), tags=(Tag("aa"), Tag(TRAP))
    )
    memo = Memo(MatchBudget(left_seconds=0.1))
    outcome = decide(observation, policy, History(), datetime(2026, 5, 1, tzinfo=UTC), memo)
    assert isinstance(outcome, Hold)
    key = "tag_regex" if policy.tag_regex else "tag_exclude"
    assert outcome.reason is Reason.PATTERN_TOO_SLOW
    assert key in outcome.detail
    assert TRAP in outcome.detail
    assert key in outcome.remedy
    assert "a+ for (a|aa)+" in outcome.remedy


def test_all_tags_together_have_one_second_of_work_however_small_each_ones_share_is() -> None:
    budget = MatchBudget(ticking(0.0, 0.6, 5.0, 5.5))  # two matches of 0.6 and 0.5 seconds
    expression = compiled("tag_regex", "v.*")
    assert expression.match("v1", budget)
    assert expression.match("v2", budget)
    with pytest.raises(TooSlow, match="stopped at the tag v3"):
        expression.match("v3", budget)


@pytest.mark.parametrize(
    "expression",
    [
        r"^(?!.*rc).+$", r"(?:v)?(?P<version>\d+\.\d+\.\d+)", r"(\w+?)\1", r"(?P<x>[ax])(?:-\d-(?P=x))?.*",
        r"(?<=^)staging-[a-f0-9]{7}\Z", r"(a)?(?(1)b.*|.*t)", r"(?>a+)b?.*", r"a*+", r"[^\W\d_]+",
        r"(?i)a_B\.c", r".{,6}$", r"(?x) a a  # two", r"(?:(a)|(b))+", "",
    ],
)  # fmt: skip
def test_an_expression_means_what_python_says_it_means(expression: str) -> None:
    ours, theirs = compiled("tag_regex", expression), re.compile(expression)
    for tag in TAGS:
        found, wanted = ours.match(tag, MatchBudget()), theirs.fullmatch(tag)
        assert (found and found.groupdict(), bool(found)) == (wanted and wanted.groupdict(), bool(wanted)), (
            tag
        )


@pytest.mark.parametrize(
    ("expression", "reported"),
    [
        ("(?R)", "is not a regular expression"),  # the library knows it, Python does not
        (r"\p{L}", "is not a regular expression"),
        ("(a{1000}){1000}", "write smaller numbers"),  # written out it would take 280 MB
        ("(?:(?:a{50} ){50} ){50}".replace(" ", ""), "write smaller numbers"),
        ("a" * 5000, "write at most 4096"),
        ("(" * 300 + "a" + ")" * 300, "write at most 100"),
    ],
)
def test_what_python_does_not_know_and_what_would_burst_is_refused(expression: str, reported: str) -> None:
    assert reported in (problem(expression) or "accepted")


@pytest.mark.filterwarnings("error")
def test_what_a_later_python_may_read_otherwise_is_taken_without_a_warning() -> None:
    assert problem("[[a-z]+|later") is None


def test_long_identifiers_are_no_burst() -> None:
    assert problem(r"[a-f0-9]{8}-(?:[a-f0-9]{4}-){3}[a-f0-9]{12}-[a-f0-9]{40}-[a-f0-9]{64}") is None
