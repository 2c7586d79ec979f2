"""What a project's files say of a service before variables are resolved. Pure.

It is its own text, that of what it extends, of the env files that it reads, and of the configs that it takes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from updater_core.composefile import definition, env_values, interpolation, yaml_nodes
from updater_core.composefile.definition import ComposeModel, Section, SourceFile
from updater_core.composefile.env_values import Environment
from updater_core.composefile.yaml_nodes import Refused

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RAW = "raw"  # the format of an env file in which Compose resolves nothing


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a service.

    It stands under `key` and, in a mapping or a list of `NAME=value`, under `entry` there. `environment`:
    what the variables in it are set to; one that is not there is set nowhere.
    """

    key: str
    entry: str
    text: str
    environment: Environment

    @property
    def names(self) -> tuple[str, ...]:
        """Return the variables that it takes."""
        return tuple(sorted(interpolation.variables(self.text)))

    def open_names(self) -> tuple[str, ...]:
        """Return the variables set nowhere that would change this text, a default or not.

        Also those that it takes through the value of another.
        """
        return tuple(sorted(self.environment.open_names(self.text)))

    def blank_names(self) -> tuple[str, ...]:
        """Return the variables that are set nowhere and have no default, so that nothing stands there.

        Also those that it takes through the value of another.
        """
        return tuple(sorted(self.environment.blank_names(self.text)))


@dataclass(frozen=True, slots=True)
class EnvFile:
    """An env file that a service reads, and what the variables in it are set to besides its own.

    `is_raw`: nothing is resolved in it (`format: raw`).
    """

    path: str
    environment: Environment
    is_raw: bool = False

    def texts(self, content: str) -> Iterator[Text]:
        """Yield the assignments in the content of the file.

        Compose resolves variables in it as in the compose file, and those that it sets itself above.
        """
        if self.is_raw:
            return
        found = env_values.assignments(content)
        whole = env_values.environment([found], self.environment)
        for each in found:
            yield Text("environment", each.key, content[each.start : each.end], whole)


@dataclass(frozen=True, slots=True)
class ProjectText:
    """A project's files, taken apart; nothing of them if one cannot be read."""

    model: ComposeModel | None

    @classmethod
    def of(
        cls, files: Sequence[SourceFile], env_files: Sequence[SourceFile], home: str | None = None
    ) -> ProjectText:
        """Take the files apart; what was taken apart last is remembered. `home`: what `$HOME` is in them."""
        return cls(_parsed(tuple(files), tuple(env_files), home))

    @property
    def services(self) -> tuple[str, ...]:
        """Return the names of the services."""
        return self.model.names if self.model else ()

    def texts(self, service: str) -> tuple[Text, ...]:
        """Return every text of a service, what counts less first."""
        found = [text for section, node in self._layers(service) for text in _texts(section, node)]
        return tuple(reversed(found))

    def env_files(self, service: str) -> tuple[EnvFile, ...]:
        """Return each `env_file` of a service."""
        found: dict[str, EnvFile] = {}
        for section, node in self._layers(service):
            listed = _value(node, "env_file")
            for entry in listed.value if isinstance(listed, SequenceNode) else [listed]:
                file = _env_file(section, entry)
                if file is not None:
                    found.setdefault(file.path, file)
        return tuple(found.values())

    def config_texts(self, name: str) -> tuple[Text, ...]:
        """Return the `content` of a top-level config, as the files say it."""
        found: list[Text] = []
        for section in self.model.sections if self.model else ():
            node: Node | None = section.document.root
            for key in ("configs", name, "content"):
                node = _value(node, key)
            if isinstance(node, ScalarNode):
                found.append(Text("configs", "content", str(node.value), section.scope.environment))
        return tuple(found)

    def _layers(self, service: str) -> list[tuple[Section, MappingNode]]:
        """Return each mapping that says something of a service, with its section."""
        if self.model is None:
            return []
        try:
            layers = definition.layers_of(self.model, service)
        except Refused:
            return []
        return [(section, node) for section, node in layers if isinstance(node, MappingNode)]


@lru_cache(maxsize=2)
def _parsed(
    files: tuple[SourceFile, ...], env_files: tuple[SourceFile, ...], home: str | None
) -> ComposeModel | None:
    """Remembered: a cycle asks for one service of a project after another."""
    given = Environment({"HOME": home}) if home is not None else None
    try:
        return definition.parse(files, env_files, given)
    except Refused:
        return None


def _env_file(section: Section, entry: Node | None) -> EnvFile | None:
    """Return the env file in an entry of `env_file`, short or long; None if its path is not known."""
    path, form = (
        (_value(entry, "path"), _value(entry, "format")) if isinstance(entry, MappingNode) else (entry, None)
    )
    text = _resolved(section, path)
    if not text:
        return None
    whole = posixpath.normpath(posixpath.join(section.file.base, text))
    return EnvFile(whole, section.scope.environment, is_raw=_resolved(section, form) == _RAW)


def _resolved(section: Section, node: Node | None) -> str | None:
    return interpolation.resolve(node.value, section.path_values) if isinstance(node, ScalarNode) else None


def of_part(texts: Iterable[Text], part: str) -> list[Text]:
    """Return the texts under a key, or under a key and an entry: `command`, `environment PW`."""
    key, _, entry = part.partition(" ")
    own = (each for each in texts if each.key == key)
    return [each for each in own if entry in ("", each.entry) or _may_be_any(each.entry)]


def _may_be_any(entry: str) -> bool:
    """Return whether the name of an entry stands in a variable, as in a list of `${NAME}=value`."""
    return not entry or "$" in entry


def _texts(section: Section, service: MappingNode) -> Iterator[Text]:
    for key, values in yaml_nodes.table(service).items():
        for entry, scalar in _scalars(values[0]):
            handed = _handed(entry, scalar) if key == "environment" else ""
            text = f"${{{handed}}}" if handed else str(scalar.value)
            yield Text(key, entry or handed, text, section.scope.environment)


def _handed(entry: str, scalar: ScalarNode) -> str:
    """Return the variable that an entry of `environment` hands over by its bare name (`[NAME]`, `NAME:`).

    Empty if it has a value of its own.
    """
    if yaml_nodes.is_null(scalar):
        return entry
    return str(scalar.value) if not entry and _NAME.fullmatch(str(scalar.value)) else ""


def _scalars(node: Node) -> Iterator[tuple[str, ScalarNode]]:
    """Return each scalar below a value, with its entry there."""
    if isinstance(node, MappingNode):
        for name, values in yaml_nodes.table(node).items():
            yield from ((name, scalar) for _, scalar in _scalars(values[0]))
    elif isinstance(node, ScalarNode):
        yield str(node.value).partition("=")[0] if "=" in node.value else "", node
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _scalars(item)


def _value(node: Node | None, key: str) -> Node | None:
    try:
        return yaml_nodes.lookup(node, key) if isinstance(node, MappingNode) else None
    except Refused:
        return None
