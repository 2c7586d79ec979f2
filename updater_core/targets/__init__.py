"""The deploy targets: an explicit table. A new one is a folder here and one line below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from updater_core.deploy.target import Host, Target
from updater_core.models import Hold, Plan, ServiceConfig
from updater_core.state.codec import decode
from updater_core.targets import compose, swarm
from updater_core.targets.discovery import take_up, with_remembered
from updater_core.targets.survey import HostSurvey

__all__ = [
    "TABLE",
    "HostSurvey",
    "OnBug",
    "TargetKind",
    "identities",
    "open_all",
    "read_plan",
    "take_up",
    "with_remembered",
]

OnBug = Callable[[str, Exception], Hold]


@dataclass(frozen=True, slots=True)
class TargetKind:
    """How one kind of target is opened, and of which type the `detail` of its plans is.

    `identity`: what identifies a service that is deployed there, whatever it is called, in the same words in
    every version; None of one that is deployed elsewhere.
    """

    open: Callable[[Host, OnBug], Target]
    detail: type
    identity: Callable[[ServiceConfig], str | None]


TABLE: Mapping[str, TargetKind] = {
    # before Compose: its services may have a file, too
    swarm.NAME: TargetKind(swarm.SwarmTarget, swarm.SwarmPlan, swarm.identity),
    compose.NAME: TargetKind(compose.ComposeTarget, compose.ComposePlan, compose.identity),
}


def open_all(host: Host, on_bug: OnBug) -> Mapping[str, Target]:
    """Return every target of the table by its name; nothing is asked of any yet."""
    return {name: kind.open(host, on_bug) for name, kind in TABLE.items()}


def identities(services: Iterable[ServiceConfig]) -> Mapping[str, str]:
    """Return what identifies each service apart from its name, by its name.

    A service that is known by its name alone (`with_remembered`) is left out.
    """
    found = ((service.name, _identity(service)) for service in services)
    return {name: identity for name, identity in found if identity is not None}


def _identity(service: ServiceConfig) -> str | None:
    every = (kind.identity(service) for kind in TABLE.values())
    return next((each for each in every if each is not None), None)


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
