"""What the table of targets says of each: its entries of `services`, their options, and where its code is.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from updater_core.vocabulary.options.option import Option, Schema
from updater_core.vocabulary.options.read_object import ReadObject


@dataclass(frozen=True, slots=True)
class DeployedService:
    """A service that an entry means, by the place where it is deployed.

    No other entry may mean it, too. `key` is the one that names it in the entry. `part`: what tells services
    of one name at one place from each other, as Compose's projects of one file; None = it may be any of them.
    """

    place: str
    name: str
    key: str
    part: str | None = None

    def is_same(self, other: DeployedService) -> bool:
        """Return whether both mean one service.

        >>> web = DeployedService("/srv/c.yml", "web", "compose_service")
        >>> web.is_same(DeployedService("/srv/c.yml", "web", "compose_service", "blue"))
        True
        """
        parts = {self.part, other.part} - {None}
        return (self.place, self.name) == (other.place, other.name) and len(parts) < 2


@dataclass(frozen=True, slots=True)
class EntryRules:
    """What an entry of one target has to say.

    `problems` yields what is wrong with an entry, which is given with the top level. `deployed`: the services
    that it means. `needed`, `relations`: what an entry has to say, for the JSON Schema.
    """

    problems: Callable[[ReadObject, ReadObject], Iterator[str]]
    deployed: Callable[[ReadObject], Sequence[DeployedService]]
    needed: tuple[Schema, ...]
    relations: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetKind:
    """A kind of place where services are deployed.

    `module` has `open_target(host, on_bug)`, `PlanDetail` (the type of its plans' `detail`) and
    `identity(service)`: what identifies a service that is deployed there, whatever it is called, in the same
    words in every version; None of one that is deployed elsewhere. It is loaded when a target is opened.
    `title`: what messages call it. `is_named_by`: whether an entry with these keys is deployed there.

    Its options: `where` a service is, `how` it is updated, and those of the top level, each with the class of
    settings that it fills (`Option.settings`). `shared`: keys of other targets' options that say the same
    here. `instead`: for keys of other targets' that say nothing here, why, and what to do; of one that is not
    in it is said whose it is.
    """

    name: str
    module: str
    title: str
    is_named_by: Callable[[Collection[str]], bool]
    rules: EntryRules
    where: tuple[Option, ...] = ()
    how: tuple[Option, ...] = ()
    top: tuple[Option, ...] = ()
    shared: frozenset[str] = frozenset()
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> frozenset[str]:
        """Return the keys of targets' options that say something of a service here."""
        return frozenset(option.key for option in (*self.where, *self.how)) | self.shared


def needs(*keys: str) -> dict[str, Any]:
    """Return the JSON Schema of an object that has these keys."""
    return {"required": [*keys]}
