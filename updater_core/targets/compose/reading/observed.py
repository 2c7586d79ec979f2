"""A Compose service as it stands: what its files name, and by which digests what runs is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from updater_core import reference
from updater_core.composefile.definition import SourceFile
from updater_core.composefile.locate import Located
from updater_core.deploy.target import OtherImage
from updater_core.models import Container, Hold, Image, ImageRef, Project, Reason, ServiceConfig
from updater_core.targets.compose.reading import origin
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts


@dataclass(frozen=True, slots=True)
class ObservedService:
    """One update group as it stands.

    `running_digests`: by which the image that runs everywhere in the group is known.
    """

    project: Project
    files: tuple[SourceFile, ...]
    env_files: tuple[SourceFile, ...]
    located: tuple[Located, ...]  # one a Compose service, in the configuration's order
    current: ImageRef
    containers: tuple[Container, ...]
    running_digests: frozenset[str]
    others: tuple[OtherImage, ...] = ()
    foreign_services: frozenset[str] = frozenset()  # those of the group that run one of `others`
    image_facts: ImageFacts = NO_FACTS
    # ids that are nothing but local: no registry knows the image by them
    image_ids: frozenset[str] = frozenset()

    @property
    def own_containers(self) -> tuple[Container, ...]:
        """Return those of the service's own repository."""
        return tuple(each for each in self.containers if each.service not in self.foreign_services)

    @property
    def unproven_digests(self) -> frozenset[str]:
        """Return the ids of images with a `build` beside them, if an id is the only digest.

        containerd's store has one for a local build too.
        """
        is_built = any(one.is_built for one in self.located)
        ids = frozenset(container.image_id for container in self.own_containers)
        return ids if is_built and self.running_digests <= ids else frozenset()


def references(
    service: ServiceConfig, located: Sequence[Located], mine: Sequence[Container]
) -> tuple[ImageRef, ...] | Hold:
    """Return what each service of the group runs by its file, those of the configured repository first.

    Another repository is right if it takes its tag from the same place, or in a `group` if it has the same
    tag.
    """
    created_from: Mapping[str, str] = {container.service: container.reference for container in mine}
    found: list[ImageRef] = []
    for one in located:
        text = one.reference or created_from.get(one.service, "")
        try:
            found.append(reference.with_default_tag(reference.parse(text)))
        except ValueError as error:
            return Hold(
                Reason.NOT_EDITABLE,
                f"{one.service}: {error}",
                "write the image of this service as plain text",
            )
    together: set[str] = set()
    for one, ref in zip(located, found, strict=True):
        together |= one.takers if ref.key == service.image.key else set()
    tags = {ref.tag for one, ref in zip(located, found, strict=True) if ref.key == service.image.key}
    foreign = [ref for one, ref in zip(located, found, strict=True) if one.service not in together]
    if service.group and foreign:
        return _of_one_tag(service, found, {*tags, *(ref.tag for ref in foreign)})
    if foreign:
        return Hold(
            Reason.IMAGE_MISMATCH,
            f"the file runs {foreign[0].key}, the configuration says {service.image.key}",
            f'write "image": "{foreign[0].text}" for {service.name}, or correct the file',
        )
    return tuple(found)


def _of_one_tag(
    service: ServiceConfig, found: Sequence[ImageRef], tags: Set[str | None]
) -> tuple[ImageRef, ...] | Hold:
    """Return the images of a group whose tags stand in several places, or a Hold if they differ."""
    if len(tags) == 1:
        return tuple(found)
    named = ", ".join(dict.fromkeys(ref.text for ref in found))
    return Hold(
        Reason.IMAGE_MISMATCH,
        f"the images of group {service.name} have several tags: {named}",
        (
            "give them one variable, or the same tag, in the compose file; or take those of another tag out "
            "of the group"
        ),
    )


def refreshed(observed: ObservedService, image: Callable[[str], Image | None]) -> ObservedService:
    """Return the same with the names of the images that run read anew."""
    own = observed.own_containers
    foreign = [each for each in observed.containers if each.service in observed.foreign_services]
    others = tuple(
        OtherImage(
            other.current,
            running_digests(_of_repository(foreign, other.current.key), other.current.key, image),
        )
        for other in observed.others
    )
    digests = running_digests(own, observed.current.key, image)
    ids = local_ids(own, observed.current.key, image)
    running = image(own[0].image_id) if own else None
    facts = running.facts if running else observed.image_facts
    return replace(observed, running_digests=digests, image_ids=ids, others=others, image_facts=facts)


def of_every_repository(
    observed: ObservedService, named: Sequence[ImageRef], image: Callable[[str], Image | None]
) -> ObservedService:
    """Return the service with its images of every repository, and what runs of each."""
    current = next((each for each in named if each.key == observed.current.key), named[0])
    foreign = {each.key: each for each in named if each.key != current.key}
    pairs = zip(observed.located, named, strict=True)
    services = frozenset(one.service for one, each in pairs if each.key in foreign)
    others = tuple(OtherImage(each, frozenset()) for each in foreign.values())
    whole = replace(observed, current=current, others=others, foreign_services=services)
    return refreshed(whole, image)


def _of_repository(containers: Sequence[Container], key: str) -> list[Container]:
    return [
        each
        for each in containers
        if reference.is_valid(each.reference) and reference.parse(each.reference).key == key
    ]


def running_digests(
    containers: Sequence[Container], repository_key: str, image: Callable[[str], Image | None]
) -> frozenset[str]:
    """Return the digests that every running image of the group answers to.

    The registry's for this repository, and its id.
    """
    known = [_names_of(container.image_id, repository_key, image) for container in containers]
    return frozenset.intersection(*known) if known else frozenset()


def local_ids(
    containers: Sequence[Container], key: str, image: Callable[[str], Image | None]
) -> frozenset[str]:
    """Return the ids of the running images by which no registry knows them.

    None in containerd's store, where an id is the digest of the image's index.
    """
    found = [image(container.image_id) for container in containers]
    known = [reference.digests_of(each.repo_digests, key) for each in found if each is not None]
    return frozenset(container.image_id for container in containers).difference(*known)


def _names_of(image_id: str, repository_key: str, image: Callable[[str], Image | None]) -> frozenset[str]:
    found = image(image_id)
    if found is None:
        return frozenset({image_id})
    own = {found.id, found.descriptor_digest or found.id}
    return reference.digests_of(found.repo_digests, repository_key) | own


def built_here(
    located: Located, mine: Sequence[Container], image: Callable[[str], Image | None]
) -> Hold | None:
    """Return the hold for an image with a `build` beside it that came from no registry; else None.

    It came from one if the engine knows a digest of it in that repository. In containerd's store it gives one
    to a local build too, so that the registry is asked later.
    """
    own = [container for container in mine if container.service == located.service]
    if located.reference and own and all(_is_of_registry(each, located.reference, image) for each in own):
        return None
    name = located.service
    pull, up = (origin.by_hand_of(mine[0], f"{words} {name}") for words in ("pull", "up -d --no-build"))
    return Hold(
        Reason.LOCALLY_BUILT,
        f"service {name!r} is built here, and no registry knows the image that runs",
        f"start it from the registry once, with `{pull}` and `{up}`; or take it out of the configuration",
    )


def _is_of_registry(container: Container, text: str, image: Callable[[str], Image | None]) -> bool:
    found = image(container.image_id)
    if found is None or not reference.is_valid(text):
        return False
    return bool(reference.digests_of(found.repo_digests, reference.parse(text).key))
