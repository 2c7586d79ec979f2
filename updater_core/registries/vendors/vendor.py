"""What the table of vendors says of each: how it is written, which hosts are its, and which options it has.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from updater_core.vocabulary.options.option import Option

GENERIC = "generic"
NO_HOST = r"(?!)"


@dataclass(frozen=True, slots=True)
class Vendor:
    """A kind of registry.

    `name` is its own; `type` is what `registry_type` says of it, if not its name: `generic` if it speaks the
    common protocol, and its hosts alone tell it from others.

    `client` is the module that has `open_registry(reference, settings, session)`; it is loaded when first
    needed. `hosts` is an expression over the names of its hosts. `spellings`: how its type may be written,
    too. `options`: its own, at the top level or in `registry_config`, each with the class of settings that it
    fills. `title`: what texts call it. `variables`: those that `reader`, a library of its, reads from the
    process by itself; all of them match `environment`.
    """

    name: str
    client: str
    hosts: str = NO_HOST
    type: str = ""
    title: str = ""
    spellings: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    is_https_only: bool = False
    environment: str = ""
    variables: tuple[str, ...] = ()
    reader: str = ""

    @property
    def written(self) -> str:
        """Return what `registry_type` says of it."""
        return self.type or self.name

    def serves(self, domain: str) -> bool:
        """Return whether this is the name of one of its hosts."""
        return re.fullmatch(self.hosts, domain) is not None
