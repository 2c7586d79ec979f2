"""Finds what has to be recreated behind a container, in other projects too, and says which of it cannot be.

Such a container shares a namespace with the one that goes, or has its volumes: it would stay up without a
network, and could not be started again. It is recreated by its own project's Compose files, if these say just
what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from updater_core.composefile.definition import SourceFile
from updater_core.errors import ComposeError
from updater_core.host.engine import facts as engine_facts
from updater_core.models import Container, Hold, Project, Reason, ServiceConfig
from updater_core.protocols import Compose, Engine
from updater_core.targets.compose import dependencies, drift, file_edits, outlook
from updater_core.targets.compose.dependents import in_file, ties
from updater_core.targets.compose.dependents.in_file import Unrestartable
from updater_core.targets.compose.dependents.ties import TieCache
from updater_core.targets.compose.drift import Reading
from updater_core.targets.compose.outlook import Outlook
from updater_core.targets.compose.plan import DependentProject, Group
from updater_core.targets.compose.preflight import checks, facts, variables, volumes
from updater_core.targets.compose.reading import origin, sources
from updater_core.targets.compose.reading.leftover import is_leftover
from updater_core.targets.compose.reading.moves import move_of
from updater_core.targets.compose.reading.sources import FileCache

_AT_WORK = ("running", "restarting", "paused")
_SWARM_LABEL = "com.docker.swarm.service.name"
_AGAIN = "remove it before the update (`docker rm -f {name}`) and make it anew behind it"


@dataclass(frozen=True, slots=True)
class Parts:
    """What it is found with. `own_container`: the one that this process runs in."""

    engine: Engine
    compose: Compose
    files: FileCache
    ties: TieCache
    own_container: str | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """Services of one project that are recreated, whoever else goes with them."""

    project: Project
    services: tuple[str, ...]


def behind(service: ServiceConfig, own: Restarted, parts: Parts) -> tuple[DependentProject, ...] | Hold:
    """Return what is recreated behind the update group of `service`, in its order.

    A Hold if something shares with a container which goes, and cannot be recreated with it: it names all
    such, each with the reason. Raises EngineError if the engine refuses, EngineUnavailable if it does not
    answer.
    """
    search = _DependentSearch(service, parts)
    search.follow(own)
    if not search.obstacles:
        return tuple(search.found)
    hosts = ", ".join(sorted(each.name for each in search.first))
    shares = f"shares the network, another namespace or the volumes of {hosts} and would be left without"
    detail = "; ".join(f"{one.who} {shares}: {one.why}" for one in search.obstacles)
    return Hold(
        Reason.NAMESPACE_SHARED, detail, "; ".join(dict.fromkeys(one.remedy for one in search.obstacles))
    )


def closed_behind(own: Restarted, parts: Parts) -> Iterator[Hold]:
    """Yield a hold for each project with containers tied to those that go, if its files cannot be read.

    That much is known before the group's own files can be. Raises EngineError if the engine refuses,
    EngineUnavailable if it does not answer.
    """
    listed = [each for each in parts.engine.all_containers() if each.status in _AT_WORK]
    ring = ties.tied(listed, _containers(own, parts.engine), parts.ties.of)
    for project, members in _by_project(ring).items():
        found = in_file.unreadable(project, members) if project is not None else None
        if found is not None:
            yield Hold(Reason.NAMESPACE_SHARED, f"{found.who} goes with it: {found.why}", found.remedy)


def resting(own: Restarted, engine: Engine, known: TieCache) -> tuple[Container, ...]:
    """Return the containers that do not run and are tied to one that goes.

    Nobody starts them, and they cannot be started as they are, for what they are tied to is gone then.
    """
    going = _containers(own, engine)
    listed = [each for each in engine.all_containers() if each.status not in _AT_WORK]
    return tuple(each for each in ties.tied(listed, going, known.of) if each.project != own.project.name)


def _containers(restarted: Restarted, engine: Engine) -> list[Container]:
    found = [each for name in restarted.services for each in engine.containers(restarted.project.name, name)]
    return [each for each in found if not is_leftover(each)]


@dataclass(slots=True)
class _DependentSearch:
    """One pass from the containers of the group outwards, one ring of dependents after the other."""

    service: ServiceConfig
    parts: Parts
    first: list[Container] = field(default_factory=list)
    going: list[Container] = field(default_factory=list)
    found: list[DependentProject] = field(default_factory=list)
    obstacles: list[Unrestartable] = field(default_factory=list)
    names_after: dict[str, str] = field(default_factory=dict)  # of containers that go, by id

    def follow(self, own: Restarted) -> None:
        self.first = _containers(own, self.parts.engine)
        self.going = [*self.first]
        listed = self.parts.engine.all_containers()
        self.parts.ties.forget_others(listed)
        at_work = [each for each in listed if each.status in _AT_WORK]
        ring = ties.tied(at_work, self.going, self.parts.ties.of)
        # Most groups have no dependents, and a call of Compose is spared.
        if ring:
            self._note_names(self.going, self.parts.compose.config(own.project))
        # Ring by ring: what stands on a dependent has to be recreated behind it.
        while ring:
            self.going = [*self.going, *ring]
            for project, members in _by_project(ring).items():
                self._add(project, members)
            ring = ties.tied(at_work, self.going, self.parts.ties.of)

    def _add(self, project: Project | None, members: Sequence[Container]) -> None:
        """Take up the dependents of one project, or of none; say why not, if they cannot be recreated."""
        # What can never be recreated is said first; its files need not even be read.
        barred = [*self._barred(members)]
        self.obstacles += barred
        if barred or project is None:
            return
        try:
            read = self._read(project, members)
        except ComposeError as error:
            read = [in_file.obstacle(members, str(error), error.remedy)]
        if not isinstance(read, DependentProject):
            self.obstacles += read
            return
        if not read.moves:
            return  # gone meanwhile
        self.found.append(read)
        known = {each.id for each in self.going}
        # Replicas of the same service go as well, whether they are tied or not.
        whole = _containers(Restarted(project, tuple(move.service for move in read.moves)), self.parts.engine)
        self.going += [each for each in whole if each.id not in known and each.status in _AT_WORK]

    def _barred(self, members: Sequence[Container]) -> Iterator[Unrestartable]:
        for each in members:
            found = _bar(each, self.parts.own_container)
            if found is not None:
                yield in_file.obstacle([each], *found)

    def _read(self, project: Project, members: Sequence[Container]) -> DependentProject | list[Unrestartable]:
        """Return how they are recreated, or everything that stands in the way.

        Raises ComposeError if Compose cannot read the project.
        """
        unreadable = in_file.unreadable(project, members)
        if unreadable is not None:
            return [unreadable]
        read = sources.read(project, self.parts.files)
        if isinstance(read, Hold):
            return [in_file.obstacle(members, read.detail, read.remedy)]
        model = self.parts.compose.config(project)
        self._note_names(members, model)
        differences = [in_file.difference(each, model, self.going, self.names_after) for each in members]
        problems = [each for each in differences if each is not None]
        if problems:
            return problems
        group = self._group(project, members, model)
        # `up` brings a service to its number, and would start a replica that somebody has stopped.
        stopped = self._stopped_beside(group)
        if stopped is not None:
            why = f"it is scaled, and {stopped} does not run"
            return [in_file.obstacle(members, why, f"start it with `docker start {stopped}`, or remove it")]
        foreseen = self._foreseen(group, *read)
        if not isinstance(foreseen, Outlook):
            return [in_file.obstacle(members, each.detail, each.remedy) for each in foreseen]
        by_path = {file.path: file.text for some in read for file in some}
        digest = file_edits.model_digest(model)
        return DependentProject(project, group.dependents, by_path, digest, foreseen.with_dependencies)

    def _group(self, project: Project, members: Sequence[Container], model: Mapping[str, Any]) -> Group:
        """Return the services of these containers, whole, and those declared to restart with them."""
        engine = self.parts.engine
        tied_services = {each.service for each in members}
        moves = []
        for name in sorted(tied_services | dependencies.restarted_with(model, tied_services)):
            containers = [each for each in engine.containers(project.name, name) if not is_leftover(each)]
            running = [each for each in containers if each.status in _AT_WORK]
            if running:
                text = str(model["services"][name].get("image") or running[0].reference)
                moves.append(move_of(name, text, text, running))
        return Group(project, (), volumes.noted(moves, engine), model)

    def _stopped_beside(self, group: Group) -> str | None:
        """Return a container that an `up` of its service would start, or take for one too many."""
        whole = _containers(Restarted(group.project, tuple(sorted(group.services))), self.parts.engine)
        return next((each.name for each in whole if each.status not in _AT_WORK), None)

    def _foreseen(
        self, group: Group, files: Sequence[SourceFile], env_files: Sequence[SourceFile]
    ) -> Outlook | list[Hold]:
        """Return what an `up` of them would do; all holds if it would not make them anew as they are."""
        engine, compose = self.parts.engine, self.parts.compose
        looked_at = facts.of_group(self.service, group, files, env_files, engine)
        missing = [*checks.of_dependents(looked_at)]
        if missing:
            return missing
        found = outlook.of_group(group, engine, compose)
        if isinstance(found, Hold):
            return [found]
        reading = Reading(group.project, group.model, found.preview)
        drifted = drift.of_all((), group.dependents, reading, engine, compose)
        if drifted is None:
            return found
        services = " ".join(move.service for move in group.dependents)
        up = origin.by_hand(group.project, f"up -d {services}")
        command = f"`{up}` in {group.project.directory}"
        return [variables.drift_hold(command, drifted, looked_at.texts.get(drifted.service, ()))]

    def _note_names(self, containers: Sequence[Container], model: Mapping[str, Any]) -> None:
        is_v1 = self.parts.compose.is_v1
        self.names_after |= {each.id: in_file.name_after(each, model, is_v1=is_v1) for each in containers}


def _by_project(ring: Sequence[Container]) -> dict[Project | None, list[Container]]:
    found: dict[Project | None, list[Container]] = {}
    # Sorted, so that plan, message and order of restarts are the same in every run.
    for each in sorted(ring, key=lambda each: (each.project, each.name)):
        project = origin.started_from(each) if each.project and each.service else None
        found.setdefault(project, []).append(each)
    return found


def _bar(container: Container, own_container: str | None) -> tuple[str, str] | None:
    """Return why a container can never be recreated by Compose, with a remedy; None if it may be."""
    name = container.name
    if container.id == own_container:
        return (
            "the updater itself runs in it",
            "update this service by hand, or let the updater run elsewhere",
        )
    if _SWARM_LABEL in container.labels:
        return (
            "it is a task of a swarm",
            f"take service {container.labels[_SWARM_LABEL]} of the swarm out of it",
        )
    if not engine_facts.is_member(container.labels):
        return "`docker compose run` made it", "nothing to do: the update goes on when it has ended"
    if not (container.project and container.service):
        return (
            "no compose file made it",
            f"start it from a compose file, then it goes along; or {_again(name)}",
        )
    if is_leftover(container):
        bring_up = origin.by_hand_of(container, f"up -d {container.service}")
        return "a recreate of it was interrupted", f"bring it up with `{bring_up}`"
    if container.status == "paused":
        return "it is paused", f"resume it with `docker unpause {name}`, or stop it"
    return None


def _again(name: str) -> str:
    return _AGAIN.format(name=name)
