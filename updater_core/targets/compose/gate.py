"""The gate: watch containers until `health` has a verdict on each, and see which image they really run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from updater_core.deploy import health
from updater_core.errors import ComposeError, EngineUnavailable, GateFailed, Stopped
from updater_core.models import Container, GatePolicy, Plan, Project, Reason, Step
from updater_core.protocols import Tools
from updater_core.targets.compose.dependents.restart import bring_up
from updater_core.targets.compose.images import known_id
from updater_core.targets.compose.plan import ComposePlan, Move, of_dependents, parts
from updater_core.targets.compose.preflight import volumes
from updater_core.targets.compose.reading import evidence
from updater_core.targets.compose.recreate import run

# within what service managers allow; one that asks for less kills, as ever
_LONGEST_GATE_AFTER_STOP_SECONDS = 60.0
# An inspect takes a millisecond, and a rollback should begin within two seconds of the failure.
_LOOK_EVERY_SECONDS = 0.25
# An upgrade of the engine's package takes some minutes on a slow host.
_LONGEST_ENGINE_ABSENCE_SECONDS = 300.0
MOST_OUTAGES = 10


@dataclass(frozen=True, slots=True)
class Watched:
    """A service of a project, and what is expected of its containers."""

    project: str
    service: str
    expectation: health.Expectation


def gate_new(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Wait until the group and all that was restarted with it have proven themselves.

    Raises GateFailed as soon as one of them shows that it will not.
    """
    judged = _judged(plan)
    # `up` may keep a container: its image is the same
    old_ids = frozenset(i for _, move in judged for i in move.container_ids)
    wanted = [_watched(plan, project, _expectation(move, plan.gate, old_ids)) for project, move in judged]
    until_proven(wanted, tools, lambda: _restart_after_outage(plan, tools, is_back=False))


def _watched(plan: Plan[ComposePlan], project: Project, expected: health.Expectation) -> Watched:
    """Return what is watched; a service of another project is named with it, for names may be the same."""
    is_own = project.name == plan.detail.project.name
    words = expected.service if is_own else f"{expected.service} of project {project.name}"
    return Watched(project.name, expected.service, replace(expected, service=words))


def _judged(plan: Plan[ComposePlan]) -> list[tuple[Project, Move]]:
    """Return what the release has to live with: its own services, and the others that were well before."""
    own = plan.detail.project
    found = [(own, move) for move in plan.detail.moves]
    # A dependent that was ill before says nothing of the new release.
    found += [(own, move) for move in plan.detail.dependents if move.was_well and not move.runs_first]
    for each in plan.detail.dependent_projects:
        found += [(each.project, move) for move in each.moves if move.was_well]
    return found


def recheck(
    plan: Plan[ComposePlan], tools: Tools, bring_up: Callable[[], None], prove: Callable[[], None]
) -> None:
    """Look once at what has passed the gate.

    If not all is well, `prove` decides, anew and in full: the gate knows an engine that was away from a
    release that fails. `bring_up` starts what an outage has stopped.
    """
    try:
        found = [
            (move, tools.engine.containers(project.name, move.service)) for project, move in _judged(plan)
        ]
    except EngineUnavailable:
        tools.tell(Step.GATE, "the engine went away; waiting for it")
        await_engine(tools)
        after_outage(bring_up, tools)
        prove()
        return
    if not all(_is_as_proven(move, containers) for move, containers in found):
        prove()


def _is_as_proven(move: Move, containers: Sequence[Container]) -> bool:
    # The restarts of a container that `up` has kept may be old ones.
    new = [each for each in containers if each.id not in move.container_ids]
    may_have_ended = move.is_one_shot or move.may_end
    is_well = all(may_have_ended or health.is_well(each) for each in containers)
    return len(containers) >= move.replicas and is_well and not any(each.restart_count for each in new)


def gate_old(
    plan: Plan[ComposePlan], tools: Tools, *, may_be_stopping: bool, before: Sequence[Container]
) -> None:
    """Wait until the old release has proven itself, as far as it was well before.

    `may_be_stopping`: Compose was killed after it asked for a stop that the engine still carries out: watch
    for longer than the stop may take. `before`: the containers that were there before `up`.
    """
    promised = _promised(plan)
    grace_seconds = max((move.stop_grace_seconds for _, move in promised), default=0.0) + 1.0
    # A container that is being stopped looks well until its grace is over.
    stable = max(plan.gate.stable_seconds, grace_seconds) if may_be_stopping else plan.gate.stable_seconds
    policy = replace(plan.gate, stable_seconds=stable)
    # an earlier try may have made them: restarts that are counted on them are history as well
    old_ids = frozenset(i for _, move in promised for i in move.container_ids) | {each.id for each in before}
    ailing = frozenset(each.id for each in before if health.is_ailing(each))
    expected = [(project, _expectation(move, policy, old_ids)) for project, move in promised]
    wanted = [_watched(plan, project, replace(one, ailing_before=ailing)) for project, one in expected]
    until_proven(wanted, tools, lambda: _restart_after_outage(plan, tools, is_back=True))


def promised_containers(plan: Plan[ComposePlan], tools: Tools) -> list[Container]:
    """Return the containers that are there now of what a rollback has to prove."""
    found = [tools.engine.containers(project.name, move.service) for project, move in _promised(plan)]
    return [each for containers in found for each in containers]


def _promised(plan: Plan[ComposePlan]) -> list[tuple[Project, Move]]:
    """Return what was well before the update, or has to run to its end, and has to do so again."""
    pairs = [(plan.detail.project, move) for move in plan.detail.everyone if not move.runs_first]
    pairs += [(each.project, move) for each in plan.detail.dependent_projects for move in each.moves]
    return [(project, move) for project, move in pairs if move.was_well or move.is_one_shot]


def run_one_shots(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Run what has to end with 0 before the group is touched, one after the other.

    Raises GateFailed if one of the new release does not, ComposeError if one of another image does not.
    """
    for move in _running_first(plan):
        # A migration that ran before the kill is not repeated.
        if _has_run_already(move, tools.engine.containers(plan.detail.project.name, move.service)):
            continue
        tools.tell(Step.RESTART, f"running {move.service}, which has to end with 0 before the others start")
        run(move, plan, tools)
        try:
            _await_end(move, plan, tools)
        except GateFailed as error:
            # Its image is not the new one, so the release is not to blame, and not to be quarantined.
            if move in plan.detail.dependents:
                message = f"{move.service}, which has to run before, did not end with 0: {error}"
                raise ComposeError(message, f"see `docker compose logs {move.service}`") from error
            raise


def run_old_one_shots(plan: Plan[ComposePlan], tools: Tools) -> None:
    """Run those again of the old release that a new one has taken the place of.

    One that fails keeps nobody from going back: what it cannot undo, no rollback can.
    """
    for move in _running_first(plan):
        containers = tools.engine.containers(plan.detail.project.name, move.service)
        is_untouched = all(container.image_id == move.old_image_id for container in containers)
        if move in plan.detail.dependents or (containers and is_untouched):
            continue
        try:
            run(move, plan, tools, is_back=True)
            _await_end(move, plan, tools)
        except (GateFailed, ComposeError) as error:
            tools.tell(
                Step.RESTART, f"{move.service} of the old release did not end with 0: {error}; going on"
            )


def _running_first(plan: Plan[ComposePlan]) -> list[Move]:
    """Return the one-shots, those of another image first: the operator's own preparations."""
    # Dependents first: in Compose's order, what prepares the data runs before what migrates it.
    return [move for move in (*plan.detail.dependents, *plan.detail.moves) if move.runs_first]


def _has_run_already(move: Move, containers: Sequence[Container]) -> bool:
    """Return whether this update has run a one-shot before: its containers are new, and ended with 0."""
    new = [each for each in containers if each.id not in move.container_ids]
    return bool(new) and all(each.status == "exited" and each.exit_code == 0 for each in new)


def _await_end(move: Move, plan: Plan[ComposePlan], tools: Tools) -> None:
    expected = _expectation(move, plan.gate, frozenset(move.container_ids))
    _watch([Watched(plan.detail.project.name, move.service, expected)], tools)
    containers = tools.engine.containers(plan.detail.project.name, move.service)
    if any(container.status != "exited" for container in containers):
        message = f"{move.service} has to end with 0 before the others start, and still runs"
        raise GateFailed(
            Reason.GATE_TIMEOUT, message, f"raise health_timeout for {plan.name} if it needs longer"
        )


def verify_new(plan: Plan[ComposePlan], tools: Tools) -> tuple[str, ...]:
    """See that every container of the group runs the image that was pulled by digest.

    Returns what else is worth saying. Raises GateFailed if one does not.
    """
    for part in parts(plan):
        for move in part.detail.moves:
            _verify_image(part, move, known_id(part.new_retained), tools)
    notes = [*volumes.verify(plan, tools)]
    for part in parts(plan):
        notes += _renamed(part, tools)
    for each in of_dependents(plan):
        notes += volumes.verify(each, tools)
    return tuple(notes)


def _renamed(plan: Plan[ComposePlan], tools: Tools) -> Iterator[str]:
    for move in plan.detail.moves:
        found = tools.engine.image(move.new_reference)
        if found is None or found.id != plan.new_retained:
            yield f"{move.new_reference} names another local image by now"


def running_container(plan: Plan[ComposePlan], tools: Tools) -> str | None:
    """Return the first container that runs of the group's first service, a new one first; or None."""
    first = plan.detail.moves[0]
    found = tools.engine.containers(plan.detail.project.name, first.service)
    in_order = sorted(found, key=lambda each: (each.id in first.container_ids, each.name))
    return next((each.id for each in in_order if each.status == "running"), None)


def verify_old(plan: Plan[ComposePlan], tools: Tools) -> None:
    """See that every container of the group runs its old image again, with the volumes that it had.

    Raises GateFailed if one does not.
    """
    for move in plan.detail.moves:
        _verify_image(plan, move, move.old_image_id, tools)
    for each in (plan, *of_dependents(plan)):
        volumes.verify_old(each, tools)


def _expectation(move: Move, policy: GatePolicy, old_ids: frozenset[str]) -> health.Expectation:
    return health.Expectation(
        move.service, move.replicas, policy, move.is_one_shot, old_ids, may_end=move.may_end
    )


def until_proven(wanted: Sequence[Watched], tools: Tools, bring_up: Callable[[], None]) -> None:
    """Look until every expectation is proven.

    An engine that goes away proves nothing: wait for it, bring the group up again (an outage stops containers
    without asking), begin anew.

    Raises GateFailed as soon as a container shows that it will not, EngineUnavailable if the engine goes too
    often.
    """
    for _ in range(MOST_OUTAGES):
        try:
            _watch(wanted, tools)
        except EngineUnavailable:
            tools.tell(Step.GATE, "the engine went away; waiting for it")
            await_engine(tools)
            bring_up()
        else:
            return
    raise EngineUnavailable("the engine keeps going away", "see the engine's own log")


def _watch(wanted: Sequence[Watched], tools: Tools) -> None:
    with tools.engine.watch_liveness() as was_there:
        _watch_until_proven(wanted, was_there, tools)


def _watch_until_proven(wanted: Sequence[Watched], was_there: Callable[[], bool], tools: Tools) -> None:
    begun = tools.clock.monotonic()
    tracks = {one: health.Track(begun) for one in wanted}
    said = ""
    stop_asked_at: float | None = None
    while True:
        waiting = []
        for one in wanted:
            containers = tools.engine.containers(one.project, one.service)
            now = tools.clock.monotonic()
            tracks[one], verdict = health.judge(tracks[one], containers, one.expectation, now)
            if isinstance(verdict, health.Failed):
                _raise_unless_outage(verdict, was_there, tools, containers)
            if isinstance(verdict, health.Waiting):
                waiting.append(verdict.what)
        if not waiting:
            return
        said = _tell_once("; ".join(waiting), said, tools)
        stop_asked_at = _heed_stop(stop_asked_at, tools)
        # Polled, and not by events: a flip to unhealthy between two crashes makes none, and an outage loses
        # all of them.
        tools.clock.sleep(_LOOK_EVERY_SECONDS)


def _heed_stop(asked_at: float | None, tools: Tools) -> float | None:
    """Return when a stop was first found to be asked for; None if it is not.

    Raises Stopped a while after that: most gates end by then, and one that may take hours keeps nobody
    waiting.
    """
    if not tools.clock.wait(0):
        return None
    now = tools.clock.monotonic()
    if asked_at is not None and now - asked_at > _LONGEST_GATE_AFTER_STOP_SECONDS:
        raise Stopped(
            "the updater was asked to end before the gate had", "nothing to do: the next start takes it up"
        )
    return now if asked_at is None else asked_at


def _raise_unless_outage(
    verdict: health.Failed, was_there: Callable[[], bool], tools: Tools, containers: Sequence[Container]
) -> None:
    """Raise GateFailed for a verdict, unless the engine was away meanwhile.

    An engine that is going down, or was away between two looks, ends containers too: only one that still
    answers, and did so all the time, lets a release be blamed.
    """
    # Raises EngineUnavailable if the engine is gone by now.
    tools.engine.version()
    if not was_there():
        raise EngineUnavailable("the engine was away for a moment")
    raise GateFailed(verdict.reason, evidence.without_secrets(verdict.message, containers, tools))


def _tell_once(text: str, said: str, tools: Tools) -> str:
    # The seconds that are left change at each look; only the rest is new.
    plain = re.sub(r"\d+ s ", "", text)
    if plain != said:
        tools.tell(Step.GATE, text)
    return plain


def await_engine(tools: Tools) -> None:
    """Return when the engine has answered twice, a second apart.

    One that goes down or comes up may answer once. Raises EngineUnavailable if it does not within five
    minutes.
    """
    deadline = tools.clock.monotonic() + _LONGEST_ENGINE_ABSENCE_SECONDS
    answers = 0
    while answers < 2:
        tools.clock.sleep(1.0)
        try:
            tools.engine.version()
            # It answers `version` before it has loaded its containers.
            tools.engine.compose_containers()
            answers += 1
        except EngineUnavailable:
            answers = 0
            if tools.clock.monotonic() > deadline:
                raise


def _restart_after_outage(plan: Plan[ComposePlan], tools: Tools, *, is_back: bool) -> None:
    after_outage(lambda: bring_up(plan, tools, is_back=is_back), tools)


def after_outage(bring_up: Callable[[], None], tools: Tools) -> None:
    """Bring containers up while the engine restarts some by itself: the first tries may meet a conflict."""
    for _ in range(5):
        try:
            bring_up()
        except ComposeError:
            tools.clock.sleep(1.0)
        else:
            return
    bring_up()


def _verify_image(plan: Plan[ComposePlan], move: Move, image_id: str, tools: Tools) -> None:
    containers = tools.engine.containers(plan.detail.project.name, move.service)
    others = [container.name for container in containers if container.image_id != image_id]
    if others:
        what = f"{', '.join(others)} runs another image"
        raise GateFailed(Reason.DIGEST_MISMATCH, f"{move.service} should run {image_id[:19]}: {what}")
    if len(containers) < move.replicas:
        few = f"{len(containers)} of {move.replicas} containers are there, somebody removed the others"
        raise GateFailed(Reason.NOT_RUNNING, f"{move.service}: {few}")
