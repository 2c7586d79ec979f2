"""The gate's judgement: observed container facts and a policy in, healthy, waiting or failed out. Pure.

The rules (facts measured in shared research, "Health semantics"):

1. The containers are those of the service after `up`, by id; there must be as many as the plan says.
2. A container fails at once when it exits, is dead, turns unhealthy, or is restarted by its restart policy.
3. With a healthcheck it must become `healthy` within the policy's time-out, or within the time its own
   healthcheck needs to say `unhealthy` when that is longer; a container still allowed to be `starting` is
   never failed.
4. It is proven once it has been good, with the same id, start time and restart count, for `stable_seconds`.
5. A paused container, or a start time that changes without a counted restart (a person, or the engine coming
   back), proves nothing either way: the stability window begins anew.
6. What was found ended with 0 (a one-shot, or a service that was stopped) is proven by an exit with 0, or by
   running well when its time is over.
7. One that the engine could not start is the release's fault only if its command cannot be run; else the
   host's.
8. Where the engine itself restarts what ends, a container that has exited was stopped by somebody: no
   release's fault.
9. What had ended before, or was not there, may end with 0 as well as run: nobody knows which of the two it is
   for.
10. What was unhealthy, or in a crash loop, before the containers were brought up, and was left as it is, may
   be so for a host that has healed since: it fails only if it stays so for as long as another try may take.

`docker compose up --wait` is no such gate: it calls a crash loop healthy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from updater_core.models import Container, GatePolicy, Healthcheck, Reason

_RESTARTED_BY_ENGINE = ("always", "unless-stopped")
_COMMAND_CANNOT_RUN = (126, 127)
Fingerprint = tuple[str, str]  # id, start time


@dataclass(frozen=True, slots=True)
class Track:
    """What the gate remembers from one look to the next. Seconds of a monotonic clock."""

    begun_seconds: float
    fingerprints: frozenset[Fingerprint] = frozenset()
    good_since_seconds: float | None = None
    restart_counts: tuple[tuple[str, int], ...] = ()
    seen_running: frozenset[str] = frozenset()  # ids, not unhealthy: what these do next is new


@dataclass(frozen=True, slots=True)
class Proven:
    """Every container is good, and stayed so."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet. `what` says what is waited for."""

    what: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The release did not prove itself."""

    reason: Reason
    message: str


Verdict = Proven | Waiting | Failed


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a gate wants to see: `count` containers of one service, under a policy."""

    service: str
    count: int
    policy: GatePolicy = field(default_factory=GatePolicy)
    is_one_shot: bool = False
    old_ids: frozenset[str] = frozenset()  # were there before: restarts counted on them are history
    is_beside_old: bool = False  # the old containers are still there, and are not judged
    may_end: bool = False  # it did not run before: rule 9
    ailing_before: frozenset[str] = frozenset()  # ids: rule 10


def judge(
    track: Track, containers: Sequence[Container], wanted: Expectation, now_seconds: float
) -> tuple[Track, Verdict]:
    """Return what to remember for the next look, and the verdict of this one."""
    containers = _judged(containers, wanted)
    is_over = now_seconds - track.begun_seconds > deadline_seconds(containers, wanted.policy)
    stale = frozenset() if is_over else wanted.ailing_before - track.seen_running
    failure = _failure(track, containers, wanted, stale)
    if failure is not None:
        return track, failure
    track = _follow(track, containers, now_seconds, is_good=_all_good(containers, wanted))
    if track.good_since_seconds is not None:
        missing = wanted.policy.stable_seconds - (now_seconds - track.good_since_seconds)
        if wanted.is_one_shot or missing <= 0:
            return track, Proven()
        return track, Waiting(f"{wanted.service} is good, {missing:.0f} s more to prove it stays so")
    if is_over:
        if wanted.is_one_shot and all(is_well(container) for container in containers):
            return track, Proven()
        return track, Failed(Reason.GATE_TIMEOUT, _too_late(containers, wanted))
    return track, Waiting(f"{wanted.service} is {_state(containers)}")


def _judged(containers: Sequence[Container], wanted: Expectation) -> Sequence[Container]:
    if not wanted.is_beside_old:
        return containers
    return [container for container in containers if container.id not in wanted.old_ids]


def deadline_seconds(containers: Sequence[Container], policy: GatePolicy) -> float:
    """Return how long a container may take to become good: the time-out, or what its healthcheck needs.

    >>> deadline_seconds([], GatePolicy(timeout_seconds=20))
    20
    """
    checks = [c.healthcheck for c in containers if c.healthcheck is not None and c.health is not None]
    return max([policy.timeout_seconds, *(slowest_verdict_seconds(check) for check in checks)])


def slowest_verdict_seconds(check: Healthcheck) -> float:
    """Return the longest a container may be `starting` by its own healthcheck.

    That is the start period, every retry, and one more probe.

    >>> slowest_verdict_seconds(Healthcheck(interval_seconds=30, timeout_seconds=30, retries=3))
    210.0
    """
    probe = check.interval_seconds + check.timeout_seconds
    return check.start_period_seconds + check.retries * probe + check.interval_seconds


def is_well(container: Container) -> bool:
    """Return whether a container does its work now, as far as one look can tell."""
    return container.status == "running" and container.health in (None, "healthy")


def may_be_well(container: Container) -> bool:
    """Return whether a container is well, or still on its way there."""
    return container.status == "running" and container.health != "unhealthy"


def is_ailing(container: Container) -> bool:
    """Return whether a container is unhealthy, or waits to be restarted after it has ended."""
    return container.status == "restarting" or (
        container.status == "running" and container.health == "unhealthy"
    )


def failure_of(container: Container, wanted: Expectation) -> Failed | None:
    """Return what one look at a container that is new shows it to have failed by; None if nothing does."""
    return _container_failure(container, 0, wanted)


def _failure(
    track: Track, containers: Sequence[Container], wanted: Expectation, stale: frozenset[str]
) -> Failed | None:
    """Return the first failure. `stale`: ids of containers whose state says nothing yet (rule 10)."""
    if len(containers) < wanted.count:
        few = (
            f"{wanted.service}: {len(containers)} of {wanted.count} containers are there, somebody removed "
            "the others"
        )
        return Failed(Reason.NOT_RUNNING, few)
    counted = dict(track.restart_counts)
    for container in containers:
        before = counted.get(container.id, container.restart_count if container.id in wanted.old_ids else 0)
        failure = _container_failure(container, before, wanted)
        is_stale = container.id in stale and is_ailing(container)
        if failure is not None and not is_stale:
            return failure
    return None


def _container_failure(container: Container, restarts_before: int, wanted: Expectation) -> Failed | None:
    if container.error and container.status in ("created", "exited"):
        return _start_failure(container)
    if container.status in ("exited", "dead", "removing"):
        is_restarted = container.restart_policy in _RESTARTED_BY_ENGINE
        if container.exit_code == 0 and (wanted.is_one_shot or (wanted.may_end and not is_restarted)):
            return None
        if is_restarted:
            return Failed(
                Reason.NOT_RUNNING, f"{container.name} was stopped by somebody ({_how_it_ended(container)})"
            )
        return Failed(Reason.EXITED, f"{container.name} {_how_it_ended(container)}")
    if container.status == "restarting" or container.restart_count > restarts_before:
        return Failed(Reason.RESTARTING, f"{container.name} {_how_it_ended(container)} and was restarted")
    if container.health == "unhealthy":
        said = f"; its last probe said: {container.health_log}" if container.health_log else ""
        return Failed(Reason.UNHEALTHY, f"{container.name} is unhealthy{said}")
    return None


def _start_failure(container: Container) -> Failed:
    """Return the failure of a container that the engine could not start.

    Its exit status says whose fault that is: 126 and 127 are the image's command that cannot be run or is not
    there (moby, daemon/start.go); all else (a port, a mount, a device) is the host's.
    """
    if container.exit_code in _COMMAND_CANNOT_RUN:
        return Failed(Reason.UP_FAILED, f"{container.name} cannot start: {container.error}")
    return Failed(Reason.ENGINE_ERROR, f"the host cannot start {container.name}: {container.error}")


def _all_good(containers: Sequence[Container], wanted: Expectation) -> bool:
    if wanted.is_one_shot:
        return all(container.status == "exited" for container in containers)
    return all(is_well(each) or (wanted.may_end and each.status == "exited") for each in containers)


def _follow(track: Track, containers: Sequence[Container], now_seconds: float, *, is_good: bool) -> Track:
    fingerprints = frozenset((container.id, container.started_at) for container in containers)
    is_same = fingerprints == track.fingerprints
    since = track.good_since_seconds if is_same and track.good_since_seconds is not None else now_seconds
    counts = tuple((container.id, container.restart_count) for container in containers)
    running = frozenset(each.id for each in containers if may_be_well(each))
    return Track(
        track.begun_seconds,
        fingerprints,
        since if is_good else None,
        counts,
        track.seen_running | running,
    )


def _how_it_ended(container: Container) -> str:
    """Return how a container ended; without its exit status if it runs again, for a start sets that to 0."""
    if container.status == "running":
        return "ended"
    memory = ", out of memory" if container.oom_killed else ""
    error = f": {container.error}" if container.error else ""
    return f"exited with {container.exit_code}{memory}{error}"


def _state(containers: Sequence[Container]) -> str:
    return (
        ", ".join(sorted({container.health or container.status for container in containers}))
        or "not there yet"
    )


def _too_late(containers: Sequence[Container], wanted: Expectation) -> str:
    limit = deadline_seconds(containers, wanted.policy)
    return f"{wanted.service} is still {_state(containers)} after {limit:.0f} s"
