"""The environment check behind `--test`: one line for everything an update needs, with what to do about it.

Reads and asks only; it writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from updater_core import files, observe
from updater_core.errors import UpdaterError
from updater_core.models import Hold, ImageRef, Reason, ServiceConfig
from updater_core.world import World

_LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    is_good: bool
    subject: str
    text: str
    remedy: str = ""

    def line(self) -> str:
        """
        >>> Finding(False, "engine", "no answer", "start it").line()
        'FAIL  engine: no answer -> start it'
        """
        head = f"{'ok  ' if self.is_good else 'FAIL'}  {self.subject}: {self.text}"
        return f"{head} -> {self.remedy}" if self.remedy and not self.is_good else head


def examine(world: World, only: str | None = None) -> Iterator[Finding]:
    """Every finding, as soon as it is known."""
    services = [service for service in world.config.services if service.enabled and only in (None, service.name)]
    yield Finding(
        True, "config", f"{world.config.path}: {len(services)} of {len(world.config.services)} services looked at"
    )
    yield _found("engine", lambda: f"Docker Engine {world.engine.version()} on {world.engine.platform()}")
    yield _found("compose", lambda: f"Docker Compose {world.compose.version}")
    for service in services:
        yield from _compose_findings(world, service)
    yield from _registry_findings(world, services)
    yield from _place_findings(world)


def _found(subject: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(True, subject, ask())
    except UpdaterError as error:
        return Finding(False, subject, str(error), error.remedy)


def _compose_findings(world: World, service: ServiceConfig) -> Iterator[Finding]:
    for path in service.compose_files if _needs_edit(service) else ():
        problem = files.objection(Path(path))
        if problem:
            yield Finding(False, service.name, *problem)
            return
    try:
        standing = observe.look(service, _roster(world), world.engine.image, world.memory)
    except UpdaterError as error:
        yield Finding(False, service.name, str(error), error.remedy)
        return
    if isinstance(standing, Hold):
        is_choice = standing.reason in (Reason.NOT_RUNNING, Reason.LOCALLY_BUILT)
        text = f"held, {standing.reason}: {standing.detail}" + (f" ({standing.remedy})" if is_choice else "")
        yield Finding(is_choice, service.name, text, standing.remedy)
        return
    where = ", ".join(standing.project.files)
    yield Finding(True, service.name, f"runs {standing.current.text} as project {standing.project.name} of {where}")
    for located in standing.located:
        if located.obstacle is not None and _needs_edit(service):
            yield Finding(False, service.name, located.obstacle.detail, located.obstacle.remedy)


def _roster(world: World) -> observe.Roster:
    return observe.roster(world.engine.compose_containers())


def _needs_edit(service: ServiceConfig) -> bool:
    policy = service.policy
    return bool(policy.tag_pattern or policy.tag_regex or policy.semver_pattern or policy.pin_digest)


def _registry_findings(world: World, services: list[ServiceConfig]) -> Iterator[Finding]:
    """Each repository once for each set of credentials."""
    asked: set[object] = set()
    for service in services:
        question = (service.image.key, service.registry)
        if question in asked:
            continue
        asked.add(question)
        subject = f"registry {service.image.key}"
        yield _found(subject, lambda s=service: _reached(world, s))  # type: ignore[misc]


def _reached(world: World, service: ServiceConfig) -> str:
    return world.registries.for_service(service.image, service.registry).check(_reference(world, service))


def _reference(world: World, service: ServiceConfig) -> ImageRef:
    """What the service's file says now: the tag in the configuration may be of long ago, and gone from the registry."""
    try:
        standing = observe.look(service, _roster(world), world.engine.known_image, world.memory)
    except UpdaterError:
        return service.image
    return service.image if isinstance(standing, Hold) else standing.current


def _place_findings(world: World) -> Iterator[Finding]:
    settings = world.config.settings
    yield _writable("state", world.state_path, "fix its permissions, or set STATE_FILE")
    yield _writable(
        "log", Path(settings.log_file), "fix its permissions, or set LOG_FILE; until then only stderr has it"
    )
    yield _found("disk", lambda: f"{files.free_bytes(world.state_path) // 1_000_000} MB free at {world.folder}")
    if files.free_bytes(world.state_path) < _LEAST_FREE_BYTES:
        yield Finding(
            False, "disk", "less than 1 GB is free, an image may not fit", "make room, e.g. `docker image prune`"
        )


def _writable(subject: str, path: Path, remedy: str) -> Finding:
    if files.is_writable(path):
        return Finding(True, subject, f"{path} can be written")
    return Finding(False, subject, f"{path} cannot be written", remedy)
