"""Which of the tags meant may be chosen, and which of them is newer: by the push. Pure.

The orders by version and by key are in `versions`. Each of the three orders returns a CandidateSet: the tags with
their ranks (a greater rank is newer), the rank of the current tag as the floor, and the tags rejected so far.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from updater_core.models import Ask, History, Hold, Observation, Policy, Reason, Rejected, Seen, Tag
from updater_core.policy.bounded_regex import MatchBudget
from updater_core.policy.patterns import Selector, excluder, natural_key

T = TypeVar("T")

Rank = Any  # within one CandidateSet all ranks are of one comparable kind
Meant = tuple[Tag, str]  # a tag that the selector means, and the text of it that is compared

# Build times cost requests for each tag, so only so many are asked for, once, for tags that were there before us.
_MOST_BUILD_TIMES = 50
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class Memo:
    """Results that were computed from a list of tags, kept while nothing that they were computed from changes.

    A decision that asks for a digest is made again with the answer; 20,000 tags need not be filtered and ranked again.
    `budget`: the time that the operator's expressions may take in one decision.
    """

    def __init__(self, budget: MatchBudget | None = None) -> None:
        self.budget = budget or MatchBudget()
        self._known: dict[str, tuple[object, Any]] = {}

    def get(self, case: SelectionContext, what: str, work: Callable[[], T]) -> T:
        """Return what `work` makes of the case; `work` must not read the observation's digests."""
        observation = replace(case.observation, digests={}, created=dict(case.observation.created))
        return self.kept(what, (observation, case.policy, case.history.seen, case.now), work)

    def kept(self, what: str, basis: object, work: Callable[[], T]) -> T:
        """Return what `work` makes of `basis`, which is all that it may read."""
        known = self._known.get(what)
        if known is None or known[0] != basis:
            known = self._known[what] = basis, work()
        return cast(T, known[1])


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """One decision to be made, with the policy's selector taken out of its text."""

    observation: Observation
    policy: Policy
    history: History
    now: datetime
    selector: Selector
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

    @property
    def current(self) -> str:
        """The current tag's name; empty if the reference is a digest alone."""
        reference = self.observation.current
        return reference.tag or ("" if reference.digest else "latest")

    @property
    def current_text(self) -> str | None:
        """The part of the current tag that is compared; None if the policy does not mean the current tag."""
        if not self.current or excluder(self.policy.tag_exclude, self.memo.budget)(self.current):
            return None
        return self.selector.extract(self.current)


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """The tags that may be chosen. `floor`: the current tag's rank, None if it has none.

    `hint` is the Hold to return if in the end there is no other reason for the current tag to stay.
    """

    ranked: Sequence[tuple[Rank, Tag]]
    floor: Rank | None
    rejected: tuple[Rejected, ...]
    superlative: str
    hint: Hold | None = None


# ------------------------------------------------------------------------------------------- by push, registry's clock


def by_push(case: SelectionContext, meant: Iterable[Meant]) -> CandidateSet:
    """Order by the registry's own push times. A tag without one is never compared with one that has it."""
    tags = [tag for tag, _ in meant]
    ranked = [(tag.pushed_at, tag) for tag in tags if tag.pushed_at is not None]
    rejected = tuple(
        Rejected(tag.name, Reason.NO_PUSH_TIME, "the registry gives no push time") for tag in tags if not tag.pushed_at
    )
    if tags and not ranked:
        return CandidateSet((), None, rejected, "", _no_push_time("the registry gives no push time for any of them"))
    remembered = case.history.pushed.get(case.current) if case.current_text is not None else None
    floor = max((time for time, tag in ranked if _is_what_runs(case, tag)), default=remembered)
    if floor is None and case.current_text is not None and not case.policy.allow_downgrade:
        ranked, unproven = _proven_newer(case, ranked)
        rejected += unproven
    return CandidateSet(ranked, floor, rejected, "the newest push")


def _is_what_runs(case: SelectionContext, tag: Tag) -> bool:
    return tag.name == case.current or tag.digest in case.observation.running_digests


def _proven_newer(
    case: SelectionContext, ranked: Sequence[tuple[datetime, Tag]]
) -> tuple[list[tuple[datetime, Tag]], tuple[Rejected, ...]]:
    """The current tag is gone or has no push time: keep the tags that by our own clock appeared after it."""
    floor = _seen_floor(case)
    kept = [(time, tag) for time, tag in ranked if _seen_rank(case, tag.name) > floor]
    names = {tag.name for _, tag in kept}
    detail = f"nothing shows that it is newer than {case.current}, whose push time is not known"
    return kept, tuple(Rejected(t.name, Reason.DOWNGRADE, detail) for _, t in ranked if t.name not in names)


# ------------------------------------------------------------------------------------------- by push, our own clock


def by_first_sight(case: SelectionContext, meant: Iterable[Meant], *, with_baseline: bool) -> CandidateSet | Ask:
    """Order by our own clock: a tag that came later is newer than every tag of the first listing.

    Among those of the first listing the build times of the images decide; if these say nothing, the current tag stays.
    Returns an Ask if build times are missing.
    """
    seen = _all_seen(case, [tag for tag, _ in meant])
    baseline = [tag for known, tag in seen if known.baseline]
    later = [((1, known.seen_at), tag) for known, tag in seen if not known.baseline]
    floor = _seen_floor(case) if case.current_text is not None else None
    out_of_reach = floor is not None and floor[0] == 1 and not case.policy.allow_downgrade
    if out_of_reach or not with_baseline:
        return _without_baseline(case, later, baseline, floor)
    times = _build_times(case, baseline)
    return times if isinstance(times, Ask) else _with_baseline(case, later, baseline, times)


def _without_baseline(
    case: SelectionContext,
    later: Sequence[tuple[Rank, Tag]],
    baseline: Sequence[Tag],
    floor: tuple[int, datetime] | None,
) -> CandidateSet:
    """The tags that came later, and the current one."""
    reason = Reason.DOWNGRADE if floor is not None and floor[0] == 1 else Reason.OLDER
    detail = "there before the first check, and so older than any tag that came later"
    rejected = tuple(Rejected(tag.name, reason, detail) for tag in baseline if tag.name != case.current)
    stays = [(floor, tag) for tag in baseline if tag.name == case.current]
    return CandidateSet([*later, *stays], floor, rejected, "the newest")


def has_baseline_only(case: SelectionContext, meant: Iterable[Meant]) -> bool:
    """Return whether every tag meant was there before us, so that nothing but build times can order them."""
    return all(known.baseline for known, _ in _all_seen(case, [tag for tag, _ in meant]))


def _with_baseline(
    case: SelectionContext, later: Sequence[tuple[Rank, Tag]], baseline: Sequence[Tag], times: dict[str, datetime]
) -> CandidateSet:
    """Return all of them; of the first listing only the current tag if build times do not distinguish the tags."""
    lost = case.current not in times and any(tag.name == case.current for tag in baseline)
    is_known = len(baseline) == 1 or (len(set(times.values())) > 1 and not lost)
    ranked, rejected = list(later), []
    for tag in baseline:
        if len(baseline) == 1 or (tag.name in times if is_known else tag.name == case.current):
            ranked.append(((0, times.get(tag.name, _BEFORE_ALL)), tag))
        else:
            rejected.append(Rejected(tag.name, Reason.NO_PUSH_TIME, "there before us, and no build time says its age"))
    why = "all were there before the first check, and their build times are equal or unknown"
    floor = _floor_among(case, ranked) if case.current_text is not None else None
    return CandidateSet(ranked, floor, tuple(rejected), "the newest", None if is_known else _no_push_time(why))


def _floor_among(case: SelectionContext, ranked: Sequence[tuple[Rank, Tag]]) -> Rank:
    return next((rank for rank, tag in ranked if tag.name == case.current), _seen_floor(case))


def _build_times(case: SelectionContext, baseline: Sequence[Tag]) -> dict[str, datetime] | Ask:
    """The known build times of baseline tags, or an Ask for those not yet asked: the current tag and the greatest."""
    created = case.observation.created
    known = {tag.name: created.get(tag.name) or seen.created_at for seen, tag in _all_seen(case, baseline)}
    if len(baseline) > 1:
        basis = [*known], case.current
        greatest = case.memo.kept("greatest", basis, lambda: _greatest(*basis))
        unasked = [name for name in greatest if known[name] is None and name not in created]
        if unasked:
            return Ask(created=tuple(unasked))
    return {name: time for name, time in known.items() if time is not None}


def _greatest(names: Sequence[str], current: str) -> Sequence[str]:
    return heapq.nlargest(_MOST_BUILD_TIMES, names, key=lambda name: (name == current, natural_key(name), name))


def _all_seen(case: SelectionContext, tags: Sequence[Tag]) -> list[tuple[Seen, Tag]]:
    """Return each tag with what our clock knows of it."""
    known, new = case.history.seen, Seen(None, case.now)
    return [(known.get(tag.name, new), tag) for tag in tags]


def _seen(case: SelectionContext, name: str) -> Seen:
    """Return what our clock knows of a tag; one that it does not know is there since now."""
    return case.history.seen.get(name) or Seen(None, case.now)


def _seen_rank(case: SelectionContext, name: str) -> tuple[int, datetime]:
    seen = _seen(case, name)
    return (0, seen.created_at or _BEFORE_ALL) if seen.baseline else (1, seen.seen_at)


def _seen_floor(case: SelectionContext) -> tuple[int, datetime]:
    """Return the current tag's rank by our clock.

    A tag that is gone and not remembered, or of unknown age, is only known to be older than the tags that came later.
    """
    listed = any(tag.name == case.current for tag in case.observation.tags or ())
    seen = case.history.seen.get(case.current)
    if seen is None and listed:
        return 1, case.now
    if seen is None or (seen.baseline and seen.created_at is None and not listed):
        return 1, _BEFORE_ALL
    return _seen_rank(case, case.current)


def _no_push_time(why: str) -> Hold:
    return Hold(
        Reason.NO_PUSH_TIME,
        f"which of the matching tags is the newest is not known: {why}",
        "nothing to do, the next tag that appears is taken; or use semver_pattern, or tag_regex with a group 'compare'",
    )
