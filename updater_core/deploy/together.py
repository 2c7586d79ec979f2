"""Images of several repositories that take one tag: which tags all have, what a decision means for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from updater_core import reference
from updater_core.deploy.target import Observed
from updater_core.errors import NotFound
from updater_core.models import Decision, Hold, ImageRef, Quarantined, Reason, Tag, Update, retry_command
from updater_core.policy import after_rollback
from updater_core.policy.explain import REMEDY_OF_UNSIGNED
from updater_core.policy.observation import SignatureVerdict
from updater_core.protocols import Registry
from updater_core.vocabulary.dated import LeftRelease


@dataclass(frozen=True, slots=True)
class TagGroup:
    """A service with the registries of all its repositories.

    `quarantine`: by digests of its own; `left`: the release that an operator's rollback has left, None if
    nothing was left.
    """

    name: str
    observed: Observed
    registry: Registry
    others: Sequence[Registry]
    quarantine: Mapping[str, Quarantined]
    left: LeftRelease | None = None


def shared(tags: Sequence[Tag], observed: Observed, others: Sequence[Registry]) -> tuple[Tag, ...]:
    """Return the tags that every repository has, and the one that runs.

    Raises RegistryError if a list cannot be had.
    """
    found = tuple(tags)
    # The tag that runs stays even if a list lacks it, or a missing tag would read as a reason to change it.
    for other, registry in zip(observed.others, others, strict=True):
        names = {tag.name for tag in registry.tags(other.current)} | {observed.current.tag}
        found = tuple(tag for tag in found if tag.name in names)
    return found


def whole_group(decision: Decision, group: TagGroup) -> Decision:
    """Return the decision for the service's own image as one for all of the group.

    An update takes the others to the same tag; if only one of them is another behind the tag that runs, all
    are restarted. Raises RegistryError if the registry of another one does not answer.
    """
    if not group.others:
        return decision
    if isinstance(decision, Update):
        return replace(decision, others=_at(decision.target.tag, group))
    left, observed = group.left, group.observed
    # Before the question whether anything is new: after a rollback that was asked for, the tag alone says
    # `same`.
    if left is not None and after_rollback.still_counts(left, observed.current, observed.running_digests):
        return _beyond_left(decision, left, group)
    # Any other hold is about the tag, which the others share.
    if decision.reason is not Reason.SAME_DIGEST:
        return decision
    found = _at(group.observed.current.tag, group)
    pairs = zip(group.observed.others, found, strict=True)
    changed = [image for other, image in pairs if image.digest not in other.running_digests]
    if not changed:
        return decision
    current = group.observed.current
    # The plan pulls by digest, of the own image too, though it stays as it is.
    own = replace(current, digest=group.registry.digest(replace(current, digest=None)))
    is_another = f"{changed[0].key} is another behind {current.tag}"
    return _refused(own, changed, group) or Update(own, is_another, others=found)


def signature(
    image: ImageRef, group: TagGroup, verify: Callable[[ImageRef], SignatureVerdict]
) -> SignatureVerdict:
    """Return who signed an image of the service's own repository, and those that move with it.

    The keys' names are those of all; else it is the verdict on the first that is not signed. Raises
    RegistryError if a registry does not answer.
    """
    keys: dict[str, None] = {}
    for each in (image, *_at(image.tag, group)):
        verdict = verify(each)
        if verdict.key is None:
            # Named only if it is not the own image, of which the message speaks anyway.
            return verdict if each == image else replace(verdict, detail=f"{each.key}: {verdict.detail}")
        keys[verdict.key] = None
    return SignatureVerdict(key=", ".join(keys))


def unsigned(decision: Decision, verify: Callable[[ImageRef], SignatureVerdict]) -> Hold | None:
    """Return why an update is not made because an image of it is not signed; None if all are.

    For an update that only an image of another repository asks for: nobody has chosen the own one then, and
    asked who signed it.
    """
    for image in (decision.target, *decision.others) if isinstance(decision, Update) else ():
        verdict = verify(image)
        if verdict.key is None:
            detail = f"{image.text} is not taken: {verdict.detail}"
            reason = verdict.reason or Reason.NOT_SIGNED
            return Hold(reason, detail, REMEDY_OF_UNSIGNED, available=image)
    return None


def _beyond_left(decision: Hold, left: LeftRelease, group: TagGroup) -> Decision:
    """Return the decision after a rollback that the operator asked for.

    An image of another repository that is another behind the tag which was left makes a release that is
    newer, too. A tag that is gone has nothing new behind it.
    """
    tag = reference.with_default_tag(reference.parse(left.reference)).tag
    if decision.reason is not Reason.QUARANTINED:
        return decision
    try:
        own = replace(group.observed.current, tag=tag, digest=None)
        own = replace(own, digest=group.registry.digest(own))
        found = _at(tag, group)
    except NotFound:
        return decision
    changed = [image for image in found if image.digest not in left.others.get(image.key, (image.digest,))]
    if not changed or own.digest not in left.known_as:
        return decision
    is_another = f"{changed[0].key} is another behind {tag}"
    return _refused(own, changed, group) or Update(own, is_another, others=found)


def _refused(own: ImageRef, changed: Sequence[ImageRef], group: TagGroup) -> Hold | None:
    """Return why an update for images of other repositories alone is not tried; None if it may be.

    One of them has failed, or the own one, which has not changed. That an operator went back from that is no
    failure.
    """
    entries = [group.quarantine.get(image.digest or "") for image in (own, *changed)]
    # An operator's rollback is a choice; it is judged elsewhere whether that still counts.
    known = next((each for each in entries if each and each.reason is not Reason.OWNER_ROLLBACK), None)
    if known is None:
        return None
    detail = f"with it, the group failed: {known.detail or known.reason}"
    return Hold(Reason.QUARANTINED, detail, f"see to it, then run {retry_command(group.name)}", available=own)


def _at(tag: str | None, group: TagGroup) -> tuple[ImageRef, ...]:
    """Return the image of each other repository behind a tag, with its digest."""
    images = [replace(other.current, tag=tag, digest=None) for other in group.observed.others]
    pairs = zip(images, group.others, strict=True)
    return tuple(replace(image, digest=registry.digest(image)) for image, registry in pairs)
