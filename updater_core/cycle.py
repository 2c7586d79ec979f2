"""One pass over all services: recover, look, choose, apply, record, tell. One service's trouble never stops the others.

Looking and choosing is for all services at once (registries side by side); acting is for one service at a time.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from updater_core import choose, files, journal, news, observe, plan, reference, schedule, state_records, state_utils, update
from updater_core.choose import Answers, Choice, Question
from updater_core.compose_utils import DockerCompose
from updater_core.docker_utils import DockerEngine
from updater_core.errors import EngineUnavailable, LockHeld, RegistryError, StateError, UpdaterError
from updater_core.journal import JournalFolder
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import (
    Committed,
    Config,
    Container,
    Credential,
    Decision,
    Event,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Project,
    Reason,
    RollbackFailed,
    RolledBack,
    ServiceConfig,
    Step,
    Update,
)
from updater_core.notifiers import active
from updater_core.notifiers.outbox import Outbox
from updater_core.observe import FileMemory, Standing
from updater_core.plan import Wish
from updater_core.protocols import Clock, Progress
from updater_core.registries import Registries
from updater_core.state_records import State, Status
from updater_core.steps import Tools

_log = logging.getLogger("updater")
_SIDE_BY_SIDE = 32  # in all; each registry host has its own, lower limit
_LOST = {Status.UNKNOWN, Status.FAILED, Status.ROLLBACK_FAILED}


@dataclass(slots=True)
class World:
    """Everything a cycle works with. `folder` holds state, journal, outbox and locks; `state` is replaced, never changed."""

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
    memory: FileMemory = field(default_factory=FileMemory)

    @property
    def folder(self) -> Path:
        return self.state_path.parent


@dataclass(frozen=True, slots=True)
class Checked:
    """One service after its check: how it stands (None where that could not be seen), the decision, what was learned."""

    service: ServiceConfig
    standing: Standing | None
    decision: Decision
    answers: Answers = field(default_factory=Answers)


@dataclass(frozen=True, slots=True)
class Report:
    """What a cycle came to. `troubled` names the services that failed, were rolled back or are unknown."""

    checked: tuple[Checked, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    troubled: frozenset[str] = frozenset()
    is_engine_down: bool = False


def run(world: World, only: str | None = None) -> Report:
    """One cycle over every enabled service, or over the one that is named."""
    recovered = recover_open(world)
    checked = check_all(world, only)
    outcomes: list[Outcome] = list(recovered)
    for one in checked:
        outcome = _act(world, one)
        if outcome is not None:
            outcomes.append(outcome)
    save(world)
    deliver(world)
    return _report(world, checked, outcomes)


# ------------------------------------------------------------------------------------------------------------ look


def check_all(world: World, only: str | None = None) -> tuple[Checked, ...]:
    """Look at every enabled service and choose for it; record the checks in the state (not yet on disk)."""
    world.registries.new_cycle()
    services = [s for s in world.config.services if s.enabled and only in (None, s.name)]
    checked = _choose_all(world, _look_all(world, services))
    for one in checked:
        _record_check(world, one)
    names = [service.name for service in world.config.services]
    keys = {service.image.key for service in world.config.services}
    state = replace(world.state, rests={**world.state.rests, **world.registries.rests()})
    world.state = state_records.forget_unknown(state, names, keys, world.clock.now())
    return checked


def _look_all(world: World, services: Sequence[ServiceConfig]) -> list[tuple[ServiceConfig, Standing | Hold]]:
    try:
        containers = world.engine.compose_containers()
    except UpdaterError as error:
        hold = Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
        return [(service, hold) for service in services]
    world.engine.forget_images(frozenset(container.image_id for container in containers))
    return [(service, _look(world, service, containers)) for service in services]


def _look(world: World, service: ServiceConfig, containers: Sequence[Container]) -> Standing | Hold:
    try:
        return observe.look(service, containers, world.engine.known_image, world.memory)
    except UpdaterError as error:
        return Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
    except Exception as error:  # a bug of ours is one service's trouble too
        return _bug(service.name, error)


def _choose_all(world: World, looked: Sequence[tuple[ServiceConfig, Standing | Hold]]) -> tuple[Checked, ...]:
    """Ask all registries side by side; the answers come back in the configuration's order."""
    with ThreadPoolExecutor(max_workers=min(_SIDE_BY_SIDE, max(len(looked), 1))) as pool:
        return tuple(pool.map(lambda pair: _choose(world, *pair), looked))


def _choose(world: World, service: ServiceConfig, standing: Standing | Hold) -> Checked:
    if isinstance(standing, Hold):
        return Checked(service, None, standing)
    try:
        question = _question(world, service, standing)
        registry = world.registries.for_service(standing.current, service.registry)
        choice = choose.choose(question, registry)
        if isinstance(choice.decision, Update):
            question, choice = _choose_afresh(world, question, choice)
        return Checked(service, question.standing, choice.decision, choice.answers)
    except RegistryError as error:
        return Checked(service, standing, choose.unknown(error))
    except UpdaterError as error:
        return Checked(service, standing, Hold(Reason.ENGINE_ERROR, str(error), error.remedy))
    except Exception as error:
        return Checked(service, standing, _bug(service.name, error))


def _choose_afresh(world: World, question: Question, choice: Choice) -> tuple[Question, Choice]:
    """Before an update, the image's names are looked at anew: a pull by somebody else adds names to a known image."""
    standing = question.standing
    digests = observe.running_digests(standing.containers, standing.current.key, world.engine.image)
    if digests == standing.running_digests:
        return question, choice
    question = replace(question, standing=replace(standing, running_digests=digests))
    registry = world.registries.for_service(standing.current, question.service.registry)
    return question, choose.choose(question, registry, choice.answers)


def _question(world: World, service: ServiceConfig, standing: Standing) -> Question:
    return Question(service, standing, world.state, lambda: service.platform or world.engine.platform(), world.clock.now())


def _record_check(world: World, one: Checked) -> None:
    now = world.clock.now()
    current, digest = "", None
    if one.standing is not None:
        current, digest = one.standing.current.text, choose.running_digest(one.standing, one.answers.digests)
        world.state = choose.noted(world.state, _question(world, one.service, one.standing), one.answers)
    before = state_records.service_of(world.state, one.service.name)
    world.state = state_records.record_check(world.state, one.service.name, current, digest, one.decision, now=now)
    after = state_records.service_of(world.state, one.service.name)
    world.metrics.checked("update" if isinstance(one.decision, Update) else one.decision.reason.value)
    _log_check(one, is_news=(before.status, before.reason) != (after.status, after.reason))


def _log_check(one: Checked, *, is_news: bool) -> None:
    """The same answer as last time is no news: it is said at DEBUG only."""
    name, decision = one.service.name, one.decision
    if isinstance(decision, Update):
        fields = {"to": decision.target.text}
        log_event(_log, logging.INFO, LogEvent.AVAILABLE, f"{decision.target.text}: {decision.detail}", service=name, **fields)
        return
    is_unknown = state_records.is_unknown(decision.reason)
    level = logging.WARNING if is_unknown else logging.INFO
    event = LogEvent.CHECK_FAILED if is_unknown else LogEvent.CHECKED
    text = " ".join(part for part in (f"{decision.reason}: {decision.detail}", _sentence(decision.remedy)) if part)
    log_event(_log, level if is_news else logging.DEBUG, event, text, service=name, reason=decision.reason.value)


def _sentence(remedy: str) -> str:
    return f"({remedy})" if remedy else ""


# ------------------------------------------------------------------------------------------------------------- act


def permitted(world: World, one: Checked) -> Update | Hold:
    """The decision after everything that may make an update wait: freeze, back-off, pause, window, mode."""
    if isinstance(one.decision, Hold):
        return one.decision
    now = world.clock.now()
    remembered = state_records.service_of(world.state, one.service.name)
    target = one.decision.target
    if remembered.is_frozen:
        remedy = f"see to the service by hand, then run with --retry {one.service.name}"
        return Hold(Reason.FROZEN, remembered.detail, remedy, available=target)
    if remembered.retry_at is not None and remembered.retry_at > now:
        detail = f"{remembered.detail}; tried again after {remembered.retry_at:%Y-%m-%d %H:%M} UTC"
        return Hold(Reason.BACKING_OFF, detail, remembered.remedy, available=target, until=remembered.retry_at)
    hours, shared = one.service.hours, world.config.settings.hours
    return schedule.gate_update(one.decision, one.service.policy, hours, shared, now)


def planned(world: World, one: Checked) -> Plan | Hold:
    """The plan for a service that was checked, or why there is none. Changes nothing."""
    decision = permitted(world, one)
    if isinstance(decision, Hold) or one.standing is None:
        return decision if isinstance(decision, Hold) else Hold(Reason.INTERNAL_ERROR, "nothing was observed")
    wish = Wish(decision.target, decision.detail, _kept_images(world.state, one.service.name))
    return _made(world, one.service, one.standing, wish)


def _made(world: World, service: ServiceConfig, standing: Standing, wish: Wish) -> Plan | Hold:
    try:
        return plan.make(service, standing, wish, world.engine, world.compose)
    except EngineUnavailable as error:
        return Hold(Reason.ENGINE_ERROR, str(error), error.remedy, available=wish.target)
    except UpdaterError as error:
        return Hold(Reason.COMPOSE_ERROR, str(error), error.remedy, available=wish.target)


def _act(world: World, one: Checked) -> Outcome | None:
    """Update one service if it may be; a failure of any kind stays its own."""
    if isinstance(one.decision, Hold) or one.standing is None:
        return None
    try:
        found = _acted(world, one.standing.project, one)
    except UpdaterError as error:
        found = Hold(_reason_not_begun(error), str(error), error.remedy, available=one.decision.target)
    except Exception as error:
        found = _bug(one.service.name, error)
    if isinstance(found, Hold):
        _held(world, one, found)
        return None
    return found


def _acted(world: World, project: Project, one: Checked) -> Outcome | Hold:
    if world.clock.wait(0):
        return Hold(Reason.STOPPING, "the updater is stopping", "nothing to do: the next start looks again")
    with project_lock(world, project):
        found = planned(world, one)
        return found if isinstance(found, Hold) else carry_out(world, found)


def _reason_not_begun(error: UpdaterError) -> Reason:
    if isinstance(error, LockHeld):
        return Reason.BUSY
    return Reason.STATE_ERROR if isinstance(error, StateError) else Reason.ENGINE_ERROR


def _held(world: World, one: Checked, hold: Hold) -> None:
    _announce(world, one, hold)
    _record_check(world, replace(one, decision=hold))


def _announce(world: World, one: Checked, hold: Hold) -> None:
    """`mode` notify tells of each image once."""
    remembered = state_records.service_of(world.state, one.service.name)
    if hold.reason is not Reason.NOTIFY_ONLY or hold.available is None or remembered.announced == hold.available.text:
        return
    _queue(world, news.available_event(
        one.service.name, remembered.reference, remembered.digest, hold.available, socket.gethostname(), world.clock.now()
    ))  # fmt: skip
    state = state_records.record_check(
        world.state, one.service.name, remembered.reference, remembered.digest, hold, now=world.clock.now()
    )
    world.state = state_records.announce(state, one.service.name)


def carry_out(world: World, found: Plan) -> Outcome:
    """Apply a plan and put its outcome on record. StateError where the state cannot be saved before: then nothing is
    begun, for what cannot be remembered must not be done."""
    started = world.clock.now()
    state_utils.save(world.state, world.state_path, world.config.settings.state_backups, _backup_dir(world), started)
    log_event(_log, logging.INFO, LogEvent.UPDATE_STARTED, plan.describe(found), service=found.name)
    outcome = update.apply(found, tools(world, found.name))
    record(world, outcome, started)
    return outcome


def record(world: World, outcome: Outcome, started: datetime) -> None:
    """Remember an outcome, queue its news, close its journal: in this order, so that a crash between two of them
    repeats the later ones and loses nothing."""
    now = world.clock.now()
    world.state = state_records.record_outcome(world.state, outcome, started, now)
    _log_outcome(outcome, (now - started).total_seconds())
    _count(world.metrics, outcome)
    event = news.event_of(outcome, socket.gethostname(), started, now)
    if save(world):
        if event is not None:
            _queue(world, event)
        world.journal.close(outcome.plan.id)


def recover_open(world: World) -> tuple[Outcome, ...]:
    """End everything that a former run left in the middle."""
    outcomes: list[Outcome] = []
    for entry in world.journal.read_all():
        if "damaged" in entry:
            text = f"the journal {entry['damaged']} cannot be read; look at the service it was for, then remove it"
            log_event(_log, logging.ERROR, LogEvent.INTERNAL_ERROR, text)
            continue
        outcome = _recover_one(world, entry)
        if outcome is not None:
            outcomes.append(outcome)
    return tuple(outcomes)


def _recover_one(world: World, entry: Mapping[str, Any]) -> Outcome | None:
    interrupted = journal.plan_from_dict(entry["plan"])
    started = world.clock.now()
    text = f"an update was interrupted ({entry['phase']}): {plan.describe(interrupted)}"
    log_event(_log, logging.WARNING, LogEvent.RECOVERED, text, service=interrupted.name)
    try:
        with project_lock(world, interrupted.project):
            outcome = update.recover(entry, tools(world, interrupted.name))
            record(world, outcome, started)
            return outcome
    except UpdaterError as error:
        text = f"the interrupted update cannot be ended now: {error}; tried again in the next cycle"
        log_event(_log, logging.ERROR, LogEvent.ENGINE_UNAVAILABLE, text, service=interrupted.name)
    except Exception as error:
        _bug(interrupted.name, error)
    return None


# ------------------------------------------------------------------------------------------- what an owner asks for


def roll_back_by_owner(world: World, service: ServiceConfig) -> Outcome | Hold:
    """Go back to the image before the current one, and stay there until a newer one than the one left appears."""
    recover_open(world)
    generations = state_records.service_of(world.state, service.name).generations
    if len(generations) < 2:
        return Hold(Reason.NO_CANDIDATE, f"no earlier image of {service.name} is remembered", "set its tag in the file")
    previous = generations[1]
    _, standing = _look_all(world, [service])[0]
    if isinstance(standing, Hold):
        return standing
    earlier = reference.with_default_tag(reference.parse(previous.reference))
    target = replace(earlier, name=standing.current.name, digest=previous.digest)
    wish = Wish(target, "asked for by the owner", image_id=previous.image_id, kind=state_records.OWNER_ROLLBACK)
    with project_lock(world, standing.project):
        found = _made(world, service, standing, wish)
        return found if isinstance(found, Hold) else carry_out(world, found)


def _kept_images(state: State, name: str) -> tuple[str, ...]:
    return tuple(generation.image_id for generation in state_records.service_of(state, name).generations)


# ----------------------------------------------------------------------------------------------------- small matters


def tools(world: World, name: str) -> Tools:
    """The world as one update of service `name` sees it."""

    def credential(found: Plan) -> Credential | None:
        settings = next((s.registry for s in world.config.services if s.name == found.name), None)
        return world.registries.for_service(found.target, settings).credential() if settings else None

    def tell(step: Step, text: str) -> None:
        log_event(_log, logging.INFO, LogEvent.UPDATE_STEP, f"{step}: {text}", service=name, step=step.value)

    return Tools(world.engine, world.compose, files, world.journal, world.clock, credential, tell, world.progress)


@contextlib.contextmanager
def project_lock(world: World, project: Project) -> Iterator[None]:
    """Hold a project's lock; the Compose child inherits it, so one that outlives us still holds it, and is waited for."""
    path = world.folder / "locks" / f"{project.name}.lock"
    wait_seconds = world.config.settings.compose_timeout_seconds + 30
    descriptor = files.acquire_lock(path, clock=world.clock, wait_seconds=wait_seconds, inheritable=True)
    world.compose.lock_fd = descriptor
    try:
        yield
    finally:
        world.compose.lock_fd = None
        files.release_lock(descriptor)


def save(world: World) -> bool:
    """Put the state on the disk; say it where that fails, and go on: the next save has it all."""
    settings = world.config.settings
    try:
        note = state_utils.save(
            world.state, world.state_path, settings.state_backups, _backup_dir(world), world.clock.now()
        )
    except StateError as error:
        log_event(_log, logging.ERROR, LogEvent.STATE_NOT_SAVED, f"the state was not saved: {error} ({error.remedy})")
        return False
    if note:
        log_event(_log, logging.WARNING, LogEvent.STATE_NOT_SAVED, note)
    return True


def deliver(world: World) -> None:
    """Send what waits in the outboxes; what cannot be sent waits there for the next time."""
    for notifier in active(world.config.settings):
        box = world.outboxes.get(notifier.name)
        if box is None:
            continue
        delivery = box.deliver(notifier.send, world.clock.now())
        for result, ids in (("delivered", delivery.delivered), ("failed", delivery.failed), ("given_up", delivery.given_up)):
            world.metrics.delivered(result, len(ids))


def _queue(world: World, event: Event) -> None:
    for notifier in active(world.config.settings):
        if notifier.name in world.outboxes:
            world.outboxes[notifier.name].put(event)


def _backup_dir(world: World) -> Path | None:
    directory = world.config.settings.state_backup_dir
    return Path(directory) if directory else None


def _bug(name: str, error: Exception) -> Hold:
    _log.error("internal error", exc_info=error, extra={"service": name, "news": LogEvent.INTERNAL_ERROR.value, "fields": {}})
    return Hold(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "please report it with the log's traceback")


def _log_outcome(outcome: Outcome, seconds: float) -> None:
    event, level = _NEWS[type(outcome)]
    found = outcome.plan
    fields = {"from": found.moves[0].old_reference, "to": found.target.text, "duration_seconds": round(seconds, 1)}
    log_event(_log, level, event, update.describe(outcome), service=found.name, **fields)


_NEWS: Mapping[type, tuple[LogEvent, int]] = {
    Committed: (LogEvent.UPDATED, logging.INFO),
    NotStarted: (LogEvent.NOT_STARTED, logging.WARNING),
    RolledBack: (LogEvent.ROLLED_BACK, logging.WARNING),
    RollbackFailed: (LogEvent.ROLLBACK_FAILED, logging.ERROR),
}


def _count(metrics: Metrics, outcome: Outcome) -> None:
    name = outcome.plan.name
    match outcome:
        case Committed():
            metrics.updated(name)
        case RolledBack(cause=cause):
            metrics.rolled_back(name, cause.reason.value)
        case NotStarted(cause=cause) | RollbackFailed(cause=cause):
            metrics.failed(name, cause.step.value)


def _report(world: World, checked: Sequence[Checked], outcomes: Sequence[Outcome]) -> Report:
    failed = {outcome.plan.name for outcome in outcomes if not isinstance(outcome, Committed)}
    lost = {
        one.service.name
        for one in checked
        if state_records.service_of(world.state, one.service.name).status in _LOST
    }
    is_down = any(isinstance(o.decision, Hold) and o.decision.reason is Reason.ENGINE_ERROR for o in checked)
    world.metrics.show(world.state.services)
    world.metrics.open_journal(len(world.journal.read_all()))
    world.metrics.outbox_pending(sum(box.pending() for box in world.outboxes.values()))
    return Report(tuple(checked), tuple(outcomes), frozenset(failed | lost), is_down and not _answers(world))


def _answers(world: World) -> bool:
    try:
        world.engine.version()
    except UpdaterError:
        return False
    return True
