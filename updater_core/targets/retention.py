"""Images that were retained for a service that is gone: let go, or handed on to its new name.

And those that an earlier version retained under names which every updater shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set

from updater_core.deploy.retention_tags import (
    FORMER_PREFIX,
    FOUND,
    PULLED,
    RETENTION_PREFIX,
    earlier_prefixes,
    folder_of,
    is_retained_by_name,
    origin_of,
    removal_command,
    retention_name,
    retention_prefix,
    updater_prefix,
)
from updater_core.protocols import Engine


def let_go(engine: Engine, updater_id: str, service: str, kept_for: Mapping[str, str]) -> None:
    """Take the local names away under which the updater of this id retains images of a former service.

    `kept_for`: image ids that another service remembers, which is the same under a new name, and its name: it
    gets them. An image that we pulled, and that nothing names or uses any more, goes. Raises EngineError if
    the engine refuses.
    """
    for name, image_id in engine.retained(retention_prefix(updater_id, service)).items():
        origin = origin_of(name)
        successor = kept_for.get(image_id)
        if successor is not None:
            engine.tag(image_id, retention_name(updater_id, successor, image_id, origin))
        elif origin is FOUND and is_last_name(engine, name, image_id):
            continue  # the operator's own, which would go with it
        engine.untag(name)
        left = engine.image(image_id)
        if origin is PULLED and left is not None and not left.repo_tags:
            engine.remove_image(image_id)


def adopt(engine: Engine, updater_id: str, remembered: Mapping[str, Set[str]]) -> tuple[str, ...]:
    """Retain what the updater of this id remembers of its services, by image ids, under its own names.

    An earlier name goes if it is demonstrably ours alone: we remember its image, and every other image that
    has an earlier name of that service. Otherwise another updater looks after a service of that name, and all
    of them stay. Returns the earlier names whose images we do not remember. A kill in between has it done
    again. Raises EngineError if the engine refuses.
    """
    earlier = {**engine.retained(RETENTION_PREFIX), **engine.retained(FORMER_PREFIX)}
    unknown: list[str] = []
    for service, image_ids in remembered.items():
        named = {name: earlier[name] for name in earlier if name.startswith(earlier_prefixes(service))}
        foreign = [name for name in named if named[name] not in image_ids]
        unknown += foreign
        for name, image_id in named.items():
            if image_id in image_ids:
                engine.tag(image_id, retention_name(updater_id, service, image_id, origin_of(name)))
                if not foreign:
                    engine.untag(name)
        for image_id in image_ids - set(named.values()):
            _retain_beside(engine, updater_id, service, image_id)
    return tuple(unknown)


def _retain_beside(engine: Engine, updater_id: str, service: str, image_id: str) -> None:
    """Retain an image that another updater retains: it had the only earlier name, which was ours as well."""
    image = engine.image(image_id)
    names = [] if image is None else [name for name in image.repo_tags if is_retained_by_name(name)]
    if names and not any(name.startswith(retention_prefix(updater_id, service)) for name in names):
        engine.tag(image_id, retention_name(updater_id, service, image_id, origin_of(names[0])))


def of_others(engine: Engine, updater_id: str) -> Iterator[str]:
    """Yield a sentence for the names of each other updater on the engine, with the command that removes them.

    Nothing tells whether it is still there: a lost `updater_id` leaves such names as well. Raises EngineError
    if the engine refuses.
    """
    named = (*engine.retained(RETENTION_PREFIX), *engine.retained(FORMER_PREFIX))
    folders = Counter(map(folder_of, named))
    del folders[updater_prefix(updater_id)]
    for folder, count in sorted(folders.items()):
        yield (
            f"{count} names under {folder} are not this updater's ({updater_id}), and left alone. Only if no "
            f"other updater uses this engine, remove them: {removal_command(folder)}"
        )


def is_retained(engine: Engine, image_id: str) -> bool:
    """Return whether any updater retains an image, this one or another on the same engine."""
    image = engine.image(image_id)
    return image is not None and any(map(is_retained_by_name, image.repo_tags))


def is_last_name(engine: Engine, name: str, image_id: str) -> bool:
    """Return whether an image would go with this name: the last one, if no digest keeps it.

    In containerd's store (an image's id is the digest of its index there) a digest is no name of its own.
    """
    image = engine.image(image_id)
    if image is None or set(image.repo_tags) - {name}:
        return False
    return not image.repo_digests or any(digest.endswith(f"@{image.id}") for digest in image.repo_digests)
