"""What a project's files say of a service before variables are resolved: its own text, that of what it
extends, of the env files that it reads, and of the configs that it takes. Pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from updater_core.composefile import definition, interpolation, yaml_nodes
from updater_core.composefile.definition import ComposeModel, Section, SourceFile
from updater_core.composefile.yaml_nodes import Refused

Values = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a service: it stands under `key` and, in a mapping or a list of `NAME=value`, under `entry`
    there. `values`: what the variables in it are set to; one that is not there is set nowhere.
    """

    key: str
    entry: str
    text: str
    values: Values

    @property
    def names(self) -> tuple[str, ...]:
        """Return the variables that it takes."""
        return tuple(sorted(interpolation.variables(self.text)))

    def open_names(self) -> tuple[str, ...]:
        """Return the variables that are set nowhere and that would change this text, a default or not."""
        names = sorted(interpolation.variables(self.text) - self.values.keys())
        return tuple(name for name in names if interpolation.depends(self.text, name, self.values))

    def blank_names(self) -> tuple[str, ...]:
        """Return the variables that are set nowhere and have no default, so that nothing stands in their
        place.
        """
        parts = interpolation.pieces(self.text, self.values)
        return interpolation.unset(parts) if parts is not None else ()


@dataclass(frozen=True, slots=True)
class ProjectText:
    """A project's files, taken apart; nothing of them if one cannot be read."""

    model: ComposeModel | None

    @classmethod
    def of(cls, files: Sequence[SourceFile], env_files: Sequence[SourceFile]) -> ProjectText:
        """Take the files apart; what was taken apart last is remembered."""
        return cls(_parsed(tuple(files), tuple(env_files)))

    @property
    def services(self) -> tuple[str, ...]:
        """Return the names of the services."""
        return self.model.names if self.model else ()

    def texts(self, service: str) -> tuple[Text, ...]:
        """Return every text of a service, what counts less first."""
        found = [text for section, node in self._layers(service) for text in _texts(section, node)]
        return tuple(reversed(found))

    def env_files(self, service: str) -> tuple[tuple[str, Values], ...]:
        """Return the path of each `env_file` of a service, with the values by which its variables are
        resolved.
        """
        found: dict[str, Values] = {}
        for section, node in self._layers(service):
            for text in _texts(section, node):
                path = interpolation.resolve(text.text, text.values) if text.key == "env_file" else None
                if path and text.entry in ("", "path"):
                    found[posixpath.normpath(posixpath.join(section.file.base, path))] = text.values
        return tuple(found.items())

    def config_texts(self, name: str) -> tuple[Text, ...]:
        """Return the `content` of a top-level config, as the files say it."""
        found: list[Text] = []
        for section in self.model.sections if self.model else ():
            node: Node | None = section.document.root
            for key in ("configs", name, "content"):
                node = _value(node, key)
            if isinstance(node, ScalarNode):
                found.append(Text("configs", "content", str(node.value), section.scope.values))
        return tuple(found)

    def _layers(self, service: str) -> list[tuple[Section, MappingNode]]:
        """Each mapping that says something of a service, with its section."""
        if self.model is None:
            return []
        try:
            layers = definition.layers_of(self.model, service)
        except Refused:
            return []
        return [(section, node) for section, node in layers if isinstance(node, MappingNode)]


@lru_cache(maxsize=2)
def _parsed(files: tuple[SourceFile, ...], env_files: tuple[SourceFile, ...]) -> ComposeModel | None:
    """Remembered: a cycle asks for one service of a project after another."""
    try:
        return definition.parse(files, env_files)
    except Refused:
        return None


def of_env_file(text: str, values: Values) -> Iterator[Text]:
    """Yield the assignments of a service's env file: Compose resolves variables in it as in the compose
    file.
    """
    for each in interpolation.assignments(text):
        yield Text("environment", each.key, text[each.start : each.end], values)


def of_part(texts: Iterable[Text], part: str) -> list[Text]:
    """Return the texts under a key, or under a key and an entry: `command`, `environment PW`."""
    key, _, entry = part.partition(" ")
    own = (each for each in texts if each.key == key)
    return [each for each in own if entry in ("", each.entry)]


def _texts(section: Section, service: MappingNode) -> Iterator[Text]:
    for key, values in yaml_nodes.table(service).items():
        for entry, scalar in _scalars(values[0]):
            yield Text(key, entry, str(scalar.value), section.scope.values)


def _scalars(node: Node) -> Iterator[tuple[str, ScalarNode]]:
    """Each scalar below a value, with its entry there."""
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
