"""The seam for deploy targets: what the program asks of a place where services run, not how it is done there.

A target observes its services, makes plans for them, and turns a plan into a `Deployment`: what is prepared
unseen, what becomes visible stage by stage, and how everything is put back. `deploy.transaction` carries a
deployment out; neither it nor anything else outside the target's own package reads a plan's `detail`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from updater_core.errors import EngineError
from updater_core.models import (
    Cause,
    Container,
    Credential,
    Hold,
    ImageRef,
    Outcome,
    Plan,
    ServiceConfig,
    Step,
)
from updater_core.protocols import Clock, Compose, Engine, Files, Progress, Swarm
from updater_core.vocabulary.dated import ImageFacts
from updater_core.vocabulary.evidence import Evidence
from updater_core.vocabulary.own_settings import OwnSettings

ONE_RUN = "one-run"  # the strategy of a plan whose service is to end by itself


NO_ID = "none"  # of a look by a user who may not read the updater's id: it retains nothing


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what `--test` found.

    `is_warning`: no update fails by it, and yet something is to be done.
    """

    is_good: bool
    subject: str
    text: str
    remedy: str = ""
    is_warning: bool = False

    def line(self) -> str:
        """Return the line as it is printed.

        >>> Finding(False, "engine", "no answer", "start it").line()
        'FAIL  engine: no answer -> start it'
        """
        return f"{self.head} -> {self.remedy}" if self.has_remedy else self.head

    @property
    def head(self) -> str:
        """Return the line without what to do."""
        return f"{self.mark}  {self.subject}: {self.text}"

    @property
    def mark(self) -> str:
        """Return how good it is, in four characters."""
        if not self.is_good:
            return "FAIL"
        return "warn" if self.is_warning else "ok  "

    @property
    def has_remedy(self) -> bool:
        """Return whether there is something to do about it: a good finding needs nothing."""
        return bool(self.remedy) and (self.is_warning or not self.is_good)


@dataclass(frozen=True, slots=True)
class OtherImage:
    """An image of another repository that takes its tag from the same place as the service's own.

    Both move to one tag, together. `running_digests`: as of `Observed`.
    """

    current: ImageRef
    running_digests: frozenset[str]


class Observed(Protocol):
    """A service as it is deployed now. Its target has more to it; this is what the others may read."""

    @property
    def current(self) -> ImageRef:
        """Return the image that the operator's definition names now, with its tag."""

    @property
    def running_digests(self) -> frozenset[str]:
        """Return every digest of the image that runs: the registry's for this repository, and local ids."""

    @property
    def image_ids(self) -> frozenset[str]:
        """Return the local ids of running images that no registry knows, all of `running_digests`."""

    @property
    def unproven_digests(self) -> frozenset[str]:
        """Return the digests that the registry must know, or what runs was built here.

        Empty if that is known already.
        """

    @property
    def image_facts(self) -> ImageFacts:
        """Return what the image that runs says of itself; empty if it is not on this host."""

    @property
    def others(self) -> Sequence[OtherImage]:
        """Return the images of other repositories that move with this one."""


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """What a plan is made for: the image to run, in words why, and what is remembered that a rollback wants.

    `others`: the images of other repositories that move with it. `retained`: what the target keeps the image
    by, if it is kept locally, `others_retained` the same of the others, by their repositories;
    `earlier_retained`: what earlier images of the service are kept by.
    """

    image: ImageRef
    reason: str
    earlier_retained: tuple[str, ...] = ()
    retained: str | None = None
    kind: str = "update"
    others: tuple[ImageRef, ...] = ()
    others_retained: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a deployment: the step it is known by, and what it does. `says` is shown as it begins.

    `is_recorded`: the journal knows of the update before it runs, so that what it leaves is put back after a
    kill. `is_point_of_no_return`: from here on a kill is followed by carrying on, for what ran before may be
    gone. This stage and those behind it can be repeated.
    """

    step: Step
    run: Callable[[], None]
    says: str = ""
    is_recorded: bool = False
    is_point_of_no_return: bool = False


class Deployment(Protocol):
    """One plan being carried out.

    Every method may be called again after a kill, by another process, in any order that the journal allows.
    Every method may raise UpdaterError, or EngineUnavailable if the place does not answer.
    """

    @property
    def plan(self) -> Plan[Any]:
        """Return the plan, with what has been found out on the way."""

    def preparation(self) -> Iterable[Stage]:
        """Yield what is done before the journal knows of the update.

        Nothing of it is visible, or in anybody's way. Each is asked for when the one before has run.
        """

    def proof(self) -> Stage:
        """Return the last part of what is not visible: it may leave files of ours, which `clean` removes."""

    def stages(self) -> Sequence[Stage]:
        """Return what becomes visible, in its order.

        The strategy of an update (recreate, start first) is this list.
        """

    def remaining_stages(self) -> Sequence[Stage]:
        """Return what an interrupted update still needs to end well; none if it has to be rolled back."""

    def notes(self) -> Sequence[str]:
        """Return what else is worth saying of an update that is proven."""

    def superseded(self) -> Cause | None:
        """Return why the update is not ours to end any more: the operator deployed something else.

        None if it is ours.
        """

    def recheck(self) -> None:
        """See that the new release, which has passed its gate, still does well.

        An engine that went away is waited for, and the release proven anew. Raises GateFailed if it does not.
        """

    def container(self) -> str | None:
        """Return the id of the service's container that runs now, for a hook in it; None if none is here."""

    def evidence(self) -> Sequence[Evidence]:
        """Return what is seen of the containers that failed: asked before anything of them is taken away."""

    def lacking(self, *, is_back: bool) -> str:
        """Return what the host, or a dependency, lacks now, so that no container could do well, in words.

        Empty if that cannot be seen. `is_back`: the old release is judged, which ran here before, so that
        less evidence against the host is enough.
        """

    def revert(self, cause: Cause) -> Cause:
        """Let every definition name the old image again.

        Returns the cause, with what could not be put back.
        """

    def restore(self, cause: Cause) -> None:
        """Bring the old release up again and prove it."""

    def clean(self) -> None:
        """Remove what an interrupted run, or one that will not go on, left beside the operator's files."""

    def finish(self, outcome: Outcome) -> None:
        """Let go of what no rollback needs any more."""

    def await_engine(self) -> None:
        """Return when the place answers again. Raises EngineUnavailable if it does not in a few minutes."""


class Gate(Protocol):
    """What a new release has to pass besides the target's own gate."""

    def stages(self, deployment: Deployment) -> Sequence[Stage]:
        """Return what is asked of it, once the target's own stages are through."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """What a deployment may use of the program.

    `credential` finds what a pull for a plan needs; `tell` is for people; `reached` hears of each step as it
    begins, and whether it belongs to the rollback; `refused` hears that the registry of a plan's image
    refused a pull for the number of them; `gates`: what a release has to pass besides the target's own.
    """

    credential: Callable[[Plan[Any]], Credential | None]
    tell: Callable[[Step, str], None]
    reached: Callable[[Step, bool], None]
    refused: Callable[[Plan[Any]], None]
    progress: Progress | None = None
    gates: Sequence[Gate] = ()


class Target(Protocol):
    """A place where services are deployed.

    Every method may raise UpdaterError, but for those that say otherwise.
    """

    @property
    def name(self) -> str:
        """Return what it is called in the table, and in a plan's `target`."""

    def serves(self, service: ServiceConfig) -> bool:
        """Return whether a service of the configuration is deployed here. Raises nothing."""

    def check(self, services: Sequence[ServiceConfig]) -> str:
        """Return a few words on what answers at the place of these services.

        Raises EngineError if nothing does.
        """

    def asks_engine(self, services: Sequence[ServiceConfig]) -> bool:
        """Return whether updates of these services ask the engine of this host. Raises nothing.

        Of no services: whether it is asked for most.
        """

    def examine_host(self) -> Iterator[Finding]:
        """Yield what all updates here need besides an engine, for `--test`. Raises nothing."""

    def apply_command(self, service: ServiceConfig) -> str:
        """Return the command by which the operator applies an edit of a definition. Raises nothing."""

    def files(self, service: ServiceConfig) -> Sequence[str]:
        """Return the paths of the files that define a service; none if they are not here. Raises nothing."""

    def platform(self, service: ServiceConfig) -> str:
        """Return the platform whose images run where the service does, `linux/amd64`."""

    def observe(self, services: Sequence[ServiceConfig]) -> Mapping[str, Observed | Hold]:
        """Return each service by name as it is deployed now, or why that cannot be seen. Raises nothing."""

    def refreshed(self, observed: Observed) -> Observed:
        """Return the same service with its image's names read anew: somebody else's pull adds some."""

    def plan(self, service: ServiceConfig, observed: Observed, request: UpdateRequest) -> Plan[Any] | Hold:
        """Return how to go from what is observed to what is asked for; changes nothing."""

    def explain(self, plan: Plan[Any]) -> Sequence[str]:
        """Lines for people on what a plan of this target would change, `label: text` and diffs."""

    def locked_by(self, of: ServiceConfig | Observed | Plan[Any]) -> frozenset[str]:
        """Return the names of what an update changes, of files, projects and the like. Raises nothing.

        Two updates that share one never go at the same time. Of a service that was not looked at, those that
        its configuration tells.
        """

    def reached_from(self, observed: Observed) -> frozenset[str]:
        """Return the names, as of `locked_by`, of what an update may have to restart besides.

        Asked before one is begun, for it may cost more than a look. Raises nothing.
        """

    def exclusive(self, of: Observed | Plan[Any]) -> AbstractContextManager[None]:
        """Be the only updater that changes this service, for the length of a block.

        The same holds for what the service cannot be distinguished from. Raises LockHeld if another one does
        not end.
        """

    def deployment(self, plan: Plan[Any], reporter: Reporter) -> Deployment:
        """Return what carries the plan out."""

    def examine(self, service: ServiceConfig) -> Iterator[Finding]:
        """Return what an update of the service needs, one finding each, for `--test`. Raises nothing."""

    def let_go(self, service: str, kept_for: Mapping[str, str]) -> None:
        """Let go of what is retained for a service that is not configured any more, if anything is.

        `kept_for`: what other services remember, by what it is retained by, with their names: that becomes
        theirs.
        """

    def adopt_retained(self, remembered: Mapping[str, Set[str]]) -> Sequence[str]:
        """Let what an earlier version retained belong to this updater, if it remembers it.

        Returns the names of what it does not remember, and has left alone. `remembered`: by service, what it
        is retained by.
        """


def _no_swarm(engine: str | None) -> Swarm:
    raise EngineError(f"no swarm is known here (engine {engine or 'of this host'})")


class GroupFinder(Protocol):
    """Finds services that can only move together (`targets.sharing`)."""

    def groups(self, containers: Sequence[Container]) -> Iterator[frozenset[tuple[str, str]]]:
        """Yield the groups of services, each as project and service, that can only move together."""


@dataclass(slots=True)
class Host:
    """What targets on this host are built on.

    `lock_folder`: one lock file for each thing that is changed; `own_container`: the id of the container that
    this process runs in, None if it runs in none; `swarm`: the swarm whose managers are named under one of
    `engines`, of this host's engine by None; `held_locks`: by Compose project, the descriptors of its locks
    while one of our threads holds them, which every child for that project inherits; `shared_places`: what
    discovery makes groups by, none without; `updater_id`: this updater's, in the names under which it
    retains images.
    """

    engine: Engine
    compose: Compose
    files: Files
    clock: Clock
    lock_folder: Path
    lock_wait_seconds: float
    own_container: str | None = None
    swarm: Callable[[str | None], Swarm] = _no_swarm
    held_locks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # leads Docker's own commands to this engine
    engine_environment: Mapping[str, str] = field(default_factory=dict)
    shared_places: GroupFinder | None = None
    updater_id: str = NO_ID
    settings: OwnSettings = ()  # the targets' own, for all services
