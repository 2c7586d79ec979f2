"""What people are shown of a Compose service: what a plan would change, and what an update would need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from updater_core.composefile import edit
from updater_core.deploy.target import Finding
from updater_core.errors import UpdaterError
from updater_core.host import files, locks, permissions
from updater_core.models import Container, Hold, ImageRef, Plan, Reason, ServiceConfig
from updater_core.policy.families import selector_of
from updater_core.protocols import Engine
from updater_core.targets import diff
from updater_core.targets.compose import observe
from updater_core.targets.compose.plan import ComposePlan
from updater_core.targets.compose.reading import origin, stopped
from updater_core.targets.compose.reading.observed import ObservedService
from updater_core.targets.compose.reading.sources import FileCache
from updater_core.targets.compose.start_first import conditions


@dataclass(frozen=True, slots=True)
class Ahead:
    """What would be true of the next update.

    `moving` gives the services whose image it changes, `closed` what goes with these containers and cannot be
    read, before the group's own files can be, `holds` everything that it would be held for before it begins.
    All raise ComposeError and EngineError.
    """

    moving: Callable[[ObservedService], Sequence[str]]
    closed: Callable[[Sequence[Container]], Iterable[Hold]]
    holds: Callable[[ObservedService], Iterable[Hold]]


def plan_lines(plan: Plan[ComposePlan]) -> list[str]:
    """Return what happens to the containers if it is no recreate, and each file's exact change, as lines."""
    edits = plan.detail.edits
    changes = [line for each in edits for line in diff.lines_of(each)]
    changes += [f"also:      {note}" for note in plan.detail.also_changed]
    return [*_order_lines(plan), *(changes or ["file:      unchanged, its reference stays"])]


def dependent_lines(detail: ComposePlan, resting: Iterable[Container]) -> Iterator[str]:
    """Yield what happens to containers of other projects, a line each.

    To those that are restarted behind the group, and to those that do not run (`resting`), which the group's
    new containers leave behind.
    """
    for each in detail.dependent_projects:
        services = ", ".join(move.service for move in each.moves)
        yield (
            f"with it:   project {each.project.name} ({', '.join(each.project.files)}): {services}, as it is"
        )
    for one in resting:
        how = (
            f"`{origin.by_hand_of(one, f'up -d --force-recreate {one.service}')}`"
            if one.project
            else "`docker run`"
        )
        yield f"left:      {one.name} does not run; it is to be made anew before it is started again ({how})"


def _order_lines(plan: Plan[ComposePlan]) -> Iterator[str]:
    if plan.strategy != conditions.START_FIRST:
        return
    handover = plan.detail.handover
    drained = f"drained by `{shlex.join(handover.drain_command)}`, " if handover.drain_command else ""
    waited = f"left for {handover.drain_seconds:g} s, " if handover.drain_seconds else ""
    yield f"order:     start-first; the old containers are then {drained}{waited}stopped and removed"


def findings(service: ServiceConfig, engine: Engine, memory: FileCache, ahead: Ahead) -> Iterator[Finding]:
    """Yield what stands in the way of an update of the service, or that it runs."""
    try:
        containers = engine.compose_containers()
        mine = [each for each in containers if _is_started_with(each, service)]
        yield from _closed_findings(service, mine)
        # Nothing of the project can be judged without its files; what else is closed is named too, so that
        # one command opens all.
        if not all(os.access(path, os.R_OK) for path in service.compose_files):
            yield from (_held(service, hold) for hold in ahead.closed(mine))
            return
        known = observe.container_index(containers)
        observed = observe.look(service, known, engine.image, memory, engine.container)
    except UpdaterError as error:
        yield Finding(False, service.name, str(error), error.remedy)
        return
    if isinstance(observed, Hold):
        needs_word = _needs_word(service, observe.containers_of(service, known, memory), engine)
        is_stopped = observed.reason is Reason.NOT_RUNNING and not needs_word
        is_choice = is_stopped or observed.reason is Reason.LOCALLY_BUILT
        text = f"held, {observed.reason}: {observed.detail}" + (f" ({observed.remedy})" if is_choice else "")
        yield Finding(is_choice, service.name, text, observed.remedy)
        return
    where = ", ".join(observed.project.files)
    references = [observed.current, *(each.current for each in observed.others)]
    images = ", ".join(reference.text for reference in references)
    yield Finding(True, service.name, f"runs {images} as project {observed.project.name} of {where}")
    yield from _lock_findings(service, observed.project.directory)
    if needs_edit(service, observed.current):
        yield from _edit_findings(service, observed, ahead)
    yield from _preflight_findings(service, observed, ahead)


def _lock_findings(service: ServiceConfig, folder: str) -> Iterator[Finding]:
    problem = locks.folder_objection(Path(folder))
    if problem:
        text = f"{problem}; a second updater with another state is not kept out of this project"
        yield Finding(True, service.name, text, "let one updater alone look after it", is_warning=True)


def _held(service: ServiceConfig, hold: Hold) -> Finding:
    return Finding(False, service.name, f"held, {hold.reason}: {hold.detail}", hold.remedy)


def _is_started_with(container: Container, service: ServiceConfig) -> bool:
    """Return whether a container is the service's by its labels, whether its files can be seen or not."""
    is_named = container.service in service.compose_services
    return is_named and bool(observe.files_started_with(container, service.compose_files))


def _closed_findings(service: ServiceConfig, mine: Sequence[Container]) -> Iterator[Finding]:
    """Yield every file of the project that this user may not read, or edit if an update edits it.

    All at once, for what lies behind one that is closed is seen only when it is open.
    """
    is_edited = needs_edit(service, service.image)
    for path in service.compose_files:
        if is_edited or not os.access(path, os.R_OK):
            problem = files.objection(Path(path))
            if problem:
                yield Finding(False, service.name, *problem)
    started_with = {path for each in mine for path in observe.files_started_with(each, service.compose_files)}
    for path in sorted(started_with - set(service.compose_files)):
        problem = None if os.access(path, os.R_OK) else files.objection(Path(path))
        if problem and (os.path.exists(path) or permissions.closed_above(Path(path))):  # noqa: PTH110
            yield Finding(False, service.name, *problem)


def _preflight_findings(service: ServiceConfig, observed: ObservedService, ahead: Ahead) -> Iterator[Finding]:
    """Return everything that the next update would be held for before it begins."""
    try:
        for hold in ahead.holds(observed):
            yield _held(service, hold)
    except UpdaterError as error:
        yield Finding(False, service.name, str(error), error.remedy)


def _edit_findings(service: ServiceConfig, observed: ObservedService, ahead: Ahead) -> Iterator[Finding]:
    """Yield what stands in the way of writing the image, in each place, also in a project's `.env`."""
    checked = set(service.compose_files)
    takers = frozenset[str]().union(*(located.takers for located in observed.located))
    services = (
        _moving(service, observed, ahead)
        if takers > set(service.compose_services)
        else service.compose_services
    )
    shared = {edit.shared_place(services, located.takers) for located in observed.located}
    for text, remedy in sorted(filter(None, shared)):
        yield Finding(False, service.name, text, remedy)
    for located in observed.located:
        if located.obstacle is not None:
            yield Finding(False, service.name, located.obstacle.detail, located.obstacle.remedy)
        path = located.place.path if located.place else None
        if path is None or path in checked:
            continue
        checked.add(path)
        problem = files.objection(Path(path))
        if problem:
            yield Finding(False, service.name, *problem)


def _moving(service: ServiceConfig, observed: ObservedService, ahead: Ahead) -> Sequence[str]:
    """Return the services that move with this one: the configured ones, and the one-shots that go along.

    A project that Compose cannot read is named by the other findings.
    """
    try:
        return ahead.moving(observed)
    except UpdaterError:
        return service.compose_services


def _needs_word(service: ServiceConfig, containers: Sequence[Container], engine: Engine) -> bool:
    try:
        return stopped.needs_word(service.compose_services, observe.inspected(containers, engine.container))
    except UpdaterError:
        return True


def needs_edit(service: ServiceConfig, current: ImageRef) -> bool:
    """Return whether an update writes the service's file: what follows the digest behind a tag does not."""
    return service.policy.pin_digest or selector_of(service.policy, current) is not None
