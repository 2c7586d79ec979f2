"""What a new release has to show before it counts as proven. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """When a restarted container counts as good.

    `timeout_seconds`: how long it may take to become good; `stable_seconds`: how long it must stay so. `url`,
    if
    there is one, has to answer with one of `statuses` (first and last of each range) too.
    """

    timeout_seconds: float = 180.0
    stable_seconds: float = 10.0
    url: str = ""
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
