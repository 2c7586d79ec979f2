"""Which value of a project's compose files defines a key of a service: the last file's, `extends` followed.

Pure.

Sources: https://docs.docker.com/reference/compose-file/ (merge, extends, include), checked against Compose
2.26.1.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node

from updater_core.composefile import aliases, env_values, interpolation, yaml_nodes
from updater_core.composefile.aliases import Uses
from updater_core.composefile.env_values import Assignment, Environment
from updater_core.composefile.yaml_nodes import Document, Refused, Table
from updater_core.vocabulary.reasons import Reason

# Compose's own tags: what bears one does not merge with the files before.
_REPLACING_TAGS = ("!reset", "!override")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as decoded text, byte-order mark and line ends as they are; and how Compose comes to it.

    `directory`: where its relative paths start, empty for its own folder. `env_paths`: the env files that its
    variables come from, a later one over an earlier; None for all that are given. `is_merged`: False for a
    file that only `extends` reaches, whose services are none of the project's. `of_session`: what the paths
    in it may take from the session that starts Compose, each variable with its value (`PWD`).
    """

    path: str
    text: str
    directory: str = ""
    env_paths: tuple[str, ...] | None = None
    is_merged: bool = True
    of_session: tuple[tuple[str, str], ...] = ()

    @property
    def base(self) -> str:
        """Return the folder that relative paths in the file begin at."""
        return self.directory or posixpath.dirname(self.path)

    def path_values(self, values: Mapping[str, str | None]) -> Mapping[str, str | None]:
        """Return the values of variables in paths: the session's, then those of env files (`values`)."""
        return {**values, **dict(self.of_session)} if self.of_session else values


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Where a file's variables come from: every assignment with its env file, and the value that counts."""

    settings: Mapping[str, tuple[tuple[SourceFile, Assignment], ...]]
    environment: Environment

    @property
    def values(self) -> Mapping[str, str | None]:
        """Return the value of each variable that counts; None if the text alone does not tell it."""
        return self.environment.values


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One YAML document of a project: its file, its services, its variables, and where its nodes are used."""

    document: Document
    file: SourceFile
    services: Table
    scope: Scope
    uses: Uses

    @property
    def path_values(self) -> Mapping[str, str | None]:
        """Return the values of the variables in the paths of this document."""
        return self.file.path_values(self.scope.values)

    def where(self, node: Node) -> str:
        """Return the place of a node for a message: `PATH line N`."""
        return f"{self.document.path} line {yaml_nodes.line(node)}"


@dataclass(frozen=True, slots=True, eq=False)
class ComposeModel:
    """The parsed files in the order in which they are merged, and the names of the services.

    `homes`: the sections that have a service, by its name. `sections`: also those that only `extends`
    reaches.
    """

    homes: Mapping[str, tuple[Section, ...]]
    sections: tuple[Section, ...]
    files: tuple[SourceFile, ...]
    env_files: tuple[SourceFile, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the project's services."""
        return tuple(self.homes)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A value, and the service in whose own mapping (merge keys included) it stands."""

    section: Section
    service: str
    node: Node


_Trail = frozenset[tuple[int, str]]
_Base = tuple[tuple[Section, ...], str]


def parse(
    files: Sequence[SourceFile], env_files: Sequence[SourceFile], given: Environment | None = None
) -> ComposeModel:
    """Read a project. `given`: the variables that Compose has besides those of the env files.

    Raises Refused if a file cannot be read.
    """
    scopes: dict[tuple[str, ...] | None, Scope] = {}
    sections: list[Section] = []
    for file in files:
        # Files that take their variables from the same env files share one reading of them.
        if file.env_paths not in scopes:
            scopes[file.env_paths] = _scope(_chosen(env_files, file.env_paths), given)
        for document in yaml_nodes.documents(file.path, file.text):
            sections.append(_section(document, file, scopes[file.env_paths]))
    homes: dict[str, tuple[Section, ...]] = {}
    for section in sections:
        # A file that only `extends` reaches has services that are none of the project's.
        for name in section.services if section.file.is_merged else ():
            homes[name] = (*homes.get(name, ()), section)
    return ComposeModel(homes, tuple(sections), tuple(files), tuple(env_files))


def _chosen(env_files: Sequence[SourceFile], paths: tuple[str, ...] | None) -> list[SourceFile]:
    if paths is None:
        return list(env_files)
    known = {file.path: file for file in env_files}
    return [known[path] for path in paths if path in known]


def _scope(env_files: Sequence[SourceFile], given: Environment | None) -> Scope:
    settings: dict[str, tuple[tuple[SourceFile, Assignment], ...]] = {}
    found = [(file, env_values.assignments(file.text)) for file in env_files]
    for file, some in found:
        for assignment in some:
            settings[assignment.key] = (*settings.get(assignment.key, ()), (file, assignment))
    return Scope(settings, env_values.environment((some for _, some in found), given))


def _section(document: Document, file: SourceFile, scope: Scope) -> Section:
    services = services_of(document)
    layers = yaml_nodes.layers(services) if services else ()
    uses = aliases.uses_in(
        document.root, frozenset(id(layer) for layer in layers), yaml_nodes.edges(document.root)
    )
    return Section(document, file, yaml_nodes.table(services) if services else {}, scope, uses)


def services_of(document: Document) -> MappingNode | None:
    """Return the `services` of a document; Refused if a merge tag replaces them as a whole."""
    node = yaml_nodes.lookup(document.root, "services")
    if node is not None and node.tag in _REPLACING_TAGS:
        raise Refused(
            f"{document.path} line {yaml_nodes.line(node)}: 'services' as a whole is tagged {node.tag}"
        )
    return node if isinstance(node, MappingNode) else None


def image(project: ComposeModel, service: str) -> Found:
    """Return what Compose takes the image of `service` from: the last that defines it.

    Raises Refused if there is none.
    """
    if service not in project.homes:
        known = ", ".join(sorted(project.names)) or "none"
        detail = f"no service {service!r} in these files (services: {known})"
        raise Refused(detail, "Check `compose_file` and `compose_service`.", Reason.NOT_IN_FILE)
    # `image` beside `build` names what is built, and may still be pulled, so it counts first.
    found = defined(project, service, "image")
    if found is None and is_built(project, service):
        raise Refused(
            f"service {service!r} has no image: it is built here",
            "Give it an `image:` from a registry, or take it out of the configuration.",
            Reason.LOCALLY_BUILT,
        )
    if found is None:
        detail = f"service {service!r} has no image in these files"
        raise Refused(detail, "Check `compose_file` and `compose_service`.", Reason.NOT_IN_FILE)
    return found


def is_built(project: ComposeModel, service: str) -> bool:
    """Return whether a service has a `build`, so that its image may be no registry's."""
    try:
        found = defined(project, service, "build")
    except Refused:  # an `extends` into a file we do not see: what we do see has no build
        return False
    return found is not None and found.node.tag != "!reset"


def defined(project: ComposeModel, service: str, key: str) -> Found | None:
    """Return the value of `key` in a service, the last section that has it; an empty value is none.

    `extends` is followed. Raises Refused if it leads out of sight or round, or if a merge tag replaces the
    service.
    """
    return defined_in(project, project.homes.get(service, ()), service, key)


def defined_in(
    project: ComposeModel, sections: Sequence[Section], service: str, key: str, trail: _Trail = frozenset()
) -> Found | None:
    """Return the same as `defined`, within these sections; `trail` is how `extends` has led so far.

    Raises Refused as `defined` does.
    """
    # The last file wins, and the first that has the key ends the search.
    for section in reversed(sections):
        node = yaml_nodes.entry(section.services, service)
        if not isinstance(node, MappingNode):
            continue
        value = yaml_nodes.lookup(node, key)
        # `image:` with nothing behind it takes nothing away from an earlier file.
        if value is not None and not yaml_nodes.is_null(value):
            return Found(section, service, value)
        # What a section extends counts less than the section itself, and more than the files before it.
        base = _base(project, section, node)
        if base and (found := defined_in(project, base[0], base[1], key, _longer(trail, base))):
            return found
        # Nothing of the earlier files is left of the service, so the search must not go on to them.
        if node.tag in _REPLACING_TAGS:
            raise Refused(f"{section.where(node)}: {service!r} as a whole is tagged {node.tag}")
    return None


def heirs(project: ComposeModel) -> Mapping[tuple[int, str], frozenset[str]]:
    """Return the services that take something from a service of a section, by the section's id and that name.

    They are the one of the same name, and those that reach it through `extends`. Raises Refused as `defined`
    does.
    """
    found: dict[tuple[int, str], set[str]] = {}
    for name, sections in project.homes.items():
        for section, base in _ancestry(project, sections, name, frozenset()):
            found.setdefault((id(section), base), set()).add(name)
    return {key: frozenset(names) for key, names in found.items()}


def layers_of(project: ComposeModel, service: str) -> list[tuple[Section, Node]]:
    """Return every value that says something of a service, what it extends included, what counts more first.

    Raises Refused as `defined` does.
    """
    sections = tuple(reversed(project.homes.get(service, ())))
    found = _ancestry(project, sections, service, frozenset())
    nodes = ((section, yaml_nodes.entry(section.services, name)) for section, name in found)
    return [(section, node) for section, node in nodes if node is not None]


def _ancestry(
    project: ComposeModel, sections: Sequence[Section], service: str, trail: _Trail
) -> Iterator[tuple[Section, str]]:
    for section in sections:
        node = yaml_nodes.entry(section.services, service)
        if node is None:
            continue
        yield section, service
        base = _base(project, section, node) if isinstance(node, MappingNode) else None
        if base:
            yield from _ancestry(project, base[0], base[1], _longer(trail, base))


def _longer(trail: _Trail, base: _Base) -> _Trail:
    # By file and name: a service may extend one of the same name in another file.
    step = (id(base[0][0]), base[1])
    if step in trail:
        raise Refused(f"`extends` goes round in a circle at service {base[1]!r}")
    return trail | {step}


def _base(project: ComposeModel, section: Section, service: MappingNode) -> _Base | None:
    """Return the sections and the service that `extends` points to: of this section, or of a file we have."""
    extends = yaml_nodes.lookup(service, "extends")
    if extends is None or yaml_nodes.is_null(extends):
        return None
    name, file = yaml_nodes.extended(extends)
    if file is None:
        return (section,), name
    path = interpolation.resolve(file, section.path_values)
    known = () if path is None else _sections_of(project, section, path)
    if not known:
        raise Refused(
            (
                f"{section.where(extends)}: `extends` reaches into a file that is not the project's own, or "
                "not there"
            ),
            "Write the image in this service itself.",
        )
    return known, name


def _sections_of(project: ComposeModel, section: Section, path: str) -> tuple[Section, ...]:
    """Return the sections of a file; it may be read more than once, with other variables each time."""
    wanted = posixpath.normpath(posixpath.join(section.file.base, path))
    some = tuple(other for other in project.sections if posixpath.normpath(other.document.path) == wanted)
    same = tuple(other for other in some if other.file.env_paths == section.file.env_paths)
    # A file may be both merged and extended; then its reading for `extends` has the paths and variables that
    # count here.
    bases = tuple(other for other in same if not other.file.is_merged)
    return bases or same or some
