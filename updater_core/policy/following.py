"""What `follow` is short for: a pattern that means every version, with a largest step. Pure."""

from __future__ import annotations

from updater_core.models import Bump, Follow, ImageRef, Policy
from updater_core.policy.bounded_regex import MatchBudget
from updater_core.policy.families import read
from updater_core.policy.patterns import Selector, pattern_of, semver_selector


def selector_of(policy: Policy, current: ImageRef, budget: MatchBudget | None = None) -> Selector | None:
    """Return the policy's selector, None if the digest behind the current tag is followed.

    A current tag that names no version (`latest`) has no versions to follow, so its digest is followed then too.
    """
    pattern = pattern_of(policy, budget)
    if pattern is not None or policy.follow is Follow.TAG or read(current.tag or "") is None:
        return pattern
    return semver_selector("*")


def largest_step(policy: Policy) -> Bump:
    """Return the largest step between versions that the policy takes.

    >>> largest_step(Policy(follow=Follow.MINOR)).value, largest_step(Policy(max_bump=Bump.PATCH)).value
    ('minor', 'patch')
    """
    has_pattern = pattern_of(policy) is not None
    return policy.max_bump if has_pattern or policy.follow is Follow.TAG else Bump(policy.follow.value)
