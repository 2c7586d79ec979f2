"""What a cycle came to, for the log, the exit status and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from updater_core.app.candidate import Candidate
from updater_core.app.context import AppContext, targets_in_use
from updater_core.errors import StateError, UpdaterError
from updater_core.models import Committed, Hold, Outcome, Reason, Superseded
from updater_core.state import records
from updater_core.state.records import Status
from updater_core.status import summary

_LOST = {Status.UNKNOWN, Status.FAILED, Status.ROLLBACK_FAILED}


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle came to.

    `needs_look` names the services that failed, were rolled back or are unknown, `under_way` those whose
    update has not ended yet.
    """

    checked: tuple[Candidate, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    needs_look: frozenset[str] = frozenset()
    is_engine_down: bool = False
    under_way: frozenset[str] = frozenset()


def of_cycle(context: AppContext, checked: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Report:
    """Return what has come of a cycle by now, and show it in the metrics."""
    under_way = context.workers.names
    failed = {outcome.plan.name for outcome in outcomes if not isinstance(outcome, Committed | Superseded)}
    lost = {
        one.service.name
        for one in checked
        if records.service_of(context.state, one.service.name).status in _LOST
    }
    is_down = any(isinstance(o.decision, Hold) and o.decision.reason is Reason.ENGINE_ERROR for o in checked)
    context.metrics.show(context.state.services)
    context.metrics.open_journal(len(context.journal.read_all()))
    with suppress(StateError):  # said by `deliver` already
        context.metrics.outbox_pending(sum(channel.outbox.pending() for channel in context.channels))
    needs_look = frozenset(failed | lost) - under_way
    return Report(tuple(checked), tuple(outcomes), needs_look, is_down and not _answers(context), under_way)


def came_to(context: AppContext, result: Report) -> str:
    """Return what needs a look after a cycle, is under way, waits or is held, in a line; else `all well`."""
    names = [one.service.name for one in result.checked if one.service.name not in result.under_way]
    known = [(name, records.service_of(context.state, name)) for name in names]
    return summary.text(known, result.needs_look, context.clock.now(), under_way=result.under_way)


def _answers(context: AppContext) -> bool:
    try:
        for target, services in targets_in_use(context):
            target.check(services)
    except UpdaterError:
        return False
    return True
