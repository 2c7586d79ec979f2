"""Everything put together: configuration read, libraries' environment set, context made, lock taken."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from updater_core import config_utils, logging_utils, notifiers, state_utils, targets
from updater_core.app.context import LOG, AppContext, StateStore, address_of, bug
from updater_core.compose_utils import DockerCompose
from updater_core.config.options import SECRET_VARIABLES
from updater_core.deploy.journal import JournalFolder
from updater_core.deploy.target import NO_ID, Host
from updater_core.deploy.workers import Workers
from updater_core.docker_utils import DockerEngine
from updater_core.errors import ConfigError, EngineError, LockHeld, StateError
from updater_core.host import engine_endpoint, files, malloc, permissions, pull_progress
from updater_core.host.clock import SystemClock
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.host.locks import acquire_lock, release_lock
from updater_core.host.own_container import own_container_id
from updater_core.logging_utils import LogEvent, log_event
from updater_core.metrics_utils import Metrics
from updater_core.models import Config, Settings
from updater_core.protocols import Progress
from updater_core.registries import Registries
from updater_core.state import identity
from updater_core.state.records import State
from updater_core.swarm_utils import Swarms
from updater_core.targets.sharing import SharedPlaces
from updater_core.vocabulary.hooks import Hooks
from updater_core.vocabulary.secret import secrets_in


def load_config(environment: Mapping[str, str], *, may_begin: bool = False) -> Config:
    """Return the configuration that CONFIG_FILE names, under `environment` and the `.env` beside the file.

    What libraries read from the process (vendors', proxies, the engine) is put there; `environment` is what
    the process was born with, without such additions, so that a reload sees a changed `.env`. `may_begin`: a
    file that is not there yet counts as one without services. Raises ConfigError with every problem.
    """
    path = config_utils.default_config_path(environment)
    merged = config_utils.read_environment(environment, config_utils.default_dotenv_path(path, environment))
    # Asked twice: `.env` may name another CONFIG_FILE than the environment does.
    path = config_utils.default_config_path(merged)
    wanted = config_utils.library_environment(merged)
    # At a reload, what was taken out of `.env` must not live on in the process.
    for name in config_utils.library_environment(os.environ).keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)
    config = (config_utils.load_or_begin if may_begin else config_utils.load)(path, merged)
    # Before anything else can log: from here on no secret gets into a line.
    logging_utils.protect(*secrets_in(config.settings), *secrets_in(config.services))
    if problems := [
        *_key_problems(config),
        *_hook_problems(config, path),
        *notifiers.problems(config.settings),
    ]:
        raise ConfigError(problems)
    return config


def _hook_problems(config: Config, path: Path) -> Iterator[str]:
    """Yield a problem if somebody else may write hooks into the configuration.

    Hooks run with this user's rights.
    """
    # Services that are discovered later get these, so they count even if no service has any now.
    defaults = config.entries.default_hooks if config.entries else Hooks()
    if defaults == Hooks() and all(service.hooks == Hooks() for service in config.services):
        return
    found = permissions.open_to_others(path)
    if found is not None:
        what, remedy = found
        yield f"{config.path}: it has hooks, which run as this user, and {what}; {remedy}"


def _key_problems(config: Config) -> Iterator[str]:
    """Yield a problem for each public key that cannot be used, which would hold its services for ever."""
    paths = [(service.name, path) for service in config.services for path in service.policy.public_keys]
    if not paths:
        return
    # cryptography is loaded only for whoever has such a policy
    from updater_core.registries import signatures

    for name, path in paths:
        try:
            signatures.read_keys([path])
        except ValueError as error:
            wrong = f"{config.path}: {name}: signature.public_key: {error}"
            yield f"{wrong}; name a PEM file with a public key (cosign.pub)"


def wire(config: Config, clock: SystemClock, *, is_reading: bool = False) -> AppContext:
    """Return everything put together.

    `is_reading`: nothing on the disk is touched, a damaged state stays in its place.

    Raises EngineError if the environment names an engine that cannot be asked from here."""
    malloc.use_one_arena()  # before the first thread
    malloc.collect_less_often()
    settings = config.settings
    endpoint = engine_endpoint.resolve(os.environ)
    path, state = _remembered(settings, clock, is_reading=is_reading)
    host = _host(settings, clock, endpoint, path.parent / "locks")
    # A look must not create the file with the id: it may run as another user.
    known = identity.read(path.parent) if is_reading else _identity(path.parent)
    host.updater_id = known or NO_ID
    metrics = Metrics(enabled=settings.metrics_port is not None and not is_reading)
    metrics.start_from(state.counters)
    context = AppContext(
        config=config,
        store=StateStore(state, path, settings),
        host=host,
        targets=targets.open_all(host, bug),
        identities=targets.identities,
        registries=_registries(settings, clock, metrics, state, endpoint),
        journal=JournalFolder(path.parent / "journal", targets.read_plan),
        channels=notifiers.channels(settings, path.parent / "outbox"),
        metrics=metrics,
        clock=clock,
        progress=None if is_reading else _progress(clock),
        workers=Workers(clock.working, clock.signals.wake),
    )
    # Read at each use, so that a reload counts for the next update.
    context.slots.most = lambda: context.config.settings.parallel_updates
    if not is_reading:
        # Half-written records of a process that was killed; a look leaves them to the updater that owns them.
        context.journal.clear_strays()
        notifiers.drop_left(settings, path.parent / "outbox")
        for channel in context.channels:
            channel.outbox.clear_strays()
    return context


def _host(settings: Settings, clock: SystemClock, endpoint: EngineEndpoint, lock_folder: Path) -> Host:
    held_locks: dict[str, tuple[int, ...]] = {}
    return Host(
        engine=DockerEngine(endpoint, settings.path_map),
        compose=_compose(endpoint, settings, held_locks),
        files=files,
        clock=clock,
        lock_folder=lock_folder,
        lock_wait_seconds=_lock_wait_seconds(settings),
        own_container=own_container_id(),
        shared_places=SharedPlaces(),
        swarm=Swarms(endpoint, settings.engines),
        held_locks=held_locks,
        engine_environment=endpoint.environment(),
        settings=settings.targets,
    )


def _identity(folder: Path) -> str:
    """Return the id of this updater; log why it could not be kept, if it could not."""
    updater_id, note = identity.read_or_create(folder)
    if note:
        log_event(LOG, logging.WARNING, LogEvent.STATE_NOT_SAVED, note)
    return updater_id


def reload(context: AppContext, clock: SystemClock, environment: Mapping[str, str]) -> None:
    """Take a changed configuration over; a bad one is reported and the old one kept. The state's place stays.

    `environment`: what the process was born with (see `load_config`)."""
    try:
        config = load_config(environment)
    except ConfigError as error:
        text = "the changed configuration is rejected, the old one stays: " + "; ".join(error.problems)
        log_event(LOG, logging.ERROR, LogEvent.CONFIG_REFUSED, text)
        clock.manager.remark(text)
    else:
        clock.manager.remark("")
        _take_over(context, config, clock)


def _take_over(context: AppContext, config: Config, clock: SystemClock) -> None:
    for note in logging_utils.set_up(config.settings, sys.stderr):
        LOG.warning(note)
    wanted = config.settings.state_file
    if wanted != context.config.settings.state_file:
        text = f"STATE_FILE changed: restart the updater to move from {context.store.path} to {wanted}"
        log_event(LOG, logging.WARNING, LogEvent.CONFIG_LOADED, text)
    rewire(context, config, clock)
    log_event(LOG, logging.INFO, LogEvent.CONFIG_LOADED, f"{config.path}: {len(config.services)} services")


def rewire(context: AppContext, config: Config, clock: SystemClock) -> None:
    """Take a changed configuration into a running daemon's context; state, journal and backoffs stay."""
    settings = config.settings
    # Metrics that nobody fetches are not counted; the counters start from what is remembered.
    if address_of(config) != address_of(context.config):
        context.metrics = Metrics(enabled=settings.metrics_port is not None)
        context.metrics.start_from(context.state.counters)
    endpoint = engine_endpoint.resolve(os.environ)
    # A new client would forget what is cached of images and containers, so only a change that it needs makes
    # one.
    if settings.path_map != context.config.settings.path_map:
        context.host.engine = DockerEngine(endpoint, settings.path_map)
    context.config, context.store.settings = config, settings
    context.host.compose = _compose(endpoint, settings, context.host.held_locks)
    context.host.swarm = Swarms(endpoint, settings.engines)
    context.host.settings = settings.targets
    context.host.lock_wait_seconds = _lock_wait_seconds(settings)
    # A reload must not lift a pause that a registry asked for.
    registries = context.registries
    known = replace(
        context.state,
        backoffs=registries.backoffs(),
        outages=registries.outages(),
        refused_logins=registries.refused_logins(),
        comparisons=registries.comparisons(),
    )
    context.registries = _registries(settings, clock, context.metrics, known, endpoint)
    notifiers.drop_left(settings, context.folder / "outbox")
    context.channels = notifiers.channels(settings, context.folder / "outbox")


def _compose(
    endpoint: EngineEndpoint, settings: Settings, held_locks: Mapping[str, tuple[int, ...]]
) -> DockerCompose:
    """Compose, led to the very engine that we look at ourselves."""
    environment = {**os.environ, **endpoint.environment()}
    return DockerCompose(environment, settings.compose_timeout_seconds, held_locks)


def _lock_wait_seconds(settings: Settings) -> float:
    """Return how long to wait for a killed updater's lock: its Compose command may take all its time."""
    # Compose is ended by its own limit; the rest is for its clean-up.
    return settings.compose_timeout_seconds + 30


def _remembered(settings: Settings, clock: SystemClock, *, is_reading: bool) -> tuple[Path, State]:
    """Return the path of the state and the state; log what is wrong with either."""
    folder = Path(settings.state_backup_dir) if settings.state_backup_dir else None
    if is_reading:
        with contextlib.suppress(StateError):  # said by --plan before this, and by --test in its own line
            path, loaded = state_utils.look(Path(settings.state_file), folder)
            return path, loaded.state
        return Path(settings.state_file), State()
    path, note = state_utils.resolve_state_path(Path(settings.state_file))
    loaded = state_utils.load(path, folder, clock.now())
    if note:
        log_event(LOG, logging.WARNING, LogEvent.STATE_ELSEWHERE, note)
    if loaded.problem:
        log_event(LOG, logging.WARNING, LogEvent.STATE_RESTORED, loaded.problem)
    return path, loaded.state


def _progress(clock: SystemClock) -> Progress:
    """Return what hears each message of a pull: the service manager, and the terminal if there is one."""
    shown = pull_progress.for_stream(sys.stderr)

    def hear(message: Mapping[str, Any]) -> None:
        # A pull may take longer than the service manager's watchdog allows without a sign of life.
        clock.beat()
        if shown is not None:
            shown(message)

    return hear


def _registries(
    settings: Settings, clock: SystemClock, metrics: Metrics, known: State, endpoint: EngineEndpoint
) -> Registries:
    folder = os.environ.get("DOCKER_CONFIG")

    def requested(registry: str, kind: str, result: str) -> None:
        clock.beat()
        metrics.requested(registry, kind, result)

    return Registries(
        docker_config_dir=Path(folder) if folder else None,
        clock=clock,
        vendors=settings.vendors,
        on_request=requested,
        backoffs=known.backoffs,
        outages=known.outages,
        refused_logins=known.refused_logins,
        comparisons=known.comparisons,
        hub_mirrors=lambda: _mirrors(endpoint),
        hidden_variables=SECRET_VARIABLES,
    )


def _mirrors(endpoint: EngineEndpoint) -> tuple[str, ...]:
    """Return the engine's mirrors of Docker Hub; none if it does not answer.

    Docker Hub's own failure is said then.
    """
    engine = DockerEngine(endpoint)
    try:
        return engine.hub_mirrors()
    except EngineError:
        return ()
    finally:
        engine.close()


@contextlib.contextmanager
def only_instance(config: Config, clock: SystemClock) -> Iterator[None]:
    """Be the only updater of this state, and of the journal beside it, for the length of a block.

    Raises LockHeld if there is another one.
    """
    own = lock_path(config)
    of_folder = own.with_name(f"{state_utils.FALLBACK}.lock")
    with contextlib.ExitStack() as held:
        # The state's own lock first: its message names the updater that one would look for.
        held.callback(release_lock, acquire_lock(own, clock=clock))
        if of_folder != own:
            held.callback(release_lock, _lock_of_folder(of_folder, clock))
        yield


def _lock_of_folder(path: Path, clock: SystemClock) -> int:
    """Lock the folder of the state: two states in it would both recover what stands in the one journal."""
    try:
        return acquire_lock(path, clock=clock)
    except LockHeld as error:
        remedy = "give this one a STATE_FILE in a folder of its own, or stop the other one"
        raise LockHeld(f"{error}, which keeps its state in the same folder", remedy) from error


def lock_path(config: Config) -> Path:
    """Return the file that the updater of this state holds locked, with its process id in it."""
    path, _ = state_utils.resolve_state_path(Path(config.settings.state_file))
    return path.with_name(f"{path.name}.lock")
