"""Recreates what depends on a group's containers, in whatever project it is, behind the group itself."""

from __future__ import annotations

from updater_core.deploy import health
from updater_core.errors import ComposeError
from updater_core.models import Container, Plan
from updater_core.protocols import Recreate, Tools
from updater_core.targets.compose import recreate
from updater_core.targets.compose.plan import ComposePlan, of_dependents

# Without the group a dependent has no network at all, so waiting for longer costs more than it protects.
_LONGEST_WAIT_SECONDS = 60.0
_LOOK_EVERY_SECONDS = 0.25


def bring_up(plan: Plan[ComposePlan], tools: Tools, *, is_back: bool = False) -> None:
    """Let Compose bring the group to what files and tags say, then all that lost something by it.

    That is a namespace or a volume. Repeatable: what has not lost any is left alone. Raises as
    `recreate.restart`; GateFailed too if a container of the group shows that it will not do well.
    """
    recreate.restart(plan, tools, is_back=is_back)
    has_waited = False
    for dependent in of_dependents(plan):
        how = _needed(dependent, tools)
        if how is None:
            continue
        if not has_waited:
            _await_group(plan, tools, is_back=is_back)
            has_waited = True
        _up(dependent, how, plan, tools, is_back=is_back)


def _needed(dependent: Plan[ComposePlan], tools: Tools) -> Recreate | None:
    """Return how the dependents of one project are brought up; None if all of them run where they should."""
    how = None
    for move in dependent.detail.dependents:
        found = tools.engine.containers(dependent.detail.project.name, move.service)
        if any(recreate.has_lost_its_namespace(each, tools) for each in found):
            # Compose sees no difference in a container whose namespace is gone, so it has to be forced.
            return Recreate.ALL
        if len(found) < move.replicas or any(each.status != "running" for each in found):
            how = Recreate.CHANGED
    return how


def _await_group(plan: Plan[ComposePlan], tools: Tools, *, is_back: bool) -> None:
    """Return when the group does well, for what lives in its network may need it.

    After a minute anyhow, for without it that has no network at all. Raises GateFailed if a container of the
    wanted release shows before that it will not do well.
    """
    until = tools.clock.monotonic() + _LONGEST_WAIT_SECONDS
    with tools.engine.watch_liveness() as was_there:
        while not all(health.is_well(each) for each in _of_group(plan, tools)):
            recreate.raise_unless_compose(plan, was_there, tools, is_back=is_back)
            if tools.clock.monotonic() >= until:
                return
            tools.clock.sleep(_LOOK_EVERY_SECONDS)


def _of_group(plan: Plan[ComposePlan], tools: Tools) -> list[Container]:
    """Return the containers of the group that have to go on running, as far as they did before."""
    moves = [move for move in plan.detail.everyone if move.was_well and not move.is_one_shot]
    return [
        each for move in moves for each in tools.engine.containers(plan.detail.project.name, move.service)
    ]


def _up(
    dependent: Plan[ComposePlan], how: Recreate, plan: Plan[ComposePlan], tools: Tools, *, is_back: bool
) -> None:
    """Run `up` for a dependent, and once more; a container of the group that ends is why it cannot start."""
    detail = dependent.detail
    with tools.engine.watch_liveness() as was_there:
        try:
            recreate.up(
                detail.dependents, dependent, tools, with_dependencies=detail.with_dependencies, recreate=how
            )
        except ComposeError:
            tools.engine.version()
            try:
                recreate.up(detail.dependents, dependent, tools, recreate=how)
            except ComposeError as error:
                recreate.raise_unless_compose(plan, was_there, tools, is_back=is_back)
                raise ComposeError(f"project {detail.project.name}: {error}", error.remedy) from error
