"""The one-shots of a service's release: a migration of the same image moves with what waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from updater_core import reference
from updater_core.composefile import edit as compose_edit
from updater_core.composefile.edit import Located
from updater_core.models import ServiceConfig
from updater_core.protocols import Compose
from updater_core.targets.compose import dependencies
from updater_core.targets.compose.reading.observed import ObservedService


def moving(service: ServiceConfig, observed: ObservedService, compose: Compose) -> tuple[str, ...]:
    """Return the services whose image an update changes: the configured ones, and their one-shots.

    Raises ComposeError if Compose cannot read the project.
    """
    return with_one_shots(service, observed, compose.config(observed.project))[0].compose_services


def with_one_shots(
    service: ServiceConfig, observed: ObservedService, model: Mapping[str, Any]
) -> tuple[ServiceConfig, ObservedService]:
    """Return the group with the one-shots that it waits for and that run the same image.

    A migration, for example: they belong to the same release, and no `up` would run the new one without them.
    """
    names = set(service.compose_services)
    same = {_identity(one.reference or observed.current.text) for one in observed.located}
    further = []
    for name in dependencies.one_shots_before(model, service.compose_services):
        located = compose_edit.locate(observed.files, observed.env_files, name)
        if name not in names and isinstance(located, Located) and _identity(image_of(model, name)) in same:
            further.append(located)
    along = tuple(located.service for located in further)
    wider = replace(service, compose_services=(*service.compose_services, *along))
    return wider, replace(observed, located=(*observed.located, *further))


def image_of(model: Mapping[str, Any], service: str) -> str:
    """Return the image of a service of a resolved model; empty if it has none."""
    return str((model.get("services", {}).get(service) or {}).get("image") or "")


def _identity(text: str) -> tuple[str, str | None, str | None] | None:
    try:
        found = reference.with_default_tag(reference.parse(text))
    except ValueError:
        return None
    return found.key, found.tag, found.digest
