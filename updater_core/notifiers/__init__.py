"""Notifiers: who is told of an update or a rollback. A further one is one file here and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from updater_core.models import Event, Settings
from updater_core.notifiers import webhook

Send = Callable[[Event], None]


class Notifier(NamedTuple):
    """A name for folder, log and metrics; and what delivers one event, or raises an UpdaterError."""

    name: str
    send: Send


# Each gives what delivers an event under these settings, or None where they do not ask for it.
NOTIFIERS: Mapping[str, Callable[[Settings], Send | None]] = {
    "webhook": webhook.sender,
}


def active(settings: Settings) -> tuple[Notifier, ...]:
    """The notifiers that the settings ask for."""
    found = ((name, sender(settings)) for name, sender in NOTIFIERS.items())
    return tuple(Notifier(name, send) for name, send in found if send)
