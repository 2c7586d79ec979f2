"""The operator's files in an update: prove the edit before it is made, put it in place, take it back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from updater_core.composefile import splice
from updater_core.composefile.readers import TIES, paths_below
from updater_core.errors import ChangedOnDisk, ComposeError, UpdaterError
from updater_core.models import Cause, Edit, Mark, Plan, Step
from updater_core.protocols import Tools
from updater_core.targets.compose.plan import ComposePlan, Move, parts
from updater_core.targets.compose.preflight import mounts, volumes
from updater_core.targets.compose.reading import copies, origin
from updater_core.targets.compose.reading.copies import SourceTexts
from updater_core.targets.compose.start_first import conditions
from updater_core.vocabulary.snapshot import Snapshot

# A suffix of its own, for the staged edits of the same plan lie in the same folder.
_PROOF = "-proof"  # behind a plan's id, in the names of the copies that Compose reads to prove an edit


@dataclass(frozen=True, slots=True)
class Staged:
    """A proven edit, written beside its file and not yet in its place."""

    snapshot: Snapshot
    path: Path


def prove(plan: Plan[ComposePlan], tools: Tools) -> tuple[Staged, ...]:
    """Stage the edited files, and prove with Compose's own reading that only the group's images differ.

    Raises ComposeError if more than that differs, ChangedOnDisk if any file of the project, or one that these
    include, is not what the plan was made from: `up` reads them all, and what an operator is editing is not
    ours to deploy.
    """
    # The reading that the proof starts from is taken now, and not from the plan, which may be hours old by
    # the time its pull has ended.
    before = check_unchanged(plan, tools)
    # The image is here by now, so its volumes and its healthcheck can be read before anything is stopped.
    for part in parts(plan):
        volumes.check_before_stop(part, before, tools)
        conditions.check_new_image(part, before, tools)
    if not plan.detail.edits:
        return ()
    staged: list[Staged] = []
    texts = {edit.path: edit.after for edit in plan.detail.edits}
    try:
        staged.extend(_stage(edit, plan.id, tools) for edit in plan.detail.edits)
        with copies.in_place(_source_texts(plan, _PROOF), texts, tools.files) as project:
            after = tools.compose.config(project)
    except UpdaterError:
        discard(staged, tools)
        raise
    marks = [mark for edit in plan.detail.edits for mark in edit.marks if mark.kind == "variable"]
    problem = proof_problem(before, after, plan.detail.moves, marks)
    if problem:
        discard(staged, tools)
        raise ComposeError(
            f"the edit of {plan.name} would change more than its image: {problem}",
            _remedy_by_hand(plan, marks),
        )
    return tuple(staged)


def _remedy_by_hand(plan: Plan[ComposePlan], marks: Sequence[Mark]) -> str:
    """Return what to do about an edit that Compose does not read as it was meant."""
    keys = " and ".join(sorted({mark.key for mark in marks}))
    if keys:
        return f"write the image out in place of {keys}, or give it a variable that nothing else uses"
    paths = " and ".join(edit.path for edit in plan.detail.edits)
    services = " ".join(move.service for move in plan.detail.moves)
    command = origin.by_hand(plan.detail.project, f"up -d {services}")
    return f"write {plan.new_reference} into {paths} and run `{command}` yourself"


def check_unchanged(plan: Plan[ComposePlan], tools: Tools) -> Mapping[str, Any]:
    """Return Compose's reading of the plan's project.

    Raises ChangedOnDisk if that, or one of the files, is not what the plan was made from.
    """
    for path, text in plan.detail.sources.items():
        # By content and not by stamp: an editor that saves the same text has changed nothing.
        if tools.files.read(Path(path)) != splice.encode(text):
            raise _changed(path)
    model = tools.compose.config(plan.detail.project)
    if plan.detail.model_digest not in (None, model_digest(model)):
        raise _changed(
            f"a file that project {plan.detail.project.name} includes (`env_file`, `include`, `extends`)"
        )
    return model


def model_digest(model: Mapping[str, Any]) -> str:
    """Return what tells two readings of a project by Compose apart, whatever file a difference comes from."""
    return sha256(json.dumps(model, sort_keys=True, default=str).encode()).hexdigest()


def discard(staged: Sequence[Staged], tools: Tools) -> None:
    """Remove staged files that will not be used."""
    for one in staged:
        tools.files.discard(one.path)


def remove_strays(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Remove what an interrupted run of this plan left beside the operator's files; nobody else's."""
    edited = {edit.path for edit in plan.detail.edits}
    paths = [Path(path) for path in edited.union(plan.detail.sources)]
    # A staged file lies beside the file itself, its copy for Compose beside the link that leads there.
    for folder in {path.parent for path in paths} | {path.resolve().parent for path in paths}:
        tools.files.remove_strays(folder, plan.id)
        tools.files.remove_strays(folder, plan.id + _PROOF)


def proof_problem(
    before: Mapping[str, Any], after: Mapping[str, Any], moves: Sequence[Move], marks: Sequence[Mark] = ()
) -> str | None:
    """Return what differs between two models of a project besides the images of `moves`; None if nothing.

    A service of `moves` may also read a variable that the edit changes (`marks`): its new value for its old
    is no other difference.
    """
    wanted = {move.service: move for move in moves}
    # Networks, volumes, secrets and configurations too: a variable may be part of any of them.
    if _around(before) != _around(after) or before["services"].keys() != after["services"].keys():
        return "something outside the services differs"
    for service, old in before["services"].items():
        new = after["services"][service]
        if service in wanted and new.get("image") != wanted[service].new_reference:
            return f"{service} would run {new.get('image')}, not {wanted[service].new_reference}"
        is_same = old == new
        if service in wanted:
            is_same = _is_same_service(old, new, marks)
            if is_same and _looks_elsewhere(old, new, mounts.of_service(before, service).places):
                return f"service {service} would look for its data in another folder"
        if not is_same:
            return f"service {service} differs"
    return None


def _is_same_service(old: Mapping[str, Any], new: Mapping[str, Any], marks: Sequence[Mark]) -> bool:
    is_tied_alike = all(old.get(key) == new.get(key) for key in TIES)
    return is_tied_alike and _is_same_but({**old, "image": None}, {**new, "image": None}, marks)


def _looks_elsewhere(old: Mapping[str, Any], new: Mapping[str, Any], places: Iterable[str]) -> bool:
    """Return whether a service is given other paths than before in what it has mounted.

    `PGDATA: /data/${V}` is an empty folder of the same volume under another version.
    """
    below = tuple(places)
    return any(
        _paths(old.get(key), below) != _paths(new.get(key), below)
        for key in ("environment", "command", "entrypoint")
    )


def _paths(given: Any, below: tuple[str, ...]) -> list[str]:
    return paths_below(json.dumps(given, ensure_ascii=False), below)


def _is_same_but(old: Any, new: Any, marks: Sequence[Mark]) -> bool:
    """Return whether two parts of a model are the same, but for texts with a mark's new value for its old."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_is_same_but(old[key], new[key], marks) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_is_same_but(*pair, marks) for pair in zip(old, new, strict=True))
    return bool(old == new) or any(_is_swapped(str(old), str(new), mark) for mark in marks)


def _is_swapped(old: str, new: str, mark: Mark) -> bool:
    # The text of a model may hold the old value several times, of which some come from elsewhere and stay.
    was, is_now = mark.change or (mark.old, mark.new)
    either = f"(?:{re.escape(was)}|{re.escape(is_now)})"
    return re.fullmatch(either.join(map(re.escape, old.split(was))), new) is not None


def _around(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of a model that deploys something, but the services.

    `x-…` are left out: they are templates that services were made from.
    """
    return {key: value for key, value in model.items() if key != "services" and not key.startswith("x-")}


def replace_files(staged: Sequence[Staged], tools: Tools) -> None:
    """Put the proven edits in their places, unless an operator was faster."""
    for one in staged:
        tools.files.commit(one.snapshot, one.path)


def changed_meanwhile(plan: Plan[ComposePlan], tools: Tools) -> Iterator[str]:
    """Yield a few words on each file of ours that its operator has changed since our edit."""
    for edit in plan.detail.edits:
        if not copies.is_ours(edit, tools.files):
            yield f"{edit.path} was changed by its operator meanwhile"


def put_files_back(plan: Plan[ComposePlan], tools: Tools) -> Mapping[str, str]:
    """Undo our edits, and only ours; return the files that could not be undone, each with the reason.

    If a span is no longer ours the operator's edit wins, and a file that is being edited does not keep the
    service down.
    """
    left: dict[str, str] = {}
    for edit in plan.detail.edits:
        try:
            # File by file: one that cannot be undone is no reason to leave the others changed.
            if not _put_back(edit, plan.id, tools):
                left[edit.path] = "it was changed by its operator meanwhile"
        except UpdaterError as error:
            left[edit.path] = str(error)
    return left


def blamed_for_files(cause: Cause, plan: Plan[ComposePlan], left: Mapping[str, str], tools: Tools) -> Cause:
    """Return the cause of a rollback with what to do about the files in `left`.

    Those still name the release that failed, or may. The same cause if something else was written there: then
    the file says what is wanted.
    """
    bad = [
        f"{edit.path} ({left[edit.path]})"
        for edit in plan.detail.edits
        if edit.path in left and _says_new(edit, tools)
    ]
    if not bad:
        return cause
    new, old = plan.new_reference, plan.old_reference
    message = (
        f"{cause.message}; {' and '.join(bad)} could not be put back, and named {new} after the rollback"
    )
    remedy = (
        f"write {old} into it where it names {new}: `docker compose up` would start the release that failed"
    )
    return replace(cause, message=message, remedy=f"{remedy}; {cause.remedy}" if cause.remedy else remedy)


def _says_new(edit: Edit, tools: Tools) -> bool:
    """Return whether a line of a file has a new text of ours; one that cannot be read may have it."""
    try:
        # By line: the operator's edit may have moved the span, and the image with it.
        lines = splice.decode(tools.files.read(Path(edit.path))).splitlines()
    except (UpdaterError, ValueError):
        return True
    return any(_is_in(mark, line) for mark in edit.marks for line in lines)


def _is_in(mark: Mark, line: str) -> bool:
    return mark.new in line and (mark.kind == "service" or mark.key in line)


@contextmanager
def fallback_copies(
    plan: Plan[ComposePlan], left: Mapping[str, str], tools: Tools
) -> Iterator[Plan[ComposePlan]]:
    """Yield the plan with the old text, in copies beside the operator's files, for the length of a block.

    Copies stand in place of files that were not put back, and of those that were changed meanwhile: what an
    operator is editing is neither to be deployed by us nor to keep the service down. A changed file of which
    no copy can be made is read as it is. Dependencies stay out of it: the old text may say older things of
    them, too.
    """
    texts = {edit.path: edit.before for edit in plan.detail.edits if edit.path in left}
    for path, text in plan.detail.sources.items():
        if path not in left and _is_changed(path, text, tools) and _takes_a_copy(path, text, plan, tools):
            texts[path] = text
            tools.tell(Step.RESTART, f"{path} was changed by its operator meanwhile; it is read as it was")
    if not texts:
        yield plan
        return
    # Compose reads paths in these copies as it would in the originals, for they lie in the same folder.
    with copies.in_place(_source_texts(plan, ""), texts, tools.files) as project:
        yield replace(plan, detail=replace(plan.detail, project=project, with_dependencies=False))


def _source_texts(plan: Plan[ComposePlan], suffix: str) -> SourceTexts:
    return SourceTexts(plan.detail.project, plan.detail.sources, plan.id + suffix)


def _takes_a_copy(path: str, text: str, plan: Plan[ComposePlan], tools: Tools) -> bool:
    """Return whether a copy can be made beside a file."""
    try:
        tools.files.discard(tools.files.write_beside(Path(path), splice.encode(text), plan.id))
    except UpdaterError:
        return False
    return True


def _is_changed(path: str, text: str, tools: Tools) -> bool:
    try:
        return tools.files.read(Path(path)) != splice.encode(text)
    except UpdaterError:
        return True


def _changed(path: str) -> ChangedOnDisk:
    return ChangedOnDisk(
        f"{path} was changed since it was read", "nothing to do: the next cycle reads it anew"
    )


def _stage(edit: Edit, plan_id: str, tools: Tools) -> Staged:
    snapshot = tools.files.snapshot(Path(edit.path))
    if snapshot.data != splice.encode(edit.before):
        raise _changed(edit.path)
    return Staged(snapshot, tools.files.stage(snapshot, splice.encode(edit.after), plan_id))


def _put_back(edit: Edit, plan_id: str, tools: Tools) -> bool:
    snapshot = tools.files.snapshot(Path(edit.path))
    try:
        text = splice.decode(snapshot.data)
    except ValueError:
        return False
    # The whole text if the file is as we left it; else the span alone, around which the operator may have
    # edited.
    restored = edit.before if text == edit.after else splice.put_back(text, edit)
    if restored is None:
        return False
    if restored != text:
        _write_back(snapshot, splice.encode(restored), plan_id, tools)
    return True


def _write_back(snapshot: Snapshot, data: bytes, plan_id: str, tools: Tools) -> None:
    """On a full disk the old text still fits where the new one is."""
    try:
        staged = tools.files.stage(snapshot, data, plan_id)
    except UpdaterError:
        tools.files.overwrite(snapshot, data)
    else:
        tools.files.commit(snapshot, staged)
