"""The stack's file in an update: find the image, prove the edit by the Docker CLI's reading, put it back.

A stack file is read without any `.env`: its variables come from whoever's shell runs `docker stack deploy`,
so that only an image that is written out can be edited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core import reference
from updater_core.composefile import edit, splice
from updater_core.composefile.edit import Located, NotEditable, SourceFile
from updater_core.errors import ChangedOnDisk, ComposeError, UpdaterError
from updater_core.models import Edit, Hold, ImageRef, Reason
from updater_core.protocols import Compose, Files
from updater_core.vocabulary.snapshot import Snapshot

# A suffix of its own, for the staged edits of the same plan lie in the same folder.
_PROOF = "-proof"
_WRITE_OUT = "write the image out in the file: `docker stack deploy` reads no .env"


@dataclass(frozen=True, slots=True)
class StackText:
    """The files of a stack as they were read, and where the service's image stands in them."""

    files: tuple[SourceFile, ...]
    located: Located

    @property
    def image(self) -> str | None:
        """Return the image as `docker stack deploy` labels the stack; None if a shell's variable makes it."""
        place = self.located.place
        return None if place is None or place.kind != splice.SERVICE or "$" in place.text else place.text

    @property
    def sources(self) -> dict[str, str]:
        """Return the text of each file by its path."""
        return {file.path: file.text for file in self.files}


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A proven edit, written beside its file and not yet in its place."""

    snapshot: Snapshot
    path: Path


def read(paths: Sequence[str], service: str, files: Files) -> StackText | Hold:
    """Return the stack's files with the place of a service's image, or why they cannot be used."""
    try:
        sources = tuple(
            SourceFile(path, splice.decode(files.read(Path(path))), env_paths=()) for path in paths
        )
    except UpdaterError as error:
        return Hold(Reason.FILE_UNREADABLE, str(error), error.remedy)
    except ValueError as error:
        return Hold(Reason.FILE_UNREADABLE, f"{paths[0]}: {error}", "save it as UTF-8")
    found = edit.locate(sources, (), service)
    if isinstance(found, NotEditable):
        return Hold(found.reason, found.detail, found.remedy)
    return StackText(sources, found)


def located(files: Sequence[SourceFile], service: str) -> StackText | None:
    """Return the place of a service's image in files as they will be; None if it has none there."""
    found = edit.locate(files, (), service)
    return None if isinstance(found, NotEditable) else StackText(tuple(files), found)


def difference(text: StackText, runs: ImageRef) -> Hold | None:
    """Return a hold if the file names another image than the one that runs.

    None if it does not, or a variable hides it.
    """
    # Only the shell that deploys knows the value, so nothing can be compared.
    if text.image is None:
        return None
    named = reference.with_default_tag(reference.parse(text.image))
    # A file that pins a digest without a tag says nothing of the tag.
    if (named.key, named.tag or runs.tag) == (runs.key, runs.tag):
        return None
    detail = f"the stack file names {text.image}, and {runs.text} runs"
    return Hold(
        Reason.DRIFT, detail, "deploy the file with `docker stack deploy`, or write what runs into it"
    )


def edits(text: StackText, service: str, image: ImageRef) -> tuple[Edit, ...] | Hold:
    """Return the change that lets the file name an image; none if it names it already."""
    made = edit.set_image(text.files, (), [service], image)
    if isinstance(made, NotEditable):
        return Hold(made.reason, made.detail, made.remedy)
    if made and text.image is None:
        detail = (
            f"the image of {service} is {text.located.reference or 'made of variables'}, by a variable "
            "of the shell"
        )
        return Hold(Reason.NOT_EDITABLE, detail, _WRITE_OUT)
    return made


def prove(
    sources: Mapping[str, str],
    changes: Sequence[Edit],
    service: str,
    plan_id: str,
    tools: tuple[Files, Compose],
) -> tuple[StagedFile, ...]:
    """Stage the edited files, and prove by `docker stack config` that the service's image alone differs.

    Raises ChangedOnDisk if a file is not what the plan was made from, ComposeError if the proof fails."""
    files, compose = tools
    for path, text in sources.items():
        if files.read(Path(path)) != splice.encode(text):
            raise ChangedOnDisk(
                f"{path} was changed since it was read", "nothing to do: the next cycle reads it anew"
            )
    if not changes:
        return ()
    # Compared as the CLI reads them: what it makes of a file is what it would deploy.
    before = compose.stack_model([*sources])
    with _copies(sources, changes, plan_id, files) as paths:
        after = compose.stack_model(paths)
    if _without_image(before, service) != _without_image(after, service):
        raise ComposeError(
            "the edit of the stack file would change more than the image",
            "write the image out as plain text in the stack file, or make this update by hand",
        )
    return tuple(_staged(change, plan_id, files) for change in changes)


def put_in_place(staged: Sequence[StagedFile], files: Files) -> None:
    """Put the proven edits in their places, unless an operator was faster (ChangedOnDisk)."""
    for one in staged:
        files.commit(one.snapshot, one.path)


def put_back(changes: Sequence[Edit], plan_id: str, files: Files) -> dict[str, str]:
    """Undo our edits, and only ours. Returns the files that could not be undone, each with the reason."""
    left: dict[str, str] = {}
    for change in changes:
        try:
            if not _put_one_back(change, plan_id, files):
                left[change.path] = "it was changed by its operator meanwhile"
        except UpdaterError as error:
            left[change.path] = str(error)
    return left


def remove_strays(paths: Sequence[str], plan_id: str, files: Files) -> None:
    """Remove what an interrupted run of a plan left beside the files."""
    for folder in {Path(path).resolve().parent for path in paths} | {Path(path).parent for path in paths}:
        files.remove_strays(folder, plan_id)
        files.remove_strays(folder, plan_id + _PROOF)


@contextmanager
def _copies(
    sources: Mapping[str, str], changes: Sequence[Edit], plan_id: str, files: Files
) -> Iterator[list[str]]:
    """Yield the paths of the stack's files, with copies of the edited text for those that change."""
    after = {change.path: change.after for change in changes}
    made: dict[str, Path] = {}
    try:
        for path, text in after.items():
            made[path] = files.write_beside(Path(path), splice.encode(text), plan_id + _PROOF)
        yield [str(made.get(path, path)) for path in sources]
    finally:
        for copy in made.values():
            files.discard(copy)


def _without_image(model: Mapping[str, Any], service: str) -> dict[str, Any]:
    services = dict(model.get("services") or {})
    services[service] = {**(services.get(service) or {}), "image": None}
    return {**model, "services": services}


def _staged(change: Edit, plan_id: str, files: Files) -> StagedFile:
    snapshot = files.snapshot(Path(change.path))
    return StagedFile(snapshot, files.stage(snapshot, splice.encode(change.after), plan_id))


def _put_one_back(change: Edit, plan_id: str, files: Files) -> bool:
    snapshot = files.snapshot(Path(change.path))
    try:
        text = splice.decode(snapshot.data)
    except ValueError:
        return False
    # The span alone: the operator may have edited the rest of the file meanwhile.
    restored = splice.put_back(text, change)
    if restored is None:
        return False
    if restored != text:
        _write(snapshot, splice.encode(restored), plan_id, files)
    return True


def _write(snapshot: Snapshot, data: bytes, plan_id: str, files: Files) -> None:
    """On a full disk the old text still fits where the new one is."""
    try:
        staged = files.stage(snapshot, data, plan_id)
    except UpdaterError:
        files.overwrite(snapshot, data)
    else:
        files.commit(snapshot, staged)
