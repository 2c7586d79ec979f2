#!/usr/bin/env python3
"""The entry point of the Docker Auto-Updater: arguments, environment, commands, exit status."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from updater_core import __version__, logging_utils, notifiers, state_utils, targets
from updater_core.app import cycle, daemon, requests
from updater_core.app.context import LOG, AppContext
from updater_core.app.orders import command, request_queue
from updater_core.app.report import Report
from updater_core.app.wiring import load_config, lock_path, only_instance, reload, wire
from updater_core.deploy.journal import JournalFolder
from updater_core.deploy.target import Finding
from updater_core.errors import ComposeError, ComposeMissing, ConfigError, EngineError, LockHeld, UpdaterError
from updater_core.host.clock import SystemClock
from updater_core.host.systemd import Manager
from updater_core.models import Config, Discover, Reason, ServiceConfig
from updater_core.notifiers import events
from updater_core.state import observed_tags, orders
from updater_core.state.orders import ALL, OperatorOrder
from updater_core.state.records import service_of

ALL_WELL, NEEDS_A_LOOK, BAD_CONFIG, NO_ENGINE, LOCKED = 0, 1, 2, 3, 4

_DESCRIPTION = """\
Keeps the services of Docker Compose projects up to date: finds the newest image, pulls it by digest, changes
that one image in the Compose file, restarts that one service, waits until it is proven healthy, and rolls
back if it is not. Without a flag it runs as a daemon and checks every CHECK_INTERVAL seconds."""

_EPILOG = """\
exit status:  0 all well   1 a service failed, was rolled back or is unknown   2 configuration
              3 engine or Compose not usable   4 another updater holds the lock
configuration: CONFIG_FILE (default /etc/docker-auto-updater/updater_config.json) and the .env beside it
signals of the daemon:  TERM finishes the current step and ends   HUP reads the configuration again
              USR1 checks now"""


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run what the arguments ask for and return the exit status; `environment` defaults to the process's."""
    options = _options(arguments)
    try:
        return _run(options, dict(os.environ if environment is None else environment))
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
        return NEEDS_A_LOOK


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        "docker-updater",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_commands(made)
    _add_details(made)
    made.add_argument("--version", action="version", version=f"docker-updater {__version__}")
    return made


def _add_commands(made: argparse.ArgumentParser) -> None:
    """Add the flags of which at most one may be given."""
    what = made.add_mutually_exclusive_group()
    what.add_argument("--once", action="store_true", help="one cycle, then end")
    what.add_argument(
        "--test", action="store_true", help="check everything an update needs, a line each; change nothing"
    )
    what.add_argument(
        "--plan",
        action="store_true",
        help="say what would happen and why, with the exact diff; change nothing",
    )
    what.add_argument(
        "--discover",
        action="store_true",
        help="show every running Compose service and what would be followed",
    )
    what.add_argument(
        "--check-config",
        action="store_true",
        help="read the configuration and say every mistake in it; no more",
    )
    what.add_argument("--status", action="store_true", help="a table of the services, from the state")
    what.add_argument(
        "--notify-test", action="store_true", help="send one message of each kind, marked as a test"
    )
    command.add_flags(what)


def _add_details(made: argparse.ArgumentParser) -> None:
    """Add the flags that say more about one of the commands."""
    made.add_argument(
        "--for",
        dest="pause_for",
        metavar="TIME",
        type=command.seconds_of,
        help="with --pause: how long, such as 3d",
    )
    made.add_argument("--service", metavar="NAME", help="only this service")
    made.add_argument(
        "--json", action="store_true", help="with --status, --plan, --test or --discover: for machines"
    )
    made.add_argument(
        "--write", action="store_true", help="with --discover: put what is new into the configuration"
    )
    made.add_argument("--yes", action="store_true", help="with --write: do not ask")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments, read. One that would be ignored ends the program with status 2 and a sentence."""
    known = parser()
    options = known.parse_args(arguments)
    is_report = options.status or options.plan or options.test or options.discover
    if options.json and not is_report:
        known.error("--json goes with --status, --plan, --test or --discover")
    if options.write and not options.discover:
        known.error("--write goes with --discover")
    if options.yes and not options.write:
        known.error("--yes goes with --discover --write")
    if options.pause_for is not None and options.pause is None:
        known.error("--for goes with --pause")
    if options.service and command.kind_of(options):
        known.error("--service does not go with an order: write --update NAME")
    for flag, is_of_all in (("--discover", options.discover), ("--notify-test", options.notify_test)):
        if options.service and is_of_all:
            known.error(f"--service does not go with {flag}")
    return options


def _run(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    config = load_config(environment, may_begin=options.discover)
    clock = SystemClock()
    order = command.order_of(options, environment, clock.now())
    if config.settings.discover.mode is Discover.OFF:
        command.require_service(config, options.service)
        if order is not None:
            command.require_service(config, order.service, order.kind)
    if options.check_config or options.status:
        return _check(config) if options.check_config else _status(config, options)
    if options.notify_test:
        return _notify_test(config, clock.now())
    if options.test or options.plan or options.discover:
        return _look(config, clock, options)
    for note in logging_utils.set_up(config.settings, sys.stderr):
        LOG.warning(note)
    if order is not None:
        return _ask(config, clock, order)
    if options.once:
        return _once(config, clock, options.service)
    return _serve(config, clock, environment, options.service)


# ------------------------------------------------------------------------------------ commands that only read


def _look(config: Config, clock: SystemClock, options: argparse.Namespace) -> int:
    """Return what asks the engine and the registries, and updates nothing."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if options.plan:
        _read_state(config)  # a plan made without what is remembered would not be what happens
    context = wire(config, clock, is_reading=True)
    # A command's modules are loaded by the command: the daemon needs none of them, for months.
    from updater_core.app.commands import discover, plan

    if options.discover:
        return discover.run(context, discover.DiscoverOptions(options.json, options.write, options.yes))
    _take_up(context, options.service)
    if options.test:
        return _test(context, options)
    return plan.run(context, options.service, as_json=options.json)


def _check(config: Config) -> int:
    """Say that the configuration was read, and nothing is wrong with it."""
    print(f"{config.path}: no mistake, {len(config.services)} services")
    return ALL_WELL


def _status(config: Config, options: argparse.Namespace) -> int:
    from updater_core.status import decided, history, text

    loaded = _read_state(config)
    everything = targets.with_remembered(config, loaded.state)
    command.require_service(everything, options.service)
    services = _chosen(everything, options.service)
    known = observed_tags.follow_names(loaded.state, targets.identities(config.services))
    if options.json:
        print(text.status_json(services, known))
        return ALL_WELL
    now = datetime.now(UTC)
    further = [decided.text_of(known, [service.name for service in services], now)]
    if options.service is not None:
        further += [
            history.text_of(service_of(known, options.service)),
            decided.orders_of(known, options.service),
        ]
    print(text.status_table(services, known, further=further, now=now))
    return ALL_WELL


def _read_state(config: Config) -> state_utils.Loaded:
    """Return the state, and print what is wrong with it.

    Raises StateError if it is there and cannot be read.
    """
    settings = config.settings
    backups = Path(settings.state_backup_dir) if settings.state_backup_dir else None
    path, loaded = state_utils.look(Path(settings.state_file), backups)
    if path != Path(settings.state_file):
        print(f"STATE_FILE: nothing is kept in {settings.state_file}; this is {path}", file=sys.stderr)
    if loaded.problem:
        print(loaded.problem, file=sys.stderr)
    return loaded


def _test(context: AppContext, options: argparse.Namespace) -> int:
    from updater_core.app.commands import check_report, selfcheck

    progress = check_report.Progress(sys.stderr)
    try:
        findings = list(selfcheck.Check(context, options.service, progress.at).findings())
    finally:
        progress.end()
    if options.json:
        print(check_report.as_json(findings))
    else:
        print(check_report.text(findings, is_terminal=sys.stdout.isatty()))
    return ALL_WELL if all(finding.is_good for finding in findings) else NO_ENGINE


def _notify_test(config: Config, now: datetime) -> int:
    """Send one event of each kind to every notifier, past the outbox; print a line for each."""
    active = notifiers.active(config.settings)
    if not active:
        print("nobody is notified: set WEBHOOK_URL or NOTIFY_URLS", file=sys.stderr)
        return NEEDS_A_LOOK
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    is_good = True
    for notifier in active:
        for event in events.samples(events.Moment(socket.gethostname(), now)):
            found = Finding(True, notifier.name, event.kind)
            try:
                notifier.send(event)
            except UpdaterError as error:
                is_good, found = False, Finding(False, notifier.name, f"{event.kind}: {error}", error.remedy)
            print(found.line(), flush=True)
    return ALL_WELL if is_good else NEEDS_A_LOOK


# --------------------------------------------------------------------------------------- commands that change


def _once(config: Config, clock: SystemClock, only: str | None) -> int:
    with _signals(clock), only_instance(config, clock):
        context = wire(config, clock)
        _take_up(context, only)
        result = cycle.run(context, only)
        requests.take_requests(context)  # of an operator who met this run's lock
        cycle.finish(context)
        if result.is_engine_down or _is_compose_missing(context, result):
            return NO_ENGINE
        return NEEDS_A_LOOK if result.needs_look else ALL_WELL


def _serve(config: Config, clock: SystemClock, environment: Mapping[str, str], only: str | None) -> int:
    clock.manager = Manager(environment)
    faulthandler.enable()  # says where it hung if the service manager's watchdog ends it (SIGABRT)
    with _signals(clock), only_instance(config, clock):
        context = wire(config, clock)
        _take_up(context, only)
        daemon.serve(context, clock, lambda running: reload(running, clock, environment), only)
    return ALL_WELL


def _ask(config: Config, clock: SystemClock, order: OperatorOrder) -> int:
    """Do what the operator asks, or hand it to the updater that runs already."""
    try:
        with _signals(clock), only_instance(config, clock):
            context = wire(config, clock)
            _take_up(context, order.service, order.kind)
            answer = requests.carry_out(context, order)
            print(answer.sentence, flush=True)
            return ALL_WELL if answer.is_done else NEEDS_A_LOOK
    except LockHeld:
        lock = lock_path(config)
        handed = _handed_over(config, order, clock.now())
        folder = lock.parent / request_queue.FOLDER
        if handed.refusal:
            print(handed.refusal, file=sys.stderr)
            with contextlib.suppress(UpdaterError):  # it is only put on record, by whoever writes the state
                request_queue.leave(folder, handed)
                request_queue.wake(lock)
            return NEEDS_A_LOOK
        request_queue.leave(folder, handed)
        if not request_queue.wake(lock):
            raise
        seen = f" --service {order.service}" if order.service != ALL else ""
        print(f"{order.kind} of {order.service} is handed to the updater that is running; see --status{seen}")
        return ALL_WELL


# ---------------------------------------------------------------------------------------------------- details


def _handed_over(config: Config, order: OperatorOrder, now: datetime) -> OperatorOrder:
    """Return the order for the updater that runs, with the image that it is for.

    It comes with its refusal if it has nothing to act on: whoever gives it would not read that in the log of
    the daemon. While an update is under way nobody can tell: it changes what waits, and what there is to go
    back to.
    """
    state = _read_state(config).state
    everything = targets.with_remembered(config, state)
    command.require_service(everything, order.service, order.kind)
    state = observed_tags.follow_names(state, targets.identities(everything.services))
    if JournalFolder(lock_path(config).parent / "journal", targets.read_plan).read_all():
        return order
    service = next((each for each in everything.services if each.name == order.service), None)
    objection = orders.objection(state, order, service, now)
    nothing = requests.nothing_to_go_back_to(state, order.service) if order.kind == orders.ROLLBACK else None
    if nothing is not None:
        objection = orders.refused(nothing.detail, nothing.remedy)
    if objection is not None:
        return replace(order, refusal=objection.sentence)
    return orders.with_digest(state, order)


@contextlib.contextmanager
def _signals(clock: SystemClock) -> Iterator[None]:
    """Take signals as requests, from before the lock names this process until it has ended.

    Whoever reads the lock may send one at any moment, and a Ctrl-C must not end an update in the middle.
    """
    clock.signals.listen()
    try:
        yield
    finally:
        clock.signals.ignore()


def _chosen(config: Config, only: str | None) -> list[ServiceConfig]:
    return [service for service in config.services if only in (None, service.name)]


def _take_up(context: AppContext, name: str | None, kind: str = "") -> None:
    """Find what `discover` means, and see that a service of this name is among all that there are."""
    context.config = targets.take_up(context.config, context.host, context.state)
    command.require_service(context.config, name, kind)


def _is_compose_missing(context: AppContext, result: Report) -> bool:
    """Return whether a service could not be looked at or updated because there is no Compose."""
    reasons = {service_of(context.state, one.service.name).reason for one in result.checked}
    if Reason.COMPOSE_ERROR not in reasons:
        return False
    try:
        return not context.host.compose.version  # asking for it looks for Compose
    except ComposeMissing:
        return True
    except ComposeError:
        return False  # it is there, and says no


if __name__ == "__main__":
    sys.exit(main())
