"""Start-first on the engine: start beside, gate the new alone, drain, then stop and remove the old by id.

The old containers are those that the plan knows by id; every other one of the services is new. They go by id
and never by `--scale`: below Compose 2.31 that removes the new ones and recreates the old.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from updater_core.deploy import health
from updater_core.deploy.target import Stage
from updater_core.errors import ComposeError, EngineError, EngineUnavailable, GateFailed, Stopped
from updater_core.models import Cause, Container, Plan, Reason, Step
from updater_core.protocols import Recreate, Tools
from updater_core.targets.compose import gate, recreate
from updater_core.targets.compose.plan import ComposePlan, Move

_LOOK_EVERY_SECONDS = 0.25
_NEXT_START = "nothing to do: the next start carries on"
# A command that hangs must not keep both generations up for ever.
_DRAIN_COMMAND_SECONDS = 60.0
_BEHIND_THE_DRAIN = {Step.SWITCH, Step.VERIFY, Step.COMMIT}


def stages(plan: Plan[ComposePlan], tools: Tools) -> tuple[Stage, ...]:
    """Return the stages between the edit of the files and the verification.

    The old containers are untouched up to the last one; that one is the point of no return, for a drained
    container takes no more requests.
    """
    services = ", ".join(move.service for move in plan.detail.moves)
    return (
        Stage(Step.START, lambda: start_beside(plan, tools), f"starting {services} beside what runs"),
        Stage(Step.GATE, lambda: gate_beside(plan, tools)),
        Stage(
            Step.SWITCH, lambda: switch(plan, tools), f"switching {services} over", is_point_of_no_return=True
        ),
    )


def start_beside(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Let Compose start as many new containers as there are old ones. Repeatable: those that are there count.

    Raises ComposeError if it fails twice, GateFailed if a new container shows why, EngineUnavailable if the
    engine was away meanwhile.
    """
    with tools.engine.watch_liveness() as was_there:
        try:
            _up_beside(plan, tools, with_dependencies=plan.detail.with_dependencies)
        except ComposeError:
            # Raises EngineUnavailable if the engine is gone: then Compose was not the cause.
            tools.engine.version()
            try:
                _up_beside(plan, tools, with_dependencies=False)
            except ComposeError:
                recreate.raise_unless_compose(plan, was_there, tools, is_back=False)
                raise


def _up_beside(plan: Plan[ComposePlan], tools: Tools, *, with_dependencies: bool) -> None:
    # The total that Compose is to reach: after a kill some of the new ones are there already.
    wanted = {move.service: len(_old(move, plan, tools)) + move.replicas for move in plan.detail.moves}
    tools.compose.up(
        plan.detail.project,
        wanted,
        with_dependencies=with_dependencies,
        recreate=Recreate.NONE,
        grace_seconds=0.0,
    )


def gate_beside(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Wait until the new containers have proven themselves.

    Raises GateFailed as soon as one of them shows that it will not.
    """
    name = plan.detail.project.name
    wanted = [gate.Watched(name, move.service, _expectation(move, plan)) for move in plan.detail.moves]
    start_again = partial(start_beside, plan, tools)  # starts what an outage has stopped of the old ones, too
    gate.until_proven(wanted, tools, lambda: gate.after_outage(start_again, tools))


def _expectation(move: Move, plan: Plan[ComposePlan]) -> health.Expectation:
    old_ids = frozenset(move.container_ids)
    return health.Expectation(move.service, move.replicas, plan.gate, old_ids=old_ids, is_beside_old=True)


def switch(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Drain the old containers, then stop and remove them. Repeatable: those that are gone are left out.

    Raises GateFailed if a new container does not do well any more while an old one is still there,
    EngineUnavailable if the engine keeps going away.
    """
    for _ in range(gate.MOST_OUTAGES):
        try:
            _drain(plan, tools)
            for move in plan.detail.moves:
                _replace_old(move, plan, tools)
        except EngineUnavailable:
            tools.tell(Step.SWITCH, "the engine went away; waiting for it")
            gate.await_engine(tools)
        else:
            return
    raise EngineUnavailable("the engine keeps going away", "see the engine's own log")


def _drain(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Run the drain command; one that fails does not stop the update.

    The new containers are proven, and an old one may be drained by half.
    """
    handover = plan.detail.handover
    old = [each for move in plan.detail.moves for each in _old(move, plan, tools) if each.status == "running"]
    # All gone by an earlier try of this stage: nothing is left to drain.
    if not old:
        return
    for container in old if handover.drain_command else ():
        problem = _drained(container, handover.drain_command, tools)
        if problem:
            tools.tell(Step.SWITCH, f"drain_command in {container.name} {problem}; going on")
    if handover.drain_seconds:
        tools.tell(Step.SWITCH, f"waiting {handover.drain_seconds:g} s for requests under way")
    _watch_new(plan, handover.drain_seconds, tools)


def _drained(container: Container, command: Sequence[str], tools: Tools) -> str | None:
    """Run the drain command; return what went wrong, None if nothing did."""
    try:
        result = tools.engine.run_in_container(container.id, command, _DRAIN_COMMAND_SECONDS)
    except EngineUnavailable:
        raise
    except EngineError as error:
        return f"could not be run: {error}"
    return None if result.exit_code == 0 else f"ended with {result.exit_code}: {result.output.strip()[-200:]}"


def _watch_new(plan: Plan[ComposePlan], seconds: float, tools: Tools) -> None:
    """Look at the new containers for so long, and until each does well.

    After a kill and a reboot they may only just be starting. Raises GateFailed if one is gone, or shows that
    it will not do well.
    """
    until = tools.clock.monotonic() + seconds
    while True:
        are_well = [_heed_new(move, plan, tools) for move in plan.detail.moves]
        if all(are_well) and tools.clock.monotonic() >= until:
            return
        if tools.clock.wait(0):
            raise Stopped("the updater was asked to end before the old containers were drained", _NEXT_START)
        tools.clock.sleep(_LOOK_EVERY_SECONDS)


def _replace_old(move: Move, plan: Plan[ComposePlan], tools: Tools) -> None:
    for container in _old(move, plan, tools):
        # Before each stop: the last old container must not go while the new ones do not serve.
        _watch_new(plan, 0.0, tools)
        tools.tell(Step.SWITCH, f"stopping {container.name}")
        tools.engine.stop_container(container.id)
        tools.engine.remove_container(container.id)


def _heed_new(move: Move, plan: Plan[ComposePlan], tools: Tools) -> bool:
    """Return whether every new container is there and does well now.

    An `up` of the operator's, below Compose 2.31, removes the new ones: then the old ones are all there is.

    Raises GateFailed if one is gone, or shows that it will not do well.
    """
    new = _new(move, plan, tools)
    if len(new) < move.replicas:
        few = (
            f"{len(new)} of {move.replicas} new containers of {move.service} are there, somebody removed "
            "the others"
        )
        raise GateFailed(Reason.NOT_RUNNING, few)
    for container in new:
        failed = health.failure_of(container, _expectation(move, plan))
        if failed is not None:
            raise GateFailed(failed.reason, failed.message)
    return all(health.is_well(container) for container in new)


# ------------------------------------------------------------------------------------------------- going back


def put_back(plan: Plan[ComposePlan], cause: Cause, tools: Tools) -> bool:
    """Remove the new containers, and old ones that may be drained; return whether all the old ones serve.

    Those that may be drained take no requests, whatever they look like. If one of the old ones is not left,
    they have to be brought up.
    """
    # A command that tells an application to drain cannot be taken back by us; a new container of the old
    # release can serve.
    is_drained = bool(plan.detail.handover.drain_command) and cause.step in _BEHIND_THE_DRAIN
    for move in plan.detail.moves:
        drained = _old(move, plan, tools) if is_drained else []
        for container in (*_new(move, plan, tools), *drained):
            tools.engine.stop_container(container.id)
            tools.engine.remove_container(container.id)
    return all(_serves_as_before(move, plan, tools) for move in plan.detail.moves)


def _serves_as_before(move: Move, plan: Plan[ComposePlan], tools: Tools) -> bool:
    old = _old(move, plan, tools)
    is_complete = {each.id for each in old} == set(move.container_ids)
    is_good = health.may_be_well if move.was_well else _is_running
    return is_complete and all(is_good(each) for each in old)


def _is_running(container: Container) -> bool:
    return container.status == "running"


def _old(move: Move, plan: Plan[ComposePlan], tools: Tools) -> list[Container]:
    return [each for each in _containers(move, plan, tools) if each.id in move.container_ids]


def _new(move: Move, plan: Plan[ComposePlan], tools: Tools) -> list[Container]:
    return [each for each in _containers(move, plan, tools) if each.id not in move.container_ids]


def _containers(move: Move, plan: Plan[ComposePlan], tools: Tools) -> Sequence[Container]:
    return tools.engine.containers(plan.detail.project.name, move.service)
