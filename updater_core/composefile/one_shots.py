"""Which services of compose files end by themselves, as far as the files say so. Pure.

Source: https://docs.docker.com/reference/compose-file/services/ (`depends_on`, `restart`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_COMPLETED = "service_completed_successfully"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def declared(texts: Iterable[str]) -> frozenset[str]:
    """Return the services that are declared to end by themselves; none of a text that cannot be read.

    Others wait until they have ended with 0, or they are not to be restarted when they end.

    >>> declared(["services: {web: {depends_on: {seed: {condition: service_completed_successfully}}}}"])
    frozenset({'seed'})
    >>> text = "services: {a: {restart: 'no'}, b: {restart: no}, c: {restart: on-failure:3}, d: {}}"
    >>> sorted(declared([text]))
    ['a', 'b', 'c']
    """
    found = set[str]()
    for text in texts:
        for name, facts in _services(text).items():
            found |= _waited_for(facts)
            if _is_left_ended(facts.get("restart")):
                found.add(name)
    return frozenset(found)


def _services(text: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError):
        return {}
    services = document.get("services") if isinstance(document, Mapping) else None
    if not isinstance(services, Mapping):
        return {}
    return {str(name): facts for name, facts in services.items() if isinstance(facts, Mapping)}


def _waited_for(facts: Mapping[str, Any]) -> set[str]:
    written = facts.get("depends_on")
    if not isinstance(written, Mapping):
        return set()
    conditions = {
        str(name): each.get("condition") for name, each in written.items() if isinstance(each, Mapping)
    }
    return {name for name, condition in conditions.items() if condition == _COMPLETED}


def _is_left_ended(restart: object) -> bool:
    """Return whether `restart` says so: `no` is false in YAML 1.1, and text in quotes."""
    return restart is False or restart == "no" or str(restart).partition(":")[0] == "on-failure"
