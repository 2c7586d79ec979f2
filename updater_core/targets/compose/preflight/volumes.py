"""The volumes of an update: none of the old container's is left behind unseen, forward or back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from posixpath import normpath
from typing import Any

from updater_core.errors import EngineError, EngineUnavailable, GateFailed
from updater_core.host.engine.own_host import may_hold_files
from updater_core.models import Cause, Container, Hold, Image, ImageRef, Plan, Reason, ServiceConfig, Step
from updater_core.protocols import Engine, Tools
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.compose.plan import ComposePlan, Group, Move
from updater_core.targets.compose.preflight import mounts
from updater_core.targets.compose.preflight.mounts import Mounts, Volume
from updater_core.targets.compose.reading import origin
from updater_core.targets.compose.reading.leftover import is_leftover
from updater_core.targets.compose.recreate import tidy

_ALLOW = 'or set "allow_volume_change" for {name}: the new release then starts without these data'
# The old image must not be brought up with the new mount: it would begin new data at its own place.
_MOVE = (
    "make this update by hand: stop {service}, copy the data to a named volume, mount that at {place} in the "
    "compose file, let the file name the new image, then run `docker compose pull {service}` and `docker "
    "compose up -d {service}`"
)
_KEEP = "give these places named volumes that hold the data, in the compose file"
_BIND = (
    "write `{path}:{place}` among the volumes of {service} in the compose file, the same folder, and run "
    "`docker compose up -d {service}`"
)
_COPY = (
    "stop {service}, copy what is at {place} to a new named volume, mount that at {place} in the compose "
    "file, and run `docker compose up -d {service}`"
)
_REPLACED = (
    "write what it has into the compose file again; or stop {service}, copy the data to what the file "
    "mounts, and run `docker compose up -d {service}`"
)
_HASH_LABEL = "com.docker.compose.config-hash"


def noted(moves: Sequence[Move], engine: Engine) -> tuple[Move, ...]:
    """Return the moves with the volumes that their containers have mounted now."""
    return tuple(replace(move, volumes=_mounted(move.container_ids, engine)) for move in moves)


def _mounted(container_ids: Sequence[str], engine: Engine) -> tuple[Volume, ...]:
    found = (engine.settings(one) for one in container_ids)
    return tuple(sorted({volume for settings in found if settings for volume in settings.volumes}))


def hold_for_known_image(
    service: ServiceConfig, group: Group, target: ImageRef, engine: Engine
) -> Hold | None:
    """Return why the update must not begin, if its image is here already, so that its VOLUMEs are known."""
    if service.own(ComposeSettings).allow_volume_change or target.digest is None:
        return None
    image = engine.image(f"{target.name or target.key}@{target.digest}")
    found = None if image is None else _problem(service.name, group.moves, group.model, image, engine)
    if found is None:
        return None
    detail, remedy = found
    return Hold(Reason.VOLUME_MOVED, detail, origin.spelt_out(remedy, group.project))


def check_before_stop(plan: Plan[ComposePlan], model: Mapping[str, Any], tools: Tools) -> None:
    """Raise GateFailed if the pulled image, or the model, would leave a volume of the old one behind."""
    image = tools.engine.image(plan.new_retained) if plan.new_retained else None
    if plan.detail.allow_volume_change or image is None:
        return
    found = _problem(plan.name, plan.detail.moves, model, image, tools.engine)
    if found is not None:
        detail, remedy = found
        raise GateFailed(Reason.VOLUME_MOVED, detail, origin.spelt_out(remedy, plan.detail.project))


def _problem(
    name: str, moves: Sequence[Move], model: Mapping[str, Any], image: Image, engine: Engine
) -> tuple[str, str] | None:
    allow = _ALLOW.format(name=name)
    for move in moves:
        wanted = mounts.of_service(model, move.service)
        found = (
            _moved(move, wanted, image, engine)
            or _hidden(move, wanted, image, engine)
            or _lost_by(move, wanted, image, engine)
        )
        if found:
            return found[0], f"{found[1]}; {allow}"
    return None


def _moved(move: Move, wanted: Mounts, image: Image, engine: Engine) -> tuple[str, str] | None:
    """Return what is said of an image that keeps its data elsewhere than its predecessor; None if not so."""
    old = engine.image(move.old_image_id)
    declared = old.volumes if old else frozenset[str]()
    moved = mounts.moved_place(declared, image.volumes, _places(move, engine), wanted)
    if moved is None:
        return None
    before, place = moved
    named = mounts.in_words([volume for volume in move.volumes if normpath(volume[1]) == before])
    detail = (
        f"{move.service} has its data in {named or before}; the new image keeps them at {place}, a new volume"
    )
    return detail, _MOVE.format(service=move.service, place=place)


def _hidden(move: Move, wanted: Mounts, image: Image, engine: Engine) -> tuple[str, str] | None:
    """Return what is said of a new volume that would hide what stands in a mount; None if there is none."""
    for place, above in mounts.hidden_places(image.volumes, _places(move, engine), wanted):
        paths = _paths_below(move, above, place, engine)
        is_empty = bool(paths) and not any(map(may_hold_files, paths))
        if is_empty:
            continue
        named = mounts.in_words([volume for volume in move.volumes if volume[1] == above])
        detail = (
            f"{move.service} has its data in {named or above}; the new image would mount a new volume at "
            f"{place}, and hide what is there"
        )
        remedy = _BIND if paths else _COPY
        return detail, remedy.format(path="".join(paths[:1]), place=place, service=move.service)
    return None


def _paths_below(move: Move, above: str, place: str, engine: Engine) -> list[str]:
    """Return what the host calls a place below a mount of a path; none if a volume is mounted there."""
    found = (engine.settings(one) for one in move.container_ids)
    binds = frozenset[tuple[str, str]]().union(*(settings.binds for settings in found if settings))
    sources = sorted(path for path, at in binds if at == above)
    return [f"{source.rstrip('/')}{place.removeprefix(above)}" for source in sources]


def _lost_by(move: Move, wanted: Mounts, image: Image, engine: Engine) -> tuple[str, str] | None:
    """Return what is said of volumes that the new container would not have; None if it has them all."""
    lost = mounts.not_carried_over(move.volumes, wanted, image.volumes, _lent(move, engine))
    if not lost:
        return None
    replaced = mounts.replaced(lost, wanted)
    if replaced:
        return f"{move.service} has {replaced}", _REPLACED.format(service=move.service)
    return f"{move.service} has {mounts.in_words(lost)}, and with the new image would start without", _KEEP


def _lent(move: Move, engine: Engine) -> frozenset[Volume]:
    settings = (engine.settings(one) for one in move.container_ids)
    lenders = [name for one in settings if one for name in one.volumes_from]
    return frozenset(_mounted(lenders, engine))


def _places(move: Move, engine: Engine) -> frozenset[str]:
    settings = [engine.settings(one) for one in move.container_ids]
    return frozenset(place for one in settings if one for _, place in (*one.volumes, *one.binds))


def verify(plan: Plan[ComposePlan], tools: Tools) -> tuple[str, ...]:
    """Raise GateFailed if a volume that the old containers had is not mounted again at its place.

    If the service allows that, return it as words instead.
    """
    lost = {move.service: _lost(move, plan, tools.engine) for move in plan.detail.everyone}
    words = [
        f"{service} runs without {mounts.in_words(some)}, which still exists"
        for service, some in lost.items()
        if some
    ]
    if words and not plan.detail.allow_volume_change:
        raise GateFailed(
            Reason.VOLUME_LOST, "; ".join(words), "see which data are there with `docker volume inspect`"
        )
    return tuple(words)


def verify_old(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Raise GateFailed as `verify` after a rollback, whatever the service allows.

    The old release never does without its data.
    """
    strict = replace(plan.detail, allow_volume_change=False)
    verify(replace(plan, detail=strict), tools)


def _lost(move: Move, plan: Plan[ComposePlan], engine: Engine) -> tuple[Volume, ...]:
    containers = _containers(plan, move, engine)
    there = _mounted([each.id for each in containers], engine)
    return tuple(volume for volume in move.volumes if volume not in there)


def _containers(plan: Plan[ComposePlan], move: Move, engine: Engine) -> list[Container]:
    return [
        each for each in engine.containers(plan.detail.project.name, move.service) if not is_leftover(each)
    ]


# ------------------------------------------------------------------------------------------------- going back


def bring_back(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Let the rollback's `up` find the volumes of the old containers.

    Compose carries a volume without a name over from the container that it replaces, and the one of the new
    release may not have it. So that one gives way to a container that is never started, has the volumes at
    their places, and is replaced by the old release.

    Repeatable: it is made, takes the place and gets its name as in a recreate of Compose's own, and what a
    kill leaves of it is what `recreate.tidy` clears up. If the engine refuses, `verify_old` says what is
    missing.
    """
    everyone = plan.detail.everyone
    if not any(move.volumes for move in everyone):
        return
    tidy(plan.detail.project, [move.service for move in everyone], tools)
    existing = tools.engine.volume_names()
    for move in everyone:
        lost = [volume for volume in _lost(move, plan, tools.engine) if volume[0] in existing]
        for container in _containers(plan, move, tools.engine):
            returned = {place: name for name, place in reversed(lost)}
            lost = [(name, place) for name, place in lost if returned[place] != name]
            if returned:
                _give_back(container, move, returned, tools)


def _give_back(container: Container, move: Move, returned: Mapping[str, str], tools: Tools) -> None:
    engine = tools.engine
    old = {place: name for name, place in _mounted([container.id], engine) if (name, place) in move.volumes}
    labels = {**container.labels, _HASH_LABEL: "volumes"}  # none of Compose's own: it is recreated for sure
    temporary = f"{container.id[:12]}_{container.name}"
    try:
        made = engine.create_container(move.old_image_id, temporary, labels, {**old, **returned})
        engine.stop_container(container.id)
        engine.remove_container(container.id)
        engine.rename_container(made, container.name)
    except EngineUnavailable:
        raise
    except EngineError as error:
        tools.tell(Step.RESTART, f"the volumes of {container.name} could not be given back: {error}")


def naming_leftovers(plan: Plan[ComposePlan], cause: Cause, tools: Tools) -> Cause:
    """Return the cause of a rollback with the unnamed volumes that were made for the failed release alone.

    They stay when its containers go, and are never removed by us.
    """
    known = {name for move in plan.detail.moves for name, _ in move.volumes}
    found: set[str] = set()
    for move in plan.detail.moves:
        failed = [
            each.id for each in _containers(plan, move, tools.engine) if each.image_id == plan.new_retained
        ]
        found |= {name for name, _ in _mounted(failed, tools.engine) if mounts.is_anonymous(name)}
    left = ", ".join(sorted(found - known))
    return (
        replace(cause, message=f"{cause.message}; what it wrote is left in volume {left}") if left else cause
    )
