"""What the status is made of: the facts that go in. The view that comes out is in `view`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from updater_core.models import Config, CurrentStep
from updater_core.state.records import State


@dataclass(frozen=True, slots=True)
class Quota:
    """What a registry said last of its pull limit."""

    limit: int
    remaining: int
    window_seconds: float
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What the daemon is doing.

    `cycle_begun` is None while it sleeps, `cycle_ended` before its first cycle is over.
    """

    started_at: datetime
    cycle_begun: datetime | None = None
    cycle_ended: datetime | None = None
    cycle_seconds: float | None = None
    next_cycle: datetime | None = None
    is_engine_down: bool = False
    open_updates: int = 0
    pending_messages: int = 0


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """Everything the view is made of, at one moment.

    `clean` takes secrets out of texts that came from elsewhere.
    """

    now: datetime
    host: str
    version: str
    config: Config
    state: State
    pulse: DaemonStatus
    under_way: tuple[CurrentStep, ...] = ()
    quotas: Mapping[str, Quota] | None = None
    clean: Callable[[str], str] = str
