"""The deploy targets: an explicit table. A new one is a folder here and one line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from updater_core.deploy.target import Host, Target
from updater_core.models import Hold, Plan
from updater_core.state.codec import decode
from updater_core.targets import compose, swarm
from updater_core.targets.discovery import take_up, with_remembered
from updater_core.targets.survey import HostSurvey

__all__ = [
    "TABLE",
    "HostSurvey",
    "OnBug",
    "TargetKind",
    "open_all",
    "read_plan",
    "take_up",
    "with_remembered",
]

OnBug = Callable[[str, Exception], Hold]


@dataclass(frozen=True, slots=True)
class TargetKind:
    """How one kind of target is opened, and of which type the `detail` of its plans is."""

    open: Callable[[Host, OnBug], Target]
    detail: type


TABLE: Mapping[str, TargetKind] = {
    # before Compose: its services may have a file, too
    swarm.NAME: TargetKind(swarm.SwarmTarget, swarm.SwarmPlan),
    compose.NAME: TargetKind(compose.ComposeTarget, compose.ComposePlan),
}


def open_all(host: Host, on_bug: OnBug) -> Mapping[str, Target]:
    """Return every target of the table by its name; nothing is asked of any yet."""
    return {name: kind.open(host, on_bug) for name, kind in TABLE.items()}


def read_plan(raw: Mapping[str, Any]) -> Plan[Any]:
    """Return the plan that `codec.encode` made `raw` of, with its target's own detail.

    Raises ValueError if it is of no form that this version knows.
    """
    try:
        is_of_compose = raw.get("target") == compose.NAME or "detail" not in raw
        known = compose.former_plan(raw) if is_of_compose else raw
        kind = TABLE[str(known.get("target"))]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"its plan is of an unknown form: {type(error).__name__} {error}") from error
    found: Plan[Any] = decode(Plan[kind.detail], dict(known))  # type: ignore[name-defined]
    return found
