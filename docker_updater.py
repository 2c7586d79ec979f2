#!/usr/bin/env python3
"""The door of the Docker Auto-Updater: arguments, signals, environment, wiring, exit status."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from updater_core import (
    __version__,
    config_utils,
    cycle,
    doctor,
    files,
    logging_utils,
    mailbox,
    news,
    notifiers,
    progress,
    report,
    state_records,
    state_utils,
)
from updater_core.check import check_all
from updater_core.compose_utils import DockerCompose
from updater_core.docker_utils import DockerEngine
from updater_core.errors import ConfigError, EngineError, LockHeld, StateError, UpdaterError
from updater_core.journal import JournalFolder
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import Committed, Config, Credential, Hold, Outcome, Reason, ServiceConfig, Settings
from updater_core.notifiers.outbox import Outbox
from updater_core.protocols import Progress
from updater_core.registries import Registries
from updater_core.systemd import Manager, is_main_thread
from updater_core.watch import Watch, address_of
from updater_core.world import World, deliver, save

ALL_WELL, TROUBLE, BAD_CONFIG, NO_ENGINE, LOCKED = 0, 1, 2, 3, 4
_JITTER = 0.1  # of the interval, either way: many hosts must not ask a registry in the same second
_LONGEST_IDLE_SECONDS = 3600
_SOON_SECONDS = 30.0  # after an engine that does not answer, or an update that could not be ended
_BORN_WITH = dict(os.environ)
_log = logging.getLogger("updater")

_DESCRIPTION = """\
Keeps the services of Docker Compose projects up to date: finds the newest image, pulls it by digest, changes that one
image in the compose file, restarts that one service, waits until it has proven itself, and goes back if it has not.
Without a flag it runs as a daemon and looks every CHECK_INTERVAL seconds."""

_EPILOG = """\
exit status:  0 all well   1 a service failed, was rolled back or is unknown   2 configuration
              3 engine or Compose not usable   4 another updater holds the lock
configuration: CONFIG_FILE (default /etc/docker-auto-updater/updater_config.json) and the .env beside it
signals of the daemon:  TERM finishes the step at hand and ends   HUP reads the configuration again   USR1 checks now"""


@dataclass(slots=True)
class SystemClock:
    """The one clock of the program; signals end its waits, and each wait is a sign of life to the service manager."""

    stop: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    reload: bool = False
    manager: Manager = field(default_factory=lambda: Manager({}))

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> bool:
        if is_main_thread():
            self.beat()
        return self.stop.wait(seconds)

    def sleep(self, seconds: float) -> None:
        self.beat()
        time.sleep(seconds)

    def beat(self) -> None:
        """The work moves: the main thread waits, or what it waits for has answered."""
        self.manager.beat(time.monotonic())

    def idle(self, seconds: float) -> bool:
        """Wait; True, and then at once, when a signal ends the wait."""
        end, left, is_woken = time.monotonic() + seconds, seconds, False
        while not is_woken:
            self.beat()
            is_woken = self.wake.wait(self.manager.wait_slice(max(left, 0.0)))
            left = end - time.monotonic()
            if left <= 0:
                break
        self.wake.clear()
        return is_woken

    def handle_signals(self) -> None:
        """From now on TERM and INT stop, HUP reloads, USR1 checks now."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        signal.signal(signal.SIGUSR1, self._check)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop.set()
        self.wake.set()
        self.manager.stopping()

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True
        self.wake.set()

    def _check(self, _number: int, _frame: FrameType | None) -> None:
        self.wake.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as the arguments say; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return BAD_CONFIG
    except LockHeld as error:
        print(f"{error}. {error.remedy}", file=sys.stderr)
        return LOCKED
    except EngineError as error:
        print(f"{error} ({error.remedy})", file=sys.stderr)
        return NO_ENGINE
    except UpdaterError as error:
        print(f"{error} ({error.remedy})" if error.remedy else str(error), file=sys.stderr)
        return TROUBLE


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "docker-updater", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = made.add_mutually_exclusive_group()
    what.add_argument("--once", action="store_true", help="one cycle, then end")
    what.add_argument(
        "--test", action="store_true", help="check everything an update needs, a line each; change nothing"
    )
    what.add_argument(
        "--plan", action="store_true", help="say what would happen and why, with the exact diff; change nothing"
    )
    what.add_argument("--status", action="store_true", help="a table of the services, from the state")
    what.add_argument("--notify-test", action="store_true", help="send one message of each kind, marked as a test")
    what.add_argument("--retry", metavar="NAME", help="lift the quarantine of a service and let it be updated again")
    what.add_argument("--rollback", metavar="NAME", help="go back to the image before, until a newer one appears")
    made.add_argument("--service", metavar="NAME", help="only this service")
    made.add_argument("--json", action="store_true", help="with --status: for machines")
    made.add_argument("--version", action="version", version=f"docker-updater {__version__}")
    return made


def _run(options: argparse.Namespace) -> int:
    config = load_config()
    _require_service(config, options.service or options.retry or options.rollback)
    if options.status:
        return _status(config, options)
    clock = SystemClock()
    if options.notify_test:
        return _notify_test(config, clock.now())
    if options.test or options.plan:
        logging.basicConfig(level=logging.ERROR, format="%(message)s")
        world = wire(config, clock, is_reading=True)
        return _test(world, options.service) if options.test else _plan(world, options.service)
    with_log = logging_utils.set_up(config.settings, sys.stderr)
    for note in with_log:
        _log.warning(note)
    if options.retry or options.rollback:
        kind, name = ("retry", options.retry) if options.retry else ("rollback", options.rollback)
        return _ask(config, clock, mailbox.Request(kind, name))
    return _once(config, clock, options.service) if options.once else _serve(config, clock, options.service)


# ---------------------------------------------------------------------------------------------------------- wiring


def load_config() -> Config:
    """The configuration that CONFIG_FILE names, under the environment and the `.env` beside it.

    What libraries read from the process (AWS, Google, proxies, the engine) is put there; `_BORN_WITH` is the
    environment without such additions, so that a reload sees a changed `.env`.
    """
    path = config_utils.default_config_path(_BORN_WITH)
    environment = config_utils.read_environment(_BORN_WITH, config_utils.default_dotenv_path(path, _BORN_WITH))
    path = config_utils.default_config_path(environment)
    wanted = config_utils.vendor_environment(environment)
    for name in config_utils.vendor_environment(os.environ).keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    config = config_utils.load(path, environment)
    for service in config.services:
        registry = service.registry
        logging_utils.protect(registry.password, registry.aws_secret_access_key, registry.aws_session_token)
    logging_utils.protect(*config.settings.notify_urls)
    if problems := notifiers.problems(config.settings):
        raise ConfigError(problems)
    return config


def wire(config: Config, clock: SystemClock, *, is_reading: bool = False) -> World:
    """Everything put together. `is_reading`: nothing on the disk is touched, a damaged state stays where it is."""
    settings = config.settings
    path, note = state_utils.resolve_state_path(Path(settings.state_file))
    backup_dir = Path(settings.state_backup_dir) if settings.state_backup_dir else None
    loaded = state_utils.peek(path, backup_dir) if is_reading else state_utils.load(path, backup_dir, clock.now())
    for text in (note, loaded.problem):
        if text:
            log_event(_log, logging.WARNING, LogEvent.STATE_RESTORED, text)
    metrics = Metrics(enabled=settings.metrics_port is not None and not is_reading)
    metrics.start_from(loaded.state.counters)
    outboxes = _outboxes(settings, path.parent)
    journal = JournalFolder(path.parent / "journal")
    if not is_reading:
        journal.clear_strays()
        for outbox in outboxes.values():
            outbox.clear_strays()
    return World(
        config=config,
        state=loaded.state,
        state_path=path,
        engine=DockerEngine(os.environ.get("DOCKER_HOST")),
        compose=DockerCompose(os.environ, settings.compose_timeout_seconds),
        registries=_registries(settings, clock, metrics, loaded.state.rests),
        journal=journal,
        outboxes=outboxes,
        metrics=metrics,
        clock=clock,
        progress=None if is_reading else _progress(clock),
    )


def _progress(clock: SystemClock) -> Progress:
    """What hears each progress message of a pull: the service manager, and the terminal where there is one."""
    shown = progress.for_stream(sys.stderr)

    def hear(message: Mapping[str, Any]) -> None:
        clock.beat()
        if shown is not None:
            shown(message)

    return hear


def _outboxes(settings: Settings, folder: Path) -> dict[str, Outbox]:
    return {name: Outbox(folder / "outbox" / name) for name, _ in notifiers.active(settings)}


def _registries(settings: Settings, clock: SystemClock, metrics: Metrics, rests: Mapping[str, datetime]) -> Registries:
    hub = None
    if settings.docker_hub_username and settings.docker_hub_password:
        hub = Credential(settings.docker_hub_username, settings.docker_hub_password)
    folder = os.environ.get("DOCKER_CONFIG")

    def requested(registry: str, kind: str, result: str) -> None:
        clock.beat()
        metrics.requested(registry, kind, result)

    return Registries(
        hub_credential=hub,
        docker_config_dir=Path(folder) if folder else None,
        clock=clock,
        on_request=requested,
        rests=rests,
    )


# ------------------------------------------------------------------------------------------- commands that only read


def _status(config: Config, options: argparse.Namespace) -> int:
    settings = config.settings
    path, _ = state_utils.resolve_state_path(Path(settings.state_file))
    loaded = state_utils.peek(path, Path(settings.state_backup_dir) if settings.state_backup_dir else None)
    services = _chosen(config, options.service)
    print((report.status_json if options.json else report.status_table)(services, loaded.state))
    return ALL_WELL


def _test(world: World, only: str | None) -> int:
    is_good = True
    for finding in doctor.examine(world, only):
        print(finding.line(), flush=True)
        is_good = is_good and finding.is_good
    return ALL_WELL if is_good else NO_ENGINE


def _plan(world: World, only: str | None) -> int:
    world.engine.version()
    for one in check_all(world, only):
        found = cycle.planned(world, one)
        print(report.plan_text(one.service, found, one.decision.rejected), end="\n\n")
    return ALL_WELL


def _notify_test(config: Config, now: datetime) -> int:
    """Send one event of each kind to everyone who is told, past the outbox; a line each."""
    told = notifiers.active(config.settings)
    if not told:
        print("nobody is told: set WEBHOOK_URL or NOTIFY_URLS", file=sys.stderr)
        return TROUBLE
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    is_good = True
    for notifier in told:
        for event in news.samples(news.Moment(socket.gethostname(), now)):
            found = doctor.Finding(True, notifier.name, event.kind)
            try:
                notifier.send(event)
            except UpdaterError as error:
                is_good, found = False, doctor.Finding(False, notifier.name, f"{event.kind}: {error}", error.remedy)
            print(found.line(), flush=True)
    return ALL_WELL if is_good else TROUBLE


# ---------------------------------------------------------------------------------------------- commands that change


def _once(config: Config, clock: SystemClock, only: str | None) -> int:
    with _Instance(config, clock):
        world = wire(config, clock)
        clock.handle_signals()
        result = _cycle(world, only)
        if result.is_engine_down or _compose_is_missing(result):
            return NO_ENGINE
        return TROUBLE if result.troubled else ALL_WELL


def _serve(config: Config, clock: SystemClock, only: str | None) -> int:
    clock.manager = manager = Manager(_BORN_WITH)
    faulthandler.enable()  # where it hung, when the service manager's watchdog ends it (SIGABRT)
    with _Instance(config, clock):
        clock.handle_signals()
        world = wire(config, clock)
        watch = Watch(world)
        watch.open()
        manager.allow(_further_silence_seconds(config))
        manager.ready()
        log_event(
            _log, logging.INFO, LogEvent.STARTED, f"docker-updater {__version__}: {len(config.services)} services"
        )
        while not clock.stop.is_set():
            manager.status(f"checking {sum(s.enabled for s in world.config.services)} services")
            watch.cycle_begins()
            result = _cycle(world, only)
            watch.cycle_ended(is_engine_down=result.is_engine_down)
            pause_seconds = _pause_seconds(world, result)
            watch.rests(pause_seconds)
            manager.status(_standing(world, result, pause_seconds))
            _rest(world, clock, pause_seconds)
            if clock.reload:
                manager.reloading(clock.monotonic())
                _reload(world, watch)
                manager.allow(_further_silence_seconds(world.config))
                manager.ready()
            _take_requests(world)
        watch.close()
    log_event(_log, logging.INFO, LogEvent.STOPPED, "stopped as asked")
    return ALL_WELL


def _cycle(world: World, only: str | None) -> cycle.Report:
    started = world.clock.monotonic()
    result = cycle.run(world, only)
    seconds = world.clock.monotonic() - started
    world.metrics.cycle_ended(world.clock.now(), seconds)
    counts = f"{len(result.checked)} checked, {sum(isinstance(o, Committed) for o in result.outcomes)} updated"
    trouble = f", needs a look: {', '.join(sorted(result.troubled))}" if result.troubled else ", all well"
    text = f"{counts}{trouble} ({seconds:.1f} s)"
    log_event(
        _log, logging.INFO, LogEvent.CYCLE_ENDED, text, checked=len(result.checked), duration_seconds=round(seconds, 2)
    )
    return result


def _standing(world: World, result: cycle.Report, pause_seconds: float) -> str:
    """One line for `systemctl status`."""
    trouble = f"needs a look: {', '.join(sorted(result.troubled))}" if result.troubled else "all well"
    following = (world.clock.now() + timedelta(seconds=pause_seconds)).astimezone()
    return f"{len(result.checked)} services checked, {trouble}; next check {following:%Y-%m-%d %H:%M:%S %Z}"


def _further_silence_seconds(config: Config) -> float:
    """How much longer than usual the longest silent step may take: a Compose command. The unit's WatchdogSec covers
    what is usual; a container that takes minutes to stop needs a higher one there."""
    return max(config.settings.compose_timeout_seconds - Settings().compose_timeout_seconds, 0.0)


def _pause_seconds(world: World, result: cycle.Report) -> float:
    """Until the next cycle: the interval with some jitter, sooner where something must be ended or a window opens."""
    interval = world.config.settings.check_interval_seconds
    pauses = [interval * random.uniform(1 - _JITTER, 1 + _JITTER)]  # noqa: S311 - not a secret
    if result.is_engine_down or world.journal.read_all():
        pauses.append(_SOON_SECONDS)
    now = world.clock.now()
    waiting = [world.state.services.get(s.name) for s in world.config.services if s.enabled]
    pauses += [(s.opens_at - now).total_seconds() for s in waiting if s and s.opens_at]
    return max(min(pauses), 1.0)


def _rest(world: World, clock: SystemClock, seconds: float) -> None:
    """Until the next cycle or a signal; only news that could not be delivered is tried again meanwhile."""
    end = clock.monotonic() + seconds
    while (left := end - clock.monotonic()) > 0 and not clock.idle(min(left, _until_delivery_seconds(world))):
        if left > 1.0:
            deliver(world)


def _until_delivery_seconds(world: World) -> float:
    with suppress(StateError):  # said by `deliver` already
        waits = [(due - world.clock.now()).total_seconds() for b in world.outboxes.values() if (due := b.next_try())]
        return max(min(waits, default=float(_LONGEST_IDLE_SECONDS)), 1.0)
    return float(_LONGEST_IDLE_SECONDS)


def _take_requests(world: World) -> None:
    for request in mailbox.take(world.folder / "requests"):
        service = next((s for s in world.config.services if s.name == request.service), None)
        if service is None:
            continue
        try:
            _carry_out(world, service, request.kind)
        except UpdaterError as error:
            text = f"{request.kind} could not be carried out: {error} ({error.remedy})"
            log_event(_log, logging.ERROR, LogEvent.INTERNAL_ERROR, text, service=service.name)


def _ask(config: Config, clock: SystemClock, request: mailbox.Request) -> int:
    """Do what the owner asks, or hand it to the updater that runs already."""
    service = next(s for s in config.services if s.name == request.service)
    path, _ = state_utils.resolve_state_path(Path(config.settings.state_file))
    try:
        with _Instance(config, clock):
            return _carry_out(wire(config, clock), service, request.kind)
    except LockHeld:
        mailbox.leave(path.parent / "requests", request)
        if not mailbox.wake(_lock_path(path)):
            raise
        print(f"{request.kind} of {service.name} is handed to the updater that is running; see --status")
        return ALL_WELL


def _carry_out(world: World, service: ServiceConfig, kind: str) -> int:
    if kind == "retry":
        world.state = state_records.lift_quarantine(world.state, service.name)
        save(world)
        text = "nothing is quarantined any more, the next cycle tries again"
        log_event(_log, logging.INFO, LogEvent.QUARANTINE_LIFTED, text, service=service.name)
        return ALL_WELL
    outcome: Outcome | Hold = cycle.roll_back_by_owner(world, service)
    deliver(world)
    if isinstance(outcome, Hold):
        log_event(
            _log,
            logging.WARNING,
            LogEvent.HELD,
            f"{outcome.reason}: {outcome.detail} ({outcome.remedy})",
            service=service.name,
        )
        return TROUBLE
    return ALL_WELL if isinstance(outcome, Committed) else TROUBLE


def _reload(world: World, watch: Watch) -> None:
    """Take a changed configuration over; a bad one is reported and the old one kept. The state's place stays."""
    clock = world.clock
    assert isinstance(clock, SystemClock)
    clock.reload = False
    try:
        config = load_config()
    except ConfigError as error:
        text = "the changed configuration is not taken over, the old one stays: " + "; ".join(error.problems)
        log_event(_log, logging.ERROR, LogEvent.CONFIG_REFUSED, text)
        return
    logging_utils.set_up(config.settings, sys.stderr)
    if config.settings.state_file != world.config.settings.state_file:
        text = (
            f"STATE_FILE changed: restart the updater to move from {world.state_path} to {config.settings.state_file}"
        )
        log_event(_log, logging.WARNING, LogEvent.CONFIG_LOADED, text)
    if address_of(config) != address_of(world.config):
        world.metrics = Metrics(enabled=config.settings.metrics_port is not None)
        world.metrics.start_from(world.state.counters)
    world.config = config
    world.compose = DockerCompose(os.environ, config.settings.compose_timeout_seconds)
    world.registries = _registries(config.settings, clock, world.metrics, world.registries.rests())
    world.outboxes = _outboxes(config.settings, world.folder)
    log_event(_log, logging.INFO, LogEvent.CONFIG_LOADED, f"{config.path}: {len(config.services)} services")
    watch.open()


# ---------------------------------------------------------------------------------------------------- small matters


class _Instance:
    """Holds the lock that makes this the only updater of its state."""

    def __init__(self, config: Config, clock: SystemClock) -> None:
        path, _ = state_utils.resolve_state_path(Path(config.settings.state_file))
        self._path, self._clock = _lock_path(path), clock
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = files.acquire_lock(self._path, clock=self._clock)

    def __exit__(self, *_: object) -> None:
        files.release_lock(self._descriptor)


def _lock_path(state_path: Path) -> Path:
    return state_path.with_name(f"{state_path.name}.lock")


def _chosen(config: Config, only: str | None) -> list[ServiceConfig]:
    return [service for service in config.services if only in (None, service.name)]


def _require_service(config: Config, name: str | None) -> None:
    names = [service.name for service in config.services]
    if name is not None and name not in names:
        raise ConfigError([f"no service is called {name!r}; {config.path} has {', '.join(names) or 'none'}"])


def _compose_is_missing(result: cycle.Report) -> bool:
    holds = [one.decision for one in result.checked if isinstance(one.decision, Hold)]
    return any(hold.reason is Reason.COMPOSE_ERROR and "was not found" in hold.detail for hold in holds)


if __name__ == "__main__":
    sys.exit(main())
