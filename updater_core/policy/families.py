"""What `follow` is short for: a selector among the versions of the current tag's family, and a largest step.

Pure.

How a tag is taken apart into text, numbers and tail stands in `tags.reading`.
"""

from __future__ import annotations

from updater_core.models import Bump, Follow, ImageRef, Policy
from updater_core.policy.bounded_regex import MatchBudget
from updater_core.policy.patterns import Selector, pattern_of, semver_selector
from updater_core.policy.tags.reading import names_build, read
from updater_core.policy.tags.variant import split_variant


def selector_of(policy: Policy, current: ImageRef, budget: MatchBudget | None = None) -> Selector | None:
    """Return the policy's selector, None if the digest behind the current tag is followed.

    A current tag of words alone (`latest`), or of one build (`sha-5a81b1e`), has no versions to follow, so
    its digest is followed then too. One whose words have numbers (`alpine3.20`, `latest-pg16`) is compared
    with the same words.

    >>> selector_of(Policy(follow=Follow.MAJOR), ImageRef("docker.io", "library/php", "lts")) is None
    True
    """
    pattern = pattern_of(policy, budget)
    tag = current.tag or ""
    if pattern is not None or policy.follow is Follow.TAG:
        return pattern
    is_named = read(tag) is None and (names_build(tag) or not split_variant(tag)[1])
    return None if is_named else semver_selector("*")


def largest_step(policy: Policy) -> Bump:
    """Return the largest step between versions that the policy takes.

    >>> largest_step(Policy(follow=Follow.MINOR)).value, largest_step(Policy(max_bump=Bump.PATCH)).value
    ('minor', 'patch')
    """
    has_pattern = pattern_of(policy) is not None
    return policy.max_bump if has_pattern or policy.follow is Follow.TAG else Bump(policy.follow.value)
