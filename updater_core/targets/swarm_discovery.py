"""The services of swarms, as entries of the configuration: this host's swarm, and those of `engines`.

Labels are those of the service (`deploy.labels` in a stack's file). Where a stack's file is, nobody says, so
that an entry names none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from updater_core import reference
from updater_core.deploy.discovered import Discovered, FoundService, Obstacle
from updater_core.errors import ConfigError, UpdaterError
from updater_core.models import Config, Discover, ServiceConfig
from updater_core.protocols import Swarm
from updater_core.targets import entries, labels
from updater_core.targets.entries import Names
from updater_core.targets.swarm import observed
from updater_core.targets.swarm.entry.settings import SwarmSettings
from updater_core.targets.swarm.facts import SwarmService

Swarms = Callable[[str | None], Swarm]
_FILE_NOTE = (
    "add `compose_file` if the stack's file is here: without it your next `docker stack deploy` goes back"
)


@dataclass(frozen=True, slots=True)
class RunningSwarmService:
    """A service of a swarm, and the one of `engines` that it was found by."""

    found: SwarmService
    engine: str | None

    @property
    def service(self) -> str:
        """Return its name within its stack."""
        return self.found.name.removeprefix(f"{self.found.stack}_")

    def names(self) -> tuple[str, ...]:
        """Return what a glob of `discover_exclude` may mean: stack, service, both, name, image."""
        image = image_of(self.found)
        stack = self.found.stack or self.service
        return (
            stack,
            self.service,
            f"{stack}/{self.service}",
            self.found.name,
            image,
            image.partition(":")[0],
        )


def image_of(found: SwarmService) -> str:
    """Return the image of a service without its digest; as it is if it is none."""
    try:
        parsed = reference.parse(found.image)
    except ValueError:
        return found.image
    return replace(parsed, digest=None).text if parsed.tag else found.image


def running(config: Config, swarm: Swarms) -> Iterator[tuple[str | None, list[RunningSwarmService] | None]]:
    """Yield the services of each swarm by its engine, sorted by name; None if it is none, or is silent."""
    for engine in (None, *(each.name for each in config.settings.engines)):
        try:
            known = observed.by_name(swarm(engine).services())
        except UpdaterError:
            yield engine, None
        else:
            yield engine, [RunningSwarmService(known[name], engine) for name in sorted(known)]


def take_up(config: Config, before: Config, swarm: Swarms, own: str = "") -> Config:
    """Return the configuration with what `discover` finds in swarms, in place of what it found `before`.

    What was found in one that does not answer stays, with what is known of it. `own`: the id of the updater's
    own service, which is left alone; empty if it is none of a swarm.
    """
    mode, exclude = config.settings.discover.mode, config.settings.discover.exclude
    # Discovery begins anew each time, so what it found before is no entry of the operator's.
    former = [each for each in before.services if each.is_discovered and _is_of_swarm(each)]
    listed = replace(config, services=tuple(each for each in config.services if each not in former))
    if mode is Discover.OFF:
        return listed
    names, services = Names(listed.services), list(listed.services)
    for engine, everyone in running(config, swarm):
        # A manager that is away for one cycle must not make the updater forget quarantine and history.
        if everyone is None:
            services += [each for each in former if each.own(SwarmSettings).engine == engine]
            continue
        others = [each for each in everyone if each.found.id != own]
        wanted = [
            each for each in others if _is_wanted(each, mode, exclude) and _is_new(each, listed.services)
        ]
        services += [_discovered(listed, each, names) for each in wanted]
    return replace(listed, services=tuple(services))


def survey(
    config: Config, swarm: Swarms, examine: Callable[[ServiceConfig], Iterator[Obstacle]], own: str = ""
) -> Discovered:
    """Return the services of all swarms but the updater's `own`, with what is in the way of updates."""
    names, found = Names(config.services), []
    for _, everyone in running(config, swarm):
        for one in everyone or ():
            if _is_wanted(one, Discover.ALL, ()) and one.found.id != own:
                found.append(_found(config, one, names, examine))
    return Discovered(tuple(found))


def _found(
    config: Config,
    one: RunningSwarmService,
    names: Names,
    examine: Callable[[ServiceConfig], Iterator[Obstacle]],
) -> FoundService:
    listed = next((each for each in config.services if _means(each, one)), None)
    image = image_of(one.found)
    if listed is not None:
        found = FoundService(
            listed.name, image, listed.compose_files, {}, is_listed=True, follows=listed.policy.follow.value
        )
        is_on = listed.enabled
        return replace(found, is_enabled=is_on, obstacles=tuple(examine(listed)) if is_on else ())
    entry, note = _proposed(config, one, names)
    labelled = entries.with_labels(config, entry, one.found.labels)
    found = FoundService(entry["name"], image, (), labelled, note=note)
    problems = entries.label_problems(config, one.found.labels)
    obstacles = [Obstacle(text, "correct the label of the service") for text in problems]
    try:
        service = entries.read_entry(config, found.entry)
    except ConfigError as error:
        obstacles += [Obstacle(problem, "correct the label of the service") for problem in error.problems]
    if obstacles:
        return replace(found, entry={}, obstacles=tuple(obstacles))
    return replace(found, follows=service.policy.follow.value, obstacles=tuple(examine(service)))


def _proposed(config: Config, one: RunningSwarmService, names: Names) -> tuple[dict[str, Any], str]:
    """Return the entry for a service that is not listed, and why it is so."""
    found, image = one.found, image_of(one.found)
    stack = found.stack
    place = {"stack": stack, "compose_service": one.service} if stack else {"swarm_service": found.name}
    engine = {"engine": one.engine} if one.engine else {}
    name = names.unique(stack or one.service, one.service)
    policy, note = entries.policy_of(image, entries.default_keys(config))
    return {"name": name, "image": image, **place, **engine, **policy}, note or (_FILE_NOTE if stack else "")


def _discovered(config: Config, one: RunningSwarmService, names: Names) -> ServiceConfig:
    entry, _ = _proposed(config, one, names)
    said = one.found.labels
    problems = entries.label_problems(config, said)
    if not problems:
        try:
            return replace(
                entries.read_entry(config, entries.with_labels(config, entry, said)), is_discovered=True
            )
        except ConfigError as error:
            problems = list(error.problems)
    return replace(entries.read_entry(config, entry), is_discovered=True, problem="; ".join(problems))


def _is_wanted(one: RunningSwarmService, mode: Discover, exclude: Sequence[str]) -> bool:
    said = labels.wants(one.found.labels)
    # An update of a job runs it at once, so a job is never taken up unasked, whatever the mode.
    is_asked_for = mode is Discover.LABELLED or one.found.is_job
    if said is False or (is_asked_for and said is None):
        return False
    return not any(fnmatchcase(name, glob) for name in one.names() for glob in exclude)


def _is_new(one: RunningSwarmService, services: Sequence[ServiceConfig]) -> bool:
    return not any(_means(each, one) for each in services)


def _means(service: ServiceConfig, one: RunningSwarmService) -> bool:
    """Return whether an entry of the configuration is for a service of a swarm."""
    is_there = _is_of_swarm(service) and service.own(SwarmSettings).engine == one.engine
    return is_there and observed.name_of(service) == one.found.name


def _is_of_swarm(service: ServiceConfig) -> bool:
    return observed.is_of_swarm(service)
