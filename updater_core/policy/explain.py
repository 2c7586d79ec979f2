"""How a choice among versions is explained: the family that was read from the current tag, the nearest tags. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from updater_core.models import ImageRef, Policy, Reason, Rejected
from updater_core.policy.families import FamilyVersion, read
from updater_core.policy.following import selector_of
from updater_core.policy.patterns import Order, pattern_of

_OF_OTHERS = frozenset(
    {
        Reason.OTHER_PREFIX,
        Reason.OTHER_PRECISION,
        Reason.OTHER_VARIANT,
        Reason.NOT_SEMVER,
        Reason.NOT_MATCHING,
        Reason.EXCLUDED,
    }
)


def family_text(policy: Policy, current: ImageRef) -> str:
    """Return the family that the current tag names, in words; empty if the policy compares no versions.

    >>> family_text(Policy(semver_pattern="*"), ImageRef("docker.io", "library/postgres", "16.3-alpine"))
    '#.#-alpine, each # a number; 16.3-alpine is at 16.3'
    """
    tag = current.tag or "latest"
    version = read(tag)
    selector = selector_of(policy, current)
    if selector is None:
        is_followed = pattern_of(policy) is None and policy.follow != "tag"
        return f"none, {tag} names no version; the digest behind it is followed" if is_followed else ""
    if selector.order is not Order.VERSION:
        return ""
    if selector.extract(tag) is None:
        return f"none, the selector does not mean {tag}"
    if version is None:
        return f"#.#.#, for {tag} names no version"
    return f"{_shown(version)}, each # a number; {tag} is at {_position(version)}"


def _shown(version: FamilyVersion) -> str:
    return f"{version.prefix}{version.form}{version.tail.shape}"


def _position(version: FamilyVersion) -> str:
    parts = [version.text]
    parts += [f"prerelease {'.'.join(version.tail.prerelease)}"] if version.tail.prerelease else []
    parts += [f"build {'.'.join(map(str, version.tail.counters))}"] if version.tail.counters else []
    return ", ".join(parts)


def nearest(rejected: Sequence[Rejected], current: str, count: int) -> list[Rejected]:
    """Return the rejected tags that lie nearest to the current tag, in their order.

    Tags of its family come first, by their place in the order of versions; then those of others; then words.
    """
    if len(rejected) <= count:
        return [*rejected]
    start = read(current)
    numbers = {one.tag: version.numbers for one in rejected if (version := read(one.tag))}
    ordered = sorted(numbers, key=lambda tag: numbers[tag])
    below = sum(start is None or numbers[tag] <= start.numbers for tag in ordered)
    distance = {tag: abs(place - below) for place, tag in enumerate(ordered)}
    chosen = sorted(
        rejected, key=lambda one: (one.tag not in numbers, one.reason in _OF_OTHERS, distance.get(one.tag, 0))
    )
    kept = {one.tag for one in chosen[:count]}
    return [one for one in rejected if one.tag in kept]
