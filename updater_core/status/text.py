"""What `--plan` and `--status` print. Pure."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from updater_core.host import times
from updater_core.models import Edit, Hold, Plan, Rejected, ServiceConfig
from updater_core.reference import short
from updater_core.state.codec import encode
from updater_core.state.records import ServiceState, State, service_of

_REJECTED_SHOWN = 40
_HEAD = ("SERVICE", "STATE", "CURRENT", "AVAILABLE", "REASON", "LAST CHECK", "LAST CHANGE")


def status_table(services: Iterable[ServiceConfig], state: State) -> str:
    """Return a line for each service, aligned; what needs a person follows with its remedy."""
    names = [service.name for service in services]
    rows = [_HEAD, *(_row(name, service_of(state, name)) for name in names)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [_note(name, service_of(state, name)) for name in names]
    return "\n".join([*lines, *(note for note in notes if note)])


def status_json(services: Iterable[ServiceConfig], state: State) -> str:
    """Return the same for machines: the state of each service, as the state file has it."""
    return json.dumps({service.name: encode(service_of(state, service.name)) for service in services}, indent=2)


def plan_text(service: ServiceConfig, found: Plan | Hold, rejected: Sequence[Rejected]) -> str:
    """Return what would happen to one service and why: decision, rejected tags, the exact change of its file."""
    lines = [service.name]
    if isinstance(found, Hold):
        lines += [f"  no update: {found.reason} - {found.detail}"]
        lines += [f"  waiting:   {found.available.text}"] if found.available else []
        lines += [f"  until:     {_time(found.until)}"] if found.until else []
        lines += [f"  to do:     {found.remedy}"] if found.remedy else []
    else:
        lines += _update_lines(found)
    return "\n".join([*lines, *_rejected_lines(rejected)])


def _update_lines(plan: Plan) -> list[str]:
    services = ", ".join(move.service for move in plan.moves)
    together = ", ".join(move.service for move in plan.companions)
    lines = [
        f"  update:    {plan.moves[0].old_reference} -> {plan.target.text}",
        f"  digest:    {plan.old_digest or 'unknown'} -> {plan.target.digest}",
        f"  because:   {plan.reason}",
        f"  restarts:  {services}" + (f", and with it {together}" if together else ""),
        f"  gate:      healthy within {plan.gate.timeout_seconds:.0f} s, stable for {plan.gate.stable_seconds:.0f} s",
    ]
    if not plan.edits:
        return [*lines, "  file:      unchanged, its reference stays"]
    return [*lines, *(f"  {line}" for edit in plan.edits for line in diff(edit))]


def diff(edit: Edit) -> list[str]:
    """Return the change of one file as a unified diff.

    The lines around a change in an env file are left out: they may hold secrets.
    """
    before, after = edit.before.splitlines(), edit.after.splitlines()
    around = 0 if any(mark.kind == "variable" for mark in edit.marks) else 1
    return list(difflib.unified_diff(before, after, edit.path, edit.path, lineterm="", n=around))


def _rejected_lines(rejected: Sequence[Rejected]) -> list[str]:
    if not rejected:
        return []
    counts = Counter(one.reason.value for one in rejected)
    summary = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    shown = [f"    {one.tag}: {one.reason}{_after_dash(one.detail)}" for one in rejected[:_REJECTED_SHOWN]]
    more = len(rejected) - len(shown)
    return [f"  rejected:  {summary}", *shown, *([f"    and {more} more"] if more > 0 else [])]


def _after_dash(text: str) -> str:
    return f" - {text}" if text else ""


def _row(name: str, service: ServiceState) -> tuple[str, ...]:
    reason = service.reason.value if service.reason else ""
    times = (_time(service.last_check), _time(service.last_change))
    images = (short(service.reference) or "-", short(service.available or "-"))
    return (name, service.status.value, *images, reason or "-", *times)


def _note(name: str, service: ServiceState) -> str:
    if not service.remedy:
        return ""
    return f"\n{name}: {service.detail}\n  to do: {service.remedy}"


def _time(moment: datetime | None) -> str:
    return times.utc(moment) if moment else "never"
