"""The orders by version (the tags of the current tag's family) and by the key that an expression catches.

Pure.

Three-part versions follow SemVer 2.0.0 precedence; all others compare number by number. Counters at the end
(`-ls299`) order within one version. Everything is filtered before anything is compared, so that a tag that
may not be chosen never hides one that may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from updater_core.models import Bump, Hold, Policy, Reason, Rejected, Tag
from updater_core.policy.families import largest_step
from updater_core.policy.family_members import (
    Baseline,
    Candidate,
    Fault,
    baseline_of,
    by_family,
    is_same,
    other_whole,
    rank,
    silent_change,
    unsupported_leaps,
    variant_numbers,
)
from updater_core.policy.observation import CandidateSet, MatchedTag, Rank, SelectionContext
from updater_core.policy.patterns import natural_key, pattern_of
from updater_core.policy.ranges import Range, names_prerelease, parse_range, satisfies
from updater_core.policy.tags.examples import example_for
from updater_core.policy.tags.leaps import leads_to
from updater_core.policy.tags.reading import FamilyVersion, as_semver, core_rank, is_scheme_jump, read
from updater_core.policy.tags.tail import Numbers
from updater_core.policy.tags.variant import is_risen, named_variant, split_variant

_KEPT_NUMBERS = {Bump.PATCH: 2, Bump.MINOR: 1, Bump.MAJOR: 0}  # by each size of step
_NOT_SELECTED = "the selector does not mean the current tag {}, and no tag that it means is of the same form"


@dataclass(frozen=True, slots=True)
class _Rules:
    """What a version has to satisfy. `open_to_prereleases`: they are taken like any other version."""

    policy: Policy
    current: FamilyVersion | None
    floor: Rank | None
    wanted: Range | None
    step: Bump
    open_to_prereleases: bool
    unsupported: frozenset[Numbers]  # see `tags.leaps`


def by_version(context: SelectionContext, matched: Iterable[MatchedTag]) -> CandidateSet | Hold:
    """Return the versions that may be chosen.

    A Hold if nothing says which versions those are, or from what a step starts.
    """
    # With a pattern of the operator's, it says what a version is; `follow` has only the current tag to go by.
    if pattern_of(context.policy) is None and read(context.current) is None:
        return _by_named_numbers(context, matched)
    baseline = baseline_of(context)
    if baseline.current is None and largest_step(context.policy) is not Bump.MAJOR:
        return Hold(
            Reason.CURRENT_UNPARSABLE,
            (
                f"the current tag {context.current!r} is no version, so max_bump "
                f"{largest_step(context.policy)} has no start"
            ),
            "write a tag such as 1.2.3 into the Compose file, or leave max_bump out",
        )
    kin, others, rejected = by_family(context, baseline, matched)
    # No tag of the family: to go on would read as `up to date`, which nobody knows.
    if not kin and (others or (rejected and read(context.current) is None)):
        return _no_kin(context, baseline, others, rejected)
    if baseline.current is None and kin:
        unknown = _unknown_start(context, kin, others)
        if unknown is not None:
            return replace(unknown, rejected=tuple(rejected))
    rules = _rules(context.policy, baseline.current, kin, others)
    ranked, faults = _admitted(kin, rules)
    # Tried with releases alone first: a prerelease must never hide a release that could be taken.
    if _line_has_ended(rules, ranked):
        ranked, faults = _admitted(kin, replace(rules, open_to_prereleases=True))
    hint = _variant_hint(context, baseline.current, others) if baseline.current else None
    return CandidateSet(ranked, rules.floor, (*rejected, *faults), "the highest version", hint)


# ---------------------------------------------------------------------------------------- what may be taken


def _rules(
    policy: Policy, current: FamilyVersion | None, kin: Sequence[Candidate], others: Sequence[Candidate]
) -> _Rules:
    # If the repository publishes nothing else, to want releases would be a hold for ever.
    only_prereleases = current is None and all(version.tail.prerelease for _, version in kin)
    leaps = frozenset[Numbers]() if policy.allow_scheme_jump else unsupported_leaps(current, kin, others)
    return _Rules(
        policy,
        current,
        rank(current) if current else None,
        parse_range(policy.semver_range) if policy.semver_range is not None else None,
        largest_step(policy),
        policy.allow_prerelease or only_prereleases,
        leaps,
    )


def _admitted(kin: Sequence[Candidate], rules: _Rules) -> tuple[list[tuple[Rank, Tag]], list[Rejected]]:
    ranked: list[tuple[Rank, Tag]] = []
    rejected: list[Rejected] = []
    for tag, version in kin:
        # The reason that an operator can do something about comes first, and it needs no rank.
        fault = _prerelease_fault(version, rules)
        if fault is None:
            key = rank(version)
            fault = _fault(version, key, rules)
        if fault is None:
            ranked.append((key, tag))
        else:
            rejected.append(Rejected(tag.name, *fault))
    return ranked, rejected


def _line_has_ended(rules: _Rules, ranked: Sequence[tuple[Rank, Tag]]) -> bool:
    """Return whether the current tag is a prerelease after which neither its release nor a higher one came.

    Then, and only then, the prereleases of later versions are the way on (OpenJDK publishes nothing else).
    """
    current = rules.current
    if current is None or not current.tail.prerelease or rules.open_to_prereleases:
        return False
    return all(key <= rules.floor for key, _ in ranked)


def _prerelease_fault(version: FamilyVersion, rules: _Rules) -> Fault | None:
    """Return why this prerelease may not be chosen; None for releases."""
    current, wanted = rules.current, rules.wanted
    if not version.tail.prerelease or _takes_prereleases_of(version, rules):
        return None
    # npm's rule: a range that names a prerelease of a version lets those of this version in.
    if wanted and names_prerelease(wanted, as_semver(version).numbers):
        return None
    if current is not None and current.tail.prerelease:
        return Reason.PRERELEASE, "a prerelease of another version, and allow_prerelease is not set"
    return Reason.PRERELEASE, "a prerelease, and allow_prerelease is not set"


def _takes_prereleases_of(version: FamilyVersion, rules: _Rules) -> bool:
    current = rules.current
    is_of_current = (
        current is not None and current.tail.prerelease != () and current.numbers == version.numbers
    )
    return rules.open_to_prereleases or is_of_current


def _fault(version: FamilyVersion, key: Rank, rules: _Rules) -> Fault | None:
    """Return why this version may not be chosen. One that is lower than the current is left to the floor."""
    current, wanted, policy = rules.current, rules.wanted, rules.policy
    takes_prereleases = _takes_prereleases_of(version, rules)
    if wanted and not satisfies(wanted, as_semver(version), with_prereleases=takes_prereleases):
        return Reason.OUT_OF_RANGE, f"not in {wanted.text}"
    # What is lower is rejected as a downgrade later, with one reason for all; to say `step too big` of it
    # would mislead.
    is_above = rules.floor is None or key > rules.floor
    if is_above and leads_to(version.numbers, rules.unsupported):
        return Reason.SCHEME_JUMP, f"{version.text} is far above the others, and no tag beside it supports it"
    if current is None or rules.floor is None or (key < rules.floor and not policy.allow_downgrade):
        return None
    # SemVer compares identifiers with letters as text, by which `rc9` is higher than `rc10`.
    if _falls_in_words(version, current) and not policy.allow_downgrade:
        return Reason.DOWNGRADE, f"its prerelease is an older one than that of {current.text}"
    if is_scheme_jump(current, version) and not policy.allow_scheme_jump:
        return Reason.SCHEME_JUMP, f"{version.text} counts in another way than {current.text}"
    # A date or a lone number has no major and minor part whose step could be limited.
    kept = _KEPT_NUMBERS[rules.step] if current.has_steps else 0
    if version.numbers[:kept] != current.numbers[:kept]:
        return Reason.BUMP_TOO_BIG, f"more than a {rules.step} step from {current.text}"
    return None


def _falls_in_words(version: FamilyVersion, current: FamilyVersion) -> bool:
    """Return whether SemVer ranks this prerelease higher though its number is lower.

    That is `rc9` after `rc10` (§11.4.2).
    """
    if version.numbers != current.numbers or not version.tail.prerelease or not current.tail.prerelease:
        return False
    return natural_key(".".join(version.tail.prerelease)) < natural_key(".".join(current.tail.prerelease))


# -------------------------------------------------------------------------------- if nothing says the version


def _no_kin(
    context: SelectionContext, baseline: Baseline, others: Sequence[Candidate], rejected: Sequence[Rejected]
) -> Hold:
    """Return the answer if none of the tags that the selector means is of the current tag's family."""
    if read(context.current) is None:
        return _without_version(context, f"{_named_forms(baseline)} is among the tags", others, rejected)
    if baseline.whole is not None:
        return _unparsable(context, _NOT_SELECTED.format(context.current), rejected)
    return _unparsable(context, f"no tag has the same form as {context.current}", rejected)


def _named_forms(baseline: Baseline) -> str:
    variant = baseline.variant or baseline.whole_variant
    return f"no three-part version with {variant}" if variant else "no three-part version"


def _without_version(
    context: SelectionContext, detail: str, others: Sequence[Candidate], rejected: Sequence[Rejected]
) -> Hold:
    """Return the hold for a current tag without a version, if nothing tells which may follow it."""
    example = example_for(context.current, [(tag.name, version) for tag, version in others])
    written = f", such as {example}," if example else ""
    return Hold(
        Reason.CURRENT_UNPARSABLE if others else Reason.NO_CANDIDATE,
        f"{context.current} names no version, and {detail}",
        f"to follow the image behind {context.current}, set follow to tag in place of the selector; to "
        f"follow versions, write a tag with a version{written} into the Compose file",
        rejected=tuple(rejected),
    )


def _unparsable(context: SelectionContext, detail: str, rejected: Sequence[Rejected]) -> Hold:
    return Hold(
        Reason.CURRENT_UNPARSABLE,
        detail,
        f"write the version that {context.observation.current.name or 'the service'} runs, spelt as one of "
        f"the tags that --plan lists{_same_version(context)}, into the Compose file; or change the selector "
        "so that it means the current tag",
        rejected=tuple(rejected),
    )


def _same_version(context: SelectionContext) -> str:
    """Return the current version as a tag that the selector means spells it; empty if there is none."""
    current = read(context.current)
    names = sorted(tag.name for tag in context.observation.tags or ())
    matched = [
        name for name in names if context.selector.extract(name) is not None and name != context.current
    ]
    versions = {name: version for name in matched if (version := read(name)) is not None}
    # The remedy names a tag that may be written without any risk: it is the version that runs.
    same = (name for name, version in versions.items() if current and version.numbers == current.numbers)
    example = next(same, None)
    return f" (such as {example})" if example else ""


def _unknown_start(
    context: SelectionContext, kin: Sequence[Candidate], others: Sequence[Candidate]
) -> Hold | None:
    """Return a Hold if the current tag names no version, and the highest version may be an older one."""
    versions = [version for _, version in kin]
    lowest, highest = min(versions, key=_first_number), max(versions, key=_first_number)
    variants = {version.tail.shape for version in versions}
    rivals = [version for _, version in others if _is_rival(version, variants)]
    above = max(rivals, key=_first_number, default=highest)
    # `latest` may be 20, published as `20`, while the three-part versions ended with 19.0.0: to take those
    # would be a downgrade.
    if above.numbers[0] > highest.numbers[0]:
        detail = f"{above.text} is higher than every three-part version"
        return _without_version(context, detail, others, ())
    # Versions that count by years beside some that count from one: nothing says which of them `latest` is.
    if not is_scheme_jump(lowest, highest) or context.policy.allow_scheme_jump:
        return None
    detail = f"{lowest.text} and {highest.text} count in different ways"
    return _without_version(context, detail, kin, ())


def _first_number(version: FamilyVersion) -> int:
    return version.numbers[0]


def _is_rival(version: FamilyVersion, variants: Collection[str]) -> bool:
    """Return whether a version of another form may be what the current tag runs."""
    is_release = not version.tail.prerelease and not version.is_date
    return is_release and version.prefix in ("", "v") and version.tail.shape in variants


def _variant_hint(
    context: SelectionContext, current: FamilyVersion, others: Iterable[Candidate]
) -> Hold | None:
    """Return a Hold if higher versions are there under a higher number of the variant (`-alpine3.19`)."""
    if context.policy.follow_variant or not variant_numbers(current):
        return None
    above = [(rank(version), tag.name) for tag, version in others if _goes_on(context, version, current)]
    if not above:
        return None
    name = max(above)[1]
    return Hold(
        Reason.VARIANT,
        f"{context.current} stays: {name} is another variant",
        "to let the number in the variant rise, set follow_variant to true",
        available=replace(context.observation.current, tag=name, digest=None),
    )


def _goes_on(context: SelectionContext, version: FamilyVersion, current: FamilyVersion) -> bool:
    """Return whether a version of another variant is higher, and only the variant's number keeps it."""
    if version.form != current.form or is_scheme_jump(current, version):
        return False
    is_open = context.policy.allow_prerelease or not version.tail.prerelease
    is_kin = is_same(version.prefix, current.prefix, True) and is_same(
        version.tail.shape, current.tail.shape, True
    )
    return is_open and is_kin and core_rank(version) > core_rank(current)


# ----------------------------------------------------------------- by the numbers of a name without a version


def _by_named_numbers(context: SelectionContext, matched: Iterable[MatchedTag]) -> CandidateSet:
    """Return the candidates for a tag such as `alpine3.20` or `latest-pg16`.

    It names what the image is for and no version: candidates are itself, and with `follow_variant` the same
    words with numbers that have risen.
    """
    numbers = split_variant(context.current)[1]
    ranked: list[tuple[Rank, Tag]] = []
    rejected: list[Rejected] = []
    risen: list[tuple[Rank, str]] = []
    for tag, name in matched:
        fault = _named_fault(name, context)
        if fault is None or tag.name == context.current:
            # The current tag stays a candidate whatever is wrong with its name: a new image behind it is an
            # update.
            ranked.append((split_variant(name)[1], tag))
            continue
        rejected.append(Rejected(tag.name, *fault))
        if fault[0] is Reason.OTHER_VARIANT and is_risen(name, context.current):
            risen.append((split_variant(name)[1], name))
    hint = _risen_hint(context, max(risen)[1]) if risen else None
    return CandidateSet(ranked, numbers, tuple(rejected), "the highest number", hint)


def _named_fault(name: str, context: SelectionContext) -> Fault | None:
    """Return why the tag may not follow the current one, which names no version."""
    words, numbers = split_variant(name)
    own_words, own = split_variant(context.current)
    if words != own_words or read(name) is not None:
        return Reason.OTHER_VARIANT, f"not {context.current} with another number"
    # `alpine3` and `alpine3.20` are two tags that move at different times, and neither follows the other.
    if [len(number) for number in numbers] != [len(number) for number in own]:
        return Reason.OTHER_PRECISION, f"its numbers have other parts than those of {context.current}"
    changed = [(old, new) for old, new in zip(own, numbers, strict=True) if old != new]
    if any(new < old for old, new in changed):
        return Reason.DOWNGRADE, f"a number in it is lower than in {context.current}"
    kept = _KEPT_NUMBERS[largest_step(context.policy)]
    if any(new[:kept] != old[:kept] for old, new in changed):
        return Reason.BUMP_TOO_BIG, f"more than a {largest_step(context.policy)} step from {context.current}"
    if changed and not context.policy.follow_variant:
        return (
            Reason.OTHER_VARIANT,
            f"another number than in {context.current}, and follow_variant is not set",
        )
    return None


def _risen_hint(context: SelectionContext, name: str) -> Hold:
    return Hold(
        Reason.VARIANT,
        f"{context.current} names no version and stays: {name} is another variant",
        "to let the number rise, set follow_variant to true; to stay with this tag, set follow to tag",
        available=replace(context.observation.current, tag=name, digest=None),
    )


# --------------------------------------------------------------------------------------------------- by key


def by_key(context: SelectionContext, matched: Iterable[MatchedTag]) -> CandidateSet:
    """Return the natural order of what the group `compare` caught: numbers of any size as numbers.

    A current tag that the expression does not mean has no key. If it names a version, only tags of its form
    that are not lower may follow it, and if it names a variant of this repository, no plain tag.
    """
    text = context.current_text
    # The expression means the current tag: keys are compared with its key, and no reading of versions is
    # needed.
    if text is not None:
        return CandidateSet(
            [(natural_key(key), tag) for tag, key in matched], natural_key(text), (), "the highest"
        )
    whole = read(context.current)
    variant = whole.tail.shape if whole else _known_variant(context)
    ranked, rejected = [], list[Rejected]()
    for tag, key in matched:
        fault = _unfit(read(tag.name), whole, variant, context.policy)
        if fault is None:
            ranked.append((natural_key(key), tag))
        else:
            rejected.append(Rejected(tag.name, *fault))
    hint = None
    # If all are merely lower, the service is up to date and nothing has to be changed.
    if not ranked and any(one.reason is not Reason.DOWNGRADE for one in rejected):
        hint = _unparsable(context, _NOT_SELECTED.format(context.current), ())
    return CandidateSet(ranked, None, tuple(rejected), "the highest", hint)


def _known_variant(context: SelectionContext) -> str:
    """Return the variant in the current tag if tags of this repository have it, else empty (`main`)."""
    variant = named_variant(context.current)
    versions = (read(tag.name) for tag in context.observation.tags or ()) if variant else ()
    return variant if any(version and version.tail.shape == variant for version in versions) else ""


def _unfit(
    version: FamilyVersion | None, whole: FamilyVersion | None, variant: str, policy: Policy
) -> Fault | None:
    """Return why a tag may not follow a current tag that the expression does not mean."""
    fault = other_whole(version, whole) if whole is not None else None
    fault = fault or silent_change(version, variant)
    if fault is not None or version is None or whole is None or policy.allow_downgrade:
        return fault
    if core_rank(version) < core_rank(whole):
        return Reason.DOWNGRADE, f"lower than {whole.text}"
    return None
