"""Notifiers: who is told of news. A further one is one file here and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from updater_core.models import Event, Settings
from updater_core.notifiers import apprise, webhook

Send = Callable[[Event], None]


class Notifier(NamedTuple):
    """A name for folder, log and metrics; and what delivers one event, or raises an UpdaterError."""

    name: str
    send: Send


# Each gives what delivers an event, one for each address that the settings hold.
NOTIFIERS: Mapping[str, Callable[[Settings], Sequence[Send]]] = {
    "webhook": webhook.senders,
    "apprise": apprise.senders,
}


def active(settings: Settings) -> tuple[Notifier, ...]:
    """The notifiers that the settings ask for, one for each address: a chat that is dead delays nobody else, and who
    was told already is not told again."""
    return tuple(_named(settings))


def problems(settings: Settings) -> tuple[str, ...]:
    """Why notifiers that the settings ask for cannot work here, each with what to do; no address is in it."""
    return tuple(apprise.problems(settings))


def _named(settings: Settings) -> Iterator[Notifier]:
    for kind, senders in NOTIFIERS.items():
        for number, send in enumerate(senders(settings), start=1):
            yield Notifier(kind if number == 1 else f"{kind}-{number}", send)
