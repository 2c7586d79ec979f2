"""Services that a Docker Compose project on this host runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from updater_core.deploy.target import Finding, Host, Observed, Reporter, UpdateRequest
from updater_core.errors import UpdaterError
from updater_core.host.locks import acquire_folder_lock, acquire_lock, release_lock
from updater_core.models import Hold, Plan, Project, Reason, ServiceConfig
from updater_core.protocols import Tools
from updater_core.targets.compose import observe, planner, report
from updater_core.targets.compose.deployment import ComposeDeployment
from updater_core.targets.compose.observe import ContainerIndex
from updater_core.targets.compose.plan import NAME, ComposePlan, former_plan
from updater_core.targets.compose.preflight import other_projects
from updater_core.targets.compose.reading.observed import ObservedService, refreshed
from updater_core.targets.compose.reading.sources import FileCache

__all__ = ["NAME", "ComposePlan", "ComposeTarget", "former_plan"]


class ComposeTarget:
    """`deploy.target.Target` for Compose projects. `on_bug` turns an error that nobody foresaw into a Hold."""

    name = NAME

    def __init__(self, host: Host, on_bug: Callable[[str, Exception], Hold]) -> None:
        self._host, self._on_bug = host, on_bug
        self._files = FileCache()

    def serves(self, service: ServiceConfig) -> bool:
        return bool(service.compose_files)

    def check(self) -> str:
        return self._host.engine.version()

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
            observed = observe.look(service, known, self._host.engine.known_image, self._files)
            return observe.unless_own(observed, self._host.own_container)
        except UpdaterError as error:
            return Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
        except Exception as error:  # a bug of ours is one service's trouble too
            return self._on_bug(service.name, error)

    def refreshed(self, observed: Observed) -> ObservedService:
        return refreshed(_own(observed), self._host.engine.image)

    def plan(self, service: ServiceConfig, observed: Observed, request: UpdateRequest) -> Plan[ComposePlan] | Hold:
        engine = self._host.engine
        found = planner.make(service, _own(observed), request, engine, self._host.compose)
        if isinstance(found, Hold):
            return found
        return other_projects.hold_for(found, engine.compose_containers(), self._files) or found

    def explain(self, plan: Plan[Any]) -> Sequence[str]:
        return report.plan_lines(plan)

    def deployment(self, plan: Plan[Any], reporter: Reporter) -> ComposeDeployment:
        host = self._host
        parts = (host.engine, host.compose, host.files, host.clock)
        return ComposeDeployment(
            plan, Tools(*parts, reporter.credential, reporter.tell, reporter.reached, reporter.progress)
        )

    def examine(self, service: ServiceConfig) -> Iterator[Finding]:
        engine, compose = self._host.engine, self._host.compose

        def preflight(observed: ObservedService) -> Iterator[Hold]:
            return planner.preflight(service, observed, engine, compose)

        return report.findings(service, engine, self._files, preflight)

    def locked_by(self, of: ServiceConfig | Observed | Plan[Any]) -> frozenset[str]:
        """The project, its folder, and each of its files: another project may include one of them."""
        if isinstance(of, ServiceConfig):
            return frozenset(f"file {os.path.realpath(path)}" for path in of.compose_files)
        project = _project_of(of)
        paths = [*project.files, *project.env_files]
        paths += (
            of.detail.sources
            if isinstance(of, Plan)
            else [file.path for file in (*_own(of).files, *_own(of).env_files)]
        )
        own = {f"project {project.name}", f"folder {os.path.realpath(project.directory)}"}
        return frozenset(own | {f"file {os.path.realpath(path)}" for path in paths})

    @contextmanager
    def exclusive(self, of: Observed | Plan[Any]) -> Iterator[None]:
        """Hold the project's lock, and its folder's, which an updater with another state knows too. A Compose child
        inherits them: one that outlives us still holds them, and is waited for."""
        project = _project_of(of)
        host = self._host
        path = host.lock_folder / f"{project.name}.lock"
        with ExitStack() as held:
            own = acquire_lock(path, clock=host.clock, wait_seconds=host.lock_wait_seconds, inheritable=True)
            held.callback(release_lock, own)
            folder = Path(project.directory)
            shared = acquire_folder_lock(folder, clock=host.clock, wait_seconds=host.lock_wait_seconds)
            if shared is not None:
                held.callback(release_lock, shared)
            host.held_locks[project.name] = (own,) if shared is None else (own, shared)
            try:
                yield
            finally:
                del host.held_locks[project.name]


def _project_of(of: Observed | Plan[Any]) -> Project:
    project: Project = of.detail.project if isinstance(of, Plan) else _own(of).project
    return project


def _own(observed: Observed) -> ObservedService:
    if not isinstance(observed, ObservedService):
        raise TypeError(f"{type(observed).__name__} was not observed by Compose's target")
    return observed
