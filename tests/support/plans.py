"""Plans for tests that need one and not what makes it."""

from __future__ import annotations

from typing import Any

from updater_core.models import GatePolicy, ImageRef, Plan, Project
from updater_core.targets import compose
from updater_core.targets.compose.plan import ComposePlan, Move


def compose_plan(image: ImageRef, old: str, new: str = "", **changes: Any) -> Plan[ComposePlan]:
    """Return a plan for service `web` of a Compose project, from reference `old` to `new`.

    The new one is `image`'s own if left out.
    """
    new = new or image.text
    project = Project("shop", "/srv", ("/srv/compose.yml",))
    old_id = changes.pop("old_retained", "sha256:old")
    facts: dict[str, Any] = {
        "id": "p1",
        "name": "web",
        "old_digest": None,
        "gate": GatePolicy(),
        "reason": "it is newer",
        "restarts": "web",
        "detail": ComposePlan(project, (Move("web", old, new, old_id, 1),)),
        **changes,
    }
    return Plan(
        target=compose.NAME, image=image, old_reference=old, new_reference=new, old_retained=old_id, **facts
    )
