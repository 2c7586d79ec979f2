"""From which version to which an update goes, and how large a step that is. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from updater_core.policy.releases.notes import notes_url
from updater_core.policy.tags.reading import FamilyVersion, core_rank, is_scheme_jump, read
from updater_core.reference import parse
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts, ReleaseStep

# What a version label may hold to be shown as one: `main`, a commit's hash and other words of a build are
# none.
_RELEASE = re.compile(r"[vV]?[0-9]+(?:\.[0-9]+)*(?:[-+._]?[A-Za-z0-9][A-Za-z0-9+._-]{0,60})?", re.ASCII)
_HASH = re.compile(r"(?=[0-9a-f]*[a-f])[0-9a-f]{7,64}", re.ASCII)
_LONG_NUMBER = re.compile(r"[0-9]{11}", re.ASCII)  # a build's, or of a commit's hash


def step_between(old: str, old_facts: ImageFacts, new: str, new_facts: ImageFacts) -> ReleaseStep:
    """Return the step from reference `old` to `new`, with what the two images say of themselves.

    >>> old, new = ImageFacts("1.4.2"), ImageFacts("1.5.0", "https://github.com/acme/api")
    >>> step = step_between("acme/api:latest", old, "acme/api:latest", new)
    >>> step.from_version, step.to_version, step.size, step.is_same_tag
    ('1.4.2', '1.5.0', 'minor', True)
    """
    from_version, to_version = version_of(old, old_facts), version_of(new, new_facts)
    return ReleaseStep(
        from_version=from_version,
        to_version=to_version,
        size=_size(old, new, from_version, to_version) if old else "",
        is_same_tag=bool(old) and tag_of(old) == tag_of(new),
        built_at=new_facts.built_at,
        notes_url=notes_url(new_facts, to_version) if is_own(new, new_facts) else "",
    )


def waiting_step(old: str, old_facts: ImageFacts, new: str, new_facts: ImageFacts = NO_FACTS) -> ReleaseStep:
    """Return the step to an image that is not here yet.

    What its registry does not say of it is taken from its tag, and its source from the one that runs.

    >>> runs = ImageFacts("1.4.2", "https://github.com/acme/api")
    >>> waiting_step("acme/api:1.4.2", runs, "acme/api:v1.5.0").notes_url
    'https://github.com/acme/api/releases/tag/v1.5.0'
    >>> waiting_step("acme/api:1", ImageFacts("1.4.2"), "acme/api:1", ImageFacts("1.5.0")).to_version
    '1.5.0'
    """
    known = old_facts if is_own(old, old_facts) else NO_FACTS
    says_where = bool(new_facts.source or new_facts.url)
    assumed = new_facts if says_where else replace(new_facts, source=known.source, url=known.url)
    return step_between(old, old_facts, new, assumed)


def version_of(reference: str, facts: ImageFacts) -> str:
    """Return an image's version: its label's if the tag does not contradict that, else the tag's, or empty.

    >>> version_of("app:latest", ImageFacts("1.5.0")), version_of("postgres:16-alpine", ImageFacts("16.4"))
    ('1.5.0', '16.4')
    >>> version_of("app:2.1.0-ubuntu22.04", ImageFacts("22.04")), version_of("app:edge", ImageFacts("main"))
    ('2.1.0', '')
    """
    label = facts.version if _is_release(facts.version) else ""
    tagged = read(tag_of(reference))
    if label and is_own(reference, facts):
        return label
    return _version_in(tag_of(reference), tagged)


def is_own(reference: str, facts: ImageFacts) -> bool:
    """Return whether the labels can be those of this image.

    Labels are inherited, so that an image without any has those of its base image. Then its tag contradicts
    the version.
    """
    tagged = read(tag_of(reference))
    labelled = read(facts.version) if _is_release(facts.version) else None
    if tagged is None or labelled is None:
        return True
    shared = min(len(tagged.numbers), len(labelled.numbers))
    return tagged.numbers[:shared] == labelled.numbers[:shared]


def _is_release(text: str) -> bool:
    return _RELEASE.fullmatch(text) is not None and not (_HASH.fullmatch(text) or _LONG_NUMBER.search(text))


def _version_in(tag: str, tagged: FamilyVersion | None) -> str:
    """Return the version in a tag without the variant: with a `v`, its prerelease and its counters."""
    if tagged is None:
        return ""
    written = re.match(tagged.form.replace(".", "[.]").replace("#", "[0-9]+"), tag[len(tagged.prefix) :])
    numbers = written[0] if written else tagged.text  # as they stand there: 2024.06 is not 2024.6
    prerelease = f"-{'.'.join(tagged.tail.prerelease)}" if tagged.tail.prerelease else ""
    prefix = tagged.prefix if tagged.prefix in ("v", "V") else ""
    return f"{prefix}{numbers}{prerelease}"


def _size(old: str, new: str, from_version: str, to_version: str) -> str:
    by_tag = kind_of_change(old, new)
    if by_tag not in ("rebuild", "tag") or not (from_version and to_version):
        return by_tag
    if from_version == to_version:
        return "rebuild" if by_tag == "rebuild" else by_tag
    versions = read(from_version), read(to_version)
    return _step(versions[0], versions[1]) if versions[0] and versions[1] else by_tag


def kind_of_change(old: str, new: str) -> str:
    """Return the kind of step between two references, by their tags.

    >>> kind_of_change("app:1.2.3", "app:1.3.0@sha256:" + "0" * 64), kind_of_change("app:1", "app:1")
    ('minor', 'rebuild')
    >>> kind_of_change("app:16.3", "app:16.4"), kind_of_change("app:16-alpine", "app:17-alpine")
    ('minor', 'major')
    >>> kind_of_change("app:1.2.3", "app:1.2.0"), kind_of_change("app:stable", "app:edge")
    ('downgrade', 'tag')
    """
    before, after = tag_of(old), tag_of(new)
    if before == after:
        return "rebuild"
    versions = read(before), read(after)
    return _step(versions[0], versions[1]) if versions[0] and versions[1] else "tag"


def _step(old: FamilyVersion, new: FamilyVersion) -> str:
    if old.form != new.form or is_scheme_jump(old, new):
        return "tag"
    if core_rank(new) < core_rank(old):
        return "downgrade"
    if old.is_date:
        return "tag"
    for place, (before, after) in enumerate(zip(old.numbers, new.numbers, strict=True)):
        if before != after:
            return ("major", "minor", "patch")[min(place, 2)]
    return "prerelease" if old.tail.prerelease != new.tail.prerelease else "tag"


def tag_of(text: str) -> str:
    """Return the tag of a reference, `latest` if it has none; empty if it is no reference."""
    try:
        return parse(text).tag or "latest"
    except ValueError:
        return ""
