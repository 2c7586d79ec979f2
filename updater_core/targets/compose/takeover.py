"""Whether a unit's owner deployed something of his own in the middle of an update: that is his, and is left alone."""

from __future__ import annotations

from updater_core.models import Cause, Move, Plan, Reason, Step
from updater_core.protocols import Tools
from updater_core.targets.compose.recreate import is_wreck


def owners_cause(plan: Plan, tools: Tools) -> Cause | None:
    """Why the update is not ours to end any more, where a container of the unit runs an image that is neither the old
    nor the new one; None where every one is ours. EngineUnavailable where nobody can know."""
    for move in plan.moves:
        found = _foreign_container(plan, move, tools)
        if found is not None:
            what = f"its owner deployed another image meanwhile ({found})"
            return Cause(Step.VERIFY, Reason.TAKEN_OVER, what, "nothing to do: the next cycle looks at it anew")
    return None


def _foreign_container(plan: Plan, move: Move, tools: Tools) -> str | None:
    """A container that was there before us, and what a killed Compose left, are nobody's deployment."""
    ours = {plan.image_id, move.old_image_id}
    for container in tools.engine.containers(plan.project.name, move.service):
        if container.image_id not in ours and container.id not in move.container_ids and not is_wreck(container):
            return f"{container.name} runs {container.reference}, {container.image_id[:19]}"
    return None
