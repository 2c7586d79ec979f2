"""How a choice is explained: its reason, no more than what is known; rejected tags; the current tag's family.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from updater_core.models import Decision, Follow, Hold, ImageRef, Policy, Reason, Rejected, Tag
from updater_core.policy.bounded_regex import TooSlow
from updater_core.policy.families import selector_of
from updater_core.policy.observation import Ask, CandidateSet, Observation, Rank, SelectionContext, TimeSource
from updater_core.policy.patterns import Order, pattern_of
from updater_core.policy.tags.reading import FamilyVersion, names_build, read
from updater_core.policy.tags.variant import named_form

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

REMEDY_OF_UNSIGNED = "ask its publisher to sign it, or add the key it was signed with to signature.public_key"
# Such a tag is no candidate for this host: it neither waits nor stands in the way of another one.
NO_CANDIDATE_HERE = frozenset({Reason.NOT_AN_IMAGE, Reason.PLATFORM_MISSING, Reason.NOT_FOUND})
_REMEDIES = {
    Reason.NOT_AN_IMAGE: (
        "follow a tag that names an image; tag_exclude, or a narrower pattern, leaves this one out"
    ),
    Reason.PLATFORM_MISSING: "publish the image for this platform, or set `platform`",
}


def too_slow(error: TooSlow) -> Hold:
    """Return the hold for an expression that was stopped: what it would have selected is not known."""
    return Hold(Reason.PATTERN_TOO_SLOW, str(error), error.remedy)


def family_text(policy: Policy, current: ImageRef) -> str:
    """Return the family that the current tag names, in words; empty if the policy compares no versions.

    >>> family_text(Policy(semver_pattern="*"), ImageRef("docker.io", "library/postgres", "16.3-alpine"))
    '#.#-alpine, each # a number; 16.3-alpine is at 16.3'
    """
    tag = current.tag or "latest"
    version = read(tag)
    selector = selector_of(policy, current)
    if selector is None:
        is_followed = pattern_of(policy) is None and policy.follow is not Follow.TAG
        return f"none, {tag} names no version; the digest behind it is followed" if is_followed else ""
    if selector.order is not Order.VERSION:
        return ""
    if selector.extract(tag) is None:
        return f"none, the selector does not mean {tag}"
    if version is None and pattern_of(policy) is None:
        return f"{named_form(tag)}, each # a number of what the image is for; {tag} names no version"
    if version is None:
        return f"#.#.#, for {tag} names no version"
    return f"{_shown(version)}, each # a number; {tag} is at {_position(version)}"


def without_version(outcome: Decision | Ask, current: ImageRef, policy: Policy) -> Decision | Ask:
    """Return the decision on a tag's digest for a service that follows versions, though its tag names none.

    A word such as `latest` moves with its releases, so its digest tells whether the service is up to date.
    The tag of one build never moves: whether a newer build is there is not known.
    """
    tag = current.tag or "latest"
    if (
        policy.follow is Follow.TAG
        or not isinstance(outcome, Hold)
        or outcome.reason is not Reason.SAME_DIGEST
    ):
        return outcome
    if not names_build(tag):
        detail = f"{outcome.detail}; {tag} names no version, so the digest behind it is followed"
        return replace(outcome, detail=detail)
    return Hold(
        Reason.CURRENT_UNPARSABLE,
        (
            f"{tag} names one build and no version, so nothing says which tag is newer; its image is still "
            "the same"
        ),
        "to follow builds, set tag_pattern, which takes the newest push (such as main-*); to follow "
        "versions, write a tag with a version into the Compose file; to stay with this tag, set follow to "
        "tag",
    )


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

    def farness(one: Rejected) -> tuple[bool, bool, int]:
        is_word = one.tag not in numbers
        is_of_another_family = one.reason in _OF_OTHERS
        return is_word, is_of_another_family, distance.get(one.tag, 0)

    chosen = {one.tag for one in sorted(rejected, key=farness)[:count]}
    return [one for one in rejected if one.tag in chosen]


# -------------------------------------------------------------------------------------- the words of a choice


def is_gone(context: SelectionContext) -> bool:
    """Return whether the current tag is not in the registry any more."""
    return bool(context.current) and all(
        tag.name != context.current for tag in context.observation.tags or ()
    )


def without_current(context: SelectionContext, hold: Hold) -> Hold:
    """Return the hold for a current tag that is gone.

    What runs cannot be pulled again, and nothing was found to follow it.
    """
    gone = f"{context.observation.current.text} is gone from the registry"
    if hold.reason is not Reason.SAME_DIGEST:
        started = "`--test` says whether what runs was started from another tag, as by a variable of a shell"
        remedy = f"{hold.remedy}; {started}" if hold.remedy else started
        return replace(hold, detail=f"{gone}; {hold.detail}", remedy=remedy)
    return replace(
        hold,
        reason=Reason.NOT_FOUND,
        detail=f"{gone}, though what it named is there still: {hold.detail}",
        remedy="write a tag that is there into the Compose file; --plan lists them, each with its reason",
    )


def passed_over(
    context: SelectionContext, last: Tag, reach: Sequence[tuple[Rank, Tag]], rejections: Iterable[Hold]
) -> list[Rejected]:
    """Return the tags below the one at which the walk ended, and those beside it."""
    examined = {last.name, *(hold.available.tag for hold in rejections if hold.available)}
    end = next(rank for rank, tag in reach if tag.name == last.name)
    newer = Reason.OLDER, f"{last.name} is newer"
    beside = (Reason.NO_PUSH_TIME, f"nothing tells whether it is newer than {last.name}")
    if not _is_by_first_sight(context):
        beside = Reason.OLDER, f"no newer than {last.name}"
    return [
        Rejected(tag.name, *(beside if rank == end else newer))
        for rank, tag in reach
        if tag.name not in examined
    ]


def _is_by_first_sight(context: SelectionContext) -> bool:
    return context.selector.order is Order.PUSH and context.observation.clock is TimeSource.FIRST_SEEN


def because(context: SelectionContext, candidates: CandidateSet, tag: str) -> str:
    """Return why this tag is chosen; no more than what is known."""
    count = len(candidates.ranked)
    among = f"of {count} matching tags" if count > 1 else "that matches, and the only one"
    own = next((rank for rank, other in candidates.ranked if other.name == tag), None)
    beside = [other.name for rank, other in candidates.ranked if rank == own and other.name != tag]
    if beside and _is_by_first_sight(context):
        return (
            f"{tag} came together with {beside[0]}, and nothing tells which of them is newer; all others "
            "are older"
        )
    return f"{tag} is {candidates.superlative} {among}"


def unsigned(context: SelectionContext, target: ImageRef) -> Hold | Ask | None:
    """Return why the image is not taken for who signed it, or that this is still to be asked.

    None if it may be taken. No quarantine: a signature may be added later, and is asked for again in each
    cycle.
    """
    if not context.policy.public_keys:
        return None
    verdict = context.observation.signatures.get(target.digest or "")
    if verdict is None:
        return Ask(signatures=(target,))
    if verdict.key is not None:
        return None
    reason = verdict.reason or Reason.NOT_SIGNED
    return Hold(reason, f"{target.text} is not taken: {verdict.detail}", REMEDY_OF_UNSIGNED, available=target)


def signer(context: SelectionContext, target: ImageRef) -> str:
    """Return by which keys the image is signed; empty if it need not be."""
    verdict = context.observation.signatures.get(target.digest or "")
    return verdict.key or "" if verdict else ""


def signed(text: str, signed_by: str) -> str:
    """Return the sentence, and who signed the image if somebody had to.

    >>> signed("v2 is the highest version", "acme.pub")
    'v2 is the highest version; signed by acme.pub'
    """
    return f"{text}; signed by {signed_by}" if signed_by else text


def summary(rejected: Sequence[Rejected]) -> str:
    """Return how many tags were rejected for each reason, in words: `3 no_match, 1 prerelease`."""
    if not rejected:
        return "the repository has no tags"
    counts: dict[str, int] = {}
    for entry in rejected:
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))


# ---------------------------------------------------------------------------------------- what a tag leads to
#
# A repository has more than images: Helm charts, build caches, signatures, attestations. And the digest of an
# index changes if only an attestation beside the same images was pushed again. What a candidate leads to is
# asked for last, for that costs a request that registries count as a pull.


def obstacle(reason: Reason, target: ImageRef, detail: str) -> Hold:
    """Return the hold for a tag that leads to no image for this host."""
    return Hold(reason, f"{target.text}: {detail}", _REMEDIES.get(reason, ""), available=target)


def same_image(target: ImageRef) -> Hold:
    """Return the hold for an index that was pushed again around the image that runs."""
    detail = f"{target.text} was pushed again around the same image, which is the one that runs"
    return Hold(Reason.SAME_DIGEST, detail)


def known(observation: Observation, tag: str) -> Hold | None:
    """Return the hold for what a tag leads to, if it is known and stands in the way."""
    return (observation.contents or {}).get(tag)


def still_to_ask(observation: Observation, tag: str) -> Ask | None:
    """Return an Ask if what a tag leads to is still to be asked."""
    if observation.contents is None or tag in observation.contents:
        return None
    return Ask(contents=(tag,))


def first_of(rejections: Sequence[Hold]) -> Hold | None:
    """Return the hold of the first tag that is a candidate for this host, else of the first tag, or None."""
    waiting = first_waiting(rejections)
    return waiting or next((replace(hold, available=None) for hold in rejections), None)


def first_waiting(rejections: Sequence[Hold]) -> Hold | None:
    """Return the hold of the first tag that is a candidate for this host, or None."""
    return next((hold for hold in rejections if hold.reason not in NO_CANDIDATE_HERE), None)
