"""The operator's decisions that count now, and open questions, for the page and for `--status`. Pure.

Decisions are pauses, skips, approvals, and the orders of one service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from updater_core.policy.operator.decisions import Pause, Skip, command
from updater_core.policy.operator.kinds import ALL, APPROVE, RESUME
from updater_core.reference import short
from updater_core.state.records import OrderTaken, ServiceState, State, service_of
from updater_core.status import columns
from updater_core.status.view import Decided, DecisionView

_ORDERS_SHOWN = 10
_ORDER = tuple(Decided)


def counting(state: State, names: Sequence[str], now: datetime) -> tuple[DecisionView, ...]:
    """Return all that counts now for all services, and for those with these names; open questions first."""
    found = [*_pause(ALL, state.pause, now)]
    for name in names:
        known = service_of(state, name)
        found += _pause(name, known.decisions.pause, now)
        found += [_skip(name, known, skip) for skip in known.decisions.skips]
        found += _approval(name, known, now)
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.kind)))


def _pause(name: str, pause: Pause | None, now: datetime) -> Iterator[DecisionView]:
    if pause is not None and pause.counts(now):
        yield DecisionView(
            Decided.PAUSE, name, pause.since, pause.who, pause.until, command=command(RESUME, name)
        )


def _skip(name: str, known: ServiceState, skip: Skip) -> DecisionView:
    """Return a skip; as long as the image waits, an approval takes it back."""
    remedy = command(APPROVE, name) if _waits(known, skip.digest) else ""
    return DecisionView(Decided.SKIP, name, skip.since, skip.who, reference=skip.reference, command=remedy)


def _waits(known: ServiceState, digest: str) -> bool:
    return (known.available or "").endswith(f"@{digest}")


def _approval(name: str, known: ServiceState, now: datetime) -> Iterator[DecisionView]:
    """Yield the approval of the image that waits; of an image that waits no more, the answer is void."""
    approval = known.decisions.approval
    if approval is None or not _waits(known, approval.digest):
        return
    what, end = approval.reference, approval.expires_at
    if approval.counts(now):
        since = approval.given_at or approval.asked_at
        yield DecisionView(Decided.APPROVAL, name, since, approval.who, end, what)
    elif approval.is_open(now):
        answer = command(APPROVE, name)
        yield DecisionView(Decided.QUESTION, name, approval.asked_at, "", end, what, answer)


def text_of(state: State, names: Sequence[str], now: datetime, zone: tzinfo | None = None) -> str:
    """Return a line for each decision that counts now, with how it is taken back; empty if there is none.

    `zone`: that of the times; the machine's own if None."""
    lines = [columns.wrapped(_line(each, zone), others="  ") for each in counting(state, names, now)]
    return "\n".join(["", *lines, ""]) if lines else ""


def _line(found: DecisionView, zone: tzinfo | None) -> str:
    what, since = short(found.reference), _at(found.since, zone)
    end = f"until {_at(found.until, zone) if found.until else found.command}"
    match found.kind:
        case Decided.PAUSE:
            return f"{found.service}: paused by {found.who} on {since}, {end}"
        case Decided.SKIP:
            back = f"; {found.command} takes it back" if found.command else ""
            return f"{found.service}: {what} is skipped, by {found.who} on {since}{back}"
        case Decided.APPROVAL:
            return f"{found.service}: {what} is approved by {found.who}, {end}"
        case Decided.QUESTION:
            return f"{found.service}: {what} waits for {found.command}, {end}"


def orders_of(state: State, name: str, zone: tzinfo | None = None) -> str:
    """Return the latest orders for a service, and those for all: when, what, by whom, what came of it."""
    every = sorted(
        [*service_of(state, name).orders, *state.orders], key=lambda each: each.done_at, reverse=True
    )
    lines = [columns.wrapped(_order(each, zone), others="    ") for each in every[:_ORDERS_SHOWN]]
    return "\n".join(["", "latest orders:", *lines, ""]) if lines else ""


def _order(taken: OrderTaken, zone: tzinfo | None) -> str:
    outcome = "" if taken.is_done else "refused: "
    of_all = " (all)" if taken.service == ALL else ""
    return (
        f"  {_at(taken.done_at, zone)} {taken.kind}{of_all} by {taken.who or 'nobody known'}: "
        f"{outcome}{taken.detail}"
    )


def _at(moment: datetime, zone: tzinfo | None) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"
