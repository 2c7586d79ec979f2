"""The Compose services that run on an engine, as entries of the configuration, and which `discover` takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from updater_core import reference
from updater_core.deploy.target import GroupFinder, Host
from updater_core.errors import ConfigError, UpdaterError
from updater_core.models import Config, Container, Discover, EntryReader, ImageRef, ServiceConfig
from updater_core.state.records import State
from updater_core.targets import entries, labels, own_service, swarm_discovery
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.compose.names import members_of
from updater_core.targets.compose.reading import origin
from updater_core.targets.entries import Names
from updater_core.targets.own_service import OwnService

_PROJECT_LABEL = "com.docker.compose.project."


@dataclass(frozen=True, slots=True)
class RunningService:
    """The running containers of one Compose service of one project."""

    project: str
    service: str
    containers: tuple[Container, ...]

    @property
    def first(self) -> Container:
        """Return its first container, which stands for all."""
        return self.containers[0]

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels of its first container."""
        return self.first.labels


def running_services(containers: Sequence[Container]) -> list[RunningService]:
    """Return the running Compose services among `containers`, by project and name."""
    found: dict[tuple[str, str], tuple[Container, ...]] = {}
    for container in containers:
        # A container that crashes and restarts is one that its operator wants up, and may need the next
        # release.
        if container.project and runs(container) and not _is_one_off(container):
            key = (container.project, container.service)
            found[key] = (*found.get(key, ()), container)
    return [RunningService(project, service, found[project, service]) for project, service in sorted(found)]


def _is_one_off(container: Container) -> bool:
    """Return whether a container is one of `docker compose run`, which no update is for."""
    return container.labels.get("com.docker.compose.oneoff", "").lower() == "true"


def runs(container: Container) -> bool:
    """Return whether a container is up, or Docker starts it again and again."""
    return container.status in ("running", "restarting")


# -------------------------------------------------------------------------------------------------- the entry


def proposed(
    one: RunningService, names: Names, given: frozenset[str], *, is_one_of_many: bool
) -> tuple[dict[str, Any], str]:
    """Return the entry for a service that is not listed, and a note if a part of it wants a reason.

    `given`: the keys that `defaults` sets; nothing else is proposed for those. `is_one_of_many`: other
    projects run the same service of the same file."""
    paths = files_of(one)
    image = image_of(one)
    entry: dict[str, Any] = {
        "name": names.unique(one.project, one.service),
        "image": image,
        "compose_file": paths[0] if len(paths) == 1 else list(paths),
        "compose_service": one.service,
    }
    # Only if the name is not what Compose would give anyway: an entry should say no more than it must.
    if is_one_of_many or one.project != origin.default_project_name(paths[0] if paths else ""):
        entry["compose_project"] = one.project
    policy, note = entries.policy_of(image, given)
    return {**entry, **policy}, note


def image_of(one: RunningService) -> str:
    """Return the reference it was created from, without a digest: the file says whether it is pinned."""
    text = one.first.reference
    try:
        parsed = reference.parse(text)
    except ValueError:
        return text
    return replace(parsed, digest=None).text if parsed.tag else text


def files_of(one: RunningService) -> tuple[str, ...]:
    """Return the paths that a service's containers were started from by their labels, there or not."""
    text = one.labels.get(f"{_PROJECT_LABEL}config_files", "")
    folder = one.labels.get(f"{_PROJECT_LABEL}working_dir", "/")
    # Only files that are there show where a comma divides two of them.
    there = origin.listed_files(one.first)
    if there is not None:
        return there
    return tuple(os.path.normpath(Path(folder) / part) for part in text.split(",") if part)


def is_one_of_many(one: RunningService, everyone: Sequence[RunningService]) -> bool:
    """Return whether the same service of the same files runs in several projects.

    Each entry names its own then.
    """
    paths = files_of(one)
    others = [each for each in everyone if each.service == one.service and each.project != one.project]
    return any(files_of(each) == paths for each in others)


def listed_as(services: Sequence[ServiceConfig], one: RunningService) -> ServiceConfig | None:
    """Return the entry of the configuration that means this service, or None if none does."""
    # By real paths: the configuration and the labels may lead through different links.
    own = {os.path.realpath(path) for path in files_of(one)}
    for service in services:
        is_named = one.service in service.compose_services
        is_of_project = service.own(ComposeSettings).compose_project in (None, one.project)
        if is_named and is_of_project and own & {os.path.realpath(path) for path in service.compose_files}:
            return service
    return None


# ----------------------------------------------------------------------------------- `discover` at each cycle


def take_up(config: Config, host: Host, state: State) -> Config:
    """Return the configuration with what `discover` finds beside the services of the file.

    Of Compose and of swarms, in place of what it found before.
    """
    found, own = _with_compose(config, host, state)
    return swarm_discovery.take_up(found, config, host.swarm, own.swarm_service)


def _with_compose(config: Config, host: Host, state: State) -> tuple[Config, OwnService]:
    """Return the configuration, and the updater's own service.

    If the engine does not answer, what was found before stays, with what is known of it.
    """
    listed = tuple(each for each in config.services if not each.is_discovered)
    if config.settings.discover.mode is Discover.OFF:
        return replace(config, services=listed), OwnService()
    try:
        containers = host.engine.all_containers()
    # An engine that is away has no fewer services.
    except UpdaterError:
        return config, OwnService()
    own = own_service.find(containers, host.own_container)
    others = [each for each in containers if not own.is_container(each)]
    found = unlisted(replace(config, services=listed), state, others, host.shared_places)
    return replace(config, services=(*listed, *found)), own


def with_remembered(config: Config, state: State) -> Config:
    """Return the configuration with the services that `discover` found in an earlier cycle, by name alone.

    What is remembered of them can be shown without asking the engine.
    """
    if config.settings.discover.mode is Discover.OFF:
        return config
    listed = {service.name for service in config.services}
    remembered = [
        ServiceConfig(name, reference.parse(known.reference or "unknown"), (), (), is_discovered=True)
        for name, known in sorted(state.services.items())
        if name not in listed
    ]
    return replace(config, services=(*config.services, *remembered))


def unlisted(
    config: Config, state: State, containers: Sequence[Container], shared: GroupFinder | None
) -> tuple[ServiceConfig, ...]:
    """Return each service that is not in `config` and is to be looked after, groups as one.

    One whose labels are wrong is returned with its problem: it is held with it, and stops nobody else.
    """
    names = Names(config.services)
    # Each by itself first: whether they can be one is judged by what their own labels say.
    alone = list(_ungrouped(config, state, containers, names))
    if not alone:
        return ()
    reader = entries.reader(config)
    found = _together(alone, names, shared, reader)
    taken = {service.name for service in config.services}
    for number, key, wrong in reader.group_problems(found):
        # Held alone, so that a wrong label on one service stops no other of the group.
        found[number] = replace(found[number], group=None, problem=f"label {labels.LABEL}{key}: {wrong}")
    for number, service in enumerate(found):
        if service.group in taken:
            wrong = (
                f"label {labels.LABEL}group: a service of the configuration is called {service.group}; "
                "write another"
            )
            found[number] = replace(service, group=None, problem=wrong)
    return reader.grouped(found)


def _together(
    found: Sequence[tuple[RunningService, ServiceConfig]],
    names: Names,
    shared: GroupFinder | None,
    reader: EntryReader,
) -> list[ServiceConfig]:
    """Return the services; those that take their image from one place in their files as one group.

    If they can be one. A label that names a group counts for all of them. The stricter mode does, too: what
    is only notified of for one is so for all.
    """
    services = {(one.project, one.service): service for one, service in found}
    free = [one.first for one, service in found if service.enabled and not service.problem]
    for keys in shared.groups(free) if shared is not None else ():
        members = [services[key] for key in sorted(keys)]
        given = {each.group for each in members if each.group}
        if len(given) > 1 or (given and all(each.group for each in members)):
            continue  # its operator has said which groups there are
        grouped = _as_one(members, given.pop() if given else names.free(min(keys)[0]), reader)
        services |= dict(zip(sorted(keys), grouped, strict=True))
    return list(services.values())


def _as_one(members: Sequence[ServiceConfig], name: str, reader: EntryReader) -> list[ServiceConfig]:
    """Return the services with a group; as they are if their labels say different things.

    Nobody but their operator can decide that: each is then held, with what to write.
    """
    mode = entries.strictest(each.policy.mode for each in members)
    grouped = [replace(each, group=name, policy=replace(each.policy, mode=mode)) for each in members]
    return list(members) if list(reader.group_problems(grouped)) else grouped


def _ungrouped(
    config: Config, state: State, containers: Sequence[Container], names: Names
) -> Iterator[tuple[RunningService, ServiceConfig]]:
    settings = config.settings.discover
    everyone = _lasting_services(state, containers)
    for one in everyone:
        is_left_out = not files_of(one) or listed_as(config.services, one) is not None
        if is_left_out or not is_wanted(one, settings.mode, settings.exclude):
            continue
        entry, _ = proposed(
            one, names, entries.default_keys(config), is_one_of_many=is_one_of_many(one, everyone)
        )
        yield one, _discovered(config, entry, one)


def _lasting_services(state: State, containers: Sequence[Container]) -> list[RunningService]:
    """Return the services that run, and those that do not just now and are remembered: they stay known."""
    running = running_services(containers)
    # A service that is stopped for an hour must not lose its quarantine and history.
    seen = {(one.project, one.service) for one in running}
    stopped = [
        replace(each, status="running") for each in containers if (each.project, each.service) not in seen
    ]
    names = Names(())
    remembered = state.services.keys()
    grouped = labels.LABEL + "group"
    known = [
        one
        for one in running_services(stopped)
        if {names.unique(one.project, one.service), one.labels.get(grouped, "")} & remembered
        or _is_in_remembered_group(one, state)
    ]
    return sorted([*running, *known], key=lambda one: (one.project, one.service))


def _is_in_remembered_group(one: RunningService, state: State) -> bool:
    """Return whether a service is one of a group that has a memory, whatever that is called."""
    paths = files_of(one)
    members = [members_of(known.update_group) for known in state.services.values()]
    return any(path in paths and one.service in services for path, services in members)


def _discovered(config: Config, entry: Mapping[str, Any], one: RunningService) -> ServiceConfig:
    problems = entries.label_problems(config, one.labels)
    if not problems:
        try:
            service = entries.read_entry(config, entries.with_labels(config, entry, one.labels))
        except ConfigError as error:
            problems = list(error.problems)
        else:
            return replace(service, is_discovered=True)
    return replace(entries.read_entry(config, entry), is_discovered=True, problem="; ".join(problems))


def is_wanted(one: RunningService, mode: Discover, exclude: Sequence[str]) -> bool:
    """Return whether a service that is not listed is taken up.

    Whoever said yes or no by Watchtower's label is believed.
    """
    said = labels.wants(one.labels)
    if said is False or mode is Discover.OFF or (mode is Discover.LABELLED and said is None):
        return False
    return not any(_matches(one, glob) for glob in exclude)


def _matches(one: RunningService, glob: str) -> bool:
    """Return whether a glob of `discover_exclude` means this service: project, name, both, or image."""
    names = (
        one.project,
        one.service,
        f"{one.project}/{one.service}",
        *_image_names(one.first.reference),
    )
    return any(fnmatchcase(name, glob) for name in names)


def _image_names(text: str) -> tuple[str, ...]:
    try:
        parsed: ImageRef = reference.parse(text)
    except ValueError:
        return (text,)
    return text, parsed.name, parsed.key, parsed.repository
