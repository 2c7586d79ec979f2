"""The owner's files in an update: prove the edit before it is made, put it in place, take it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core import compose_edit
from updater_core.errors import ChangedOnDisk, ComposeError, UpdaterError
from updater_core.models import Edit, Move, Plan, Snapshot
from updater_core.protocols import Tools


@dataclass(frozen=True, slots=True)
class Staged:
    """A proven edit, written beside its file and not yet in its place."""

    snapshot: Snapshot
    path: Path


def prove(plan: Plan, tools: Tools) -> tuple[Staged, ...]:
    """Stage the edited files, and prove with Compose's own reading that only the unit's images differ."""
    if not plan.edits:
        return ()
    before = tools.compose.config(plan.project)
    staged: list[Staged] = []
    try:
        staged.extend(_stage(edit, plan.id, tools) for edit in plan.edits)
        replaced = {edit.path: str(one.path) for edit, one in zip(plan.edits, staged, strict=True)}
        after = tools.compose.config(plan.project, replaced)
    except UpdaterError:
        discard(staged, tools)
        raise
    problem = proof_problem(before, after, plan.moves)
    if problem:
        discard(staged, tools)
        raise ComposeError(f"the edit of {plan.name} would change more than its image: {problem}", "please report this")
    return tuple(staged)


def discard(staged: Sequence[Staged], tools: Tools) -> None:
    """Remove staged files that will not be used."""
    for one in staged:
        tools.files.discard(one.path)


def remove_strays(plan: Plan, tools: Tools) -> None:
    """Remove what an interrupted run of this plan left beside the owner's files; nobody else's."""
    for edit in plan.edits:
        tools.files.remove_strays(Path(edit.path).resolve().parent, plan.id)


def proof_problem(before: Mapping[str, Any], after: Mapping[str, Any], moves: Sequence[Move]) -> str | None:
    """What differs between two models of a project besides the images of `moves`; None where nothing does."""
    wanted = {move.service: move for move in moves}
    if _around(before) != _around(after) or before["services"].keys() != after["services"].keys():
        return "something outside the services differs"
    for service, old in before["services"].items():
        new = after["services"][service]
        if service in wanted and new.get("image") != wanted[service].new_reference:
            return f"{service} would run {new.get('image')}, not {wanted[service].new_reference}"
        if {**old, "image": None} != {**new, "image": None} or (service not in wanted and old != new):
            return f"service {service} differs"
    return None


def _around(model: Mapping[str, Any]) -> dict[str, Any]:
    """All of a model that deploys something, but the services: `x-…` are templates that services were made from."""
    return {key: value for key, value in model.items() if key != "services" and not key.startswith("x-")}


def replace_files(staged: Sequence[Staged], tools: Tools) -> None:
    """Put the proven edits in their places, unless an owner was faster."""
    for one in staged:
        tools.files.commit(one.snapshot, one.path)


def put_files_back(plan: Plan, tools: Tools) -> tuple[str, ...]:
    """Undo our edits, and only ours; return the files that are no longer ours to undo (the owner's edit wins)."""
    return tuple(edit.path for edit in plan.edits if not _put_back(edit, plan.id, tools))


def is_ours(edit: Edit, tools: Tools) -> bool:
    try:
        text = compose_edit.decode(tools.files.snapshot(Path(edit.path)).data)
    except (UpdaterError, ValueError):
        return False
    return text == edit.after or compose_edit.put_back(text, edit) not in (None, text)


def _stage(edit: Edit, plan_id: str, tools: Tools) -> Staged:
    snapshot = tools.files.snapshot(Path(edit.path))
    if snapshot.data != compose_edit.encode(edit.before):
        raise ChangedOnDisk(f"{edit.path} was changed since it was read", "nothing to do: the next cycle reads it anew")
    return Staged(snapshot, tools.files.stage(snapshot, compose_edit.encode(edit.after), plan_id))


def _put_back(edit: Edit, plan_id: str, tools: Tools) -> bool:
    snapshot = tools.files.snapshot(Path(edit.path))
    try:
        text = compose_edit.decode(snapshot.data)
    except ValueError:
        return False
    restored = edit.before if text == edit.after else compose_edit.put_back(text, edit)
    if restored is None:
        return False
    if restored != text:
        staged = tools.files.stage(snapshot, compose_edit.encode(restored), plan_id)
        tools.files.commit(snapshot, staged)
    return True
