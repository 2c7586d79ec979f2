"""A second deploy target, as small as one can be: services in a dictionary.

It shows that nothing but the table has to know of a new one, and stands beside Compose's in the contract
tests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.simulator import Killer
from updater_core import reference
from updater_core.deploy.target import Finding, Observed, OtherImage, Reporter, Stage, UpdateRequest
from updater_core.errors import EngineError, GateFailed, LockHeld
from updater_core.models import Cause, Hold, ImageRef, Outcome, Plan, Reason, ServiceConfig, Step
from updater_core.state.codec import decode
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts
from updater_core.vocabulary.evidence import Evidence

NAME = "memory"
_LIMIT_SECONDS = 120.0


class Barrier:
    """A point at which an update stops until somebody lets it go."""

    def __init__(self) -> None:
        self._was_reached, self._is_open = threading.Event(), threading.Event()

    def arrive(self) -> None:
        self._was_reached.set()
        assert self._is_open.wait(_LIMIT_SECONDS), "nobody has opened it"

    def await_arrival(self) -> None:
        assert self._was_reached.wait(_LIMIT_SECONDS), "nobody has come"

    def open(self) -> None:
        self._is_open.set()


@dataclass
class MemoryHost:
    """What is defined and what runs, by service; `bad` digests never become healthy.

    `projects`: those that share one are changed one after the other. `pulls`, `gates` and `restores`: by
    service, where its update is held up; `others`: the images that move with it.
    """

    defined: dict[str, str] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    killer: Killer = field(default_factory=Killer)
    locked: set[str] = field(default_factory=set)
    projects: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, Barrier] = field(default_factory=dict)
    gates: dict[str, Barrier] = field(default_factory=dict)
    restores: dict[str, Barrier] = field(default_factory=dict)
    others: dict[str, tuple[OtherImage, ...]] = field(default_factory=dict)

    def project_of(self, service: str) -> str:
        return self.projects.get(service, service)


@dataclass(frozen=True, slots=True)
class MemoryObserved:
    service: str
    current: ImageRef
    running_digests: frozenset[str]
    image_ids: frozenset[str] = frozenset()
    unproven_digests: frozenset[str] = frozenset()
    others: tuple[OtherImage, ...] = ()
    image_facts: ImageFacts = NO_FACTS


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The part of a plan that is this target's."""

    key: str


def read_plan(raw: Mapping[str, Any]) -> Plan[MemoryPlan]:
    found: Plan[MemoryPlan] = decode(Plan[MemoryPlan], dict(raw))
    return found


class MemoryTarget:
    """`deploy.target.Target` over a `Place`."""

    name = NAME

    def __init__(self, place: MemoryHost) -> None:
        self._place = place

    def serves(self, service: ServiceConfig) -> bool:
        return service.name in self._place.defined

    def check(self, services: Sequence[ServiceConfig]) -> str:
        return "a dictionary"

    def asks_engine(self, services: Sequence[ServiceConfig]) -> bool:
        return False

    def examine_host(self) -> Iterator[Finding]:
        yield Finding(True, NAME, "it is there")

    def apply_command(self, service: ServiceConfig) -> str:
        return "define it anew"

    def files(self, service: ServiceConfig) -> Sequence[str]:
        return ()

    def platform(self, service: ServiceConfig) -> str:
        return "linux/amd64"

    def observe(self, services: Sequence[ServiceConfig]) -> Mapping[str, Observed | Hold]:
        return {service.name: self._observe_one(service.name) for service in services}

    def _observe_one(self, name: str) -> MemoryObserved:
        current = reference.with_default_tag(reference.parse(self._place.defined[name]))
        others = self._place.others.get(name, ())
        return MemoryObserved(name, current, frozenset({self._place.running[name]}), others=others)

    def refreshed(self, observed: Observed) -> Observed:
        return observed

    def plan(
        self, service: ServiceConfig, observed: Observed, request: UpdateRequest
    ) -> Plan[MemoryPlan] | Hold:
        digest = self._place.running[service.name]
        return Plan(
            id=f"{service.name}-{(request.image.digest or '')[7:19]}",
            name=service.name,
            target=NAME,
            image=request.image,
            old_reference=self._place.defined[service.name],
            new_reference=replace(request.image, digest=None).text,
            old_digest=digest,
            old_retained=digest,
            gate=service.gate,
            reason=request.reason,
            detail=MemoryPlan(service.name),
            restarts=service.name,
            earlier_retained=request.earlier_retained,
            kind=request.kind,
        )

    def explain(self, plan: Plan[Any]) -> Sequence[str]:
        return [f"entry:     {plan.detail.key}"]

    def locked_by(self, of: ServiceConfig | Observed | Plan[Any]) -> frozenset[str]:
        return frozenset({self._project_of(of)})

    def reached_from(self, observed: Observed) -> frozenset[str]:
        return frozenset()

    def _project_of(self, of: ServiceConfig | Observed | Plan[Any]) -> str:
        if isinstance(of, Plan):
            return self._place.project_of(of.detail.key)
        return self._place.project_of(
            of.service if isinstance(of, MemoryObserved) else getattr(of, "name", "")
        )

    @contextmanager
    def exclusive(self, of: Observed | Plan[Any]) -> Iterator[None]:
        key = self._project_of(of)
        if key in self._place.locked:
            raise LockHeld(f"{key} is locked", "wait")
        self._place.locked.add(key)
        try:
            yield
        finally:
            self._place.locked.remove(key)

    def let_go(self, service: str, kept_for: Mapping[str, str]) -> None:
        return

    def adopt_retained(self, remembered: Mapping[str, Set[str]]) -> Sequence[str]:
        return ()

    def deployment(self, plan: Plan[Any], reporter: Reporter) -> MemoryDeployment:
        return MemoryDeployment(plan, self._place, reporter)

    def examine(self, service: ServiceConfig) -> Iterator[Finding]:
        yield Finding(True, service.name, f"runs {self._place.defined[service.name]}")


class MemoryDeployment:
    """`deploy.target.Deployment` over a `Place`."""

    def __init__(self, plan: Plan[MemoryPlan], place: MemoryHost, reporter: Reporter) -> None:
        self.plan = plan
        self._place, self._reporter = place, reporter

    def preparation(self) -> Sequence[Stage]:
        return (Stage(Step.PULL, self._fetch),)

    def proof(self) -> Stage:
        return Stage(Step.PROVE, lambda: None)

    def stages(self) -> Sequence[Stage]:
        """Return the definition first, then what runs.

        Another strategy than Compose's would be another list.
        """
        return (
            Stage(Step.EDIT, lambda: self._define(self.plan.new_reference)),
            Stage(Step.RESTART, lambda: self._run(self.plan.image.digest), "restarting"),
            Stage(Step.GATE, self._gate),
        )

    def remaining_stages(self) -> Sequence[Stage]:
        return ()

    def notes(self) -> Sequence[str]:
        return ()

    def superseded(self) -> Cause | None:
        if self._place.running[self.plan.detail.key] in (self.plan.old_digest, self.plan.image.digest):
            return None
        return Cause(Step.VERIFY, Reason.TAKEN_OVER, "something else runs")

    def recheck(self) -> None:
        self._gate()

    def container(self) -> str | None:
        return None

    def evidence(self) -> Sequence[Evidence]:
        running = self._place.running[self.plan.detail.key]
        return [Evidence(self.plan.detail.key, running, "running", log=("a line",))]

    def lacking(self, *, is_back: bool) -> str:
        return ""

    def revert(self, cause: Cause) -> Cause:
        self._define(self.plan.old_reference)
        return cause

    def restore(self, cause: Cause) -> None:
        self._reporter.reached(Step.RESTART, True)
        self._stop_at(self._place.restores)
        self._run(self.plan.old_digest)

    def clean(self) -> None:
        return

    def finish(self, outcome: Outcome) -> None:
        self._place.killer.effect("finish", lambda: None)

    def await_engine(self) -> None:
        return

    def _stop_at(self, barriers: Mapping[str, Barrier]) -> None:
        if self.plan.detail.key in barriers:
            barriers[self.plan.detail.key].arrive()

    def _fetch(self) -> None:
        self._stop_at(self._place.pulls)
        if self.plan.image.digest is None:
            raise EngineError("no digest")
        self.plan = replace(self.plan, new_retained=self.plan.image.digest)

    def _define(self, text: str) -> None:
        self._place.killer.effect("define", lambda: self._place.defined.update({self.plan.detail.key: text}))

    def _run(self, digest: str | None) -> None:
        self._place.killer.effect(
            "run", lambda: self._place.running.update({self.plan.detail.key: digest or ""})
        )

    def _gate(self) -> None:
        self._stop_at(self._place.gates)
        if self._place.running[self.plan.detail.key] in self._place.bad:
            raise GateFailed(Reason.UNHEALTHY, "it is unhealthy")
