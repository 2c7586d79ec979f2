"""How the old containers of an update give way to the new ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class UpdateOrder(StrEnum):
    """What an update does first: stop the old container, or start the new one beside it."""

    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


@dataclass(frozen=True, slots=True)
class Handover:
    """`order`: None if only the definition may say one.

    For start-first alone: `drain_command` runs in each old container once the new ones are proven, and
    `drain_seconds` later the old ones are stopped.
    """

    order: UpdateOrder | None = None
    drain_command: tuple[str, ...] = ()
    drain_seconds: float = 0.0
