"""The daemon: cycle after cycle until it is asked to stop; in between, what signals and operators ask for."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from updater_core import __version__
from updater_core.app import cycle, report, requests
from updater_core.app.context import LOG, AppContext, deliver
from updater_core.app.cycle import Cycle
from updater_core.app.publisher import Watch
from updater_core.app.report import Report
from updater_core.deploy.journal import OpenRecord
from updater_core.errors import StateError, UpdaterError
from updater_core.host import malloc
from updater_core.host.clock import SystemClock
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Config, Settings

Reload = Callable[[AppContext], None]

_JITTER = 0.1  # of the interval, either way: many hosts must not ask a registry in the same second
_LONGEST_IDLE_SECONDS = 3600.0
_AFTER_BACKOFF_SECONDS = 1.0  # a registry that names a moment may count it on a clock that is a little behind
_SOON_SECONDS = 30.0  # after an engine that does not answer, or an update that could not be ended


def serve(context: AppContext, clock: SystemClock, reload: Reload, only: str | None = None) -> None:
    """Run cycles, of service `only` or of all, until a signal ends them.

    `reload` takes a changed configuration into the context; it raises nothing.
    """
    watch = Watch(context, clock.signals.check_now)
    watch.open()
    malloc.settle()
    clock.manager.allow(_further_silence_seconds(context.config))
    clock.manager.ready()
    text = f"docker-updater {__version__}: {len(context.config.services)} services{_engine(context)}"
    log_event(LOG, logging.INFO, LogEvent.STARTED, text)
    while not clock.signals.is_stopping:
        sleep_seconds = _watched_cycle(context, clock, watch, only)
        _sleep(context, clock, sleep_seconds)
        if clock.signals.take_reload():
            _reload(context, clock, watch, reload)
        requests.take_requests(context)
    cycle.finish(context)
    watch.close()
    log_event(LOG, logging.INFO, LogEvent.STOPPED, "stopped as asked")


def _engine(context: AppContext) -> str:
    """Return what answers at the engine's socket, as the end of a sentence; empty if nothing does."""
    with suppress(UpdaterError):
        return f", on {context.host.engine.product()}"
    return ""


def _watched_cycle(context: AppContext, clock: SystemClock, watch: Watch, only: str | None) -> float:
    """Run one cycle, seen by the service manager and the status page; return how long to sleep after it."""
    clock.manager.status(f"checking {sum(s.enabled for s in context.config.services)} services")
    watch.cycle_begins()
    begun, current = context.clock.now(), Cycle(context, only)
    is_next_due = False
    due_at = math.inf
    while current.goes_on() and not is_next_due:
        requests.take_requests(context)
        so_far = current.report()
        due_at = min(due_at, clock.monotonic() + pause_seconds(context, so_far, begun))
        clock.manager.status(_standing(context, so_far, due_at - clock.monotonic()))
        is_next_due = _await_update(context, clock, due_at)
    result = current.end()
    malloc.give_back()
    watch.cycle_ended(is_engine_down=result.is_engine_down)
    sleep_seconds = 0.0 if is_next_due else pause_seconds(context, result, begun)
    watch.sleeps(sleep_seconds)
    clock.manager.status(_standing(context, result, sleep_seconds))
    return sleep_seconds


def _await_update(context: AppContext, clock: SystemClock, due_at: float) -> bool:
    """Wait until an update has ended, and deliver meanwhile what could not be delivered.

    Returns whether the next cycle is due first, or a signal asks for something.
    """
    has_ended = context.workers.has_ended
    while not has_ended():
        left = due_at - clock.monotonic()
        if left <= 0 or clock.idle(min(left, _until_delivery_seconds(context)), has_ended):
            return True
        if not has_ended():
            deliver(context, is_cycle_over=False)
    return False


def _standing(context: AppContext, result: Report, pause_seconds: float) -> str:
    """Return one line for `systemctl status`."""
    following = (context.clock.now() + timedelta(seconds=pause_seconds)).astimezone()
    came_to = report.came_to(context, result)
    return f"{len(result.checked)} services checked, {came_to}; next check {following:%Y-%m-%d %H:%M:%S %Z}"


def _further_silence_seconds(config: Config) -> float:
    """Return how much longer than usual the longest silent step may take: a Compose command.

    The unit's WatchdogSec covers what is usual; a container that takes minutes to stop needs a higher one
    there.
    """
    return max(config.settings.compose_timeout_seconds - Settings().compose_timeout_seconds, 0.0)


def pause_seconds(context: AppContext, result: Report, begun: datetime) -> float:
    """Return the time until the next cycle: the interval with jitter, or less.

    It is sooner if something must be ended or a window opens. One that was open when the cycle had `begun`
    had its chance, even if the registry gave no answer.
    """
    interval = context.config.settings.check_interval_seconds
    pauses = [interval * random.uniform(1 - _JITTER, 1 + _JITTER)]  # noqa: S311 - not a secret
    now = context.clock.now()
    if result.is_engine_down:
        pauses.append(_SOON_SECONDS)
    interrupted = [
        entry for entry in context.journal.read_all() if entry.service not in context.workers.names
    ]
    pauses += [_until_recovery_seconds(context, entry, now) for entry in interrupted]
    waiting = [context.state.services.get(s.name) for s in context.config.services if s.enabled]
    openings = [known.opens_at for known in waiting if known]
    pauses += [(opens_at - now).total_seconds() for opens_at in openings if opens_at and opens_at > begun]
    pauses += [
        (end - now).total_seconds() + _AFTER_BACKOFF_SECONDS for end in context.registries.backoffs().values()
    ]
    return max(min(pauses), 1.0)


def _until_recovery_seconds(context: AppContext, entry: OpenRecord, now: datetime) -> float:
    prevented = context.prevented.get(entry.id)
    return _SOON_SECONDS if prevented is None else (prevented.retry_at - now).total_seconds()


def _sleep(context: AppContext, clock: SystemClock, seconds: float) -> None:
    """Until the next cycle or a signal; only events that could not be delivered are tried again meanwhile."""
    end = clock.monotonic() + seconds
    while (left := end - clock.monotonic()) > 0 and not clock.idle(
        min(left, _until_delivery_seconds(context))
    ):
        if left > 1.0:
            deliver(context)


def _until_delivery_seconds(context: AppContext) -> float:
    with suppress(StateError):  # said by `deliver` already
        now = context.clock.now()
        due_times = [channel.outbox.next_try() for channel in context.channels]
        waits = [(due - now).total_seconds() for due in due_times if due]
        return max(min(waits, default=_LONGEST_IDLE_SECONDS), 1.0)
    return _LONGEST_IDLE_SECONDS


def _reload(context: AppContext, clock: SystemClock, watch: Watch, reload: Reload) -> None:
    clock.manager.reloading(clock.monotonic())
    reload(context)
    watch.open()
    clock.manager.allow(_further_silence_seconds(context.config))
    clock.manager.ready()
