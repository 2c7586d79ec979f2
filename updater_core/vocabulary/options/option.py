"""One row of the table of options: what is written once for the parser, the JSON Schema and the reference.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOP, SERVICE, REGISTRY, SIGNATURE, DEFAULTS = "top", "service", "registry_config", "signature", "defaults"
ENGINE = "engine"
API_TOKEN = "api_token"  # noqa: S105 - the name of a place


Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value has to be. `noun` and `remedy` complete "… is not <noun>; write <remedy>".

    `read` takes one value, from JSON or from a variable's text. It raises ValueError: without a text if the
    value is simply not of its kind, with a sentence if more can be said. `schema` is what an editor can check
    of it: it may accept what `read` refuses, never the other way round.
    """

    noun: str
    remedy: str
    read: Callable[[Any], Any]
    schema: Schema
    secret: bool = False  # the value, right or wrong, is never shown
    is_path: bool = False  # relative and `~` paths are made absolute by the parser
    is_shells: bool = False  # a ${…} in it is for a shell to fill in, not for the parser


@dataclass(frozen=True, slots=True)
class Needs:
    """Another key that has to be given beside an option's.

    `said` if it is not: what is wrong and what to write.
    """

    key: str
    said: str = ""

    @property
    def problem(self) -> str:
        """Return what to say if the other key is missing.

        >>> Needs("password").problem
        'password is missing; write both or neither'
        """
        return self.said or f"{self.key} is missing; write both or neither"


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    `default` and `examples` are as they would stand in JSON, a default of None = there is none.

    `doc` is Markdown, `see` a link to more. `path` leads to the field that the value fills, in `Settings` if
    `place` is the top level, else in `ServiceConfig`: `policy.tag_regex`; None if it fills none directly.
    `settings`: the class of a registry's vendor or of a deploy target, whose field `key` it fills
    instead. `variable` is the one that beats the file. `is_login`: it names an account, so it does not go
    with `username`. `is_of_one`: it says which service is meant, so that it cannot stand in `defaults`.
    `by_label`: a label of a discovered service may set it too, if `defaults` can.
    """

    place: str  # top | service | registry_config | signature | engine
    key: str
    kind: Kind
    default: Any
    doc: str
    examples: tuple[Any, ...]
    path: str | None = None
    variable: str | None = None
    required: bool = False
    settings: type | None = None
    needs: Needs | None = None
    is_login: bool = False
    is_of_one: bool = False
    by_label: bool = True
    see: str = ""

    @property
    def description(self) -> str:
        """Return the meaning as plain text."""
        return self.doc.replace("`", "")
