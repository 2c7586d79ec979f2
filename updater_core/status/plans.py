"""What `--plan` says of all services together: their order, a summary, and the same as JSON. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from updater_core.host import times
from updater_core.models import Hold, ImageRef, Plan, Reason, Rejected, ServiceConfig
from updater_core.policy import explain
from updater_core.state import records
from updater_core.state.codec import encode
from updater_core.status import columns, text
from updater_core.vocabulary.dated import NO_STEP, ReleaseStep
from updater_core.vocabulary.image_ref import ImageChange

_UNKNOWN, _HELD, _WAITING, _UPDATE, _UP_TO_DATE = "unknown", "held", "waiting", "updates", "up_to_date"
_WORST_FIRST = (_UNKNOWN, _HELD, _WAITING, _UPDATE, _UP_TO_DATE)
_IN_WORDS = {
    _UNKNOWN: "unknown",
    _HELD: "held",
    _WAITING: "waiting",
    _UPDATE: "to be updated",
    _UP_TO_DATE: "up to date",
}


_NO_HOLD: Mapping[str, Any] = {
    "reason": None, "detail": "", "remedy": "", "until": None, "available": None, "also": [],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlannedService:
    """A service with what would happen to it.

    `explained`: what its target says of the plan; `current`: what runs by its file, None if that is not
    known; `newer`: a version that is there and not followed, with what to write.
    """

    service: ServiceConfig
    found: Plan[Any] | Hold
    rejected: Sequence[Rejected] = ()
    explained: Sequence[str] = ()
    current: ImageRef | None = None
    newer: tuple[ImageRef, str] | None = None
    release: ReleaseStep = NO_STEP

    @property
    def kind(self) -> str:
        """Return which count of the summary it belongs to."""
        if not isinstance(self.found, Hold):
            return _UPDATE
        if self.found.reason is Reason.SAME_DIGEST:
            return _UP_TO_DATE
        if records.is_unknown(self.found.reason):
            return _UNKNOWN
        # With an image that is known and waits, it goes on by itself or by a yes; without one nothing will.
        return _WAITING if self.found.available else _HELD


def worst_first(planned: Sequence[PlannedService]) -> list[PlannedService]:
    """Return what is unknown first, then held, waiting, to be updated, up to date; by name among equals."""
    return sorted(planned, key=lambda one: (_WORST_FIRST.index(one.kind), one.service.name))


def block(one: PlannedService, now: datetime | None = None) -> str:
    """Return the lines on one service.

    `now`: what the age of a release is counted to; None: no age is said.
    """
    lines = text.plan_text(one.service, one.found, one.rejected, one.explained, one.current)
    words = text.release_words(one.release, now)
    lines = f"{lines}\n{columns.wrapped(f'  release:   {words}', others=' ' * 13)}" if words else lines
    if one.newer is None:
        return lines
    image, remedy = one.newer
    newer = f"  newer:     {image.text} is there, and nothing follows versions; {remedy}"
    return f"{lines}\n{columns.wrapped(newer, others=' ' * 13)}"


def disabled_block(name: str) -> str:
    """Return the lines on a service that is disabled."""
    return f"{name}\n  disabled:  it is neither checked nor updated"


def summary(planned: Sequence[PlannedService], disabled: int) -> str:
    """Return the last line: how many services there are of each kind."""
    counts = Counter(one.kind for one in planned)
    said = [f"{counts[kind]} {_IN_WORDS[kind]}" for kind in _WORST_FIRST if counts[kind]]
    said += [f"{disabled} disabled"] if disabled else []
    number = len(planned) + disabled
    return f"{number} service{'s' if number != 1 else ''}: {', '.join(said)}" if said else "no services"


def as_json(planned: Sequence[PlannedService], disabled: Sequence[ServiceConfig]) -> str:
    """Return the same for machines, in the order of the configuration, what is disabled last."""
    counts = Counter(one.kind for one in planned)
    counted = {
        "services": len(planned) + len(disabled),
        **{kind: counts[kind] for kind in _WORST_FIRST},
        "disabled": len(disabled),
    }
    rows = [*(_row(one) for one in planned), *(_disabled_row(service) for service in disabled)]
    return json.dumps({"services": rows, "summary": counted}, indent=2)


def _disabled_row(service: ServiceConfig) -> dict[str, Any]:
    row = _row(PlannedService(service, Hold(Reason.SAME_DIGEST)))
    return {**row, "enabled": False, "reason": None, "family": None}


def _row(one: PlannedService) -> dict[str, Any]:
    current = one.current or one.service.image
    action, held, update = "none", _NO_HOLD, None
    if isinstance(one.found, Hold):
        held = _hold(one.found)
    else:
        action, update = "update", _update(one.found, one.explained)
    rejected = [
        {"tag": each.tag, "reason": each.reason.value, "detail": each.detail} for each in one.rejected
    ]
    release = None if one.release is NO_STEP else encode(one.release)
    return {
        "name": one.service.name,
        "enabled": True,
        "current": one.current.text if one.current else None,
        "action": action,
        **held,
        "update": update,
        "family": explain.family_text(one.service.policy, current) or None,
        "newer": one.newer[0].text if one.newer else None,
        "release": release,
        "rejected": rejected,
    }


def _hold(hold: Hold) -> dict[str, Any]:
    return {
        "reason": hold.reason.value,
        "detail": hold.detail,
        "remedy": hold.remedy,
        "until": times.rfc3339(hold.until) if hold.until else None,
        "available": hold.available.text if hold.available else None,
        "also": [_also(each) for each in hold.also],
    }


def _also(hold: Hold) -> dict[str, str]:
    return {"reason": hold.reason.value, "detail": hold.detail, "remedy": hold.remedy}


def _other(change: ImageChange) -> dict[str, Any]:
    return {
        "from": change.old_reference,
        "from_digest": change.old_digest,
        "to": change.new_reference,
        "to_digest": change.new_digest,
    }


def _update(plan: Plan[Any], explained: Sequence[str]) -> dict[str, Any]:
    gate = plan.gate
    return {
        "from": plan.old_reference,
        "from_digest": plan.old_digest,
        "to": plan.image.text,
        "to_digest": plan.image.digest,
        "others": [_other(change) for change in plan.others],
        "because": plan.reason,
        "restarts": plan.restarts,
        "strategy": plan.strategy,
        "gate": {
            "timeout_seconds": gate.timeout_seconds,
            "stable_seconds": gate.stable_seconds,
            "healthcheck_seconds": plan.healthcheck_seconds,
        },
        "changes": list(explained),
    }
