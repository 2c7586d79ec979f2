"""A notifier with what waits for it."""

from __future__ import annotations

from typing import NamedTuple

from updater_core.notifiers.outbox import Outbox
from updater_core.notifiers.sender import Send, SendTogether


class Channel(NamedTuple):
    """A notifier with what waits for it."""

    name: str
    send: Send
    outbox: Outbox
    send_together: SendTogether | None = None  # if several events of a cycle are one message
