"""Where a service's image is written in a project's compose and env files. Pure.

Everything is worked out for all services at once: what it costs grows with the files, not with services times
files. Sources: https://docs.docker.com/reference/compose-file/ (merge, extends, include, interpolation),
checked against Compose 2.26.1.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from yaml.nodes import ScalarNode

from updater_core import reference
from updater_core.composefile import definition, env_values, includes, interpolation
from updater_core.composefile.definition import ComposeModel, Found, Scope, Section, SourceFile
from updater_core.composefile.includes import Setting
from updater_core.composefile.interpolation import Piece, Source
from updater_core.composefile.readers import Readers
from updater_core.composefile.splice import VARIABLE, Place, image_place, last_assignment
from updater_core.composefile.yaml_nodes import Refused
from updater_core.models import ImageRef, Reason


@dataclass(frozen=True, slots=True)
class NotEditable:
    """Why an image cannot be changed in the text: a stable reason, a sentence, and what a person can do."""

    reason: Reason
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Located:
    """A service's image. `reference` is None if the text alone cannot tell it; `place` or `obstacle` is set.

    `takers` are all services of the project that take their image from this place, this one included. `notes`
    say what else of these services changes with it. `is_built`: there is a `build` beside the image.
    """

    service: str
    reference: str | None
    place: Place | None
    obstacle: NotEditable | None
    takers: frozenset[str]
    notes: tuple[str, ...] = ()
    is_built: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """An image that could be taken apart: its scalar, its pieces, the piece to write to, and its place."""

    section: Section
    node: ScalarNode
    parts: tuple[Piece, ...]
    image: ImageRef
    piece: Piece
    place: Place


@dataclass(frozen=True, slots=True)
class Reach:
    """What else a change of a place would do: an obstacle, or notes.

    No takers: each service is for itself, for no change of the place could be right for all of them.
    """

    takers: frozenset[str]
    obstacle: NotEditable | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A project, every service of it whose image could be taken apart, and what stands against each place."""

    project: ComposeModel
    sites: Mapping[str, Site]
    reaches: Mapping[tuple[str, int], Reach]


def locate(
    files: Sequence[SourceFile], env_files: Sequence[SourceFile], service: str
) -> Located | NotEditable:
    """Return the place of `service`'s image in the project's `files` (base first, then overrides).

    `env_files` are those Compose interpolates from, the later over the earlier. NotEditable if a file is not
    YAML, or the service is not there or has no image.
    """
    try:
        return located(survey(tuple(files), tuple(env_files)), service)
    except Refused as refused:
        return answer(refused)


# -------------------------------------------------------------------------------------- the place of an image


# Two: one project as it is, and the same with a target while it is planned. More would keep whole parsed
# projects alive.
@lru_cache(maxsize=2)
def survey(
    files: tuple[SourceFile, ...], env_files: tuple[SourceFile, ...], targets: tuple[ImageRef, ...] = ()
) -> Survey:
    """Read a project; Refused if a file cannot be read.

    Remembered: a cycle asks for one service after another.

    `targets`: what is to be written. A tag that several pieces make up is written to the one that can hold
    it.
    """
    project = definition.parse(files, env_files)
    sites = _sites(project, {target.key: target for target in targets})
    return Survey(project, sites, _reaches(project, sites))


def located(seen: Survey, service: str) -> Located:
    """Return the image of `service`; Refused if the service is not there or has no image."""
    project = seen.project
    try:
        found = definition.image(project, service)
    except Refused as refused:
        # What is not there, or no YAML, is the caller's matter; what cannot be edited can still be shown.
        if refused.reason is not Reason.NOT_EDITABLE:
            raise _absent(project, refused) from None
        return Located(service, None, None, answer(refused), frozenset({service}))
    text, is_built = _text(found), definition.is_built(project, service)
    # What Compose builds at each start never runs the image of a registry.
    if is_built and _is_built_always(project, service):
        raise Refused(
            f"service {service!r} is built at every start (`pull_policy: build`)",
            "Take `pull_policy: build` out, or take the service out of the configuration.",
            Reason.LOCALLY_BUILT,
        )
    site = seen.sites.get(service)
    if site is None:
        obstacle = _why_not(project, service)
        return Located(service, text, None, obstacle, frozenset({service}), is_built=is_built)
    reach = seen.reaches[site.place.spot]
    place = None if reach.obstacle else site.place
    takers = reach.takers or frozenset({service})
    return Located(service, text, place, reach.obstacle, takers, reach.notes, is_built)


def _is_built_always(project: ComposeModel, service: str) -> bool:
    found = definition.defined(project, service, "pull_policy")
    if found is None or not isinstance(found.node, ScalarNode):
        return False
    return interpolation.resolve(found.node.value, found.section.scope.values) == "build"


def _text(found: Found) -> str | None:
    """Return what the image resolves to; None if it is no whole reference for want of a variable."""
    if not isinstance(found.node, ScalarNode) or found.node.tag == "!reset":
        return None
    parts = interpolation.pieces(str(found.node.value), found.section.scope.values)
    if parts is None:
        return None
    text = "".join(part.text for part in parts)
    # `app:${TAG}` without a value is `app:`, which Compose rejects; `app${SUFFIX}` without one is a reference
    # as it stands.
    is_whole = not interpolation.unset(env_values.deepened(parts, found.section.scope.environment))
    return text if is_whole or reference.is_valid(text) else None


def _sites(project: ComposeModel, targets: Mapping[str, ImageRef]) -> dict[str, Site]:
    """Return every service whose image could be taken apart."""
    sites = {}
    for service in project.names:
        try:
            sites[service] = _site(project, service, targets)
        # The other services of the file may be fine; why this one is not is said when it is asked for.
        except Refused:
            continue
    return sites


def _why_not(project: ComposeModel, service: str) -> NotEditable:
    try:
        _site(project, service, {})
    except Refused as refused:
        return answer(refused)
    raise AssertionError(f"{service} has a site")


def _site(project: ComposeModel, service: str, targets: Mapping[str, ImageRef]) -> Site:
    found = definition.image(project, service)
    node, where = found.node, found.section.where(found.node)
    if not isinstance(node, ScalarNode) or node.tag == "!reset":
        raise Refused(f"{where}: the image is not a text", "Write the image as plain text.")
    parts = interpolation.pieces(node.value, found.section.scope.values)
    if parts is None:
        raise _unresolved(where, node.value, found.section.scope)
    image = _parsed(where, node.value, parts, found.section.scope)
    # Only now: a variable's own value may be put together from others, and the one to write is the innermost.
    parts = env_values.deepened(parts, found.section.scope.environment)
    writable = interpolation.writable_pieces(parts, len(image.name))
    if isinstance(writable, str):
        whole = "the whole tag with its digest" if image.digest else "the whole tag"
        raise Refused(
            f"{where}: {node.value!r}: {writable}", f"Keep {whole} in one variable, or write the image out."
        )
    piece = _piece(parts, writable, image, targets)
    if piece.source is Source.ASSIGNED:
        place = _assigned(found.section.scope, piece)
    else:
        place = image_place(found.section.document, found.service, node)
    return Site(found.section, node, parts, image, piece, place)


def _unresolved(where: str, text: str, scope: Scope) -> Refused:
    detail = f"{where}: {text!r} cannot be resolved from the project's files alone"
    names = " and ".join(sorted(scope.environment.open_names(text)))
    if not names:
        remedy = (
            "Set its variables once, as plain `KEY=value`, in the project's .env, or write the image out."
        )
        return Refused(detail, remedy)
    return Refused(
        f"{detail}: no env file sets {names} before it is taken",
        f"Write {names} with the value that runs into the project's env file (`.env`), above what takes it, "
        "or write the image out.",
    )


def _parsed(where: str, text: str, parts: tuple[Piece, ...], scope: Scope) -> ImageRef:
    try:
        return reference.parse("".join(part.text for part in parts))
    except ValueError as error:
        if interpolation.unset(env_values.deepened(parts, scope.environment)):
            raise _unresolved(where, text, scope) from None
        raise Refused(f"{where}: {error}", "Write a complete image reference.") from None


def _piece(
    parts: tuple[Piece, ...], writable: tuple[Piece, ...], image: ImageRef, targets: Mapping[str, ImageRef]
) -> Piece:
    """Return the piece to write to: the likeliest, or another if only that one can make the wanted tag."""
    target = targets.get(image.key)
    # Without a target any place that can be written will do; it is chosen anew when there is one.
    if target is None:
        return writable[0]
    text = wanted(image, target)
    return next(
        (each for each in writable if interpolation.refill(parts, each, text) is not None), writable[0]
    )


def wanted(old: ImageRef, target: ImageRef) -> str:
    """Return the new reference in the old spelling.

    A digest alone stays alone; no tag stays none if `latest` is meant.
    """
    is_bare = old.tag is None and (
        target.digest if old.digest else target.tag == "latest" and not target.digest
    )
    return replace(target, tag=None if is_bare else target.tag, name=old.name).text


def _assigned(scope: Scope, piece: Piece) -> Place:
    """Return the place where the variable of a piece is set: the last time in the last env file with it.

    Raises Refused unless it is set plainly there, and to what the piece takes.
    """
    variable = piece.variable
    settings = scope.settings[variable]
    file = settings[-1][0]
    place = last_assignment(
        file, variable, [assignment for each, assignment in settings if each.path == file.path]
    )
    # Compose takes the last value that is set before the line which uses it, and an edit of the last one
    # would not reach that.
    if place.text[piece.start : piece.end] != piece.text:
        raise Refused(
            f"{variable} is set more than once, and what takes it stands above the last time in {file.path}",
            f"Set {variable} once.",
        )
    return place


# ------------------------------------------------------------------------------- what else a change would hit


def _reaches(project: ComposeModel, sites: Mapping[str, Site]) -> dict[tuple[str, int], Reach]:
    services: dict[tuple[str, int], list[str]] = {}
    for name, site in sites.items():
        services.setdefault(site.place.spot, []).append(name)
    readers = Readers(project, _missing(project))
    reaches = {}
    for spot, names in services.items():
        sites_there = {name: sites[name] for name in names}
        reaches[spot] = _reach_of(sites_there, readers)
    return reaches


def _reach_of(sites: Mapping[str, Site], readers: Readers) -> Reach:
    """Return what a change of the place does that the images of these services are all taken from."""
    split = _variants(sites)
    return split if split is not None else _reach(tuple(sites.values()), frozenset(sites), readers)


def _variants(sites: Mapping[str, Site]) -> Reach | None:
    """Return the obstacle if services take different tags of one repository from one place; else None.

    An update is to one tag of a repository, so `app:${V}-web` and `app:${V}-jobs` cannot move together.
    """
    tags: dict[str, dict[str | None, str]] = {}
    for name, site in sites.items():
        tags.setdefault(site.image.key, {}).setdefault(site.image.tag, name)
    # Each repository alone: the tags of two may differ by what stands around the variable.
    for named in tags.values():
        if len(named) > 1:
            key = next(iter(sites.values())).place.key
            images = " and ".join(f"{sites[name].image.text} ({name})" for name in named.values())
            detail = f"{key} is in different tags of one repository: {images}"
            remedy = (
                f"Write the whole tag of each of them out in place of {key}, or give each a variable of its "
                "own that holds the whole tag."
            )
            return Reach(frozenset(), NotEditable(Reason.NOT_EDITABLE, detail, remedy))
    return None


def _missing(project: ComposeModel) -> str | None:
    """Return a file that the project includes and that is not among its files."""
    known = {posixpath.normpath(file.path) for file in project.files}
    return next((path for path in _included(project) if path not in known), None)


def _included(project: ComposeModel) -> Iterator[str]:
    for section in project.sections:
        setting = Setting(section.file.base, section.path_values)
        # What only `extends` reaches contributes no services, and what it includes is not read.
        if section.file.is_merged:
            yield from (p for each in includes.included(section.document.root, setting) for p in each.paths)


def _absent(project: ComposeModel, refused: Refused) -> Refused:
    """Return why a service is not here, with what Compose fetches from elsewhere as a place it may be in."""
    fetched = " and ".join(filter(includes.is_remote, _included(project)))
    if refused.reason is not Reason.NOT_IN_FILE or not fetched:
        return refused
    detail = f"{refused}; what Compose fetches from {fetched} cannot be edited here"
    return Refused(detail, "Include a copy of that file on this host.", refused.reason)


def _reach(sites: Sequence[Site], takers: frozenset[str], readers: Readers) -> Reach:
    try:
        # By node: an alias makes one text the image of several services.
        images = {id(site.node): site for site in sites}
        for site in images.values():
            if site.section.uses.is_more_than_an_image(site.node):
                raise Refused(
                    f"{site.section.where(site.node)}: through an anchor this text is more than an image",
                    "Write the image out in the place that uses it for something else.",
                )
        place = sites[0].place
        notes = _notes(tuple(images.values()), takers, readers) if place.kind == VARIABLE else ()
        return Reach(takers, notes=notes)
    except Refused as refused:
        return Reach(takers, answer(refused))


def _notes(sites: Sequence[Site], takers: frozenset[str], readers: Readers) -> tuple[str, ...]:
    """Return what of the takers changes besides the image; Refused if anything else would change.

    `sites`: the texts that take the place's variable, each once.
    """
    place, images = sites[0].place, frozenset(id(site.node) for site in sites)
    found = []
    for reader in readers.of(place.path, place.key):
        # The images themselves are to change, and what a later file overrides never counts.
        if reader.node_id in images or reader.node_id in readers.shadowed:
            continue
        if reader.is_in_the_way(takers):
            raise reader.refused(takers, place.key, _written_out(sites))
        if reader.services:
            found.append(reader.what)
    return tuple(dict.fromkeys(found))


def _written_out(sites: Sequence[Site]) -> str:
    """Return the exact text of each image without its variable, and where it is to stand."""
    return " and ".join(f"`image: {site.image.text}` in {site.section.where(site.node)}" for site in sites)


def reference_of(project: ComposeModel, service: str) -> str | None:
    """Return the image of `service` as the file writes it, variables and all; None if there is none."""
    try:
        return _text(definition.image(project, service))
    except Refused:
        return None


def answer(refused: Refused) -> NotEditable:
    """Return a refusal as the value that a caller gets."""
    return NotEditable(refused.reason, str(refused), refused.remedy)
