"""Services that a Docker Swarm runs, on whatever nodes it likes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from updater_core.deploy.target import Deployment, Finding, Host, Observed, Reporter, UpdateRequest
from updater_core.errors import EngineUnavailable, UpdaterError
from updater_core.host.locks import acquire_lock, release_lock
from updater_core.models import Hold, Plan, Reason, ServiceConfig
from updater_core.protocols import Swarm
from updater_core.targets.swarm import facts, observed
from updater_core.targets.swarm.entry.settings import NAME, SwarmSettings
from updater_core.targets.swarm.observed import NOT_A_MANAGER_REMEDY, ObservedSwarmService, identity
from updater_core.targets.swarm.plan import SwarmPlan

__all__ = ["PlanDetail", "SwarmPlan", "SwarmTarget", "identity", "open_target"]

PlanDetail = SwarmPlan


class SwarmTarget:
    """`deploy.target.Target` for the services of swarms.

    `on_bug` turns an error that nobody foresaw into a Hold. What plans and deploys is loaded by the methods
    that need it: every daemon opens every target, and most have no swarm.
    """

    name = NAME

    def __init__(self, host: Host, on_bug: Callable[[str, Exception], Hold]) -> None:
        self._host, self._on_bug = host, on_bug

    def serves(self, service: ServiceConfig) -> bool:
        return observed.is_of_swarm(service)

    def check(self, services: Sequence[ServiceConfig]) -> str:
        """Return one engine for all, or the managers of each swarm elsewhere."""
        elsewhere = {engine for service in services if (engine := _engine(service)) is not None}
        said = [f"{name}: {self._host.swarm(name).role()}" for name in sorted(elsewhere)]
        return ", ".join([self._host.engine.version(), *said] if self.asks_engine(services) else said)

    def asks_engine(self, services: Sequence[ServiceConfig]) -> bool:
        return any(_engine(service) is None for service in services)

    def examine_host(self) -> Iterator[Finding]:
        return iter(())

    def apply_command(self, service: ServiceConfig) -> str:  # noqa: ARG002 - one for all
        return "docker stack deploy"

    def files(self, service: ServiceConfig) -> Sequence[str]:
        return service.compose_files

    def platform(self, service: ServiceConfig) -> str:
        """Return the first node's platform; in a mixed swarm, a service for another one names its own."""
        from updater_core.targets.swarm import placement

        return placement.platform_of(self._nodes(service))

    def _nodes(self, service: ServiceConfig) -> list[facts.SwarmNode]:
        return [facts.node_of(raw) for raw in self._host.swarm(_engine(service)).nodes()]

    def observe(self, services: Sequence[ServiceConfig]) -> Mapping[str, ObservedSwarmService | Hold]:
        """Return one list of services for each swarm, however many are asked about."""
        found: dict[str, ObservedSwarmService | Hold] = {}
        for engine in dict.fromkeys(_engine(service) for service in services):
            mine = [service for service in services if _engine(service) == engine]
            found.update(self._observe_in(engine, mine))
        return found

    def _observe_in(
        self, engine: str | None, services: Sequence[ServiceConfig]
    ) -> Mapping[str, ObservedSwarmService | Hold]:
        try:
            known = observed.by_name(self._host.swarm(engine).services())
        except UpdaterError as error:
            hold = self._why_not(engine, error)
            return {service.name: hold for service in services}
        return {service.name: self._observe_one(service, known) for service in services}

    def _observe_one(
        self, service: ServiceConfig, known: Mapping[str, facts.SwarmService]
    ) -> ObservedSwarmService | Hold:
        try:
            return observed.observe(service, known)
        except Exception as error:  # a bug of ours, too, fails one service only
            return self._on_bug(service.name, error)

    def _why_not(self, engine: str | None, error: UpdaterError) -> Hold:
        """Return an engine that is no manager is not one that is broken: it will never answer."""
        hold = Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
        if isinstance(error, EngineUnavailable):
            return hold
        try:
            role = self._host.swarm(engine).role()
        except UpdaterError:
            return hold
        if role == "manager":
            return hold
        detail = f"the engine that is asked is no manager of a swarm (it is: {role})"
        return Hold(Reason.NOT_A_MANAGER, detail, NOT_A_MANAGER_REMEDY)

    def refreshed(self, observed: Observed) -> ObservedSwarmService:
        return _own(observed)

    def plan(
        self, service: ServiceConfig, observed: Observed, request: UpdateRequest
    ) -> Plan[SwarmPlan] | Hold:
        from updater_core.targets.swarm import engines, planner

        seen = _own(observed)
        too_old = engines.hold_for(self._nodes(service))
        if too_old is not None:
            return replace(too_old, available=request.image)
        tasks = [facts.task_of(raw) for raw in self._host.swarm(_engine(service)).tasks(seen.found.id)]
        found = planner.make(service, seen, request, tasks, self._host.files)
        if isinstance(found, Plan) and found.detail.changes:
            # a file that it refuses cannot be proven later
            self._host.compose.stack_model([*found.detail.texts])
        return found

    def explain(self, plan: Plan[Any]) -> Sequence[str]:
        from updater_core.targets.swarm import report

        return report.plan_lines(plan)

    def deployment(self, plan: Plan[Any], reporter: Reporter) -> Deployment:
        from updater_core.targets.swarm.deployment import SwarmDeployment, SwarmTools

        swarm: Swarm = self._host.swarm(plan.detail.engine)
        return SwarmDeployment(plan, SwarmTools(self._host, swarm, reporter))

    def examine(self, service: ServiceConfig) -> Iterator[Finding]:
        from updater_core.targets.swarm import report

        seen = self.observe([service])[service.name]
        yield from report.findings(service, seen, self._host.files, self._host.compose)
        if not isinstance(seen, Hold):
            yield from self._examine_engines(service)

    def _examine_engines(self, service: ServiceConfig) -> Iterator[Finding]:
        from updater_core.targets.swarm import engines

        try:
            held = engines.hold_for(self._nodes(service))
        except UpdaterError as error:
            yield Finding(False, service.name, str(error), error.remedy)
        else:
            if held is not None:
                yield Finding(False, service.name, f"held, {held.reason}: {held.detail}", held.remedy)

    def let_go(self, service: str, kept_for: Mapping[str, str]) -> None:
        """Do nothing: nothing is retained, the nodes keep what they ran."""

    def adopt_retained(self, remembered: Mapping[str, Set[str]]) -> Sequence[str]:  # noqa: ARG002
        """Do nothing, and leave nothing alone: nothing is retained."""
        return ()

    def locked_by(self, of: ServiceConfig | Observed | Plan[Any]) -> frozenset[str]:
        if isinstance(of, ServiceConfig):
            return frozenset()
        name = of.detail.locked_as if isinstance(of, Plan) else _own(of).lock_name
        return frozenset({f"stack {name}"})

    def reached_from(self, observed: Observed) -> frozenset[str]:  # noqa: ARG002 - a task shares nothing with others
        return frozenset()

    @contextmanager
    def exclusive(self, of: Observed | Plan[Any]) -> Iterator[None]:
        """Hold the lock of the service's stack.

        The managers have none, so that an updater elsewhere is met by the version of the spec alone: its
        write makes ours out of sequence.
        """
        name = of.detail.locked_as if isinstance(of, Plan) else _own(of).lock_name
        host = self._host
        path = host.lock_folder / f"{name}.lock"
        held = acquire_lock(path, clock=host.clock, wait_seconds=host.lock_wait_seconds)
        try:
            yield
        finally:
            release_lock(held)


def _own(observed: Observed) -> ObservedSwarmService:
    if not isinstance(observed, ObservedSwarmService):
        raise TypeError(f"{type(observed).__name__} was not observed by Swarm's target")
    return observed


def _engine(service: ServiceConfig) -> str | None:
    """Return the one of `engines` whose swarm a service runs in; None of this host's."""
    return service.own(SwarmSettings).engine


open_target = SwarmTarget
