"""Which value of a project's compose files defines a key of a service: the last file's, `extends` followed. Pure.

Sources: https://docs.docker.com/reference/compose-file/ (merge, extends, include), checked against Compose 2.26.1.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode

from updater_core.composefile import yaml_nodes
from updater_core.composefile.yaml_nodes import Document, Refused
from updater_core.models import Reason

_REPLACING_TAGS = ("!reset", "!override")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as decoded text, byte-order mark and line ends as they are."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Project:
    """The parsed files, the names of their services, and what the env files set."""

    documents: tuple[Document, ...]
    names: tuple[str, ...]
    env_files: tuple[SourceFile, ...]
    values: Mapping[str, str | None]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A value, and the service in whose own mapping (merge keys included) it stands."""

    document: Document
    service: str
    node: Node


_Trail = frozenset[tuple[int, str]]


def services_of(document: Document) -> MappingNode | None:
    """The `services` of a document; Refused where a merge tag replaces them as a whole."""
    node = yaml_nodes.lookup(document.root, "services")
    if node is not None and node.tag in _REPLACING_TAGS:
        raise Refused(f"{document.path} line {yaml_nodes.line(node)}: 'services' as a whole is tagged {node.tag}")
    return node if isinstance(node, MappingNode) else None


def image(project: Project, service: str) -> Found:
    """What Compose takes the image of `service` from: the last that defines it. Refused where there is none."""
    if service not in project.names:
        raise _absent(project, service)
    found = defined(project, project.documents, service, "image")
    if found is None and is_built(project, service):
        raise Refused(
            f"service {service!r} has no image: it is built here",
            "Give it an `image:` from a registry, or take it out of the configuration.",
            Reason.LOCALLY_BUILT,
        )
    if found is None:
        raise Refused(f"service {service!r} has no image in these files", _include_remedy(project), Reason.NOT_IN_FILE)
    return found


def _absent(project: Project, service: str) -> Refused:
    known = ", ".join(sorted(project.names)) or "none"
    return Refused(
        f"no service {service!r} in these files (services: {known})", _include_remedy(project), Reason.NOT_IN_FILE
    )


def _include_remedy(project: Project) -> str:
    if has_include(project):
        return (
            "`include` is not followed: write the image in the top file, or list the included file as `compose_file`."
        )
    return "Check `compose_file` and `compose_service`."


def is_built(project: Project, service: str) -> bool:
    """Whether a service has a `build`, so that its image is no registry's."""
    try:
        found = defined(project, project.documents, service, "build")
    except Refused:  # an `extends` into a file we do not see: what we do see has no build
        return False
    return found is not None and found.node.tag != "!reset"


def defined(
    project: Project, documents: Sequence[Document], service: str, key: str, trail: _Trail = frozenset()
) -> Found | None:
    """The value of `key` in a service, the last document that has it, `extends` followed; an empty value is none.

    `trail` is where `extends` has led so far. Refused where it leads out of sight or round, or where a merge tag
    replaces the service."""
    for document in reversed(documents):
        services = services_of(document)
        node = yaml_nodes.lookup(services, service) if services else None
        if not isinstance(node, MappingNode):
            continue
        value = yaml_nodes.lookup(node, key)
        if value is not None and not yaml_nodes.is_null(value):
            return Found(document, service, value)
        base = _base(project, document, node)
        if base and (found := defined(project, base[0], base[1], key, _longer(trail, base))):
            return found
        if node.tag in _REPLACING_TAGS:
            raise Refused(f"{document.path} line {yaml_nodes.line(node)}: {service!r} as a whole is tagged {node.tag}")
    return None


def _longer(trail: _Trail, base: tuple[tuple[Document, ...], str]) -> _Trail:
    step = (id(base[0][0]), base[1])
    if step in trail:
        raise Refused(f"`extends` goes round in a circle at service {base[1]!r}")
    return trail | {step}


def _base(project: Project, document: Document, service: MappingNode) -> tuple[tuple[Document, ...], str] | None:
    """The documents and the service that `extends` points to: of the same document, or of a file we were given."""
    extends = yaml_nodes.lookup(service, "extends")
    if extends is None or yaml_nodes.is_null(extends):
        return None
    name = yaml_nodes.lookup(extends, "service") if isinstance(extends, MappingNode) else extends
    file = yaml_nodes.lookup(extends, "file") if isinstance(extends, MappingNode) else None
    documents = (document,) if file is None else _documents_of(project, document, str(file.value))
    if not documents:
        raise Refused(
            f"{document.path} line {yaml_nodes.line(extends)}: `extends` reaches into a file"
            " that is not the project's own",
            "Write the image in this service itself.",
        )
    return documents, str(name.value) if isinstance(name, ScalarNode) else ""


def _documents_of(project: Project, document: Document, path: str) -> tuple[Document, ...]:
    wanted = {joined(base, path) for base in (document.path, project.documents[0].path)}
    return tuple(other for other in project.documents if posixpath.normpath(other.path) in wanted)


def joined(file: str, path: str) -> str:
    """`path` as it is meant in a file: relative to that file's folder."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), path))


def has_include(project: Project) -> bool:
    """Whether a document brings in files that we are not given."""
    found = [yaml_nodes.lookup(document.root, "include") for document in project.documents]
    return any(node is not None and not yaml_nodes.is_null(node) for node in found)


def has_foreign_base(project: Project) -> bool:
    """Whether a service extends one that we do not see."""
    try:
        for service in project.names:
            defined(project, project.documents, service, "\0")  # no such key: every base is visited
    except Refused:
        return True
    return False
