"""From a decision to a plan: everything that going forward needs, and everything that going back needs.

Nothing is changed here. A plan that cannot be made is a Hold with its reason and remedy.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from updater_core import reference
from updater_core.composefile import edit as compose_edit
from updater_core.composefile.edit import NotEditable, SourceFile
from updater_core.deploy.target import UpdateRequest
from updater_core.models import Container, Edit, Hold, ImageRef, Plan, Project, Reason, ServiceConfig
from updater_core.protocols import Compose, Engine
from updater_core.targets.compose import dependencies, drift, file_edits, outlook
from updater_core.targets.compose.drift import Reading
from updater_core.targets.compose.entry.settings import NAME, ComposeSettings
from updater_core.targets.compose.outlook import Outlook
from updater_core.targets.compose.plan import (
    ComposePlan,
    DependentProject,
    FurtherImage,
    Group,
    Move,
    with_others,
)
from updater_core.targets.compose.preflight import checks, env_file_readers, facts, variables, volumes
from updater_core.targets.compose.preflight.written import ProjectText
from updater_core.targets.compose.reading import origin
from updater_core.targets.compose.reading.leftover import is_leftover
from updater_core.targets.compose.reading.moves import move_of
from updater_core.targets.compose.reading.observed import ObservedService
from updater_core.targets.compose.reading.one_shots import image_of, with_one_shots
from updater_core.targets.compose.start_first import conditions


def make(
    service: ServiceConfig,
    observed: ObservedService,
    request: UpdateRequest,
    engine: Engine,
    compose: Compose,
) -> Plan[ComposePlan] | Hold:
    """Return the plan that takes `service` from how it stands to what is asked for."""
    # Images that take their tag from one variable can only move together, so a rollback that lacks an earlier
    # image of one repository cannot be made at all.
    unknown = {other.current.key for other in observed.others} - {image.key for image in request.others}
    if unknown:
        return _hold(_no_way_back(service, observed, sorted(unknown)), request.image)
    model = compose.config(observed.project)
    service, observed = with_one_shots(service, observed, model)
    # Pure work on the text comes first: it finds most obstacles without asking the engine or Compose again.
    changes = changes_for(service, observed, (request.image, *request.others))
    if isinstance(changes, NotEditable):
        return _hold(changes, request.image)
    obstacle = env_file_readers.obstacle_to(changes, observed)
    if obstacle is not None:
        return _hold(obstacle, request.image)
    moves = _moves(service, observed, changes, engine)
    if isinstance(moves, NotEditable):
        return _hold(moves, request.image)
    group = _group(observed.project, moves, engine, model)
    foreseen = _foreseen(service, observed, group, engine, compose)
    # The same is checked once more after the pull; here it spares the pull if the image is on this host
    # already.
    if isinstance(foreseen, Outlook):
        foreseen = _moved_volume(service, group, request, engine) or foreseen
    if isinstance(foreseen, Hold):
        return replace(foreseen, available=request.image)
    detail = _detail(service, observed, changes, group, foreseen)
    detail = replace(detail, further=_further(request, group.moves, engine))
    # A group may hold moves of other repositories, and `old_digest` is of the service's own.
    own = _moves_of(observed.current.key, group.moves)[0]
    plan = _plan(service, request, detail, _old_digest(observed.current.key, own, engine))
    return conditions.with_strategy(with_others(plan), conditions.strategy_of(service, group))


def _detail(
    service: ServiceConfig,
    observed: ObservedService,
    changes: tuple[Edit, ...],
    group: Group,
    foreseen: Outlook,
) -> ComposePlan:
    """Return what this target needs of the plan, but for the images of other repositories."""
    runs_one_shots_first = any(move.runs_first for move in group.everyone)
    return ComposePlan(
        project=observed.project,
        moves=group.moves,
        edits=changes,
        dependents=group.dependents,
        platform=service.platform,
        allow_volume_change=service.own(ComposeSettings).allow_volume_change,
        # An `up` that sees dependencies runs their one-shots itself; ours have run by then and would run
        # twice.
        with_dependencies=foreseen.with_dependencies and not runs_one_shots_first,
        sources={file.path: file.text for file in (*observed.files, *observed.env_files)},
        model_digest=file_edits.model_digest(group.model),
        handover=service.own(ComposeSettings).handover,
        also_changed=env_file_readers.notes(observed) if changes else (),
    )


def _no_way_back(service: ServiceConfig, observed: ObservedService, keys: Sequence[str]) -> NotEditable:
    places = sorted({f"{one.place.key} in {one.place.path}" for one in observed.located if one.place})
    detail = f"no earlier image of {' and '.join(keys)} is remembered, which goes back with {service.name}"
    command = origin.by_hand(observed.project, f"up -d {' '.join(service.compose_services)}")
    return NotEditable(
        Reason.NOT_EDITABLE, detail, f"write the earlier version as {' and '.join(places)}, then `{command}`"
    )


def _moved_volume(
    service: ServiceConfig, group: Group, request: UpdateRequest, engine: Engine
) -> Hold | None:
    for image in (request.image, *request.others):
        own = _moves_of(image.key, group.moves)
        found = volumes.hold_for_known_image(service, replace(group, moves=own), image, engine)
        if found is not None:
            return found
    return None


def _moves_of(key: str, moves: Sequence[Move]) -> tuple[Move, ...]:
    """Return the moves of services that run an image of one repository."""
    return tuple(move for move in moves if reference.parse(move.old_reference).key == key)


def _further(request: UpdateRequest, moves: Sequence[Move], engine: Engine) -> tuple[FurtherImage, ...]:
    """Return the images of other repositories, with the services that run them."""
    found: list[FurtherImage] = []
    for image in request.others:
        own = _moves_of(image.key, moves)
        services = tuple(move.service for move in own)
        retained = request.others_retained.get(image.key)
        found.append(FurtherImage(services, image, _old_digest(image.key, own[0], engine), retained))
    return tuple(found)


def group_of(
    service: ServiceConfig, observed: ObservedService, engine: Engine, compose: Compose
) -> Group | None:
    """Return the services that an update of `service` would restart, as they run now; None if not known.

    Raises ComposeError if Compose cannot read the project, EngineError if the engine refuses.
    """
    model = compose.config(observed.project)
    service, observed = with_one_shots(service, observed, model)
    moves = _moves(service, observed, (), engine)
    return None if isinstance(moves, NotEditable) else _group(observed.project, moves, engine, model)


def preflight(
    service: ServiceConfig, observed: ObservedService, group: Group, engine: Engine, compose: Compose
) -> Iterator[Hold]:
    """Yield all in the project itself that an update of the group would be held for before it begins.

    Raises ComposeError if Compose cannot read the project, EngineError if the engine refuses.
    """
    found = tuple(_obstacles(service, observed, group, engine))
    yield from found
    if all(hold.reason is not Reason.VARIABLE_MISSING for hold in found):  # else it would be said twice
        foreseen = _undeployed(service, observed, group, engine, compose)
        yield from (foreseen,) if isinstance(foreseen, Hold) else ()


def _obstacles(
    service: ServiceConfig, observed: ObservedService, group: Group, engine: Engine
) -> Iterator[Hold]:
    return checks.holds(service, group, observed.files, observed.env_files, engine)


def _group(project: Project, moves: Sequence[Move], engine: Engine, model: Mapping[str, Any]) -> Group:
    dependents = _dependents(project, moves, engine, model)
    in_order = _one_shots_last(moves, model)
    return Group(project, volumes.noted(in_order, engine), volumes.noted(dependents, engine), model)


def _plan(
    service: ServiceConfig, request: UpdateRequest, detail: ComposePlan, old_digest: str | None
) -> Plan[ComposePlan]:
    foreign = {name for each in detail.further for name in each.services}
    # The plan is named by the service's own repository, and not by an image that only moves along.
    first = next(move for move in detail.moves if move.service not in foreign)
    return Plan(
        id=uuid.uuid4().hex,
        name=service.name,
        target=NAME,
        image=request.image,
        old_reference=first.old_reference,
        new_reference=first.new_reference,
        old_digest=old_digest,
        old_retained=first.old_image_id,
        gate=service.gate,
        reason=request.reason,
        detail=detail,
        restarts=_listed(detail),
        was_well=all(move.was_well or move.is_one_shot for move in detail.moves),
        new_retained=request.retained,
        earlier_retained=request.earlier_retained,
        kind=request.kind,
        # The gate waits for all of them, so it needs the time of the slowest.
        healthcheck_seconds=max(move.healthcheck_seconds for move in detail.moves),
    )


def with_dependents(plan: Plan[ComposePlan], dependents: tuple[DependentProject, ...]) -> Plan[ComposePlan]:
    """Return the plan with the services of other projects that are recreated behind it, also in words."""
    detail = replace(plan.detail, dependent_projects=dependents)
    return replace(plan, detail=detail, restarts=_listed(detail)) if dependents else plan


def _listed(detail: ComposePlan) -> str:
    services = ", ".join(move.service for move in detail.moves)
    together = [move.service for move in detail.dependents]
    together += [
        f"{move.service} of project {each.project.name}"
        for each in detail.dependent_projects
        for move in each.moves
    ]
    return f"{services}, and with it {', '.join(together)}" if together else services


def _foreseen(
    service: ServiceConfig, observed: ObservedService, group: Group, engine: Engine, compose: Compose
) -> Outlook | Hold:
    """Return what an `up` of the group would do; a Hold if it would do more than take the new image.

    A Hold, too, if something stands in its way.
    """
    # The cheap checks come first: a dry run of Compose costs a tenth of a second of CPU.
    first = next(_obstacles(service, observed, group, engine), None)
    return first or _undeployed(service, observed, group, engine, compose)


def _undeployed(
    service: ServiceConfig, observed: ObservedService, group: Group, engine: Engine, compose: Compose
) -> Outlook | Hold:
    """Return what an `up` of the group would do; a Hold if it would also deploy what its operator has not."""
    found = outlook.of_group(group, engine, compose)
    # Compose recreates a container for any difference, so an edit that was never applied would be deployed
    # along with the image.
    if isinstance(found, Hold) or service.allow_drift:
        return found
    reading = Reading(group.project, group.model, found.preview)
    drifted = drift.of_all(group.moves, group.dependents, reading, engine, compose)
    if drifted is None:
        return found
    project = ProjectText.of(observed.files, observed.env_files)
    texts = facts.texts_of([drifted.service], group.model, project)
    command = origin.by_hand(group.project, f"up -d {' '.join(service.compose_services)}")
    return variables.drift_hold(f"`{command}`", drifted, texts[drifted.service], allowed_by=service.name)


def changes_for(
    service: ServiceConfig, observed: ObservedService, targets: Sequence[ImageRef]
) -> tuple[Edit, ...] | NotEditable:
    """Return the edits that make the files say `targets`, one of each repository.

    None if only the images behind the tag are others. A digest is written if the service asks for one, or if
    the operator wrote one before: a pin stays a pin.
    """
    is_pinned = service.policy.pin_digest or any(_digest_of(one.reference) for one in observed.located)
    # A tag that moves keeps its text: the local tag goes to the new image, and the file stays as it is to the
    # byte.
    if not is_pinned and all(_tag_of(one.reference) == targets[0].tag for one in observed.located):
        return ()
    # The digest was for choosing and pulling; in the file it would be a pin that nobody asked for.
    written = [each if is_pinned else replace(each, digest=None) for each in targets]
    return compose_edit.set_image(observed.files, observed.env_files, service.compose_services, written)


def _hold(obstacle: NotEditable, target: ImageRef) -> Hold:
    return Hold(obstacle.reason, obstacle.detail, obstacle.remedy, available=target)


def _moves(
    service: ServiceConfig, observed: ObservedService, changes: Sequence[Edit], engine: Engine
) -> tuple[Move, ...] | NotEditable:
    files, env_files = edited(observed.files, changes), edited(observed.env_files, changes)
    moves: list[Move] = []
    for located in observed.located:
        # Read back from the edited text, as Compose will: a variable may be part of several references.
        after = compose_edit.locate(files, env_files, located.service)
        if isinstance(after, NotEditable):
            return after
        containers = [
            c for c in engine.containers(observed.project.name, located.service) if not is_leftover(c)
        ]
        # What an interrupted recreate left is not among the containers: the project is tidied before `up`.
        old = located.reference or observed.current.text
        moves.append(move_of(located.service, old, after.reference or old, containers))
    return _with_old_images(service, moves, engine)


def _with_old_images(
    service: ServiceConfig, moves: Sequence[Move], engine: Engine
) -> tuple[Move, ...] | NotEditable:
    """Return the moves with what to go back to for a service without any container (`start_stopped`).

    It is what others of its repository run, or the image that its file names, if it is here.
    """
    running = {
        reference.parse(move.old_reference).key: move.old_image_id for move in moves if move.old_image_id
    }
    found: list[Move] = []
    for move in moves:
        image_id = move.old_image_id or running.get(reference.parse(move.old_reference).key)
        named = None if image_id else engine.image(move.old_reference)
        if image_id is None and named is None:
            detail = (
                f"{service.name} was never started and its image {move.old_reference} is not on this host"
            )
            return NotEditable(Reason.NOT_RUNNING, detail, "start it once with `docker compose up -d`")
        found.append(replace(move, old_image_id=image_id or (named.id if named else "")))
    return tuple(found)


def edited(files: Sequence[SourceFile], changes: Sequence[Edit]) -> tuple[SourceFile, ...]:
    """Return the files as they will be."""
    after = {edit.path: edit.after for edit in changes}
    return tuple(replace(file, text=after.get(file.path, file.text)) for file in files)


def _one_shots_last(moves: Sequence[Move], model: Mapping[str, Any]) -> tuple[Move, ...]:
    """Return the moves, those behind the others that run before them, in the order in which they do.

    A member that has ended well while the others run is one, too, if nobody has declared it.
    """
    declared = dependencies.one_shots_before(model, [move.service for move in moves])
    # If the group is nothing but one-shots, there is nothing that they have to run before.
    steady = [move for move in moves if not move.is_one_shot and move.service not in declared]
    if not steady:
        return tuple(moves)
    by_name = {move.service: move for move in moves}
    first = [by_name[name] for name in declared if name in by_name]
    first += [move for move in moves if move.is_one_shot and move.service not in declared]
    return (*steady, *(replace(move, is_one_shot=True, runs_first=True) for move in first))


def _dependents(
    project: Project, moves: Sequence[Move], engine: Engine, whole: Mapping[str, Any]
) -> tuple[Move, ...]:
    """Return what is restarted with the group, its image as it is.

    The services that live in a namespace of the group's, or of such a one's (a recreate leaves them without
    it), and those that are declared to restart with it. One that its operator has stopped stays stopped. And
    the one-shots of another image that have to run before the group.
    """
    model = whole.get("services", {})
    running = {name: _running(project, name, engine) for name in model}
    own = {move.service for move in moves}
    # A named `up` does not heed `restart: true` of a dependent (seen with Compose 2.26.1), so they are
    # restarted by us.
    together = dependencies.sharing_namespaces(own, model, running)
    together |= {name for name in dependencies.restarted_with(whole, together) if running[name]}
    found: list[Move] = []
    for name in sorted(together - own):
        text = str(model[name].get("image") or running[name][0].reference)
        found.append(move_of(name, text, text, running[name]))
    return (*found, *_foreign_one_shots(project, own, engine, whole))


def _foreign_one_shots(
    project: Project, group: set[str], engine: Engine, model: Mapping[str, Any]
) -> tuple[Move, ...]:
    """Return the one-shots of another image that the group waits for: Compose runs them again before it.

    One whose image is not here is left out, for nothing is pulled for it.
    """
    found: list[Move] = []
    for name in dependencies.one_shots_before(model, sorted(group)):
        text = image_of(model, name)
        if name in group or not text or engine.image(text) is None:
            continue
        containers = [c for c in engine.containers(project.name, name) if not is_leftover(c)]
        found.append(replace(move_of(name, text, text, containers), is_one_shot=True, runs_first=True))
    return tuple(found)


def _running(project: Project, service: str, engine: Engine) -> tuple[Container, ...]:
    # A container that is `restarting` is one that its operator wants up.
    return tuple(c for c in engine.containers(project.name, service) if c.status in ("running", "restarting"))


def _old_digest(key: str, move: Move, engine: Engine) -> str | None:
    """Return a digest under which the registry knows the image that runs, for a pull should it be gone."""
    image = engine.image(move.old_image_id)
    known = reference.digests_of(image.repo_digests, key) if image else frozenset()
    # One image may have several digests in one repository. The pinned one is what the operator would look
    # for; without one the lowest, which is the same in every run.
    pinned = _digest_of(move.old_reference)
    return pinned if pinned in known else min(known, default=None)


def _tag_of(text: str | None) -> str | None:
    return reference.with_default_tag(reference.parse(text)).tag if text else None


def _digest_of(text: str | None) -> str | None:
    return reference.parse(text).digest if text else None
