"""After `--rollback` only a release that is newer than the one that was left is taken, in every order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.unit.test_selection import DAY, NOW, answer, choose, digest, quarantine, seen, tags
from updater_core.models import Decision, Hold, Policy, Reason, Tag, Update
from updater_core.policy.observation import History, TimeSource
from updater_core.vocabulary.dated import LeftRelease

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


def after_rollback(left: str, kept: str, left_digest: str = "", **more: object) -> History:
    """What is remembered once an operator went back from one tag to another; each tag has a digest of its
    own.
    """
    known_as, kept_as = (digest(left_digest or left),), (digest(kept),)
    release = LeftRelease(f"acme/web:{left}", known_as, f"acme/web:{kept}", kept_as, NOW - DAY)
    return replace(quarantine(left), left=release, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("policy", [Policy(semver_pattern="*"), Policy(tag_regex=r"^(?P<compare>[0-9.]+)$")])
@pytest.mark.parametrize(
    ("newer", "chosen"),
    [((), "quarantined"), (("1.1.1",), "quarantined"), (("1.2.1",), "1.2.1"), (("1.1.9", "1.3.0"), "1.3.0")],
)
def test_by_version_and_by_key_only_what_is_above_the_one_left(
    policy: Policy, kept: str, newer: Sequence[str], chosen: str
) -> None:
    assert (
        answer(choose(policy, kept, tags(*VERSIONS, *newer), history=after_rollback("1.2.0", kept))) == chosen
    )


@pytest.mark.parametrize("kept", ["1.0.0", "1.1.0"])
def test_the_release_that_was_left_may_be_gone_from_the_registry(kept: str) -> None:
    policy, history = Policy(semver_pattern="*"), after_rollback("1.2.0", kept)
    assert isinstance(choose(policy, kept, tags("1.0.0", "1.1.0"), history=history), Hold)
    assert answer(choose(policy, kept, tags("1.0.0", "1.1.0", "1.3.0"), history=history)) == "1.3.0"


def pushed(**ages: float) -> tuple[Tag, ...]:
    return tags(**ages)


@pytest.mark.parametrize("policy", [Policy(tag_pattern="main-*"), Policy(tag_regex="^main-.*$")])
def test_by_the_registrys_push_times_only_what_was_pushed_after_the_one_left(policy: Policy) -> None:
    history = after_rollback("main-c", "main-a")
    listed = pushed(main_a=9, main_b=8, main_c=7)
    held = choose(policy, "main-a", listed, history=history)
    assert isinstance(held, Hold)
    assert held.reason is Reason.QUARANTINED
    assert "left by a rollback" in held.detail
    assert answer(choose(policy, "main-a", (*listed, *pushed(main_d=6)), history=history)) == "main-d"
    gone = [tag for tag in listed if tag.name != "main-c"]
    assert history.left is not None
    remembered = replace(history, left=replace(history.left, pushed_at=NOW - 7 * DAY))
    assert isinstance(choose(policy, "main-a", gone, history=remembered), Hold)
    assert answer(choose(policy, "main-a", (*gone, *pushed(main_d=6)), history=remembered)) == "main-d"


def test_by_our_own_clock_only_what_came_after_the_one_left() -> None:
    policy = Policy(tag_pattern="main-*")
    known = seen({"main-b": 8, "main-c": 7}, main_a=9)

    def chosen(history: History, *names: str) -> Decision:
        return choose(policy, "main-a", tags(*names), history=history, clock=TimeSource.FIRST_SEEN)

    history = after_rollback("main-c", "main-a", seen=known)
    assert isinstance(chosen(history, "main-a", "main-b", "main-c"), Hold)
    later = after_rollback("main-c", "main-a", seen={**known, **seen({"main-d": 2})})
    assert answer(chosen(later, "main-a", "main-b", "main-c", "main-d")) == "main-d"


@pytest.mark.parametrize(
    ("behind", "chosen"), [("two", "quarantined"), ("one", "quarantined"), ("three", "latest")]
)
def test_a_digest_is_followed_on_only_when_the_tag_names_another_than_the_one_left(
    behind: str, chosen: str
) -> None:
    left = LeftRelease("acme/web:latest", (digest("two"),), "acme/web:latest", (digest("one"),), NOW - DAY)
    history = replace(quarantine("two"), left=left)
    outcome = choose(Policy(), "latest", running="one", digests={"latest": digest(behind)}, history=history)
    assert answer(outcome) == chosen


CHOSEN_ANEW: Mapping[str, tuple[str, str]] = {
    "another tag": ("1.0.5", "1.0.5"),
    "another image under the tag": ("1.1.0", "by hand"),
}


@pytest.mark.parametrize("case", CHOSEN_ANEW)
def test_what_the_operator_has_chosen_since_ends_it(case: str) -> None:
    tag, running = CHOSEN_ANEW[case]
    history = replace(after_rollback("1.2.0", "1.1.0"), quarantine={})
    outcome = choose(Policy(semver_pattern="*"), tag, tags(*VERSIONS), running=running, history=history)
    assert isinstance(outcome, Update)
    assert outcome.target.tag == "1.2.0"


def test_what_waits_for_another_reason_says_that_reason() -> None:
    history = after_rollback("1.2.0", "1.1.0")
    policy = Policy(semver_pattern="*", min_age_seconds=3 * 86400)
    outcome = choose(policy, "1.1.0", tags(*VERSIONS, **{"1.3.0": 1}), history=history)
    assert answer(outcome) == "too_young"
