"""What an `up` of an update group would do to everything else, asked of Compose before anything is touched.

A dry run is believed as far as it can be read: it has to name every container of the group. One that does
not, or whose form is not known, is none at all; then the models are compared (`drift`), and dependencies are
kept out of the `up`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from updater_core.errors import ComposeError
from updater_core.models import Hold, Reason
from updater_core.protocols import Compose, Engine, Preview
from updater_core.targets.compose import dependencies
from updater_core.targets.compose.dependencies import Dependency
from updater_core.targets.compose.plan import Group
from updater_core.targets.compose.reading import origin
from updater_core.targets.compose.reading.leftover import TEMPORARY_NAME, is_leftover

_LEFT_ALONE = frozenset({"Running", "Waiting", "Healthy", "Exited", "Skipped"})
# "Created": it is there, and stopped
_STARTED = frozenset({"Starting", "Started", "Restart", "Restarted", "Created"})
# The first version whose configuration hash leaves `depends_on` out.
_HASH_WITHOUT_DEPENDENCIES = (2, 29, 3)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of an `up` before it.

    `preview`: None if Compose cannot tell; `with_dependencies`: whether the `up` may be let see the
    dependencies, for each of them is running and would be left alone.

    `--no-deps` gives a service with `depends_on` another configuration hash up to Compose 2.29.2, so that the
    operator's next `up` would recreate it once more; later it empties a label.
    """

    preview: Preview | None
    with_dependencies: bool


def of_group(group: Group, engine: Engine, compose: Compose) -> Outlook | Hold:
    """Return what an `up` of the group would do; a Hold if it would wait, or touch anything else."""
    # Before the dry run, which would wait for the dependency as long as a real `up`.
    waiting = _unready_dependency(group, engine)
    if waiting is not None:
        return waiting
    if _would_wait_for_itself(group, engine):
        return Outlook(None, with_dependencies=False)
    try:
        return _previewed(group, engine, compose)
    # A dependency may have become unhealthy while Compose was asked: that explains the error better than
    # Compose's words.
    except ComposeError:
        became_unready = _unready_dependency(group, engine)
        if became_unready is not None:
            return became_unready
        raise


def would_change(preview: Preview, container: str) -> bool:
    """Return whether more would happen to a container than that it is started."""
    return bool(_said_of(preview, container) - _LEFT_ALONE - _STARTED)


def _previewed(group: Group, engine: Engine, compose: Compose) -> Outlook | Hold:
    absent = _absent_one_shots(group, engine)
    replicas = {service: count for service, count in group.replicas.items() if service not in absent}
    whole = None
    is_quiet = False
    # A dry run waits for a one-shot without container for ever, so with one the dependencies are left out.
    if not absent:
        whole = _readable(compose.preview(group.project, replicas, with_dependencies=True), group, engine)
        if whole is None:
            return Outlook(None, with_dependencies=False)
        is_quiet = not _touched(whole, group, engine)
        # The usual outcome: nothing else is touched and nothing was edited, so one dry run is enough.
        if is_quiet and not _changes_group(whole, group, engine):
            return Outlook(whole, with_dependencies=True)
    alone = _readable(_without_dependencies(_calls(group, absent), group, compose), group, engine)
    if alone is None:
        return Outlook(None, with_dependencies=False)
    touched = _touched(alone, group, engine)
    if touched:
        return _touching(group, touched)
    itself = _of_the_group_itself(_Previews(whole, alone), absent, group, engine, compose)
    return Outlook(itself, with_dependencies=is_quiet)


def _absent_one_shots(group: Group, engine: Engine) -> frozenset[str]:
    """Return the one-shots without a container: a dry run waits for them for ever, for it runs nothing."""
    found = dependencies.behind(group.model, group.services)
    names = {each.on for each in found if each.condition == dependencies.COMPLETED}
    return frozenset(name for name in names if not engine.containers(group.project.name, name))


@dataclass(frozen=True, slots=True)
class _Previews:
    """Dry runs with the dependencies, which may be impossible, and without them."""

    whole: Preview | None
    alone: Preview


def _of_the_group_itself(
    both: _Previews, absent: frozenset[str], group: Group, engine: Engine, compose: Compose
) -> Preview | None:
    """Return the preview that says what the group's own files would change of it, if one does.

    Up to 2.29.2 `--no-deps` makes another configuration hash (docker/compose#12069), which a container that
    was started so has, by the operator or by us; and a dependency that is recreated takes its dependents
    along. So there either may say that a container would be recreated which nobody has edited, but one that
    says the opposite is right.
    """
    is_settled = _numbers(compose.version) >= _HASH_WITHOUT_DEPENDENCIES or not _changes_group(
        both.alone, group, engine
    )
    if is_settled:
        return both.alone
    one_by_one = [[service] for service in sorted(group.services - absent)]
    singly = _without_dependencies(one_by_one, group, compose) if len(one_by_one) > 1 else None
    said = [each for each in (both.alone, singly, both.whole) if each is not None]
    mildest = _mildest(said, group, engine)
    if not _changes_group(mildest, group, engine):
        return mildest
    if both.whole is None:
        return None
    own = _container_names(group, engine)
    others = [name for name in _named_containers(both.whole) if name not in own]
    changes_others = any(would_change(both.whole, name) for name in others if not _is_own(name, own, group))
    return None if changes_others else mildest


def _mildest(previews: Sequence[Preview], group: Group, engine: Engine) -> Preview:
    """Return of each container what the first preview says that leaves it as it is, if one does."""
    said: dict[str, frozenset[str]] = {}
    for name in _container_names(group, engine):
        kind = next((each for each in previews if not would_change(each, name)), previews[0])
        said[f"Container {name}"] = _said_of(kind, name)
    return Preview(said)


def _calls(group: Group, absent: frozenset[str]) -> list[list[str]]:
    """Return the services of each `up` of an update: a one-shot has its own, before that of all others."""
    first = [[move.service] for move in group.everyone if move.runs_first and move.service not in absent]
    steady = [move.service for move in group.everyone if not move.runs_first and move.service not in absent]
    return [*first, steady] if steady else first


def _without_dependencies(calls: Sequence[Sequence[str]], group: Group, compose: Compose) -> Preview | None:
    """Return what a dry run of each of these calls says, together; None if one cannot be read.

    Compose takes `depends_on` out of its reckoning only for what is not named beside, so it has to be asked
    as it will be called.
    """
    said: dict[str, frozenset[str]] = {}
    for services in calls:
        # Without a count Compose would shrink a service that was started with `--scale` to one container.
        replicas = {service: group.replicas[service] for service in services}
        found = compose.preview(group.project, replicas, with_dependencies=False)
        if found is None:
            return None
        for resource, words in found.said.items():
            # One call may leave alone what another recreates; what happens is all of it.
            said[resource] = said.get(resource, frozenset()) | words
    return Preview(said)


def _changes_group(preview: Preview, group: Group, engine: Engine) -> bool:
    return any(would_change(preview, name) for name in _container_names(group, engine))


def _named_containers(preview: Preview) -> list[str]:
    pairs = [resource.split(" ", 1) for resource in preview.said]
    return [name for kind, name in pairs if kind == "Container"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def _readable(preview: Preview | None, group: Group, engine: Engine) -> Preview | None:
    """Return the preview if it names every container of the group: `up` says at least that each runs."""
    if preview is None:
        return None
    missed = [name for name in _container_names(group, engine) if not _said_of(preview, name)]
    return None if missed else preview


def _container_names(group: Group, engine: Engine) -> list[str]:
    found = [each for service in group.services for each in engine.containers(group.project.name, service)]
    return [each.name for each in found if not is_leftover(each)]


def _said_of(preview: Preview, container: str) -> frozenset[str]:
    """Return all that a dry run says of a container, also under a recreate's name `<id>_<name>`."""
    said = frozenset[str]()
    for resource, words in preview.said.items():
        kind, _, name = resource.partition(" ")
        # While Compose recreates, the new container is called `<id of the old>_<name>`.
        temporary = TEMPORARY_NAME.fullmatch(name)
        if kind == "Container" and container in (name, temporary[2] if temporary else name):
            said |= words
    return said


def _touched(preview: Preview, group: Group, engine: Engine) -> list[str]:
    """Return what a dry run would change besides the group, in words.

    A network or volume that is made is of no harm.
    """
    own = {each.name for service in group.services for each in engine.containers(group.project.name, service)}
    found = []
    for resource, words in preview.said.items():
        kind, _, name = resource.partition(" ")
        # A new container would be one of a service that the operator has not started.
        harmless = _LEFT_ALONE if kind == "Container" else _LEFT_ALONE | {"Creating", "Created"}
        if words - harmless and not (kind == "Container" and _is_own(name, own, group)):
            found.append(f"{kind.lower()} {name} ({', '.join(sorted(words - harmless))})")
    return found


def _is_own(name: str, own: Iterable[str], group: Group) -> bool:
    """Return whether a container is the group's, or will be: one that is not made yet has only its name."""
    temporary = TEMPORARY_NAME.fullmatch(name)
    names = {name, temporary[2]} if temporary else {name}
    return bool(names & {*own, *_given_names(group)}) or any(_is_usual(one, group) for one in names)


def _given_names(group: Group) -> list[str]:
    services = group.model.get("services") or {}
    return [str((services.get(service) or {}).get("container_name")) for service in group.services]


def _is_usual(name: str, group: Group) -> bool:
    """Return whether Compose gives such a name to a container of these services.

    `shop-web-1` or `shop_web_1`.
    """
    match = re.fullmatch(rf"{re.escape(group.project.name)}[-_](.+)[-_]\d+", name)
    return match is not None and match[1] in group.services


def _touching(group: Group, touched: Sequence[str]) -> Hold:
    detail = f"`docker compose up` of {_listed(group.services)} would also touch {', '.join(touched)}"
    command = origin.by_hand(group.project, f"--dry-run up -d {' '.join(sorted(group.services))}")
    remedy = f"look at `{command}`; if that is meant, run it yourself without --dry-run"
    return Hold(Reason.TOUCHES_OTHERS, detail, remedy)


def _unready_dependency(group: Group, engine: Engine) -> Hold | None:
    """Return a Hold that names the first dependency that an `up` would wait for, or fail on; else None."""
    # A dependency within the group comes up with it, so only the others have to be ready.
    outside = [
        each for each in dependencies.behind(group.model, group.services) if each.on not in group.services
    ]
    found = _first_unready(outside, group, engine)
    if found is None:
        return None
    dependency, state = found
    detail = f"{dependency.service} waits for {dependency.on} ({dependency.condition}), which is {state}"
    remedy = f"it goes on by itself when {dependency.on} is ready; see `docker compose logs {dependency.on}`"
    return Hold(Reason.DEPENDENCY_NOT_READY, detail, remedy)


def _would_wait_for_itself(group: Group, engine: Engine) -> bool:
    """Return whether one service of the group waits for another that is not ready now.

    A new release may well cure that.
    """
    inside = [each for each in dependencies.behind(group.model, group.services) if each.on in group.services]
    return _first_unready(inside, group, engine) is not None


def _first_unready(
    found: Sequence[Dependency], group: Group, engine: Engine
) -> tuple[Dependency, str] | None:
    waited_for = {each.on for each in found if each.condition != dependencies.STARTED}
    now = {name: engine.containers(group.project.name, name) for name in waited_for}
    return next(dependencies.waiting_for(found, now), None)


def _listed(services: Iterable[str]) -> str:
    return ", ".join(sorted(services))
