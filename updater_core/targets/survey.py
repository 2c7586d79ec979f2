"""Everything that runs on this engine, for `--discover`: how to configure it, and what stands in the way.

Reads only; nothing is updated by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from updater_core import reference
from updater_core.composefile import edit
from updater_core.deploy.discovered import Discovered, FoundService, LeftOut, Obstacle
from updater_core.deploy.target import Target
from updater_core.errors import ConfigError
from updater_core.models import Config, Container, Discover, Hold, Mode, ServiceConfig
from updater_core.protocols import Engine
from updater_core.targets import access, discovery, entries, labels, own_service, swarm_discovery
from updater_core.targets.compose.reading import origin, sources
from updater_core.targets.compose.reading.sources import FileCache
from updater_core.targets.discovery import RunningService
from updater_core.targets.entries import Names
from updater_core.targets.own_service import OwnService
from updater_core.targets.sharing import Key, SharedPlaces
from updater_core.targets.swarm_discovery import Swarms

_SWARM_LABEL = "com.docker.swarm.task.id"
_TASK = "a task of a Swarm service: run this on a manager of the swarm"
_NO_FILES = Obstacle(
    "its containers do not say which compose file they were started from",
    "start it once from a file: `docker compose -f FILE up -d`",
)
_WATCHTOWER = (
    "another updater, and two must not look after one service: `docker stop NAME && docker update "
    "--restart=no NAME`"
)
_OURSELVES = "the updater itself: it does not restart itself in the middle of its work"
_LABEL_REMEDY = "correct the label, apply it with `docker compose up -d`, and run this again"


@dataclass(frozen=True, slots=True)
class HostSurvey:
    """One look at everything that runs.

    It is held against the configuration; the engine and the targets are asked. `own_container`: the id of the
    container that this process runs in, None if it runs in none.
    """

    config: Config
    engine: Engine
    targets: Mapping[str, Target]
    own_container: str | None = None
    swarm: Swarms | None = None  # whose services are looked at too

    def run(self) -> Discovered:
        """Return everything that runs on the engine, and in swarms, with what is in the way of updates."""
        containers = self.engine.all_containers()
        own = own_service.find(containers, self.own_container)
        found = self._on_engine(containers, own)
        if self.swarm is None:
            return found
        of_swarms = swarm_discovery.survey(
            self.config, self.swarm, self._obstacles, own.swarm_service
        ).services
        tasks = tuple(each for each in found.left_out if of_swarms and each.why == _TASK)
        kept = tuple(each for each in found.left_out if each not in tasks)
        return replace(found, services=(*found.services, *of_swarms), left_out=kept)

    def _on_engine(self, containers: Sequence[Container], own: OwnService) -> Discovered:
        others = [each for each in containers if not own.is_container(each)]
        everyone = discovery.running_services(others)
        names = Names(self.config.services)
        left_out = {(one.project, one.service): why for one in everyone if (why := self._why_left_out(one))}
        kept = [one for one in everyone if (one.project, one.service) not in left_out]
        found = [(one, self._found(one, names, kept)) for one in kept]
        services = tuple(_grouped(found, names, self.config))
        refused = [_refused(one, left_out) for one in everyone if one not in kept]
        plain = [_left_out(each) for each in others if not each.project and discovery.runs(each)]
        return Discovered(services, (*self._ourselves(own), *refused, *plain), _grants(kept))

    def _ourselves(self, own: OwnService) -> Iterator[LeftOut]:
        """Return the updater's own container, with how it is updated."""
        container = own.container
        if container is not None:
            why = f"{_OURSELVES}; {own_service.remedy(own, self.engine)}"
            yield LeftOut(container.name, container.reference, why)

    def _why_left_out(self, one: RunningService) -> str:
        """Return why a service is left out; empty if it is not. What is listed counts as wanted."""
        if discovery.listed_as(self.config.services, one) is not None:
            return ""
        if labels.is_watchtower(one.labels):
            return _WATCHTOWER.replace("NAME", one.first.name)
        return "" if discovery.is_wanted(one, Discover.ALL, ()) else labels.SAID_NO

    def _found(self, one: RunningService, names: Names, everyone: Sequence[RunningService]) -> FoundService:
        listed = discovery.listed_as(self.config.services, one)
        paths, image = discovery.files_of(one), one.first.reference
        if listed is not None:
            found = FoundService(listed.name, image, paths, {}, is_listed=True, follows=_followed(listed))
            is_on = listed.enabled
            return replace(found, is_enabled=is_on, obstacles=tuple(self._obstacles(listed)) if is_on else ())
        if not paths:
            return FoundService(names.unique(one.project, one.service), image, (), {}, obstacles=(_NO_FILES,))
        is_one_of_many = discovery.is_one_of_many(one, everyone)
        given = entries.default_keys(self.config)
        entry, note = discovery.proposed(one, names, given, is_one_of_many=is_one_of_many)
        labelled = entries.with_labels(self.config, entry, one.labels)
        found = FoundService(entry["name"], image, paths, labelled, note=note)
        lasting = (*_label_obstacles(self.config, one), *_missing(paths), *self._registry_obstacles(one))
        if lasting:  # an entry would be held for ever, or be no good configuration
            return replace(found, entry={}, obstacles=lasting)
        try:
            service = entries.read_entry(self.config, found.entry)
        except ConfigError as error:
            wrong = tuple(Obstacle(problem, _remedy_of_entry(one)) for problem in error.problems)
            return replace(found, entry={}, obstacles=wrong)
        return replace(found, follows=_followed(service), obstacles=tuple(self._obstacles(service)))

    def _registry_obstacles(self, one: RunningService) -> Iterator[Obstacle]:
        """Yield an obstacle if the image has no registry's digest: it was built here, or loaded."""
        image = self.engine.known_image(one.first.image_id)
        if image is not None and not image.repo_digests:
            text = f"{one.first.reference} came from no registry: it was built or loaded on this host"
            yield Obstacle(text, "leave it out, or push it to a registry and start the service from there")

    def _obstacles(self, service: ServiceConfig) -> Iterator[Obstacle]:
        """Return what `--test` would say of the service, if it were in the configuration."""
        target = next(each for each in self.targets.values() if each.serves(service))
        for finding in target.examine(service):
            if not finding.is_good:
                yield Obstacle(finding.text, finding.remedy)


def _followed(service: ServiceConfig) -> str:
    """Return what the updater follows for a service, in a word or two."""
    if not service.enabled:
        return "disabled"
    policy = service.policy
    patterns = {key: getattr(policy, key) for key in ("semver_pattern", "tag_pattern", "tag_regex")}
    given = [f"{key} {value}" for key, value in patterns.items() if value]
    followed = given[0] if given else policy.follow.value
    return f"{followed}, notify only" if policy.mode is Mode.NOTIFY else followed


def _refused(one: RunningService, why: Mapping[tuple[str, str], str]) -> LeftOut:
    return LeftOut(one.first.name, one.first.reference, why[one.project, one.service])


def _left_out(container: Container) -> LeftOut:
    if labels.is_watchtower(container.labels):
        why = _WATCHTOWER.replace("NAME", container.name)
    elif _SWARM_LABEL in container.labels:
        why = _TASK
    else:
        why = "no Compose service: write a compose file for it and start it with `docker compose up -d`"
    return LeftOut(container.name, container.reference, why)


def _label_obstacles(config: Config, one: RunningService) -> Iterator[Obstacle]:
    for problem in entries.label_problems(config, one.labels):
        yield Obstacle(problem, _LABEL_REMEDY)


def _remedy_of_entry(one: RunningService) -> str:
    """Return the remedy for an entry of ours, which is wrong only if no registry could have its image."""
    try:
        reference.parse(one.first.reference)
    except ValueError:
        return "start the service from an image with a name, or leave it out"
    return _LABEL_REMEDY


def _missing(paths: Sequence[str]) -> Iterator[Obstacle]:
    """Yield an obstacle for files that are missing: a manager in a container has them at its own paths."""
    missing = [path for path in paths if not access.is_there_or_closed(path)]
    if missing:
        folder = Path(missing[0]).parent
        text = (
            f"{', '.join(missing)} is not on this host: was it started by a manager in a container, or moved?"
        )
        remedy = (
            f"give the folder that path here, too: `sudo ln -s FOLDER {folder}`; or start it from a "
            "file that stays"
        )
        yield Obstacle(text, remedy)


def _grants(everyone: Sequence[RunningService]) -> tuple[str, ...]:
    """Return the commands that let this user at every file that Compose reads for these services."""
    memory = FileCache()
    projects = {origin.started_from(one.first): one for one in everyone}
    paths = [path for one in everyone for path in discovery.files_of(one)]
    for project in projects:
        read = sources.read(project, memory)
        if not isinstance(read, Hold):
            files, env_files = read
            paths += [file.path for file in (*files, *env_files)]
    folders = [str(Path(path).parent) for one in everyone for path in discovery.files_of(one)]
    return access.grants(paths, folders)


# -------------------------------------------------------------------------------- what can only move together

_NOTE = "it takes its image from the same place as {others}, so that they move together"


def _grouped(
    found: Sequence[tuple[RunningService, FoundService]], names: Names, config: Config
) -> Iterator[FoundService]:
    """Yield the services, with a group if they take their image from one place and are all new."""
    services = {_key(one): service for one, service in found}
    proposals: dict[Key, tuple[str, list[FoundService]]] = {}
    for keys in SharedPlaces().groups([one.first for one, service in found if service.entry]):
        members = [services[key] for key in sorted(keys)]
        given = {str(each.entry["group"]) for each in members if "group" in each.entry}
        if len(given) < 2:  # else its operator has said by labels which groups there are
            name = given.pop() if given else names.free(min(keys)[0])
            proposals |= dict.fromkeys(keys, (name, members))
    for one, service in found:
        yield _with_group(service, *proposals[_key(one)], config) if _key(one) in proposals else service


def _key(one: RunningService) -> Key:
    return one.project, one.service


def _with_group(
    service: FoundService, name: str, members: Sequence[FoundService], config: Config
) -> FoundService:
    """Return the service with the group, if all can be one; the stricter mode counts for all."""
    own = [entries.read_entry(config, {**each.entry, "group": name}) for each in members]
    strictest = entries.strictest(each.policy.mode for each in own)
    mode = {"mode": strictest.value} if any(each.policy.mode is not strictest for each in own) else {}
    read = [entries.read_entry(config, {**each.entry, "group": name, **mode}) for each in members]
    if list(entries.reader(config).group_problems(read)):
        return service
    others = " and ".join(each.name for each in members if each is not service)
    note = "; ".join(filter(None, (service.note, _NOTE.format(others=others))))
    return replace(
        service, entry={**service.entry, "group": name, **mode}, note=note, obstacles=_alone(service)
    )


def _alone(service: FoundService) -> tuple[Obstacle, ...]:
    """Return the obstacles but for the one that the group takes away."""
    return tuple(each for each in service.obstacles if edit.SHARED_PLACE not in each.text)
