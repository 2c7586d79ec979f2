"""Newer versions than a pinned tag, for a service that follows only the digest behind it.

A tag such as `1.27.3` is up to date for ever. Asked for people (`--test`, `--plan`), never in a cycle.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from updater_core.app.context import AppContext, settings_for, target_of
from updater_core.app.resolve import Resolver
from updater_core.deploy.target import Observed
from updater_core.errors import UpdaterError
from updater_core.models import Decision, Follow, ImageRef, ServiceConfig, Update
from updater_core.policy.families import selector_of
from updater_core.policy.tags.reading import read
from updater_core.state.shared import SharedState


def newest(context: AppContext, service: ServiceConfig, observed: Observed) -> ImageRef | None:
    """Return the newest version that the service would be at if it followed versions, or None.

    None if it follows something else than the digest behind a full version, if there is none, or if the
    registry does not say.
    """
    if not is_pinned(service, observed.current):
        return None
    follows = replace(
        service, policy=replace(service.policy, follow=Follow.MAJOR, public_keys=(), min_age_seconds=0.0)
    )
    with suppress(UpdaterError):
        decision = decided(context, follows, observed)
        if isinstance(decision, Update) and decision.target.tag != observed.current.tag:
            return replace(decision.target, digest=None)
    return None


def decided(context: AppContext, service: ServiceConfig, observed: Observed) -> Decision:
    """Return what would be decided for a service now; nothing of it is remembered.

    Raises as the opening of its registries does.
    """
    other_images = [other.current for other in observed.others]
    registry, *others = (
        context.registries.for_service(image, settings_for(service, image))
        for image in (observed.current, *other_images)
    )
    memory, target = SharedState(context.state), target_of(context, service)
    resolver = Resolver(service, observed, registry, target, memory, context.clock.now(), others)
    return resolver.resolve().decision


def is_pinned(service: ServiceConfig, current: ImageRef) -> bool:
    """Return whether a service follows the digest behind a tag with a version of two numbers or more."""
    if selector_of(service.policy, current) is not None or not current.tag:
        return False
    version = read(current.tag)
    return version is not None and len(version.numbers) > 1


def remedy(service: ServiceConfig) -> str:
    """Return what to write to follow versions."""
    if service.is_discovered:
        return (
            f"give {service.name} the label docker-updater.follow=minor (or major), or set follow in defaults"
        )
    return f'write "follow": "minor" (or "major") for {service.name}'
