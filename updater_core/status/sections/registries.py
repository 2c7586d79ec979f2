"""The registries, for the status page: pulls left, and until when one is not asked."""

from __future__ import annotations

from datetime import datetime

from markupsafe import Markup

from updater_core.host import times
from updater_core.status import markup
from updater_core.status.markup import NONE, Column, Row, moment, section, small
from updater_core.status.view import RegistryView, View

_REGISTRY_COLUMNS = (Column("Registry"), Column("Services"), Column("Pulls left"), Column("Not asked until"))


def registries(view: View) -> Markup:
    """Return the section with a row for each registry."""
    caption = "Pulls left, if a registry says so; until when a registry is not asked; who does not answer."
    rows = [Row(_registry_row(registry, view.at)) for registry in view.registries]
    if not rows:
        return section("registries", "Registries", Markup("<p>None is asked.</p>"))
    return section("registries", "Registries", markup.table("registries", caption, _REGISTRY_COLUMNS, rows))


def _registry_row(registry: RegistryView, now: datetime) -> tuple[str, ...]:
    return registry.host, str(registry.services), _pulls_left(registry, now), _not_asked_until(registry, now)


def _pulls_left(registry: RegistryView, now: datetime) -> str:
    if registry.remaining is None or registry.seen_at is None or registry.window_seconds is None:
        return "not said"
    about = f"in {times.span(registry.window_seconds)}, as of {times.ago(registry.seen_at, now)}"
    return Markup("{} of {}{}").format(registry.remaining, registry.limit, small(about))


def _not_asked_until(registry: RegistryView, now: datetime) -> str:
    if registry.out_since:
        since = moment(registry.out_since) + small(times.ago(registry.out_since, now))
        return Markup("no answer since {}").format(since)
    if registry.rest_until:
        return moment(registry.rest_until) + small(times.ago(registry.rest_until, now))
    return NONE
