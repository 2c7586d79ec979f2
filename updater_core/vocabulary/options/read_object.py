"""One object of the configuration as it was read, and what can be asked of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from updater_core.vocabulary.options.option import Option


@dataclass(frozen=True, slots=True)
class ReadObject:
    """One object of the document, as it was read.

    `at` is its path, `given` the keys that were set, right or wrong, `inherited` those of them that
    `defaults` set; `options` are all that it may have, by key.
    """

    at: str
    values: Mapping[str, Any]
    given: frozenset[str] = frozenset()
    is_object: bool = True  # False: something else stands in its place, and nothing more is said of it
    inherited: frozenset[str] = frozenset()
    options: Mapping[str, Option] = field(default_factory=dict)

    def path(self, key: str) -> str:
        """Return the path of a key in the document, as messages name it: `services[0].name`."""
        return f"{self.at}.{key}" if self.at else key


def is_set(read: ReadObject, key: str) -> bool:
    """Return whether a key was set to something else than its default (or to something wrong)."""
    option = read.options[key]
    return key in read.given and (
        option.default is None or read.values[key] != option.kind.read(option.default)
    )


def is_own(read: ReadObject, key: str) -> bool:
    """Return whether an entry itself sets a key; `defaults` may set one that has no meaning for it."""
    return key not in read.inherited and is_set(read, key)


def missing(service: ReadObject, *keys: str) -> Iterator[str]:
    """Yield a problem for each of the keys that is not there."""
    for key in keys:
        if key not in service.given:
            yield f"{service.path(key)}: missing; write {service.options[key].kind.remedy}"
