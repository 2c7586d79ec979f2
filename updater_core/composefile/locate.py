"""Where a service's image is written in a project's compose and env files, and what else would change with it. Pure.

Sources: https://docs.docker.com/reference/compose-file/ (merge, extends, include, interpolation), checked against
Compose 2.26.1.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from yaml.nodes import Node, ScalarNode

from updater_core import reference
from updater_core.composefile import definition, interpolation, yaml_nodes
from updater_core.composefile.definition import Found, Project, SourceFile
from updater_core.composefile.interpolation import Piece, Source
from updater_core.composefile.yaml_nodes import Document, Refused
from updater_core.models import ImageRef, Reason

SERVICE = "service"
VARIABLE = "variable"


@dataclass(frozen=True, slots=True)
class NotEditable:
    """Why an image cannot be changed in the text: a stable reason, a sentence, and what a person can do."""

    reason: Reason
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is written: a service's whole image value, or the value of a variable; quotes left out.

    `key` is the service or the variable (`kind`); `start` to `end` count code points of the file's text.
    """

    kind: str
    path: str
    key: str
    start: int
    end: int
    text: str

    @property
    def spot(self) -> tuple[str, int]:
        return self.path, self.start


@dataclass(frozen=True, slots=True)
class Located:
    """A service's image. `reference` is None where the text alone cannot tell it; `place` or `obstacle` is set.

    `takers` are all services of the project that take their image from this place, this one included.
    """

    service: str
    reference: str | None
    place: Place | None
    obstacle: NotEditable | None
    takers: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """An image that could be taken apart: its scalar, its pieces, the piece that holds the tag, and where that is."""

    document: Document
    node: ScalarNode
    parts: tuple[Piece, ...]
    image: ImageRef
    piece: Piece
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A project, and every service of it whose image could be taken apart."""

    project: Project
    sites: Mapping[str, Site]


# --------------------------------------------------------------------------------------------- the place of an image


@lru_cache(maxsize=2)
def survey(files: tuple[SourceFile, ...], env_files: tuple[SourceFile, ...]) -> Survey:
    """Read a project; Refused where a file cannot be read. Remembered: a cycle asks for one service after another."""
    documents = tuple(document for file in files for document in yaml_nodes.documents(file.path, file.text))
    tables = [definition.services_of(document) for document in documents]
    names = tuple(dict.fromkeys(name for table in tables if table for name in yaml_nodes.keys(table)))
    project = Project(documents, names, env_files, interpolation.environment(file.text for file in env_files))
    return Survey(project, _sites(project))


def located(seen: Survey, service: str) -> Located:
    """The image of `service`; Refused where the service is not there or has no image."""
    project, sites = seen.project, seen.sites
    try:
        found = definition.image(project, service)
    except Refused as refused:
        if refused.reason is not Reason.NOT_EDITABLE:
            raise
        return Located(service, None, None, answer(refused), frozenset({service}))
    text = _text(project, found)
    takers = _takers(sites, service)
    try:
        if definition.is_built(project, service):
            raise Refused(
                f"service {service!r} is built here; its image is only the name of what is built",
                "Take `build:` out, or take the service out of the configuration.",
                Reason.LOCALLY_BUILT,
            )
        site = _site(project, service)
        _check_uses(project, sites, service)
        return Located(service, text, site.place, None, takers)
    except Refused as refused:
        return Located(service, text, None, answer(refused), takers)


def _text(project: Project, found: Found) -> str | None:
    is_text = isinstance(found.node, ScalarNode) and found.node.tag != "!reset"
    return interpolation.resolve(str(found.node.value), project.values) if is_text else None


def _sites(project: Project) -> dict[str, Site]:
    """Every service whose image could be taken apart."""
    sites = {}
    for service in project.names:
        try:
            sites[service] = _site(project, service)
        except Refused:
            continue
    return sites


def _site(project: Project, service: str) -> Site:
    found = definition.image(project, service)
    node, where = found.node, f"{found.document.path} line {yaml_nodes.line(found.node)}"
    if not isinstance(node, ScalarNode) or node.tag == "!reset":
        raise Refused(f"{where}: the image is not a text", "Write the image as plain text.")
    parts = interpolation.pieces(node.value, project.values)
    if parts is None:
        raise Refused(
            f"{where}: {node.value!r} cannot be resolved from the project's files alone",
            "Set its variables once, as plain `KEY=value`, in the project's .env, or write the image out.",
        )
    try:
        image = reference.parse("".join(part.text for part in parts))
    except ValueError as error:
        raise Refused(f"{where}: {error}", "Write a complete image reference.") from None
    piece = interpolation.holder(parts, len(image.name))
    if isinstance(piece, str) or piece.source is Source.COMPUTED:
        why = piece if isinstance(piece, str) else f"the value of {piece.variable or '$$'} is computed"
        raise Refused(f"{where}: {node.value!r}: {why}", "Keep the whole tag in one variable, or write it out.")
    if piece.source is Source.ASSIGNED:
        place = assigned(project.env_files, piece.variable)
    else:
        place = image_place(found.document, found.service, node)
    return Site(found.document, node, parts, image, piece, place)


def assigned(env_files: Sequence[SourceFile], variable: str) -> Place:
    """Where a variable is set: once, plainly, in one of the env files."""
    places = [
        Place(VARIABLE, file.path, variable, a.start, a.end, file.text[a.start : a.end])
        for file in env_files
        for a in interpolation.assignments(file.text)
        if a.key == variable
    ]
    if len(places) != 1:
        raise Refused(f"{variable} is set {len(places)} times in the env files", f"Set {variable} once, in one file.")
    if not interpolation.is_reference_text(places[0].text):
        raise Refused(f"{places[0].path}: the value of {variable} is not plain", f"Write {variable} as KEY=value.")
    return places[0]


def _takers(sites: Mapping[str, Site], service: str) -> frozenset[str]:
    """The services of the same place. Through a variable, those of the same repository: others merely use it."""
    mine = sites.get(service)
    if mine is None:
        return frozenset({service})
    shared = {name: site for name, site in sites.items() if site.place.spot == mine.place.spot}
    return frozenset({service} | {n for n, s in shared.items() if s.node is mine.node or s.image.key == mine.image.key})


# ---------------------------------------------------------------------------------------- what else a change would hit


def _check_uses(project: Project, sites: Mapping[str, Site], service: str) -> None:
    place = sites[service].place
    images = {id(sites[taker].node): sites[taker] for taker in _takers(sites, service)}
    for site in images.values():
        if yaml_nodes.is_aliased_elsewhere(site.document.root, site.node, _tables(site.document)):
            raise Refused(
                f"{site.document.path} line {yaml_nodes.line(site.node)}:"
                " through an anchor this text is more than an image",
                "Write the image out where it is used for something else.",
            )
    if place.kind == VARIABLE:
        _check_variable(project, place, {*images, *_shadowed(project, place.key)})


def _shadowed(project: Project, variable: str) -> set[int]:
    """Images with `variable` that no service has any more, because a later file replaces them."""
    found: set[int] = set()
    try:
        for document, name in ((document, name) for document in project.documents for name in project.names):
            own = definition.defined(project, (document,), name, "image")
            if own and isinstance(own.node, ScalarNode) and interpolation.uses(own.node.value, variable):
                is_more = yaml_nodes.is_aliased_elsewhere(own.document.root, own.node, _tables(own.document))
                found |= set() if is_more else {id(own.node)}
        last = [definition.defined(project, project.documents, name, "image") for name in project.names]
    except Refused:  # who takes what is not known: count every use
        return set()
    return found - {id(image.node) for image in last if image}


def _tables(document: Document) -> frozenset[int]:
    services = definition.services_of(document)
    return frozenset(id(table) for table in yaml_nodes.layers(services)) if services else frozenset()


def _check_variable(project: Project, place: Place, images: set[int]) -> None:
    name = place.key
    remedy = f"Give this image a variable that nothing else uses, or write the image out in place of {name}."
    for document in project.documents:
        for _, key, child in yaml_nodes.edges(document.root):
            if id(child) not in images and _takes(child, name):
                raise Refused(f"{name} is also used in {document.path} line {yaml_nodes.line(child)}", remedy)
            if key == name and yaml_nodes.is_null(child):
                raise Refused(
                    f"{name} is handed to a container in {document.path} line {yaml_nodes.line(child)}", remedy
                )
            if key == "env_file" and _lists(project, child, place.path):
                raise Refused(
                    f"{place.path} is also an env_file in {document.path} line {yaml_nodes.line(child)}", remedy
                )
    for file in project.env_files:
        if any(interpolation.uses(file.text[a.start : a.end], name) for a in interpolation.assignments(file.text)):
            raise Refused(f"{name} is also used in {file.path}", remedy)
    if definition.has_include(project) or definition.has_foreign_base(project):
        raise Refused(f"{name} may also be used in files reached by `include` or `extends`", remedy)


def _takes(node: Node, variable: str) -> bool:
    """Whether a scalar takes the variable: `$V`, or just its name, as in `environment: [V]`."""
    return isinstance(node, ScalarNode) and (node.value == variable or interpolation.uses(node.value, variable))


def _lists(project: Project, entry: Node, path: str) -> bool:
    """Whether the value of an `env_file:` names `path`, from any folder that Compose could mean."""
    texts = [entry] if isinstance(entry, ScalarNode) else [child for _, _, child in yaml_nodes.edges(entry)]
    bases = {path, *(document.path for document in project.documents)}
    for scalar in (node for node in texts if isinstance(node, ScalarNode)):
        listed = interpolation.resolve(scalar.value, project.values)
        if listed is None or any(definition.joined(base, listed) == posixpath.normpath(path) for base in bases):
            return True
    return False


def image_place(document: Document, service: str, node: ScalarNode) -> Place:
    start, end = (index + document.offset for index in yaml_nodes.span(document, node))
    return Place(SERVICE, document.path, service, start, end, node.value)


def reference_of(project: Project, service: str) -> str | None:
    try:
        return _text(project, definition.image(project, service))
    except Refused:
        return None


def answer(refused: Refused) -> NotEditable:
    return NotEditable(refused.reason, str(refused), refused.remedy)
