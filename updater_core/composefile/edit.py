"""Compose text: a service's image found, and the same text with only that changed. Pure.

An edit replaces one span and never dumps YAML; the result is parsed again to prove that every other node is
as it was. What cannot be edited that way is a `NotEditable` with its remedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from updater_core import reference
from updater_core.composefile import interpolation
from updater_core.composefile.definition import SourceFile
from updater_core.composefile.locate import (
    Located,
    NotEditable,
    Site,
    Survey,
    answer,
    locate,
    located,
    reference_of,
    survey,
    wanted,
)
from updater_core.composefile.readers import Readers
from updater_core.composefile.splice import (
    VARIABLE,
    Place,
    Splice,
    decode,
    encode,
    put_back,
    spliced,
    start_of,
)
from updater_core.composefile.yaml_nodes import Refused
from updater_core.models import Edit, ImageRef, Mark

__all__ = [
    "Located",
    "NotEditable",
    "Place",
    "SourceFile",
    "decode",
    "encode",
    "locate",
    "put_back",
    "set_image",
]


SHARED_PLACE = "the same place in the file is the image of"

# --------------------------------------------------------------------------------------- the public functions


def services(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """Return the names of every service in these files; none if they cannot be read as YAML."""
    try:
        return survey(tuple(files), ()).project.names
    except Refused:
        return ()


def set_image(
    files: Sequence[SourceFile],
    env_files: Sequence[SourceFile],
    services: Sequence[str],
    target: ImageRef | Sequence[ImageRef],
) -> tuple[Edit, ...] | NotEditable:
    """Return the edits that send the images of all `services` to the target's tag and digest.

    Without a digest none is written. Services of several repositories need a target for each. The repository
    keeps the file's spelling. One Edit per file that changes; none if the text already says it.
    """
    given = (target,) if isinstance(target, ImageRef) else target
    targets = {each.key: reference.with_default_tag(each) for each in given}
    try:
        before = survey(tuple(files), tuple(env_files), tuple(targets.values()))
        splices = _splices(before, services, targets)
        by_path = {file.path: file for file in (*files, *env_files)}
        changed_paths = dict.fromkeys(splice.place.path for splice in splices)
        edits = tuple(_edit(by_path[path], splices) for path in changed_paths)
        texts = {edit.path: edit.after for edit in edits}
        images = {service: before.sites[service].image for service in services}
        new = {service: wanted(image, targets[image.key]) for service, image in images.items()}
        # Resolved once more from the new text: a variable may reach images that nobody thought of.
        _prove_references(before, survey(_with(files, texts), _with(env_files, texts)), new)
        return edits
    except Refused as refused:
        return answer(refused)


def trial_edits(files: Sequence[SourceFile], located: Sequence[Located]) -> tuple[Edit, ...]:
    """Return edits that write some other text to every place an update of these services would write to.

    They show what else would be another then.
    """
    places = {one.place.spot: one.place for one in located if one.place}
    texts = {file.path: file.text for file in files}
    found: dict[str, Edit] = {}
    for place in sorted(places.values(), key=lambda each: each.start, reverse=True):
        before = texts[place.path]
        known = found.get(place.path, Edit(place.path, before, before))
        # Any other text will do; a digit keeps the reference valid in every form.
        after = f"{known.after[: place.end]}0{known.after[place.end :]}"
        mark = Mark(place.kind, place.key, place.text, f"{place.text}0")
        found[place.path] = Edit(place.path, before, after, (mark, *known.marks))
    return tuple(found.values())


def services_reached(
    files: Sequence[SourceFile], env_files: Sequence[SourceFile], edits: Mapping[str, Edit]
) -> tuple[str, ...]:
    """Return the services of another project that would be others after `edits`, all if it cannot be read.

    `edits` are by that project's own paths.
    """
    texts = {path: edit.after for path, edit in edits.items()}
    try:
        before = survey(tuple(files), tuple(env_files)).project
        after = survey(_with(files, texts), _with(env_files, texts)).project
    except Refused:
        return ("every service",)
    found = {name for name in before.names if reference_of(before, name) != reference_of(after, name)}
    readers = Readers(before, None)
    for path, edit in edits.items():
        for mark in (mark for mark in edit.marks if mark.kind == VARIABLE):
            try:
                found |= {name for reader in readers.of(path, mark.key) for name in reader.services}
            except Refused:  # some of its files are out of sight
                found.add("every service")
    return tuple(sorted(name or "what is no service" for name in found))


# ------------------------------------------------------------------------------------------------- the change


def _splices(seen: Survey, services: Sequence[str], targets: Mapping[str, ImageRef]) -> list[Splice]:
    found: dict[tuple[str, int], Splice] = {}
    for service in services:
        image = located(seen, service)
        if image.obstacle:
            raise Refused(image.obstacle.detail, image.obstacle.remedy, image.obstacle.reason)
        _check_group(services, image.takers)
        splice = _splice(seen.sites[service], targets)
        # Two services may share the place, and agree on what to write there.
        if found.setdefault(splice.place.spot, splice).new != splice.new:
            raise Refused(
                f"{splice.place.key} would need two values at once", "Give each image a variable of its own."
            )
    return [splice for splice in found.values() if splice.new != splice.place.text]


def _check_group(services: Sequence[str], takers: frozenset[str]) -> None:
    shared = shared_place(services, takers)
    if shared is not None:
        raise Refused(*shared)


def shared_place(services: Sequence[str], takers: frozenset[str]) -> tuple[str, str] | None:
    """Return why `services` cannot move alone, with what to do about it; None if they can.

    `takers`: all services that take their image from the same place.
    """
    outside = sorted(takers - set(services))
    if not outside:
        return None
    listed = ", ".join(f'"{name}"' for name in sorted(takers | set(services)))
    return (
        f"{SHARED_PLACE} {' and '.join(outside)} too",
        f'Write "compose_service": [{listed}] in one entry, or the same "group" (label '
        "docker-updater.group) for each, "
        "so that they move together.",
    )


def _splice(site: Site, targets: Mapping[str, ImageRef]) -> Splice:
    target = targets.get(site.image.key)
    if target is None:
        others = " and ".join(targets)
        raise Refused(f"the file says {site.image.text}, the update is for {others}", "Make the two agree.")
    whole = wanted(site.image, target)
    text = interpolation.refill(site.parts, site.piece, whole)
    if text is None:
        raise Refused(
            f"{whole} cannot be written as {site.node.value!r}", "Keep the whole tag in one variable."
        )
    template, piece = site.place.text, site.piece
    # Only the piece: `${TAG:-1.2}` keeps its operator, and the operator's quotes stay.
    new = template[: piece.start] + text + template[piece.end :]
    node_start = None if site.place.kind == VARIABLE else start_of(site.node)
    change = (piece.text, text)
    return Splice(site.place, new, node_start, None if change == (template, new) else change)


def _edit(file: SourceFile, splices: Sequence[Splice]) -> Edit:
    here = [splice for splice in splices if splice.place.path == file.path]
    marks = tuple(Mark(s.place.kind, s.place.key, s.place.text, s.new, s.change) for s in here)
    return Edit(file.path, file.text, spliced(file, here), marks)


def _with(files: Sequence[SourceFile], after: Mapping[str, str]) -> tuple[SourceFile, ...]:
    return tuple(replace(file, text=after.get(file.path, file.text)) for file in files)


def _prove_references(before: Survey, after: Survey, wanted: Mapping[str, str]) -> None:
    """Resolve every image again: those in `wanted` say what they should, all others what they said."""
    for service in before.project.names:
        old, new = (reference_of(seen.project, service) for seen in (before, after))
        if new != wanted.get(service, old):
            raise Refused(
                f"the change would make the image of {service!r} {new!r} and not {wanted.get(service, old)!r}"
            )
