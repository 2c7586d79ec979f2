"""What an operator's orders change in memory: pause, skip, approval, and the record of every order. Pure.

An order that finds nothing to do is refused with a sentence (`objection`), and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from updater_core import reference
from updater_core.models import ImageRef, Mode, ServiceConfig, retry_command
from updater_core.policy.operator import decisions
from updater_core.policy.operator.decisions import Approval, Pause, Skip, command
from updater_core.policy.operator.kinds import (
    ALL,
    APPROVE,
    CHECK,
    KINDS,
    OF_ALL,
    PAUSE,
    RESUME,
    RETRY,
    ROLLBACK,
    SKIP,
    UPDATE,
)
from updater_core.state.records import OrderTaken, ServiceState, State, service_of, with_service

__all__ = [
    "ALL",
    "APPROVE",
    "CHECK",
    "KINDS",
    "OF_ALL",
    "PAUSE",
    "RESUME",
    "RETRY",
    "ROLLBACK",
    "SKIP",
    "UPDATE",
    "OperatorOrder",
    "OrderAnswer",
    "objection",
    "record",
]
# of a service; what is refused drives out no more than so many that were done
ORDERS_KEPT, REFUSED_KEPT = 20, 10
# A script that repeats a refused order in a loop must not push out the record of those that were done.
REPEATED_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class OperatorOrder:
    """One order: its kind, the service (or `ALL`), when it was asked and by whom.

    `digest`: the image it is for; empty = the one that waits. `seconds`: how long a pause lasts; None = until
    resumed. `refusal`: why it was refused already; such an order is not carried out, but put on record.
    """

    kind: str
    service: str
    at: datetime
    id: str = ""
    who: str = ""
    digest: str = ""
    seconds: float | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class OrderAnswer:
    """What came of an order, in a sentence; `remedy` if it was refused."""

    is_done: bool
    text: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """Return the answer for a person, with its remedy in brackets if there is one."""
        return f"{self.text} ({self.remedy})" if self.remedy else self.text


def refused(text: str, remedy: str = "") -> OrderAnswer:
    """Return the answer to an order that was not done."""
    return OrderAnswer(is_done=False, text=text, remedy=remedy)


def waiting(service: ServiceState) -> ImageRef | None:
    """Return the image that waits for a service; None if none does."""
    if not service.available:
        return None
    try:
        return reference.parse(service.available)
    except ValueError:
        return None


# -------------------------------------------------------------------------------- why an order cannot be done


def objection(
    state: State, order: OperatorOrder, service: ServiceConfig | None, now: datetime
) -> OrderAnswer | None:
    """Return why an order has nothing to act on now; None if it has. `service` is None if it is for all."""
    if order.kind not in KINDS:
        return refused(f"there is no order {order.kind!r}", f"there are {', '.join(KINDS)}")
    if order.service == ALL and order.kind not in OF_ALL:
        return refused(f"{order.kind} is for one service", "name it")
    # These two put things right, also for a service that was disabled because of what went wrong.
    if service is not None and not service.enabled and order.kind not in (RETRY, ROLLBACK):
        return refused(
            f'{service.name} is disabled ("enabled": false)', "enable it in the configuration first"
        )
    if order.kind == RESUME:
        return _nothing_paused(state, service, now)
    if service is None or order.kind not in (APPROVE, SKIP):
        return None
    known = service_of(state, service.name)
    return _no_image(known, order, service.name) or _not_to_approve(known, order, service)


def _nothing_paused(state: State, service: ServiceConfig | None, now: datetime) -> OrderAnswer | None:
    if service is None:
        pauses = [state.pause, *(each.decisions.pause for each in state.services.values())]
        is_any = any(pause is not None and pause.counts(now) for pause in pauses)
        return None if is_any else refused("nothing is paused by an order", _SETTING)
    own = service_of(state, service.name).decisions.pause
    if own is not None and own.counts(now):
        return None
    if state.pause is not None and state.pause.counts(now):
        return refused(f"{service.name} is paused with all others", f"run {command(RESUME, ALL)}")
    return refused(f"{service.name} is not paused by an order", _SETTING)


_SETTING = "a pause of the configuration ends when pause_updates is taken out there"


def _no_image(known: ServiceState, order: OperatorOrder, name: str) -> OrderAnswer | None:
    target = waiting(known)
    if target is None:
        return refused(f"no image waits for {name}", f"see docker-updater --status --service {name}")
    if target.digest is None:
        return refused(f"the digest of {target.text} is not known yet", "ask again after the next check")
    # What somebody has looked at is not what waits by now, and nobody has looked at that.
    if order.digest and order.digest != target.digest:
        was = reference.short_digest(order.digest)
        text = f"{was} is not what waits for {name} any more: {target.text} is"
        return refused(text, f"look at it, and {order.kind} that one")
    return None


def _not_to_approve(known: ServiceState, order: OperatorOrder, service: ServiceConfig) -> OrderAnswer | None:
    if order.kind != APPROVE:
        return None
    target = waiting(known)
    digest = target.digest if target else None
    # An approval would change nothing: the quarantine holds it all the same.
    if any(entry.digest == digest for entry in known.quarantine):
        return refused(f"{known.available} is in quarantine", f"run {retry_command(service.name)} first")
    if service.policy.mode is Mode.APPROVE or known.decisions.skip_of(digest):
        return None
    text = f"the mode of {service.name} is {service.policy.mode}, so nothing waits for an approval"
    return refused(text, f"{command(UPDATE, service.name)} takes what waits now")


def with_digest(state: State, order: OperatorOrder) -> OperatorOrder:
    """Return the order with the image that waits now, so that it is not for one that appears meanwhile."""
    target = waiting(service_of(state, order.service))
    if order.kind not in (APPROVE, SKIP) or order.digest or target is None:
        return order
    return replace(order, digest=target.digest or "")


# ----------------------------------------------------------------------------------------- what an order does


def paused(state: State, order: OperatorOrder) -> State:
    """Return the state in which one service, or all, are paused."""
    # From when it was asked, and not from when it was carried out: the queue may have been long.
    until = None if order.seconds is None else order.at + timedelta(seconds=order.seconds)
    pause = Pause(order.at, order.who, until)
    if order.service == ALL:
        return replace(state, pause=pause)
    known = service_of(state, order.service)
    return with_service(state, order.service, replace(known, decisions=replace(known.decisions, pause=pause)))


def resumed(state: State, name: str) -> State:
    """Return the state in which a service is not paused any more; `ALL`: no service is."""
    names = [*state.services] if name == ALL else [name]
    for each in names:
        known = service_of(state, each)
        if known.decisions.pause is not None:
            state = with_service(state, each, replace(known, decisions=replace(known.decisions, pause=None)))
    return replace(state, pause=None) if name == ALL else state


def skipped(state: State, order: OperatorOrder) -> State:
    """Return the state in which the image that waits is not taken; the same state if none waits."""
    known = service_of(state, order.service)
    target = waiting(known)
    if target is None or target.digest is None:
        return state
    skip = Skip(target.digest, target.text, order.at, order.who)
    return with_service(state, order.service, replace(known, decisions=known.decisions.with_skip(skip)))


def approved(state: State, order: OperatorOrder, now: datetime, seconds: float) -> State:
    """Return the state in which the image that waits may be taken, for so many seconds.

    A skip of it is taken back.
    """
    known = service_of(state, order.service)
    target = waiting(known)
    if target is None or target.digest is None:
        return state
    asked = known.decisions.approval
    if asked is None or asked.digest != target.digest:
        asked = decisions.question(target, (), now, seconds)
    given = decisions.answered(asked, order.who, now, seconds)
    after = replace(known.decisions.without_skip(target.digest), approval=given)
    return with_service(state, order.service, replace(known, decisions=after))


def asked(state: State, name: str, approval: Approval) -> State:
    """Return the state in which the operator is asked whether an image may be taken."""
    known = service_of(state, name)
    return with_service(state, name, replace(known, decisions=replace(known.decisions, approval=approval)))


def without_link(state: State, name: str) -> State:
    """Return the state in which no link answers the question that was asked of a service."""
    known = service_of(state, name)
    approval = known.decisions.approval
    return state if approval is None else asked(state, name, replace(approval, link_hash=""))


def without_ended_pauses(state: State, now: datetime) -> State:
    """Return the state without pauses that are over."""
    for name, known in state.services.items():
        pause = known.decisions.pause
        if pause is not None and not pause.counts(now):
            state = with_service(state, name, replace(known, decisions=replace(known.decisions, pause=None)))
    is_over = state.pause is not None and not state.pause.counts(now)
    return replace(state, pause=None) if is_over else state


# --------------------------------------------------------------------------------------- the record of orders


def record(state: State, order: OperatorOrder, answer: OrderAnswer, now: datetime) -> State:
    """Return the state with an order and what came of it; the newest first, the same order once."""
    target = waiting(service_of(state, order.service)) if order.kind in (APPROVE, SKIP) else None
    taken = OrderTaken(
        id=order.id,
        kind=order.kind,
        service=order.service,
        asked_at=order.at,
        who=order.who,
        done_at=now,
        is_done=answer.is_done,
        detail=answer.sentence,
        digest=order.digest or (target.digest if target and target.digest else ""),
    )
    if order.service == ALL:
        return replace(state, orders=_with(state.orders, taken))
    known = service_of(state, order.service)
    return with_service(state, order.service, replace(known, orders=_with(known.orders, taken)))


def is_repeated(state: State, order: OperatorOrder, answer: OrderAnswer) -> bool:
    """Return whether the same person was refused the same within the last minute; it is noted once."""
    every = state.orders if order.service == ALL else service_of(state, order.service).orders
    same = (order.kind, order.who, answer.sentence)
    return any(
        not each.is_done
        and (each.kind, each.who, each.detail) == same
        and abs(order.at - each.asked_at) < REPEATED_WITHIN
        for each in every
    )


def _with(orders: tuple[OrderTaken, ...], taken: OrderTaken) -> tuple[OrderTaken, ...]:
    """Return the orders with one more in front; of those that were refused only the latest."""
    others = tuple(each for each in orders if not taken.id or each.id != taken.id)
    every = (taken, *others)
    forgotten = [each for each in every if not each.is_done][REFUSED_KEPT:]
    return tuple(each for each in every if each not in forgotten)[:ORDERS_KEPT]


def find(state: State, order_id: str) -> OrderTaken | None:
    """Return the record of an order; None if it was not taken yet, or is forgotten."""
    every = [*state.orders, *(taken for service in state.services.values() for taken in service.orders)]
    return next((taken for taken in every if order_id and taken.id == order_id), None)
