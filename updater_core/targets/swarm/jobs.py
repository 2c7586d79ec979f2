"""The gate's judgement of a job, whose tasks are to end.

Every write to a job runs it once more (seen with 28.5). Pure.

1. It is proven once as many tasks of this run have completed as it wants, or one on each node if it is
   global.
2. The engine tries a failed task again, for ever unless `max_attempts` bounds it. The release has failed with
   the first failure that the engine need not try again after: with none of its bounds that is the first of
   all.
3. A run takes the time that it takes: while a task runs, a day is waited, and `health_timeout` at any other
   standstill.
4. Going back runs the old image once more. It is back once a task of it has begun; what a run has done stays
   done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from updater_core.deploy.health import Failed, Proven, Verdict, Waiting
from updater_core.models import Hold, Reason
from updater_core.targets.swarm import facts, gate
from updater_core.targets.swarm.facts import SwarmService, SwarmTask
from updater_core.targets.swarm.gate import Rollout, RolloutTrack

# A migration or a backup may run for hours; a day without any change is a hang.
_LONGEST_RUN_SECONDS = 86400.0
_AT_WORK = ("preparing", "starting", facts.RUNNING)
_FAILED = (facts.FAILED, facts.REJECTED)


def judge(
    track: RolloutTrack,
    service: SwarmService,
    tasks: Sequence[SwarmTask],
    wanted: Rollout,
    now_seconds: float,
) -> tuple[RolloutTrack, Verdict]:
    """Return what to remember for the next look, and the verdict of this one, as `gate.judge`."""
    if service.image != wanted.image:
        return track, Failed(
            Reason.TAKEN_OVER, f"{service.name} was given another image meanwhile ({service.image})"
        )
    run = _of_this_run(service, tasks)
    # What the old run does is not undone by waiting for it, and its release was good before.
    if wanted.is_back and any(task.state in (facts.RUNNING, facts.COMPLETE) for task in run):
        return track, Proven()
    failure = None if wanted.is_back else _failure(service, run)
    if failure is not None:
        return track, failure
    if _has_completed(service, run):
        return track, Proven()
    moved = frozenset((task.id, task.state) for task in run)
    if moved != track.moved:
        track = replace(track, moved=moved, moved_at_seconds=now_seconds)
    if now_seconds - track.moved_at_seconds > _limit_seconds(run, wanted):
        return track, gate.too_late(_counts(service, run), run, wanted)
    return track, Waiting(_counts(service, run))


def hold_for(service: SwarmService, tasks: Sequence[SwarmTask]) -> Hold | None:
    """Return a hold if the job runs just now, for an update would end it.

    None if it does not, or only fails for ever.
    """
    run = _of_this_run(service, tasks)
    is_at_work = any(task.state in _AT_WORK for task in run)
    if not is_at_work or any(task.state in _FAILED for task in run):
        return None
    remedy = "nothing to do: it is updated once this run has ended"
    return Hold(
        Reason.BUSY, f"{service.name} is a job, and it runs just now: an update would end that", remedy
    )


def _of_this_run(service: SwarmService, tasks: Sequence[SwarmTask]) -> list[SwarmTask]:
    return [task for task in tasks if task.iteration == service.iteration]


def _failure(service: SwarmService, run: Sequence[SwarmTask]) -> Failed | None:
    rejected = next((task for task in run if task.state == facts.REJECTED), None)
    if rejected is not None:
        return gate.failure_of(rejected, has_run=False)
    failed = [task for task in run if task.state == facts.FAILED]
    failures = Counter(_place(service, task) for task in failed)
    # The engine tries a place again until its own bound; a failure below that is still being dealt with.
    last = next((task for task in failed if failures[_place(service, task)] > service.attempts), None)
    return None if last is None else gate.failure_of(last, has_run=True)


def _has_completed(service: SwarmService, run: Sequence[SwarmTask]) -> bool:
    completed = [task for task in run if task.state == facts.COMPLETE]
    if service.completions is not None:
        return len(completed) >= service.completions
    places = {_place(service, task) for task in run}
    # A global job wants one on each node, however many there are.
    return bool(places) and places == {_place(service, task) for task in completed}


def _place(service: SwarmService, task: SwarmTask) -> str:
    """Return what the engine counts attempts by: the slot, or the node of a global job."""
    return task.node_id if service.completions is None else str(task.slot)


def _limit_seconds(run: Sequence[SwarmTask], wanted: Rollout) -> float:
    limit = gate.limit_seconds(run, wanted)
    return max(limit, _LONGEST_RUN_SECONDS) if any(task.state == facts.RUNNING for task in run) else limit


def _counts(service: SwarmService, run: Sequence[SwarmTask]) -> str:
    completed = sum(task.state == facts.COMPLETE for task in run)
    total = (
        len({_place(service, task) for task in run}) if service.completions is None else service.completions
    )
    return f"{service.name}: {completed} of {total} tasks of the job have completed"
