"""What the labels of a container say: policy for us, and what its operator has said to Watchtower. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from updater_core.config.options import BY_PLACE, DEFAULTS, REGISTRY, SELECTORS, SERVICE

LABEL = "docker-updater."
# Whoever may write a label may start a container, and no more: no label runs a program on this host, or has
# it ask an address.
_COMMANDS = {"pre_update", "post_update", "on_failure", "on_success", "drain_command"}
_ADDRESSES = {"health_url", "health_status"}
_NOT_BY_LABEL = {"registry_type", "enabled", "signature", *_COMMANDS, *_ADDRESSES}
LABEL_KEYS = frozenset(BY_PLACE[DEFAULTS]) - _NOT_BY_LABEL | {"enable", "group"}
_WATCHTOWER = "com.centurylinklabs.watchtower"
_YES, _NO = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n")
SAID_NO = f"its label says no ({LABEL}enable or {_WATCHTOWER}.enable)"


def wants(labels: Mapping[str, str]) -> bool | None:
    """Return what a service says of being looked after: yes, no, or nothing.

    An `enable` of ours that cannot be read counts as a yes, so that its problem is shown; Watchtower's counts
    if there is none of ours, and only its no.

    >>> wants({"docker-updater.enable": "true", "com.centurylinklabs.watchtower.enable": "false"})
    True
    >>> wants({"com.centurylinklabs.watchtower.enable": "false"})
    False
    >>> wants({"com.centurylinklabs.watchtower.enable": "1"})
    """
    own = labels.get(f"{LABEL}enable")
    if own is not None:
        return own.strip().lower() not in _NO
    return False if labels.get(f"{_WATCHTOWER}.enable", "").strip().lower() in _NO else None


def is_watchtower(labels: Mapping[str, str]) -> bool:
    """Return whether a container is Watchtower itself: its images, and those of its forks, carry this
    label.
    """
    return labels.get(_WATCHTOWER, "").strip().lower() in _YES


def with_labels(entry: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry with what the labels say on top; a selector of theirs takes the place of the entry's
    own.
    """
    said = entry_of_labels(labels)
    selects = any(key in SELECTORS for key in said)
    return {**{key: value for key, value in entry.items() if not (selects and key in SELECTORS)}, **said}


def label_problems(labels: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the names of our labels, and with `enable`: policy may be said by label,
    never a login or a place. Values are read with the entry.
    """
    own = [key.removeprefix(LABEL) for key in labels if key.startswith(LABEL)]
    problems = [f"label {LABEL}{key}: {_instead(key)}" for key in sorted(own) if key not in LABEL_KEYS]
    enable = labels.get(f"{LABEL}enable", "true").strip().lower()
    return problems if enable in (*_YES, *_NO) else [f"label {LABEL}enable: write true or false", *problems]


def _instead(key: str) -> str:
    if key in BY_PLACE[SERVICE] or key in BY_PLACE[REGISTRY]:
        return "it is read from the configuration file only; write it there, and take the label away"
    close = difflib.get_close_matches(key, sorted(LABEL_KEYS), n=1)
    return (
        f"there is no such label; write {LABEL}{close[0]}"
        if close
        else "there is no such label; take it away"
    )


def entry_of_labels(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what a service's labels say, by key: `docker-updater.min_age=3d` is `min_age`.

    >>> entry_of_labels({"docker-updater.enable": "true", "docker-updater.min_age": "3d", "a": "b"})
    {'min_age': '3d'}
    >>> entry_of_labels({"com.centurylinklabs.watchtower.monitor-only": "true"})
    {'mode': 'notify'}
    """
    entry: dict[str, Any] = {}
    said = [labels.get(f"{_WATCHTOWER}.{key}", "").strip().lower() for key in ("monitor-only", "no-pull")]
    if any(each in _YES for each in said):
        entry["mode"] = "notify"
    own = {key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)}
    return {**entry, **{key: value for key, value in own.items() if key in LABEL_KEYS and key != "enable"}}
