"""Who reads a variable of an env file besides the images that change: its new value reaches them too.

Pure.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from yaml.nodes import Node, ScalarNode

from updater_core.composefile import definition, env_values, includes, interpolation, yaml_nodes
from updater_core.composefile.definition import ComposeModel, Found, Section
from updater_core.composefile.yaml_nodes import Refused

_OUTSIDE = frozenset({""})
# What a service has by these is its data, or what it shares with others: `./pg-${V}:/data` would be an empty
# folder under the new version.
TIES = (
    "volumes", "volumes_from", "tmpfs", "devices", "secrets", "configs", "env_file", "extends",
    "network_mode", "networks", "ipc", "pid", "uts", "links", "external_links", "ports",
)  # fmt: skip
# By these a service is given paths, which are its data if they lie below something mounted.
_GIVEN = ("environment", "command", "entrypoint")
_MOUNTS = frozenset({"volumes", "tmpfs"})
_PATH = re.compile(r"(?<![\w/.-])/[\w./+-]+")  # an absolute one
_READ_BY_COMPOSE = ("COMPOSE_", "DOCKER_")  # also of an env file: they say what the project is


@dataclass(frozen=True, slots=True)
class Reader:
    """A node that a variable reaches, in words, and the services that take something from it.

    The empty name stands for what is no service's. No service at all: nothing takes it. `is_whole_file`: it
    takes every variable of the file that sets this one. `tie`: the key of a service's data, or of what it
    shares with others, if the node stands under one.
    """

    what: str
    node_id: int
    services: frozenset[str]
    is_whole_file: bool = False
    tie: str = ""

    def is_in_the_way(self, takers: frozenset[str]) -> bool:
        """Return whether a new value must not reach it, with the images of `takers`."""
        return bool(self.services and self.tie) or not self.services <= takers

    def refused(self, takers: frozenset[str], variable: str, written_out: str) -> Refused:
        """Return why a variable is not edited; `written_out`: the image without it, and where."""
        write = f"rite the image out in place of {variable}: {written_out}"
        others = " and ".join(sorted(self.services - takers - _OUTSIDE))
        detail = f"{self.what}, by {others}" if others else self.what
        if self.services <= takers:
            detail = f"{self.what}, in `{self.tie}`, which is to stay as it is"
        if self.is_whole_file and others:
            leave = f"take the file out of the `env_file` of {others} if nothing in it is needed there"
            return Refused(detail, f"W{write}; or {leave}.")
        return Refused(detail, f"Give this image a variable that nothing else uses, or w{write}.")


@dataclass(frozen=True, slots=True)
class _Mention:
    section: Section
    node: ScalarNode
    is_handed: bool  # by its bare name, as in `environment: [NAME]`


class Readers:
    """The readers of a project's variables. The files are gone through once, and only if something is asked.

    `missing`: a file that the project includes and that is not among its files.
    """

    def __init__(self, project: ComposeModel, missing: str | None) -> None:
        self._project = project
        self._missing = missing

    def of(self, path: str, variable: str) -> Iterator[Reader]:
        """Return everything that the variable reaches as the env file `path` sets it.

        Refused if there may be more out of sight.
        """
        for file, name in self.carriers(path, variable):
            yield from self._readers_of(file, name)
            if name.startswith(_READ_BY_COMPOSE):
                yield Reader(f"{variable} is also used in {file}, in {name}", 0, _OUTSIDE)
        self._check_sight(variable)

    def carriers(self, path: str, variable: str) -> list[tuple[str, str]]:
        """Return the variable, and those of env files whose values take it, each with its file."""
        found = [(path, variable)]
        for _, name in found:
            found += [each for each in self._taken_in_env.get(name, ()) if each not in found]
        return found

    def _readers_of(self, path: str, variable: str) -> Iterator[Reader]:
        for mention in self._mentions.get(variable, ()):
            section, node = mention.section, mention.node
            if _is_set_by(path, variable, section) and _is_reached(mention, variable):
                what = f"{variable} is also used in {section.where(node)}"
                services = self._services(section, node)
                tie = next((key for key in TIES if key in section.uses.keys(node)), "")
                tie = tie or self._given_path(mention, variable, services)
                yield Reader(what, id(node), services, tie=tie)
        for section, entry in self._listed.get(posixpath.normpath(path), ()):
            what = f"{path} with {variable} is also an env_file in {section.where(entry)}"
            yield Reader(what, id(entry), self._services(section, entry), is_whole_file=True)

    def _given_path(self, mention: _Mention, variable: str, services: frozenset[str]) -> str:
        """Return the key by which a service is given another path in what it has mounted; empty if by none.

        `PGDATA: /data/${V}` is an empty folder of the same volume under another version.
        """
        uses, values = mention.section.uses, mention.section.scope.values
        key = next((key for key in _GIVEN if key in uses.keys(mention.node)), "")
        if not key:
            return ""
        now = _text(mention, variable, values)
        then = _text(mention, variable, {**values, variable: f"{values.get(variable) or ''}0"})
        # Most texts give no path, and where things are mounted takes a look at the whole project.
        if paths_below(now, ("/",)) == paths_below(then, ("/",)):
            return ""
        below = tuple(place for service in services for place in self._mounted.get(service, ()))
        return key if paths_below(now, below) != paths_below(then, below) else ""

    @cached_property
    def _mounted(self) -> Mapping[str, list[str]]:
        """By each service, the places at which it has something mounted, as far as the files say."""
        found: dict[str, list[str]] = {}
        for section in self._project.sections:
            for key, node in section.uses.scalars:
                if key in ("", "target") and not _MOUNTS.isdisjoint(section.uses.keys(node)):
                    place = _target(_resolved(node.value, section.scope.values))
                    for service in self._services(section, node):
                        found.setdefault(service, []).append(place)
        return found

    @cached_property
    def shadowed(self) -> frozenset[int]:
        """Images that no service has any more, because a later file replaces them."""
        project = self._project
        try:
            last = [definition.defined(project, name, "image") for name in project.names]
            own = [
                definition.defined_in(project, (section,), name, "image")
                for name, sections in project.homes.items()
                for section in sections
            ]
        except Refused:  # who takes what is not known: every use counts
            return frozenset()
        kept = {id(image.node) for image in last if image}
        return frozenset(id(image.node) for image in own if image and _is_only_an_image(image)) - kept

    @cached_property
    def _mentions(self) -> Mapping[str, list[_Mention]]:
        found: dict[str, list[_Mention]] = {}
        for section in self._project.sections:
            for key, node in section.uses.scalars:
                for name in interpolation.variables(node.value):
                    found.setdefault(name, []).append(_Mention(section, node, is_handed=False))
                handed = key if yaml_nodes.is_null(node) else node.value
                if handed in section.scope.settings:
                    found.setdefault(handed, []).append(_Mention(section, node, is_handed=True))
        return found

    @cached_property
    def _listed(self) -> Mapping[str, list[tuple[Section, Node]]]:
        """Return the values of `env_file:` by the paths that they may mean; an unknown one may mean any."""
        every = [posixpath.normpath(file.path) for file in self._project.env_files]
        found: dict[str, list[tuple[Section, Node]]] = {}
        for section in self._project.sections:
            for node in section.uses.env_files:
                if section.uses.services_with(node) <= _OUTSIDE:  # an `include` reads it, or nobody does
                    continue
                for path in _listed_paths(section, node) or every:
                    found.setdefault(path, []).append((section, node))
        return found

    @cached_property
    def _taken_in_env(self) -> Mapping[str, list[tuple[str, str]]]:
        """By each variable that a value of an env file takes: that file, and what it sets with it."""
        found: dict[str, list[tuple[str, str]]] = {}
        for file in self._project.env_files:
            for assignment in env_values.assignments(file.text):
                text = file.text[assignment.start : assignment.end] if assignment.value is None else ""
                for name in interpolation.variables(text):
                    found.setdefault(name, []).append((file.path, assignment.key))
        return found

    @cached_property
    def _heirs(self) -> Mapping[tuple[int, str], frozenset[str]] | None:
        try:
            return definition.heirs(self._project)
        except Refused:
            return None

    def _services(self, section: Section, node: Node) -> frozenset[str]:
        found: set[str] = set()
        for name in section.uses.services_with(node):
            heirs = self._heirs.get((id(section), name), frozenset()) if self._heirs is not None else {name}
            found |= heirs if name else _OUTSIDE
        return frozenset(found)

    def _check_sight(self, variable: str) -> None:
        if self._missing and includes.is_remote(self._missing):
            raise Refused(
                f"{variable} may also be used in {self._missing}, which Compose fetches",
                f"Include a copy of that file on this host, or write the image out in place of {variable}.",
            )
        if self._missing:
            raise Refused(
                f"{variable} may also be used in {self._missing}, which is not there",
                "Put that file back, or take it out of `include`.",
            )
        if self._heirs is None:
            raise Refused(
                f"{variable} may also be used in a file that `extends` reaches, and that is not there",
                "Put that file back, or write the service out.",
            )


def paths_below(text: str, places: tuple[str, ...]) -> list[str]:
    """Return the absolute paths in a text that lie below one of the places.

    >>> paths_below("PGDATA=/data/15", ("/data",)), paths_below("/database", ("/data",))
    (['/data/15'], [])
    """
    folders = tuple(place.rstrip("/") + "/" for place in places)
    return [path for path in _PATH.findall(text) if path.startswith(folders)]


def _text(mention: _Mention, variable: str, values: Mapping[str, str | None]) -> str:
    return values.get(variable) or "" if mention.is_handed else _resolved(mention.node.value, values)


def _resolved(text: str, values: Mapping[str, str | None]) -> str:
    """Return a text as Compose resolves it; as it is written if the text alone does not say."""
    resolved = interpolation.resolve(text, values)
    return text if resolved is None else resolved


def _target(mount: str) -> str:
    """Return the place in the container of a mount in its short form, or of a bare place.

    >>> _target("./x:/data:ro"), _target("/data")
    ('/data', '/data')
    """
    parts = mount.split(":")
    return parts[1] if len(parts) > 1 else mount


def _is_only_an_image(image: Found) -> bool:
    return isinstance(image.node, ScalarNode) and not image.section.uses.is_more_than_an_image(image.node)


def _is_set_by(path: str, variable: str, section: Section) -> bool:
    settings = section.scope.settings.get(variable)
    return settings is not None and settings[-1][0].path == path


def _is_reached(mention: _Mention, variable: str) -> bool:
    values = mention.section.scope.values
    return mention.is_handed or interpolation.depends(mention.node.value, variable, values)


def _listed_paths(section: Section, entry: Node) -> frozenset[str]:
    """Return the paths that a value of `env_file:` names, from any folder that Compose could mean.

    Empty if a variable in it is not known.
    """
    texts = [entry] if isinstance(entry, ScalarNode) else [child for _, _, child in yaml_nodes.edges(entry)]
    folders = {section.file.base, posixpath.dirname(section.document.path)}
    found: set[str] = set()
    for scalar in (node for node in texts if isinstance(node, ScalarNode)):
        parts = interpolation.pieces(scalar.value, section.path_values)
        if parts is None or interpolation.unset(parts):
            return frozenset()
        listed = "".join(part.text for part in parts)
        found |= {posixpath.normpath(posixpath.join(folder, listed)) for folder in folders}
    return frozenset(found)
