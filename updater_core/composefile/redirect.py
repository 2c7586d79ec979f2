"""Copies of a project's files that Compose is to read in place of the files themselves. Pure.

What brings in a file by `include` or `extends` has to name its copy.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from yaml.nodes import MappingNode, Node

from updater_core.composefile import definition, includes, interpolation, yaml_nodes
from updater_core.composefile.definition import Section, SourceFile
from updater_core.composefile.includes import Include, Setting


@dataclass(frozen=True, slots=True)
class Sources:
    """A project's files, as `definition.parse` takes them, and how the copy of a path is called."""

    files: Sequence[SourceFile]
    env_files: Sequence[SourceFile]
    copy_of: Callable[[str], str]


def copies(sources: Sources, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the text of every copy that is needed so that Compose reads `texts` (by path).

    That is of these files, and of those that bring one of them in, up to the files that the project is
    started from. Raises Refused if a file is no YAML.
    """
    found = dict(texts)
    # A copy has another name, so what includes it needs a copy too, and so on up to the project's own files.
    while True:
        sections = _sections(sources, texts)
        added = {path: _redirected(some, found, sources.copy_of) for path, some in sections.items()}
        needed = {path: text for path, text in added.items() if text is not None}
        if needed.keys() <= found.keys() and all(found[path] == text for path, text in needed.items()):
            return found
        found |= needed


def _sections(sources: Sources, texts: Mapping[str, str]) -> dict[str, list[Section]]:
    """Return the documents of each file, in the text it shall have."""
    files = [replace(each, text=texts.get(each.path, each.text)) for each in sources.files]
    found: dict[str, list[Section]] = {}
    for section in definition.parse(files, sources.env_files).sections:
        found.setdefault(section.document.path, []).append(section)
    return found


def _redirected(
    sections: Sequence[Section], copied: Mapping[str, str], copy_of: Callable[[str], str]
) -> str | None:
    """Return the text of one file with the names of the copies in it; None if it brings in none of them."""
    document = sections[0].document
    changes = {
        start: (end, new) for section in sections for start, end, new in _changes(section, copied, copy_of)
    }
    if not changes:
        return None
    text = document.text
    # From the end: a change must not move the places of the ones before it.
    for start in sorted(changes, reverse=True):
        end, new = changes[start]
        written = text[start:end].rstrip()
        text = text[:start] + new + text[start + len(written) :]
    return text


def _changes(
    section: Section, copied: Mapping[str, str], copy_of: Callable[[str], str]
) -> Iterator[tuple[int, int, str]]:
    """Start, end and new text of each node that names a file of which there is a copy."""

    def renamed(path: str) -> str:
        return copy_of(path) if path in copied else path

    if section.file.is_merged:
        setting = Setting(section.file.base, section.path_values)
        for include in includes.included(section.document.root, setting):
            paths, env_paths = list(map(renamed, include.paths)), _env_paths(include, copied)
            if paths != list(include.paths) or any(path in copied for path in env_paths):
                named = list(map(renamed, env_paths))
                env_file = [includes.NO_ENV_FILE] if include.env_paths == () else named
                entry = {"path": paths, "project_directory": include.directory, "env_file": env_file}
                yield *_span(include.entry), _json({key: value for key, value in entry.items() if value})
    for node, service, path in _extended(section):
        if path in copied:
            yield *_span(node), _json({"file": renamed(path), "service": service})


def _env_paths(include: Include, copied: Mapping[str, str]) -> tuple[str, ...]:
    """Return the env files that are named, or the `.env` that Compose would find if there is a copy of it."""
    if include.env_paths is not None:
        return include.env_paths
    default = posixpath.join(include.directory, ".env")
    return (default,) if default in copied else ()


def _extended(section: Section) -> Iterator[tuple[Node, str, str]]:
    """Return each `extends` of the document that names a file: its node, the service and the path."""
    for values in section.services.values():
        service = values[0]
        node = yaml_nodes.lookup(service, "extends") if isinstance(service, MappingNode) else None
        name, file = yaml_nodes.extended(node) if node is not None else ("", None)
        path = interpolation.resolve(file, section.path_values) if file else None
        if node is not None and path:
            yield node, name, posixpath.normpath(posixpath.join(section.file.base, path))


def _span(node: Node) -> tuple[int, int]:
    return int(node.start_mark.index), int(node.end_mark.index)


def _json(value: Mapping[str, object]) -> str:
    """JSON is YAML; a dollar sign in a path is no variable."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")
