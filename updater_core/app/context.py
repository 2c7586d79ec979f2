"""Everything a cycle works with, and the few things every part of it does: remember, queue news, lock a project."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from updater_core import state_utils
from updater_core.compose_utils import DockerCompose
from updater_core.deploy.journal import JournalFolder
from updater_core.deploy.progress import StepTimes
from updater_core.docker_utils import DockerEngine
from updater_core.errors import StateError
from updater_core.host import files
from updater_core.host.locks import acquire_folder_lock, acquire_lock, release_lock
from updater_core.host.own_container import own_container_id
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import Config, Credential, Event, Hold, Plan, Project, Reason, RegistrySettings, Step
from updater_core.notifiers import active, events
from updater_core.notifiers.outbox import Delivery, Outbox
from updater_core.protocols import Clock, Files, Progress, Tools
from updater_core.registries import Registries
from updater_core.state.records import State
from updater_core.targets.compose.observe import FileCache

LOG = logging.getLogger("updater")
_SIGN_OF_LIFE_SECONDS, _LONGEST_DELIVERY_SECONDS = 1.0, 30.0


@dataclass(slots=True)
class AppContext:
    """Everything a cycle works with. `folder` holds state, journal, outbox, locks; `state` is replaced as a whole."""

    config: Config
    state: State
    state_path: Path
    engine: DockerEngine
    compose: DockerCompose
    registries: Registries
    journal: JournalFolder
    outboxes: Mapping[str, Outbox]
    metrics: Metrics
    clock: Clock
    progress: Progress | None = None
    memory: FileCache = field(default_factory=FileCache)
    steps: StepTimes = field(default_factory=StepTimes)
    hand: Files = files
    own_container: str | None = field(default_factory=own_container_id)

    @property
    def folder(self) -> Path:
        return self.state_path.parent


def tools(context: AppContext, name: str) -> Tools:
    """The context as one update of service `name` sees it."""

    def credential(found: Plan) -> Credential | None:
        settings = registry_settings(context, found)
        if settings is None:
            return None
        context.registries.pull_begins(found.target, settings)
        return context.registries.for_service(found.target, settings).credential()

    def tell(step: Step, text: str) -> None:
        context.steps.heard(name, step, text, context.clock.now())
        log_event(LOG, logging.INFO, LogEvent.UPDATE_STEP, f"{step}: {text}", service=name, step=step.value)

    def reached(step: Step, is_back: bool) -> None:
        context.steps.reached(name, step, context.clock.now(), is_back=is_back)

    host = context.engine, context.compose, context.hand, context.clock
    return Tools(*host, credential, tell, reached, context.progress)


def registry_settings(context: AppContext, found: Plan) -> RegistrySettings | None:
    """What is configured for the registry of a plan's service; None where the service was taken out meanwhile."""
    return next((s.registry for s in context.config.services if s.name == found.name), None)


@contextlib.contextmanager
def project_lock(context: AppContext, project: Project) -> Iterator[None]:
    """Hold a project's lock, and its folder's, which an updater with another state knows too. A Compose child inherits
    them: one that outlives us still holds them, and is waited for."""
    path = context.folder / "locks" / f"{project.name}.lock"
    wait_seconds = context.config.settings.compose_timeout_seconds + 30
    with contextlib.ExitStack() as held:
        own = acquire_lock(path, clock=context.clock, wait_seconds=wait_seconds, inheritable=True)
        held.callback(release_lock, own)
        shared = acquire_folder_lock(Path(project.directory), clock=context.clock, wait_seconds=wait_seconds)
        if shared is not None:
            held.callback(release_lock, shared)
        context.compose.lock_fds = (own,) if shared is None else (own, shared)
        try:
            yield
        finally:
            context.compose.lock_fds = ()
            context.steps.end()


def save(context: AppContext) -> bool:
    """Put the state on the disk; say it where that fails, and go on: the next save has it all."""
    settings = context.config.settings
    try:
        note = state_utils.save(
            context.state, context.state_path, settings.state_backups, backup_dir(context), context.clock.now()
        )
    except StateError as error:
        log_event(LOG, logging.ERROR, LogEvent.STATE_NOT_SAVED, f"the state was not saved: {error} ({error.remedy})")
        return False
    if note:
        log_event(LOG, logging.WARNING, LogEvent.STATE_NOT_SAVED, note)
    return True


def deliver(context: AppContext) -> None:
    """Send what waits in the outboxes, all side by side, so that one who is dead delays no other; what cannot be sent
    waits there for the next time, and so does what is left when this takes long or a stop is asked for. An outbox on a
    disk that refuses is said, and harms nobody."""
    waiting = [
        n for n in active(context.config.settings) if n.box in context.outboxes and context.outboxes[n.box].is_due()
    ]
    if not waiting:
        return
    now, end = context.clock.now(), context.clock.monotonic() + _LONGEST_DELIVERY_SECONDS

    def is_over() -> bool:
        return context.clock.wait(0) or context.clock.monotonic() > end

    with ThreadPoolExecutor(len(waiting)) as pool:
        passes = [pool.submit(context.outboxes[each.box].deliver, each.send, now, is_over) for each in waiting]
        while futures.wait(passes, timeout=_SIGN_OF_LIFE_SECONDS).not_done:
            context.clock.wait(0)
    for one in passes:
        _count_deliveries(context, one)


def _count_deliveries(context: AppContext, one: Future[Delivery]) -> None:
    try:
        delivery = one.result()
    except StateError as error:
        log_event(LOG, logging.ERROR, LogEvent.NOTIFY_FAILED, f"nothing is delivered: {error}")
        return
    context.metrics.delivered("delivered", len(delivery.delivered))
    context.metrics.delivered("failed", len(delivery.failed))
    context.metrics.delivered("given_up", len(delivery.given_up))


def queue(context: AppContext, event: Event) -> None:
    """Put an event, where it is wanted, into the outbox of everyone who is told. StateError where the disk refuses."""
    if not events.is_wanted(event, context.config.settings.notify_events):
        return
    for notifier in active(context.config.settings):
        if notifier.box in context.outboxes:
            context.outboxes[notifier.box].put(event)


def backup_dir(context: AppContext) -> Path | None:
    directory = context.config.settings.state_backup_dir
    return Path(directory) if directory else None


def bug(name: str, error: Exception) -> Hold:
    further = {"service": name, "log_event": LogEvent.INTERNAL_ERROR.value, "fields": {}}
    LOG.error("internal error", exc_info=error, extra=further)
    return Hold(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "please report it with the log's traceback")
