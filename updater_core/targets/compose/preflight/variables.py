"""Values that only the shell which started the stack had: variables and secrets that an `up` of ours would not have.

They are named and the service is held: an `up` without them would start it with an empty password. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from updater_core.models import Hold, Reason
from updater_core.targets.compose import drift
from updater_core.targets.compose.preflight import needs
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts

_VARIABLE = re.compile(r"\$(?:\$|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*))", re.ASCII)


def missing_secret(facts: HostFacts) -> Hold | None:
    """Return a hold that names a secret or config taken from a variable that neither we nor an env file has."""
    for service in sorted(facts.group.services):
        written = (facts.group.model.get("services") or {}).get(service) or {}
        for kind in ("secrets", "configs"):
            for key in needs.used(written, kind):
                name = ((facts.group.model.get(kind) or {}).get(key) or {}).get("environment")
                if name and name not in facts.environment:
                    return _hold(facts, service, str(name), f"the {kind.removesuffix('s')} {key} is taken from it")
    return None


def missing_variable(facts: HostFacts) -> Hold | None:
    """Return a hold that names a variable with which the container was started, and which an `up` would not have."""
    for one in facts.own:
        found = next(_missing(one, facts), None)
        if found:
            return _hold(facts, one.container.service, *found)
    return None


def _missing(one: Deployed, facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Name and use of each variable, that the container had a value of and Compose resolves to none now."""
    service = one.container.service
    model = (facts.group.model.get("services") or {}).get(service) or {}
    written = _written(facts, service)
    declared = facts.image_variables.get(one.container.image_id, frozenset())
    environment = model.get("environment") or {}
    for key, value in environment.items() if isinstance(environment, Mapping) else ():
        is_passed_on = value is None and key not in declared
        if is_passed_on and one.settings.environment.get(key):
            yield key, "it is passed on to the container"
    difference = drift.settings_difference(model, one.settings)
    for name in _names(difference, written) if difference else ():
        if name not in facts.environment:
            yield name, f"{difference} is made with it, and differs from what runs"


def _names(difference: str, written: Mapping[str, Any]) -> Iterator[str]:
    """The variables in that part of a service's text in which it differs."""
    key, _, name = difference.partition(" ")
    part = written.get(key)
    if key == "environment" and isinstance(part, Mapping):
        part = part.get(name)
    elif key == "environment" and isinstance(part, list):
        part = [each for each in part if str(each).partition("=")[0] == name]
    yield from names_in(str(part))


def names_in(text: str) -> Iterator[str]:
    """Yield the variables that a text takes, in any form.

    >>> list(names_in("$A ${B:-$C} $$D"))
    ['A', 'B', 'C']
    """
    for match in _VARIABLE.finditer(text):
        name = match["bare"] or match["braced"]
        if name:
            yield name


def _written(facts: HostFacts, service: str) -> dict[str, Any]:
    """What the files say of a service, before variables are resolved; the later file over the earlier."""
    found: dict[str, Any] = {}
    for text in facts.texts:
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError:
            continue
        services = document.get("services") if isinstance(document, dict) else None
        own = services.get(service) if isinstance(services, dict) else None
        found.update(own if isinstance(own, dict) else {})
    return found


def _hold(facts: HostFacts, service: str, name: str, use: str) -> Hold:
    folder = facts.group.project.directory
    return Hold(
        Reason.VARIABLE_MISSING,
        f"{service} was started with a value of the variable {name} that no env file of the project sets ({use}):"
        " it came from the shell that ran `docker compose up`, or the file was edited since",
        f"write {name} with its value into {folder}/.env (mode 0600), or give it in a file (`env_file`, a secret's"
        " `file`); do not run `docker compose up` without it",
    )
