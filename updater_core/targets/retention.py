"""Images that were retained for a service which is not configured any more: let go, or handed on to its new
name; and those that an earlier version retained under another name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from updater_core.deploy.retention_tags import (
    FORMER_PREFIX,
    FOUND,
    PULLED,
    former_prefix,
    origin_of,
    retention_name,
    retention_prefix,
)
from updater_core.protocols import Engine


def let_go(engine: Engine, service: str, kept_for: Mapping[str, str]) -> None:
    """Take the local names away under which images of a former service are retained.

    `kept_for`: image ids that another service remembers, which is the same under a new name, and its name: it
    gets them. An image that we pulled, and that nothing names or uses any more, goes. Raises EngineError.
    """
    for name, image_id in engine.retained(retention_prefix(service)).items():
        origin = origin_of(name)
        successor = kept_for.get(image_id)
        if successor is not None:
            engine.tag(image_id, retention_name(successor, image_id, origin))
        elif origin is FOUND and is_last_name(engine, name, image_id):
            continue  # the operator's own, which would go with it
        engine.untag(name)
        left = engine.image(image_id)
        if origin is PULLED and left is not None and not left.repo_tags:
            engine.remove_image(image_id)


def rename(engine: Engine, services: Iterable[str]) -> None:
    """Give the images that an earlier version retained for these services the names of today; the earlier
    names go. A kill in between has it done again. Names of other services belong to another updater. Raises
    EngineError.
    """
    former = engine.retained(FORMER_PREFIX)
    for service in services if former else ():
        prefix = former_prefix(service)
        for name, image_id in former.items():
            if name.startswith(prefix):
                engine.tag(image_id, retention_name(service, image_id, origin_of(name)))
                engine.untag(name)


def is_last_name(engine: Engine, name: str, image_id: str) -> bool:
    """Whether an image would go with this name: the last one, where no digest keeps it.

    In containerd's store (an image's id is the digest of its index there) a digest is no name of its own.
    """
    image = engine.image(image_id)
    if image is None or set(image.repo_tags) - {name}:
        return False
    return not image.repo_digests or any(digest.endswith(f"@{image.id}") for digest in image.repo_digests)
