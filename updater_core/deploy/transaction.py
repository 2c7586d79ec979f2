"""One update as a transaction: forward stage by stage, and back from wherever it went wrong. Knows no target.

    prepare -> prove -> journal -> stages of the deployment -> commit

Until the journal says `applying`, nothing visible has changed, and an error, or a request to stop, is just
`NotStarted`. From then on there are two ends: the new release, proven, or the old one, proven. A rollback
that the host prevents (Compose or the engine fails, a port is taken, the disk is full) leaves the journal
open and is tried again until it can be proven. Only one that needs a person, because the old release itself
does not do well, is `RollbackFailed`, said loudly and left alone; what the operator has deployed meanwhile is
`Superseded` and is left to stand. A stage may be the point of no return, if the new release is proven beside
the old one: a process that dies behind it is followed by one that carries on. What is in the middle is in the
journal first, so that a process that dies anywhere is followed by `recover`, which ends the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, assert_never

from updater_core.deploy import failure
from updater_core.deploy.hooks import UpdateHooks
from updater_core.deploy.journal import Journal, JournalRecord, Phase
from updater_core.deploy.target import ONE_RUN, Reporter, Stage, Target
from updater_core.errors import EngineUnavailable, GateFailed, StateError, Stopped, UpdaterError
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
from updater_core.vocabulary.dated import HookKind

_MOST_OUTAGES = 10
_INTERRUPTED = Cause(
    Step.JOURNAL, Reason.INTERRUPTED, "the updater or the host stopped in the middle of the update"
)


class Transaction:
    """One plan's way to its end. Made once for each process that works on it."""

    def __init__(
        self,
        plan: Plan[Any],
        target: Target,
        journal: Journal,
        reporter: Reporter,
        hooks: UpdateHooks | None = None,
    ) -> None:
        self._journal, self._reporter = journal, reporter
        self._hooks = hooks or UpdateHooks()
        self._step = Step.HOLD
        self._deployment = target.deployment(plan, replace(reporter, reached=self._reached))

    def apply(self) -> Outcome:
        """Carry out the plan; end on the new release proven, or on the old one proven."""
        return replace(self._applied(), hooks=self._hooks.runs)

    def _applied(self) -> Outcome:
        try:
            self._carry_out(self._deployment.preparation())
            self._write(Phase.PREPARED)
            self._carry_out(self._hooks.before(self._deployment, lambda: self._write(Phase.PREPARED)))
            # After the hook, which may take long: the proof is to be of the files as they are when the update
            # begins.
            self._carry_out([self._deployment.proof()])
        except UpdaterError as error:
            return self._not_started(self._cause_of(error))
        return self._carry_through(Phase.APPLYING, self._with_gates(self._deployment.stages()))

    def _carry_through(self, phase: Phase, stages: Sequence[Stage]) -> Outcome:
        """Carry out the stages and commit, or go back.

        The journal says `phase` before the first of them begins.
        """
        try:
            self._reached(Step.JOURNAL)
            self._write(phase)
            self._carry_out(stages)
            self._reached(Step.COMMIT)
            self._write(Phase.COMMITTED)
        except Stopped:
            raise  # the journal says how far it came: the next start takes it up
        except Exception as error:  # a bug of ours, too, must not leave the service in the middle
            cause = self._with_evidence(self._blamed(self._cause_of(error), is_back=False))
            # Staged copies are of no use to a rollback; one that cannot be removed goes with the next
            # clean-up.
            with suppress(UpdaterError):
                self._deployment.clean()
            return self._roll_back_when_possible(cause)
        self._reporter.tell(Step.COMMIT, "; ".join(("the new release is proven", *self._deployment.notes())))
        return self._finished(Committed(self._deployment.plan))

    def roll_back(self, cause: Cause) -> Outcome:
        """Put the old release back, whatever has been done of the new one.

        Repeatable: each part looks before it acts.

        Raises EngineUnavailable if the engine does not answer, and any other UpdaterError, GateFailed too, if
        the host prevents the rollback: then the journal stays open, and `recover` tries again.
        """
        plan = self._deployment.plan
        # Asked before anything is put back: what the operator deployed meanwhile must not be undone.
        superseded = self._deployment.superseded()
        if superseded is not None:
            self._write_if_possible(Phase.TAKEN_OVER, superseded)
            return self._finished(Superseded(plan, superseded))
        self._reached(Step.EDIT, is_back=True)
        self._reporter.tell(Step.EDIT, f"going back to {plan.old_reference}: {cause.message}")
        self._write_if_possible(Phase.ROLLING_BACK, cause)
        try:
            cause = self._deployment.revert(cause)
            self._deployment.restore(cause)
        except EngineUnavailable:
            raise
        except UpdaterError as error:
            rollback = self._cause_of(error)
            # Nothing is known against the old release, so the rollback stays open and is tried again.
            if isinstance(error, Stopped) or failure.is_hosts_failure(rollback):
                raise
            rollback = self._blamed(rollback, is_back=True)
            # Nothing is proven against the old release yet: what failed may pass by itself.
            if failure.may_pass(rollback):
                raise GateFailed(rollback.reason, rollback.message, rollback.remedy) from error
            rollback = self._with_evidence(rollback)
            self._write_if_possible(Phase.ROLLBACK_FAILED, cause, rollback)
            return RollbackFailed(plan, cause, rollback, failure.is_release_at_fault(cause))
        self._write_if_possible(Phase.ROLLED_BACK, cause)
        return self._finished(RolledBack(plan, cause, failure.is_release_at_fault(cause)))

    def recover(self, record: JournalRecord) -> Outcome:
        """End what the plan's journal record says was in the middle.

        Runs before any check, for nothing else brings back a container that was stopped for a recreate.
        """
        self._hooks.take_up(record.hooks)
        return replace(self._recovered(record), hooks=self._hooks.runs)

    def _recovered(self, record: JournalRecord) -> Outcome:
        plan, cause = record.plan, record.cause or _INTERRUPTED
        is_at_fault = failure.is_release_at_fault(cause)
        # In whatever phase: a kill leaves staged files beside the operator's, which Compose must not find.
        self._deployment.clean()
        match record.phase:
            case Phase.COMMITTED:
                return self._finished(Committed(plan))
            case Phase.ROLLED_BACK:
                return self._finished(RolledBack(plan, cause, is_at_fault))
            case Phase.ROLLBACK_FAILED:
                return RollbackFailed(plan, cause, record.rollback or _INTERRUPTED, is_at_fault)
            case Phase.TAKEN_OVER:
                return self._finished(Superseded(plan, cause))
            case Phase.PREPARED:
                return self._not_started(cause)
            # The old containers may be gone already, so the only safe way is forward.
            case Phase.SWITCHING:
                stages = self._deployment.stages()
                behind = stages[_point_of_no_return(stages) :]
                return self._carry_through(Phase.SWITCHING, (*behind, *self._addresses()))
            case Phase.APPLYING:
                # Nobody knows whether a hook that was cut short would have passed the release.
                is_cut_short = self._hooks.has_cut_short(HookKind.POST_UPDATE)
                remaining = () if is_cut_short else self._deployment.remaining_stages()
                if remaining:
                    return self._carry_through(Phase.APPLYING, self._with_gates(remaining))
                return self._roll_back_when_possible(cause)
            case Phase.ROLLING_BACK:
                return self._roll_back_when_possible(cause)
            case _:
                assert_never(record.phase)

    # -------------------------------------------------------------------------------------------------- parts

    def _with_gates(self, stages: Sequence[Stage]) -> Sequence[Stage]:
        """Return the stages with what else the new release has to pass.

        The post_update hook runs while the old release can still be put back for nothing, if there is a point
        of no return, else once all is proven; after it the release is looked at once more, for a test may
        break what it tests. Addresses are asked when the new one alone is there.
        """
        at = _point_of_no_return(stages)
        hook = self._hooks.after(self._deployment, lambda: self._write(Phase.APPLYING))
        again = [Stage(Step.POST_UPDATE, self._deployment.recheck)] if hook else []
        addresses = self._addresses()
        if at < len(stages):
            return (*stages[:at], *hook, *again, *stages[at:], *addresses)
        return (*stages, *addresses, *hook, *again)

    def _addresses(self) -> Sequence[Stage]:
        return [stage for gate in self._reporter.gates for stage in gate.stages(self._deployment)]

    def _carry_out(self, stages: Iterable[Stage]) -> None:
        for stage in stages:
            # Written before the stage runs: a kill in the middle of it has to find a record of what it may
            # have left.
            if stage.is_recorded:
                self._write(Phase.PREPARED)
            if stage.is_point_of_no_return:
                self._write(Phase.SWITCHING)
            self._reached(stage.step)
            if stage.says:
                self._reporter.tell(stage.step, stage.says)
            stage.run()

    def _roll_back_when_possible(self, cause: Cause) -> Outcome:
        # Bounded: an engine that restarts for ever would keep the project's lock for ever.
        for _ in range(_MOST_OUTAGES):
            with suppress(EngineUnavailable):
                return self.roll_back(cause)
            self._deployment.await_engine()
        raise EngineUnavailable("the engine keeps going away", "see the engine's own log")

    def _not_started(self, cause: Cause) -> NotStarted:
        """Return that nothing was begun.

        A good release stays retained, for the next try needs it; a bad one is let go.
        """
        outcome = NotStarted(self._deployment.plan, cause, failure.is_release_at_fault(cause))
        with suppress(UpdaterError):
            self._deployment.clean()
        self._finished(outcome)
        return outcome

    def _finished(self, outcome: Outcome) -> Outcome:
        """Let go of images after an outcome; a failure to do so harms nobody, and is met again next time."""
        with suppress(UpdaterError):
            self._deployment.finish(outcome)
        return outcome

    def _reached(self, step: Step, is_back: bool = False) -> None:
        self._step = step
        self._reporter.reached(step, is_back)

    def _cause_of(self, error: Exception) -> Cause:
        return failure.cause_of(error, self._step, self._deployment.plan.name)

    def _blamed(self, cause: Cause, *, is_back: bool) -> Cause:
        """Return the cause, as a failure of the host if the host or a dependency lacks what is needed.

        An engine that does not tell lets the cause stand.
        """
        if failure.may_be_for_want_of_something(cause):
            with suppress(UpdaterError):
                lacking = self._deployment.lacking(is_back=is_back)
                if lacking:
                    return failure.on_ailing_host(cause, lacking)
        return failure.of_old_release(cause) if is_back else cause

    def _with_evidence(self, cause: Cause) -> Cause:
        """Return the cause with what the containers show now: a rollback removes them.

        No rollback waits for it if the engine does not tell.
        """
        with suppress(UpdaterError):
            seen = self._deployment.evidence()
            # The address was asked by us, so no container's own log has what it answered.
            said = cause.message if cause.reason is Reason.PROBE_FAILED else ""
            return replace(
                cause, evidence=tuple(replace(one, last_probe=said or one.last_probe) for one in seen)
            )
        return cause

    def _write(self, phase: Phase, cause: Cause | None = None, rollback: Cause | None = None) -> None:
        plan = self._deployment.plan
        self._journal.write(JournalRecord(plan.id, phase, plan, cause, rollback, self._hooks.runs))

    def _write_if_possible(self, phase: Phase, cause: Cause, rollback: Cause | None = None) -> None:
        """Write the record, or go on: an older one on the disk leads `recover` the same way.

        A rollback does not wait for a full disk.
        """
        try:
            self._write(phase, cause, rollback)
        except StateError as error:
            self._reporter.tell(Step.JOURNAL, f"the journal could not be written ({error}); going on")


def _point_of_no_return(stages: Sequence[Stage]) -> int:
    return next((at for at, stage in enumerate(stages) if stage.is_point_of_no_return), len(stages))


def describe(outcome: Outcome) -> str:
    """Return the outcome as one sentence: what happened, what was done about it."""
    plan = outcome.plan
    old, new = plan.old_reference, plan.image.text
    match outcome:
        case Committed():
            return (
                f"{new} {'has run to its end' if plan.strategy == ONE_RUN else 'runs and is proven'} (was "
                f"{old})"
            )
        case NotStarted(cause=cause):
            return f"{new} was not started at step {cause.step}: {cause.message}; {old} was not touched"
        case RolledBack(cause=cause):
            how = "runs again" if plan.was_well else "is back, as unwell as it was before"
            return f"{_what_failed(outcome)} at step {cause.step}: {cause.message}; {old} {how}"
        case RollbackFailed(cause=cause, rollback=rollback):
            failed = f"{_what_failed(outcome)}: {cause.message}"
            return f"{failed}; going back to {old} failed too: {rollback.message}; left alone"
        case Superseded(cause=cause):
            return f"{new} is not followed up: {cause.message}; nothing was put back"
        case _:
            assert_never(outcome)


def _what_failed(outcome: RolledBack | RollbackFailed) -> str:
    """Return what failed; a release that is not to blame has not: nobody knows how it would have done."""
    new = outcome.plan.image.text
    return f"{new} failed" if outcome.quarantine else f"the update to {new} was broken off"
