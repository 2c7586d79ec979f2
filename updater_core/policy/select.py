"""The selection: what one service should run, or why it should stay as it is. Pure.

The order of the steps is fixed: include, exclude, parse, variant, prerelease, range, step, then from the
newest down age and quarantine, then the comparison with what runs. Each rejected tag has its reason. The
order of the registry's list never matters.

The digest of a tag is asked for only if the decision depends on it: `decide` returns an Ask, its caller puts
the answers into the observation and calls again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from updater_core import reference
from updater_core.host import times
from updater_core.models import Decision, Hold, ImageRef, Policy, Reason, Rejected, Tag, Update, retry_command
from updater_core.policy import after_rollback, explain
from updater_core.policy.bounded_regex import TooSlow
from updater_core.policy.explain import because, is_gone, passed_over, summary, without_current
from updater_core.policy.families import selector_of
from updater_core.policy.observation import (
    Ask,
    CandidateSet,
    History,
    MatchedTag,
    Memo,
    Observation,
    Rank,
    SelectionContext,
    TimeSource,
    unique_by_name,
)
from updater_core.policy.order import by_first_sight, by_push, has_baseline_only
from updater_core.policy.patterns import (
    Order,
    Selector,
    check_exclude,
    check_semver_pattern,
    check_tag_pattern,
    check_tag_regex,
    excluder,
    natural_key,
)
from updater_core.policy.ranges import check_range
from updater_core.policy.versions import by_key, by_version
from updater_core.reference import short_digest
from updater_core.semver_utils import parse_tag, precedence

__all__ = [
    "check_exclude",
    "check_range",
    "check_semver_pattern",
    "check_tag_pattern",
    "check_tag_regex",
    "decide",
]

# Tags that are too young are asked for their digests, so that the age is known to be that of the image; but
# the first check of a long list must not cost a request for each.
_MOST_YOUNG_ASKED = 10
# if the policy names none: the current tag, whatever its name
_WATCHED = Selector(lambda tag: tag, Order.PUSH)


def decide(
    observation: Observation, policy: Policy, history: History, now: datetime, memo: Memo | None = None
) -> Decision | Ask:
    """Return what to do for one service. The tag list must be complete if the policy has a selector.

    An Update to a target with its digest, a Hold with its reason, or an Ask for what is still to be known.
    `memo`: passed again with the answer to an Ask, it saves work; it never changes the decision.
    """
    memo = memo or Memo()
    left = history.left
    if left is None or not after_rollback.still_counts(
        left, observation.current, observation.running_digests
    ):
        return _decide(observation, policy, history, now, memo)
    # Judged from the release that was left, or that one would be the newest and be taken again.
    as_left, history_of_left = after_rollback.as_if_left_still_ran(left, observation, history)
    outcome = _decide(as_left, policy, history_of_left, now, memo)
    return (
        outcome
        if isinstance(outcome, Ask)
        else after_rollback.newer_than_left(left, observation, history, outcome)
    )


def _decide(
    observation: Observation, policy: Policy, history: History, now: datetime, memo: Memo
) -> Decision | Ask:
    selector = selector_of(policy, observation.current, memo.budget)
    if selector is None:
        outcome = _watch(observation, policy, history, now)
        return explain.without_version(outcome, observation.current, policy)
    # A part of a list, or none, could make an old tag look like the newest.
    if observation.tags is None:
        return Hold(Reason.LISTING_INCOMPLETE, "the list of tags is not known", "wait for the next check")
    try:
        return _among_tags(SelectionContext(observation, policy, history, now, selector, memo))
    except TooSlow as error:
        return explain.too_slow(error)


def _among_tags(context: SelectionContext) -> Decision | Ask:
    matched, rejected = context.memo.remembered(
        "matched", (context.observation.tags, context.policy), lambda: _matched_tags(context)
    )
    outcome = _by_order(context, matched)
    if isinstance(outcome, Ask):
        return outcome
    outcome = replace(outcome, rejected=(*rejected, *outcome.rejected))
    if isinstance(outcome, Update):
        return outcome
    if outcome.reason in (Reason.NO_CANDIDATE, Reason.CURRENT_UNPARSABLE):
        outcome = replace(outcome, detail=f"{outcome.detail}: {summary(outcome.rejected)}")
    return without_current(context, outcome) if is_gone(context) else outcome


# -------------------------------------------------------------------------------------- the digest of one tag


def _watch(observation: Observation, policy: Policy, history: History, now: datetime) -> Decision | Ask:
    current = reference.with_default_tag(observation.current)
    if current.tag is None:
        return Hold(
            Reason.NO_CANDIDATE,
            f"{current.text} names a digest and no tag, so there is nothing that could become newer",
            "write the tag in front of the digest, or set semver_pattern, tag_pattern or tag_regex",
        )
    context = SelectionContext(replace(observation, current=current), policy, history, now, _WATCHED)
    return _examine(context, Tag(current.tag))


def _examine(context: SelectionContext, tag: Tag) -> Decision | Ask:
    """Decide on one tag alone: the same as what runs, quarantined, too young, or to be taken."""
    observation = context.observation
    held = explain.known(observation, tag.name)
    if held:
        return held
    # The current tag's own push time is that of a new image behind it, which only its digest shows.
    if tag.name != context.current:  # its push time alone may settle it, without a request
        held = _too_young(context, tag, None)
        if held:
            return held
    digest = observation.digests.get(tag.name)
    if digest is None:
        return Ask(digests=(tag.name,))
    target = replace(observation.current, tag=tag.name, digest=digest)
    if digest in observation.running_digests:
        return Hold(Reason.SAME_DIGEST, _same(context, tag.name, digest))
    quarantined = context.history.quarantine.get(digest)
    if quarantined:
        return Hold(
            Reason.QUARANTINED,
            f"{target.text} failed on {times.utc(quarantined.since)} ({quarantined.reason})",
            (
                "nothing to do, a newer digest is taken; to try this one again: "
                f"{retry_command(context.history.service)}"
            ),
            available=target,
        )
    # Age before signature, and both before the manifest: each question costs more than the one before.
    trust = _too_young(context, tag, target) or explain.unsigned(context, target)
    held_or_ask = trust or explain.still_to_ask(observation, tag.name)
    if held_or_ask:
        return held_or_ask
    signed_by = explain.signer(context, target)
    return Update(target, explain.signed(_changed(context, target), signed_by), signed_by=signed_by)


def _too_young(context: SelectionContext, tag: Tag, target: ImageRef | None) -> Hold | None:
    """Return a Hold if the tag is not old enough yet.

    Without its digest (no `target`) only a push time can say so.
    """
    policy, now = context.policy, context.now
    # Times of two clocks are never compared.
    by_registry = context.observation.clock is TimeSource.REGISTRY and tag.pushed_at is not None
    if policy.min_age_seconds <= 0 or (target is None and not by_registry):
        return None
    since = tag.pushed_at if by_registry else _digest_since(context, tag.name, target)
    return _waits(context, tag.name, min(since or now, now), target)


def _digest_since(context: SelectionContext, name: str, target: ImageRef | None) -> datetime | None:
    digest = target.digest if target else None
    seen = context.history.seen.get(name)
    moments = [
        context.history.digest_seen.get(digest or ""),
        seen.seen_at if seen and seen.digest == digest else None,
    ]
    # The earlier of the two: one is of this service, the other of the whole repository.
    return min((time for time in moments if time), default=None)


def _waits(context: SelectionContext, name: str, since: datetime, target: ImageRef | None) -> Hold | None:
    until = since + timedelta(seconds=context.policy.min_age_seconds)
    if until <= context.now:
        return None
    target = target or replace(context.observation.current, tag=name, digest=None)
    return Hold(
        Reason.TOO_YOUNG,
        f"{target.text} is there since {times.utc(since)}; min_age holds it until {times.utc(until)}",
        "nothing to do, it is taken when it is old enough; or lower min_age",
        available=target,
        until=until,
    )


def _same(context: SelectionContext, name: str, digest: str) -> str:
    if name == context.current:
        return f"{context.observation.current.text} is up to date ({short_digest(digest)})"
    return f"{name} is the image that runs already ({short_digest(digest)})"


def _changed(context: SelectionContext, target: ImageRef) -> str:
    moved = f"{target.tag} now points to {short_digest(target.digest or '')}"
    if context.observation.running_digests:
        return moved
    return f"{moved}; what runs is not known by any digest of this repository, so there is no baseline"


# ---------------------------------------------------------------------------------------------- a tag of many


def _matched_tags(context: SelectionContext) -> tuple[list[MatchedTag], list[Rejected]]:
    """Return the tags that the selector means and nothing excludes, by name; and the others."""
    extract, excluded = context.selector.extract, excluder(context.policy.tag_exclude, context.memo.budget)
    matched: list[MatchedTag] = []
    rejected: list[Rejected] = []
    for tag in unique_by_name(context.observation.tags or ()):
        text = extract(tag.name)
        if text is None:
            rejected.append(Rejected(tag.name, Reason.NOT_MATCHING))
        elif excluded(tag.name):
            rejected.append(Rejected(tag.name, Reason.EXCLUDED))
        else:
            matched.append((tag, text))
    return matched, rejected


def _by_order(context: SelectionContext, matched: Sequence[MatchedTag]) -> Decision | Ask:
    memo = context.memo
    if context.selector.order is Order.KEY:
        return _choose(context, memo.get(context, "key", lambda: by_key(context, matched)))
    if context.selector.order is Order.PUSH:
        return _by_push(context, matched)
    candidates = memo.get(context, "version", lambda: by_version(context, matched))
    return candidates if isinstance(candidates, Hold) else _choose(context, candidates)


def _by_push(context: SelectionContext, matched: Sequence[MatchedTag]) -> Decision | Ask:
    """Order by push.

    With our own clock, build times are asked for only if no tag that came later settles it.
    """
    if context.observation.clock is TimeSource.REGISTRY:
        return _choose(context, context.memo.get(context, "push", lambda: by_push(context, matched)))
    # A tag that came later settles it mostly, and without any request.
    if not has_baseline_only(context, matched):
        candidates = by_first_sight(context, matched, with_baseline=False)
        outcome = candidates if isinstance(candidates, Ask) else _choose(context, candidates)
        if not isinstance(outcome, Hold) or outcome.reason is Reason.SAME_DIGEST:
            return outcome
    candidates = context.memo.get(
        context, "first sight", lambda: by_first_sight(context, matched, with_baseline=True)
    )
    return candidates if isinstance(candidates, Ask) else _choose(context, candidates)


def _choose(context: SelectionContext, candidates: CandidateSet) -> Decision | Ask:
    """Go from the newest down to the current tag; take the first that is old enough and not quarantined."""
    reach, below = _reach(context, candidates)
    rejections: list[Hold] = []
    rejected = [*candidates.rejected, *below]
    for tag in _newest_first(context, reach):
        outcome = _examine_among(context, tag, rejections)
        if isinstance(outcome, Ask):
            return outcome
        if isinstance(outcome, Update) or outcome.reason is Reason.SAME_DIGEST:
            rejected += passed_over(context, tag, reach, rejections)
            return _settle(context, candidates, outcome, rejections, rejected)
        rejections.append(outcome)
        rejected.append(Rejected(tag.name, outcome.reason, outcome.detail))
        if tag.name == context.current:
            rejected += passed_over(context, tag, reach, rejections)
    hold = explain.first_of(rejections) or candidates.hint or _nothing(context, candidates, below)
    return replace(hold, rejected=tuple(rejected))


def _reach(
    context: SelectionContext, candidates: CandidateSet
) -> tuple[Sequence[tuple[Rank, Tag]], list[Rejected]]:
    """Return what may be chosen, and what is below the current tag.

    Even if downgrades are allowed, one only happens if nothing at or above the current tag is left.
    """
    if candidates.floor is None:
        return candidates.ranked, []
    # Equal counts as above: the current tag itself has to stay a candidate.
    above = [entry for entry in candidates.ranked if entry[0] >= candidates.floor]
    if context.policy.allow_downgrade and not above:
        return candidates.ranked, []
    reason = Reason.OLDER if context.policy.allow_downgrade else Reason.DOWNGRADE
    detail = f"lower than the current {context.current}"
    return above, [
        Rejected(tag.name, reason, detail) for rank, tag in candidates.ranked if rank < candidates.floor
    ]


def _newest_first(context: SelectionContext, reach: Sequence[tuple[Rank, Tag]]) -> Iterator[Tag]:
    """Yield the tags down to the current one.

    Of equals: the current tag, then its spelling, then the highest.
    """
    ranked = sorted(reach, key=lambda entry: entry[0], reverse=True)
    for _, group in itertools.groupby(ranked, key=lambda entry: entry[0]):
        tied = [tag for _, tag in group]
        # Among equals the current tag wins: there is no reason to write another spelling of it.
        current = [tag for tag in tied if tag.name == context.current]
        if current:
            yield current[0]
            return
        yield from sorted(tied, key=lambda tag: _tie(context, tag.name), reverse=True)


def _tie(context: SelectionContext, name: str) -> tuple[Any, ...]:
    version = parse_tag(name)
    key = (precedence(version),) if version else ()
    # `v1.2.3` and `1.2.3` are one version; the spelling of the file is kept.
    alike = context.selector.order is Order.VERSION and name.startswith("v") == context.current.startswith(
        "v"
    )
    return alike, key, natural_key(name), name


def _examine_among(context: SelectionContext, tag: Tag, rejections: Sequence[Hold]) -> Decision | Ask:
    outcome = _examine(context, tag)
    if isinstance(outcome, Update) and tag.name == context.current and context.selector.order is Order.PUSH:
        return _put_back(context, tag, outcome.target) or outcome
    if (
        not isinstance(outcome, Ask)
        or sum(h.reason is Reason.TOO_YOUNG for h in rejections) < _MOST_YOUNG_ASKED
    ):
        return outcome
    seen = context.history.seen.get(tag.name)
    return _waits(context, tag.name, min(seen.seen_at, context.now) if seen else context.now, None) or outcome


def _put_back(context: SelectionContext, tag: Tag, target: ImageRef) -> Hold | None:
    """Return a Hold if the current tag was put back, without a push, to an older image than what runs."""
    known = context.history.digest_seen
    then = known.get(target.digest or "")
    running = max((known[d] for d in context.observation.running_digests if d in known), default=None)
    # Only if both were seen here is it certain which of them is the older one.
    if context.policy.allow_downgrade or then is None or running is None or then >= running:
        return None
    if (
        context.observation.clock is TimeSource.REGISTRY
        and tag.pushed_at is not None
        and tag.pushed_at > then
    ):
        return None  # pushed again after we first knew it
    return Hold(
        Reason.DOWNGRADE,
        (
            f"{tag.name} was put back to {short_digest(target.digest or '')}, which is older than the image "
            "that runs"
        ),
        "push the image you want under a new tag, or set allow_downgrade",
        available=target,
    )


def _settle(
    context: SelectionContext,
    candidates: CandidateSet,
    outcome: Decision,
    rejections: Sequence[Hold],
    rejected: Iterable[Rejected],
) -> Decision:
    if isinstance(outcome, Hold):  # the same image: a newer one that waits matters more, if there is one
        outcome = explain.first_waiting(rejections) or candidates.hint or outcome
    elif outcome.target.tag != context.current:
        detail = explain.signed(because(context, candidates, str(outcome.target.tag)), outcome.signed_by)
        outcome = replace(outcome, detail=detail)
    return replace(outcome, rejected=tuple(rejected))


def _nothing(context: SelectionContext, candidates: CandidateSet, below: Sequence[Rejected]) -> Hold:
    downgrades = [r.tag for r in (*candidates.rejected, *below) if r.reason is Reason.DOWNGRADE]
    if not downgrades:
        return Hold(
            Reason.NO_CANDIDATE,
            "no tag may be chosen",
            "compare the pattern and the policy with the tags; --plan shows each tag with its reason",
        )
    best = max(((rank, tag.name) for rank, tag in candidates.ranked), default=(None, downgrades[-1]))[1]
    return Hold(
        Reason.DOWNGRADE,
        f"of the tags that are left {best} comes first, and nothing shows it to be newer than "
        f"{context.current}",
        "write the tag you want into the Compose file, or set allow_downgrade",
        available=replace(context.observation.current, tag=best, digest=None),
    )
