"""What the labels of a container say: policy for us, and what its operator has said to Watchtower. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from updater_core.models import EntryReader
from updater_core.vocabulary.policy import SELECTORS
from updater_core.vocabulary.similar import closest

LABEL = "docker-updater."
ENABLE = "enable"  # whether a service is looked after; no key of an entry
_WATCHTOWER = "com.centurylinklabs.watchtower"
_YES, _NO = ("true", "1", "yes", "on", "t", "y"), ("false", "0", "no", "off", "f", "n")
SAID_NO = f"its label says no ({LABEL}enable or {_WATCHTOWER}.enable)"


def wants(labels: Mapping[str, str]) -> bool | None:
    """Return what a service says of being looked after: yes, no, or nothing.

    An `enable` of ours that cannot be read counts as a yes, so that its problem is shown. Watchtower's counts
    if there is none of ours: whoever ran it with `WATCHTOWER_LABEL_ENABLE` has chosen already.

    >>> wants({"docker-updater.enable": "true", "com.centurylinklabs.watchtower.enable": "false"})
    True
    >>> wants({"com.centurylinklabs.watchtower.enable": "false"})
    False
    >>> wants({"com.centurylinklabs.watchtower.enable": "1"})
    True
    >>> wants({"com.centurylinklabs.watchtower.enable": "perhaps"})
    """
    own = labels.get(f"{LABEL}{ENABLE}")
    if own is not None:
        return own.strip().lower() not in _NO
    said = labels.get(f"{_WATCHTOWER}.enable", "").strip().lower()
    if said in _YES:
        return True
    return False if said in _NO else None


def is_watchtower(labels: Mapping[str, str]) -> bool:
    """Return whether a container is Watchtower itself: its images, and its forks', carry this label."""
    return labels.get(_WATCHTOWER, "").strip().lower() in _YES


def with_labels(entry: Mapping[str, Any], labels: Mapping[str, str], keys: Collection[str]) -> dict[str, Any]:
    """Return an entry with what the labels say of `keys` on top; a selector of theirs replaces its own."""
    said = entry_of_labels(labels, keys)
    selects = any(key in SELECTORS for key in said)
    return {**{key: value for key, value in entry.items() if not (selects and key in SELECTORS)}, **said}


def label_problems(labels: Mapping[str, str], entries: EntryReader) -> list[str]:
    """Return what is wrong with the names of our labels, and with `enable`.

    Policy may be said by label, never a login or a place. Values are read with the entry.
    """
    own = [key.removeprefix(LABEL) for key in labels if key.startswith(LABEL)]
    known = entries.label_keys | {ENABLE}
    problems = [f"label {LABEL}{key}: {_instead(key, entries)}" for key in sorted(own) if key not in known]
    enable = labels.get(f"{LABEL}{ENABLE}", "true").strip().lower()
    return problems if enable in (*_YES, *_NO) else [f"label {LABEL}enable: write true or false", *problems]


def _instead(key: str, entries: EntryReader) -> str:
    if key in entries.file_keys:
        return "it is read from the configuration file only; write it there, and take the label away"
    close = closest(key, entries.label_keys | {ENABLE})
    return (
        f"there is no such label; write {LABEL}{close}" if close else "there is no such label; take it away"
    )


def entry_of_labels(labels: Mapping[str, str], keys: Collection[str]) -> dict[str, Any]:
    """Return what a service's labels say of `keys`: `docker-updater.min_age=3d` is `min_age`.

    >>> said = {"docker-updater.enable": "true", "docker-updater.min_age": "3d", "a": "b"}
    >>> entry_of_labels(said, {"min_age", "mode"})
    {'min_age': '3d'}
    >>> entry_of_labels({"com.centurylinklabs.watchtower.monitor-only": "true"}, {"min_age", "mode"})
    {'mode': 'notify'}
    """
    entry: dict[str, Any] = {}
    said = [labels.get(f"{_WATCHTOWER}.{key}", "").strip().lower() for key in ("monitor-only", "no-pull")]
    if any(each in _YES for each in said):
        entry["mode"] = "notify"
    own = {key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)}
    return {**entry, **{key: value for key, value in own.items() if key in keys}}
