"""What `--status` prints of the operator's decisions: pauses, skips, approvals; and of one service its orders. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from updater_core.policy.operator.decisions import Approval, Pause, command
from updater_core.reference import short
from updater_core.state.records import OrderTaken, State, service_of
from updater_core.status import columns

_ORDERS_SHOWN = 10


def text_of(state: State, names: Sequence[str], now: datetime, zone: tzinfo | None = None) -> str:
    """Return a line for each decision that counts now, with how it is taken back; empty if there is none.

    `zone`: that of the times; the machine's own if None."""
    lines = [*_pause("all", state.pause, now, zone)]
    for name in names:
        known = service_of(state, name).decisions
        lines += _pause(name, known.pause, now, zone)
        lines += [f"{name}: {short(s.reference)} is skipped, by {s.who} on {_at(s.since, zone)}" for s in known.skips]
        lines += _approval(name, known.approval, now, zone)
    return "\n".join(["", *(columns.wrapped(line, others="  ") for line in lines), ""]) if lines else ""


def _pause(name: str, pause: Pause | None, now: datetime, zone: tzinfo | None) -> Iterator[str]:
    if pause is not None and pause.counts(now):
        end = f"until {_at(pause.until, zone)}" if pause.until else f"until {command('resume', name)}"
        yield f"{name}: paused by {pause.who} on {_at(pause.since, zone)}, {end}"


def _approval(name: str, approval: Approval | None, now: datetime, zone: tzinfo | None) -> Iterator[str]:
    if approval is None:
        return
    what, end = short(approval.reference), _at(approval.expires_at, zone)
    if approval.counts(now):
        yield f"{name}: {what} is approved by {approval.who}, until {end}"
    elif approval.is_open(now):
        yield f"{name}: {what} waits for {command('approve', name)}, until {end}"


def orders_of(state: State, name: str, zone: tzinfo | None = None) -> str:
    """Return the latest orders for a service, and those for all: when, what, by whom, what came of it."""
    every = sorted([*service_of(state, name).orders, *state.orders], key=lambda each: each.done_at, reverse=True)
    lines = [columns.wrapped(_order(each, zone), others="    ") for each in every[:_ORDERS_SHOWN]]
    return "\n".join(["", "latest orders:", *lines, ""]) if lines else ""


def _order(taken: OrderTaken, zone: tzinfo | None) -> str:
    outcome = "" if taken.is_done else "refused: "
    of_all = " (all)" if taken.service == "all" else ""
    return (
        f"  {_at(taken.done_at, zone)} {taken.kind}{of_all} by {taken.who or 'nobody known'}: {outcome}{taken.detail}"
    )


def _at(moment: datetime, zone: tzinfo | None) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"
