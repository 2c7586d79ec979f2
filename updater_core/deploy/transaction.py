"""The story of one update: forward step by step, and back from wherever it went wrong.

    hold -> pull -> prove -> journal -> edit -> restart -> gate -> verify -> commit

Until the journal says `applying`, nothing visible has changed, and an error, or a wish to stop, is just `NotStarted`.
From then on there are two ends: the new release, proven, or the old one, proven; a rollback that cannot be proven is
`RollbackFailed`, said loudly and left alone, and what the owner has deployed himself meanwhile is `Superseded`, his.
What is in the middle is in the journal first, so a process that dies anywhere is followed by `recover`, which ends the
same way. An engine that stops answering is waited for; when it does not come back, EngineUnavailable leaves the journal
open for the next `recover`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import assert_never

from updater_core.deploy import failure
from updater_core.deploy.journal import Journal, JournalRecord, Phase
from updater_core.errors import EngineUnavailable, StateError, UpdaterError
from updater_core.models import (
    Cause,
    Committed,
    NotStarted,
    Outcome,
    Plan,
    Reason,
    RollbackFailed,
    RolledBack,
    Step,
    Superseded,
)
from updater_core.protocols import Tools
from updater_core.targets.compose import file_edits, gate, images, takeover
from updater_core.targets.compose.file_edits import Staged
from updater_core.targets.compose.recreate import restart

_WORTH_ANOTHER_TRY = {Reason.EXITED, Reason.COMPOSE_ERROR, Reason.UP_FAILED, Reason.ENGINE_ERROR}
_INTERRUPTED = Cause(Step.JOURNAL, Reason.INTERRUPTED, "the updater or the host stopped in the middle of the update")


def apply(plan: Plan, tools: Tools, journal: Journal) -> Outcome:
    """Carry out `plan`; end on the new release proven, or on the old one proven."""
    step = _at(Step.HOLD, tools)
    try:
        tools.tell(step, f"keeping {plan.moves[0].old_reference} at hand")
        images.hold_old_images(plan, tools)
        step = _at(Step.PULL, tools)
        tools.tell(step, f"pulling {plan.target.text}")
        plan = images.fetch(plan, tools)
        images.heed_stop(tools)
        step = _at(Step.PROVE, tools)
        _write(Phase.PREPARED, plan, None, journal)
        staged = file_edits.prove(plan, tools)
    except UpdaterError as error:
        return _not_started(plan, failure.cause_of(error, step, plan.name), tools)
    return _go_forward(plan, staged, tools, journal)


def _go_forward(plan: Plan, staged: Sequence[Staged], tools: Tools, journal: Journal) -> Outcome:
    step = _at(Step.JOURNAL, tools)
    try:
        _write(Phase.APPLYING, plan, None, journal)
        step = _at(Step.EDIT, tools)
        file_edits.replace_files(staged, tools)
        images.tag_new(plan, tools)
        step = _at(Step.RESTART, tools)
        tools.tell(step, f"restarting {_services(plan)}")
        restart(plan, tools)
        step = _at(Step.GATE, tools)
        gate.gate_new(plan, tools)
        step = _at(Step.VERIFY, tools)
        notes = gate.verify_new(plan, tools)
        step = _at(Step.COMMIT, tools)
        _write(Phase.COMMITTED, plan, None, journal)
    except Exception as error:  # a bug of ours, too, must not leave the service in the middle
        file_edits.discard(staged, tools)
        return _roll_back_when_possible(plan, failure.cause_of(error, step, plan.name), tools, journal)
    tools.tell(step, "; ".join(("the new release is proven", *notes)))
    return _finish(Committed(plan), tools)


def roll_back(plan: Plan, cause: Cause, tools: Tools, journal: Journal) -> Outcome:
    """Put the old release back, whatever has been done of the new one. Repeatable: each step looks before it acts."""
    owners = takeover.owners_cause(plan, tools)
    if owners is not None:
        _write_if_possible(Phase.TAKEN_OVER, plan, owners, tools, journal)
        return _finish(Superseded(plan, owners), tools)
    step = _at(Step.EDIT, tools, is_back=True)
    tools.tell(step, f"going back to {plan.moves[0].old_reference}: {cause.message}")
    _write_if_possible(Phase.ROLLING_BACK, plan, cause, tools, journal)
    try:
        left = file_edits.put_files_back(plan, tools)
        for path, why in left.items():
            tools.tell(step, f"{path} is left as it is: {why}")
        cause = file_edits.blamed_for_files(cause, plan, left, tools)
        images.tag_old(plan, tools)
        step = Step.RESTART
        with file_edits.stand_in(plan, left, tools) as observed:
            _restart_old_and_gate(observed, cause, tools)
        step = _at(Step.VERIFY, tools, is_back=True)
        gate.verify_old(plan, tools)
    except EngineUnavailable:
        raise
    except UpdaterError as error:
        failed = RollbackFailed(
            plan, cause, failure.cause_of(error, step, plan.name), failure.is_release_at_fault(cause)
        )
        _write_if_possible(Phase.ROLLBACK_FAILED, plan, cause, tools, journal, failed.rollback)
        return failed
    _write_if_possible(Phase.ROLLED_BACK, plan, cause, tools, journal)
    return _finish(RolledBack(plan, cause, failure.is_release_at_fault(cause)), tools)


def recover(record: JournalRecord, tools: Tools, journal: Journal) -> Outcome:
    """End what a journal record says was in the middle. Runs before any check, for nothing else brings back a container
    that was stopped for a recreate."""
    plan, cause = record.plan, record.cause or _INTERRUPTED
    is_at_fault = failure.is_release_at_fault(cause)
    file_edits.remove_strays(plan, tools)
    match record.phase:
        case Phase.COMMITTED:
            return _finish(Committed(plan), tools)
        case Phase.ROLLED_BACK:
            return _finish(RolledBack(plan, cause, is_at_fault), tools)
        case Phase.ROLLBACK_FAILED:
            return RollbackFailed(plan, cause, record.rollback or _INTERRUPTED, is_at_fault)
        case Phase.TAKEN_OVER:
            return _finish(Superseded(plan, cause), tools)
        case Phase.PREPARED:
            return _not_started(plan, cause, tools)
        case Phase.APPLYING | Phase.ROLLING_BACK:
            return _roll_back_when_possible(plan, cause, tools, journal)
        case _:
            assert_never(record.phase)


def describe(outcome: Outcome) -> str:
    """The outcome as one sentence: what happened, what was done about it."""
    plan = outcome.plan
    old, new = plan.moves[0].old_reference, plan.target.text
    match outcome:
        case Committed():
            return f"{new} runs and is proven (was {old})"
        case NotStarted(cause=cause):
            return f"{new} was not started at step {cause.step}: {cause.message}; {old} was not touched"
        case RolledBack(cause=cause):
            how = "runs again" if all(move.was_well for move in plan.moves) else "is back, as unwell as it was before"
            return f"{_what_failed(outcome)} at step {cause.step}: {cause.message}; {old} {how}"
        case RollbackFailed(cause=cause, rollback=rollback):
            failed = f"{_what_failed(outcome)}: {cause.message}"
            return f"{failed}; going back to {old} failed too: {rollback.message}; left alone"
        case Superseded(cause=cause):
            return f"{new} is not followed up: {cause.message}; nothing was put back"
        case _:
            assert_never(outcome)


def _what_failed(outcome: RolledBack | RollbackFailed) -> str:
    """A release that is not to blame has not failed: nobody knows how it would have done."""
    new = outcome.plan.target.text
    return f"{new} failed" if outcome.quarantine else f"the update to {new} was broken off"


def _restart_old_and_gate(plan: Plan, cause: Cause, tools: Tools) -> None:
    """A stop that a killed Compose asked for may still be under way and end the old container after `up` saw it
    running; then it is brought up once more."""
    may_be_stopping = cause.step in (Step.JOURNAL, Step.RESTART)
    for is_last in (False, False, True):
        try:
            _at(Step.RESTART, tools, is_back=True)
            restart(plan, tools)
            _at(Step.GATE, tools, is_back=True)
            gate.gate_old(plan, tools, may_be_stopping=may_be_stopping)
        except EngineUnavailable:
            raise
        except UpdaterError as error:
            if is_last or failure.cause_of(error, Step.GATE, plan.name).reason not in _WORTH_ANOTHER_TRY:
                raise
            tools.clock.sleep(1.0)
        else:
            return


def _roll_back_when_possible(plan: Plan, cause: Cause, tools: Tools, journal: Journal) -> Outcome:
    for _ in range(gate.MOST_OUTAGES):
        with suppress(EngineUnavailable):
            return roll_back(plan, cause, tools, journal)
        gate.await_engine(tools)
    raise EngineUnavailable("the engine keeps going away", "see the engine's own log")


def _not_started(plan: Plan, cause: Cause, tools: Tools) -> NotStarted:
    """The images stay held where the release is fine: the next try needs them; a bad one is let go."""
    outcome = NotStarted(plan, cause, failure.is_release_at_fault(cause))
    with suppress(UpdaterError):
        file_edits.remove_strays(plan, tools)
    _finish(outcome, tools)
    return outcome


def _finish(outcome: Outcome, tools: Tools) -> Outcome:
    """Let go of images that no way back needs any more; a failure here harms nobody and is met again next time."""
    plan = outcome.plan
    keep = {move.old_image_id for move in plan.moves}
    if isinstance(outcome, Committed) and plan.image_id:
        keep.add(plan.image_id)
    else:
        keep |= set(plan.kept_image_ids)
    with suppress(UpdaterError):
        images.release_holds(plan, frozenset(keep), tools)
    return outcome


def _at(step: Step, tools: Tools, *, is_back: bool = False) -> Step:
    """The update comes to this step: say so, and return it."""
    tools.reached(step, is_back)
    return step


def _write(phase: Phase, plan: Plan, cause: Cause | None, journal: Journal, rollback: Cause | None = None) -> None:
    journal.write(JournalRecord(plan.id, phase, plan, cause, rollback))


def _write_if_possible(  # noqa: PLR0913 - goes with the next step of the seam
    phase: Phase, plan: Plan, cause: Cause, tools: Tools, journal: Journal, rollback: Cause | None = None
) -> None:
    """Going back does not wait for a full disk: an older record on disk leads `recover` the same way."""
    try:
        _write(phase, plan, cause, journal, rollback)
    except StateError as error:
        tools.tell(Step.JOURNAL, f"the journal could not be written ({error}); going on")


def _services(plan: Plan) -> str:
    return ", ".join(move.service for move in (*plan.moves, *plan.companions))
