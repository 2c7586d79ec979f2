"""Which further files a compose file brings in by `include` and by `extends`, read as Compose reads them.

Pure.

Source: https://docs.docker.com/reference/compose-file/include/, checked against Compose 2.26.1: paths start
at the project directory of the file that includes; what that file's own variables are set to beats the
included env files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from updater_core.composefile import interpolation, yaml_nodes
from updater_core.composefile.yaml_nodes import Refused

NO_ENV_FILE = "/dev/null"  # Compose's own spelling of "none" (compose-go, `loader/include.go`)

_BRINGS_IN = re.compile(r"\b(?:include|extends)\b")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|[\w.-]+\.[a-z]+/[^.].*\.git\b")


@dataclass(frozen=True, slots=True)
class Unset:
    """A path as it is written, its line, and the variables in it that nothing sets."""

    text: str
    line: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Include:
    """One entry of `include`: its files (base first), where their paths start, and its env files.

    None: `.env` there, if there is one; empty: none at all (`NO_ENV_FILE`). All paths absolute; `entry` is
    the node it is written in. `unset`: the paths that take variables set nowhere, which count as empty.
    """

    paths: tuple[str, ...]
    directory: str
    env_paths: tuple[str, ...] | None
    entry: Node
    unset: tuple[Unset, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one file brings in: its includes, and the files that its services extend."""

    includes: tuple[Include, ...] = ()
    bases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a file's paths are read by: where relative ones start, and the values of its variables."""

    directory: str
    values: Mapping[str, str | None]


def wanted(path: str, text: str, setting: Setting) -> Wanted:
    """Return what a file brings in. Nothing if it cannot be read: that is said later."""
    if not _BRINGS_IN.search(text):
        return Wanted()
    try:
        roots = [document.root for document in yaml_nodes.documents(path, text)]
        found = [include for root in roots for include in included(root, setting)]
        bases = [base for root in roots for base in _bases(root, setting)]
    except Refused:
        return Wanted()
    return Wanted(tuple(found), tuple(dict.fromkeys(bases)))


def included(root: MappingNode, setting: Setting) -> Iterator[Include]:
    """Return the entries of a document's `include`.

    One whose paths are not known from the text has its path as written.
    """
    node = yaml_nodes.lookup(root, "include")
    for entry in node.value if isinstance(node, SequenceNode) else ():
        paths = tuple(_absolute(setting, path) for path in _texts(setting, _part(entry, "path") or entry))
        directory = next(iter(_texts(setting, _part(entry, "project_directory"))), None)
        env_texts = _texts(setting, _part(entry, "env_file"))
        env_paths = tuple(_absolute(setting, path) for path in env_texts if path != NO_ENV_FILE)
        if paths:
            start = _absolute(setting, directory) if directory else posixpath.dirname(paths[0])
            unset = tuple(_unset(setting, entry))
            yield Include(paths, start, env_paths if env_texts else None, entry, unset)


def _unset(setting: Setting, entry: Node) -> Iterator[Unset]:
    keys = ("path", "project_directory", "env_file")
    nodes = [_part(entry, key) for key in keys] if isinstance(entry, MappingNode) else [entry]
    for scalar in (each for node in nodes for each in _scalars(node)):
        parts = interpolation.pieces(str(scalar.value), setting.values)
        names = interpolation.unset(parts) if parts is not None else ()
        if names:
            yield Unset(str(scalar.value), yaml_nodes.line(scalar), names)


def _part(entry: Node, key: str) -> Node | None:
    found = yaml_nodes.lookup(entry, key) if isinstance(entry, MappingNode) else None
    return None if found is None or yaml_nodes.is_null(found) else found


def _texts(setting: Setting, node: Node | None) -> list[str]:
    """Return the texts of a scalar or of a list of them, variables filled in."""
    return [interpolation.resolve(each.value, setting.values) or str(each.value) for each in _scalars(node)]


def _scalars(node: Node | None) -> list[ScalarNode]:
    items = node.value if isinstance(node, SequenceNode) else [node]
    return [item for item in items if isinstance(item, ScalarNode)]


def _bases(root: MappingNode, setting: Setting) -> Iterator[str]:
    services = yaml_nodes.lookup(root, "services")
    table = yaml_nodes.table(services) if isinstance(services, MappingNode) else {}
    for service, *_ in table.values():
        extends = yaml_nodes.lookup(service, "extends") if isinstance(service, MappingNode) else None
        file = yaml_nodes.extended(extends)[1] if extends is not None else None
        path = interpolation.resolve(file, setting.values) if file else None
        if path and not is_remote(path):
            yield _absolute(setting, path)


def is_remote(path: str) -> bool:
    """Return whether a path is no file of this host: Compose fetches it (`oci://`, git).

    >>> is_remote("oci://docker.io/a/b:1"), is_remote("../db/compose.yml")
    (True, False)
    """
    return _REMOTE.match(path) is not None


def _absolute(setting: Setting, path: str) -> str:
    return path if is_remote(path) else posixpath.normpath(posixpath.join(setting.directory, path))
