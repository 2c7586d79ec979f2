"""The operator's hooks in the program: who runs them, what follows an outcome, what `--test` says of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from updater_core.app.context import LOG, AppContext, reporter, save
from updater_core.deploy import evidence
from updater_core.deploy.hooks import UpdateHooks, interrupted, words
from updater_core.deploy.target import Finding
from updater_core.errors import Stopped, UpdaterError
from updater_core.host.process.hook_runner import HostHookRunner
from updater_core.logging_utils import LogEvent, log_event, redact
from updater_core.models import Outcome, Plan, ServiceConfig, Step
from updater_core.state import outcomes
from updater_core.vocabulary.dated import HookKind, HookResult, HookRun
from updater_core.vocabulary.hooks import Hooks


def hooks_of(context: AppContext, name: str) -> UpdateHooks:
    """Return the hooks of a service as they are configured now.

    One that `discover` found, and that this process has not found yet, has those of `defaults`.
    """
    config = context.config
    service = next((each for each in config.services if each.name == name), None)
    if service is not None:
        return _hooks_of(context, service)
    return _hooks(context, config.entries.default_hooks if config.entries else Hooks(), ())


def _hooks_of(context: AppContext, service: ServiceConfig) -> UpdateHooks:
    """Return the hooks of a service; its files are not known before its target is."""
    own = (target for target in context.targets.values() if target.serves(service))
    return _hooks(context, service.hooks, next((target.files(service) for target in own), ()))


def _hooks(context: AppContext, hooks: Hooks, files: Sequence[str]) -> UpdateHooks:
    runner = HostHookRunner({**os.environ, **context.host.engine_environment}, context.clock, _clean)
    return UpdateHooks(hooks, tuple(files), runner)


def _clean(text: str) -> str:
    return evidence.output_tail(text, redact, evidence.OUTPUT_BYTES)


def run_after(context: AppContext, outcome: Outcome) -> None:
    """Run the hook that an outcome is followed by.

    At most once: that it begins is in the state before it does, so that one which brings down the updater or
    the host does not do so again at the next start. Its failure is a warning.
    """
    name, hooks = outcome.plan.name, hooks_of(context, outcome.plan.name)
    kind = hooks.ending(outcome)
    # The journal may be closed after a crash behind the hook, so the state is asked.
    if kind is None or _has_begun(context, outcome.plan, kind):
        return
    begun = hooks.begin(kind)
    # To run a hook twice may do harm, as a notice or a payment; to leave it out is said in the log.
    if not _remembered(context, outcome.plan, begun):
        text = f"the hook {kind} is not run: that it was could not be remembered, and it must not run twice"
        log_event(LOG, logging.WARNING, LogEvent.HOOK_FAILED, text, service=name)
        return
    context.steps.heard(name, Step(kind.value), "running", context.clock.now())
    try:
        done = hooks.end(outcome, kind, _container(context, outcome.plan))
    except Stopped:
        done = interrupted(begun)
    _remembered(context, outcome.plan, done)
    _log(name, done)


def _container(context: AppContext, plan: Plan[Any]) -> str | None:
    target = context.targets[plan.target]
    try:
        return target.deployment(plan, reporter(context, plan.name)).container()
    except UpdaterError:
        return None


def _has_begun(context: AppContext, plan: Plan[Any], kind: HookKind) -> bool:
    return any(run.kind is kind for run in outcomes.hook_runs(context.state, plan))


def _remembered(context: AppContext, plan: Plan[Any], run: HookRun) -> bool:
    context.change(lambda state: outcomes.note_hook(state, plan, run))
    return save(context)


def _log(name: str, run: HookRun) -> None:
    if run.result is HookResult.DONE:
        log_event(LOG, logging.INFO, LogEvent.HOOK_ENDED, f"the hook {run.kind} has ended", service=name)
    else:
        log_event(LOG, logging.WARNING, LogEvent.HOOK_FAILED, words(run), service=name)


def findings(context: AppContext, service: ServiceConfig) -> Iterator[Finding]:
    """Return whether each hook of a service can be run, for `--test`."""
    hooks = _hooks_of(context, service)
    wrong = dict(hooks.problems())
    for kind in HookKind:
        if service.hooks.of(kind) is None:
            continue
        subject = f"hook {kind} of {service.name}"
        if kind in wrong:
            yield Finding(False, subject, wrong[kind], "install it, or correct its path")
        else:
            yield Finding(True, subject, "can be run")
