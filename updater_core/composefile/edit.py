"""Compose text: a service's image found, and the same text with only that changed. Pure.

An edit replaces one span and never dumps YAML; the result is parsed again to prove that every other node is as it was.
What cannot be edited that way is a `NotEditable` with its remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from yaml.nodes import MappingNode, Node, ScalarNode

from updater_core import reference
from updater_core.composefile import interpolation, yaml_nodes
from updater_core.composefile.definition import SourceFile, services_of
from updater_core.composefile.locate import (
    VARIABLE,
    Located,
    NotEditable,
    Place,
    Site,
    Survey,
    answer,
    assigned,
    image_place,
    located,
    reference_of,
    survey,
)
from updater_core.composefile.yaml_nodes import Refused
from updater_core.models import Edit, ImageRef, Mark

__all__ = ["Located", "NotEditable", "Place", "SourceFile", "decode", "encode", "locate", "put_back", "set_image"]


@dataclass(frozen=True, slots=True)
class _Splice:
    """One replacement. `node_start` is where its YAML node starts, to know it again; None in an env file."""

    place: Place
    new: str
    node_start: int | None


# -------------------------------------------------------------------------------------------------------- the doors


def decode(data: bytes) -> str:
    """Bytes as text, byte-order mark and line ends untouched; ValueError with a sentence where it is not UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the file is UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8") from None


def encode(text: str) -> bytes:
    """The exact inverse of `decode`."""
    return text.encode("utf-8")


def locate(files: Sequence[SourceFile], env_files: Sequence[SourceFile], service: str) -> Located | NotEditable:
    """Where `service` has its image in the project's `files` (base first, then overrides).

    `env_files` are those Compose interpolates from, the later over the earlier. NotEditable where a file is not YAML,
    or the service is not there or has no image.
    """
    try:
        return located(survey(tuple(files), tuple(env_files)), service)
    except Refused as refused:
        return answer(refused)


def services(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """The names of every service in these files; none if they cannot be read as YAML."""
    try:
        return survey(tuple(files), ()).project.names
    except Refused:
        return ()


def set_image(
    files: Sequence[SourceFile], env_files: Sequence[SourceFile], services: Sequence[str], target: ImageRef
) -> tuple[Edit, ...] | NotEditable:
    """Send the images of all `services` to the target's tag, and to its digest where it has one (else none is written).

    The repository keeps the file's spelling. One Edit per file that changes; none where the text already says it.
    """
    try:
        before = survey(tuple(files), tuple(env_files))
        target = reference.with_default_tag(target)
        splices = _splices(before, services, target)
        by_path = {file.path: file for file in (*files, *env_files)}
        edits = tuple(_edit(by_path[path], splices) for path in dict.fromkeys(s.place.path for s in splices))
        texts = {edit.path: edit.after for edit in edits}
        wanted = {service: _wanted(before.sites[service].image, target) for service in services}
        _prove_references(before, survey(_with(files, texts), _with(env_files, texts)), wanted)
        return edits
    except Refused as refused:
        return answer(refused)


def put_back(current_text: str, edit: Edit) -> str | None:
    """`current_text` with our marks of `edit` from new back to old, everything else as it is now.

    A mark that says the old already is left; None where one says neither or is gone: the text is no longer ours.
    """
    if current_text in (edit.before, edit.after):
        return edit.before
    file = SourceFile(edit.path, current_text)
    try:
        splices = [_backwards(file, mark) for mark in edit.marks]
        return _spliced(file, [splice for splice in splices if splice.new != splice.place.text])
    except Refused:
        return None


# ------------------------------------------------------------------------------------------------------- the change


def _splices(seen: Survey, services: Sequence[str], target: ImageRef) -> list[_Splice]:
    found: dict[tuple[str, int], _Splice] = {}
    for service in services:
        image = located(seen, service)
        if image.obstacle:
            raise Refused(image.obstacle.detail, image.obstacle.remedy, image.obstacle.reason)
        _check_unit(services, image.takers)
        splice = _splice(seen.sites[service], target)
        if found.setdefault(splice.place.spot, splice).new != splice.new:
            raise Refused(f"{splice.place.key} would need two values at once", "Give each image a variable of its own.")
    return [splice for splice in found.values() if splice.new != splice.place.text]


def _check_unit(services: Sequence[str], takers: frozenset[str]) -> None:
    outside = sorted(takers - set(services))
    if outside:
        listed = ", ".join(f'"{name}"' for name in sorted(takers | set(services)))
        raise Refused(
            f"the same place in the file is the image of {' and '.join(outside)} too",
            f'Write "compose_service": [{listed}] in the configuration, so that they move together.',
        )


def _splice(site: Site, target: ImageRef) -> _Splice:
    if site.image.key != target.key:
        raise Refused(f"the file says {site.image.text}, the update is for {target.key}", "Make the two agree.")
    wanted = _wanted(site.image, target)
    text = interpolation.refill(site.parts, site.piece, wanted)
    if text is None:
        raise Refused(f"{wanted} cannot be written as {site.node.value!r}", "Keep the whole tag in one variable.")
    if site.place.kind == VARIABLE:
        return _Splice(site.place, text, None)
    template = site.place.text
    return _Splice(site.place, template[: site.piece.start] + text + template[site.piece.end :], _start(site.node))


def _wanted(old: ImageRef, target: ImageRef) -> str:
    """The new reference in the old spelling. A digest alone stays alone; no tag stays none where `latest` is meant."""
    is_bare = old.tag is None and (target.digest if old.digest else target.tag == "latest" and not target.digest)
    return replace(target, tag=None if is_bare else target.tag, name=old.name).text


def _edit(file: SourceFile, splices: Sequence[_Splice]) -> Edit:
    here = [splice for splice in splices if splice.place.path == file.path]
    marks = tuple(Mark(s.place.kind, s.place.key, s.place.text, s.new) for s in here)
    return Edit(file.path, file.text, _spliced(file, here), marks)


def _with(files: Sequence[SourceFile], after: Mapping[str, str]) -> tuple[SourceFile, ...]:
    return tuple(replace(file, text=after.get(file.path, file.text)) for file in files)


def _backwards(file: SourceFile, mark: Mark) -> _Splice:
    """The splice that puts one mark back, in a text that may have changed around it."""
    splice = _own_variable(file, mark) if mark.kind == VARIABLE else _own_image(file, mark)
    if splice.place.text not in (mark.old, mark.new):
        raise Refused(f"{file.path}: {mark.key} is no longer ours")
    return splice


def _own_variable(file: SourceFile, mark: Mark) -> _Splice:
    return _Splice(assigned([file], mark.key), mark.old, None)


def _own_image(file: SourceFile, mark: Mark) -> _Splice:
    for document in reversed(yaml_nodes.documents(file.path, file.text)):
        services = services_of(document)
        service = yaml_nodes.lookup(services, mark.key) if services else None
        image = yaml_nodes.lookup(service, "image") if isinstance(service, MappingNode) else None
        if isinstance(image, ScalarNode) and not yaml_nodes.is_null(image):
            return _Splice(image_place(document, mark.key, image), mark.old, _start(image))
    raise Refused(f"{file.path}: {mark.key} has no image here any more")


def _start(node: Node) -> int:
    return int(node.start_mark.index)


def _spliced(file: SourceFile, splices: Sequence[_Splice]) -> str:
    """The file's text with the replacements made, and proof that they change nothing else."""
    text = file.text
    for splice in sorted(splices, key=lambda splice: splice.place.start, reverse=True):
        text = text[: splice.place.start] + splice.new + text[splice.place.end :]
    if not _is_proven(file, text, splices):
        raise Refused(f"{file.path}: the change would not leave the rest of the file as it is")
    return text


def _is_proven(file: SourceFile, text: str, splices: Sequence[_Splice]) -> bool:
    nodes_changed = {splice.node_start: splice.new for splice in splices if splice.node_start is not None}
    if nodes_changed:
        before, after = (yaml_nodes.documents(file.path, each) for each in (file.text, text))
        return yaml_nodes.is_same_but(before, after, nodes_changed)
    values = {splice.place.key: splice.new for splice in splices}
    wanted = [(a.key, values.get(a.key, a.value)) for a in interpolation.assignments(file.text)]
    return wanted == [(a.key, a.value) for a in interpolation.assignments(text)]


def _prove_references(before: Survey, after: Survey, wanted: Mapping[str, str]) -> None:
    """Resolve every image again: those in `wanted` say what they should, all others what they said."""
    for service in before.project.names:
        old, new = (reference_of(seen.project, service) for seen in (before, after))
        if new != wanted.get(service, old):
            raise Refused(
                f"the change would make the image of {service!r} {new!r} and not {wanted.get(service, old)!r}"
            )
