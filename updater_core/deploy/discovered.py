"""What discovery finds on a host: services, what is in the way of each, and what else runs. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way of updates, and what to do about it."""

    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class FoundService:
    """A running Compose service.

    `entry`: what would be written into the configuration, empty if nothing would be; `note`: why it is so;
    `follows`: what is followed, in a word or two.
    """

    name: str
    image: str
    files: tuple[str, ...]
    entry: Mapping[str, Any]
    is_listed: bool = False
    note: str = ""
    follows: str = "-"
    obstacles: tuple[Obstacle, ...] = ()
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A running container that no Compose service of ours can be, and why."""

    name: str
    image: str
    why: str


@dataclass(frozen=True, slots=True)
class Discovered:
    """Everything that runs. `grants`: the commands that let the updater's user at all files at once."""

    services: tuple[FoundService, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    grants: tuple[str, ...] = field(default=())

    @property
    def new(self) -> tuple[FoundService, ...]:
        """Return the services that are not in the configuration yet."""
        return tuple(each for each in self.services if not each.is_listed)

    @property
    def writable(self) -> tuple[FoundService, ...]:
        """Return the services that `--write` would add."""
        return tuple(each for each in self.new if each.entry)
