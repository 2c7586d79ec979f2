"""The images of an update: retain the old, pull the new by digest, tag, release what no rollback needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from updater_core import reference
from updater_core.deploy import failure
from updater_core.deploy.retention_tags import FOUND, PULLED, origin_of, retention_name, retention_prefix
from updater_core.errors import ChangedOnDisk, EngineError, EngineUnavailable, GateFailed, ManifestRefused
from updater_core.models import Image, ImageRef, Plan, Reason, Step
from updater_core.protocols import Tools
from updater_core.targets.compose.plan import ComposePlan, Move, joined, parts
from updater_core.targets.retention import is_last_name, is_retained

_Pull = Callable[[Plan[ComposePlan], ImageRef, Tools], Image]


def retain_old_images(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Give every old image a local name of ours, so that it does not dangle.

    `docker image prune` leaves it alone then (`prune -a` does not; the rollback pulls it once more). One that
    the service remembers without such a name was pulled by us: only then `drop_names_of_running` takes it
    away.
    """
    # Repeatable: after a kill the names of the first try are there.
    retained = tools.engine.retained(retention_prefix(tools.updater_id, plan.name)).values()
    for move in plan.detail.moves:
        if move.old_image_id not in retained:
            origin = PULLED if move.old_image_id in plan.earlier_retained else FOUND
            tools.engine.tag(
                move.old_image_id, retention_name(tools.updater_id, plan.name, move.old_image_id, origin)
            )


def heed_stop(tools: Tools) -> None:
    """Raise GateFailed (`stopping`) if a stop is asked for: nothing visible has changed yet.

    The next start looks again.
    """
    if tools.clock.wait(0):
        raise GateFailed(
            Reason.STOPPING, "the updater is stopping", "nothing to do: the next start looks again"
        )


def fetch(plan: Plan[ComposePlan], tools: Tools) -> Plan[ComposePlan]:
    """Pull each image of the plan by digest (no tag moves), check its platform, and retain it.

    Returns the plan with their ids. An image whose registry refuses the digest gets none: `fetch_by_tag` is
    for that, and the plan says then what the tags name that such a pull moves.
    """
    fetched = joined(plan, [_fetched(part, tools) for part in parts(plan)])
    # Noted before a pull by tag moves them, for only then can a rollback put them back.
    former: dict[str, str] = {}
    for part in _left_to_fetch(fetched):
        name = _tag_name(part.image)
        image = tools.engine.image(name)
        former[name] = image.id if image else ""
    return replace(fetched, detail=replace(fetched.detail, former_tags=former))


def fetch_by_tag(plan: Plan[ComposePlan], tools: Tools) -> Plan[ComposePlan]:
    """Pull by their tags the images that `fetch` left; return the plan with their ids."""
    return joined(plan, [part if part.new_retained else _fetched_by_tag(part, tools) for part in parts(plan)])


def _left_to_fetch(plan: Plan[ComposePlan]) -> list[Plan[ComposePlan]]:
    return [part for part in parts(plan) if part.new_retained is None]


def _fetched(plan: Plan[ComposePlan], tools: Tools) -> Plan[ComposePlan]:
    # What the new reference names now is the operator's, who may have pulled it by hand: a rollback gives it
    # back.
    prior = tools.engine.image(plan.new_reference)
    plan = replace(plan, detail=replace(plan.detail, prior_image_id=prior.id if prior else None))
    try:
        # An image that is here costs no pull, which Docker Hub would count.
        image = _local_target(plan, tools) or _pulled_target(plan, tools, _pulled_by_digest)
    except ManifestRefused as refusal:
        # A pull limit or a dead line would stop a pull by tag as well, and waste one more request.
        if not _may_go_by_tag(plan.image, refusal):
            raise
        tools.tell(Step.PULL, f"{refusal}; its tag is pulled in its place")
        return plan
    return _taken(plan, image, tools)


def _fetched_by_tag(plan: Plan[ComposePlan], tools: Tools) -> Plan[ComposePlan]:
    return _taken(plan, _pulled_target(plan, tools, _pulled_by_tag), tools)


def _taken(plan: Plan[ComposePlan], image: Image, tools: Tools) -> Plan[ComposePlan]:
    """Return the plan with the image that was fetched for it.

    Raises GateFailed if that is for another platform.
    """
    old = tools.engine.image(plan.old_retained)
    old_platform = old.platform if old else ""
    problem = platform_problem(image, plan.detail.platform, old_platform, tools.engine.platform())
    if problem:
        raise GateFailed(
            Reason.PLATFORM_MISSING, problem, "publish the image for this platform, or set `platform`"
        )
    _retain(plan, image, tools)
    return replace(
        plan,
        new_retained=image.id,
        old_facts=old.facts if old else plan.old_facts,
        new_facts=image.facts,
    )


def check_dependents_images(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Raise ChangedOnDisk if a restart of the dependents would take another image than they run.

    A pull has moved their tag since the plan was made.
    """
    for move in plan.detail.dependents:
        named = tools.engine.image(move.old_reference)
        if named is None or named.id != move.old_image_id:
            what = f"{move.old_reference} names another image by now than {move.service} runs"
            raise ChangedOnDisk(what, "nothing to do: the next cycle looks anew")


def _retain(plan: Plan[ComposePlan], image: Image, tools: Tools) -> None:
    if image.id not in tools.engine.retained(retention_prefix(tools.updater_id, plan.name)).values():
        tools.engine.tag(image.id, retention_name(tools.updater_id, plan.name, image.id, PULLED))


def tag_new(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Let the new references name the new images locally, as a pull of them would."""
    for part in parts(plan):
        for name in {local_name(move.new_reference) for move in part.detail.moves} - {None}:
            tools.engine.tag(known_id(part.new_retained), str(name))


def tag_old(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Let the old references name the old images again, fetching one that is gone.

    What the new one named is put back.
    """
    for part in parts(plan):
        _tag_old(part, tools)


def _tag_old(plan: Plan[ComposePlan], tools: Tools) -> None:
    for move in plan.detail.moves:
        _ensure_old_image(plan, move, tools)
    for name in {local_name(move.new_reference) for move in plan.detail.moves} - {None}:
        named = tools.engine.image(str(name))
        # Only names that still lead to the failed release are ours to move.
        if named is not None and named.id != plan.new_retained:
            continue  # the operator has pulled another one meanwhile
        if plan.detail.prior_image_id and tools.engine.image(plan.detail.prior_image_id):
            tools.engine.tag(plan.detail.prior_image_id, str(name))
        else:
            tools.engine.untag(str(name))
    for move in plan.detail.moves:
        name = local_name(move.old_reference)
        if name:
            tools.engine.tag(move.old_image_id, name)


def release_retained(plan: Plan[ComposePlan], keep: frozenset[str], tools: Tools) -> None:
    """Let go of this service's images that are not to be kept.

    One that we pulled, and that nobody else needs, is removed with its names in the target's repository; one
    that was there before us only loses our name, and not even that if it would go with it.
    """
    for name, image_id in tools.engine.retained(retention_prefix(tools.updater_id, plan.name)).items():
        is_pulled = origin_of(name) is PULLED
        # Without any name left an image is gone at the next prune, and it was there before us.
        if image_id in keep or (not is_pulled and is_last_name(tools.engine, name, image_id)):
            continue
        tools.engine.untag(name)
        # Asked after our own name is gone, which would count as a need.
        if is_pulled and not _is_needed(image_id, tools):
            _remove_pulled(image_id, plan, tools)


def _is_needed(image_id: str, tools: Tools) -> bool:
    """Return whether a container uses an image, whoever made it, or any updater here retains the image."""
    used = {container.image_id for container in tools.engine.all_containers()}
    return image_id in used or is_retained(tools.engine, image_id)


def drop_names_of_running(plan: Plan[ComposePlan], remembered: frozenset[str], tools: Tools) -> None:
    """Take our name off the images that run: their containers keep them.

    So `docker images` does not list them twice. `remembered`: those of the service's generations, which count
    as pulled when they get a name again; so an image whose name says otherwise keeps it, and so does one that
    has no other.
    """
    services = {move.service for move in plan.detail.moves}
    found = (tools.engine.containers(plan.detail.project.name, service) for service in services)
    running = {each.image_id for containers in found for each in containers if each.status == "running"}
    for name, image_id in tools.engine.retained(retention_prefix(tools.updater_id, plan.name)).items():
        is_known_by_state = (origin_of(name) is PULLED) == (image_id in remembered)
        if image_id in running and is_known_by_state and not is_last_name(tools.engine, name, image_id):
            tools.engine.untag(name)


def _remove_pulled(image_id: str, plan: Plan[ComposePlan], tools: Tools) -> None:
    image = tools.engine.image(image_id)
    if image is None:
        return
    repositories = [part.image.text for part in parts(plan)]
    # Tags of other repositories are somebody else's; an image that has one stays.
    for tag in image.repo_tags:
        if any(reference.same_repository(tag, each) for each in repositories):
            tools.engine.untag(tag)
    left = tools.engine.image(image_id)
    if left is not None and not left.repo_tags:
        tools.engine.remove_image(image_id)


def local_name(text: str) -> str | None:
    """Return the tag that a reference means locally; None if a digest pins it (no tag takes part then).

    >>> local_name("nginx"), local_name("nginx:1@sha256:" + "0" * 64)
    ('nginx:latest', None)
    """
    parsed = reference.with_default_tag(reference.parse(text))
    return None if parsed.digest else parsed.text


def platform_problem(image: Image, wanted: str | None, old: str, own: str) -> str | None:
    """Return why an image is for the wrong platform; None if it fits.

    >>> platform_problem(Image("i", platform="linux/arm64/v8"), None, "linux/amd64", "linux/amd64")
    'the image is for linux/arm64/v8, this service runs linux/amd64'
    """
    # An emulated service runs another platform than the engine's own, and may go on with it.
    fitting = [wanted] if wanted else [own, old]
    # An image that names no platform was built by hand, and says nothing against this one.
    if not image.platform or any(_same_platform(image.platform, one) for one in fitting if one):
        return None
    return f"the image is for {image.platform}, this service runs {wanted or old or own}"


def _same_platform(left: str, right: str) -> bool:
    """Return whether two platforms are the same; arm64 without a variant is v8 (containerd's rules)."""
    one, other = left.removesuffix("/v8"), right.removesuffix("/v8")
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def known_id(image_id: str | None) -> str:
    """Return an image id that the plan must have by now."""
    if image_id is None:
        raise RuntimeError("a plan goes forward only after its image was fetched")
    return image_id


def _local_target(plan: Plan[ComposePlan], tools: Tools) -> Image | None:
    if plan.new_retained:
        retained = tools.engine.image(plan.new_retained)
        if retained:
            return retained
    # An image that was built here has no digest to pull it by.
    if plan.image.digest is None:
        raise EngineError(
            f"the image of {plan.image.text} is no longer on this host, and no registry ever knew it"
        )
    return tools.engine.image(_pull_name(plan.image))


def _pulled_target(plan: Plan[ComposePlan], tools: Tools, pull: _Pull) -> Image:

    def heed(message: Mapping[str, Any]) -> None:
        # The last message says that the pull is over: to break off then would throw away what is here.
        if not message.get("end"):
            heed_stop(tools)
        if tools.progress is not None:
            tools.progress(message)

    try:
        return pull(plan, plan.image, replace(tools, progress=heed))
    except EngineUnavailable:
        raise
    except EngineError as error:
        # The engine has no error code for it; these are the words of the classic store and of containerd's.
        if re.search(r"no matching manifest|does not match the specified platform", str(error)):
            raise GateFailed(
                Reason.PLATFORM_MISSING, str(error), "publish the image for this platform"
            ) from error
        raise


def _pulled_by_digest(plan: Plan[ComposePlan], wanted: ImageRef, tools: Tools) -> Image:
    _pull(plan, wanted, tools)
    image = tools.engine.image(_pull_name(wanted))
    # A mirror may answer a digest with success and bring nothing.
    if image is None:
        raise EngineError(f"the pull did not bring {_pull_name(wanted)}", "is a stale mirror in between?")
    return image


def _pull(plan: Plan[ComposePlan], wanted: ImageRef, tools: Tools) -> None:
    try:
        tools.engine.pull(wanted, tools.credential(plan), plan.detail.platform, tools.progress)
    except EngineError as error:
        # The engine pulled, so the registry's client did not see the 429, and would let the next service run
        # into it. The images of a group may be of several registries: this one's has refused.
        if failure.is_about_limits(error):
            tools.refused(plan)
        raise


def _may_go_by_tag(wanted: ImageRef, refusal: ManifestRefused) -> bool:
    """Return whether a request by tag may help: some caches look upstream for a tag, and for no digest."""
    is_answer = not failure.is_about_limits(refusal) and not failure.is_about_the_way(refusal)
    return wanted.tag is not None and is_answer


def _pulled_by_tag(plan: Plan[ComposePlan], wanted: ImageRef, tools: Tools) -> Image:
    """Pull the tag of `wanted`, and take the image only if it has the digest of `wanted`.

    Such a pull moves the local tag, which goes back to the image that it named: until the update is visible,
    an `up` of the operator's has to find that one there. Raises EngineError if the tag brings another image.
    """
    name = _tag_name(wanted)
    before = tools.engine.image(name)
    image: Image | None = None
    try:
        image = _brought_by(name, plan, wanted, tools)
        _retain(plan, image, tools)  # before the tag leaves it: it may be its only name
    finally:
        # A tag that named nothing before, and brought what was wanted, may stay: it is where the image is
        # found.
        if before is not None or image is None:
            _put_name_back(name, before.id if before is not None else "", tools)
    if reference.parse(plan.new_reference).digest and tools.engine.image(_pull_name(wanted)) is None:
        tools.engine.tag(image.id, _name_for_pin(wanted, image))
    return image


def _brought_by(name: str, plan: Plan[ComposePlan], wanted: ImageRef, tools: Tools) -> Image:
    """Pull a tag; the image that it brings."""
    _pull(plan, replace(wanted, digest=None), tools)
    brought = tools.engine.image(name)
    # containerd's store uses the digest itself as the id, and may know no repository digest.
    digests = (brought.id, *reference.digests_of(brought.repo_digests, wanted.key)) if brought else ()
    if brought is None or wanted.digest not in digests:
        raise EngineError(
            f"{name} brings another image than {wanted.digest}, which was chosen, and which its registry "
            "does not give by its digest: it is not taken",
            (
                "nothing to do: the tag is asked again after a pause. If it stays so, a cache on the way is "
                "behind"
            ),
        )
    return brought


def put_names_back(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Let the tags that a pull has moved name what they named.

    Not if what they name runs by now: then somebody deployed it.
    """
    if not plan.detail.former_tags:
        return
    services = {move.service for move in plan.detail.moves}
    found = (tools.engine.containers(plan.detail.project.name, service) for service in services)
    used = {container.image_id for containers in found for container in containers}
    for name, former in plan.detail.former_tags.items():
        named = tools.engine.image(name)
        if named is not None and named.id not in used:
            _put_name_back(name, former, tools)


def _put_name_back(name: str, former: str, tools: Tools) -> None:
    """Let a local tag name the image that it named before a pull; an empty text: none."""
    now = tools.engine.image(name)
    if not former:
        tools.engine.untag(name)
    elif now is None or now.id != former:
        tools.engine.tag(former, name)


def _tag_name(image: ImageRef) -> str:
    return replace(image, digest=None).text


def _name_for_pin(wanted: ImageRef, image: Image) -> str:
    """Return a name in the image's repository.

    Without one containerd's store does not find it by `repository@digest`, which is how a pinned reference
    asks for it.
    """
    return f"{wanted.name or wanted.key}:{PULLED}{image.id.removeprefix('sha256:')[:12]}"


def _pull_name(image: ImageRef) -> str:
    return f"{image.name or image.key}@{image.digest}"


def _ensure_old_image(plan: Plan[ComposePlan], move: Move, tools: Tools) -> None:
    if tools.engine.image(move.old_image_id) is not None or not plan.old_digest:
        return
    tag = reference.parse(move.old_reference).tag
    # By digest: the tag names the new release in the registry by now.
    old = replace(plan.image, tag=tag, digest=plan.old_digest)
    try:
        _pulled_by_digest(plan, old, tools)
    except ManifestRefused as refusal:
        if not _may_go_by_tag(old, refusal):
            raise
        _pulled_by_tag(plan, old, tools)
