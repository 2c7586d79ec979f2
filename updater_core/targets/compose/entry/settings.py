"""What can be said of a service that Compose deploys, besides what every service has. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from updater_core.vocabulary.handover import Handover, UpdateOrder

NAME = "compose"  # the target's, in the table and in a plan


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """A service's settings for Compose.

    `update_order`: None if only the Compose file may say one.
    """

    compose_project: str | None = None
    update_order: UpdateOrder | None = None
    drain_command: tuple[str, ...] = ()
    drain_seconds: float = 0.0
    start_stopped: bool = False
    allow_volume_change: bool = False

    @property
    def handover(self) -> Handover:
        """Return how the old containers give way to the new ones."""
        return Handover(self.update_order, self.drain_command, self.drain_seconds)
