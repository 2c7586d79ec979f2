"""A host with one service in each state, as the status page gets to see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from updater_core.models import (
    Config,
    CurrentStep,
    GatePolicy,
    Hours,
    Quarantined,
    Reason,
    ServiceConfig,
    Settings,
    Step,
    StepTaken,
)
from updater_core.policy.operator.decisions import Approval, Decisions, Pause, Skip
from updater_core.policy.windows import parse_windows
from updater_core.reference import parse
from updater_core.state.records import Change, ServiceState, State, Status
from updater_core.status.inputs import DaemonStatus, Quota, StatusFacts

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DIGEST = "sha256:" + "0123456789abcdef" * 4
ALWAYS = Hours()
NIGHT = Hours(parse_windows("02:00-04:00"), "UTC")


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def service(name: str, image: str, *, hours: Hours = ALWAYS, enabled: bool = True) -> ServiceConfig:
    return ServiceConfig(name, parse(image), (f"/srv/{name}.yml",), (name,), hours=hours, enabled=enabled)


def seen(reference: str, status: Status, reason: Reason | None = None, **fields: object) -> ServiceState:
    """Return a service that was looked at three minutes ago."""
    checked = {"last_check": ago(minutes=3), "last_success": ago(minutes=3), "digest": DIGEST}
    return ServiceState(reference=reference, status=status, reason=reason, **{**checked, **fields})  # type: ignore[arg-type]


def change(
    plan_id: str, at: datetime, old: str, new: str, outcome: str = "committed", **fields: object
) -> Change:
    known = {"reason": "update", "detail": f"{new} is the newest", "duration_seconds": 21.4}
    return Change(plan_id, at, "update", old, DIGEST, new, DIGEST, outcome, **{**known, **fields})  # type: ignore[arg-type]


def way(begun: datetime, *steps: tuple[Step, float], is_back: bool = False) -> tuple[StepTaken, ...]:
    """Return steps of an update that follow each other, each with its seconds."""
    taken, moment = [], begun
    for step, seconds in steps:
        taken.append(StepTaken(step, moment, seconds, is_back))
        moment += timedelta(seconds=seconds)
    return tuple(taken)


FORWARD = ((Step.HOLD, 0.0), (Step.PULL, 3.21), (Step.PROVE, 0.84), (Step.JOURNAL, 0.01), (Step.EDIT, 0.02),
           (Step.RESTART, 1.13), (Step.GATE, 15.7))  # fmt: skip
PROVEN = (*FORWARD, (Step.VERIFY, 0.05), (Step.COMMIT, 0.44))
BACK = ((Step.EDIT, 0.02), (Step.RESTART, 1.3), (Step.GATE, 8.9), (Step.VERIFY, 0.05))


def well(count: int = 1) -> StatusFacts:
    """Everything runs what it should."""
    names = [f"web{number}" for number in range(1, count + 1)]
    states = {name: seen("nginx:1.27", Status.UP_TO_DATE, Reason.SAME_DIGEST) for name in names}
    services = tuple(service(name, "nginx:1.27") for name in names)
    return facts(services, states)


def facts(services: tuple[ServiceConfig, ...], states: dict[str, ServiceState]) -> StatusFacts:
    pulse = DaemonStatus(ago(hours=30), None, ago(minutes=3), 1.84, NOW + timedelta(minutes=57))
    config = Config(Settings(), services, "/etc/docker-auto-updater/updater_config.json")
    return StatusFacts(NOW, "shop-1", "0.1.0", config, State(states), pulse)


def mixed() -> StatusFacts:
    """One service in each state, a quota, a rest, and an update under way."""
    made = facts(_services(), {**_failing(), **_calm()})
    hand = CurrentStep("web", Step.GATE, "web-1 is starting", ago(seconds=12), ago(seconds=2))
    return replace(
        made,
        state=replace(decided(made.state), backoffs={"ghcr.io": NOW + timedelta(minutes=20)}),
        pulse=replace(made.pulse, cycle_begun=ago(seconds=40), next_cycle=None, pending_messages=2),
        under_way=(hand,),
        quotas={"registry-1.docker.io": Quota(100, 16, 21600, ago(minutes=3))},
    )


def decided(state: State) -> State:
    """Return what operators have decided: a pause of one service, a skip, and an open question."""
    cache, web, queue = (state.services[name] for name in ("cache", "web", "queue"))
    question = Approval(DIGEST, f"redis:7.4.1@{DIGEST}", ago(hours=3), NOW + timedelta(days=6, hours=21))
    pause = Pause(ago(hours=1), "ann", NOW + timedelta(days=3))
    skip = Skip("sha256:" + "f" * 64, "rabbitmq:3.13.1@sha256:" + "f" * 64, ago(days=2), "phone")
    changed = {
        "cache": replace(cache, decisions=Decisions(approval=question)),
        "web": replace(web, decisions=Decisions(pause)),
        "queue": replace(queue, decisions=Decisions(skips=(skip,))),
    }
    return replace(state, services={**state.services, **changed})


def _services() -> tuple[ServiceConfig, ...]:
    return (
        service("web", "nginx:1.27"),
        service("api", "ghcr.io/acme/api:v1.4.2"),
        service("cache", "redis:7.2.4", hours=NIGHT),
        service("db", "postgres:16.3"),
        service("mail", "mailu/front:2024.06", hours=NIGHT),
        service("queue", "rabbitmq:3.13.0"),
        service(
            "search", "registry.example.com:5000/search/engine-with-a-rather-long-name:2.0.0-rc.1-alpine"
        ),
        service("legacy", "acme/legacy:1", enabled=False),
    )


def _calm() -> dict[str, ServiceState]:
    steps = way(ago(hours=2, seconds=21.4), *PROVEN)
    committed = change("1", ago(hours=2), "nginx:1.26", "nginx:1.27", steps=steps)
    return {
        "web": seen("nginx:1.27", Status.UPDATED, last_change=ago(hours=2), changes=(committed,)),
        "cache": seen(
            "redis:7.2.4",
            Status.WAITING,
            Reason.WINDOW_CLOSED,
            available=f"redis:7.4.1@{DIGEST}",
            detail="redis:7.4.1 waits: the maintenance window is closed, it opens at 2026-11-24 02:00 UTC",
            remedy="wait for the window",
            opens_at=NOW + timedelta(hours=18),
        ),
        "queue": seen(
            "rabbitmq:3.13.0",
            Status.HELD,
            Reason.NOT_EDITABLE,
            detail="the image in /srv/queue.yml is set by the variable TAG, which other services use too",
            remedy="give this service a variable of its own",
        ),
    }


def _failing() -> dict[str, ServiceState]:
    there = ago(minutes=50, seconds=31.2)
    steps = (*way(there, *FORWARD), *way(there + timedelta(seconds=20.9), *BACK, is_back=True))
    bad = change(
        "2", ago(minutes=50), "ghcr.io/acme/api:v1.4.2", "ghcr.io/acme/api:v1.5.0", "rolled_back",
        reason="unhealthy", detail="api-1 is unhealthy: connection refused", duration_seconds=31.2,
        steps=steps,
    )  # fmt: skip
    lost = change(
        "3", ago(days=1, hours=2), "postgres:16.3", "postgres:17.0", "rollback_failed",
        reason="exited", detail="db-1 ended with 1; the rollback failed too: db-1 ended with 1",
        duration_seconds=204,
    )  # fmt: skip
    return {
        "api": seen(
            "ghcr.io/acme/api:v1.4.2", Status.ROLLED_BACK, Reason.UNHEALTHY, changes=(bad,),
            last_change=bad.at,
            detail="api-1 is unhealthy; its last probe said: connection refused", remedy="fix the release",
            quarantine=(Quarantined(DIGEST, "ghcr.io/acme/api:v1.5.0", Reason.UNHEALTHY, bad.at),),
        ),
        "db": seen(
            "postgres:16.3", Status.ROLLBACK_FAILED, Reason.EXITED, changes=(lost,), last_change=lost.at,
            detail=lost.detail, remedy="see to the service by hand, then run sudo docker-updater --retry db",
        ),
        "mail": seen("mailu/front:2024.06", Status.UP_TO_DATE, Reason.SAME_DIGEST, last_success=ago(days=2)),
        "search": seen(
            "registry.example.com:5000/search/engine-with-a-rather-long-name:2.0.0-rc.1-alpine",
            Status.UNKNOWN, Reason.AUTH_ERROR, detail="registry.example.com:5000: the login was refused",
            remedy="check user name and password in registry_config",
        ),
    }  # fmt: skip


QUICK_GATE = GatePolicy(60.0, 5.0)
