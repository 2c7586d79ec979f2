"""The gate's judgement of a rollout: what the managers say in, proven, waiting or failed out. Pure.

1. The tasks count, not the engine's word: `completed` is said of services whose tasks never became healthy,
   too.
2. A new task that fails, is rejected or ends by itself has failed the release. A rejected one whose image
   could not be had is for the registry or the login: what the engine says of it never names the
   login.
3. The engine's own rollback of this very update (it began after ours was written) is a failure; its cause is
   that of the tasks.
4. It is proven once every wanted task runs the image, and the same tasks have run for `stable_seconds`, and
   the engine is not at work on it any more.
5. The engine sets no limit of time; here one counts from the last thing that moved, longer while an image is
   fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from updater_core.deploy.health import Failed, Proven, Verdict, Waiting
from updater_core.models import GatePolicy, Reason
from updater_core.targets.swarm import facts
from updater_core.targets.swarm.facts import SwarmService, SwarmTask

# What a shell, and the engine too, gives for a command that cannot be run, and for one that is not there.
_COMMAND_CANNOT_RUN = (126, 127)
# Each node pulls for itself and says nothing of its progress, so a large image on a slow line looks like a
# standstill.
_LONGEST_FETCH_SECONDS = 1800.0
_UNPLACED = ("new", "pending")
_FETCHING, _SHUT_DOWN = "preparing", "shutdown"
Moved = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is waited for: tasks of `image`.

    `known`: ids of tasks that were there before, whatever became of them; `former_update`: when the engine's
    update before ours began. `pause_seconds`: the engine's own between two tasks. `is_back`: the old release
    is wanted, and one of its tasks that fails is given time to be replaced.
    """

    image: str
    policy: GatePolicy
    known: frozenset[str] = frozenset()
    former_update: str = ""
    pause_seconds: float = 0.0
    is_back: bool = False


@dataclass(frozen=True, slots=True)
class RolloutTrack:
    """What the gate remembers from one look to the next. Seconds of a monotonic clock."""

    begun_seconds: float
    moved_at_seconds: float
    moved: Moved = frozenset()
    good: frozenset[str] = frozenset()
    good_since_seconds: float | None = None
    has_run: frozenset[str] = frozenset()


def judge(
    track: RolloutTrack,
    service: SwarmService,
    tasks: Sequence[SwarmTask],
    wanted: Rollout,
    now_seconds: float,
) -> tuple[RolloutTrack, Verdict]:
    """Return what to remember for the next look, and the verdict of this one."""
    # Tasks of a former try with the same image are history, whatever became of them.
    new = [task for task in tasks if task.image == wanted.image and task.id not in wanted.known]
    # In a rollback a failing task is replaced by the engine, and there is no other release to turn to.
    failure = None if wanted.is_back else _failure(track, service, new, wanted)
    if failure is not None:
        return track, failure
    track = _followed(track, service, tasks, wanted, now_seconds)
    if track.good_since_seconds is not None:
        missing = wanted.policy.stable_seconds - (now_seconds - track.good_since_seconds)
        # The engine may still be in its own monitor period, in which it would roll back what we call proven.
        if missing <= 0 and not _is_at_work(service):
            return track, Proven()
        return track, Waiting(
            f"{_counts(service, tasks, wanted)}, {max(missing, 0):.0f} s more to prove it stays so"
        )
    counts = _counts(service, tasks, wanted)
    if _is_over(track, service, new, wanted, now_seconds):
        return track, too_late(counts, new, wanted)
    return track, Waiting(counts)


def failure_of(task: SwarmTask, *, has_run: bool) -> Failed | None:
    """Return what a task shows its release, or the host, to have failed by; None if nothing does."""
    name = f"task {task.id[:12]}"
    if task.state == facts.REJECTED:
        return _rejection(name, task)
    if task.state == facts.COMPLETE:
        # With a healthcheck a task counts as running only once it is healthy, so one that never ran never
        # was.
        reason = Reason.EXITED if has_run else Reason.UNHEALTHY
        how = "ended by itself" if has_run else "did not become healthy, or ended by itself before it ran"
        return Failed(reason, f"{name} {how} (it exited with {task.exit_code})")
    if task.state != facts.FAILED:
        return None
    said = f"{name}: {task.error or f'exited with {task.exit_code}'}"
    # The engine gives a task no other sign of it than these words.
    if "unhealthy" in task.error:
        return Failed(Reason.UNHEALTHY, said)
    if not task.error.startswith("starting container failed"):
        return Failed(Reason.EXITED, said)
    is_command = task.exit_code in _COMMAND_CANNOT_RUN
    return Failed(Reason.UP_FAILED if is_command else Reason.ENGINE_ERROR, said)


def is_steady(service: SwarmService, tasks: Sequence[SwarmTask], image: str) -> bool:
    """Return whether as many tasks as the service wants run, and all of them `image`."""
    wanted = _wanted(tasks)
    is_enough = bool(wanted) if service.replicas is None else len(wanted) >= service.replicas
    return is_enough and all(task.image == image and task.state == facts.RUNNING for task in wanted)


def _failure(
    track: RolloutTrack, service: SwarmService, new: Sequence[SwarmTask], wanted: Rollout
) -> Failed | None:
    # The status of the update before stays until the manager begins with ours.
    is_of_ours = service.status.started_at != wanted.former_update
    went_back = is_of_ours and service.status.state in facts.WENT_BACK
    if not went_back and service.image != wanted.image:
        return Failed(
            Reason.TAKEN_OVER, f"{service.name} was given another image meanwhile ({service.image})"
        )
    failures = (failure_of(task, has_run=task.id in track.has_run) for task in new)
    for failure in sorted(filter(None, failures), key=lambda each: each.reason is not Reason.PULL_FAILED):
        # an image that could not be had comes first: nothing else says anything of the release then
        return failure
    if went_back:
        # `docker service rollback` by the operator: the release is not to blame.
        is_asked = "manually" in service.status.message
        reason = Reason.TAKEN_OVER if is_asked else Reason.EXITED
        return Failed(reason, f"the engine rolled {service.name} back: {service.status.message}")
    if is_of_ours and service.status.state == facts.PAUSED:
        return Failed(Reason.ENGINE_ERROR, f"the engine paused the update: {service.status.message}")
    return None


def _rejection(name: str, task: SwarmTask) -> Failed:
    if "No such image" in task.error or "pull" in task.error.lower():
        what = (
            f"{name}: a node could not get the image ({task.error}): its registry is away, or refuses the "
            "login"
        )
        return Failed(Reason.PULL_FAILED, what)
    return Failed(Reason.ENGINE_ERROR, f"{name} was rejected by its node: {task.error}")


def _followed(
    track: RolloutTrack,
    service: SwarmService,
    tasks: Sequence[SwarmTask],
    wanted: Rollout,
    now_seconds: float,
) -> RolloutTrack:
    moved = frozenset((task.id, task.state) for task in tasks)
    moved_at = now_seconds if moved != track.moved else track.moved_at_seconds
    has_run = track.has_run | {task.id for task in tasks if task.state == facts.RUNNING}
    if service.image != wanted.image or not is_steady(service, tasks, wanted.image):
        return RolloutTrack(track.begun_seconds, moved_at, moved, has_run=has_run)
    good = frozenset(task.id for task in _wanted(tasks))
    # Another task in the place of one that ended begins the stable time anew, even if the number is right.
    is_same = good == track.good and track.good_since_seconds is not None
    since = track.good_since_seconds if is_same else now_seconds
    return RolloutTrack(track.begun_seconds, moved_at, moved, good, since, has_run)


def _wanted(tasks: Sequence[SwarmTask]) -> list[SwarmTask]:
    return [task for task in tasks if task.wanted == facts.RUNNING]


def _is_at_work(service: SwarmService) -> bool:
    return service.status.state in (facts.UPDATING, facts.ROLLING_BACK)


def _is_over(
    track: RolloutTrack, service: SwarmService, new: Sequence[SwarmTask], wanted: Rollout, now_seconds: float
) -> bool:
    """Return whether a rollback has used up its time: tasks that fail and are replaced move for ever."""
    limit = limit_seconds(new, wanted)
    if now_seconds - track.moved_at_seconds > limit:
        return True
    return wanted.is_back and now_seconds - track.begun_seconds > limit * ((service.replicas or len(new)) + 1)


def limit_seconds(new: Sequence[SwarmTask], wanted: Rollout) -> float:
    """Return how long a rollout may stand still."""
    limit = wanted.policy.timeout_seconds + wanted.pause_seconds
    is_fetching = any(task.state == _FETCHING for task in new)
    return max(limit, _LONGEST_FETCH_SECONDS) if is_fetching else limit


def too_late(counts: str, new: Sequence[SwarmTask], wanted: Rollout) -> Failed:
    """Return why nothing more is waited for. `counts`: how far it came, in words."""
    unplaced = [task for task in new if task.wanted != _SHUT_DOWN and task.state in _UNPLACED]
    if unplaced:
        why = unplaced[0].error or "no node takes it"
        return Failed(Reason.NO_SUITABLE_NODE, f"{counts}: a task waits for a node ({why})")
    if any(task.state == _FETCHING for task in new):
        return Failed(Reason.PULL_FAILED, f"{counts}: a node still fetches the image")
    return Failed(
        Reason.GATE_TIMEOUT, f"{counts}, and nothing has moved for {wanted.policy.timeout_seconds:.0f} s"
    )


def _counts(service: SwarmService, tasks: Sequence[SwarmTask], wanted: Rollout) -> str:
    running = [task for task in tasks if task.state == facts.RUNNING and task.image == wanted.image]
    total = len(_wanted(tasks)) if service.replicas is None else service.replicas
    return (
        f"{service.name}: {len(running)} of {total} tasks run "
        f"{'the old' if wanted.is_back else 'the new'} image"
    )
