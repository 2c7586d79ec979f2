"""The deploy targets: how those of the table are opened, and how their plans are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from updater_core.deploy.target import Host, Target
from updater_core.models import Hold, Plan, ServiceConfig
from updater_core.state.codec import decode
from updater_core.targets import compose
from updater_core.targets.discovery import take_up, with_remembered
from updater_core.targets.kind import TargetKind
from updater_core.targets.table import BY_NAME, TABLE

__all__ = [
    "TABLE",
    "OnBug",
    "identities",
    "open_all",
    "read_plan",
    "take_up",
    "with_remembered",
]

OnBug = Callable[[str, Exception], Hold]


def open_all(host: Host, on_bug: OnBug) -> Mapping[str, Target]:
    """Return every target of the table by its name; nothing is asked of any yet."""
    return {kind.name: _code_of(kind).open_target(host, on_bug) for kind in TABLE}


def _code_of(kind: TargetKind) -> Any:
    """Return the module of a target, of which `TargetKind` says what is in it."""
    return import_module(kind.module)


def identities(services: Iterable[ServiceConfig]) -> Mapping[str, str]:
    """Return what identifies each service apart from its name, by its name.

    A service that is known by its name alone (`with_remembered`) is left out.
    """
    found = ((service.name, _identity(service)) for service in services)
    return {name: identity for name, identity in found if identity is not None}


def _identity(service: ServiceConfig) -> str | None:
    every = (_code_of(kind).identity(service) for kind in TABLE)
    return next((each for each in every if each is not None), None)


def read_plan(raw: Mapping[str, Any]) -> Plan[Any]:
    """Return the plan that `codec.encode` made `raw` of, with its target's own detail.

    Raises ValueError if it is of no form that this version knows.
    """
    try:
        is_of_compose = raw.get("target") == compose.NAME or "detail" not in raw
        known = compose.former_plan(raw) if is_of_compose else raw
        detail = _code_of(BY_NAME[str(known.get("target"))]).PlanDetail
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"its plan is of an unknown form: {type(error).__name__} {error}") from error
    found: Plan[Any] = decode(Plan[detail], dict(known))  # type: ignore[valid-type]
    return found
