"""A third deploy target, as a stranger would write one: containers of Podman Quadlet's unit files.

One module, which a test puts into a copy of the program as `targets/quadlet/__init__.py`, with a line in the
table. Its host is made up: beside each unit file lies what "runs", as JSON. Nothing of Docker is needed, or
asked.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from updater_core import reference
from updater_core.deploy.target import Finding, Host, Observed, OtherImage, Reporter, Stage, UpdateRequest
from updater_core.errors import GateFailed, UpdaterError
from updater_core.host.locks import acquire_lock, release_lock
from updater_core.models import Cause, Hold, ImageRef, Outcome, Plan, Reason, ServiceConfig, Step
from updater_core.targets.kind import DeployedService, EntryRules, TargetKind, needs
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts
from updater_core.vocabulary.evidence import Evidence
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import SERVICE, TOP, Option
from updater_core.vocabulary.options.read_object import ReadObject, missing
from updater_core.vocabulary.own_settings import own_settings

NAME = "quadlet"
_IMAGE = re.compile(r"^Image=(\S+)$", re.MULTILINE)
_TAG = "quadlet"


class UnitUnreadable(UpdaterError):
    """A unit file is not as it was expected."""

    reason = Reason.FILE_UNREADABLE


@dataclass(frozen=True, slots=True)
class ObservedUnit:
    """`deploy.target.Observed` for a unit."""

    path: str
    current: ImageRef
    running_digests: frozenset[str]
    image_ids: frozenset[str] = frozenset()
    unproven_digests: frozenset[str] = frozenset()
    others: tuple[OtherImage, ...] = ()
    image_facts: ImageFacts = NO_FACTS


@dataclass(frozen=True, slots=True)
class QuadletPlan:
    """The part of a plan that this target alone reads."""

    unit_file: str
    old_line: str
    new_line: str


@dataclass(frozen=True, slots=True)
class QuadletSettings:
    """What an entry of `services` can say for this target alone."""

    unit_file: str = ""
    restart_mode: str = "restart"


@dataclass(frozen=True, slots=True)
class QuadletHost:
    """What the top level can say for it."""

    systemd_scope: str = "system"


def _word(noun: str, *words: str) -> Any:
    return kinds.choice(noun, " or ".join(words), {word: word for word in words})


_WHERE = (
    Option(SERVICE, "unit_file", kinds.PATH, None, "Quadlet: the service's unit.", ("/etc/shop.container",),
           settings=QuadletSettings, is_of_one=True),
)  # fmt: skip
_HOW = (
    Option(SERVICE, "restart_mode", _word("a way to restart", "restart", "reload-or-restart"), "restart",
           "Quadlet: how a unit is started anew.", ("reload-or-restart",), settings=QuadletSettings),
)  # fmt: skip
_TOP = (
    Option(TOP, "systemd_scope", _word("a scope", "system", "user"), "system", "Quadlet: whose units.",
           ("user",), settings=QuadletHost, variable="SYSTEMD_SCOPE"),
)  # fmt: skip


def _problems(service: ReadObject, top: ReadObject) -> Iterator[str]:
    yield from missing(service, "unit_file")


def _deployed(service: ReadObject) -> Sequence[DeployedService]:
    path = service.values["unit_file"]
    return [DeployedService(path, Path(path).stem, "unit_file")] if path else []


KIND = TargetKind(
    NAME,
    f"updater_core.targets.{NAME}",
    "Podman Quadlet",
    lambda given: "unit_file" in given,
    EntryRules(_problems, _deployed, (needs("unit_file"),)),
    _WHERE,
    _HOW,
    _TOP,
)


def identity(service: ServiceConfig) -> str | None:
    """Return what identifies a service apart from its name; None if it is deployed elsewhere."""
    return f"{NAME}\n{_unit_of(service)}" if _unit_of(service) else None


def _unit_of(service: ServiceConfig) -> str:
    return service.own(QuadletSettings).unit_file


class UnitHost:
    """The made-up host: what runs lies beside the unit file."""

    def __init__(self, host: Host) -> None:
        self._files = host.files

    def text(self, path: str) -> str:
        return self._files.read(Path(path)).decode()

    def running(self, path: str) -> str:
        return str(self._state(path)["running"])

    def is_bad(self, path: str) -> bool:
        """Whether what runs never becomes healthy."""
        found = self._state(path)
        return found["running"] in found["bad"]

    def run(self, path: str, digest: str | None) -> None:
        if self._state(path).get("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        changed = {**self._state(path), "running": digest}
        self._write(Path(f"{path}.json"), json.dumps(changed))

    def write(self, path: str, line: str) -> None:
        self._write(Path(path), _IMAGE.sub(f"Image={line}", self.text(path)))

    def clean(self, path: str) -> None:
        self._files.remove_strays(Path(path).parent, _TAG)

    def _state(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.text(f"{path}.json"))
        return found

    def _write(self, path: Path, text: str) -> None:
        taken = self._files.snapshot(path)
        self._files.commit(taken, self._files.stage(taken, text.encode(), _TAG))


class QuadletTarget:
    """`deploy.target.Target` for unit files."""

    name = NAME

    def __init__(self, host: Host, on_bug: Callable[[str, Exception], Hold]) -> None:
        self._host, self._on_bug = host, on_bug
        self._units = UnitHost(host)

    def serves(self, service: ServiceConfig) -> bool:
        return bool(_unit_of(service))

    def asks_engine(self, services: Sequence[ServiceConfig]) -> bool:
        return False

    def check(self, services: Sequence[ServiceConfig]) -> str:
        return "systemd"

    def examine_host(self) -> Iterator[Finding]:
        scope = own_settings(self._host.settings, QuadletHost).systemd_scope
        yield Finding(True, "systemd", f"units of the {scope} can be started")

    def files(self, service: ServiceConfig) -> Sequence[str]:
        return (_unit_of(service),)

    def platform(self, service: ServiceConfig) -> str:
        return "linux/amd64"

    def apply_command(self, service: ServiceConfig) -> str:
        return f"systemctl daemon-reload && systemctl {_mode_of(service)} {service.name}"

    def observe(self, services: Sequence[ServiceConfig]) -> Mapping[str, ObservedUnit | Hold]:
        return {service.name: self._observe_one(service) for service in services}

    def _observe_one(self, service: ServiceConfig) -> ObservedUnit | Hold:
        path = _unit_of(service)
        try:
            found = _IMAGE.search(self._units.text(path))
            if found is None:
                return Hold(Reason.NOT_IN_FILE, f"{path} names no image", "write an Image= line")
            current = reference.with_default_tag(reference.parse(found[1]))
            return ObservedUnit(path, current, frozenset({self._units.running(path)}))
        except UpdaterError as error:
            return Hold(Reason.FILE_UNREADABLE, str(error), error.remedy)
        except Exception as error:
            return self._on_bug(service.name, error)

    def refreshed(self, observed: Observed) -> Observed:
        return observed

    def plan(
        self, service: ServiceConfig, observed: Observed, request: UpdateRequest
    ) -> Plan[QuadletPlan] | Hold:
        seen = _own(observed)
        running = self._units.running(seen.path)
        if "\n[Install]" not in self._units.text(seen.path):
            raise UnitUnreadable(f"{seen.path} has no section [Install]", "write one")
        new = replace(request.image, digest=None).text
        return Plan(
            id=f"{service.name}-{uuid4().hex}",
            name=service.name,
            target=NAME,
            image=request.image,
            old_reference=seen.current.text,
            new_reference=new,
            old_digest=running,
            old_retained=running,
            gate=service.gate,
            reason=request.reason,
            detail=QuadletPlan(seen.path, seen.current.text, new),
            restarts=f"{service.name} ({_mode_of(service)})",
            earlier_retained=request.earlier_retained,
            kind=request.kind,
        )

    def explain(self, plan: Plan[Any]) -> Sequence[str]:
        return [f"unit:      {plan.detail.unit_file}", f"line:      Image={plan.detail.new_line}"]

    def locked_by(self, of: ServiceConfig | Observed | Plan[Any]) -> frozenset[str]:
        return frozenset({f"unit {_path_of(of)}"})

    def reached_from(self, observed: Observed) -> frozenset[str]:
        return frozenset()

    @contextmanager
    def exclusive(self, of: Observed | Plan[Any]) -> Iterator[None]:
        host = self._host
        path = host.lock_folder / f"{Path(_path_of(of)).name}.lock"
        held = acquire_lock(path, clock=host.clock, wait_seconds=host.lock_wait_seconds)
        try:
            yield
        finally:
            release_lock(held)

    def deployment(self, plan: Plan[Any], reporter: Reporter) -> QuadletDeployment:
        return QuadletDeployment(plan, self._units, reporter)

    def examine(self, service: ServiceConfig) -> Iterator[Finding]:
        found = self._observe_one(service)
        if isinstance(found, Hold):
            yield Finding(False, service.name, f"held, {found.reason}: {found.detail}", found.remedy)
        else:
            yield Finding(True, service.name, f"runs {found.current.text} by {found.path}")

    def let_go(self, service: str, kept_for: Mapping[str, str]) -> None:
        """Nothing is retained here."""

    def adopt_retained(self, remembered: Mapping[str, Set[str]]) -> Sequence[str]:
        """Nothing is retained here."""
        return ()


class QuadletDeployment:
    """`deploy.target.Deployment` for a unit."""

    def __init__(self, plan: Plan[QuadletPlan], units: UnitHost, reporter: Reporter) -> None:
        self.plan = plan
        self._units, self._reporter = units, reporter
        self._path = plan.detail.unit_file

    def preparation(self) -> Sequence[Stage]:
        return (Stage(Step.PULL, self._fetch),)

    def proof(self) -> Stage:
        return Stage(Step.PROVE, lambda: None)

    def stages(self) -> Sequence[Stage]:
        return (
            Stage(Step.EDIT, lambda: self._units.write(self._path, self.plan.detail.new_line)),
            Stage(
                Step.RESTART,
                lambda: self._units.run(self._path, self.plan.image.digest),
                "restarting the unit",
            ),
            Stage(Step.GATE, self.recheck),
        )

    def remaining_stages(self) -> Sequence[Stage]:
        return ()

    def notes(self) -> Sequence[str]:
        return ()

    def superseded(self) -> Cause | None:
        if self._units.running(self._path) in (self.plan.old_digest, self.plan.image.digest):
            return None
        return Cause(Step.VERIFY, Reason.TAKEN_OVER, "something else runs")

    def recheck(self) -> None:
        if self._units.is_bad(self._path):
            raise GateFailed(Reason.UNHEALTHY, "the unit is unhealthy")

    def container(self) -> str | None:
        return None

    def evidence(self) -> Sequence[Evidence]:
        return [Evidence("unit", self._units.running(self._path), "running", log=("a line of the unit",))]

    def lacking(self, *, is_back: bool) -> str:
        return ""

    def revert(self, cause: Cause) -> Cause:
        self._units.write(self._path, self.plan.detail.old_line)
        return cause

    def restore(self, cause: Cause) -> None:
        self._reporter.reached(Step.RESTART, True)
        self._units.run(self._path, self.plan.old_digest)

    def clean(self) -> None:
        with suppress(UpdaterError):
            self._units.clean(self._path)

    def finish(self, outcome: Outcome) -> None:
        """Nothing is retained here."""

    def await_engine(self) -> None:
        return

    def _fetch(self) -> None:
        self.plan = replace(self.plan, new_retained=self.plan.image.digest)


def _mode_of(service: ServiceConfig) -> str:
    return service.own(QuadletSettings).restart_mode


def _own(observed: Observed) -> ObservedUnit:
    if not isinstance(observed, ObservedUnit):
        raise TypeError(f"{type(observed).__name__} was not observed here")
    return observed


def _path_of(of: ServiceConfig | Observed | Plan[Any]) -> str:
    if isinstance(of, Plan):
        return str(of.detail.unit_file)
    return _unit_of(of) if isinstance(of, ServiceConfig) else _own(of).path


PlanDetail, open_target = QuadletPlan, QuadletTarget
