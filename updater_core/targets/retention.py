"""Images that were retained for a service which is not configured any more: let go, or handed on to its new name."""

from __future__ import annotations

from collections.abc import Mapping

from updater_core.deploy.retention_tags import BROUGHT, FOUND, hold_name, hold_prefix
from updater_core.protocols import Engine


def let_go(engine: Engine, service: str, kept_for: Mapping[str, str]) -> None:
    """Take the local names away under which images of a former service are retained. `kept_for`: image ids that another
    service remembers, which is the same under a new name, and its name: it gets them. An image that we brought, and
    that nothing names or uses any more, goes. Raises EngineError."""
    for tag, image_id in engine.held(hold_prefix(service)).items():
        origin = BROUGHT if f":{BROUGHT}" in tag else FOUND
        successor = kept_for.get(image_id)
        if successor is not None:
            engine.tag(image_id, hold_name(successor, image_id, origin))
        elif origin is FOUND and is_last_name(engine, tag, image_id):
            continue  # the operator's own, which would go with it
        engine.untag(tag)
        left = engine.image(image_id)
        if origin is BROUGHT and left is not None and not left.repo_tags:
            engine.remove_image(image_id)


def is_last_name(engine: Engine, name: str, image_id: str) -> bool:
    """Whether an image would go with this name: the last one, where no digest keeps it. In containerd's store (an
    image's id is the digest of its index there) a digest is no name of its own."""
    image = engine.image(image_id)
    if image is None or set(image.repo_tags) - {name}:
        return False
    return not image.repo_digests or any(digest.endswith(f"@{image.id}") for digest in image.repo_digests)
