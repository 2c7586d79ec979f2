"""Which of the tags meant may be chosen, and which of them is newer: by the push. Pure.

The orders by version and by key are in `versions`. Each of the three orders returns a CandidateSet: the tags
with their ranks (a greater rank is newer), the rank of the current tag as the floor, and the tags rejected so
far.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from updater_core.models import Hold, Reason, Rejected, Tag
from updater_core.policy.observation import Ask, CandidateSet, MatchedTag, Rank, SelectionContext
from updater_core.policy.patterns import natural_key
from updater_core.vocabulary.dated import Seen

SeenRank = tuple[int, datetime, datetime]  # 0 for the first listing, our first sight, the build time in a tie

# Build times cost requests for each tag, so only so many are asked for, once, for tags that were there before
# us.
_MOST_BUILD_TIMES = 50
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


# ---------------------------------------------------------------------------------- by push, registry's clock


def by_push(context: SelectionContext, matched: Iterable[MatchedTag]) -> CandidateSet:
    """Order by the registry's own push times. A tag without one is never compared with one that has it."""
    tags = [tag for tag, _ in matched]
    ranked = [(tag.pushed_at, tag) for tag in tags if tag.pushed_at is not None]
    rejected = tuple(
        Rejected(tag.name, Reason.NO_PUSH_TIME, "the registry gives no push time")
        for tag in tags
        if not tag.pushed_at
    )
    # With times for some, the others are merely left out; with none, nothing at all is known.
    if tags and not ranked:
        return CandidateSet(
            (), None, rejected, "", _no_push_time("the registry gives no push time for any of them")
        )
    if context.current_text is None:
        return _above_own(context, ranked, rejected)
    # The tag may be gone from the list by now; its time was noted while it was there.
    remembered = context.history.pushed.get(context.current)
    floor = max((time for time, tag in ranked if _is_what_runs(context, tag)), default=remembered)
    if floor is None and not context.policy.allow_downgrade:
        ranked, unproven = _proven_newer(context, ranked)
        rejected += unproven
    return CandidateSet(ranked, floor, rejected, "the newest push")


def _above_own(
    context: SelectionContext, ranked: Sequence[tuple[datetime, Tag]], rejected: tuple[Rejected, ...]
) -> CandidateSet:
    """Return the tags that were pushed after the one the operator runs, which the selector does not mean."""
    running_tags = [tag for tag in context.observation.tags or () if _is_surely_what_runs(context, tag)]
    floor = max((tag.pushed_at for tag in running_tags if tag.pushed_at), default=None)
    if floor is None:
        return CandidateSet(ranked, None, rejected, "the newest push")
    running = context.observation.running_digests
    # What runs under another name is as new as what runs, whenever that name was pushed.
    level = [(max(time, floor) if tag.digest in running else time, tag) for time, tag in ranked]
    return CandidateSet(level, floor, rejected, "the newest push")


def _is_surely_what_runs(context: SelectionContext, tag: Tag) -> bool:
    """Return whether the tag is what runs.

    A tag such as `latest` may have moved on since, which its digest shows.
    """
    running = context.observation.running_digests
    # By digest first: the tag's name may lead to a later image than the one that runs.
    return tag.digest in running if tag.digest and running else tag.name == context.current


def _is_what_runs(context: SelectionContext, tag: Tag) -> bool:
    return tag.name == context.current or tag.digest in context.observation.running_digests


def _proven_newer(
    context: SelectionContext, ranked: Sequence[tuple[datetime, Tag]]
) -> tuple[list[tuple[datetime, Tag]], tuple[Rejected, ...]]:
    """Return the tags that our own clock saw after the current tag, which is gone or has no push time."""
    floor = _seen_floor(context)
    kept = [(time, tag) for time, tag in ranked if _seen_rank(context, tag.name) > floor]
    names = {tag.name for _, tag in kept}
    detail = f"nothing shows that it is newer than {context.current}, whose push time is not known"
    return kept, tuple(Rejected(t.name, Reason.DOWNGRADE, detail) for _, t in ranked if t.name not in names)


# ------------------------------------------------------------------------------------- by push, our own clock


def by_first_sight(
    context: SelectionContext, matched: Iterable[MatchedTag], *, with_baseline: bool
) -> CandidateSet | Ask:
    """Return the candidates by our own clock: what came later is newer than all of the first listing.

    Among those, and among tags that came between the same two checks, the images' build times decide; if
    these say nothing the current tag stays. Where they decide, a tag without one is compared with none. An
    Ask if build times are missing.
    """
    seen = _all_seen(context, [tag for tag, _ in matched])
    baseline = [tag for known, tag in seen if known.baseline]
    floor = _own_floor(context)
    arrived = _arrivals(context, [(known, tag) for known, tag in seen if not known.baseline], floor)
    if isinstance(arrived, Ask):
        return arrived
    later, of_unknown_age = arrived
    floor = next((rank for rank, tag in later if tag.name == context.current), floor)
    # The current tag came after the first listing, so nothing of that can be newer: its build times need not
    # be asked for.
    out_of_reach = floor is not None and floor[0] == 1 and not context.policy.allow_downgrade
    if out_of_reach or not with_baseline:
        found = _without_baseline(context, later, baseline, floor)
    else:
        times = _build_times(context, baseline)
        if isinstance(times, Ask):
            return times
        found = _with_baseline(context, later, baseline, times)
    return replace(found, rejected=(*found.rejected, *of_unknown_age))


def _own_floor(context: SelectionContext) -> SeenRank | None:
    """Return the current tag's place on our clock.

    One that the selector does not mean counts if it came after the others.
    """
    if context.current_text is not None:
        return _seen_floor(context)
    seen = context.history.seen.get(context.current)
    return None if seen is None or seen.baseline else (1, seen.seen_at, _BEFORE_ALL)


def _arrivals(
    context: SelectionContext, later: Sequence[tuple[Seen, Tag]], floor: SeenRank | None
) -> tuple[list[tuple[SeenRank, Tag]], tuple[Rejected, ...]] | Ask:
    """Return the tags that came after the first listing with their ranks, and those whose age is not known.

    An Ask if the build times of those that came together, between the same two checks, are missing.
    """
    groups: dict[datetime, list[Tag]] = {}
    for seen, tag in later:
        groups.setdefault(seen.seen_at, []).append(tag)
    since = floor[1] if floor is not None and floor[0] == 1 else _BEFORE_ALL
    # Groups below the current tag cannot be chosen, so no requests are spent on their build times.
    recent = [groups[time] for time in sorted(groups, reverse=True) if time >= since]
    times = _build_times(context, _came_together(recent))
    if isinstance(times, Ask):
        return times
    ordered = {tag.name for tags in recent if _is_ordered(context, tags, times) for tag in tags}
    detail = "it came between the same two checks as others, and no build time says its age"
    lost = {name: Rejected(name, Reason.NO_PUSH_TIME, detail) for name in ordered if name not in times}
    built = {name: time for name, time in times.items() if name in ordered}
    ranked = [
        ((1, seen.seen_at, built.get(tag.name, _BEFORE_ALL)), tag)
        for seen, tag in later
        if tag.name not in lost
    ]
    return ranked, tuple(lost[tag.name] for _, tag in later if tag.name in lost)


def _came_together(groups: Iterable[Sequence[Tag]]) -> list[Tag]:
    """Return the tags that came with others, of the last groups; older groups are left to their names."""
    together: list[Tag] = []
    for group in groups:
        if len(group) > 1 and len(together) < _MOST_BUILD_TIMES:
            together += group
    return together


def _is_ordered(context: SelectionContext, tags: Sequence[Tag], times: Mapping[str, datetime]) -> bool:
    """Return whether the build times tell which of these tags is the newest."""
    # Without its own time the current tag cannot be compared, and might be the newest.
    is_lost = context.current not in times and any(tag.name == context.current for tag in tags)
    known = {times[tag.name] for tag in tags if tag.name in times}
    # Reproducible builds give all images one time, which orders nothing.
    return len(known) > 1 and not is_lost


def _without_baseline(
    context: SelectionContext,
    later: Sequence[tuple[SeenRank, Tag]],
    baseline: Sequence[Tag],
    floor: SeenRank | None,
) -> CandidateSet:
    """Return the tags that came later, and the current one."""
    reason = Reason.DOWNGRADE if floor is not None and floor[0] == 1 else Reason.OLDER
    detail = "there before the first check, and so older than any tag that came later"
    rejected = tuple(Rejected(tag.name, reason, detail) for tag in baseline if tag.name != context.current)
    stays = [(floor, tag) for tag in baseline if tag.name == context.current]
    return CandidateSet([*later, *stays], floor, rejected, "the newest")


def has_baseline_only(context: SelectionContext, matched: Iterable[MatchedTag]) -> bool:
    """Return whether every tag meant was there before us, so that nothing but build times can order them."""
    tags = [tag for tag, _ in matched]
    return all(known.baseline for known, _ in _all_seen(context, tags))


def _with_baseline(
    context: SelectionContext,
    later: Sequence[tuple[SeenRank, Tag]],
    baseline: Sequence[Tag],
    times: dict[str, datetime],
) -> CandidateSet:
    """Return all of them; of the first listing only the current tag if build times do not decide there."""
    ordered = len(baseline) == 1 or _is_ordered(context, baseline, times)
    ranked, rejected = list(later), []
    for tag in baseline:
        if len(baseline) == 1 or (tag.name in times if ordered else tag.name == context.current):
            ranked.append(((0, times.get(tag.name, _BEFORE_ALL), _BEFORE_ALL), tag))
        else:
            rejected.append(
                Rejected(tag.name, Reason.NO_PUSH_TIME, "there before us, and no build time says its age")
            )
    is_lost = context.current not in times and any(tag.name == context.current for tag in baseline)
    unknown = f"that of {context.current} is not known" if is_lost else "these are equal or unknown"
    why = f"all were there before the first check, so that only build times could tell, and {unknown}"
    floor = _floor_among(context, ranked) if context.current_text is not None else _own_floor(context)
    return CandidateSet(ranked, floor, tuple(rejected), "the newest", None if ordered else _no_push_time(why))


def _floor_among(context: SelectionContext, ranked: Sequence[tuple[Rank, Tag]]) -> Rank:
    return next((rank for rank, tag in ranked if tag.name == context.current), _seen_floor(context))


def _build_times(context: SelectionContext, tags: Sequence[Tag]) -> dict[str, datetime] | Ask:
    """Return the known build times, or an Ask for those of the current tag and the greatest not yet asked."""
    created = context.observation.created
    known = {tag.name: created.get(tag.name) or seen.created_at for seen, tag in _all_seen(context, tags)}
    if len(tags) > 1:
        basis = [*known], context.current
        greatest = context.memo.remembered(f"greatest {len(tags)}", basis, lambda: _greatest(*basis))
        unasked = [name for name in greatest if known[name] is None and name not in created]
        if unasked:
            return Ask(created=tuple(unasked))
    return {name: time for name, time in known.items() if time is not None}


def _greatest(names: Sequence[str], current: str) -> Sequence[str]:
    return heapq.nlargest(
        _MOST_BUILD_TIMES, names, key=lambda name: (name == current, natural_key(name), name)
    )


def _all_seen(context: SelectionContext, tags: Sequence[Tag]) -> list[tuple[Seen, Tag]]:
    """Return each tag with what our clock knows of it."""
    known, new = context.history.seen, Seen(None, context.now)
    return [(known.get(tag.name, new), tag) for tag in tags]


def _seen(context: SelectionContext, name: str) -> Seen:
    """Return what our clock knows of a tag; one that it does not know is there since now."""
    return context.history.seen.get(name) or Seen(None, context.now)


def _seen_rank(context: SelectionContext, name: str) -> SeenRank:
    seen = _seen(context, name)
    return (
        (0, seen.created_at or _BEFORE_ALL, _BEFORE_ALL) if seen.baseline else (1, seen.seen_at, _BEFORE_ALL)
    )


def _seen_floor(context: SelectionContext) -> SeenRank:
    """Return the current tag's place on our clock.

    One that is gone and not remembered, or of unknown age, is only known to be older than the tags that came
    later.
    """
    listed = any(tag.name == context.current for tag in context.observation.tags or ())
    seen = context.history.seen.get(context.current)
    # New to us since this very listing, as is everything else that is new in it.
    if seen is None and listed:
        return 1, context.now, _BEFORE_ALL
    if seen is None or (seen.baseline and seen.created_at is None and not listed):
        return 1, _BEFORE_ALL, _BEFORE_ALL
    return _seen_rank(context, context.current)


def _no_push_time(why: str) -> Hold:
    return Hold(
        Reason.NO_PUSH_TIME,
        f"which of the matching tags is the newest is not known: {why}",
        (
            "nothing to do, the next tag that appears is taken; or use semver_pattern, or tag_regex with a "
            "group 'compare'"
        ),
    )
