"""What a notifier gives for each of its addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from updater_core.models import Event

Send = Callable[[Event], None]
SendTogether = Callable[[Sequence[Event]], None]


class AddressSender(NamedTuple):
    """What delivers events to one address.

    `key` distinguishes an address from others; it is empty if there can be only one: what waits shall go
    to whatever that is corrected to. `send` delivers one event, `send_together` several in one message, if
    the receiver is a person who reads them; both raise an UpdaterError if they do not.
    """

    key: str
    send: Send
    send_together: SendTogether | None = None
