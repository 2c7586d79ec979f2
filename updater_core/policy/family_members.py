"""Which tags are of the current tag's family, and which of two of a family is higher. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from updater_core.models import Reason, Rejected, Tag
from updater_core.policy.observation import MatchedTag, Rank, SelectionContext
from updater_core.policy.tags.leaps import unsupported
from updater_core.policy.tags.reading import SEMVER_FORM, FamilyVersion, core_rank, is_scheme_jump, read
from updater_core.policy.tags.tail import Numbers
from updater_core.policy.tags.variant import is_risen, named_variant, split_variant

_BARE_COUNTER = re.compile(r"-#(?![.#])")  # a number alone, as no word names it
# By which a platform's number is known: it returns in at least two versions, is above the first few builds
# that every counter has, and below any build number of a server.
_FEWEST_RETURNS, _FIRST_BUILDS, _LARGEST_PLATFORM = 2, 4, 1000

Fault = tuple[Reason, str]
Candidate = tuple[Tag, FamilyVersion]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the candidates are measured against.

    `current`: the current tag's version, None if it names none. `variant`: the tail that candidates have to
    have. `whole`: the version in the whole current tag, if the selector does not mean that tag; candidates
    are then of its family by their whole names too. `whole_variant`: the variant that these names have to
    have, unless the selector names another (`*-alpine`); None if it is part of what the selector compares.
    """

    current: FamilyVersion | None
    variant: str
    whole: FamilyVersion | None = None
    whole_variant: str | None = None


def rank(version: FamilyVersion) -> Rank:
    """Return a key that sorts the versions of one family, lowest first."""
    # The variant's number last: a rebuild on a newer base counts less than a newer version.
    return core_rank(version), version.tail.counters, variant_numbers(version)


def variant_numbers(version: FamilyVersion) -> tuple[Numbers, ...]:
    """Return the numbers of what the image is built on or for, in front of its version and behind it."""
    prefix, shape = version.prefix, version.tail.shape
    in_front = split_variant(prefix)[1] if len(prefix) > 1 else ()
    return in_front + split_variant(shape)[1] if shape else in_front


def baseline_of(context: SelectionContext) -> Baseline:
    """Return what the current tag asks of the tags that may follow it."""
    text = context.selector.extract(context.current)
    version = read(text) if text else None
    if version is not None:
        return Baseline(version, version.tail.shape)
    if text is not None:
        return Baseline(None, named_variant(text))
    whole = read(context.current)
    variant = whole.tail.shape if whole else named_variant(context.current)
    if context.selector.keeps_variant:
        return Baseline(whole, variant, whole)
    if whole is None:
        return Baseline(None, "", None, variant)
    # The pattern names no variant, so the current one's is not compared by its text.
    return Baseline(replace(whole, tail=replace(whole.tail, shape="", counters=())), "", whole, variant)


def by_family(
    context: SelectionContext, baseline: Baseline, matched: Iterable[MatchedTag]
) -> tuple[list[Candidate], list[Candidate], list[Rejected]]:
    """Return the tags of the family, those of other families, and each one's reason not to be of it."""
    kin: list[Candidate] = []
    others: list[Candidate] = []
    rejected: list[Rejected] = []
    follows = context.policy.follow_variant
    for tag, text in matched:
        version = read(text)
        if version is None:
            rejected.append(Rejected(tag.name, Reason.NOT_SEMVER, f"no version stands in {text}"))
            continue
        fault = _other_family(tag.name, version, baseline, follows_variant=follows)
        if fault is None:
            kin.append((tag, version))
        else:
            others.append((tag, version))
            rejected.append(Rejected(tag.name, *fault))
    # Only the whole list shows whether a bare number is a platform's, so it is judged after the rest.
    unfit = _of_other_platform(baseline.current, kin, follows_variant=follows)
    rejected += unfit
    names = {one.tag for one in unfit}
    others += [one for one in kin if one[0].name in names]
    return [one for one in kin if one[0].name not in names], others, rejected


def _of_other_platform(
    current: FamilyVersion | None, kin: Sequence[Candidate], *, follows_variant: bool
) -> list[Rejected]:
    """Return the tags of the family whose bare number names another platform than the current one's."""
    fixed = _platform_number(current, kin)
    if fixed is None:
        return []
    detail = (
        f"the number behind its version is not {fixed}, which returns with each version and so counts "
        "no builds"
    )
    unfit = [tag.name for tag, version in kin if not _fits(version.tail.counters[0], fixed, follows_variant)]
    return [Rejected(name, Reason.OTHER_VARIANT, detail) for name in unfit]


def _fits(number: int, fixed: int, follows_variant: bool) -> bool:
    return number >= fixed if follows_variant else number == fixed


def _platform_number(current: FamilyVersion | None, kin: Iterable[Candidate]) -> int | None:
    """Return the bare number behind the current version if it says what the image is built on.

    `4.0.2-18` is built on Node 18; None if the number counts builds. One of a platform returns beside others
    in version after version; a counter begins anew with each version, or never has a number twice.
    """
    if current is None or not _BARE_COUNTER.match(current.tail.shape):
        return None
    numbers: dict[Numbers, set[int]] = {}
    for _, version in kin:
        numbers.setdefault(version.numbers, set()).add(version.tail.counters[0])
    own, lowest = current.tail.counters[0], min(map(min, numbers.values()), default=0)
    returns = sum(own in beside and len(beside) > 1 for beside in numbers.values())
    is_platform = returns >= _FEWEST_RETURNS and lowest > _FIRST_BUILDS and own < _LARGEST_PLATFORM
    return own if is_platform else None


def unsupported_leaps(
    current: FamilyVersion | None, kin: Sequence[Candidate], others: Sequence[Candidate]
) -> frozenset[Numbers]:
    """Return the first numbers of versions that are too far above the others to be believed alone."""
    alike = [one for _, one in kin if current is None or not is_scheme_jump(current, one)]
    releases = [version for version in alike if not version.tail.prerelease]
    kinds = {(version.prefix, version.tail.shape) for version in releases}
    others_alike = [one for _, one in others if (one.prefix, one.tail.shape) in kinds]
    beside = [version for version in others_alike if not version.tail.prerelease]
    known = {(version.form, version.numbers) for version in (*releases, *beside)}
    numbers = [version.numbers for version in releases]
    return unsupported(current.numbers if current else min(numbers, default=(0,)), numbers, known)


def _other_family(
    name: str, version: FamilyVersion, baseline: Baseline, *, follows_variant: bool
) -> Fault | None:
    """Return why a version is not of the current tag's family, or None if it is."""
    current = baseline.current
    fault = _other_name(name, version, baseline)
    if fault is not None:
        return fault
    if current is None:
        # Without a current version nothing says which prefix is meant, and a product's name in front is a
        # product of its own.
        if version.prefix not in ("", "v"):
            return Reason.OTHER_PREFIX, f"begins with {version.prefix}"
        if version.form != SEMVER_FORM:
            return Reason.OTHER_PRECISION, "not MAJOR.MINOR.PATCH, and the current tag names no other form"
    elif baseline.whole is None and not is_same(version.prefix, current.prefix, follows_variant):
        return Reason.OTHER_PREFIX, _prefixes(version, current)
    elif version.form != current.form:
        return Reason.OTHER_PRECISION, _forms(version, current)
    return _other_variant(version, baseline, follows_variant=follows_variant)


def is_same(theirs: str, ours: str, follows_variant: bool) -> bool:
    """Return whether the text around a version names the same variant, or ours risen if that is followed."""
    return theirs == ours or (follows_variant and is_risen(theirs, ours))


def _other_name(name: str, version: FamilyVersion, baseline: Baseline) -> Fault | None:
    """Return the same by whole names, if the selector does not mean the current tag."""
    if baseline.whole is None and baseline.whole_variant is None:
        return None
    whole = read(name)
    fault = other_whole(whole, baseline.whole) if baseline.whole is not None else None
    if fault is None and baseline.whole_variant is not None and not version.tail.shape:
        return silent_change(whole, baseline.whole_variant)
    return fault


def silent_change(whole: FamilyVersion | None, current_variant: str) -> Fault | None:
    """Return why a plain tag may not follow a variant that the selector does not mean.

    Nobody asked for the change.
    """
    if (whole is not None and whole.tail.shape) or not current_variant:
        return None
    return Reason.OTHER_VARIANT, f"without a variant, the current one is {current_variant}"


def other_whole(version: FamilyVersion | None, whole: FamilyVersion) -> Fault | None:
    """Return why a tag cannot follow a current tag that the selector does not mean; None if it can.

    It is judged by the whole names, whatever the selector cuts off.
    """
    if version is None or version.prefix != whole.prefix:
        return Reason.OTHER_PREFIX, _prefixes(version, whole)
    return None if version.form == whole.form else (Reason.OTHER_PRECISION, _forms(version, whole))


def _prefixes(version: FamilyVersion | None, current: FamilyVersion) -> str:
    ours = f"the current one with {current.prefix}" if current.prefix else "the current one with its number"
    return f"begins with {(version.prefix if version else '') or 'its number'}, {ours}"


def _forms(version: FamilyVersion, current: FamilyVersion) -> str:
    return f"its number is {version.form}, the current one {current.form}"


def _other_variant(version: FamilyVersion, baseline: Baseline, *, follows_variant: bool) -> Fault | None:
    theirs, ours = version.tail.shape, baseline.variant
    if is_same(theirs, ours, follows_variant):
        return None
    # `-beta` alone names a channel that moves: for a release this is a prerelease, and no variant.
    if version.tail.is_channel and (baseline.current is None or not baseline.current.tail.is_channel):
        return Reason.PRERELEASE, f"a prerelease channel, {theirs}"
    kind = f"the variant {theirs}" if theirs else "without a variant"
    return Reason.OTHER_VARIANT, f"{kind}, the current one is {ours or 'plain'}"
