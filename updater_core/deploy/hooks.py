"""The hooks of one update: what they are given, which outcome runs which, and what their end means.

`pre_update` and `post_update` are stages of the transaction like any other, whatever the target. A
`pre_update` that fails leaves everything as it was; a `post_update` that fails is a release that does not do
what it should. Each is in the journal before it begins, so that the next start knows of one that a kill has
cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Protocol

from updater_core.deploy.target import Deployment, Stage
from updater_core.errors import GateFailed, Stopped
from updater_core.models import Cause, Committed, NotStarted, Outcome, Plan, Reason, Step
from updater_core.protocols import HookCall
from updater_core.state.outcomes import OUTCOME_CODES, OWNER_ROLLBACK
from updater_core.vocabulary.dated import HookKind, HookResult, HookRun
from updater_core.vocabulary.hooks import Hook, Hooks

_POSTPONED = {Reason.STOPPING, Reason.BUSY, Reason.CHANGED_ON_DISK, Reason.VOLUME_MOVED}
_LONGEST_WORDS = 300
_MISSING_REMEDY = (
    "nothing was changed; install it, or correct its path; docker-updater --test says whether it is found"
)
_PRE_REMEDY = "nothing was changed, and it is tried again after a pause; see what the hook says"


class HookRunner(Protocol):
    """What runs hooks on this host."""

    def begin(self, kind: HookKind) -> HookRun:
        """Return a run that begins now."""

    def run(self, call: HookCall) -> HookRun:
        """Run a hook to its end, or to the end of its time.

        Raises Stopped if the updater is to end before that.
        """

    def missing(self, hook: Hook, folder: str) -> str | None:
        """Return why a hook cannot be run at all; None if nothing speaks against it."""


class UpdateHooks:
    """The hooks of one update, and how they ended so far. `files`: those that define the service."""

    def __init__(
        self, hooks: Hooks | None = None, files: Sequence[str] = (), runner: HookRunner | None = None
    ) -> None:
        self._hooks, self._files, self._runner = hooks or Hooks(), files, runner
        self.runs: tuple[HookRun, ...] = ()

    def before(self, deployment: Deployment, note: Callable[[], None]) -> Sequence[Stage]:
        """Return what is done before anything is touched; `note` puts `runs` into the journal."""
        if self._runner is None or self._hooks == Hooks():
            return ()
        # All hooks are looked for, and not only the first: a `post_update` that is missing would be found
        # when the old release is gone.
        check = Stage(Step.PRE_UPDATE, self._check)
        return (check, *self._stage(HookKind.PRE_UPDATE, lambda: self._before(deployment, note)))

    def after(self, deployment: Deployment, note: Callable[[], None]) -> Sequence[Stage]:
        """Return what is done once the new release has passed its gate; nothing if it ended before a kill."""
        # A kill may come between the hook's end and the commit; what has passed is not asked twice.
        if any(run.kind is HookKind.POST_UPDATE and run.result is HookResult.DONE for run in self.runs):
            return ()
        return self._stage(HookKind.POST_UPDATE, lambda: self._after(deployment, note))

    def ending(self, outcome: Outcome) -> HookKind | None:
        """Return the hook that follows an outcome, if there is one.

        A `pre_update` that began is always followed by one of the two, so that what it has stopped can be
        started again.
        """
        kind = ending_of(outcome)
        return kind if kind is not None and self._hooks.of(kind) is not None else None

    def end(self, outcome: Outcome, kind: HookKind, container: str | None) -> HookRun:
        """Run what follows an outcome. Raises Stopped if the updater is to end before that."""
        return self._call(
            kind, {**facts_of(outcome.plan, self._files), **ending_facts(outcome)}, lambda: container
        )

    def begin(self, kind: HookKind) -> HookRun:
        """Return a run that begins now."""
        assert self._runner is not None
        return self._runner.begin(kind)

    def take_up(self, runs: Sequence[HookRun]) -> None:
        """Go on with what a process that was killed has left in the journal."""
        self.runs = tuple(interrupted(one) for one in runs)

    def has_cut_short(self, kind: HookKind) -> bool:
        """Return whether a kill has cut short the hook of this kind."""
        return any(run.kind is kind and run.result is HookResult.INTERRUPTED for run in self.runs)

    # -------------------------------------------------------------------------------------------------- parts

    def _stage(self, kind: HookKind, act: Callable[[], None]) -> Sequence[Stage]:
        if self._runner is None or self._hooks.of(kind) is None:
            return ()
        return (Stage(_STEPS[kind], act, f"running the hook {kind}"),)

    def _check(self) -> None:
        """Raise GateFailed for a hook that cannot be run, before anything is stopped for its update."""
        for kind, why in self.problems():
            raise GateFailed(Reason.HOOK_MISSING, f"the hook {kind} cannot be run: {why}", _MISSING_REMEDY)

    def problems(self) -> Sequence[tuple[HookKind, str]]:
        """Return each hook that cannot be run, and why."""
        assert self._runner is not None
        given = ((kind, self._hooks.of(kind)) for kind in HookKind)
        found = ((kind, self._runner.missing(hook, self._folder)) for kind, hook in given if hook is not None)
        return [(kind, why) for kind, why in found if why is not None]

    def _before(self, deployment: Deployment, note: Callable[[], None]) -> None:
        try:
            done = self._run(HookKind.PRE_UPDATE, deployment, note)
        except Stopped as error:
            raise GateFailed(Reason.STOPPING, str(error), error.remedy) from error
        # A rollback that the operator asked for is not held up by a backup that fails.
        if done.result is not HookResult.DONE and deployment.plan.kind != OWNER_ROLLBACK:
            raise GateFailed(Reason.PRE_UPDATE_FAILED, words(done), _PRE_REMEDY)

    def _after(self, deployment: Deployment, note: Callable[[], None]) -> None:
        done = self._run(HookKind.POST_UPDATE, deployment, note)
        if done.result is not HookResult.DONE:
            raise GateFailed(Reason.POST_UPDATE_FAILED, words(done))

    def _run(self, kind: HookKind, deployment: Deployment, note: Callable[[], None]) -> HookRun:
        # In the journal before it runs: after a kill nobody could tell whether it had begun.
        known, begun = self.runs, self.begin(kind)
        self.runs = (*known, begun)
        note()
        try:
            done = self._call(kind, facts_of(deployment.plan, self._files), deployment.container)
        except Stopped:
            self.runs = (*known, interrupted(begun))
            raise
        self.runs = (*known, done)
        return done

    def _call(self, kind: HookKind, facts: Mapping[str, str], container: Callable[[], str | None]) -> HookRun:
        hook = self._hooks.of(kind)
        assert hook is not None and self._runner is not None  # noqa: PT018 - see `_stage`
        # Asked at the last moment: the update replaces the container between the hooks.
        within = container() if hook.is_in_container else None
        return self._runner.run(HookCall(kind, hook, {"DAU_HOOK": kind.value, **facts}, self._folder, within))

    @property
    def _folder(self) -> str:
        return str(PurePath(self._files[0]).parent) if self._files else "/"


_STEPS: Mapping[HookKind, Step] = {
    HookKind.PRE_UPDATE: Step.PRE_UPDATE,
    HookKind.POST_UPDATE: Step.POST_UPDATE,
}


def facts_of(plan: Plan[Any], files: Sequence[str]) -> dict[str, str]:
    """Return what a hook finds in its environment of an update, whatever it comes to."""
    return {
        "DAU_SERVICE": plan.name,
        "DAU_UPDATE_ID": plan.id,
        "DAU_FROM": plan.old_reference,
        "DAU_TO": plan.new_reference,
        "DAU_FROM_DIGEST": plan.old_digest or "",
        "DAU_TO_DIGEST": plan.image.digest or "",
        "DAU_FILES": ":".join(files),
        "DAU_REASON": plan.kind,
        "DAU_DETAIL": _one_line(plan.reason),
    }


def ending_facts(outcome: Outcome) -> dict[str, str]:
    """Return what a hook that follows an outcome finds besides."""
    facts = {"DAU_OUTCOME": OUTCOME_CODES[type(outcome)]}
    if isinstance(outcome, Committed):
        return facts
    cause: Cause = outcome.cause
    return {
        **facts,
        "DAU_REASON": cause.reason.value,
        "DAU_DETAIL": _one_line(cause.message),
        "DAU_STEP": cause.step.value,
    }


def ending_of(outcome: Outcome) -> HookKind | None:
    """Return which hook an outcome is followed by; None if nothing was tried, as after a stop."""
    if isinstance(outcome, Committed):
        return HookKind.ON_SUCCESS
    is_postponed = isinstance(outcome, NotStarted) and outcome.cause.reason in _POSTPONED
    # Nothing was tried, so there is no failure to report; a hook that has run is answered in any case.
    return None if is_postponed and not outcome.hooks else HookKind.ON_FAILURE


def interrupted(run: HookRun) -> HookRun:
    """Return the run as it is known after a kill: one that had begun did not end."""
    if run.result is not HookResult.BEGUN:
        return run
    return replace(run, result=HookResult.INTERRUPTED, detail="the updater ended before it did")


def words(run: HookRun) -> str:
    """Return why a hook counts as failed, with the last line that it wrote.

    >>> from datetime import datetime, UTC
    >>> moment = datetime(2026, 1, 1, tzinfo=UTC)
    >>> words(HookRun(HookKind.PRE_UPDATE, moment, HookResult.FAILED, 3, 1.0, "a\\nno space\\n"))
    'the hook pre_update ended with 3: no space'
    """
    how = run.detail or f"ended with {run.exit_code}"
    said = [line.strip() for line in run.output.splitlines() if line.strip()]
    return f"the hook {run.kind} {how}" + (f": {said[-1][:_LONGEST_WORDS]}" if said else "")


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())
