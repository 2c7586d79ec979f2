"""An order of the API on its way: into the queue that the command line uses, and what came of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from updater_core.app.orders import request_queue
from updater_core.state import orders
from updater_core.state.orders import OperatorOrder
from updater_core.state.records import OrderTaken, State

_LOOK_SECONDS = 0.05


class Remembering(Protocol):
    """What an order needs of the application context: the state as it is now, and its folder."""

    @property
    def state(self) -> State:
        """Return what is remembered now."""

    @property
    def folder(self) -> Path:
        """Return the folder of the state."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """`taken` is None if the order still waits for its turn."""

    order: OperatorOrder
    taken: OrderTaken | None


def submit(
    context: Remembering, order: OperatorOrder, wake: Callable[[], None], wait_seconds: float
) -> Submitted:
    """Leave an order for the main thread, wake it, and wait for what comes of it, for so long at most.

    The same order, if it waits already, is not left once more.

    Raises StateError if the queue cannot be written.
    """
    order = orders.with_digest(context.state, replace(order, id=order.id or uuid.uuid4().hex))
    folder = context.folder / request_queue.FOLDER
    same = [each.order for each in request_queue.waiting_in(folder) if _is_same(each.order, order)]
    if same:
        order = same[0]
    else:
        request_queue.leave(folder, order)
    wake()
    end = time.monotonic() + wait_seconds
    while (taken := orders.find(context.state, order.id)) is None and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    return Submitted(order, taken)


def waiting_order(context: Remembering, order_id: str) -> OperatorOrder | None:
    """Return the order with this id if it waits for its turn."""
    waiting = request_queue.waiting_in(context.folder / request_queue.FOLDER)
    return next((each.order for each in waiting if each.order.id == order_id), None)


def _is_same(one: OperatorOrder, other: OperatorOrder) -> bool:
    if one.refusal or other.refusal:
        return False
    return (one.kind, one.service, one.digest, one.seconds) == (
        other.kind,
        other.service,
        other.digest,
        other.seconds,
    )
