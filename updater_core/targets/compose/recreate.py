"""Let Compose restart an update group, after clearing up what a killed Compose left.

Repeatable without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from updater_core.deploy import health
from updater_core.errors import ComposeError, EngineUnavailable, GateFailed
from updater_core.models import Container, Plan, Project, Reason
from updater_core.protocols import Recreate, Tools
from updater_core.targets.compose.plan import ComposePlan, Move, parts
from updater_core.targets.compose.reading.leftover import TEMPORARY_NAME, is_leftover


def restart(plan: Plan[ComposePlan], tools: Tools, *, is_back: bool = False) -> None:
    """Let Compose bring the group and its dependents to what files and tags say now.

    But for the one-shots that run before them. One retry, after tidying again. A group that still runs as it
    did is left alone in the rollback: only its one-shots have been run, or the engine refused its successors.

    Raises ComposeError if Compose fails in both tries, GateFailed if the engine shows that a container of the
    wanted release is why (`is_back`: the old release is wanted), and EngineUnavailable if the engine was away
    meanwhile.
    """
    steady = [move for move in plan.detail.everyone if not move.runs_first]
    is_untouched = is_back and _run_as_before(steady, plan, tools)
    if is_untouched and tools.compose.is_v1:
        return  # of v1 every dependent counts as stale
    if not is_untouched:
        _up_twice(steady, plan, tools, is_back=is_back)
    stale = [move for move in plan.detail.dependents if not move.runs_first and _is_stale(plan, move, tools)]
    if stale:
        up(stale, plan, tools, recreate=Recreate.ALL)


def _run_as_before(moves: Sequence[Move], plan: Plan[ComposePlan], tools: Tools) -> bool:
    """Return whether the group still runs as it did.

    Up to 2.29.2 an `up` without dependencies would recreate it, for its configuration hash is another then.
    """
    tidy(plan.detail.project, [move.service for move in moves], tools)
    for move in moves:
        containers = tools.engine.containers(plan.detail.project.name, move.service)
        is_same = {container.id for container in containers} == set(move.container_ids)
        are_running = all(container.status == "running" for container in containers)
        if not (containers and is_same and are_running):
            return False
    return True


def run(move: Move, plan: Plan[ComposePlan], tools: Tools, *, is_back: bool = False) -> None:
    """Let Compose make a one-shot's container and start it; return when it runs, or has ended.

    As the files and tags say now. One retry, after tidying again.
    """
    _up_twice([move], plan, tools, is_back=is_back)


def _up_twice(moves: Sequence[Move], plan: Plan[ComposePlan], tools: Tools, *, is_back: bool) -> None:
    is_whole = all(not move.runs_first for move in moves)
    with tools.engine.watch_liveness() as was_there:
        try:
            up(moves, plan, tools, with_dependencies=is_whole and plan.detail.with_dependencies)
        except ComposeError:
            tools.engine.version()  # an engine that is gone is not Compose's fault, and not the release's
            try:
                up(moves, plan, tools)
            except ComposeError:
                raise_unless_compose(plan, was_there, tools, is_back=is_back)
                raise


def up(
    moves: Sequence[Move],
    plan: Plan[ComposePlan],
    tools: Tools,
    *,
    with_dependencies: bool = False,
    recreate: Recreate = Recreate.CHANGED,
) -> None:
    """Run `up` once for `moves` in the plan's project, after tidying.

    Raises ComposeError if Compose fails.
    """
    everyone = plan.detail.everyone
    tidy(plan.detail.project, [move.service for move in everyone], tools)
    tools.compose.up(
        plan.detail.project,
        {move.service: move.replicas for move in moves},
        with_dependencies=with_dependencies,
        recreate=recreate,
        grace_seconds=max(move.stop_grace_seconds for move in everyone) * 2,
    )


def raise_unless_compose(
    plan: Plan[ComposePlan], was_there: Callable[[], bool], tools: Tools, *, is_back: bool
) -> None:
    """Ask the engine why Compose failed, for its exit status does not tell; return if Compose is to blame.

    Raises EngineUnavailable if the engine was away, GateFailed if a container of the wanted release is why.
    An old container that has ended is one that Compose itself had stopped: of those only one that cannot be
    started counts.
    """
    tools.engine.version()
    if not was_there():
        raise EngineUnavailable("the engine was away for a moment")
    telling = (
        {Reason.UP_FAILED}
        if is_back
        else {Reason.UP_FAILED, Reason.EXITED, Reason.RESTARTING, Reason.UNHEALTHY}
    )
    new_ids = {move.service: part.new_retained for part in parts(plan) for move in part.detail.moves}
    for move in plan.detail.moves:
        wanted_id = move.old_image_id if is_back else new_ids[move.service]
        expectation = health.Expectation(
            move.service, move.replicas, plan.gate, move.is_one_shot, may_end=move.may_end
        )
        for container in tools.engine.containers(plan.detail.project.name, move.service):
            failed = health.failure_of(container, expectation)
            if container.image_id == wanted_id and failed is not None and failed.reason in telling:
                raise GateFailed(failed.reason, failed.message)


def _is_stale(plan: Plan[ComposePlan], dependent: Move, tools: Tools) -> bool:
    """Return whether Compose left a dependent in a namespace that is gone.

    v1 does not see that the container which it joins was replaced, and v2 does not if it is joined by its
    container's name, or was only stopped and started again.
    """
    if tools.compose.is_v1:
        return True
    containers = tools.engine.containers(plan.detail.project.name, dependent.service)
    return any(has_lost_its_namespace(each, tools) for each in containers)


def has_lost_its_namespace(container: Container, tools: Tools) -> bool:
    """Return whether a container that it shares a namespace or volumes with is gone, or started later.

    A namespace ends with the container that it was made for.
    """
    settings = tools.engine.settings(container.id)
    lenders = settings.volumes_from if settings else ()
    others = [tools.engine.container(name) for name in (*container.joined, *lenders)]
    return any(other is None or _was_started_after(other, container) for other in others)


def _was_started_after(one: Container, other: Container) -> bool:
    try:
        return datetime.fromisoformat(one.started_at) > datetime.fromisoformat(other.started_at)
    except (ValueError, TypeError):  # TypeError: only one of them says its zone
        return False


def tidy(project: Project, services: Sequence[str], tools: Tools) -> None:
    """Clear up what a Compose that was killed in the middle of a recreate left: a container `<id>_<name>`.

    v1 renames the old container so, and gives its own id; v2 the new one, and gives the id of the old. An
    aborted replacement goes, a lone survivor gets its name back.
    """
    for service in services:
        containers = tools.engine.containers(project.name, service)
        for container in containers:
            match = TEMPORARY_NAME.fullmatch(container.name)
            if match and is_leftover(container):
                _tidy_one(container, match[1], match[2], containers, tools)


def _tidy_one(
    container: Container, prefix: str, name: str, others: Sequence[Container], tools: Tools
) -> None:
    if container.id.startswith(prefix):
        for other in others:
            if other.name == name:  # v1's replacement, made and not finished: the next `up` makes it anew
                tools.engine.stop_container(other.id)
                tools.engine.remove_container(other.id)
        tools.engine.rename_container(container.id, name)
    elif tools.engine.container(prefix) is not None:
        tools.engine.remove_container(container.id)
    else:
        tools.engine.rename_container(container.id, name)
