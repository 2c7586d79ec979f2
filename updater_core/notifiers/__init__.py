"""Notifiers: who is notified of events. A further one is one file here and one line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from updater_core.models import Settings
from updater_core.notifiers import apprise, webhook
from updater_core.notifiers.channel import Channel
from updater_core.notifiers.outbox import Outbox
from updater_core.notifiers.sender import AddressSender, Send, SendTogether


class Notifier(NamedTuple):
    """A way to notify somebody: its name for people, what delivers one event, and its outbox.

    `deliver` raises an UpdaterError if it fails. The name of the outbox stays the same wherever the address
    stands in a list.
    """

    name: str
    send: Send
    box: str
    send_together: SendTogether | None


# Each gives a sender for each address that the settings hold.
NOTIFIERS: Mapping[str, Callable[[Settings], Sequence[AddressSender]]] = {
    "webhook": webhook.senders,
    apprise.KIND: apprise.senders,
}


def active(settings: Settings) -> tuple[Notifier, ...]:
    """Return the notifiers that the settings ask for, one for each address.

    So a chat that is dead delays nobody else, and who was notified already is not notified again.
    """
    return tuple(_named(settings))


def problems(settings: Settings) -> tuple[str, ...]:
    """Return why notifiers cannot work here, each with what to do; no address is in it."""
    return (*webhook.problems(settings), *apprise.problems(settings))


def channels(settings: Settings, folder: Path) -> tuple[Channel, ...]:
    """Return each active notifier with its outbox in `folder`."""
    return tuple(
        Channel(each.name, each.send, Outbox(folder / each.box, each.name), each.send_together)
        for each in active(settings)
    )


def drop_left(settings: Settings, folder: Path) -> None:
    """Drop what waits for addresses that have left the list: nobody else may get it.

    Only for the holder of the lock.
    """
    kept = {notifier.box for notifier in active(settings)}
    for path in sorted(folder.glob(f"{apprise.KIND}*")):
        if path.name not in kept:
            Outbox(path).drop()


def _named(settings: Settings) -> Iterator[Notifier]:
    for kind, senders in NOTIFIERS.items():
        for number, sender in enumerate(senders(settings), start=1):
            name = kind if number == 1 else f"{kind}-{number}"
            box = f"{kind}-{sender.key}" if sender.key else kind
            together = sender.send_together if settings.notify_grouping == "cycle" else None
            yield Notifier(name, sender.send, box, together)
