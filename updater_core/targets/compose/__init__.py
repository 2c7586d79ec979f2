"""Services that a Docker Compose project on this host runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from updater_core.deploy.target import NO_ID, Finding, Host, Observed, Reporter, UpdateRequest
from updater_core.errors import UpdaterError
from updater_core.host.locks import acquire_folder_lock, acquire_lock, release_lock
from updater_core.models import Container, Hold, Plan, Project, Reason, ServiceConfig
from updater_core.protocols import Tools
from updater_core.targets import retention
from updater_core.targets.compose import observe, planner, report
from updater_core.targets.compose.dependents import find, ties
from updater_core.targets.compose.dependents.ties import TieCache
from updater_core.targets.compose.deployment import ComposeDeployment
from updater_core.targets.compose.entry.settings import NAME
from updater_core.targets.compose.names import identity
from updater_core.targets.compose.observe import ContainerIndex
from updater_core.targets.compose.plan import ComposePlan, DependentProject, Move, former_plan
from updater_core.targets.compose.preflight import env_file_readers, home, other_projects
from updater_core.targets.compose.reading import one_shots, origin
from updater_core.targets.compose.reading.observed import ObservedService, refreshed
from updater_core.targets.compose.reading.sources import FileCache
from updater_core.targets.compose.start_first import conditions

__all__ = ["NAME", "ComposePlan", "ComposeTarget", "PlanDetail", "former_plan", "identity", "open_target"]

PlanDetail = ComposePlan


class ComposeTarget:
    """`deploy.target.Target` for Compose projects.

    `on_bug` turns an error that nobody foresaw into a Hold.
    """

    name = NAME

    def __init__(self, host: Host, on_bug: Callable[[str, Exception], Hold]) -> None:
        self._host, self._on_bug = host, on_bug
        self._files = FileCache()
        self._ties = TieCache(host.engine)

    def serves(self, service: ServiceConfig) -> bool:
        return bool(service.compose_files)

    def check(self, services: Sequence[ServiceConfig]) -> str:  # noqa: ARG002 - all of them have one engine
        return self._host.engine.version()

    def asks_engine(self, services: Sequence[ServiceConfig]) -> bool:  # noqa: ARG002 - as above
        return True

    def examine_host(self) -> Iterator[Finding]:
        try:
            yield Finding(True, NAME, f"Docker Compose {self._host.compose.version}")
        except UpdaterError as error:
            yield Finding(False, NAME, str(error), error.remedy)
        if self._host.updater_id != NO_ID:
            with suppress(UpdaterError):  # an engine that is away is a finding of its own
                said = retention.of_others(self._host.engine, self._host.updater_id)
                yield from (Finding(True, "retained images", each) for each in said)

    def apply_command(self, service: ServiceConfig) -> str:  # noqa: ARG002 - one for all
        return "docker compose up -d"

    def files(self, service: ServiceConfig) -> Sequence[str]:
        return service.compose_files

    def platform(self, service: ServiceConfig) -> str:  # noqa: ARG002 - one engine, one platform
        return self._host.engine.platform()

    def observe(self, services: Sequence[ServiceConfig]) -> Mapping[str, ObservedService | Hold]:
        try:
            containers = self._host.engine.compose_containers()
        except UpdaterError as error:
            return {service.name: Hold(Reason.ENGINE_ERROR, str(error), error.remedy) for service in services}
        self._host.engine.forget_images(frozenset(container.image_id for container in containers))
        known = observe.container_index(containers)
        return {service.name: self._observe_one(service, known) for service in services}

    def _observe_one(self, service: ServiceConfig, known: ContainerIndex) -> ObservedService | Hold:
        try:
            engine = self._host.engine
            observed = observe.look(service, known, engine.known_image, self._files, engine.container)
            return observe.unless_own(observed, self._host.own_container)
        except UpdaterError as error:
            return Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
        except Exception as error:  # a bug of ours, too, fails one service only
            return self._on_bug(service.name, error)

    def refreshed(self, observed: Observed) -> ObservedService:
        return refreshed(_own(observed), self._host.engine.image)

    def plan(
        self, service: ServiceConfig, observed: Observed, request: UpdateRequest
    ) -> Plan[ComposePlan] | Hold:
        engine = self._host.engine
        started = home.applied(_own(observed), engine)
        found = planner.make(service, started, request, engine, self._host.compose)
        if isinstance(found, Hold):
            return found
        obstacle = other_projects.hold_for(found, engine.compose_containers(), self._files)
        obstacle = obstacle or self._ends_updater(found.detail.everyone, found.detail.project)
        return obstacle or self._with_dependents(service, found)

    def _with_dependents(self, service: ServiceConfig, plan: Plan[ComposePlan]) -> Plan[ComposePlan] | Hold:
        """Return the plan with what has to be recreated behind its group in other projects."""
        found = self._behind(service, plan.detail.project, plan.detail.everyone, plan.strategy)
        if isinstance(found, Hold):
            return replace(found, available=plan.image)
        locked = self._host.held_locks
        unlocked = [each.project.name for each in found if each.project.name not in locked]
        if unlocked and plan.detail.project.name in locked:
            what = f"project {', '.join(unlocked)} began to share a namespace with it just now"
            return Hold(Reason.BUSY, what, "nothing to do: the next cycle looks anew", available=plan.image)
        return planner.with_dependents(plan, found)

    def _behind(
        self, service: ServiceConfig, project: Project, moves: Sequence[Move], strategy: str
    ) -> tuple[DependentProject, ...] | Hold:
        restarted = find.Restarted(project, tuple(move.service for move in moves))
        found = find.behind(service, restarted, self._parts())
        if found and not isinstance(found, Hold) and strategy == conditions.START_FIRST:
            return conditions.hold_for_dependents(service.name, found)
        return found

    def _parts(self) -> find.Parts:
        host = self._host
        return find.Parts(host.engine, host.compose, self._files, self._ties, host.own_container)

    def _ends_updater(self, moves: Sequence[Move], project: Project) -> Hold | None:
        """Return a hold if this process runs in a container that would be restarted with the group."""
        own = next((move for move in moves if self._host.own_container in move.container_ids), None)
        return None if own is None else observe.own_container_hold(project, [own.service])

    def explain(self, plan: Plan[Any]) -> Sequence[str]:
        own: ComposePlan = plan.detail
        restarted = find.Restarted(own.project, tuple(move.service for move in own.everyone))
        resting: tuple[Container, ...] = ()
        with suppress(UpdaterError):  # an explanation may lack them
            resting = find.resting(restarted, self._host.engine, self._ties)
        return [*report.dependent_lines(own, resting), *report.plan_lines(plan)]

    def deployment(self, plan: Plan[Any], reporter: Reporter) -> ComposeDeployment:
        host = self._host
        parts = (host.engine, host.compose, host.files, host.clock, host.updater_id)
        heard = (reporter.credential, reporter.tell, reporter.reached, reporter.refused)
        return ComposeDeployment(plan, Tools(*parts, *heard, reporter.progress))

    def examine(self, service: ServiceConfig) -> Iterator[Finding]:
        engine, compose = self._host.engine, self._host.compose

        def moving(observed: ObservedService) -> Sequence[str]:
            return one_shots.moving(service, home.applied(observed, engine), compose)

        def closed(containers: Sequence[Container]) -> Iterator[Hold]:
            for project in dict.fromkeys(origin.started_from(each) for each in containers):
                restarted = find.Restarted(project, service.compose_services)
                yield from find.closed_behind(restarted, self._parts())

        def preflight(observed: ObservedService) -> Iterator[Hold]:
            observed = home.applied(observed, engine)
            group = planner.group_of(service, observed, engine, compose)
            if group is None:
                return
            yield from planner.preflight(service, observed, group, engine, compose)
            behind = self._behind(
                service, group.project, group.everyone, conditions.strategy_of(service, group)
            )
            for found in (self._ends_updater(group.everyone, group.project), behind):
                if isinstance(found, Hold):
                    yield found
            if report.needs_edit(service, observed.current):
                for one in env_file_readers.obstacles(observed):
                    yield Hold(one.reason, one.detail, one.remedy)
                yield from other_projects.foreseen(observed, engine.compose_containers(), self._files)

        return report.findings(service, engine, self._files, report.Ahead(moving, closed, preflight))

    def let_go(self, service: str, kept_for: Mapping[str, str]) -> None:
        retention.let_go(self._host.engine, self._host.updater_id, service, kept_for)

    def adopt_retained(self, remembered: Mapping[str, Set[str]]) -> Sequence[str]:
        return retention.adopt(self._host.engine, self._host.updater_id, remembered)

    def locked_by(self, of: ServiceConfig | Observed | Plan[Any]) -> frozenset[str]:
        """Return the project, its folder, and each of its files: another project may include one of them.

        Of a plan also the projects whose containers are restarted behind it.
        """
        if isinstance(of, ServiceConfig):
            return frozenset(f"file {os.path.realpath(path)}" for path in of.compose_files)
        project = _project_of(of)
        paths = [*project.files, *project.env_files]
        paths += (
            of.detail.sources
            if isinstance(of, Plan)
            else [file.path for file in (*_own(of).files, *_own(of).env_files)]
        )
        projects = {each.name: each.directory for each in (project, *_dependents(of))}
        return _names(projects, paths)

    def reached_from(self, observed: Observed) -> frozenset[str]:
        """Return the projects whose containers may have to be restarted behind its own, and their files."""
        try:
            projects = set(self._in_reach(_own(observed).project))
        except UpdaterError:
            return frozenset()  # the update finds that out itself
        return frozenset[str]().union(*(_names({each.name: each.directory}, each.files) for each in projects))

    def _in_reach(self, project: Project) -> list[Project]:
        """Return the other projects that an update may restart containers of.

        Raises EngineError if the engine does not say.
        """
        listed = self._host.engine.all_containers()
        names = ties.projects_in_reach(project.name, listed, self._ties.of)
        return [origin.started_from(each) for each in listed if each.project in names]

    @contextmanager
    def exclusive(self, of: Observed | Plan[Any]) -> Iterator[None]:
        """Hold the project's lock, and its folder's, which an updater with another state knows too.

        And those of the projects whose containers may be restarted behind its own. All updaters take several
        locks in the order of the projects' names, so that no two wait for each other. A Compose child
        inherits them: one that outlives us still holds them, and is waited for.
        """
        others = _dependents(of) if isinstance(of, Plan) else self._in_reach(_project_of(of))
        folders = {each.name: each.directory for each in (*others, _project_of(of))}
        host = self._host
        with ExitStack() as held:
            taken = set[str]()
            for name in sorted(folders):
                locks = [self._lock(host.lock_folder / f"{name}.lock", held)]
                folder = os.path.realpath(folders[name])
                if folder not in taken:  # two projects of one folder: the second would wait for us
                    locks += self._lock_folder(Path(folder), held)
                    taken.add(folder)
                host.held_locks[name] = tuple(locks)
                held.callback(host.held_locks.pop, name)
            yield

    def _lock(self, path: Path, held: ExitStack) -> int:
        host = self._host
        own = acquire_lock(path, clock=host.clock, wait_seconds=host.lock_wait_seconds, inheritable=True)
        held.callback(release_lock, own)
        return own

    def _lock_folder(self, folder: Path, held: ExitStack) -> list[int]:
        host = self._host
        shared = acquire_folder_lock(folder, clock=host.clock, wait_seconds=host.lock_wait_seconds)
        if shared is None:
            return []
        held.callback(release_lock, shared)
        return [shared]


def _names(folders: Mapping[str, str], paths: Iterable[str]) -> frozenset[str]:
    own = {f"project {name}" for name in folders}
    own |= {f"folder {os.path.realpath(folder)}" for folder in folders.values()}
    return frozenset(own | {f"file {os.path.realpath(path)}" for path in paths})


def _dependents(of: Observed | Plan[Any]) -> list[Project]:
    return [each.project for each in of.detail.dependent_projects] if isinstance(of, Plan) else []


def _project_of(of: Observed | Plan[Any]) -> Project:
    project: Project = of.detail.project if isinstance(of, Plan) else _own(of).project
    return project


def _own(observed: Observed) -> ObservedService:
    if not isinstance(observed, ObservedService):
        raise TypeError(f"{type(observed).__name__} was not observed by Compose's target")
    return observed


open_target = ComposeTarget
