"""Everything a cycle works with, and what each part of it does: save state, queue events, lock a project."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from updater_core import state_utils
from updater_core.deploy.http_gate import HttpGate
from updater_core.deploy.journal import JournalFolder
from updater_core.deploy.progress import StepTimes
from updater_core.deploy.target import Host, Observed, Reporter, Target
from updater_core.deploy.workers import Claim, Slots, Workers
from updater_core.errors import StateError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import (
    Config,
    Credential,
    Event,
    Hold,
    ImageRef,
    Plan,
    Reason,
    RegistrySettings,
    ServiceConfig,
    Settings,
    Step,
)
from updater_core.notifiers import events
from updater_core.notifiers.channel import Channel
from updater_core.policy.observation import SignatureVerdict
from updater_core.protocols import Clock, Progress, Registry
from updater_core.registries.pull_limits import PullLimit
from updater_core.state.records import State
from updater_core.state.shared import Change, SharedState
from updater_core.vocabulary.dated import ListComparison

LOG = logging.getLogger("updater")
# A receiver that never answers must not keep the next check waiting.
_SIGN_OF_LIFE_SECONDS, _LONGEST_DELIVERY_SECONDS = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class PreventedRollback:
    """A rollback that the host prevents: how often this process tried it, and when it tries again."""

    tries: int
    retry_at: datetime


class StateStore:
    """The state that all threads share, and its file; `settings` say how many backups, and where they are."""

    def __init__(self, state: State, path: Path, settings: Settings) -> None:
        self.shared = SharedState(state)
        self.path, self.settings = path, settings
        self._writing = threading.Lock()

    @property
    def folder(self) -> Path:
        """Return the folder of the state, and of journal, outbox and locks beside it."""
        return self.path.parent

    def save(self, now: datetime) -> str | None:
        """Put the state on the disk. Returns a sentence on a backup that could not be written, else None.

        Raises StateError if the state itself cannot be written; the file is as it was then.
        """
        folder = Path(self.settings.state_backup_dir) if self.settings.state_backup_dir else None
        with self._writing:  # what is read within comes after what any earlier save has written
            return state_utils.save(self.shared.state, self.path, self.settings.state_backups, folder, now)


class RegistryClients(Protocol):
    """What the program asks of all registries together (`registries.Registries`)."""

    def new_cycle(self) -> None:
        """Forget the answers of the last cycle."""

    def open_all(self, questions: Sequence[tuple[ImageRef, RegistrySettings]]) -> list[Registry | Exception]:
        """Return what `for_service` gives for each of these, in order, or what it raises."""

    def for_service(self, reference: ImageRef, settings: RegistrySettings) -> Registry:
        """Return the registry of an image, for a service with these settings; no request is made yet."""

    def backoffs(self) -> Mapping[str, datetime]:
        """Return the hosts that asked for a pause which is not over, and until when."""

    def outages(self) -> Mapping[str, datetime]:
        """Return the hosts that did not answer in this cycle, and since when."""

    def refused_logins(self) -> Mapping[str, datetime]:
        """Return a hash of each login that was refused lately, and until when it is not offered."""

    def comparisons(self) -> Mapping[str, ListComparison]:
        """Return whether the vendors' APIs know every tag, by repository (`ImageRef.key`)."""

    def limits(self) -> Mapping[str, PullLimit]:
        """Return the pulls that each host still allows."""

    def pull_allowed_at(
        self, reference: ImageRef, settings: RegistrySettings | None = None
    ) -> datetime | None:
        """Return until when a pull waits because too few are left; None if it may begin."""

    def pull_begins(self, reference: ImageRef, settings: RegistrySettings) -> None:
        """Count a pull that begins."""

    def signature(
        self, reference: ImageRef, settings: RegistrySettings, key_files: Sequence[str]
    ) -> SignatureVerdict:
        """Return whether one of these public keys signed the image."""

    def pull_refused(self, reference: ImageRef, settings: RegistrySettings) -> None:
        """Note that a host refused a pull because there were too many."""


@dataclass(slots=True)
class AppContext:
    """Everything a cycle works with.

    `folder` holds state, journal, outbox and locks; `identities` says what identifies services apart from
    their names (`targets.identities`).

    Threads share it. What is remembered is therefore changed in one way only, with a function from the state
    as it is then to the next one:

        context.change(lambda state: outcomes.lift_quarantine(state, name))

    The function must be pure and quick. It must take what it needs of a service from the state that it is
    given, not from a `context.state` that was read before; that one is for reading.
    """

    config: Config
    store: StateStore
    host: Host
    targets: Mapping[str, Target]
    identities: Callable[[Iterable[ServiceConfig]], Mapping[str, str]]
    registries: RegistryClients
    journal: JournalFolder
    channels: Sequence[Channel]
    metrics: Metrics
    clock: Clock
    progress: Progress | None = None
    prevented: dict[str, PreventedRollback] = field(
        default_factory=dict
    )  # by the plan's id; a new process tries at once
    steps: StepTimes = field(default_factory=StepTimes)
    workers: Workers = field(default_factory=Workers)
    slots: Slots = field(default_factory=Slots)
    delivering: threading.Lock = field(default_factory=threading.Lock)

    @property
    def folder(self) -> Path:
        return self.store.folder

    @property
    def state(self) -> State:
        """Return what is remembered now: a frozen value to read, and never one to make the next state of."""
        return self.store.shared.state

    def change(self, change: Change) -> bool:
        """Change what is remembered, in one step; return whether there was anything to change."""
        return self.store.shared.change(change)


def target_of(context: AppContext, service: ServiceConfig) -> Target:
    """Return the place that a service is deployed at: the first target of the table that serves it."""
    return next(target for target in context.targets.values() if target.serves(service))


def targets_in_use(context: AppContext, only: str | None = None) -> list[tuple[Target, list[ServiceConfig]]]:
    """Return the targets of the enabled services, each with its services; all targets if there are none.

    `only`: the one service that counts.
    """
    services = [each for each in context.config.services if each.enabled and only in (None, each.name)]
    if not services:
        return [(target, []) for target in context.targets.values()]
    found: dict[str, list[ServiceConfig]] = {}
    for service in services:
        found.setdefault(target_of(context, service).name, []).append(service)
    return [(target, found[target.name]) for target in context.targets.values() if target.name in found]


def claim_of(context: AppContext, service: ServiceConfig, observed: Observed | None = None) -> Claim:
    """Return what an update of a service keeps to itself, as far as is known (without `observed`: less)."""
    names = frozenset({service.name})
    if service.problem:
        return Claim(names, frozenset())
    target = target_of(context, service)
    configured = target.locked_by(service)
    return Claim(names, configured if observed is None else configured | target.locked_by(observed))


def claim_of_update(context: AppContext, service: ServiceConfig, observed: Observed | None) -> Claim:
    """Return the same as `claim_of`, with what an update restarts besides."""
    claim = claim_of(context, service, observed)
    if observed is None:
        return claim
    return replace(claim, locks=claim.locks | target_of(context, service).reached_from(observed))


def reporter(context: AppContext, name: str) -> Reporter:
    """Return the context as one update of service `name` sees it."""

    def credential(found: Plan[Any]) -> Credential | None:
        settings = registry_settings(context, found)
        if settings is None:
            return None
        # Counted when the credential is fetched, for the engine pulls next, and tells us nothing of the
        # registry's headers.
        context.registries.pull_begins(found.image, settings)
        return context.registries.for_service(found.image, settings).credential()

    def refused(found: Plan[Any]) -> None:
        settings = registry_settings(context, found)
        if settings is not None:
            context.registries.pull_refused(found.image, settings)

    def tell(step: Step, text: str) -> None:
        context.steps.heard(name, step, text, context.clock.now())
        log_event(LOG, logging.INFO, LogEvent.UPDATE_STEP, f"{step}: {text}", service=name, step=step.value)

    def reached(step: Step, is_back: bool) -> None:
        # A gate only watches. While it does, another project may pull and restart.
        if step is Step.GATE:
            context.slots.give_back(name)
        context.steps.reached(name, step, context.clock.now(), is_back=is_back)

    return Reporter(credential, tell, reached, refused, context.progress, (HttpGate(context.clock, tell),))


def registry_settings(context: AppContext, found: Plan[Any]) -> RegistrySettings | None:
    """Return the settings for the registry of a plan's image; None if its service is not configured any more.

    Of a group each image has a part of the plan to itself.
    """
    service = next((s for s in context.config.services if s.name == found.name), None)
    return None if service is None else settings_for(service, found.image)


def settings_for(service: ServiceConfig, image: ImageRef) -> RegistrySettings:
    """Return what is configured for the registry of an image.

    Nothing for another registry than that of the service's own image: a login goes to no other.
    """
    # Images that move along may be of another registry, to which the login does not belong.
    return service.registry if image.domain == service.image.domain else RegistrySettings()


@contextlib.contextmanager
def exclusive(context: AppContext, target: Target, of: Observed | Plan[Any], name: str) -> Iterator[None]:
    """Be the only one that changes what `of` names, for the length of a block.

    No step of service `name` is under way after it.
    """
    with target.exclusive(of):
        try:
            yield
        finally:
            context.steps.end(name)


def save(context: AppContext) -> bool:
    """Write the state to the disk; log a failure and go on: the next save has it all."""
    try:
        note = context.store.save(context.clock.now())
    except StateError as error:
        log_event(
            LOG, logging.ERROR, LogEvent.STATE_NOT_SAVED, f"the state was not saved: {error} ({error.remedy})"
        )
        return False
    if note:
        log_event(LOG, logging.WARNING, LogEvent.STATE_NOT_SAVED, note)
    return True


def deliver(context: AppContext, *, is_cycle_over: bool = True) -> None:
    """Send what waits in the outboxes, all side by side, so that one who is dead delays no other.

    What cannot be sent waits there for the next time, and so does what is left when this takes long or a stop
    is asked for. An outbox on a disk that refuses is said, and harms nobody. While the cycle goes on, what
    needs nobody may wait for its end.
    """
    # Two deliveries at once would send the first event of an outbox twice.
    if not context.delivering.acquire(blocking=False):
        return  # another thread delivers; what it misses is delivered with what comes next
    try:
        _deliver_due(context, is_cycle_over=is_cycle_over)
    finally:
        context.delivering.release()


def _deliver_due(context: AppContext, *, is_cycle_over: bool) -> None:
    waiting = [channel for channel in context.channels if channel.outbox.is_due()]
    if not waiting:
        return
    end = context.clock.monotonic() + _LONGEST_DELIVERY_SECONDS

    def is_over() -> bool:
        return context.clock.wait(0) or context.clock.monotonic() > end

    # A thread for each: the number of receivers is the operator's, and small.
    with ThreadPoolExecutor(len(waiting)) as pool:
        passes = [
            pool.submit(_deliver_to, context, each, is_over, is_cycle_over=is_cycle_over) for each in waiting
        ]
        # `wait` also gives the service manager its sign of life.
        while futures.wait(passes, timeout=_SIGN_OF_LIFE_SECONDS).not_done:
            context.clock.wait(0)
    for one in passes:
        one.result()


def _deliver_to(
    context: AppContext, channel: Channel, is_over: Callable[[], bool], *, is_cycle_over: bool
) -> None:
    """Send once what waits in the outbox of a channel."""
    now, outbox = context.clock.now(), channel.outbox
    try:
        if channel.send_together is None:
            delivery = outbox.deliver(channel.send, now, is_over)
        else:
            delivery = outbox.deliver_together(
                channel.send_together, now, is_over, is_cycle_over=is_cycle_over
            )
    except StateError as error:
        log_event(LOG, logging.ERROR, LogEvent.NOTIFY_FAILED, f"nothing is delivered: {error}")
        return
    context.metrics.delivered("delivered", len(delivery.delivered))
    context.metrics.delivered("failed", len(delivery.failed))
    context.metrics.delivered("given_up", len(delivery.given_up))


def queue(context: AppContext, event: Event) -> None:
    """Put an event, if it is wanted, into the outbox of every notifier.

    Raises StateError if the disk refuses.
    """
    if not events.is_wanted(event, context.config.settings.notify_events):
        return
    for channel in context.channels:
        channel.outbox.put(event)


def address_of(config: Config) -> tuple[str, int | None]:
    """Return the host and port to listen at; no port: nowhere."""
    return config.settings.metrics_host, config.settings.metrics_port


def bug(name: str, error: Exception) -> Hold:
    """Log an exception that nobody expected, and return the Hold for the one service that met it."""
    further = {"service": name, "log_event": LogEvent.INTERNAL_ERROR.value, "fields": {}}
    # With the traceback: for a fault of ours, the words of the exception are not enough.
    LOG.error("internal error", exc_info=error, extra=further)
    return Hold(
        Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "please report it with the log's traceback"
    )
